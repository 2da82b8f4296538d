"""Pass rates of problems under a policy, and the subset that is hard for it.

Problems are sampled in fixed requests of neighbours, each under a random stream of its own, and
every finished problem is one line of ``problems.jsonl``. A job that was killed samples the request
it was in again and finds the same samples, so its result does not depend on where it stopped.
"""

from __future__ import annotations

import dataclasses
import math
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.assembly.objects import load_data, solve_template
from rephrase_rl.assembly.offline import (
    every_problem_once,
    job_settings,
    load_engine,
    load_vllm,
    refuse_several_processes,
)
from rephrase_rl.assembly.rewards_of_sets import build_rewards
from rephrase_rl.config import parse_guidance
from rephrase_rl.data.writing import METADATA, canonical_row, write_parquet
from rephrase_rl.errors import ConfigError
from rephrase_rl.methods import resolve_config
from rephrase_rl.prompts import render_prompt
from rephrase_rl.records import from_json, to_json
from rephrase_rl.rollout import SamplingSettings
from rephrase_rl.runs import collect_manifest
from rephrase_rl.runs.resumable import ResumableJob
from rephrase_rl.seeding import derive_seed
from rephrase_rl.statistics import Interval, clustered_share_interval, pass_rate_interval
from rephrase_rl.trainers.trl.anticipation import PASS_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rephrase_rl.assembly.engines import EngineName
    from rephrase_rl.config import RunConfig
    from rephrase_rl.guidance.blocks import Score
    from rephrase_rl.records import JSON, Completion, Message, Problem
    from rephrase_rl.rollout import Engine

RECORDS = "problems.jsonl"
ALL_PROBLEMS = "pass_rates.parquet"
HARD_PROBLEMS = "hard.parquet"
ROWS_PER_REQUEST: dict[EngineName, int] = {"transformers": 128, "vllm": 4096}
"""Samples that share a random stream, and that a killed job loses at most; vLLM is fast where it
has many at once."""


@dataclass(frozen=True, slots=True)
class MinedProblem:
    """What became of the samples of one problem."""

    problem_id: str
    pass_rate: float
    """Share of the scored samples that pass; NaN if none could be scored."""
    low: float
    """Ends of Wilson's 95 % interval of the rate."""
    high: float
    samples: int
    passed: int
    unscorable: int
    """Samples that the verifier could not judge: neither passed nor failed."""
    truncated: int
    """Samples cut off at the length limit; they are judged as they are."""
    tokens: int
    """Sampled for this problem."""

    @property
    def scored(self) -> int:
        """Samples that could be judged."""
        return self.samples - self.unscorable


@dataclass(frozen=True, slots=True)
class MiningSummary:
    """Outcome of a mining job."""

    path: Path
    problems: int
    samples_per_problem: int
    chosen: int
    """Problems whose rate lies in the range, ends included."""
    low: float
    """Lower end of the range."""
    high: float
    never_passed: int
    always_passed: int
    without_rate: int
    """Problems none of whose samples could be scored."""
    unscorable_samples: int
    truncated_samples: int
    tokens: int
    pass_rate: Interval
    """Mean over problems, with an interval over problems."""


def mine(
    config: RunConfig,
    out: Path,
    *,
    samples: int = 8,
    pass_range: tuple[float, float] = (0.0, 0.25),
    engine: EngineName = "transformers",
    command: Sequence[str] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> MiningSummary:
    """Sample every problem, judge, and write pass rates and the problems of a range.

    Asks, samples and judges as training with this configuration does. Called again with the same
    folder it goes on where it stopped; another range costs no sampling.

    Args:
        config: Model, data, prompts, rewards, and of ``trainer`` temperature, top_p,
            max_completion_length and chat_template_kwargs.
        out: Folder of the job.
        samples: Per problem.
        pass_range: Lowest and highest pass rate of a chosen problem.
        engine: What samples, both in ``model.dtype``; of vllm see ``offline.load_vllm``.
        command: Command line, for the manifest.
        on_progress: Called with (samples drawn, samples in all).

    Raises:
        ConfigError: The range is none, or the folder holds a job with other settings.
        DataError: The data is not usable.
        EngineError: The policy cannot be loaded, or a prompt does not fit.
    """
    _check_range(*pass_range)
    refuse_several_processes()
    config = resolve_config(config)
    guidance = parse_guidance(config.guidance)
    problems = every_problem_once(config, [load_data(data) for data in config.data])
    settings = {**job_settings(config, guidance, problems), "samples": samples}
    if engine != "transformers":  # jobs from before there was a choice go on
        settings["engine"] = engine
    facts = {"job": "mining", "model": config.model.path, "method": config.method}
    manifest = collect_manifest(list(command), config.seed, facts)
    job = ResumableJob.open(out, RECORDS, manifest, settings)
    done = {line["problem_id"] for line in job.lines()}
    if len(done) < len(problems):
        asking = _Asking(
            [
                render_prompt(problem, solve_template(problem, config.prompts))
                for problem in problems
            ],
            SamplingSettings(
                n=samples,
                temperature=config.trainer["temperature"],
                top_p=config.trainer["top_p"],
                max_new_tokens=config.trainer["max_completion_length"],
                seed=config.seed,
            ),
            guidance.failure_reward_threshold,
            ROWS_PER_REQUEST[engine],
        )
        policy = (load_vllm if engine == "vllm" else load_engine)(config, job)
        policy.refuse_long(asking.prompts, asking.settings.max_new_tokens)
        with closing(build_rewards(config, problems)) as rewards:
            _sample(problems, asking, policy, rewards.judge, job, on_progress)
    mined = {line["problem_id"]: from_json(MinedProblem, line) for line in job.lines()}
    return _write(problems, mined, job, samples, pass_range)


@dataclass(frozen=True, slots=True)
class _Asking:
    """How the problems are asked, and what passes."""

    prompts: list[tuple[Message, ...]]
    settings: SamplingSettings
    """Its seed is the job's; each request has one of its own."""
    threshold: float
    rows_per_request: int


def _check_range(low: float, high: float) -> None:
    if not 0 <= low <= high <= 1:
        raise ConfigError(
            f"found the range of pass rates {low} to {high}; required: 0 <= low <= high <= 1, both "
            "ends included; do this: correct --low and --high"
        )


def _sample(
    problems: Sequence[Problem],
    asking: _Asking,
    engine: Engine,
    judge: Callable[[Sequence[str], Sequence[Problem]], Sequence[Score]],
    job: ResumableJob,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    """Sample and judge what is missing; one line per problem."""
    settings = asking.settings
    done = {line["problem_id"] for line in job.lines()}
    total = len(problems) * settings.n
    size = max(1, asking.rows_per_request // settings.n)
    for start in range(0, len(problems), size):
        part = problems[start : start + size]
        if all(problem.problem_id in done for problem in part):
            continue
        drawn = dataclasses.replace(settings, seed=derive_seed(settings.seed, "mining", start))
        sampled = engine.sample(
            asking.prompts[start : start + size],
            drawn,
            on_progress=_shifted(on_progress, start * settings.n, total),
        )
        lines = _judged(part, sampled, judge, asking.threshold)
        # A part of the lines of this request may have been written before the job was killed.
        job.append(line for line in lines if line.problem_id not in done)


def _shifted(
    on_progress: Callable[[int, int], None] | None, before: int, total: int
) -> Callable[[int, int], None] | None:
    """Progress of one request as progress of the job."""
    if on_progress is None:
        return None
    return lambda done, _: on_progress(before + done, total)


def _judged(
    problems: Sequence[Problem],
    sampled: Sequence[Sequence[Completion]],
    judge: Callable[[Sequence[str], Sequence[Problem]], Sequence[Score]],
    threshold: float,
) -> list[MinedProblem]:
    rows = [
        (problem, completion)
        for problem, completions in zip(problems, sampled, strict=True)
        for completion in completions
    ]
    scores = iter(judge([c.text for _, c in rows], [p for p, _ in rows]))
    return [
        mined_problem(problem, completions, [next(scores) for _ in completions], threshold)
        for problem, completions in zip(problems, sampled, strict=True)
    ]


def mined_problem(
    problem: Problem,
    completions: Sequence[Completion],
    scores: Sequence[Score],
    threshold: float,
) -> MinedProblem:
    """Count the samples of one problem.

    Args:
        problem: Whose they are.
        completions: All of them.
        scores: One for each; correctness NaN is unscorable.
        threshold: A sample passes if its correctness is at least this.
    """
    correctness = [score.correctness for score in scores]
    unscorable = sum(math.isnan(value) for value in correctness)
    passed = sum(value >= threshold for value in correctness)
    interval = pass_rate_interval(passed, len(completions) - unscorable)
    return MinedProblem(
        problem_id=problem.problem_id,
        pass_rate=interval.mean,
        low=interval.low,
        high=interval.high,
        samples=len(completions),
        passed=passed,
        unscorable=unscorable,
        truncated=sum(not completion.finished for completion in completions),
        tokens=sum(len(completion.token_ids) for completion in completions),
    )


def _write(
    problems: Sequence[Problem],
    mined: dict[str, MinedProblem],
    job: ResumableJob,
    samples: int,
    pass_range: tuple[float, float],
) -> MiningSummary:
    """Both tables and the summary, from the lines."""
    low, high = pass_range
    rows = [mined[problem.problem_id] for problem in problems]
    # NaN lies in no range.
    is_chosen = [low <= row.pass_rate <= high for row in rows]
    write_parquet(
        job.path / ALL_PROBLEMS,
        [
            {
                **to_json(row),
                "scored": row.scored,
                "task_kind": problem.task_kind,
                "dataset": problem.dataset or None,
                "chosen": chosen,
            }
            for row, problem, chosen in zip(rows, problems, is_chosen, strict=True)
        ],
    )
    hard = [
        hard_row(problem, row)
        for row, problem, chosen in zip(rows, problems, is_chosen, strict=True)
        if chosen
    ]
    if hard:
        write_parquet(job.path / HARD_PROBLEMS, hard)
    else:
        (job.path / HARD_PROBLEMS).unlink(missing_ok=True)
    values = [[1.0] * row.passed + [0.0] * (row.scored - row.passed) for row in rows]
    summary = MiningSummary(
        path=job.path,
        problems=len(rows),
        samples_per_problem=samples,
        chosen=len(hard),
        low=low,
        high=high,
        never_passed=sum(row.pass_rate == 0 for row in rows),
        always_passed=sum(row.pass_rate == 1 for row in rows),
        without_rate=sum(math.isnan(row.pass_rate) for row in rows),
        unscorable_samples=sum(row.unscorable for row in rows),
        truncated_samples=sum(row.truncated for row in rows),
        tokens=sum(row.tokens for row in rows),
        pass_rate=clustered_share_interval(values),
    )
    job.write_summary({**to_json(summary), "path": None})
    return summary


def hard_row(problem: Problem, mined: MinedProblem) -> dict[str, JSON]:
    """A row that training reads: the canonical columns and the pass rate."""
    row = canonical_row(problem)
    # Problems that were mined before bring their old rate along as metadata.
    metadata = {key: value for key, value in problem.metadata.items() if key != PASS_RATE}
    if problem.dataset:
        metadata.setdefault("dataset", problem.dataset)
    return {**row, METADATA: metadata, PASS_RATE: mined.pass_rate}
