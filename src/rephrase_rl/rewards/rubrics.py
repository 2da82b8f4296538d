"""Rubrics: what a judge is asked, and the scale it answers on.

A published text never changes, since scores depend on it: a better one gets a new id, and a golden
test holds the hashes. The form of the verdict and the guard around the graded text are no part of a
rubric; ``judge_prompt`` adds them to every one, so that a user's own file cannot leave them out.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rephrase_rl.errors import VerifierError

QUESTION = "{question}"
REFERENCE_ANSWER = "{reference_answer}"
COMPLETION = "{completion}"
PLACES = (QUESTION, REFERENCE_ANSWER, COMPLETION)
PLACE = re.compile(r"\{[a-z_]+\}")


@dataclass(frozen=True, slots=True)
class Rubric:
    """Instructions to a judge with places for what is graded."""

    rubric_id: str
    """Name with a version, or the path of a user's file."""
    text: str
    """Has ``{completion}`` once and ``{question}``, ``{reference_answer}`` at most once."""
    low: float
    """Worst score, reward 0."""
    high: float
    """Best score, reward 1."""

    def __post_init__(self) -> None:
        places, faults = PLACE.findall(self.text), []
        unknown = sorted(set(places) - set(PLACES))
        if unknown:
            faults.append(f"found the places {', '.join(unknown)}; known are {', '.join(PLACES)}")
        if places.count(COMPLETION) != 1 or len(set(places)) < len(places):
            faults.append(
                f"found the places {', '.join(places) or 'none'}; required: {COMPLETION} once, and "
                "every other place at most once"
            )
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            faults.append(
                f"found the scale {self.low:g} to {self.high:g}; required: two finite numbers, the "
                "smaller one first"
            )
        if faults:
            raise VerifierError(
                f"rubric {self.rubric_id!r} cannot be used; correct these: {'; '.join(faults)}"
            )

    @property
    def shows_question(self) -> bool:
        """Whether the judge has to be told the question."""
        return QUESTION in self.text

    @property
    def shows_reference(self) -> bool:
        """Whether the judge is shown the reference answer."""
        return REFERENCE_ANSWER in self.text

    @property
    def sha256(self) -> str:
        """Hash (hex) of text and scale."""
        content = json.dumps([self.text, self.low, self.high], ensure_ascii=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def reward(self, score: float) -> float:
        """A score of the scale as a reward in [0, 1]."""
        return (score - self.low) / (self.high - self.low)


CORRECTNESS_V1 = Rubric(
    "correctness-v1",
    """Decide whether an answer to a question is correct.

Question:
{question}

Reference answer, which is correct:
{reference_answer}

Answer to grade:
{completion}

Give 1 if the final answer states the same as the reference answer, even if it is worded, ordered or formatted differently. Give 0 if it differs, is incomplete, contradicts itself, offers several answers to choose from, or gives none. Do not solve the question again, and do not reward style, length, confidence or steps: the final answer alone counts.""",  # noqa: E501
    0.0,
    1.0,
)
FREE_TEXT_V1 = Rubric(
    "free_text-v1",
    """Grade a free-text answer to a question by its content.

Question:
{question}

Reference answer, which is correct and complete:
{reference_answer}

Answer to grade:
{completion}

Give a score from 0 to 10. 10: every point of the reference answer is there and nothing contradicts it. 5: about half of its points are there, or all of them beside a serious error. 0: none is there, or the conclusion is the opposite. Additional statements cost nothing if they are right and relevant; false statements cost as much as missing points. Ignore style and length.""",  # noqa: E501
    0.0,
    10.0,
)

_RUBRICS = {rubric.rubric_id: rubric for rubric in (CORRECTNESS_V1, FREE_TEXT_V1)}
_LATEST = {rubric_id.rpartition("-v")[0]: rubric_id for rubric_id in _RUBRICS}


def rubric_ids() -> tuple[str, ...]:
    """Ids of the rubrics that come with the package."""
    return tuple(_RUBRICS)


def get_rubric(name: str, scale: Sequence[float] | None = None) -> Rubric:
    """Return a rubric by id or short name, or read a user's file.

    Args:
        name: ``correctness``, ``free_text``, an id with its version, or the path of a text file.
        scale: Worst and best score. None: the rubric's own; a user's file has none of its own.

    Raises:
        VerifierError: There is no such rubric or file, or its places or scale are not valid.
    """
    shipped = _RUBRICS.get(_LATEST.get(name, name))
    if shipped is not None:
        if scale is not None:
            raise VerifierError(
                f"found a scale for rubric {shipped.rubric_id!r}, which has its own "
                f"({shipped.low:g} to {shipped.high:g}); leave `scale` out"
            )
        return shipped
    path = Path(name).expanduser()
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise VerifierError(
            f"found no rubric {name!r} and no readable text file of that name ({error}); required: "
            f"one of {', '.join(_LATEST)}, or the path of a UTF-8 text file"
        ) from error
    if scale is None or len(scale) != 2:
        raise VerifierError(
            f"rubric {name!r}: found scale {scale}; required: the worst and the best score that "
            "the text asks for, such as `scale: [0, 10]`"
        )
    return Rubric(name, text, float(scale[0]), float(scale[1]))
