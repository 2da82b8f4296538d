"""Verifiers of a careless user; named in configurations by this file's path.

A function or class misbehaves while the environment variable ``FAULTY`` is 1, and is the lab's own
rule otherwise. ``calls`` counts how often it did.
"""

from __future__ import annotations

import math
import os
import re
import time
from typing import Any

from rephrase_rl.records import Verdict

calls = 0


def right(completion: str, answer: str) -> float:
    return float(completion.rpartition("#")[2].strip() == answer)


def faulty(every: int = 1) -> bool:
    global calls
    if os.environ.get("FAULTY") != "1":
        return False
    calls += 1
    return calls % every == 0


def sometimes_raises(completion: str, answer: str) -> float:
    if faulty(3):
        raise RuntimeError("broken on purpose")
    return right(completion, answer)


def always_raises(completion: str, answer: str) -> float:
    if faulty():
        raise RuntimeError("broken on purpose")
    return right(completion, answer)


def out_of_memory(completion: str, answer: str) -> float:
    if faulty(3):
        raise MemoryError
    return right(completion, answer)


def recurses(completion: str, answer: str) -> float:
    return _endless(completion) if faulty(3) else right(completion, answer)


def _endless(completion: str) -> float:
    return _endless(completion)


def _instead(value: Any, every: int = 3) -> Any:
    def verifier(completion: str, answer: str) -> Any:
        return value if faulty(every) else right(completion, answer)

    return verifier


returns_nan = _instead(math.nan)
returns_inf = _instead(math.inf)
returns_none = _instead(None)
returns_text = _instead("good")
returns_list = _instead([1.0])
returns_huge = _instead(1e30)
constant_zero = _instead(0.0, 1)
constant_one = _instead(1.0, 1)
all_none = _instead(None, 1)


def slow(completion: str, answer: str) -> float:
    if faulty():
        time.sleep(0.05)
    return right(completion, answer)


def sleeps(completion: str, answer: str) -> float:
    if faulty():
        time.sleep(3600)
    return right(completion, answer)


def holds_the_interpreter(completion: str, answer: str) -> float:
    if faulty():
        re.match(r"(a+)+$", "a" * 40 + "b")
    return right(completion, answer)


def exits(completion: str, answer: str) -> float:
    if faulty():
        raise SystemExit(3)
    return right(completion, answer)


class _Verifier:
    name = "careless"

    def __init__(self) -> None:
        pass

    def verify(self, completions: Any, reference_answers: Any) -> Any:
        verdicts = [
            Verdict("scored", right(c, a))
            for c, a in zip(completions, reference_answers, strict=True)
        ]
        return self.spoil(verdicts) if faulty() else verdicts

    def close(self) -> None:
        pass


def _spoiling(spoil: Any) -> type:
    class Careless(_Verifier):
        def spoil(self, verdicts: list[Verdict]) -> Any:
            return spoil(verdicts)

    return Careless


def _raise(verdicts: list[Verdict]) -> Any:
    raise ValueError("broken on purpose")


TooFew = _spoiling(lambda verdicts: verdicts[:-1])
TooMany = _spoiling(lambda verdicts: [*verdicts, verdicts[0]])
ReturnsNone = _spoiling(lambda verdicts: None)
ReturnsText = _spoiling(lambda verdicts: "good")
ReturnsFloats = _spoiling(lambda verdicts: [verdicts[0], *(1.0 for _ in verdicts[1:])])
ScoresNan = _spoiling(lambda verdicts: [Verdict("scored", math.nan), *verdicts[1:]])
ScoresText = _spoiling(lambda verdicts: [Verdict("scored", "1"), *verdicts[1:]])
Raises = _spoiling(_raise)


class NotBuilt(_Verifier):
    def __init__(self) -> None:
        raise RuntimeError("no licence")
