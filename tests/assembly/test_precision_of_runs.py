"""The format of a run's arithmetic: the user's, the resumed run's, or what was measured."""

from __future__ import annotations

import pytest
import torch

from fakes import tiny_model
from rephrase_rl.assembly import precision
from rephrase_rl.assembly.precision import precision_fields
from rephrase_rl.assembly.run_parts import RunRequest
from rephrase_rl.config import parse_config
from rephrase_rl.methods import resolve_config
from rephrase_rl.runs import RunDirectory, collect_manifest


def request(tmp_path, *, resume=False, **trainer) -> RunRequest:
    config = {
        "method": "repo",
        "model": {"path": "lab:base"},
        "data": {"path": "lab:hard"},
        "trainer": trainer,
    }
    return RunRequest(resolve_config(parse_config(config)), tmp_path / "run", ["x"], resume=resume)


@pytest.fixture
def pays(monkeypatch):
    calls = []
    monkeypatch.setattr(precision, "bf16_pays", lambda model: calls.append(model) or True)
    return calls


def test_left_to_the_machine_it_is_measured(tmp_path, pays) -> None:
    model = tiny_model()
    assert precision_fields(request(tmp_path), model) == {"bf16": True}
    assert pays == [model]


@pytest.mark.parametrize("field", ["bf16", "fp16"])
def test_the_user_has_the_say(tmp_path, pays, field) -> None:
    assert precision_fields(request(tmp_path, **{field: False}), tiny_model()) == {}
    assert pays == []


def test_weights_in_another_format_are_left_alone(tmp_path, pays) -> None:
    assert precision_fields(request(tmp_path), tiny_model().to(torch.bfloat16)) == {}
    assert pays == []


@pytest.mark.parametrize("begun", [False, True])
def test_a_resumed_run_goes_on_as_it_was_begun(tmp_path, pays, begun) -> None:
    manifest = collect_manifest(["x"], 0, {"precision": {"bf16": begun, "fp16": False}})
    RunDirectory.create(tmp_path / "run", manifest, "method: repo\n")
    assert precision_fields(request(tmp_path, resume=True), tiny_model()) == {"bf16": begun}
    assert pays == []
