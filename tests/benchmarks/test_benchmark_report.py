"""The report of the benchmarks: whose figures they are, what they are, and their plots."""

from __future__ import annotations

import json

import pytest
import run
from history import read_lines
from measuring import figure, log_log_slope
from test_benchmark_history import ABOUT

SIZES = [[100, 50.0], [100, 60.0], [1000, 52.0]]
STEP = {"value": 4, "step_s": 0.5, "generate": 0.2, "loss": 0.2, "rest": 0.1}
KINDS = ("plain integers", "fractions")
RECORDS = {
    "micro": {"milliseconds": {"core: advantages": [0.2, 0.1, 0.3]}},
    "guidance": {
        "figures": {"guide, half open, 1000 groups": figure([52.0, 53.0], "us/group")},
        "details": {
            "us_per_group": {"guide, half open": SIZES, "ledger, half open": SIZES},
            "exponents": {"guide, half open": [1.01, 0.98, 1.04]},
        },
    },
    "records": {
        "figures": {"write seconds, 1000 groups": figure([0.2], "s")},
        "details": {
            "us_per_group": {"write": SIZES},
            "peak_mib": {"write": SIZES},
            "exponents": {},
            "sizes_mib": {"1000": {"index.html": 1.04}},
        },
    },
    "verifiers": {
        "figures": {
            f"{kind}, {arm}": figure([200.0, 220.0], "answers/s", "higher")
            for kind in KINDS
            for arm in ("bare", "1 worker", "2 workers")
        },
        "details": {"kinds": KINDS, "workers": [1, 2]},
    },
    "growth": {
        "figures": {"base": figure([0.5], "s/step")},
        "details": {"series": {"G": [STEP, STEP | {"value": 8}]}, "exponents": {}},
    },
    "step": {
        "runs": {
            "trl": [{"step_s": 2.0, "peak_gib": 1.5}],
            "grpo": [{"step_s": 1.0, "peak_gib": 1}],
        },
        "ratios": {"grpo": {"step_s": [0.5], "peak_gib": [0.67]}},
    },
}


def conclude(folder, records):
    return run.conclude(ABOUT, "full", records, folder / "history", folder / "out")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The report of a first run."""
    return conclude(tmp_path_factory.mktemp("bench"), RECORDS)[1]


def test_the_report_names_machine_versions_and_commit(file) -> None:
    text = file.read_text()

    assert file.name == "lab_test-cpu-tm-3-5ghz-2-cores_20260203.md"
    assert "| machine | Test CPU (TM) 3.5GHz, 2 cores |" in text
    assert "python 3.11.9, torch 2.13.0" in text
    assert "ab" * 20 in text
    assert "16.0 GiB" in text
    assert "| guide, half open, 1000 groups | 52.5 | 52 to 53 | 2 | us/group |" in text
    assert "| guide, half open | 1.01 | 0.98 to 1.04 |" in text
    assert "| 1000 | 1.0 MiB |" in text
    assert "| grpo / trl, step | 0.5 |" in text


def test_every_plot_of_the_report_is_there(file) -> None:
    text = file.read_text()

    for part in ("guidance", "records", "verifiers", "growth"):
        assert f"({file.stem}/{part}.svg)" in text
        svg = (file.parent / file.stem / f"{part}.svg").read_text()
        assert svg.startswith("<?xml")
        assert len(svg) > 5000


def test_a_slow_down_is_named_in_the_report(tmp_path) -> None:
    records = {part: RECORDS[part] for part in ("micro", "step")}
    changes, file = conclude(tmp_path, records)
    assert {change.verdict for change in changes} == {"new"}
    assert "No earlier run to compare with." in file.read_text()

    later = json.loads(json.dumps(records))
    later["micro"]["milliseconds"]["core: advantages"] = [0.26, 0.25, 0.4]
    later["step"]["runs"]["grpo"][0]["step_s"] = 0.5
    changes, file = conclude(tmp_path, later)

    found = {c.name: c.verdict for c in changes if c.verdict != "within noise"}
    assert found == {"micro: core: advantages": "regression", "step: grpo, step": "improvement"}
    text = file.read_text()
    assert "Regressions: 1." in text
    # (0.26 - 0.2) / 0.2 = 30 %; (0.5 - 1) / 1 = -50 %
    assert "| micro: core: advantages | 0.26 ms | 0.2 ms | 30% worse | 1 |" in text
    assert "| step: grpo, step | 0.5 s/step | 1 s/step | 50% better | 1 |" in text
    (history,) = (tmp_path / "history").iterdir()
    assert len(read_lines(history)) == 2


def test_every_benchmark_has_a_description_in_the_report(file) -> None:
    text = file.read_text()
    assert "The pool of verifier workers beside bare math-verify" in text
    assert "    python benchmarks/" not in text


def test_measured_parts_are_taken_up_at_the_same_commit_only(tmp_path, monkeypatch) -> None:
    calls = []

    def fake(script, *arguments):
        calls.append(script)
        (tmp_path / "full-guidance.json").write_text(json.dumps({"about": ABOUT}))

    monkeypatch.setattr(run, "run_python", fake)
    monkeypatch.setattr(run, "PARTS", tmp_path)
    other = ABOUT | {"git": ABOUT["git"] | {"commit": "cd" * 20}}
    changed = ABOUT | {"git": ABOUT["git"] | {"dirty": True}}

    run.measured("guidance", "full", ABOUT, resume=True)
    assert calls == ["guidance.py"]
    run.measured("guidance", "full", ABOUT, resume=True)
    assert len(calls) == 1
    for facts, resume in ((ABOUT, False), (other, True), (changed, True)):
        before = len(calls)
        run.measured("guidance", "full", facts, resume=resume)
        assert len(calls) == before + 1
    # Two runs with uncommitted changes may be of different code.
    (tmp_path / "full-guidance.json").write_text(json.dumps({"about": changed}))
    run.measured("guidance", "full", changed, resume=True)
    assert len(calls) == 5


def test_the_exponent_of_a_power_law_is_found_with_its_interval() -> None:
    sizes = [10, 100, 1000, 10, 100, 1000]
    costs = [n**1.5 * factor for n, factor in zip(sizes, [1, 1.1, 1, 1.1, 1, 1.1], strict=True)]
    slope = log_log_slope(sizes, costs)
    assert slope.low < 1.5 < slope.high
    assert slope.value == pytest.approx(1.5, abs=0.02)
    assert slope.high - slope.low < 0.1
