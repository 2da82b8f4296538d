"""Each benchmark in a tiny form: it still fits the code, and its figures have the right order."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import measuring
import pytest
import verifiers

import guidance
import records
from rephrase_rl import preset_guidance
from rephrase_rl.rewards.math_verifier import judge_plainly
from rephrase_rl.runs import RunDirectory

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_guidance_costs_are_of_a_group_whatever_their_number() -> None:
    repo = preset_guidance("repo")
    guidance.measure(20, repo)
    costs = [guidance.measure(size, repo) for size in (40, 160)]

    assert costs[0].keys() == costs[1].keys()
    for few, many in zip(costs[0].values(), costs[1].values(), strict=True):
        assert 0.1 < many < 5000
        assert few / 8 < many < 8 * few
    # A gate that opens costs a candidate.
    assert costs[1]["guide, gates closed"] < costs[1]["guide, all open"]


def test_the_scripted_run_is_written_read_and_shown(tmp_path) -> None:
    run = tmp_path / "run"
    done = {job: records.do(work, run, 50) for job, work in records.JOBS.items()}

    assert all(0 < one["seconds"] < 60 for one in done.values())
    assert set(done["report"]["sizes_mib"]) == {"groups.jsonl", "index.html", "further pages"}
    groups = list(RunDirectory.open(run).groups())
    assert len(RunDirectory.open(run).steps()) == 7  # of 8 groups, the last of 2
    # Every second gate opens and every second rewrite is refused: 25 and 12 of 50.
    assert sum(group.gate_open for group in groups) == 25
    assert sum(not c.accepted for group in groups for c in group.candidates) == 12


def test_a_job_in_its_own_process_says_what_it_cost(tmp_path) -> None:
    printed = measuring.run_python("records.py", "--worker", "write", str(tmp_path / "run"), "16")
    cost = json.loads(printed)
    assert cost["seconds"] > 0
    # A Python with pydantic, without torch: its import alone takes 200 MiB.
    assert 5 < cost["peak_mib"] < 120


def test_a_script_that_breaks_off_is_told(tmp_path) -> None:
    with pytest.raises(SystemExit, match=r"records\.py broke off[\s\S]*no such folder"):
        measuring.run_python("records.py", "--worker", "read", str(tmp_path / "no"), "1")


@pytest.mark.parametrize("kind", list(verifiers.KINDS))
def test_half_of_the_answers_of_a_group_are_right(kind) -> None:
    cases = verifiers.KINDS[kind](random.Random(1))
    assert len(cases) == verifiers.GROUP
    assert len({case.reference for case in cases}) == 1
    assert verifiers.judge_bare(cases) == 0.5


def test_plain_integers_need_no_worker() -> None:
    for text, reference in verifiers.integers(random.Random(1)):
        answer = text.partition("{")[2].partition("}")[0].strip()
        assert judge_plainly(answer, True, reference) is not None


@pytest.mark.slow
def test_the_verifier_benchmark_measures_every_kind_and_a_kill(tmp_path) -> None:
    out = tmp_path / "figures.json"
    measuring.run_python("verifiers.py", "--groups", "1", "--rounds", "2", "--json", str(out))
    figures = json.loads(out.read_text())["figures"]
    for kind in verifiers.KINDS:
        for arm in ("bare", "1 worker", "2 workers"):
            assert 1 < figures[f"{kind}, {arm}"]["median"] < 1e7
    assert figures["plain integers, 1 worker / bare"]["low"] > 2
    assert -0.1 < figures["hanging call, beyond its 0.5 s"]["median"] < 20


@pytest.mark.slow
def test_growth_times_every_setting_by_phase(tmp_path) -> None:
    out = tmp_path / "figures.json"
    measuring.run_python("growth.py", "--tiny", "--steps", "1", "--json", str(out))
    details = json.loads(out.read_text())["details"]
    assert {name: len(points) for name, points in details["series"].items()} == {
        "G": 3,
        "completion": 3,
        "vocabulary": 3,
        "open": 4,
    }
    for point in (point for points in details["series"].values() for point in points):
        phases = [v for k, v in point.items() if k not in ("value", "step_s")]
        assert 0 < point["step_s"] < 120
        # Medians of phases need not add up to the median of their sum, but nearly do.
        assert sum(phases) == pytest.approx(point["step_s"], rel=0.5)


@pytest.mark.slow
def test_the_quick_form_runs_everything_and_reports_it(tmp_path) -> None:
    command = [sys.executable, "benchmarks/run.py", "--quick", "--history", str(tmp_path / "h")]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (history,) = (tmp_path / "h").iterdir()
    (line,) = map(json.loads, history.read_text().splitlines())
    assert {name.partition(":")[0] for name in line["figures"]} == {
        *("micro", "guidance", "records", "verifiers", "growth", "step")
    }
    (report,) = tmp_path.glob("lab_*.md")
    assert "No earlier run" in report.read_text()
