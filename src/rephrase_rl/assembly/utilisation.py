"""Hard-sample utilisation: what a run has really learned of the problems it failed at first.

A problem that began all failed and passes once later may have been lucky. Here the final and the
starting policy answer the same such problems with equally many fresh samples, unguided, so the luck
is on both sides and the difference is what training has given.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.assembly.evaluating import (
    EvaluationSetting,
    result_json,
)
from rephrase_rl.assembly.mixture import named_after
from rephrase_rl.assembly.objects import (
    build_judge,
    load_data,
    load_model_to_sample,
    solve_template,
)
from rephrase_rl.assembly.policies import resolve_policy_path
from rephrase_rl.assembly.run_parts import starting_model
from rephrase_rl.config import deciding_reward, load_config, parse_guidance, require_trust
from rephrase_rl.data import data_fingerprint
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.evaluation import EvaluationProtocol, evaluate
from rephrase_rl.guidance.ledger import Ledger
from rephrase_rl.methods import resolve_config
from rephrase_rl.records import to_json
from rephrase_rl.rollout import TransformersEngine
from rephrase_rl.runs import RunDirectory
from rephrase_rl.seeding import derive_seed

# At run time too: records.from_json reads the annotations.
from rephrase_rl.statistics import (
    Interval,
    clustered_mean_interval,
    clustered_share_interval,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from rephrase_rl.config import ModelConfig, RunConfig
    from rephrase_rl.evaluation import EvaluationResult
    from rephrase_rl.records import JSON, Problem
    from rephrase_rl.rewards import Verifier

RESULT_NAME = "hard-sample-utilisation"
"""Start of the name of the two evaluations; ``-k8`` follows for 8 samples."""


@dataclass(frozen=True, slots=True)
class Utilisation:
    """Final against starting policy on problems that began all failed, at equal draws.

    Intervals of the levels are clustered score intervals; those of the gains are percentile
    bootstrap intervals over problems, which have no width where every problem gains the same. A
    problem none of whose samples could be scored under one of the policies is left out of the gain.
    """

    num_problems: int
    """Problems asked, each once however often it was visited."""
    num_hard_problems: int
    """Initially all-failed problems of the run; more than ``num_problems`` if limited."""
    samples_per_problem: int
    step: int
    """Optimiser steps that the final policy has had."""
    seed: int
    solved: Interval
    """Share of problems of which at least one sample passes, final policy."""
    base_solved: Interval
    """The same for the starting policy: what luck alone gives."""
    solved_gain: Interval
    """Their difference over the same problems: the utilisation."""
    accuracy: Interval
    """Mean share of samples that pass, final policy."""
    base_accuracy: Interval
    accuracy_gain: Interval


def hard_sample_utilisation(
    run_path: str | os.PathLike[str],
    samples_per_problem: int = 8,
    *,
    seed: int | None = None,
    limit: int | None = None,
    trust: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Utilisation:
    """Ask both policies of a finished run the problems that began all failed, and store the answer.

    Sampling is as for the rollouts of training (template, temperature, top_p, length limit,
    verifier, failure threshold) with the same seed for both policies. The two results are written
    as evaluations ``hard-sample-utilisation-k<K>`` of step 0 and of the last step, the latter with
    this summary; earlier ones with the same k are replaced.

    Args:
        run_path: Run directory with its final policy and all groups.
        samples_per_problem: Fresh completions per problem and policy, K.
        seed: Of the sampling, the choice under ``limit`` and the bootstrap; None: the run's.
        limit: Most problems to ask, drawn at random; None: all.
        trust: Whether code and endpoints may be used that the run's configuration names.
        on_progress: Called with (``final`` or ``start``, completions done, asked for).

    Raises:
        CheckpointError: There is no run, or it has no final policy.
        ConfigError: The configuration names code or endpoints and is not trusted, the run did not
            keep all groups, or the problems are of several task kinds.
        DataError: No problem began all failed, or the training data is no longer the same.
        EvaluationError: Too many samples could not be scored.
    """
    run = RunDirectory.open(run_path)
    config = resolve_config(load_config(run.path / "config.yaml"))
    if not trust:
        require_trust(config, run.path)
    final = resolve_policy_path(str(run.path))
    seed = config.seed if seed is None else seed
    hard = _hard_problems(run, config)
    chosen = _sample(hard, limit, derive_seed(seed, RESULT_NAME, "problems"))
    verifier = _correctness_verifier(config, chosen)
    protocol = _protocol(config, chosen, verifier, samples_per_problem, seed)
    final_model = config.model.model_copy(
        update={"path": final, "revision": None, "gguf_file": None}
    )
    try:
        base, trained = (
            _ask(model, config, chosen, verifier, protocol, _named(on_progress, name))
            for name, model in (("start", starting_model(config)), ("final", final_model))
        )
    finally:
        verifier.close()
    step = run.steps()[-1].step + 1
    measured = _compare(trained, base, len(hard), step, seed)
    _store(run, 0, base, chosen, {})
    _store(run, step, trained, chosen, {"utilisation": to_json(measured)})
    return measured


def _hard_problems(run: RunDirectory, config: RunConfig) -> list[Problem]:
    """The training problems that began all failed, in order of first visit."""
    hard = [history.problem_id for history in Ledger.of_run(run) if history.initially_all_failed]
    if not hard:
        raise DataError(
            f"{run.path}: found no problem whose first group failed in every rollout; utilisation "
            "requires at least one: measure it on a run with harder problems"
        )
    questions = {row["problem_id"]: row["question"] for row in run.group_rows()}
    loaded: dict[str, Problem] = {}
    for data in config.data:
        for problem in named_after(config, data, load_data(data)):
            loaded.setdefault(problem.problem_id, problem)
    changed = [
        name for name in hard if name not in loaded or loaded[name].question != questions[name]
    ]
    if changed:
        raise DataError(
            f"{run.path}: {len(changed)} of {len(hard)} initially all-failed problems, such as "
            f"{changed[0]!r}, are missing from the run's data or ask another question now; the "
            "data of the training is required: restore it at the paths of config.yaml"
        )
    return [loaded[name] for name in hard]


def _sample(problems: list[Problem], limit: int | None, seed: int) -> list[Problem]:
    """At most ``limit`` problems at random: the first of a run are not a fair choice."""
    if limit is None or limit >= len(problems):
        return problems
    chosen = sorted(random.Random(seed).sample(range(len(problems)), limit))
    return [problems[index] for index in chosen]


def _correctness_verifier(config: RunConfig, problems: Sequence[Problem]) -> Verifier:
    """The verifier that decided failure in training."""
    kinds = sorted({problem.task_kind for problem in problems})
    if len(kinds) > 1:
        raise ConfigError(
            f"data: found initially all-failed problems of {len(kinds)} task kinds "
            f"({', '.join(kinds)}), which are asked and judged differently; one is required: "
            "train each kind in a run of its own to measure it"
        )
    sets = {problem.dataset for problem in problems}
    judges = [
        deciding_reward(config, data)
        for data in config.data
        if len(config.data) == 1 or data.name in sets
    ]
    if any(judge != judges[0] for judge in judges):
        raise ConfigError(
            f"data: found initially all-failed problems of {len(judges)} sets "
            f"({', '.join(sorted(sets))}) with different verifiers; one is required: train each "
            "set in a run of its own to measure it"
        )
    return build_judge(judges[0], problems)


def _protocol(
    config: RunConfig,
    problems: Sequence[Problem],
    verifier: Verifier,
    samples_per_problem: int,
    seed: int,
) -> EvaluationProtocol:
    """As training sampled its rollouts."""
    return EvaluationProtocol(
        name=f"{RESULT_NAME}-k{samples_per_problem}",
        samples_per_problem=samples_per_problem,
        temperature=config.trainer["temperature"],
        top_p=config.trainer["top_p"],
        max_new_tokens=config.trainer["max_completion_length"],
        verifier=verifier.name,
        solve_template=solve_template(problems[0], config.prompts).template_id,
        seed=derive_seed(seed, RESULT_NAME, "samples"),
        pass_at_k=tuple(sorted({1, samples_per_problem})),
        failure_reward_threshold=parse_guidance(config.guidance).failure_reward_threshold,
    )


def _ask(
    model: ModelConfig,
    config: RunConfig,
    problems: Sequence[Problem],
    verifier: Verifier,
    protocol: EvaluationProtocol,
    on_progress: Callable[[int, int], None] | None,
) -> EvaluationResult:
    """Sample one policy; its weights are freed on return, so that two never lie in memory."""
    policy = load_model_to_sample(model)
    kwargs = EvaluationSetting.of_run(config).chat_template_kwargs
    engine = TransformersEngine(policy.model, policy.tokenizer, chat_template_kwargs=kwargs)
    template = solve_template(problems[0], config.prompts)
    return evaluate(engine, problems, verifier, template, protocol, on_progress=on_progress)


def _compare(
    final: EvaluationResult, base: EvaluationResult, num_hard: int, step: int, seed: int
) -> Utilisation:
    final_PK, base_PK = _passes(final), _passes(base)
    solved_P, base_solved_P = _any_passed(final_PK), _any_passed(base_PK)
    return Utilisation(
        num_problems=len(final_PK),
        num_hard_problems=num_hard,
        samples_per_problem=final.protocol.samples_per_problem,
        step=step,
        seed=seed,
        solved=clustered_share_interval(solved_P),
        base_solved=clustered_share_interval(base_solved_P),
        solved_gain=_gain(solved_P, base_solved_P, seed),
        accuracy=clustered_share_interval(final_PK),
        base_accuracy=clustered_share_interval(base_PK),
        accuracy_gain=_gain(final_PK, base_PK, seed),
    )


def _passes(result: EvaluationResult) -> list[list[float]]:
    """Per problem and sample 1 if it passed, 0 if not, NaN if it could not be scored."""
    threshold = result.protocol.failure_reward_threshold
    rows: dict[str, list[float]] = {}
    for sample in result.samples:
        scored = sample.status == "scored"
        passed = float(sample.value >= threshold) if scored else math.nan
        rows.setdefault(sample.problem_id, []).append(passed)
    return list(rows.values())


def _any_passed(passes_PK: Sequence[Sequence[float]]) -> list[list[float]]:
    """One value per problem: 1 if any scored sample passed; NaN if none was scored."""
    scored_PK = [[value for value in row if not math.isnan(value)] for row in passes_PK]
    return [[max(row, default=math.nan)] for row in scored_PK]


def _gain(
    values_PK: Sequence[Sequence[float]], base_PK: Sequence[Sequence[float]], seed: int
) -> Interval:
    """Mean difference of problem means with a bootstrap interval over problems."""
    differences_P = [
        [clustered_mean_interval([row]).mean - clustered_mean_interval([base]).mean]
        for row, base in zip(values_PK, base_PK, strict=True)
    ]
    return clustered_mean_interval(
        differences_P, method="bootstrap", seed=derive_seed(seed, RESULT_NAME, "bootstrap")
    )


def _store(
    run: RunDirectory,
    step: int,
    result: EvaluationResult,
    problems: Sequence[Problem],
    more: dict[str, JSON],
) -> None:
    name = result.protocol.name
    data = result_json(name, result) | more
    # Other runs have other hard problems; a comparison of runs must see that they are unlike.
    data["protocol"]["problems"] = data_fingerprint(problems)
    run.write_evaluation(step, name, data, map(to_json, result.samples))


def _named(
    on_progress: Callable[[str, int, int], None] | None, name: str
) -> Callable[[int, int], None] | None:
    if on_progress is None:
        return None
    return lambda done, total: on_progress(name, done, total)
