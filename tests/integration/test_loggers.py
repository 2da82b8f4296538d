"""Trackers get the figures of ``steps.jsonl`` under the same names, and evaluations beside them."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from rephrase_rl.assembly import train_run
from rephrase_rl.config import parse_config
from rephrase_rl.errors import ConfigError
from rephrase_rl.runs import RunDirectory

pytestmark = pytest.mark.integration


class Tracker(TrainerCallback):
    """Stands for any integration of transformers; keeps what it is given."""

    seen: ClassVar[list[tuple[int, dict[str, Any]]]] = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.seen.append((state.global_step, dict(logs)))


def config(report_to: Any, method: str = "repo"):
    benchmark = {"name": "easy", "data": {"path": "lab:easy", "limit": 4}, "max_new_tokens": 40}
    return parse_config(
        {
            "method": method,
            "model": {"path": "lab:base"},
            "data": {"path": "lab:hard", "limit": 16},
            "trainer": {
                "max_steps": 3,
                "per_device_train_batch_size": 8,
                "num_generations": 4,
                "max_completion_length": 40,
                "bf16": False,
                "report_to": report_to,
            },
            "evaluation": {"before": True, "every_steps": 2, "benchmarks": [benchmark]},
        }
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run with event files and a tracker of transformers' list; its warnings too."""
    path = tmp_path_factory.mktemp("run") / "my-run"
    Tracker.seen = []
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    with pytest.MonkeyPatch.context() as patch:
        known = {**integration_utils.INTEGRATION_TO_CALLBACK, "tracker": Tracker}
        for module in (integration_utils, _loggers()):
            patch.setattr(module, "INTEGRATION_TO_CALLBACK", known)
        patch.setattr(
            _loggers(), "get_available_reporting_integrations", lambda: ["tensorboard", "tracker"]
        )
        patch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
        logging.getLogger("transformers").addHandler(handler)
        train_run(config(["tensorboard", "tracker"]), run_path=path, command=["test"])
        logging.getLogger("transformers").removeHandler(handler)
    return RunDirectory.open(path), messages


def _loggers():
    from rephrase_rl.trainers.trl import loggers

    return loggers


def events(run: RunDirectory) -> EventAccumulator:
    """What TensorBoard itself reads from the run's event files."""
    found = EventAccumulator(str(run.path / "tensorboard"))
    found.Reload()
    return found


def test_event_files_hold_every_figure_under_its_name(finished):
    run, _ = finished
    read = events(run)
    tags = set(read.Tags()["scalars"])
    for record in run.steps():
        for name, value in record.metrics.items():
            if value is None:
                continue
            assert f"train/{name}" in tags
            at_step = {e.step: e.value for e in read.Scalars(f"train/{name}")}
            # Steps count from 0 in the record and are counted when done by transformers.
            assert at_step[record.step + 1] == pytest.approx(value, rel=1e-5, abs=1e-7), name
    for name in ("groups/all_failed_fraction", "gate/open_fraction", "tokens/rephrase"):
        assert f"train/{name}" in tags


def test_evaluations_stand_beside_them(finished):
    run, _ = finished
    means = {e.step: e.result["avg_at_k"]["mean"] for e in run.evaluations()}
    logged = {e.step: e.value for e in events(run).Scalars("train/evaluation/easy/avg_at_1")}
    # Of steps 0 and 2; the one after the last step is the run directory's alone.
    assert set(logged) == {0, 2}
    assert set(means) == {0, 2, 3}
    assert all(logged[step] == pytest.approx(means[step], rel=1e-6) for step in logged)


def test_any_integration_gets_the_same_and_no_gaps(finished):
    run, messages = finished
    by_step = {step: logs for step, logs in Tracker.seen if "loss" in logs}
    for record in run.steps():
        logs = by_step[record.step + 1]
        known = {name: value for name, value in record.metrics.items() if value is not None}
        assert {name: logs[name] for name in known} == pytest.approx(known)
    values = [value for _, logs in Tracker.seen for value in logs.values()]
    assert not any(v is None or (isinstance(v, float) and math.isnan(v)) for v in values)
    assert not [text for text in messages if "as a scalar" in text]
    assert any("evaluation/easy/pass_at_1" in logs for _, logs in Tracker.seen)


def test_gaps_stay_away_from_trackers(monkeypatch, tmp_path):
    monkeypatch.setattr(_loggers(), "INTEGRATION_TO_CALLBACK", {"tracker": Tracker})
    tracker = Tracker()
    handler = SimpleNamespace(callbacks=[tracker, TrainerCallback()])
    _loggers().prepare_loggers(SimpleNamespace(callback_handler=handler), tmp_path)
    figures = {"reward": 1.0, "injection/logp_on_q": None, "kl": math.nan, "note": "text"}
    tracker.on_log(None, SimpleNamespace(global_step=7), None, logs=figures)
    assert Tracker.seen[-1] == (7, {"reward": 1.0, "note": "text"})


def test_supervised_runs_have_event_files_too(tmp_path):
    train_run(config("tensorboard", "sft"), run_path=tmp_path / "run", command=["test"])
    run = RunDirectory.open(tmp_path / "run")
    read = events(run)
    losses = {e.step: e.value for e in read.Scalars("train/loss")}
    assert losses == pytest.approx({r.step + 1: r.metrics["loss"] for r in run.steps()}, rel=1e-5)
    assert "train/tokens/trained" in read.Tags()["scalars"]


def test_event_files_go_with_the_run_that_is_overwritten(finished, tmp_path):
    run, _ = finished
    folder = run.path / "tensorboard"
    assert list(folder.iterdir())
    train_run(config("none"), run_path=run.path, command=["test"], overwrite=True)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("report_to", "message"),
    [
        ("tensorbord", "did you mean tensorboard"),
        (["tensorboard", "nonsense"], "'nonsense', which transformers lacks"),
        ("neptune", "neptune, which is not installed"),
        (3, "a name or a list of names"),
    ],
)
def test_a_tracker_that_is_not_there_is_refused_before_the_run(tmp_path, report_to, message):
    path: Path = tmp_path / "run"
    with pytest.raises(ConfigError, match=message):
        train_run(config(report_to), run_path=path, command=["test"])
    assert not path.exists()
