r"""Verifier for numbers with a tolerance, as finance needs it: precision, percent, scale.

The rule is the execution accuracy of FinQA and TAT-QA evaluations: equal after rounding to the
smaller precision, or within a relative 1e-3; percent also by a factor of 100; scale words may be
left out. Taken literally it accepts "0" for every share below one half and 1e1 for 12.6, which a
policy would find out; so by default rounding wants two digits. Every leniency is an option.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from rephrase_rl.records import Verdict
from rephrase_rl.rewards.number_reading import Number, find_number, read_number
from rephrase_rl.rewards.protocol import check_same_length
from rephrase_rl.rewards.settings import number_within, one_of, refuse, true_or_false

_DECIMAL_COMMA = re.compile(r"(?<![0-9,.])[0-9][0-9.]*,[0-9]+(?![0-9,])")

Rounding = Literal["smaller", "gold", "none"]
PercentRule = Literal["either", "marked", "exact"]
ScaleRule = Literal["optional", "exact"]


class NumberVerifier:
    r"""Scores 1 if the number that a completion gives agrees with the reference answer's.

    The reference answer is one number, with scale word or percent sign where it has one
    ("-12.6 million", "22.22%"); one that cannot be read so is unscorable.

    Example:
        >>> NumberVerifier().verify(["So the change is -0.2222."], ["-22.22%"])[0].value
        1.0
    """

    def __init__(
        self,
        relative_tolerance: float = 1e-3,
        absolute_tolerance: float = 0.0,
        rounding: Rounding = "smaller",
        min_digits: int = 2,
        percent: PercentRule = "marked",
        scale: ScaleRule = "optional",
        accounting: bool = True,
        name: str = "number",
    ) -> None:
        """Set what counts as equal.

        Args:
            relative_tolerance: Allowed difference as a share of the reference answer, >= 0.
            absolute_tolerance: Allowed difference in the reference answer's own unit, >= 0.
            rounding: ``smaller``: equal when both are rounded to the last place of the coarser
                one; ``gold``: when the completion's is rounded to that of the reference answer;
                ``none``: the tolerances alone decide.
            min_digits: Significant digits that the coarser number must have for rounding to count;
                a reference answer with decimals, such as 0.05, needs one only. 0: none at all.
            percent: ``marked``: of two numbers, one with a percent sign, the other may be the
                figure or the share (12 or 0.12 for 12%); ``either``: figures may differ by a
                factor of 100 either way, sign or not, for data whose reference answers have none;
                ``exact``: 12% is 0.12 and nothing else.
            scale: ``optional``: one side may leave its scale word out; ``exact``: it counts.
            accounting: Whether parentheses around the whole answer make it negative.
            name: Name in metrics and records.

        Raises:
            VerifierError: An option is out of range.
        """
        refuse(
            name,
            [
                *number_within("relative_tolerance", relative_tolerance, 0.0),
                *number_within("absolute_tolerance", absolute_tolerance, 0.0),
                *one_of("rounding", rounding, ("smaller", "gold", "none")),
                *number_within("min_digits", min_digits, 0, whole=True),
                *one_of("percent", percent, ("either", "marked", "exact")),
                *one_of("scale", scale, ("optional", "exact")),
                *true_or_false("accounting", accounting),
            ],
        )
        self.name = name
        self._relative = Fraction(relative_tolerance)
        self._absolute = Fraction(absolute_tolerance)
        self._rounding = rounding
        self._min_digits = min_digits
        self._percent = percent
        self._scale = scale
        self._accounting = accounting

    def verify(self, completions: Sequence[str], reference_answers: Sequence[str]) -> list[Verdict]:
        """Judge each completion; see the class.

        Raises:
            VerifierError: The two sequences differ in length.
        """
        check_same_length(completions, reference_answers)
        return [
            self._judge(completion, reference)
            for completion, reference in zip(completions, reference_answers, strict=True)
        ]

    def close(self) -> None:
        """Nothing is held."""

    def agree(self, answer: Number, gold: Number) -> bool:
        """Whether two numbers agree under the options; per cent and millions never do."""
        if (answer.is_percent and gold.scale) or (gold.is_percent and answer.scale):
            return False
        has_decimals = gold.place is not None and gold.place < 0
        needed = min(self._min_digits, 1) if has_decimals else self._min_digits
        return any(
            self._close(*pair, gold_digits=needed)
            for scaled in self._scaled(answer, gold)
            for pair in self._shared(*scaled, answer.is_percent, gold.is_percent)
        )

    def _judge(self, completion: str, reference: str) -> Verdict:
        gold = read_number(reference, accounting=self._accounting)
        if gold is None:
            comma = "; write a decimal comma as a point" if _DECIMAL_COMMA.search(reference) else ""
            return Verdict(
                "unscorable", None, detail=f"reference answer {reference!r} is no number{comma}"
            )
        answer, said = find_number(completion, accounting=self._accounting)
        if answer is None:
            why = (
                "no number in the completion" if said is None else "the answer is no single number"
            )
            return Verdict("scored", 0.0, said, why)
        if self.agree(answer, gold):
            return Verdict("scored", 1.0, said)
        return Verdict("scored", 0.0, said, f"differs from {reference!r}")

    def _scaled(self, answer: Number, gold: Number) -> Iterator[tuple[_Figure, _Figure]]:
        """Both in one unit: with scale words applied, and without if only one has them."""
        plain, plain_gold = _Figure(answer.value, answer.place), _Figure(gold.value, gold.place)
        yield plain.shifted(answer.scale), plain_gold.shifted(gold.scale)
        if self._scale == "optional" and bool(answer.scale) != bool(gold.scale):
            yield plain, plain_gold

    def _shared(
        self, answer: _Figure, gold: _Figure, is_percent: bool, gold_is_percent: bool
    ) -> Iterator[tuple[_Figure, _Figure]]:
        """Both as figures or as shares, as far as the percent rule allows."""
        if self._percent == "exact":
            yield answer.shifted(-2 * is_percent), gold.shifted(-2 * gold_is_percent)
            return
        yield answer, gold
        if self._percent == "marked" and is_percent != gold_is_percent:
            yield answer.shifted(-2 * is_percent), gold.shifted(-2 * gold_is_percent)
        elif self._percent == "either":
            yield answer.shifted(2), gold
            yield answer.shifted(-2), gold

    def _close(self, answer: _Figure, gold: _Figure, *, gold_digits: int) -> bool:
        difference = abs(answer.value - gold.value)
        if difference <= max(self._absolute, self._relative * abs(gold.value)):
            return True
        coarser, needed = gold, gold_digits
        if answer.is_coarser_than(gold):
            if self._rounding == "gold":
                return False
            coarser, needed = answer, self._min_digits
        if self._rounding == "none" or coarser.place is None:
            return False
        # Halfway cases are rounded one way by some and the other way by others: both count.
        unit = Fraction(10) ** coarser.place
        return difference <= unit / 2 and _digits(coarser.value / unit) >= needed


class _Figure(NamedTuple):
    """A value and the power of ten of its last written digit."""

    value: Fraction
    place: int | None

    def shifted(self, power: int) -> _Figure:
        place = None if self.place is None else self.place + power
        return _Figure(self.value * Fraction(10) ** power, place)

    def is_coarser_than(self, other: _Figure) -> bool:
        if self.place is None:
            return False
        return other.place is None or self.place > other.place


def _digits(whole: Fraction) -> int:
    """Number of digits of a whole number; zero has none."""
    return 0 if whole == 0 else len(str(abs(int(whole))))
