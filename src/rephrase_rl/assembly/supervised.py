"""Supervised runs: the same configuration, data, evaluation and run directory as RL runs.

``sft`` learns the expert's texts, ``rewrite_sft`` (SDFT, arXiv:2402.13669) what the starting policy
makes of them in its own words.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from accelerate import PartialState

from rephrase_rl.assembly.adapters import new_adapter, record_adapter
from rephrase_rl.assembly.benchmark_lengths import refuse_long_evaluations
from rephrase_rl.assembly.benchmarks import load_benchmarks
from rephrase_rl.assembly.guarding import hang_watches, run_guards
from rephrase_rl.assembly.in_training import PolicyEvaluations
from rephrase_rl.assembly.mixture import refuse_gates_of_sets
from rephrase_rl.assembly.objects import solve_template
from rephrase_rl.assembly.precision import precision_fields
from rephrase_rl.assembly.problems import training_problems
from rephrase_rl.assembly.provenance import provenance
from rephrase_rl.assembly.resuming import open_run
from rephrase_rl.assembly.rewards_of_sets import build_rewards
from rephrase_rl.assembly.rewriting import (
    RewriteRecord,
    build_rewriter,
    count_outcomes,
    rewrite_problems,
    rewriting_settings,
)
from rephrase_rl.assembly.run_parts import (
    Recorder,
    RunRequest,
    RunSummary,
    conduct,
    load_start,
    run_manifest,
    starting_model,
)
from rephrase_rl.config import all_benchmarks
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.prompts import render_prompt
from rephrase_rl.records import from_json
from rephrase_rl.rollout import TransformersEngine
from rephrase_rl.rollout.context_length import context_of
from rephrase_rl.runs import RunDirectory, atomic, jsonl
from rephrase_rl.seeding import derive_seed
from rephrase_rl.trainers.trl.callbacks import StepReporter
from rephrase_rl.trainers.trl.supervised import (
    SupervisedText,
    SupervisedTrainer,
    encode_text,
    supervised_dataset,
)
from rephrase_rl.trainers.trl.supervised_arguments import supervised_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from rephrase_rl.config import GuidanceConfig, RunConfig
    from rephrase_rl.records import JSON, Problem
    from rephrase_rl.rollout import LoadedPolicy
    from rephrase_rl.trainers.trl.supervised_arguments import SupervisedArguments

REWRITES = "rewrites.jsonl"
"""File of a run directory with one ``RewriteRecord`` per problem."""


@dataclass(frozen=True, slots=True)
class TrainingTexts:
    """The texts of a supervised run, and what became of every problem."""

    texts: tuple[SupervisedText, ...]
    counts: dict[str, int]
    """Problems by fate: ``expert_text``, ``rewrite``, ``no_expert``, ``over_length``, ``refused``;
    the first two are trained on."""


class Rewrites(NamedTuple):
    """What the starting policy made of the expert solutions."""

    records: list[RewriteRecord]
    """One per problem."""
    seconds: float
    """What making them took; it belongs to the time of training."""


def supervised_run(request: RunRequest, guidance: GuidanceConfig) -> RunSummary:
    """Train, evaluate and record one supervised run; see ``train_run``.

    Args:
        request: With a resolved configuration.
        guidance: Its blocks; ``slot.kind`` is ``dataset``.

    Raises:
        ConfigError: The configuration is not valid.
        DataError: No problem has a text that can be trained on.
    """
    config = request.config
    refuse_unused(guidance)
    refuse_gates_of_sets(config)
    problems = training_problems(config)
    benchmarks = load_benchmarks(all_benchmarks(config))
    policy, start = load_start(config, for_training=True)
    adapter = new_adapter(starting_model(config), policy.model)
    arguments = supervised_arguments(
        {**config.trainer, **precision_fields(request, policy.model)},
        output_dir=str(request.run_path / "checkpoints"),
        seed=config.seed,
    )
    # What can be refused is refused before the run directory is touched.
    refuse_long_evaluations(benchmarks, config, policy.tokenizer, context_of(policy.model.config))
    if guidance.source.kind == "expert_text":
        training_texts(problems, config, arguments, policy.tokenizer)
    extra = {
        **start,
        **provenance(config, problems, benchmarks, policy),
        "unused_trainer_fields": _unused_fields(arguments, guidance),
    }
    run, checkpoint = open_run(request, run_manifest(request, arguments.sft, problems, extra))
    rewrites = Rewrites([], 0.0)
    if guidance.source.kind == "rephrase":
        rewrites = _make_rewrites(request, guidance, problems, policy, arguments)
    slot: Any = guidance.slot
    made = training_texts(
        problems, config, arguments, policy.tokenizer, rewrites.records, slot.fallback
    )
    if run is not None:
        counts: dict[str, JSON] = {"training_texts": made.counts}
        if rewrites.records:
            counts["rewriting"] = count_outcomes(rewrites.records)
            counts["rewriting_s"] = rewrites.seconds
        run.update_manifest(counts)
        _say_what_is_left_out(made, config)
    recorder = Recorder(run, config.log.groups, request.on_step, untimed_s=rewrites.seconds)
    trainer = SupervisedTrainer(
        policy.model,
        arguments,
        supervised_dataset(made.texts, policy.tokenizer, arguments.chat_template_kwargs),
        policy.tokenizer,
        sampled_tokens=sum(record.num_sampled_tokens for record in rewrites.records),
        guards=run_guards(request),
        callbacks=[StepReporter(recorder.keep_step), *hang_watches(request)],
        peft_config=adapter,
    )
    record_adapter(run, config.model, trainer.model)
    evaluate_at = PolicyEvaluations(
        config, trainer, policy.tokenizer, benchmarks, run, request.on_progress
    )
    return conduct(request, trainer, recorder, evaluate_at, checkpoint)


def refuse_unused(guidance: GuidanceConfig) -> None:
    """Refuse blocks that a data set has no use for, rather than ignore them.

    Raises:
        ConfigError: With all faults.
    """
    source: Any = guidance.source
    faults = []
    if guidance.gate.kind != "always":
        faults.append(
            f"guidance.gate.kind is {guidance.gate.kind!r}; there are no rollouts to decide by: "
            "set it to always"
        )
    if source.kind == "expert_text" and source.over_length != "refuse":
        faults.append(
            f"guidance.source.over_length is {source.over_length!r}; no text is cut for supervised "
            "training: set it to refuse"
        )
    if source.kind == "expert_text" and guidance.accept:
        faults.append(
            f"guidance.accept has {len(guidance.accept)} rules, and expert texts are taken as they "
            "are: leave it empty"
        )
    if source.kind == "rephrase" and (source.choice != "first" or source.cache_steps):
        faults.append(
            f"guidance.source has choice {source.choice!r} and cache_steps {source.cache_steps}; "
            "the first acceptable rewrite is taken, once: set them to first and 0"
        )
    if faults:
        raise ConfigError("guidance does not fit slot.kind 'dataset'", faults)


def training_texts(
    problems: Sequence[Problem],
    config: RunConfig,
    arguments: SupervisedArguments,
    tokenizer: Any,
    rewrites: Sequence[RewriteRecord] = (),
    fallback: str = "expert",
) -> TrainingTexts:
    """Choose the text of every problem; nothing is cut, what does not fit is left out and counted.

    Args:
        problems: Of the run.
        config: For the solve templates.
        arguments: For the length limit.
        tokenizer: The policy's.
        rewrites: One per problem; empty: the expert's texts themselves.
        fallback: For problems without an accepted rewrite: ``expert`` takes the expert's text,
            ``skip`` nothing.

    Raises:
        DataError: No text is left.
    """
    limit = arguments.max_completion_tokens
    counts: Counter[str] = Counter()
    texts = []
    for i, problem in enumerate(problems):
        fate, token_ids = _text_of(problem, rewrites[i] if rewrites else None, fallback, tokenizer)
        if token_ids is not None and limit is not None and len(token_ids) > limit:
            fate, token_ids = "over_length", None
        counts[fate] += 1
        if token_ids is not None:
            prompt = render_prompt(problem, solve_template(problem, config.prompts))
            texts.append(SupervisedText(prompt, token_ids))
    if not texts:
        raise DataError(
            f"none of the {len(problems)} problems has a text to train on "
            f"({_listed(counts)}; trainer.max_completion_length is {limit} tokens): raise that "
            "limit, or use other data"
        )
    return TrainingTexts(tuple(texts), dict(sorted(counts.items())))


def _text_of(
    problem: Problem, rewrite: RewriteRecord | None, fallback: str, tokenizer: Any
) -> tuple[str, tuple[int, ...] | None]:
    """What becomes of a problem, and the tokens of its text if it has one."""
    if problem.expert_solution is None:
        return "no_expert", None
    if rewrite is not None and rewrite.token_ids:
        return "rewrite", rewrite.token_ids
    if rewrite is not None and fallback == "skip":
        return "refused", None
    return "expert_text", encode_text(tokenizer, problem.expert_solution)


def _unused_fields(arguments: SupervisedArguments, guidance: GuidanceConfig) -> list[str]:
    """Fields of the trainer section that decide nothing; rewriting samples as rollouts would."""
    sampling = ("temperature", "top_p") if guidance.source.kind == "rephrase" else ()
    return [name for name in arguments.unused if name not in sampling]


def _say_what_is_left_out(made: TrainingTexts, config: RunConfig) -> None:
    left_out = {
        fate: count for fate, count in made.counts.items() if fate not in ("expert_text", "rewrite")
    }
    if left_out:
        warnings.warn(
            f"{sum(left_out.values())} of {sum(made.counts.values())} problems are not trained on "
            f"({_listed(left_out)}); trainer.max_completion_length is "
            f"{config.trainer.get('max_completion_length')} tokens",
            stacklevel=3,
        )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{fate}: {count}" for fate, count in counts.items())


def _make_rewrites(
    request: RunRequest,
    guidance: GuidanceConfig,
    problems: Sequence[Problem],
    policy: LoadedPolicy,
    arguments: SupervisedArguments,
) -> Rewrites:
    """Rewrite all expert solutions, or read what an earlier part of a resumed run made."""
    config = request.config
    file = request.run_path / REWRITES
    if request.resume and file.is_file():
        earlier = RunDirectory.open(request.run_path).manifest.get("rewriting_s") or 0.0
        return Rewrites([from_json(RewriteRecord, row) for row in jsonl.read_lines(file)], earlier)
    started = time.perf_counter()
    source: Any = guidance.source
    rewards = build_rewards(config, problems)
    if not config.model.load_in_4bit:  # then it is there already, and moving it is refused
        policy.model.to(arguments.sft.device)
    engine = TransformersEngine(
        policy.model, policy.tokenizer, chat_template_kwargs=arguments.chat_template_kwargs
    )
    settings = rewriting_settings(
        guidance, config, source.num_candidates, derive_seed(config.seed, "rewriting")
    )
    on_progress = request.on_progress
    try:
        rewriter = build_rewriter(config, guidance, problems, engine, rewards.judge)
        records = rewrite_problems(
            problems,
            rewriter,
            engine,
            settings,
            on_progress=on_progress and (lambda done, total: on_progress("rewriting", done, total)),
        )
    finally:
        rewards.close()
    if PartialState().is_main_process:
        with atomic.replacing(file) as lines:
            for record in records:
                lines.write(jsonl.encode(record) + b"\n")
    return Rewrites(records, time.perf_counter() - started)
