"""A real launch, as far as a machine without GPUs lets verl go."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rephrase_rl.assembly.verl.exporting import export_run
from rephrase_rl.assembly.verl.launching import train_on_verl
from rephrase_rl.errors import TrainingError
from rephrase_rl.runs import RunDirectory
from verl_fakes import run_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.is_available(), reason="this machine would train"),
]
SOURCES = str(Path(__file__).parents[3] / "src")


@pytest.fixture
def run():
    return run_config(
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
                "+ray_kwargs.ray_init.include_dashboard": False,
                "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
                "data.dataloader_num_workers": 0,
            },
        },
    )


def reached_the_search_for_gpus(printed: str, mode: str) -> None:
    """Past our checks, Ray, the task runner, the guided trainer, and verl's reading of the data."""
    assert f"rephrase_rl_{mode}" in printed
    assert "train dataset size: 4, val dataset size: 1" in printed
    assert "Total available GPUs 0 is less than total desired GPUs 1" in printed


def test_a_launch_reaches_verls_search_for_gpus(run, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.setenv("PYTHONPATH", SOURCES)
    with pytest.raises(TrainingError, match="verl ended with status"):
        train_on_verl(run, run_path=tmp_path / "run", command=["test"])
    reached_the_search_for_gpus("".join(capfd.readouterr()), "sync")
    assert RunDirectory.open(tmp_path / "run").manifest["engine"]["verl"]["prompts_per_step"] == 2


HEAD = """
from ray.cluster_utils import Cluster
node = {"num_cpus": 16, "include_dashboard": False, "object_store_memory": 200 * 2**20}
cluster = Cluster(initialize_head=True, head_node_args=node)
print(cluster.address, flush=True)
input()
cluster.shutdown()
"""
"""A cluster of one node that knows nothing of this package, until its input ends."""


@pytest.fixture
def cluster():
    """The address of a Ray cluster that was there before the run."""
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    head = subprocess.Popen(
        [sys.executable, "-c", HEAD],
        env=bare,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    lines = (line.strip() for line in head.stdout)
    yield next(line for line in lines if re.fullmatch(r"[0-9.]+:[0-9]+", line))
    head.communicate("\n", timeout=60)


def test_an_exported_folder_reaches_it_on_a_cluster_that_is_there_already(
    run, tmp_path, cluster
) -> None:
    """Its workers find the package of the folder, and not one that is installed.

    In the mode that asks most of a launch.
    """
    size = ("ray_kwargs.ray_init.num_cpus", "+ray_kwargs.ray_init.include_dashboard")
    ours = {n: value for n, value in run.verl.overrides.items() if n not in size}
    apart = {"mode": "separate_async", "rollout_nodes": 1, "prompts_per_update": 1}
    verl = run.verl.model_copy(update={"overrides": ours, **apart})
    export_run(run.model_copy(update={"verl": verl}), tmp_path / "out", command=["test"])
    folder = (tmp_path / "out").rename(tmp_path / "moved")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["/bin/bash", str(folder / "launch.sh")],
        env=os.environ | {"PATH": path, "PYTHONPATH": "", "RAY_ADDRESS": cluster},
        capture_output=True,
        text=True,
    )
    assert ended.returncode != 0
    printed = ended.stdout + ended.stderr
    reached_the_search_for_gpus(printed, "separate_async")
    launch = re.escape(f"{folder}/package/rephrase_rl/trainers/verl/launch.py")
    assert re.search(rf"ray::GuidedTaskRunner.*?{launch}", printed, re.DOTALL)
