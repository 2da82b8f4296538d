"""``rephrase-rl demo``: GRPO and RePO from the shipped base policy, side by side, on a CPU."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rephrase_rl.cli.console import messages, output
from rephrase_rl.cli.options import SetOption
from rephrase_rl.cli.result_table import print_results
from rephrase_rl.cli.step_line import StepDisplay
from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from rephrase_rl.assembly import RunSummary
    from rephrase_rl.config import RunConfig
    from rephrase_rl.evaluation import EvaluationResult

ARMS = ("grpo", "repo")
BENCHMARKS = ("hard", "easy", "general")
LINES_PER_RUN = 24
"""Step lines shown of each arm: enough to see it ignite without filling the screen."""

GRPO_HARD_AT_MOST = 0.02
REPO_HARD_AT_LEAST = 0.60
KEPT_WITHIN = 0.05
"""Most that easy and general may lose or gain against the base."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs/demo"),
    arm: Annotated[
        list[str],
        typer.Option(
            help=f"Only this arm ({', '.join(ARMS)}); may be given several times.",
            show_default=False,
        ),
    ] = [],
    seed: Annotated[int, typer.Option(min=0, help="Seed of training.")] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Fewer steps; learning is then not checked.")
    ] = None,
    overrides: SetOption = [],
    check: Annotated[
        bool, typer.Option(help="Exit with status 1 if the expected learning was not seen.")
    ] = True,
) -> None:
    """Train GRPO and RePO on hard lab problems, evaluate both, write a table and a report."""
    arms = _known_arms(arm or ARMS)
    configs = {name: demo_config(name, seed, steps, overrides) for name in arms}

    from rephrase_rl.assembly import EvaluationSetting, evaluate_policy

    first = next(iter(configs.values()))
    messages.print(f"evaluating the base policy {first.model.path}")
    base = evaluate_policy(
        first.model.path,
        first.evaluation.benchmarks,
        seed=seed,
        setting=EvaluationSetting.of_run(first),
    )
    summaries = {name: _train_arm(name, config, out / name) for name, config in configs.items()}
    results = {"base": base, **{name: summary.evaluations for name, summary in summaries.items()}}
    output.print()
    print_results(results)
    _write_summary(out / "summary.json", base, summaries, seed)
    output.print(f"report: {_write_report(out, arms)}")
    if steps is not None:
        output.print(f"learning is not checked after {steps} steps")
        return
    faults = learning_faults(results)
    output.print("\n".join(faults) if faults else "the expected learning was seen")
    if faults and check:
        raise typer.Exit(1)


def demo_config(
    name: str, seed: int, steps: int | None = None, overrides: Sequence[str] = ()
) -> RunConfig:
    """The shipped configuration of an arm; a user's overrides come last and so win."""
    from rephrase_rl.config import load_config

    changes = [f"method={name}", f"seed={seed}"]
    if steps is not None:
        changes.append(f"trainer.max_steps={steps}")
    source = resources.files("rephrase_rl.cli") / "demo.yaml"
    with resources.as_file(source) as path:
        return load_config(path, [*changes, *overrides])


def learning_faults(results: Mapping[str, Mapping[str, EvaluationResult]]) -> list[str]:
    """Where the results differ from what the demo should show, one sentence each.

    Args:
        results: Arm -> benchmark -> result; the arm ``base`` is the policy before training.
    """
    means = {
        arm: {name: result.avg_at_k.mean for name, result in by_name.items()}
        for arm, by_name in results.items()
    }
    faults = []
    # Written as "not (expected)", so that NaN, a score that could not be told, is a fault too.
    if "grpo" in means and not means["grpo"]["hard"] <= GRPO_HARD_AT_MOST:
        faults.append(
            f"not as expected: GRPO solves {means['grpo']['hard']:.3f} of the hard problems; "
            f"expected at most {GRPO_HARD_AT_MOST}"
        )
    if "repo" in means and not means["repo"]["hard"] >= REPO_HARD_AT_LEAST:
        faults.append(
            f"not as expected: RePO solves {means['repo']['hard']:.3f} of the hard problems; "
            f"expected at least {REPO_HARD_AT_LEAST}"
        )
    for name in ("easy", "general"):
        if "repo" in means and not abs(means["repo"][name] - means["base"][name]) <= KEPT_WITHIN:
            faults.append(
                f"not as expected: RePO changes {name} from {means['base'][name]:.3f} to "
                f"{means['repo'][name]:.3f}; expected within {KEPT_WITHIN}"
            )
    return faults


def _known_arms(names: Sequence[str]) -> list[str]:
    unknown = [name for name in names if name not in ARMS]
    if unknown:
        raise ConfigError(
            f"--arm: found {', '.join(unknown)}; required: {' or '.join(ARMS)}; do this: train "
            "other methods with `rephrase-rl train`"
        )
    return list(dict.fromkeys(names))


def _train_arm(name: str, config: RunConfig, run_path: Path) -> RunSummary:
    from rephrase_rl.assembly import train_run

    output.print(f"\n{name}: training, run directory {run_path}")
    total = int(config.trainer["max_steps"])
    with StepDisplay(name, every=max(1, total // LINES_PER_RUN)) as display:
        return train_run(
            config,
            run_path=run_path,
            command=["rephrase-rl", *sys.argv[1:]],
            overwrite=True,
            on_step=display,
            on_progress=display.show_evaluation,
        )


def _write_summary(
    path: Path,
    base: Mapping[str, EvaluationResult],
    summaries: Mapping[str, RunSummary],
    seed: int,
) -> None:
    from rephrase_rl.records import to_json

    arms: dict[str, Any] = {"base": _scores(base)}
    for name, summary in summaries.items():
        arms[name] = {
            **_scores(summary.evaluations),
            "generated_tokens": summary.generated_tokens,
            "wall_s": summary.wall_s,
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    # to_json turns a NaN score into null; allow_nan makes sure none is left.
    text = json.dumps(to_json({"seed": seed, "arms": arms}), indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _scores(results: Mapping[str, EvaluationResult]) -> dict[str, Any]:
    return {
        name: {
            "mean": result.avg_at_k.mean,
            "low": result.avg_at_k.low,
            "high": result.avg_at_k.high,
        }
        for name, result in results.items()
    }


def _write_report(out: Path, arms: Sequence[str]) -> Path:
    from rephrase_rl.reports import write_comparison, write_report

    own = [write_report(out / name).index for name in arms]
    if len(arms) == 1:
        return own[0]
    return write_comparison([out / name for name in arms], out / "report").index
