r"""Verifier for multiple choice: the letter that a completion chooses against the right one.

The letter may be boxed, stated or alone on the last line, or the option's own text may stand for
it. Which options there are comes with the problem (``metadata["options"]``), in the order in which
the question shows them, so a data set with shuffled options needs no more than its own letters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rephrase_rl.records import Verdict
from rephrase_rl.rewards.choice_reading import read_choice
from rephrase_rl.rewards.option_texts import UNKNOWN_OPTIONS, Options, read_options
from rephrase_rl.rewards.protocol import check_same_length

OPTIONS = "options"
"""Column, or key of a problem's metadata, that holds the options' texts."""

_GOLD = re.compile(r"\s*\(?\s*([A-Ja-j])\s*[).:]?\s*")


class ChoiceVerifier:
    r"""Scores 1 if the completion's last statement names the right option, and no other one.

    The reference answer is a letter from A to J, or, where the options are known, the text of one
    of them. Unscorable: it is neither, its letter has no option, or the options are no list of 2
    to 10 texts. A completion that chooses nothing, or several options, scores 0.

    Example:
        >>> ChoiceVerifier().verify(["Not (A): too small. The answer is (B)."], ["B"])[0].value
        1.0
    """

    context_columns = (OPTIONS,)

    def __init__(self, name: str = "choice") -> None:
        """Args: name, in metrics and records."""
        self.name = name

    def verify(self, completions: Sequence[str], reference_answers: Sequence[str]) -> list[Verdict]:
        """Judge each completion without knowing the options' texts.

        Raises:
            VerifierError: The two sequences differ in length.
        """
        return self.verify_in_context(completions, reference_answers, {})

    def verify_in_context(
        self,
        completions: Sequence[str],
        reference_answers: Sequence[str],
        context: Mapping[str, Sequence[Any]],
    ) -> list[Verdict]:
        """Judge each completion; ``context`` may have the column ``options``.

        Raises:
            VerifierError: The sequences differ in length.
        """
        options = context.get(OPTIONS) or [None] * len(completions)
        check_same_length(completions, reference_answers)
        check_same_length(completions, options)
        return [
            _judge(completion, reference, read_options(found))
            for completion, reference, found in zip(
                completions, reference_answers, options, strict=True
            )
        ]

    def close(self) -> None:
        """Nothing is held."""


def _judge(completion: str, reference: str, options: Options | str) -> Verdict:
    if isinstance(options, str):
        return Verdict("unscorable", None, detail=options)
    right = _gold_letter(reference, options)
    if right is None:
        known = "" if options is UNKNOWN_OPTIONS else f" of {len(options.texts)} options"
        return Verdict("unscorable", None, detail=f"reference answer {reference!r} is none{known}")
    choice = read_choice(completion, options)
    if choice.letter is None:
        return Verdict("scored", 0.0, choice.said, choice.why_none)
    if choice.letter == right:
        return Verdict("scored", 1.0, choice.letter)
    return Verdict("scored", 0.0, choice.letter, f"differs from {right!r}")


def _gold_letter(reference: str, options: Options) -> str | None:
    letter = _GOLD.fullmatch(reference)
    if letter is not None and letter[1].upper() in options.letters:
        return letter[1].upper()
    return options.letter_of(reference)
