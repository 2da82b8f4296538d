"""``ledger``: what is printed of a run's groups, and what is asked of the measurement."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rephrase_rl.records import CandidateRecord, GroupRecord, from_json
from rephrase_rl.runs import RunDirectory
from rephrase_rl.statistics import Interval


def group(step: int, name: str, failed: float, injected: bool = False) -> GroupRecord:
    candidate = {
        "text": "t", "raw_text": "t", "origin": "rephrase", "reward": 1.0, "correctness": 1.0,
        "num_tokens": 1, "num_sampled_tokens": 1, "finished": True, "accepted": True,
        "refusals": [], "removed_meta": [],
    }  # fmt: skip
    return GroupRecord(
        step=step, rank=0, problem_id=name, question="q", reference_answer="1",
        expert_solution=None, failure_fraction=failed, gate_open=injected, gate_reason="closed",
        members=(), candidates=(from_json(CandidateRecord, candidate),) if injected else (),
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    directory = RunDirectory.create(tmp_path / "run", {}, "method: repo\n")
    directory.append_groups(
        [
            group(0, "solved [b]", 1.0, injected=True),
            group(0, "easy", 0.0),
            group(1, "solved [b]", 1.0, injected=True),
            group(1, "stuck", 1.0),
            group(2, "solved [b]", 0.5),
        ]
    )
    return directory.path


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The measurement replaced; returns the list of its calls."""
    from rephrase_rl.errors import ConfigError

    calls: list[dict[str, Any]] = []
    fake = ModuleType("rephrase_rl.assembly.utilisation")

    def hard_sample_utilisation(path: Path, samples: int, **options: Any) -> Any:
        options.pop("on_progress")("final", 1, 2)
        calls.append({"path": path, "samples": samples, **options})
        if options["seed"] == 13:
            raise ConfigError("found bad luck, required good: do this: another seed")
        return Measured(samples)

    fake.hard_sample_utilisation = hard_sample_utilisation  # type: ignore[attr-defined]
    parent = ModuleType("rephrase_rl.assembly")
    parent.__path__ = []  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rephrase_rl.assembly", parent)
    monkeypatch.setitem(sys.modules, "rephrase_rl.assembly.utilisation", fake)
    return calls


class Measured:
    num_problems, num_hard_problems, step = 1, 2, 3
    solved = accuracy = Interval(0.75, 0.5, 0.875, 2)
    base_solved = base_accuracy = Interval(0.25, 0.125, 0.5, 2)
    solved_gain = Interval(0.5, 0.25, 0.75, 2, method="bootstrap")
    accuracy_gain = Interval(-0.5, -0.75, -0.25, 2, method="bootstrap")

    def __init__(self, samples: int) -> None:
        self.samples_per_problem = samples


def cells(out: str) -> set[tuple[str, ...]]:
    return {tuple(cell.strip() for cell in re.split("[│┃]", row)[1:-1]) for row in out.splitlines()}


def test_counts_and_the_longest_unsolved_are_printed(cli, run: Path) -> None:
    outcome = cli("ledger", run)
    assert outcome.status == 0
    rows = cells(outcome.out)
    assert ("seen", "3", "") in rows
    assert ("all failed at first", "2", "67%") in rows
    assert ("with an injection", "1", "50%") in rows
    assert ("solved unguided later", "1", "50%") in rows
    assert ("not seen again", "1", "100%") in rows
    assert "median of 1 problems: 2 failed visits, 2 injections" in outcome.out
    assert ("solved [b]", "2", "2", "0", "2", "2") in rows  # no markup is interpreted
    assert ("stuck", "1", "0", "1", "1", "-") in rows
    assert "utilisation" not in outcome.out


def test_json_has_counts_and_histories(cli, run: Path) -> None:
    shown = json.loads(cli("ledger", run, "--json").out)
    assert shown["summary"]["solved_unguided"] == 1
    solved = shown["problems"][0]
    assert [visit["pass_fraction"] for visit in solved["visits"]] == [0.0, 0.0, 0.5]
    assert solved["first_unguided_solve"] == {
        "step": 2,
        "visits_before": 2,
        "injections_before": 2,
    }
    assert shown["problems"][2]["first_unguided_solve"] is None
    assert "utilisation" not in shown


def test_utilisation_is_measured_as_asked(cli, run: Path, measuring) -> None:
    out = cli("ledger", run, "--utilisation", "-k", "4", "--limit", "1", "--seed", "7").out
    assert measuring == [{"path": run, "samples": 4, "limit": 1, "seed": 7, "trust": False}]
    assert "1 of 2 problems" in out
    rows = cells(out)
    final, base = "0.750 (0.50 to 0.88)", "0.250 (0.12 to 0.50)"
    assert ("1 of 2 problems", "solved in 4 samples", "samples that pass") in rows
    assert ("final policy", final, final) in rows
    assert ("starting policy", base, base) in rows
    assert ("gain", "+0.500 (0.25 to 0.75)", "-0.500 (-0.75 to -0.25)") in rows
    cli("ledger", run, "--utilisation")
    assert measuring[1] == {"path": run, "samples": 8, "limit": None, "seed": None, "trust": False}


def test_its_errors_are_the_users(cli, run: Path, measuring) -> None:
    outcome = cli("ledger", run, "--utilisation", "--seed", "13")
    assert (outcome.status, "bad luck" in outcome.err, outcome.out) == (2, True, "")


def test_options_of_utilisation_need_it(cli, run: Path, measuring) -> None:
    for words in (("-k", "4"), ("--limit", "1"), ("--seed", "0")):
        outcome = cli("ledger", run, *words)
        assert (outcome.status, "add --utilisation" in outcome.err) == (2, True)
    assert measuring == []


def test_a_run_that_kept_too_little_or_is_none_is_the_users_error(cli, tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "open", {}, "log: {groups: open}\n")
    outcome = cli("ledger", tmp_path / "open")
    assert (outcome.status, "log.groups: all" in outcome.err) == (2, True)
    assert cli("ledger", tmp_path / "nothing").status == 2
