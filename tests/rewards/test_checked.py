"""Whatever a user's verifier returns or raises is a verdict with a reason, or a clear error."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rephrase_rl.errors import BudgetError, VerifierError
from rephrase_rl.records import Verdict
from rephrase_rl.rewards import as_verifier, verify_in_context

GOOD = Verdict("scored", 1.0)


class Careless:
    name = "careless"

    def __init__(self, found: Any) -> None:
        self.found = found

    def verify(self, completions: Any, reference_answers: Any) -> Any:
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found

    def close(self) -> None:
        pass


def judged(found: Any) -> list[Verdict]:
    return verify_in_context(Careless(found), ["a", "b"], ["1", "2"], {})


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (1.0, "careless returned 1.0, which is no Verdict"),
        (None, "careless returned None"),
        (Verdict("scored", math.nan), "careless scored nan"),
        (Verdict("scored", math.inf), "careless scored inf"),
        (Verdict("scored", None), "careless scored None"),
        (Verdict("scored", "1"), "careless scored '1'"),  # type: ignore[arg-type]
    ],
)
def test_one_bad_verdict_is_an_error_and_the_others_stay(found, reason) -> None:
    first, second = judged([GOOD, found])
    assert first is GOOD
    assert (second.status, second.value) == ("error", None)
    assert second.detail.startswith(reason)


@pytest.mark.parametrize(
    "error", [ValueError("oh"), MemoryError(), RecursionError(), SystemExit(3)]
)
def test_what_it_raises_is_an_error_of_every_completion(error) -> None:
    verdicts = judged(error)
    assert [v.status for v in verdicts] == ["error", "error"]
    assert verdicts[0].detail.startswith(type(error).__name__)


@pytest.mark.parametrize("error", [VerifierError("x"), BudgetError("x"), KeyboardInterrupt()])
def test_our_own_errors_and_interrupts_end_the_run(error) -> None:
    with pytest.raises(type(error)):
        judged(error)


@pytest.mark.parametrize(
    ("found", "shown"),
    [([GOOD], "1 values"), ([GOOD] * 3, "3 values"), (None, "None"), ("ok", "'ok'"), (1.0, "1.0")],
)
def test_another_number_of_verdicts_cannot_be_told_apart(found, shown) -> None:
    with pytest.raises(VerifierError, match=f"asked about 2 completions and returned {shown}"):
        judged(found)


def test_a_function_that_calls_exit_does_not_end_the_run_silently() -> None:
    def leaves(completion: str, answer: str) -> float:
        raise SystemExit(3)

    (verdict,) = as_verifier(leaves, {}).verify(["a"], ["1"])
    assert (verdict.status, verdict.detail) == ("error", "SystemExit: 3")
