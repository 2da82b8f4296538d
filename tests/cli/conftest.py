"""A command line in the test's process, with the parts that train and sample replaced."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rephrase_rl.cli.main import main
from rephrase_rl.data.contamination import ContaminationReport, Overlap
from rephrase_rl.data.duplicates import DuplicateReport
from rephrase_rl.data.inspection import DataCheck, DataReport, ExpertVerdicts, PromptView
from rephrase_rl.data.lengths import Fit, LengthSummary
from rephrase_rl.statistics import Interval


class Outcome:
    """What one command line left behind."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs a command line; returns its exit status and what it wrote."""

    def call(*arguments: object) -> Outcome:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return call


def result(mean: float, k: int = 4) -> SimpleNamespace:
    """An evaluation result as far as the command line reads it."""
    interval = Interval(mean, max(0.0, mean - 0.05), min(1.0, mean + 0.05), 100)
    return SimpleNamespace(
        protocol=SimpleNamespace(samples_per_problem=k),
        num_problems=100,
        avg_at_k=interval,
        pass_at_k={1: interval},
        pass_hat_k={},
        maj_at_k={},
        by_label={},
    )


def data_check(**changes: Any) -> DataCheck:
    """What ``data check`` found in two problems, one of them with an expert."""
    verdicts = ExpertVerdicts("math", 4, 3, 1, 0, ("p0: rejected: differs from '2'",))
    overlap = Overlap("p1", "e7", "question", "a shared run")
    report = DataReport(
        rows=2,
        problems=2,
        faults=(),
        missing_answers=0,
        task_kinds={"math": 2},
        with_expert=1,
        with_thoughts=0,
        thoughts_left_out=0,
        prompts_stripped=0,
        expert_budget=None,
        duplicates=DuplicateReport(2, 1, (("p1", "p0"),), (("p1", "p0"),)),
        tokens={"solve": LengthSummary(2, 10, 14, 14, 15)},
        solve_fit=Fit(3840, 2, 2),
        solve_limit="the context",
        prompt_fit=Fit(2048, 1, 2, ("p1 (2050)",)),
        prompt_limit="what limits it",
        completion_fit=Fit(256, 3, 4),
        parts=(),
        without_prompt={},
        expert_verdicts={"math": verdicts},
        not_judged={},
        contamination=(ContaminationReport("gsm8k", 13, 8, 2, 1, 0, (overlap,)),),
    )
    views = (PromptView("p0", "solve", "SOLVE [bold]x[/bold]", ("SO", "LVE")),)
    return DataCheck(dataclasses.replace(report, **changes), views)


class FakeAssembly(ModuleType):
    """Stands in for ``rephrase_rl.assembly``: records its calls and answers by script."""

    def __init__(self) -> None:
        super().__init__("rephrase_rl.assembly")
        self.calls: list[tuple[str, SimpleNamespace]] = []
        self.scores: dict[str, dict[str, float]] = {
            "base": {"hard": 0.0, "easy": 1.0, "general": 0.98},
            "grpo": {"hard": 0.0, "easy": 1.0, "general": 0.98},
            "repo": {"hard": 0.9, "easy": 0.99, "general": 0.97},
        }
        self.failure: Exception | None = None
        self.ended_early: str | None = None
        self.checked = data_check()

    def train_run(
        self, config: Any, *, on_step: Any, on_progress: Any, **options: Any
    ) -> SimpleNamespace:
        on_progress("easy", 1, 2)
        on_progress("easy", 2, 2)
        self.calls.append(("train_run", SimpleNamespace(config=config, **options)))
        if self.failure is not None:
            raise self.failure
        for step in (1, 2):
            metrics = {"reward": 0.5, "tokens/rollout": 1000.0, "tokens/rephrase": None}
            on_step(SimpleNamespace(step=step, total_steps=2, metrics=metrics, seconds=1.0))
        scores = self.scores.get(config.method, {})
        return SimpleNamespace(
            run_path=options["run_path"],
            evaluations={name: result(mean) for name, mean in scores.items()},
            generated_tokens=2000,
            wall_s=2.0,
            ended_early=self.ended_early,
        )

    class EvaluationSetting(SimpleNamespace):
        """As far as the command line knows it: made from a run's configuration."""

        @classmethod
        def of_run(cls, config: Any) -> Any:
            return cls(prompts=config.prompts, rewards=config.rewards)

    def evaluate_policy(self, model: str, benchmarks: Any, **options: Any) -> dict[str, Any]:
        self.calls.append(
            ("evaluate_policy", SimpleNamespace(model=model, benchmarks=benchmarks, **options))
        )
        if options.get("on_progress"):
            for benchmark in benchmarks:
                options["on_progress"](benchmark.name, 1, 2)
        return {b.name: result(self.scores["base"].get(b.name, 0.5)) for b in benchmarks}

    def evaluate_with_harness(self, model: str, tasks: Any, **options: Any) -> dict[str, Any]:
        self.calls.append(
            ("evaluate_with_harness", SimpleNamespace(model=model, tasks=tasks, **options))
        )
        return {task: result(0.5, k=1) for task in tasks}

    def dry_run(self, config: Any) -> SimpleNamespace:
        self.calls.append(("dry_run", SimpleNamespace(config=config)))
        return SimpleNamespace(
            method=config.method,
            model=config.model.path,
            trained="adapters of rank 8 on all-linear, rate 1e-05",
            blocks=(("gate", "failed_share"), ("accept", "finished")),
            processes=8,
            steps=21,
            problems_per_step=512.0,
            rollouts_per_problem=8,
            epochs=1.0,
            sets=(
                SimpleNamespace(
                    name="d",
                    problems=11000,
                    drawn=12000,
                    with_expert=9000,
                    verifier="math",
                    gate="failed_share",
                ),
            ),
            benchmarks=(("math500", 500, 4),),
            check=self.checked,
        )

    CheckOptions = SimpleNamespace
    EvaluationOptions = SimpleNamespace

    def check_data(self, config: Any, evaluation_data: Any, options: Any) -> DataCheck:
        call = SimpleNamespace(config=config, evaluation_data=evaluation_data, options=options)
        self.calls.append(("check_data", call))
        return self.checked


@pytest.fixture
def assembly(monkeypatch: pytest.MonkeyPatch) -> FakeAssembly:
    """The assembly layer replaced by a fake that needs no torch."""
    fake = FakeAssembly()
    monkeypatch.setitem(sys.modules, "rephrase_rl.assembly", fake)
    return fake


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The reports layer replaced; returns the list of its calls."""
    calls: list[tuple[str, Any]] = []
    fake = ModuleType("rephrase_rl.reports")

    def write_report(run: Path) -> SimpleNamespace:
        calls.append(("write_report", run))
        return SimpleNamespace(index=Path(run) / "report" / "index.html")

    def write_comparison(runs: list[Path], out: Path, questions: Any = None) -> SimpleNamespace:
        calls.append(("write_comparison", runs))
        Path(out).mkdir(parents=True, exist_ok=True)
        paths = SimpleNamespace(
            index=Path(out) / "index.html",
            comparison_json=Path(out) / "comparison.json",
            comparison_markdown=Path(out) / "comparison.md",
        )
        paths.comparison_json.write_text('{"runs": 2}\n', encoding="utf-8")
        paths.comparison_markdown.write_text("| a | b |\n", encoding="utf-8")
        return paths

    fake.write_report = write_report  # type: ignore[attr-defined]
    fake.write_comparison = write_comparison  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rephrase_rl.reports", fake)
    return calls


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A small valid configuration."""
    path = tmp_path / "small.yaml"
    path.write_text(
        "method: repo\nmodel: {path: lab:base}\ndata: {name: d, path: lab:mixed}\n"
        "evaluation: {benchmarks: [{name: hard, data: {path: lab:hard}, temperature: 0.5}]}\n",
        encoding="utf-8",
    )
    return path
