"""Verifiers for short free text: equal after SQuAD's normalisation, token F1, ROUGE-L.

All three find the answer the same way and differ in how they compare it. ``text_exact`` says right
or wrong; the other two give a share, so with them ``failure_reward_threshold`` decides what failed.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from rephrase_rl.records import Verdict
from rephrase_rl.rewards.boxed import boxed_answer
from rephrase_rl.rewards.plain_text import after_thinking, straight_quotes, undecorated
from rephrase_rl.rewards.protocol import check_same_length
from rephrase_rl.rewards.settings import filled_text, one_of, refuse

AnswerPlace = Literal["auto", "box", "marker", "whole"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_WORD = re.compile(r"\w+")


class TextVerifier:
    """Compares the answer in a completion with the reference answer, both as texts.

    A reference answer of which normalisation leaves nothing is unscorable; a completion without an
    answer scores 0.
    """

    def __init__(
        self,
        compare: Callable[[str, str], float | None],
        answer: AnswerPlace = "auto",
        answer_marker: str = "Answer:",
        name: str = "text",
    ) -> None:
        r"""Set how the answer is found and compared.

        Args:
            compare: (answer, reference answer) -> value in [0, 1], None if the reference answer is
                empty once normalised.
            answer: ``box``: the last ``\boxed{}``; ``marker``: the rest of the line behind the last
                ``answer_marker``; ``whole``: the whole completion behind its thinking; ``auto``:
                the first of these that is there.
            answer_marker: Text before the answer; case does not matter.
            name: Name in metrics and records.

        Raises:
            VerifierError: An option is not valid.
        """
        refuse(
            name,
            [
                *one_of("answer", answer, ("auto", "box", "marker", "whole")),
                *filled_text("answer_marker", answer_marker),
            ],
        )
        self.name = name
        self._compare = compare
        self._place = answer
        self._marker = re.compile(re.escape(answer_marker), re.IGNORECASE)

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

    def _judge(self, completion: str, reference: str) -> Verdict:
        answer = self._answer(completion)
        value = self._compare(answer or "", reference)
        if value is None:
            return Verdict("unscorable", None, detail=f"reference answer {reference!r} has no word")
        if answer is None:
            return Verdict("scored", 0.0, detail=f"no answer in the completion ({self._place})")
        return Verdict("scored", value, answer)

    def _answer(self, completion: str) -> str | None:
        text = after_thinking(completion)
        if self._place in ("auto", "box"):
            boxed = boxed_answer(text)
            if boxed is not None or self._place == "box":
                return None if boxed is None else undecorated(boxed).strip()
        if self._place in ("auto", "marker"):
            markers = list(self._marker.finditer(text))
            if markers:
                line = text[markers[-1].end() :].strip().partition("\n")[0]
                return undecorated(line).strip()
            if self._place == "marker":
                return None
        return text.strip()


def text_exact(
    answer: AnswerPlace = "auto", answer_marker: str = "Answer:", name: str = "text_exact"
) -> TextVerifier:
    """1 if both are equal after SQuAD's normalisation, else 0; options as in ``TextVerifier``."""
    return TextVerifier(exact_match, answer, answer_marker, name)


def text_f1(
    answer: AnswerPlace = "auto", answer_marker: str = "Answer:", name: str = "text_f1"
) -> TextVerifier:
    """F1 of the words that both have, as in SQuAD; options as in ``TextVerifier``."""
    return TextVerifier(token_f1, answer, answer_marker, name)


def rouge_l(
    answer: AnswerPlace = "auto", answer_marker: str = "Answer:", name: str = "rouge_l"
) -> TextVerifier:
    """F1 of the longest common subsequence of words; options as in ``TextVerifier``."""
    return TextVerifier(rouge_l_f1, answer, answer_marker, name)


def normalise_answer(text: str) -> str:
    """SQuAD's normalisation: small letters, without punctuation, English articles, extra blanks.

    Typographic quotes become straight ones first, so that they are punctuation too.

    Example:
        >>> normalise_answer("The friend’s  House!")
        'friends house'
    """
    text = straight_quotes(text).lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def exact_match(answer: str, reference: str) -> float | None:
    """Whether both are equal once normalised; None if nothing is left of the reference answer."""
    wanted = normalise_answer(reference)
    return float(normalise_answer(answer) == wanted) if wanted else None


def token_f1(answer: str, reference: str) -> float | None:
    """Harmonic mean of precision and recall over normalised words, each as often as it occurs."""
    wanted = normalise_answer(reference).split()
    found = normalise_answer(answer).split()
    common = sum((Counter(found) & Counter(wanted)).values())
    return _f1(common, len(found), len(wanted))


def rouge_l_f1(answer: str, reference: str) -> float | None:
    """ROUGE-L (Lin 2004) with beta 1: F1 of the longest common subsequence of words.

    Words are runs of letters and digits in small letters, without stemming; articles count.
    """
    from rapidfuzz.distance import LCSseq

    wanted, found = _WORD.findall(reference.lower()), _WORD.findall(answer.lower())
    return _f1(LCSseq.similarity(found, wanted), len(found), len(wanted))


def _f1(common: int, num_found: int, num_wanted: int) -> float | None:
    """2 P R / (P + R), which is 2 common / (found + wanted); None if nothing is wanted."""
    return 2.0 * common / (num_found + num_wanted) if num_wanted else None
