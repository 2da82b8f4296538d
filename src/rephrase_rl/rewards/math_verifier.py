r"""Verifier for mathematics: math-verify in killable worker processes with a wall clock.

Finding the box is done here, in linear time; parsing and comparing, which may hang or crash on
what a model writes, is done by workers. Nothing heavy is imported until the first answer that
needs a worker.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rephrase_rl.records import Verdict, VerdictStatus
from rephrase_rl.rewards.boxed import boxed_answer
from rephrase_rl.rewards.protocol import check_same_length
from rephrase_rl.rewards.worker_pool import CallResult, KillablePool

if TYPE_CHECKING:
    from types import TracebackType

UNBOXED_TAIL_CHARS = 2000
"""Where an answer without a box is looked for: this many characters at the end. math-verify's
patterns take quadratic time, and an answer stands at the end."""

_PLAIN_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,11}|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,3})")

Judge = Callable[[str, bool, str], Verdict]
"""Signature of ``math_judge.judge_math``."""


def judge_in_worker(found: str, is_boxed: bool, reference_answer: str) -> Verdict:
    """Judge one answer; imports math-verify where it runs, which is a worker."""
    from rephrase_rl.rewards.math_judge import judge_math

    return judge_math(found, is_boxed, reference_answer)


def prepare_math_worker() -> None:
    """Import math-verify and warm it up in a new worker, outside any limit."""
    from rephrase_rl.rewards.math_judge import prepare_worker

    prepare_worker()


class MathVerifier:
    r"""Scores 1 if the completion's final answer equals the reference answer mathematically.

    The answer is the content of the last ``\boxed{}``; without a box it is what math-verify finds
    in the last 2,000 characters. Statuses: ``unscorable`` if the reference answer cannot be read,
    ``timeout`` after ``timeout_s`` of wall clock (the worker is killed), ``error`` if the
    comparison raised or the worker died. Equal calls within one ``verify`` are judged once.

    Use it as a context manager or call ``close``; a closed verifier starts again when used.
    """

    def __init__(
        self,
        name: str = "math",
        timeout_s: float = 5.0,
        max_workers: int = 1,
        *,
        judge: Judge = judge_in_worker,
    ) -> None:
        """Describe the verifier; workers start when first needed.

        Args:
            name: Name in metrics and records.
            timeout_s: Wall-clock limit of one comparison in seconds.
            max_workers: Number of worker processes.
            judge: Importable function that judges one answer in the worker.

        Raises:
            VerifierError: ``timeout_s`` or ``max_workers`` is out of range.
        """
        self.name = name
        self._pool: KillablePool[Verdict] = KillablePool(
            judge,
            timeout_s=timeout_s,
            max_workers=max_workers,
            initializer=prepare_math_worker,
            preload="rephrase_rl.rewards.math_judge",
        )

    def verify(self, completions: Sequence[str], reference_answers: Sequence[str]) -> list[Verdict]:
        """Judge each completion; see the class.

        Raises:
            VerifierError: The sequences differ in length, or no worker can be started.
        """
        check_same_length(completions, reference_answers)
        calls = [
            _call_of(completion, reference)
            for completion, reference in zip(completions, reference_answers, strict=True)
        ]
        verdicts: dict[tuple[str, bool, str], Verdict] = {}
        pending = []
        for call in dict.fromkeys(calls):
            verdict = judge_plainly(*call)
            if verdict is None:
                pending.append(call)
            else:
                verdicts[call] = verdict
        if pending:
            for call, result in zip(pending, self._pool.run(pending), strict=True):
                verdicts[call] = _verdict_of(result, call)
        return [verdicts[call] for call in calls]

    def close(self) -> None:
        """Stop the worker processes."""
        self._pool.close()

    def __enter__(self) -> MathVerifier:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def judge_plainly(found: str, is_boxed: bool, reference_answer: str) -> Verdict | None:
    """Judge what needs no mathematics: no answer at all, or two plain integers.

    Gives the verdict that ``judge_math`` gives, or None if that one is needed (a test compares).
    """
    if not is_boxed or not _PLAIN_INTEGER.fullmatch(found):
        return None
    reference = reference_answer.strip()
    if not _PLAIN_INTEGER.fullmatch(reference):
        return None
    if int(found.replace(",", "")) == int(reference.replace(",", "")):
        return Verdict("scored", 1.0, found)
    return Verdict("scored", 0.0, found, f"differs from {reference!r}")


def _call_of(completion: str, reference_answer: str) -> tuple[str, bool, str]:
    boxed = boxed_answer(completion)
    if boxed is not None:
        return boxed, True, reference_answer
    return completion[-UNBOXED_TAIL_CHARS:], False, reference_answer


def _verdict_of(result: CallResult[Verdict], call: tuple[str, bool, str]) -> Verdict:
    if result.status == "done" and result.value is not None:
        return result.value
    status: VerdictStatus = "timeout" if result.status == "timeout" else "error"
    found, is_boxed, _ = call
    return Verdict(status, None, found if is_boxed else None, result.detail)
