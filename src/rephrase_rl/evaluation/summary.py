"""From judged samples to a result."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from rephrase_rl.errors import EvaluationError
from rephrase_rl.evaluation.result import EvaluationResult
from rephrase_rl.evaluation.samples import Tally, tallies
from rephrase_rl.statistics import (
    Interval,
    clustered_mean_interval,
    clustered_share_interval,
    maj_at_k,
    pass_at_k,
    pass_hat_k,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rephrase_rl.evaluation.protocol import EvaluationProtocol
    from rephrase_rl.evaluation.samples import EvaluationSample

ValuesByProblem: TypeAlias = Mapping[str, Sequence[float]]
"""Rewards of the samples of each problem; NaN: not scored."""


def summarize_samples(
    samples: Sequence[EvaluationSample], protocol: EvaluationProtocol, *, prompts_sha256: str = ""
) -> EvaluationResult:
    """Aggregate judged samples; also for samples read back from ``samples.jsonl``.

    Intervals treat problems as independent and the samples of one problem as not. Rewards in
    [0, 1] get the clustered score interval, others the t interval; ``Interval.method`` says which.

    Args:
        samples: All samples of all problems.
        protocol: What they were made under.
        prompts_sha256: Hash of what was asked.

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
    values = _values(samples)
    counts = tallies(samples, protocol.failure_reward_threshold)
    several = [k for k in protocol.pass_at_k if k > 1]
    votes = several if any(s.answer for s in samples if s.status == "scored") else []
    statuses = Counter(sample.status for sample in samples)
    return EvaluationResult(
        protocol=protocol,
        num_problems=len(values),
        num_samples=len(samples),
        avg_at_k=_mean_interval(values, protocol.confidence),
        pass_at_k={k: _interval(counts, k, protocol, _some_pass) for k in protocol.pass_at_k},
        pass_hat_k={k: _interval(counts, k, protocol, _all_pass) for k in several},
        maj_at_k={k: _interval(counts, k, protocol, _most_pass) for k in votes},
        avg_at_k_by=_other_intervals(values, protocol),
        by_label=_by_label(samples, protocol.confidence),
        unscorable={status: statuses[status] for status in ("unscorable", "timeout", "error")},
        unscored_problems=sum(all(map(math.isnan, row)) for row in values.values()),
        pass_at_k_left_out={
            k: sum(tally.scored < k for tally in counts.values()) for k in protocol.pass_at_k
        },
        truncated_fraction=sum(not sample.finished for sample in samples) / len(samples),
        generated_tokens=sum(sample.num_tokens for sample in samples),
        samples=tuple(samples),
        prompts_sha256=prompts_sha256,
    )


def _values(samples: Sequence[EvaluationSample]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    for sample in samples:
        scored = sample.status == "scored"
        values.setdefault(sample.problem_id, []).append(sample.value if scored else math.nan)
    return values


def _mean_interval(values: ValuesByProblem, confidence: float) -> Interval:
    rows = list(values.values())
    in_unit_interval = all(math.isnan(v) or 0 <= v <= 1 for row in rows for v in row)
    if in_unit_interval:
        return clustered_share_interval(rows, confidence=confidence)
    return clustered_mean_interval(rows, confidence=confidence)


def _other_intervals(values: ValuesByProblem, protocol: EvaluationProtocol) -> dict[str, Interval]:
    rows, confidence = list(values.values()), protocol.confidence
    return {
        "t": clustered_mean_interval(rows, confidence=confidence),
        "bootstrap": clustered_mean_interval(
            rows, confidence=confidence, method="bootstrap", seed=protocol.seed
        ),
    }


def _by_label(
    samples: Sequence[EvaluationSample], confidence: float
) -> dict[str, dict[str, Interval]]:
    """avg@k of the problems that share a label; kinds and values in alphabetical order."""
    parts: dict[str, dict[str, list[EvaluationSample]]] = {}
    for sample in samples:
        for kind, label in sample.labels.items():
            parts.setdefault(kind, {}).setdefault(label, []).append(sample)
    return {
        kind: {
            label: _mean_interval(_values(of_label), confidence)
            for label, of_label in sorted(labels.items())
        }
        for kind, labels in sorted(parts.items())
    }


def _some_pass(tally: Tally, k: int) -> float:
    return pass_at_k(tally.scored, tally.passed, k)


def _all_pass(tally: Tally, k: int) -> float:
    return pass_hat_k(tally.scored, tally.passed, k)


def _most_pass(tally: Tally, k: int) -> float:
    return maj_at_k(tally.scored, tally.passed, tally.wrong_votes, k)


def _interval(
    counts: Mapping[str, Tally],
    k: int,
    protocol: EvaluationProtocol,
    estimate: Callable[[Tally, int], float],
) -> Interval:
    """Mean over the problems with at least k scored samples."""
    enough = [tally for tally in counts.values() if tally.scored >= k]
    return clustered_share_interval(
        [[estimate(tally, k)] for tally in enough],
        confidence=protocol.confidence,
        max_effective_n=sum(tally.scored for tally in enough),
    )


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
