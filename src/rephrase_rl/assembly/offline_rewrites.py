"""What a rewriting job writes down, and what its lines add up to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

# At run time too: records.from_json reads the annotations.
from rephrase_rl.records import CandidateRecord  # noqa: TC001
from rephrase_rl.statistics import Interval, clustered_share_interval


@dataclass(frozen=True, slots=True)
class OfflineRewrite:
    """One rewrite, judged."""

    candidate: CandidateRecord
    """Text, rewards, refusals, and mean log-probs given q and given P(q, k)."""
    verdict: str
    """``right``, ``wrong``, ``unscorable``, or ``empty``, which nobody judges."""
    leftover_meta: tuple[str, ...]
    """Meta phrases that could not be cut out."""
    copied_share: float
    """Share of its words that lie in the longest passage in common with k."""
    steps_right: int
    """Of the steps that could be checked."""
    steps_found: int


@dataclass(frozen=True, slots=True)
class RewrittenProblem:
    """What became of one problem, as written to ``rewrites.jsonl``."""

    problem_id: str
    question: str
    reference_answer: str
    expert_solution: str | None
    not_asked: str | None
    """Why there is no rewrite: ``no_expert``, or ``over_length`` (P(q, k) is too long)."""
    rewrites: tuple[OfflineRewrite, ...] = ()


@dataclass(frozen=True, slots=True)
class RewritesSummary:
    """Figures of a rewriting job; shares have intervals over problems."""

    problems: int
    not_asked: Mapping[str, int]
    """Problems without a rewrite, by reason."""
    rewrites: int
    verdicts: Mapping[str, int]
    right: Interval
    """Share of the rewrites with a verdict that are right."""
    accepted: Interval
    """Share of all rewrites that no rule refuses."""
    refusals: Mapping[str, int]
    """Rewrites by rule that refuses them; one may have several."""
    removed_meta: int
    """Rewrites from which meta text was cut."""
    leftover_meta: int
    """Rewrites with meta text that could not be cut."""
    median_copied_share: float
    """Of accepted rewrites: words in the longest passage in common with k."""
    steps_right: int
    """Steps of accepted rewrites that could be checked and are right."""
    steps_found: int
    accepted_with_wrong_step: int
    """Accepted rewrites with a wrong step: their right answer may be copied."""
    logp_on_q: float
    """Mean over accepted rewrites of the mean log-prob per token given q (nats)."""
    logp_on_context: float
    """The same given P(q, k)."""
    tokens: int
    """Sampled, meta text and refused rewrites included."""


def summarise_rewrites(problems: Sequence[RewrittenProblem]) -> RewritesSummary:
    """Add up the lines of a rewriting job."""
    rewrites = [rewrite for problem in problems for rewrite in problem.rewrites]
    accepted = [rewrite for rewrite in rewrites if rewrite.candidate.accepted]
    return RewritesSummary(
        problems=len(problems),
        not_asked=_counts(problem.not_asked for problem in problems),
        rewrites=len(rewrites),
        verdicts=_counts(rewrite.verdict for rewrite in rewrites),
        right=clustered_share_interval([[_is_right(r) for r in p.rewrites] for p in problems]),
        accepted=clustered_share_interval(
            [[float(r.candidate.accepted) for r in p.rewrites] for p in problems]
        ),
        refusals=_counts(rule for rewrite in rewrites for rule in rewrite.candidate.refusals),
        removed_meta=sum(bool(rewrite.candidate.removed_meta) for rewrite in rewrites),
        leftover_meta=sum(bool(rewrite.leftover_meta) for rewrite in rewrites),
        median_copied_share=median(r.copied_share for r in accepted) if accepted else math.nan,
        steps_right=sum(rewrite.steps_right for rewrite in accepted),
        steps_found=sum(rewrite.steps_found for rewrite in accepted),
        accepted_with_wrong_step=sum(r.steps_right < r.steps_found for r in accepted),
        logp_on_q=_mean(rewrite.candidate.logp_on_q for rewrite in accepted),
        logp_on_context=_mean(rewrite.candidate.logp_on_context for rewrite in accepted),
        tokens=sum(rewrite.candidate.num_sampled_tokens for rewrite in rewrites),
    )


def _is_right(rewrite: OfflineRewrite) -> float:
    return {"right": 1.0, "wrong": 0.0}.get(rewrite.verdict, math.nan)


def _counts(words: Iterable[str | None]) -> dict[str, int]:
    counted = Counter(word for word in words if word is not None)
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _mean(values: Iterable[float | None]) -> float:
    present = [value for value in values if value is not None]
    return fmean(present) if present else math.nan
