"""From judged samples to a result."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rephrase_rl.errors import EvaluationError

# At run time too: records.from_json reads the annotations.
from rephrase_rl.evaluation.protocol import EvaluationProtocol  # noqa: TC001
from rephrase_rl.records import VerdictStatus  # noqa: TC001
from rephrase_rl.statistics import (
    Interval,
    clustered_mean_interval,
    clustered_share_interval,
    pass_at_k,
)

ValuesByProblem: TypeAlias = Mapping[str, Sequence[float]]
"""Rewards of the samples of each problem; NaN: not scored."""


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


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """What an evaluation found, and under which protocol. JSON through ``records.to_json``."""

    protocol: EvaluationProtocol
    num_problems: int
    num_samples: int
    avg_at_k: Interval
    """Mean over problems of the mean reward of each problem's scored samples."""
    pass_at_k: Mapping[int, Interval]
    """By k: mean over problems of the unbiased estimate, from scored samples."""
    unscorable: Mapping[str, int]
    """Samples without a score, by status: unscorable, timeout, error."""
    unscored_problems: int
    """Problems none of whose samples could be scored; in no mean."""
    pass_at_k_left_out: Mapping[int, int]
    """By k: problems with fewer than k scored samples; not in that pass@k."""
    truncated_fraction: float
    """Share of all samples that were cut off at ``max_new_tokens``."""
    generated_tokens: int
    """Sampled tokens, end tokens included."""
    samples: tuple[EvaluationSample, ...]


def summarize_samples(
    samples: Sequence[EvaluationSample], protocol: EvaluationProtocol
) -> EvaluationResult:
    """Aggregate judged samples; also for samples read back from ``samples.jsonl``.

    Intervals treat problems as independent and the samples of one problem as not. Rewards in
    [0, 1] get the clustered score interval, others the t interval; ``Interval.method`` says which.

    Args:
        samples: All samples of all problems.
        protocol: What they were made under.

    Raises:
        EvaluationError: There are no samples, or the share that could not be scored is above
            ``protocol.max_unscorable_fraction``.
    """
    if not samples:
        raise EvaluationError(
            f"evaluation {protocol.name!r} has no samples, required: at least one problem; check "
            "the benchmark's file and limit"
        )
    _refuse_too_many_unscorable(samples, protocol)
    values: dict[str, list[float]] = {}
    for sample in samples:
        scored = sample.status == "scored"
        values.setdefault(sample.problem_id, []).append(sample.value if scored else math.nan)
    passes: dict[int, Interval] = {}
    left_out: dict[int, int] = {}
    for k in protocol.pass_at_k:
        passes[k], left_out[k] = _pass_interval(values, k, protocol)
    statuses = Counter(sample.status for sample in samples)
    return EvaluationResult(
        protocol=protocol,
        num_problems=len(values),
        num_samples=len(samples),
        avg_at_k=_mean_interval(values, protocol.confidence),
        pass_at_k=passes,
        unscorable={status: statuses[status] for status in ("unscorable", "timeout", "error")},
        unscored_problems=sum(all(map(math.isnan, row)) for row in values.values()),
        pass_at_k_left_out=left_out,
        truncated_fraction=sum(not sample.finished for sample in samples) / len(samples),
        generated_tokens=sum(sample.num_tokens for sample in samples),
        samples=tuple(samples),
    )


def _mean_interval(values: ValuesByProblem, confidence: float) -> Interval:
    rows = list(values.values())
    in_unit_interval = all(math.isnan(v) or 0 <= v <= 1 for row in rows for v in row)
    if in_unit_interval:
        return clustered_share_interval(rows, confidence=confidence)
    return clustered_mean_interval(rows, confidence=confidence)


def _pass_interval(
    values: ValuesByProblem, k: int, protocol: EvaluationProtocol
) -> tuple[Interval, int]:
    """Return the interval of pass@k and the number of problems that had too few scored samples."""
    estimates: list[float] = []
    num_samples = 0
    for row in values.values():
        scored = [value for value in row if not math.isnan(value)]
        if len(scored) < k:
            continue
        passed = sum(value >= protocol.failure_reward_threshold for value in scored)
        estimates.append(pass_at_k(len(scored), passed, k))
        num_samples += len(scored)
    interval = clustered_share_interval(
        [[estimate] for estimate in estimates],
        confidence=protocol.confidence,
        max_effective_n=num_samples,
    )
    return interval, len(values) - len(estimates)


def _refuse_too_many_unscorable(
    samples: Sequence[EvaluationSample], protocol: EvaluationProtocol
) -> None:
    unscored = [sample for sample in samples if sample.status != "scored"]
    if len(unscored) <= protocol.max_unscorable_fraction * len(samples):
        return
    counts = Counter(sample.status for sample in unscored)
    named = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    first = unscored[0]
    raise EvaluationError(
        f"evaluation {protocol.name!r}: {len(unscored)} of {len(samples)} samples could not be "
        f"scored ({named}), required: at most {protocol.max_unscorable_fraction:.0%}; first: "
        f"problem {first.problem_id!r}, reference answer {first.reference_answer!r}, "
        f"{first.detail or 'no detail'}; check the reference answers and the verifier "
        f"({protocol.verifier}), or raise max_unscorable_fraction if that share is expected"
    )
