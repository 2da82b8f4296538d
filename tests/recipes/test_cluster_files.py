"""Files for clusters: accelerate takes its configurations, and bash the scripts."""

from __future__ import annotations

import inspect
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import ClusterConfig
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_deepspeed_cmd_env
from recipe_scripts import load

from rephrase_rl.trainers.trl.arguments import grpo_arguments

ROOT = Path(__file__).parents[2]
ACCELERATE = sorted((ROOT / "recipes" / "accelerate").glob("*.yaml"))
SCRIPTS = sorted((ROOT / "recipes" / "cluster").glob("*.sh"))
KINDS = {
    "ddp_8_gpus": "MULTI_GPU",
    "fsdp_8_gpus": "FSDP",
    "zero2_8_gpus": "DEEPSPEED",
    "zero3_8_gpus": "DEEPSPEED",
}


@pytest.mark.parametrize("path", ACCELERATE, ids=lambda path: path.stem)
def test_accelerate_reads_its_configuration(path) -> None:
    config = ClusterConfig.from_yaml_file(str(path))
    assert config.distributed_type == KINDS[path.stem]
    assert (config.num_machines, config.num_processes) == (1, 8)
    assert config.mixed_precision == "bf16"


def test_every_configuration_is_held() -> None:
    assert {path.stem for path in ACCELERATE} == set(KINDS)


@pytest.mark.parametrize(("name", "stage"), [("zero2_8_gpus", 2), ("zero3_8_gpus", 3)])
def test_deepspeed_takes_rate_and_clipping_from_the_trainer(name, stage) -> None:
    raw = yaml.safe_load((ROOT / "recipes" / "accelerate" / f"{name}.yaml").read_text())
    deepspeed = raw["deepspeed_config"]
    assert deepspeed["zero_stage"] == stage
    assert deepspeed["gradient_clipping"] == "auto"
    assert deepspeed["gradient_accumulation_steps"] == "auto"
    # accelerate asks for every field of its plugin by these names.
    from accelerate.utils import DeepSpeedPlugin

    known = {field.removeprefix("_") for field in DeepSpeedPlugin.__dataclass_fields__}
    assert {"zero_stage", "gradient_clipping", "zero3_init_flag"} <= known


@pytest.mark.parametrize("name", ["zero2_8_gpus", "zero3_8_gpus"])
def test_deepspeed_on_several_machines_is_started_by_slurm_on_each(name) -> None:
    """Accelerate's default logs in to the others by pdsh, from every one of them."""
    line = "--num_machines 2 --num_processes 16 --machine_rank 1 --main_process_ip node1 -m"
    path = ROOT / "recipes" / "accelerate" / f"{name}.yaml"
    given = ["--config_file", str(path), *line.split(), "rephrase_rl.cli.main", "train"]
    args, read, _ = _validate_launch_command(launch_command_parser().parse_args(given))
    args.deepspeed_fields_from_accelerate_config = ",".join(read.deepspeed_config)
    command, _ = prepare_deepspeed_cmd_env(args)
    assert command is None
    assert (args.nnodes, args.nproc_per_node) == ("2", "8")


def test_weights_are_divided_by_fsdps_second_version() -> None:
    raw = yaml.safe_load((ROOT / "recipes" / "accelerate" / "fsdp_8_gpus.yaml").read_text())
    assert raw["fsdp_config"]["fsdp_version"] == 2


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_are_bash(path) -> None:
    subprocess.run(["/bin/bash", "-n", str(path)], check=True)
    assert "Configured, not run here" in path.read_text()


STAND_INS = {
    "scontrol": 'printf "%s\\n" node1 node2 node3 node4',
    # srun's own options come first and hold no blank.
    # The cores of a task are not those of the job, unless srun is told (SLURM 22.05).
    "srun": '[ "$SRUN_CPUS_PER_TASK" = 64 ] || exit 9\n'
    'while [[ "$1" == -* ]]; do shift; done; SLURM_NODEID=2 SLURM_NNODES=4 exec "$@"',
    "sleep": "exit 0",
    **{
        name: f'echo "$(printf "%s|" {name} "$RAY_ADDRESS" "$@")" >>"$CALLS"'
        for name in ("accelerate", "ray", "rephrase-rl")
    },
}
"""Programs of a cluster that write down how they were called."""


def calls_of(script: str, tmp_path: Path, *arguments: str, number: int = 1) -> list[list[str]]:
    """Program, address of Ray and arguments of each call that a job script makes, sorted.

    Those in the background may come after the script's end, so as many as ``number`` are awaited.
    """
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name, body in STAND_INS.items():
        (bin_ / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (bin_ / name).chmod(0o755)
    calls = tmp_path / "calls"
    subprocess.run(
        ["/bin/bash", str(ROOT / "recipes" / "cluster" / script), *arguments],
        env={
            "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
            "CALLS": str(calls),
            "SLURM_JOB_NODELIST": "node[1-4]",
            "SLURM_CPUS_PER_TASK": "64",
            "RAY_ADDRESS": "",
        },
        check=True,
    )
    deadline = time.monotonic() + 20.0
    while len(lines := calls.read_text().splitlines()) < number and time.monotonic() < deadline:
        time.sleep(0.02)
    return sorted(line.split("|")[:-1] for line in lines)


def test_a_slurm_job_launches_trl_on_every_node(tmp_path) -> None:
    (call,) = calls_of("slurm_trl.sh", tmp_path, "RECIPE", "--set", "seed=1")
    parser = launch_command_parser()
    given = parser.parse_args(call[3:])
    assert (given.num_machines, given.num_processes, given.machine_rank) == (4, 32, 2)
    assert given.main_process_ip == "node1"
    assert given.config_file == "recipes/accelerate/fsdp_8_gpus.yaml"
    assert given.module
    assert given.training_script == "rephrase_rl.cli.main"
    assert given.training_script_args == ["train", "RECIPE", "--set", "seed=1"]


def test_a_slurm_job_makes_a_ray_cluster_and_trains_on_it(tmp_path) -> None:
    head, others, train = calls_of("slurm_verl.sh", tmp_path, "RECIPE", "--set", "seed=1", number=3)
    if "--head" not in head:
        head, others = others, head
    block = ["--num-gpus=8", "--block"]
    assert head[:3] == ["ray", "", "start"]
    assert head[3:] == ["--head", "--port=6379", *block]
    assert others[3:] == ["--address=node1:6379", *block]
    assert train[:4] == ["rephrase-rl", "node1:6379", "train", "RECIPE"]
    assert train[4:] == [
        *("--engine", "verl", "--set", "verl.nodes=4", "--set", "verl.gpus_per_node=8"),
        *("--set", "seed=1"),
    ]


def test_a_ray_job_is_the_launch_script_of_an_export(tmp_path) -> None:
    (call,) = calls_of("ray_job.sh", tmp_path, "http://head:8265", "/shared/out", "a.b=1")
    assert call[2:] == [
        *("job", "submit", "--address", "http://head:8265", "--"),
        *("bash", "/shared/out/launch.sh", "a.b=1"),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.35},
        {"vllm_mode": "server", "vllm_server_host": "node1", "vllm_server_port": 8000},
    ],
    ids=lambda fields: fields["vllm_mode"],
)
def test_trl_takes_both_ways_of_sampling_with_vllm(tmp_path, fields) -> None:
    arguments = grpo_arguments(
        {"use_vllm": True, "per_device_train_batch_size": 8, "num_generations": 8, **fields},
        output_dir=str(tmp_path),
        seed=0,
        scale_rewards="group",
        reward_weights=[1.0],
    )
    assert arguments.use_vllm
    for name, value in fields.items():
        assert getattr(arguments, name) == value


@pytest.mark.contract
def test_the_server_of_the_page_is_started_as_trl_starts_it() -> None:
    """``trl vllm-serve`` is deprecated and does no more than this."""
    from trl.scripts import vllm_serve

    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = [line for line in page.splitlines() if "vllm serve MODEL" in line]
    given = shlex.split(line)
    asked = vllm_serve.build_command(vllm_serve.ScriptArguments(model="MODEL"))
    for option in ("--weight-transfer-config", "--logprobs-mode"):
        assert given[given.index(option) + 1] == asked[asked.index(option) + 1]
    for option in ("--max-model-len", "--tensor-parallel-size"):
        assert f'"{option}"' in inspect.getsource(vllm_serve.build_command)
        assert option in given
    switch = 'env["VLLM_SERVER_DEV_MODE"] = "1"'
    assert switch in inspect.getsource(vllm_serve.main)
    assert given[0] == "VLLM_SERVER_DEV_MODE=1"


def test_gpu_check_says_that_there_is_no_gpu() -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "gpu_check.py")],
        env={"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT / "src"), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 3, ended.stderr
    assert "not run" in ended.stdout


@pytest.mark.slow
def test_gpu_check_works_in_its_form_without_a_gpu(tmp_path) -> None:
    """The same code but for vLLM and four bits, so that a GPU does not wait for a slip of a pen."""
    ended = subprocess.run(
        [
            *(sys.executable, str(ROOT / "scripts" / "gpu_check.py"), "--cpu"),
            *("--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["device"] == "cpu"
    for name in ("logps", "steps", "vllm", "lora", "qlora"):
        assert card[name]["passed"], card[name]
    assert card["steps"]["injected"] > 0
    assert card["lora"]["injected"] > 0
    assert (card["vllm"]["vllm"], card["qlora"]["four_bits"]) == (False, False)
    assert card["logps"]["largest_difference"]["float32"] == 0.0


def test_gpu_check_sees_a_figure_that_is_another(monkeypatch) -> None:
    check = load("gpu_check")
    step = dict.fromkeys(check.FIGURES, 1.0)
    assert check.largest_difference([step], [dict(step)])[1] == 0.0
    assert check.largest_difference([step], [step | {"loss": 1.5}]) == ("loss", 0.25)
    assert check.largest_difference([step], [step | {"loss": float("nan")}])[1] == float("inf")
    with pytest.raises(RuntimeError, match="one device alone"):
        check.largest_difference([step], [{k: v for k, v in step.items() if k != "loss"}])
    with pytest.raises(RuntimeError, match="found 0 steps"):
        check.largest_difference([step], [])


def test_gpu_check_fails_where_the_device_computes_something_else(monkeypatch, tmp_path) -> None:
    check = load("gpu_check")
    step = dict.fromkeys(check.FIGURES, 1.0)
    other = iter([[step], [step | {"grad_norm": 1.1}]])
    monkeypatch.setattr(check, "train_steps", lambda *a, **k: next(other))
    at = check.Setting("cpu", tmp_path)
    with pytest.raises(RuntimeError, match="grad_norm differs from the CPU's"):
        check.compare_steps(at, tmp_path, ("float32",))


def test_gpu_check_fails_where_nothing_entered(monkeypatch, tmp_path) -> None:
    check = load("gpu_check")
    step = dict.fromkeys(check.FIGURES, 0.0)
    monkeypatch.setattr(check, "train_steps", lambda *a, **k: [step])
    with pytest.raises(RuntimeError, match="shows nothing"):
        check.compare_steps(check.Setting("cpu", tmp_path), tmp_path, ("float32",))
