r"""Verifier for mathematics: math-verify in killable worker processes with a wall clock.

Finding the box is done here, in linear time; parsing and comparing, which may hang or crash on
what a model writes, is done by workers. Nothing heavy is imported until the first answer that
needs a worker.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rephrase_rl.records import Verdict, VerdictStatus
from rephrase_rl.rewards.boxed import boxed_answer
from rephrase_rl.rewards.plain_numbers import judge_plainly
from rephrase_rl.rewards.plain_text import visible
from rephrase_rl.rewards.protocol import check_same_length
from rephrase_rl.rewards.settings import number_within, refuse
from rephrase_rl.rewards.verdict_cache import VerdictCache
from rephrase_rl.rewards.worker_pool import Begun, CallResult, KillablePool

if TYPE_CHECKING:
    from types import TracebackType

_FULL_STOP = re.compile(r"(?<=[0-9])\.\s*$")
"""Of a sentence that ends inside the box: 104. is 104."""
UNBOXED_TAIL_CHARS = 2000
"""Where an answer without a box is looked for: this many characters at the end. math-verify's
patterns take quadratic time, and an answer stands at the end."""

MAX_CACHED_CHARS = 4000
"""Longest prediction and gold, together, whose verdict is kept: bounds the memory of the cache."""

COUNTED = ("plain", "cached", "judged", "timeout", "error", "unscorable")
"""What ``MathVerifier.counts`` counts."""

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
    comparison raised or the worker died. Plain numbers need no worker, equal pairs of prediction
    and gold are judged once and remembered; ``counts`` says how many went which way.

    Use it as a context manager or call ``close``; a closed verifier starts again when used.
    """

    def __init__(
        self,
        name: str = "math",
        timeout_s: float = 5.0,
        max_workers: int = 1,
        cache_size: int = 10_000,
        *,
        judge: Judge = judge_in_worker,
    ) -> None:
        """Describe the verifier; workers start when first needed.

        Args:
            name: Name in metrics and records.
            timeout_s: Wall-clock limit of one comparison in seconds.
            max_workers: Number of worker processes.
            cache_size: Verdicts remembered between calls; 0: none.
            judge: Importable function that judges one answer in the worker.

        Raises:
            VerifierError: ``timeout_s``, ``max_workers`` or ``cache_size`` is out of range.
        """
        self.name = name
        refuse(name, number_within("cache_size", cache_size, 0, whole=True))
        self._cache = VerdictCache(cache_size)
        self._counts: Counter[str] = Counter()
        self._begun: dict[tuple[str, bool, str], Begun] = {}
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
            verdict = self._known(call)
            if verdict is None:
                pending.append(call)
            else:
                verdicts[call] = verdict
        if pending:
            self._hand_over(pending)
            begun = [self._begun[call] for call in pending]
            for call, result in zip(pending, self._pool.finish(begun), strict=True):
                verdicts[call] = self._learned(call, _verdict_of(result, call))
        self._begun.clear()
        self._counts["cached"] += len(calls) - len(verdicts)
        return [verdicts[call] for call in calls]

    def verify_ahead(self, completions: Sequence[str], reference_answers: Sequence[str]) -> None:
        """Hand what needs a worker to one, without waiting; ``verify`` of the same pairs follows.

        Raises:
            VerifierError: The sequences differ in length.
        """
        check_same_length(completions, reference_answers)
        calls = dict.fromkeys(map(_call_of, completions, reference_answers))
        self._hand_over(
            [c for c in calls if judge_plainly(*c) is None and self._cache.get(c) is None]
        )

    def _hand_over(self, calls: Sequence[tuple[str, bool, str]]) -> None:
        late = [call for call in calls if call not in self._begun]
        self._begun.update(zip(late, self._pool.begin(late), strict=True))

    @property
    def counts(self) -> dict[str, int]:
        """Verdicts so far: ``plain`` and ``cached`` without a worker, ``judged`` by one.

        Of the judged: ``timeout``, ``error``, ``unscorable``.
        """
        return {name: self._counts[name] for name in COUNTED}

    def _known(self, call: tuple[str, bool, str]) -> Verdict | None:
        verdict = judge_plainly(*call)
        if verdict is not None:
            self._counts["plain"] += 1
            return verdict
        verdict = self._cache.get(call)
        self._counts["cached"] += verdict is not None
        return verdict

    def _learned(self, call: tuple[str, bool, str], verdict: Verdict) -> Verdict:
        self._counts["judged"] += 1
        if verdict.status != "scored":
            self._counts[verdict.status] += 1
        if len(call[0]) + len(call[2]) <= MAX_CACHED_CHARS:
            self._cache.keep(call, verdict)
        return verdict

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


def _call_of(completion: str, reference_answer: str) -> tuple[str, bool, str]:
    boxed = boxed_answer(completion)
    if boxed is not None:
        return _FULL_STOP.sub("", visible(boxed)), True, reference_answer
    return visible(completion[-UNBOXED_TAIL_CHARS:]), False, reference_answer


def _verdict_of(result: CallResult[Verdict], call: tuple[str, bool, str]) -> Verdict:
    if result.status == "done" and result.value is not None:
        return result.value
    status: VerdictStatus = "timeout" if result.status == "timeout" else "error"
    found, is_boxed, _ = call
    return Verdict(status, None, found if is_boxed else None, result.detail)
