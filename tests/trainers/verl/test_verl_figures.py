"""Figures that both engines name alike; docs/scaling.md lists those of one alone."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest

from engine_parity import verl_trainer
from rephrase_rl.assembly.training import train_run
from rephrase_rl.runs import RunDirectory
from rephrase_rl.trainers.verl.recording import StepRecorder
from verl_fakes import lab_problem, run_config

PAGE = Path(__file__).parents[3] / "docs" / "scaling.md"
PROBLEMS = [lab_problem(name) for name in "ab"]


def script(prompt: str, number: int) -> str:
    """Of problem a all fail and the rewrite is right; of b two of four are right."""
    if "the expert says" in prompt:
        return "A"
    return "B" if "say b" in prompt and number < 2 else f"no {number}"


def names_in(run: RunDirectory) -> set[str]:
    steps = {name for step in run.steps() for name in step.metrics}
    return steps | {name for one in run.timings() for name in one.timings}


@pytest.fixture(scope="module")
def of_trl(tmp_path_factory) -> set[str]:
    """Of steps in which a rewrite has entered a group."""
    run = run_config(
        data=[{"name": "lab", "path": "lab:hard", "limit": 16}],
        rewards=[{"verifier": "exact"}],
        trainer={"max_steps": 4, "per_device_train_batch_size": 16, "max_completion_length": 48},
    )
    folder = tmp_path_factory.mktemp("trl") / "run"
    train_run(run, run_path=folder, command=["test"])
    found = names_in(RunDirectory.open(folder))
    assert "injection/clip_fraction" in found, "no rewrite has entered a group"
    return found


@pytest.fixture
def of_verl(stage, tmp_path) -> set[str]:
    run = run_config()
    played = stage(script, run)
    played.play(PROBLEMS)
    trainer = verl_trainer(run, played.worker.config, played.queue, PROBLEMS)
    directory = RunDirectory.create(tmp_path / "verl", {"method": "repo"}, "method: repo\n")
    trainer._recorder = StepRecorder(str(directory.path), "all")
    batch, metrics = played.queue.batch(), {}
    for part in (
        trainer._compute_old_log_prob,
        trainer._compute_advantage,
        trainer._update_actor,
    ):
        part(batch, metrics)
    trainer._compute_metrics(batch, metrics, {"step": 2.0, "gen": 1.0}, global_steps=1, epoch=0)
    return names_in(directory)


def named_on_the_page(column: int) -> list[str]:
    """Names, some with ``...``, of a column of the page's table."""
    table = PAGE.read_text(encoding="utf-8").split("### Figures of one engine alone\n", 1)[1]
    rows = [line for line in table.split("\n#")[0].splitlines() if line.startswith("|")][2:]
    cells = [row.strip("|").split("|")[column] for row in rows]
    return [name.replace("...", "*") for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def listed(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def test_what_one_engine_alone_has_is_on_the_page(of_trl, of_verl) -> None:
    missing = sorted(of_trl - of_verl)
    unlisted = [name for name in missing if not listed(name, named_on_the_page(0))]
    assert not unlisted, unlisted
    further = sorted(of_verl - of_trl)
    unlisted = [name for name in further if not listed(name, named_on_the_page(1))]
    assert not unlisted, unlisted


def test_the_page_names_nothing_that_both_have(of_trl, of_verl) -> None:
    both = of_trl & of_verl
    assert {"gate/open_fraction", "injection/clip_fraction", "expert/policy_logp"} <= both
    for column, own in ((0, of_trl), (1, of_verl)):
        patterns = named_on_the_page(column)
        wrong = [name for name in both if listed(name, patterns)]
        assert not wrong, wrong
        stale = [pattern for pattern in patterns if not fnmatch.filter(own, pattern)]
        assert not stale, stale
