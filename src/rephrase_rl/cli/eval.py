"""``rephrase-rl eval``: avg@k and pass@k of a model or a run's policy, with intervals."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rephrase_rl.cli.benchmark_list import print_declared
from rephrase_rl.cli.console import print_json
from rephrase_rl.cli.data import CONFIG_SUFFIXES
from rephrase_rl.cli.options import JsonOption, SamplingEngine, TrustOption
from rephrase_rl.cli.result_table import print_measures
from rephrase_rl.cli.step_line import progress_bar
from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from rephrase_rl.config import BenchmarkConfig, RunConfig
    from rephrase_rl.evaluation import EvaluationResult


TargetArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL_OR_RUN",
        help="Run directory, local folder of a model, checkpoint or LoRA adapter, hub id, or "
        "lab:base.",
        show_default=False,
    ),
]
BenchmarkOption = Annotated[
    list[str],
    typer.Option(
        help="Name of a benchmark of the run or of --list, YAML file that declares one, data file, "
        "dataset folder or hub id, or lab:hard, lab:easy, lab:general; may be given several "
        "times. A run, or --like one: all of its own.",
        show_default=False,
    ),
]
SamplesOption = Annotated[
    int | None, typer.Option("-k", "--samples", min=1, help="Completions for each problem.")
]
ChangeOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change a field of every benchmark: temperature, top_p, max_new_tokens, limit, "
        "subset, data.path, data.mapping, name ...",
        show_default=False,
    ),
]
LikeOption = Annotated[
    str | None,
    typer.Option(
        metavar="RUN_OR_CONFIG",
        help="Run directory or configuration (YAML) whose prompts, verifiers, chat template, seed "
        "and benchmarks are taken, such as for the model that a run began with. A run and its "
        "checkpoints: the run itself.",
        show_default=False,
    ),
]
SeedOption = Annotated[int | None, typer.Option(min=0, help="Seed; a run: its own, else 0.")]
OutOption = Annotated[
    Path | None,
    typer.Option(help="Run directory to store results in; may be the evaluated run itself."),
]
ResumeOption = Annotated[
    bool,
    typer.Option("--resume", help="Go on with an evaluation in --out that was not finished."),
]
EngineOption = Annotated[
    SamplingEngine, typer.Option(help="What samples: transformers in float32, or vLLM.")
]
HarnessOption = Annotated[
    str | None,
    typer.Option(
        "--lm-eval",
        metavar="TASK,TASK",
        help="Tasks of lm-evaluation-harness in place of benchmarks (extra eval): names such as "
        "mmlu_pro,arc_challenge, or a YAML file that declares one. --set: limit, num_fewshot, "
        "batch_size, chat_template.",
        show_default=False,
    ),
]
ListOption = Annotated[
    bool, typer.Option("--list", help="Print the benchmarks that are declared, and end.")
]


def evaluate(  # noqa: PLR0913 - typer makes one option of each parameter
    target: TargetArgument = None,
    benchmark: BenchmarkOption = [],
    samples: SamplesOption = None,
    set_fields: ChangeOption = [],
    like: LikeOption = None,
    seed: SeedOption = None,
    out: OutOption = None,
    resume: ResumeOption = False,
    engine: EngineOption = SamplingEngine.transformers,
    lm_eval: HarnessOption = None,
    list_benchmarks: ListOption = False,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Sample the policy on benchmarks and print avg@k and pass@k with 95 % intervals."""
    if list_benchmarks:
        print_declared(as_json)
        return
    if target is None:
        raise ConfigError(
            "found no model; required: one, or --list; do this: name a model or a run, such as "
            "`rephrase-rl eval lab:base --benchmark lab_hard`"
        )
    run = _config_of_run(target, trust) if like is None else _config_like(like, trust)
    chosen_seed = seed if seed is not None else (run.seed if run else 0)
    if lm_eval is not None:
        _refuse_with_harness(
            {
                "--benchmark": benchmark,
                "--like": like,
                "-k": samples,
                "--resume": resume,
                "--engine": engine.value != "transformers",
            }
        )
        _tell(_with_harness(target, lm_eval, set_fields, chosen_seed, out), as_json)
        return
    changes = [*set_fields, *([] if samples is None else [f"samples_per_problem={samples}"])]
    benchmarks = chosen_benchmarks(benchmark, run, changes)
    _check_storage(out, resume, benchmarks)

    from rephrase_rl.assembly import EvaluationOptions, EvaluationSetting, evaluate_policy

    with progress_bar(unit="completions") as progress:
        tasks = {b.name: progress.add_task(b.name, total=None) for b in benchmarks}
        results = evaluate_policy(
            target,
            benchmarks,
            seed=chosen_seed,
            run_path=out,
            setting=EvaluationSetting.of_run(run) if run else None,
            command=["rephrase-rl", *sys.argv[1:]],
            on_progress=lambda name, done, total: progress.update(
                tasks[name], completed=done, total=total
            ),
            options=EvaluationOptions(engine=engine.value, resume=resume),
        )
    _tell(results, as_json)


def _tell(results: Mapping[str, EvaluationResult], as_json: bool) -> None:
    if as_json:
        print_json(_as_plain(results))
    else:
        print_measures(results)


def _refuse_with_harness(options: Mapping[str, object]) -> None:
    given = [name for name, value in options.items() if value]
    if given:
        raise ConfigError(
            f"found --lm-eval with {', '.join(given)}; required: --lm-eval without these, since "
            "the harness asks in its own way; do this: evaluate in two commands with the same --out"
        )


def _with_harness(
    target: str, tasks: str, changes: Sequence[str], seed: int, out: Path | None
) -> dict[str, EvaluationResult]:
    from rephrase_rl.config import parse_harness

    options = parse_harness(changes)
    names = [task.strip() for task in tasks.split(",") if task.strip()]
    if not names:
        raise ConfigError(
            f"--lm-eval: found {tasks!r}; required: tasks, separated by commas; do this: "
            "--lm-eval arc_challenge, for instance"
        )
    from rephrase_rl.assembly import evaluate_with_harness

    return evaluate_with_harness(
        target,
        names,
        seed=seed,
        run_path=out,
        command=["rephrase-rl", *sys.argv[1:]],
        options=options,
    )


def chosen_benchmarks(
    names: Sequence[str], run: RunConfig | None, changes: Sequence[str]
) -> list[BenchmarkConfig]:
    """The benchmarks that the command line asks for, with its changes applied.

    Args:
        names: Benchmarks of the run by name, or where to find problems.
        run: Configuration of the evaluated run. None: a model is evaluated.
        changes: Of the form ``field=value``, applied to each.

    Raises:
        ConfigError: Nothing was asked for, or a change is not valid; with every fault.
    """
    from rephrase_rl.config import all_benchmarks, config_to_plain, parse_benchmarks

    own = {b.name: config_to_plain(b) for b in all_benchmarks(run)} if run else {}
    wanted = list(names) or list(own)
    if not wanted:
        raise ConfigError(
            "found no benchmark; required: at least one; do this: give --benchmark, such as "
            "--benchmark lab:hard, math500 (--list names such) or test.jsonl"
        )
    return parse_benchmarks([own[n] if n in own else _benchmark_of(n) for n in wanted], changes)


def _benchmark_of(name: str) -> dict[str, Any]:
    """A benchmark by its declared name, its own file, or its data alone."""
    from rephrase_rl.config import benchmark_names, declared_benchmark, read_benchmark_file

    # A word of its own that is nearly a declared name is no file and no hub id.
    mistyped = (
        re.fullmatch(r"[\w-]+", name)
        and difflib.get_close_matches(name, benchmark_names(), n=1)
        and not Path(name).exists()
    )
    if name in benchmark_names() or mistyped:
        return declared_benchmark(name)
    if name.endswith(CONFIG_SUFFIXES):
        return read_benchmark_file(name)
    return _benchmark_of_data(name)


def _benchmark_of_data(path: str) -> dict[str, Any]:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path[-100:]).strip("-._") or "benchmark"
    return {"name": name, "data": {"path": path}}


def _config_of_run(target: str, trust: bool) -> RunConfig | None:
    """Configuration of a run directory, or of that of a checkpoint; None if it is of no run.

    Raises:
        ConfigError: It names code or endpoints, and is not trusted.
    """
    from rephrase_rl.runs import run_of

    run = run_of(target)
    if run is None:
        return None
    from rephrase_rl.config import load_config, require_trust

    config = load_config(run / "config.yaml")
    if not trust:
        require_trust(config, run)
    return config


def _config_like(like: str, trust: bool) -> RunConfig:
    """The configuration to ask and judge by: that of a run, or one of the user's own.

    Raises:
        ConfigError: It is neither.
    """
    if like.endswith(CONFIG_SUFFIXES):
        from rephrase_rl.config import load_config

        return load_config(like)
    config = _config_of_run(like, trust)
    if config is None:
        raise ConfigError(
            f"--like: found no run at {like}; required: a run directory, one of its checkpoints or "
            "a run configuration; do this: check the path"
        )
    return config


def _check_storage(out: Path | None, resume: bool, benchmarks: Sequence[BenchmarkConfig]) -> None:
    """Stored results stay: they may have another protocol than what is asked for now."""
    if resume and out is None:
        raise ConfigError(
            "--resume: found no --out; required: the directory of the evaluation that was not "
            "finished; do this: add --out"
        )
    if resume or out is None:
        return
    there = sorted(
        {path.parent.name for path in out.glob("evals/*/*/result.json")}
        & {benchmark.name for benchmark in benchmarks}
    )
    if there:
        raise ConfigError(
            f"--out: found results of {', '.join(there)} in {out} already; required: names that "
            "are not there; do this: add --set name=ANOTHER_NAME, leave out --out, or add "
            "--resume to do what is missing only"
        )


def _as_plain(results: Mapping[str, EvaluationResult]) -> dict[str, Any]:
    """Results as JSON without the samples, which are many."""
    from rephrase_rl.records import to_json

    plain: dict[str, Any] = {}
    for name, result in results.items():
        plain[name] = to_json(result)
        del plain[name]["samples"]
    return plain
