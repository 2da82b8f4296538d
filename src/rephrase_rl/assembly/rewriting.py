"""Rewriting of expert solutions by the starting policy, once, before training (SDFT).

Source: arXiv:2402.13669, section 3 (SDFT). Asks, cleans, judges and accepts as the guidance step
does, but for whole data sets and without groups: acceptance rules compare with a rollout of
reward 0.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from accelerate import PartialState
from accelerate.utils import gather_object

from rephrase_rl.assembly.blocks import build_accept_rules, build_source
from rephrase_rl.assembly.prompt_lengths import fit_rewriting_ahead
from rephrase_rl.guidance.blocks import Ask, Score, StepContext
from rephrase_rl.guidance.candidates import cleaned_candidate, refusals
from rephrase_rl.guidance.recording import candidate_record

# At run time too: records.from_json reads the annotations.
from rephrase_rl.records import Candidate, CandidateRecord, Completion, Rollout, RolloutGroup
from rephrase_rl.rewards.context import context_of, verify_in_context
from rephrase_rl.rollout import SamplingSettings
from rephrase_rl.seeding import derive_seed
from rephrase_rl.trainers.trl.prompt_room import room_by_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rephrase_rl.config import GuidanceConfig, RunConfig
    from rephrase_rl.guidance.blocks import AcceptRule, CleanedCompletion
    from rephrase_rl.records import Message, Origin, Problem
    from rephrase_rl.rewards import Verifier
    from rephrase_rl.rollout import TransformersEngine

PROBLEMS_PER_REQUEST = 32
"""Problems that share one random stream. Fixed, so that rewrites do not depend on the number of
processes."""
FAILED_ROLLOUT = Rollout(Completion("", (), finished=False), reward=0.0, correctness=0.0)
"""What a rewrite would replace: acceptance rules ask for it, and here there are no rollouts."""


class Rewriter(NamedTuple):
    """How expert solutions are rewritten; the parts come from the blocks of a method."""

    ask: Callable[[Problem], tuple[Message, ...] | None]
    """P(q, k); None: there is nothing to rewrite."""
    clean: Callable[[str], CleanedCompletion]
    accept: Sequence[AcceptRule]
    judge: Callable[[Sequence[str], Sequence[Problem]], Sequence[Score]]
    """Rewards of texts, one problem for each."""
    max_prompt_tokens: int
    """Limit on P(q, k); beyond it nothing is sampled."""
    origin: Origin = "rephrase"


@dataclass(frozen=True, slots=True)
class RewriteRecord:
    """What became of one problem, as written to ``rewrites.jsonl``."""

    problem_id: str
    outcome: str
    """``accepted``, ``refused``, ``over_length`` (P(q, k) too long) or ``no_expert``."""
    token_ids: tuple[int, ...] = ()
    """Tokens of the first accepted candidate, its end token included."""
    candidates: tuple[CandidateRecord, ...] = ()

    @property
    def num_sampled_tokens(self) -> int:
        """Tokens that were sampled for this problem, refused candidates included."""
        return sum(candidate.num_sampled_tokens for candidate in self.candidates)


def rewrite_problems(
    problems: Sequence[Problem],
    rewriter: Rewriter,
    engine: TransformersEngine,
    settings: SamplingSettings,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[RewriteRecord]:
    """Let the policy rewrite the expert solution of every problem.

    Under several processes each samples its share and all get the whole result, which does not
    depend on their number.

    Args:
        problems: Any problems; those without an expert solution come back as ``no_expert``.
        rewriter: How to ask, clean, judge and accept.
        engine: The policy.
        settings: Candidates per problem ``n``, temperature, nucleus, length limit and seed.
        on_progress: Called with (problems done, problems in all), both of this process.

    Returns:
        One record per problem, in order. The first accepted candidate counts.
    """
    state = PartialState()
    starts = range(0, len(problems), PROBLEMS_PER_REQUEST)
    own = list(starts)[state.process_index :: state.num_processes]
    total = sum(len(problems[start : start + PROBLEMS_PER_REQUEST]) for start in own)
    done: list[tuple[int, list[RewriteRecord]]] = []
    for start in own:
        request = problems[start : start + PROBLEMS_PER_REQUEST]
        seed = derive_seed(settings.seed, "rewrite", start)
        drawn = dataclasses.replace(settings, seed=seed)
        done.append((start, _rewrite_request(request, rewriter, engine, drawn)))
        if on_progress is not None:
            on_progress(sum(len(records) for _, records in done), total)
    gathered: list[tuple[int, list[RewriteRecord]]] = gather_object(done)
    gathered.sort(key=lambda item: item[0])
    return [record for _, records in gathered for record in records]


def count_outcomes(records: Sequence[RewriteRecord]) -> dict[str, int]:
    """Problems by outcome, and candidates by reason of refusal as ``refused/<rule>``.

    Example:
        >>> count_outcomes([RewriteRecord("a", "no_expert"), RewriteRecord("b", "no_expert")])
        {'no_expert': 2}
    """
    outcomes = Counter(record.outcome for record in records)
    reasons = Counter(
        f"refused/{rule}"
        for record in records
        for candidate in record.candidates
        for rule in candidate.refusals
    )
    return dict(sorted(outcomes.items())) | dict(sorted(reasons.items()))


def judge_with(
    verifiers: Sequence[tuple[Verifier, float]], decides: int = 0
) -> Callable[[Sequence[str], Sequence[Problem]], list[Score]]:
    """The run's rewards as a function of texts and their problems.

    Args:
        verifiers: With their weights. A text that none can judge has reward NaN.
        decides: Position of the one that decides failure.
    """

    def judge(texts: Sequence[str], problems: Sequence[Problem]) -> list[Score]:
        if not texts:
            return []
        answers = [problem.reference_answer for problem in problems]
        columns = []
        for verifier, weight in verifiers:
            verdicts = verify_in_context(verifier, texts, answers, context_of(verifier, problems))
            columns.append(([verdict.reward for verdict in verdicts], weight))
        correctness, _ = columns[decides]
        return [
            Score(_total([(rewards[i], weight) for rewards, weight in columns]), correctness[i])
            for i in range(len(texts))
        ]

    return judge


def _total(weighted: Sequence[tuple[float, float]]) -> float:
    scored = [reward * weight for reward, weight in weighted if not math.isnan(reward)]
    return sum(scored) if scored else math.nan


def _rewrite_request(
    problems: Sequence[Problem],
    rewriter: Rewriter,
    engine: TransformersEngine,
    settings: SamplingSettings,
) -> list[RewriteRecord]:
    rewrites = sample_rewrites(problems, rewriter, engine, settings)
    return [_record(problem, made) for problem, made in zip(problems, rewrites, strict=True)]


def asks(
    guidance: GuidanceConfig, config: RunConfig
) -> Callable[[Problem], tuple[Message, ...] | None]:
    """P(q, k) of a problem, from the source that would also serve RL."""
    source = build_source(guidance, config.prompts)
    start = StepContext(step=0, seed=config.seed)

    def ask(problem: Problem) -> tuple[Message, ...] | None:
        draft = source.draft(RolloutGroup(problem, ()), start)
        return draft.messages if isinstance(draft, Ask) else None

    return ask


def build_rewriter(
    config: RunConfig,
    guidance: GuidanceConfig,
    problems: Sequence[Problem],
    engine: TransformersEngine,
    judge: Callable[[Sequence[str], Sequence[Problem]], Sequence[Score]],
) -> Rewriter:
    """How a method would rewrite, prompts limited to what the policy's context has room for.

    Warns of prompts that are left out.

    Args:
        config: Resolved.
        guidance: Its blocks; the source rewrites.
        problems: All that will be asked.
        engine: The policy.
        judge: Rewards of texts.

    Raises:
        ConfigError: The context has no room for a prompt and a whole completion.
        DataError: No P(q, k) fits.
    """
    source: Any = guidance.source
    ask = asks(guidance, config)
    room = room_by_fields(
        {"max_completion_length": config.trainer["max_completion_length"]}, engine.model.config
    )
    return Rewriter(
        ask=ask,
        clean=build_source(guidance, config.prompts).clean,
        accept=build_accept_rules(guidance),
        judge=judge,
        max_prompt_tokens=fit_rewriting_ahead(
            problems, ask, source.max_prompt_tokens, room, engine.render
        ),
    )


def rewriting_settings(
    guidance: GuidanceConfig, config: RunConfig, n: int, seed: int
) -> SamplingSettings:
    """How rewrites are sampled: as rollouts, unless the source says otherwise.

    Args:
        guidance: Its source rewrites.
        config: Resolved.
        n: Rewrites of each problem.
        seed: Of all of them.
    """
    source: Any = guidance.source
    trainer = config.trainer
    return SamplingSettings(
        n=n,
        temperature=trainer["temperature"] if source.temperature is None else source.temperature,
        top_p=trainer["top_p"] if source.top_p is None else source.top_p,
        max_new_tokens=trainer["max_completion_length"],
        seed=seed,
    )


class SampledRewrites(NamedTuple):
    """What came of one problem."""

    prompt: tuple[Message, ...] | None
    """P(q, k), if it was asked."""
    not_asked: str | None
    """Why not: ``over_length`` or ``no_expert``."""
    candidates: tuple[Candidate, ...] = ()
    """Judged; those that may enter have no refusals."""


def sample_rewrites(
    problems: Sequence[Problem],
    rewriter: Rewriter,
    engine: TransformersEngine,
    settings: SamplingSettings,
) -> list[SampledRewrites]:
    """Sample, clean and judge rewrites of problems that share a random stream.

    Args:
        problems: All of one request.
        rewriter: How to ask, clean, judge and accept.
        engine: The policy.
        settings: Its seed is the request's.
    """
    outcomes: dict[int, str] = {}
    asked: dict[int, tuple[Message, ...]] = {}
    for i, problem in enumerate(problems):
        prompt = rewriter.ask(problem)
        if prompt is None:
            outcomes[i] = "no_expert"
        elif len(engine.render(prompt)) > rewriter.max_prompt_tokens:
            outcomes[i] = "over_length"
        else:
            asked[i] = prompt
    sampled = engine.sample(list(asked.values()), settings) if asked else []

    def encode(text: str) -> Sequence[int]:
        token_ids: Sequence[int] = engine.tokenizer.encode(text, add_special_tokens=False)
        return token_ids

    candidates = [
        (i, cleaned_candidate(completion, rewriter.clean, encode, rewriter.origin))
        for i, completions in zip(asked, sampled, strict=True)
        for completion in completions
    ]
    judged = _judge(candidates, problems, rewriter, settings.max_new_tokens)
    return [
        SampledRewrites(asked.get(i), outcomes.get(i), judged.get(i, ()))
        for i in range(len(problems))
    ]


def _judge(
    candidates: Sequence[tuple[int, Candidate]],
    problems: Sequence[Problem],
    rewriter: Rewriter,
    limit: int,
) -> Mapping[int, tuple[Candidate, ...]]:
    """Candidates with rewards and refusals, by position of their problem."""
    worth = [(i, c) for i, c in candidates if c.completion.text.strip()]
    scores = iter(
        rewriter.judge([c.completion.text for _, c in worth], [problems[i] for i, _ in worth])
    )
    judged: dict[int, tuple[Candidate, ...]] = {}
    for i, candidate in candidates:
        scored = candidate
        if candidate.completion.text.strip():
            score = next(scores)
            scored = dataclasses.replace(
                candidate, reward=score.reward, correctness=score.correctness
            )
        against = refusals(scored, FAILED_ROLLOUT, problems[i], rewriter.accept, limit)
        judged[i] = (*judged.get(i, ()), dataclasses.replace(scored, refusals=against))
    return judged


def _record(problem: Problem, made: SampledRewrites) -> RewriteRecord:
    if made.not_asked is not None:
        return RewriteRecord(problem.problem_id, made.not_asked)
    chosen = next((c for c in made.candidates if c.accepted), None)
    return RewriteRecord(
        problem.problem_id,
        "refused" if chosen is None else "accepted",
        () if chosen is None else chosen.completion.token_ids,
        tuple(candidate_record(_not_chosen(c, chosen)) for c in made.candidates),
    )


def _not_chosen(candidate: Candidate, chosen: Candidate | None) -> Candidate:
    """The same, refused if it was acceptable and another one was taken."""
    if candidate is chosen or not candidate.accepted:
        return candidate
    return dataclasses.replace(candidate, refusals=("not_chosen",))
