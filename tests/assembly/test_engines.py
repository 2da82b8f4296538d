"""Whatever samples a policy from disk does so on this process's GPU, if there is one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from rephrase_rl.assembly import engines, harness, objects, teachers, utilisation
from rephrase_rl.config import ModelConfig

USERS = (engines, harness, teachers, utilisation)


def test_a_policy_that_only_samples_goes_to_the_device_of_the_process(monkeypatch) -> None:
    """``meta`` stands for a GPU: weights move there too."""
    state = SimpleNamespace(device=torch.device("meta"))
    monkeypatch.setattr(objects, "PartialState", lambda: state)
    found = objects.load_model_to_sample(ModelConfig(path="lab:base"))
    assert found.model.device.type == "meta"
    assert objects.load_model(ModelConfig(path="lab:base")).model.device.type == "cpu"


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.__name__.rpartition(".")[2])
def test_all_that_samples_from_disk_loads_it_so(user) -> None:
    assert user.load_model_to_sample is objects.load_model_to_sample
    assert not hasattr(user, "load_model")
