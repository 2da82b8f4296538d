"""Weights that FSDP2 divides over two gloo processes train as whole ones do, and resume."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from split_runs import ARGUMENTS, split_supervised, split_trainer

pytestmark = pytest.mark.distributed

JOB = Path(__file__).with_name("split_job.py")
RECIPE = Path(__file__).parents[2] / "recipes" / "accelerate" / "fsdp_8_gpus.yaml"
LIMIT_S = 180


def launch(
    folder: Path, arithmetic: str, trained: str = "weights"
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """What the job found, and the weights that vLLM would be sent."""
    fsdp = yaml.safe_load(RECIPE.read_text())["fsdp_config"]
    environment = {name.upper(): str(value).lower() for name, value in fsdp.items()}
    names = ("FSDP_AUTO_WRAP_POLICY", "FSDP_STATE_DICT_TYPE")
    environment |= {name: environment[name].upper() for name in names}
    out = folder / "found.json"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [sys.executable, *launcher, str(JOB), str(out), arithmetic, trained],
        env=os.environ
        | environment
        | {"ACCELERATE_USE_FSDP": "true", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        timeout=LIMIT_S,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text()), torch.load(out.with_suffix(".pt"), weights_only=True)


def test_split_weights_are_trained_sent_and_resumed_as_whole_ones(tmp_path) -> None:
    found, weights = launch(tmp_path, "float32")
    assert found["kind"] == "DistributedType.FSDP"
    assert found["injected"] == 3
    assert found["resumed"], "the run that goes on from step 2 is the one that was left alone"
    one = split_trainer(tmp_path / "one", ARGUMENTS)
    one.train()
    norms = [line["grad_norm"] for line in one.state.log_history[:3]]
    assert found["grad_norm"] == pytest.approx(norms, rel=1e-4)
    whole = dict(one.model.named_parameters())
    assert weights.keys() == whole.keys(), "vLLM is sent every weight under its own name"
    gap = max(float((weights[name] - whole[name].detach()).abs().max()) for name in whole)
    assert gap < 1e-4


def test_under_bf16_sums_and_log_probs_stay_float32(tmp_path) -> None:
    found, _ = launch(tmp_path, "bf16")
    assert found["logps"] == ["torch.float32"]
    assert found["gradients"] == ["torch.float32"]
    assert found["whole_gradients"] == 0, "a process holds gradients of its own part alone"
    assert found["resumed"]


@pytest.mark.slow
def test_adapters_on_split_weights_are_merged_for_vllm_and_resumed(tmp_path) -> None:
    found, weights = launch(tmp_path, "float32", "adapter")
    assert found["resumed"]
    one = split_trainer(tmp_path / "one", ARGUMENTS, adapter=True)
    one.train()
    norms = [line["grad_norm"] for line in one.state.log_history[:3]]
    assert found["grad_norm"] == pytest.approx(norms, rel=1e-3)
    merged = one.model.merge_and_unload()
    whole = dict(merged.named_parameters())
    assert weights.keys() == whole.keys(), "of the model, not of the adapter"
    gap = max(float((weights[name] - whole[name].detach()).abs().max()) for name in whole)
    assert gap < 1e-4


@pytest.mark.slow
def test_supervised_training_on_split_weights(tmp_path) -> None:
    found, weights = launch(tmp_path, "float32", "texts")
    assert found["resumed"]
    one = split_supervised(tmp_path / "one", ARGUMENTS)
    one.train()
    norms = [line["grad_norm"] for line in one.state.log_history[:3]]
    assert found["grad_norm"] == pytest.approx(norms, rel=1e-4)
    whole = dict(one.model.named_parameters())
    gap = max(float((weights[name] - whole[name].detach()).abs().max()) for name in whole)
    assert gap < 1e-4
