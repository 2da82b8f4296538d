"""A real launch, as far as a machine without GPUs lets verl go."""

from __future__ import annotations

import pytest
import torch

from rephrase_rl.assembly.verl.launching import train_on_verl
from rephrase_rl.errors import TrainingError
from rephrase_rl.runs import RunDirectory
from verl_fakes import run_config

pytestmark = pytest.mark.slow


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine would train")
def test_a_launch_reaches_verls_search_for_gpus(tmp_path, monkeypatch, capfd) -> None:
    """Past our checks, Ray, the task runner, the guided trainer and verl's reading of the data."""
    monkeypatch.setenv("PYTHONPATH", f"src:{tmp_path}")
    run = run_config(
        rewards=[{"verifier": "exact"}],
        verl={
            "prompts_per_step": 2,
            "gpus_per_node": 1,
            "max_prompt_length": 128,
            "agent_workers": 1,
            "reward_workers": 1,
            "overrides": {
                # TransferQueue's actors ask for a core each, whether there are so many or not.
                "ray_kwargs.ray_init.num_cpus": 16,
                "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
                "data.dataloader_num_workers": 0,
            },
        },
    )
    with pytest.raises(TrainingError, match="verl ended with status"):
        train_on_verl(run, run_path=tmp_path / "run", command=["test"])
    printed = "".join(capfd.readouterr())
    assert "dataset len: 4" in printed
    assert "GuidedTaskRunner" in printed
    assert "GPU" in printed
    assert RunDirectory.open(tmp_path / "run").manifest["engine"]["verl"]["prompts_per_step"] == 2
