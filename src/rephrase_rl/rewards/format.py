r"""Verifier for the form of a completion: a named format or a pattern of one's own.

The reference answer is not looked at. Whether form counts by itself or only with a right answer is
for the composites to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import regex

from rephrase_rl.errors import VerifierError
from rephrase_rl.records import Verdict
from rephrase_rl.rewards.boxed import boxed_answer
from rephrase_rl.rewards.protocol import check_same_length
from rephrase_rl.rewards.settings import filled_text, number_within, one_of, refuse

_THINKING = re.compile(r"\s*<think>(.*?)</think>(.*)", re.DOTALL)
_ANSWER_TAGS = re.compile(r"\s*<answer>(.*?)</answer>\s*", re.DOTALL)
_ANSWER_LINE = re.compile(r"[ *_]*(?:final )?answer[ *_]*:[ *_]*\S.*", re.IGNORECASE)


class FormatVerifier:
    """Scores 1 if a completion has the form that is asked for, else 0.

    Example:
        >>> texts = ["<think>1 + 1</think>It is 2.", "It is 2."]
        >>> [verdict.value for verdict in FormatVerifier("think").verify(texts, ["2", "2"])]
        [1.0, 0.0]
    """

    def __init__(
        self,
        format: str | None = None,
        pattern: str | None = None,
        timeout_s: float = 1.0,
        name: str = "format",
    ) -> None:
        r"""Set the form; exactly one of ``format`` and ``pattern``.

        Args:
            format: ``boxed``: a complete ``\boxed{}`` that is not empty. ``think``: one
                ``<think>...</think>`` at the start, then an answer. ``think_boxed``: both, the box
                in the answer. ``think_answer``: ``<think>...</think>``, then ``<answer>`` to
                ``</answer>`` and nothing else. ``answer_line``: the last line is "Answer: ...".
            pattern: Regular expression that must match somewhere; ``.`` matches line breaks too.
            timeout_s: Wall-clock limit of one match of ``pattern`` in seconds.
            name: Name in metrics and records.

        Raises:
            VerifierError: Neither or both are given, or one is not valid.
        """
        faults = number_within("timeout_s", timeout_s, 0.001)
        if (format is None) == (pattern is None):
            faults.append(f"found format={format!r} and pattern={pattern!r}, required: one of them")
        if format is not None:
            faults += one_of("format", format, tuple(FORMATS))
        if pattern is not None:
            faults += filled_text("pattern", pattern)
        refuse(name, faults)
        self.name = name
        self._timeout_s = timeout_s
        self._has_form = FORMATS[format] if format is not None else self._matcher(pattern or "")

    def verify(self, completions: Sequence[str], reference_answers: Sequence[str]) -> list[Verdict]:
        """Judge each completion; see the class.

        Raises:
            VerifierError: The two sequences differ in length.
        """
        check_same_length(completions, reference_answers)
        return [self._judge(completion) for completion in completions]

    def close(self) -> None:
        """Nothing is held."""

    def _judge(self, completion: str) -> Verdict:
        try:
            return Verdict("scored", float(self._has_form(completion)))
        except TimeoutError:
            return Verdict(
                "timeout", None, detail=f"the pattern took longer than {self._timeout_s:g} s"
            )

    def _matcher(self, pattern: str) -> Callable[[str], bool]:
        """The user's pattern with a clock: a pattern can take exponential time."""
        try:
            compiled = regex.compile(pattern, regex.DOTALL)
        except regex.error as error:
            raise VerifierError(
                f"verifier {self.name!r}: found pattern={pattern!r}, which is no regular "
                f"expression ({error}); correct it"
            ) from error
        return lambda text: compiled.search(text, timeout=self._timeout_s) is not None


def _is_boxed(text: str) -> bool:
    return bool(boxed_answer(text))


def _thinks(text: str) -> bool:
    return bool(_answer_after_thinking(text).strip())


def _thinks_and_boxes(text: str) -> bool:
    return _is_boxed(_answer_after_thinking(text))


def _thinks_and_tags(text: str) -> bool:
    tagged = _ANSWER_TAGS.fullmatch(_answer_after_thinking(text))
    return tagged is not None and bool(tagged[1].strip()) and "<answer>" not in tagged[1]


def _ends_in_answer_line(text: str) -> bool:
    return _ANSWER_LINE.fullmatch(text.rstrip().rpartition("\n")[2]) is not None


def _answer_after_thinking(text: str) -> str:
    """What follows one thinking part at the start; empty if there is none, or another tag."""
    parts = _THINKING.fullmatch(text)
    if parts is None or not parts[1].strip() or "<think>" in parts[1]:
        return ""
    return "" if "<think>" in parts[2] or "</think>" in parts[2] else parts[2]


FORMATS: dict[str, Callable[[str], bool]] = {
    "boxed": _is_boxed,
    "think": _thinks,
    "think_boxed": _thinks_and_boxes,
    "think_answer": _thinks_and_tags,
    "answer_line": _ends_in_answer_line,
}
"""The forms that have a name."""
