"""One judged completion, and the counts of a problem's samples that measures are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rephrase_rl.records import VerdictStatus  # noqa: TC001  (from_json reads the annotations)


@dataclass(frozen=True, slots=True)
class EvaluationSample:
    """One completion of one problem with its verdict, as written to ``samples.jsonl``."""

    problem_id: str
    sample: int
    """Number of the sample within its problem, from 0."""
    text: str
    """What the policy wrote."""
    status: VerdictStatus
    value: float
    """Reward; NaN (null in JSON) unless ``status`` is scored."""
    answer: str | None
    """As extracted from the text; None if there was none."""
    reference_answer: str
    num_tokens: int
    finished: bool
    """Whether the policy ended by itself rather than at ``max_new_tokens``."""
    detail: str = ""
    """Why the verdict, in the verifier's words."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What results are also told apart by: ``subject``, ``difficulty``, as the benchmark has
    them."""


class Tally(NamedTuple):
    """The scored samples of one problem, counted."""

    scored: int
    passed: int
    wrong_votes: tuple[int, ...]
    """How many samples stand behind each wrong answer; those without an answer are left out."""


def tallies(samples: Iterable[EvaluationSample], threshold: float) -> dict[str, Tally]:
    """Count the samples of each problem, by problem id in the order of the samples.

    Args:
        samples: Of any problems, in any order.
        threshold: A sample passes if its value is at least this.
    """
    scored: dict[str, list[EvaluationSample]] = {}
    for sample in samples:
        rows = scored.setdefault(sample.problem_id, [])
        if sample.status == "scored":
            rows.append(sample)
    return {name: _tally(rows, threshold) for name, rows in scored.items()}


def _tally(samples: list[EvaluationSample], threshold: float) -> Tally:
    failed = [sample for sample in samples if not sample.value >= threshold]
    votes = Counter(" ".join(s.answer.split()) for s in failed if s.answer and s.answer.strip())
    return Tally(len(samples), len(samples) - len(failed), tuple(votes.values()))
