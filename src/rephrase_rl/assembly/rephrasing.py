"""Rewrites of expert solutions made and judged without training: look before you train.

Asks, cleans, judges and accepts as the guidance step does; every candidate is judged by itself,
against a rollout of reward 0. Resumable as mining is: fixed requests, one line per problem.
"""

from __future__ import annotations

import dataclasses
import math
from contextlib import closing
from typing import TYPE_CHECKING

from rephrase_rl.assembly.blocks import check_steps
from rephrase_rl.assembly.objects import solve_template
from rephrase_rl.assembly.offline import (
    every_problem_once,
    job_settings,
    load_engine,
    refuse_several_processes,
)
from rephrase_rl.assembly.offline_rewrites import (
    OfflineRewrite,
    RewritesSummary,
    RewrittenProblem,
    summarise_rewrites,
)
from rephrase_rl.assembly.problems import problems_of_sets
from rephrase_rl.assembly.rewards_of_sets import build_rewards
from rephrase_rl.assembly.rewriting import (
    PROBLEMS_PER_REQUEST,
    build_rewriter,
    rewriting_settings,
    sample_rewrites,
)
from rephrase_rl.config import config_to_plain, parse_guidance
from rephrase_rl.errors import ConfigError
from rephrase_rl.guidance.candidates import is_empty
from rephrase_rl.guidance.overlap import copied_share
from rephrase_rl.guidance.recording import candidate_record
from rephrase_rl.methods import resolve_config
from rephrase_rl.prompts import render_prompt
from rephrase_rl.records import from_json
from rephrase_rl.rollout.likelihoods import GivenCompletion, completion_logps
from rephrase_rl.runs import collect_manifest
from rephrase_rl.runs.resumable import ResumableJob
from rephrase_rl.seeding import derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rephrase_rl.assembly.rewriting import SampledRewrites
    from rephrase_rl.config import GuidanceConfig, RunConfig
    from rephrase_rl.records import Candidate, Message, Problem
    from rephrase_rl.rollout import SamplingSettings, TransformersEngine

RECORDS = "rewrites.jsonl"


def rephrase(
    config: RunConfig,
    out: Path,
    *,
    samples: int = 1,
    command: Sequence[str] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> RewritesSummary:
    """Rewrite every expert solution, judge, measure, and write one line per problem.

    Called again with the same folder it goes on where it stopped.

    Args:
        config: A run whose source rewrites; its model, data, prompts, rewards, acceptance rules and
            sampling are those of its training.
        out: Folder of the job.
        samples: Rewrites of each problem.
        command: Command line, for the manifest.
        on_progress: Called with (problems done, problems in all).

    Returns:
        Figures over all problems, those of earlier parts included.

    Raises:
        ConfigError: The source does not rewrite, the folder holds a job with other settings, or the
            policy's context has no room for a prompt and a whole completion.
        DataError: The data is not usable, or none of the problems can be asked for a rewrite.
        EngineError: The policy cannot be loaded.
    """
    refuse_several_processes()
    config = resolve_config(config)
    guidance = parse_guidance(config.guidance)
    if guidance.source.kind != "rephrase":
        raise ConfigError(
            f"guidance.source.kind is {guidance.source.kind!r}; required: rephrase, since expert "
            "solutions are to be rewritten; do this: use a method that does, such as repo"
        )
    problems = every_problem_once(config, problems_of_sets(config))
    sampling = rewriting_settings(guidance, config, samples, config.seed)
    settings = {
        **job_settings(config, guidance, problems),
        "samples": samples,
        "rewrite_temperature": sampling.temperature,
        "rewrite_top_p": sampling.top_p,
        "source": config_to_plain(guidance.source),
        "accept": [config_to_plain(rule) for rule in guidance.accept],
    }
    facts = {"job": "rephrasing", "model": config.model.path, "method": config.method}
    manifest = collect_manifest(list(command), config.seed, facts)
    job = ResumableJob.open(out, RECORDS, manifest, settings)
    if len(job.lines()) < len(problems):
        engine = load_engine(config, job)
        _rewrite_missing(problems, (config, guidance), engine, sampling, job, on_progress)
    found = {line["problem_id"]: from_json(RewrittenProblem, line) for line in job.lines()}
    summary = summarise_rewrites([found[problem.problem_id] for problem in problems])
    job.write_summary(summary)
    return summary


def _rewrite_missing(
    problems: Sequence[Problem],
    configured: tuple[RunConfig, GuidanceConfig],
    engine: TransformersEngine,
    sampling: SamplingSettings,
    job: ResumableJob,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    config, guidance = configured
    done = {line["problem_id"] for line in job.lines()}
    temperature = config.trainer["temperature"] or 1.0
    with closing(build_rewards(config, problems)) as rewards:
        rewriter = build_rewriter(config, guidance, problems, engine, rewards.judge)
        for start in range(0, len(problems), PROBLEMS_PER_REQUEST):
            part = problems[start : start + PROBLEMS_PER_REQUEST]
            if any(problem.problem_id not in done for problem in part):
                seed = derive_seed(sampling.seed, "rephrasing", start)
                drawn = dataclasses.replace(sampling, seed=seed)
                made = sample_rewrites(part, rewriter, engine, drawn)
                plain = [
                    render_prompt(problem, solve_template(problem, config.prompts))
                    for problem in part
                ]
                measured = _with_logps(plain, made, engine, temperature)
                lines = [
                    _rewritten(problem, rewrites, candidates, guidance.failure_reward_threshold)
                    for problem, rewrites, candidates in zip(part, made, measured, strict=True)
                ]
                job.append(line for line in lines if line.problem_id not in done)
            if on_progress is not None:
                on_progress(start + len(part), len(problems))


def _with_logps(
    plain: Sequence[tuple[Message, ...]],
    made: Sequence[SampledRewrites],
    engine: TransformersEngine,
    temperature: float,
) -> list[list[Candidate]]:
    """Candidates with the log-probs of their tokens given q and given P(q, k)."""
    wanted = [
        (i, j, candidate)
        for i, rewrites in enumerate(made)
        for j, candidate in enumerate(rewrites.candidates)
        if not is_empty(candidate)
    ]
    q_ids = {i: tuple(engine.render(plain[i])) for i, _, _ in wanted}
    context_ids = {i: tuple(engine.render(made[i].prompt or ())) for i, _, _ in wanted}
    rows = [
        GivenCompletion(ids[i], candidate.completion.token_ids)
        for ids in (q_ids, context_ids)
        for i, _, candidate in wanted
    ]
    logps = completion_logps(engine.model, rows, temperature=temperature)
    measured = [list(rewrites.candidates) for rewrites in made]
    for (i, j, candidate), on_q, on_context in zip(
        wanted, logps[: len(wanted)], logps[len(wanted) :], strict=True
    ):
        measured[i][j] = dataclasses.replace(
            candidate,
            context_ids=context_ids[i],
            logps_on_q=on_q,
            logps_on_context=on_context,
        )
    return measured


def _rewritten(
    problem: Problem, made: SampledRewrites, candidates: Sequence[Candidate], threshold: float
) -> RewrittenProblem:
    return RewrittenProblem(
        problem_id=problem.problem_id,
        question=problem.question,
        reference_answer=problem.reference_answer,
        expert_solution=problem.expert_solution,
        not_asked=made.not_asked,
        rewrites=tuple(_judged(candidate, problem, threshold) for candidate in candidates),
    )


def _judged(candidate: Candidate, problem: Problem, threshold: float) -> OfflineRewrite:
    steps = check_steps(candidate.completion.text, problem)
    return OfflineRewrite(
        candidate=candidate_record(candidate),
        verdict=_verdict(candidate, threshold),
        leftover_meta=candidate.leftover_meta,
        copied_share=copied_share(candidate.completion.text, problem.expert_solution or ""),
        steps_right=steps.valid,
        steps_found=steps.found,
    )


def _verdict(candidate: Candidate, threshold: float) -> str:
    if is_empty(candidate):
        return "empty"
    if math.isnan(candidate.correctness):
        return "unscorable"
    return "right" if candidate.correctness >= threshold else "wrong"
