"""Decisions about evaluations carried out: what is kept, removed, recorded and warned of."""

from __future__ import annotations

import json
import warnings
from types import SimpleNamespace

import pytest

from rephrase_rl.assembly.policies import best_step, step_within
from rephrase_rl.assembly.watching import EvaluationWatch
from rephrase_rl.config import EvaluationConfig, parse_benchmarks
from rephrase_rl.errors import ConfigError
from rephrase_rl.runs import RunDirectory
from rephrase_rl.runs.watch import append_watch, read_watch


class Trainer:
    """Saves a policy as a folder with one file."""

    def __init__(self) -> None:
        self.saved: list[str] = []

    def save_whole(self, folder) -> None:
        self.saved.append(folder.name)
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text("{}")


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", {"method": "repo"}, "{}\n")


def watch_of(run: RunDirectory, **rules) -> EvaluationWatch:
    benchmarks = tuple(parse_benchmarks(["lab_hard", "lab_general"]))
    config = EvaluationConfig.model_validate(
        {"every_steps": 1, "before": True, "benchmarks": benchmarks, **rules}
    )
    return EvaluationWatch(config, run, Trainer(), run.checkpoints)


def evaluated(run: RunDirectory, step: int, hard: float, general: list[float | None]):
    """Store both evaluations of a step; what the watch is given of them."""
    results = {}
    for name, values in (("lab_hard", [hard]), ("lab_general", general)):
        scored = [v for v in values if v is not None]
        mean = sum(scored) / len(scored) if scored else None
        rows = [{"problem_id": f"p{i}", "value": v} for i, v in enumerate(values)]
        run.write_evaluation(step, name, {"avg_at_k": {"mean": mean}}, rows)
        results[name] = SimpleNamespace(samples=[SimpleNamespace(**row) for row in rows])
    return results


RETENTION = {"benchmarks": "lab_general", "max_drop": 0.1}


def test_without_rules_nothing_is_written(run) -> None:
    watch = watch_of(run)
    assert watch.look(1, evaluated(run, 1, 0.5, [1.0])) == {}
    assert read_watch(run.path) == []
    assert watch.take_up(1) is False


def test_the_best_is_saved_with_its_step_and_only_when_it_changes(run) -> None:
    watch = watch_of(run, keep_best="lab_hard")
    evaluated(run, 0, 0.9, [1.0])
    for step, mean in ((2, 0.2), (4, 0.1), (6, 0.3)):
        watch.look(step, evaluated(run, step, mean, [1.0]))
    assert watch._trainer.saved == ["best", "best"]
    assert best_step(run.checkpoints / "best") == 6
    assert [r["best_step"] for r in read_watch(run.path)] == [2, 2, 6]
    assert [r["step"] for r in read_watch(run.path)] == [1, 3, 5]
    assert step_within(run.path, str(run.checkpoints / "best")) == 6


def test_an_alarm_is_told_with_its_interval_and_ends_where_wanted(run) -> None:
    watch = watch_of(run, retention={**RETENTION, "stop": True})
    evaluated(run, 0, 0.0, [1.0, 1.0, 1.0, 0.5])
    quiet = evaluated(run, 1, 0.0, [1.0, 1.0, 0.8, 0.5])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = watch.look(1, quiet)
    assert figures == {"evaluation/lab_general/drop": pytest.approx(0.05)}
    assert watch.end is None
    with pytest.warns(UserWarning, match=r"after step 2 .* is 0\.375 \(.*training ends"):
        watch.look(2, evaluated(run, 2, 0.0, [0.5, 1.0, 0.5, 0.0]))
    assert watch.end == "retention: lab_general by 0.375, more than 0.1"
    last = read_watch(run.path)[-1]["retention"]["lab_general"]
    assert (last["alarm"], last["interval"]["n_clusters"]) == (True, 4)


def test_problems_that_cannot_be_paired_have_no_interval(run) -> None:
    watch = watch_of(run, retention=RETENTION)
    evaluated(run, 0, 0.0, [1.0, 1.0])
    with pytest.warns(UserWarning, match="FORGETTING"):
        watch.look(1, evaluated(run, 1, 0.0, [0.0]))
    assert read_watch(run.path)[-1]["retention"]["lab_general"]["interval"] is None


def test_what_can_no_longer_be_judged_is_an_alarm(run) -> None:
    watch = watch_of(run, retention=RETENTION)
    evaluated(run, 0, 0.0, [1.0])
    with pytest.warns(UserWarning, match="FORGETTING"):
        watch.look(1, evaluated(run, 1, 0.0, [None]))


def test_a_part_that_is_gone_on_with_takes_up_what_was_decided(run) -> None:
    watch = watch_of(run, keep_best="lab_hard", early_stop={"benchmark": "lab_hard", "patience": 1})
    evaluated(run, 0, 0.0, [1.0])
    watch.look(2, evaluated(run, 2, 0.2, [1.0]))
    watch.look(4, evaluated(run, 4, 0.1, [1.0]))
    assert watch.end is not None
    again = watch_of(run, keep_best="lab_hard")
    assert again.take_up(4) is True
    assert again.end == watch.end
    assert best_step(run.checkpoints / "best") == 2
    # Back to before the end: it goes on; back to before the best: that is removed.
    run.rewind(3)
    assert [r["after_steps"] for r in read_watch(run.path)] == [2]
    assert watch_of(run, keep_best="lab_hard").take_up(3) is False
    run.rewind(1)
    assert watch_of(run, keep_best="lab_hard").take_up(1) is False
    assert not (run.checkpoints / "best").exists()


def test_a_best_policy_that_says_no_step_is_nobodys(run) -> None:
    best = run.checkpoints / "best"
    best.mkdir()
    for content in (b"", b"[]", b'{"after_steps": "x"}'):
        (best / "step.json").write_bytes(content)
        assert best_step(best) is None
    with pytest.raises(ConfigError, match="another policy's run"):
        step_within(run.path, str(best))
    watch_of(run, keep_best="lab_hard").take_up(5)
    assert not best.exists()


def test_records_are_lines_of_json(run) -> None:
    append_watch(run.path, {"step": 0, "after_steps": 1})
    (line,) = (run.path / "watch.jsonl").read_text().splitlines()
    assert json.loads(line) == {"step": 0, "after_steps": 1}
