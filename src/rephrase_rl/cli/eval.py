"""``rephrase-rl eval``: avg@k and pass@k of a model or a run's policy, with intervals."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from rephrase_rl.cli.console import output, print_json
from rephrase_rl.cli.options import JsonOption, TrustOption
from rephrase_rl.cli.result_table import interval_text
from rephrase_rl.cli.step_line import progress_bar
from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from rephrase_rl.config import BenchmarkConfig, RunConfig
    from rephrase_rl.evaluation import EvaluationResult


def evaluate(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_OR_RUN",
            help="Run directory, local model folder, hub id, or lab:base.",
            show_default=False,
        ),
    ],
    benchmark: Annotated[
        list[str],
        typer.Option(
            help="Name of a benchmark of the run, data file, dataset folder or hub id, or "
            "lab:hard, lab:easy, lab:general; may be given several times. A run: all of its own.",
            show_default=False,
        ),
    ] = [],
    samples: Annotated[
        int | None, typer.Option("-k", "--samples", min=1, help="Completions for each problem.")
    ] = None,
    set_fields: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Change a field of every benchmark: temperature, top_p, max_new_tokens, limit, "
            "data.mapping, data.split, name ...",
            show_default=False,
        ),
    ] = [],
    seed: Annotated[int | None, typer.Option(min=0, help="Seed; a run: its own, else 0.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Run directory to store results in; may be the evaluated run itself."),
    ] = None,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Sample the policy on benchmarks and print avg@k and pass@k with 95 % intervals."""
    run = _config_of_run(target, trust)
    changes = [*set_fields, *([] if samples is None else [f"samples_per_problem={samples}"])]
    benchmarks = chosen_benchmarks(benchmark, run, changes)
    if out is not None:
        _refuse_to_replace(out, benchmarks)

    from rephrase_rl.assembly import EvaluationSetting, evaluate_policy

    with progress_bar(unit="completions") as progress:
        tasks = {b.name: progress.add_task(b.name, total=None) for b in benchmarks}
        results = evaluate_policy(
            target,
            benchmarks,
            seed=seed if seed is not None else (run.seed if run else 0),
            run_path=out,
            setting=EvaluationSetting.of_run(run) if run else None,
            command=["rephrase-rl", *sys.argv[1:]],
            on_progress=lambda name, done, total: progress.update(
                tasks[name], completed=done, total=total
            ),
        )
    if as_json:
        print_json(_as_plain(results))
    else:
        _print_table(results)


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
            "--benchmark lab:hard or --benchmark test.jsonl"
        )
    raw = [own[name] if name in own else _benchmark_of_data(name) for name in wanted]
    return parse_benchmarks(raw, changes)


def _benchmark_of_data(path: str) -> dict[str, Any]:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path[-100:]).strip("-._") or "benchmark"
    return {"name": name, "data": {"path": path}}


def _config_of_run(target: str, trust: bool) -> RunConfig | None:
    """Configuration of a run directory; None if ``target`` is a model.

    Raises:
        ConfigError: It names code or endpoints, and is not trusted.
    """
    if not (Path(target) / "manifest.json").is_file():
        return None
    from rephrase_rl.config import load_config, require_trust

    config = load_config(Path(target) / "config.yaml")
    if not trust:
        require_trust(config, target)
    return config


def _refuse_to_replace(out: Path, benchmarks: Sequence[BenchmarkConfig]) -> None:
    """Stored results stay: they may have another protocol than what is asked for now."""
    there = sorted(
        {path.parent.name for path in out.glob("evals/*/*/result.json")}
        & {benchmark.name for benchmark in benchmarks}
    )
    if there:
        raise ConfigError(
            f"--out: found results of {', '.join(there)} in {out} already; required: names that "
            "are not there; do this: add --set name=ANOTHER_NAME, or leave out --out"
        )


def _as_plain(results: Mapping[str, EvaluationResult]) -> dict[str, Any]:
    """Results as JSON without the samples, which are many."""
    from rephrase_rl.records import to_json

    plain: dict[str, Any] = {}
    for name, result in results.items():
        plain[name] = to_json(result)
        del plain[name]["samples"]
    return plain


def _print_table(results: Mapping[str, EvaluationResult]) -> None:
    table = Table("benchmark", "problems", "measure", "mean, 95 % interval over problems")
    for name, result in results.items():
        count = str(result.num_problems)
        k = result.protocol.samples_per_problem
        table.add_row(name, count, f"avg@{k}", interval_text(result.avg_at_k))
        for pass_k, interval in result.pass_at_k.items():
            table.add_row("", "", f"pass@{pass_k}", interval_text(interval))
    output.print(table, soft_wrap=False)
