"""A run on verl as far as it goes without verl: refusals, data files, the launch, the export."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rephrase_rl.assembly.problems import training_problems
from rephrase_rl.assembly.verl.exporting import export_run
from rephrase_rl.assembly.verl.hydra_text import override
from rephrase_rl.assembly.verl.launching import (
    files_in,
    plan_launch,
    train_on_verl,
    write_files,
)
from rephrase_rl.assembly.verl.overrides import translate
from rephrase_rl.assembly.verl.parts import run_parts
from rephrase_rl.config import parse_config
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.methods import resolve_config
from rephrase_rl.records import Problem, from_json
from rephrase_rl.runs import RunDirectory

ROOT = Path(__file__).parents[2]


def run_of(method: str = "repo", **changes):
    raw = {
        "method": method,
        "model": {"path": "lab:base"},
        "data": [{"name": "lab", "path": "lab:hard", "limit": 3}],
        "trainer": {"max_completion_length": 64},
        "verl": {"prompts_per_step": 3, "max_prompt_length": 128},
    }
    for name, value in changes.items():
        raw[name] = raw.get(name, {}) | value if isinstance(value, dict) else value
    return parse_config(raw)


BENCHMARK = {
    "name": "easy",
    "data": {"name": "e", "path": "lab:easy", "split": "test"},
    "max_new_tokens": 64,
}
WATCHED = {"benchmarks": [BENCHMARK], "every_steps": 5, "before": True}
EARLY_STOP = WATCHED | {"early_stop": {"benchmark": "easy"}}
RETENTION = WATCHED | {"retention": {"benchmarks": ["easy"], "max_drop": 0.1, "stop": True}}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"method": "sft"}, "slot.kind"),
        ({"method": "chord"}, "slot.kind"),
        ({"method": "replay"}, "has a memory"),
        ({"guidance": {"source": {"cache_steps": 2}}}, "has a memory"),
        ({"guidance": {"gate": {"kind": "visits"}}}, "visits"),
        ({"guidance": {"no_spread": {"policy": "resample"}}}, "resample"),
        ({"guidance": {"source": {"sampling": "anticipated"}}}, "anticipated"),
        ({"model": {"revision": "abc"}}, "model.revision"),
        ({"trainer": {"loss_type": "sapo"}}, "loss_type"),
        ({"trainer": {"importance_sampling_level": "sequence"}}, "importance_sampling_level"),
        ({"trainer": {"min_p": 0.1}}, "min_p"),
        ({"trainer": {"beta": 0.1}}, "use_bias_correction_kl"),
        ({"trainer": {"optim": "sgd"}}, "optim"),
        ({"trainer": {"num_train_epochs": 1.5}}, "num_train_epochs"),
        ({"trainer": {"neftune_noise_alpha": 1.0}}, "neftune_noise_alpha"),
        ({"model": {"lora": {"dropout": 0.1}}}, "model.lora.dropout"),
        ({"model": {"lora": {"use_rslora": True}}}, "model.lora.use_rslora"),
        ({"model": {"lora": {}, "load_in_4bit": True}}, "model.load_in_4bit"),
        ({"trainer": {"save_strategy": "epoch"}}, "save_strategy"),
        ({"trainer": {"warmup_steps": 0.1}}, "warmup_steps"),
        ({"trainer": {"save_strategy": "steps", "save_steps": 0.5}}, "save_steps"),
        ({"model": {"dtype": "auto"}}, "model.dtype"),
        ({"trainer": {"temperature": 0.7}, "log": {"token_logps": "all"}}, "token_logps"),
        ({"verl": {"prompts_per_update": 2}}, "prompts_per_update"),
        ({"verl": {"tokens_per_gpu": 191}}, "tokens_per_gpu"),
        ({"verl": {"gpus_per_node": 7}}, "multiple of the 7 GPUs"),
        ({"verl": {"mode": "separate_async"}}, "rollout_nodes"),
        ({"verl": {"rollout_nodes": 1}}, "rollout_nodes"),
        ({"evaluation": EARLY_STOP}, "early_stop"),
        ({"evaluation": RETENTION}, r"retention\.stop"),
    ],
)
def test_what_has_no_counterpart_is_refused(changes, word, tmp_path) -> None:
    with pytest.raises(ConfigError, match=word):
        plan_launch(run_of(**changes), tmp_path)


def test_all_faults_are_told_at_once(tmp_path) -> None:
    with pytest.raises(ConfigError) as refused:
        plan_launch(run_of(trainer={"min_p": 0.1, "loss_type": "sapo"}), tmp_path)
    assert "min_p" in str(refused.value)
    assert "loss_type" in str(refused.value)


def test_fields_of_trl_alone_are_named_where_the_user_set_them(tmp_path) -> None:
    launch = plan_launch(run_of(trainer={"use_vllm": True, "vllm_mode": "colocate"}), tmp_path)
    assert set(launch.unused) == {"trainer.use_vllm", "trainer.vllm_mode"}
    assert plan_launch(run_of(), tmp_path).unused == ()


def test_adapters_are_handed_on(tmp_path) -> None:
    lora = {"r": 8, "target_modules": ["q_proj", "v_proj"]}
    settings = translate(resolve_config(run_of(model={"lora": lora})), files_in(tmp_path)).settings
    model = "actor_rollout_ref.model"
    assert settings[f"{model}.lora_rank"] == 8
    assert settings[f"{model}.lora_alpha"] == 32
    assert settings[f"{model}.target_modules"] == ["q_proj", "v_proj"]
    whole = translate(resolve_config(run_of()), files_in(tmp_path)).settings
    assert not [path for path in whole if "lora" in path]


def test_a_policy_that_is_an_adapter_is_to_be_merged_first(tmp_path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "m"}')
    with pytest.raises(ConfigError, match="export merged"):
        plan_launch(run_of(init_from=str(tmp_path)), tmp_path / "run")


def test_what_watches_over_a_run_of_trl_is_named(tmp_path) -> None:
    watched = WATCHED | {
        "keep_best": "easy",
        "retention": {"benchmarks": ["easy"], "max_drop": 0.1},
    }
    changes = {
        "evaluation": watched,
        "guards": {"hang_limit_s": 60.0},
        "compute": {"skip_untrained": False},
    }
    assert set(plan_launch(run_of(**changes), tmp_path).unused) == {
        "evaluation.keep_best",
        "evaluation.retention",
        "guards.hang_limit_s",
        "compute.skip_untrained",
    }


def test_gpus_that_share_an_update_otherwise_are_the_users_own_business(tmp_path) -> None:
    overrides = {"actor_rollout_ref.actor.fsdp_config.ulysses_sequence_parallel_size": 7}
    assert plan_launch(run_of(verl={"gpus_per_node": 7, "overrides": overrides}), tmp_path).command


def test_every_default_of_ours_is_translated_or_named(tmp_path) -> None:
    """A new default in ``methods`` has to find its place in verl."""
    translated = translate(resolve_config(run_of()), files_in(tmp_path))
    assert translated.settings
    assert translated.unused == ()


def test_data_files_have_verls_columns_and_the_whole_problem(tmp_path) -> None:
    config = resolve_config(run_of())
    problems = training_problems(config)
    files = files_in(tmp_path)
    write_files(config, problems, files)
    rows = pq.read_table(files.train).to_pylist()
    assert list(rows[0]) == ["data_source", "prompt", "ability", "reward_model", "extra_info"]
    assert rows[0]["prompt"][-1]["role"] == "user"
    assert rows[0]["reward_model"]["ground_truth"] == problems[0].reference_answer
    found = [from_json(Problem, json.loads(row["extra_info"]["problem"])) for row in rows]
    assert found == problems
    assert pq.read_table(files.evaluation).num_rows == 1  # verl wants one that is not empty


def test_benchmarks_become_validation_rows(tmp_path) -> None:
    benchmark = {
        "name": "easy",
        "data": {"name": "e", "path": "lab:easy", "split": "test"},
        "limit": 2,
        "max_new_tokens": 64,
    }
    config = resolve_config(run_of(evaluation={"benchmarks": [benchmark], "every_steps": 5}))
    files = files_in(tmp_path)
    write_files(config, training_problems(config), files)
    rows = pq.read_table(files.evaluation).to_pylist()
    assert [row["data_source"] for row in rows] == ["evaluation/easy"] * 2


def test_evaluations_that_verl_cannot_sample_beside_the_others_are_named(tmp_path) -> None:
    benchmarks = [
        {"name": f"b{i}", "data": {"name": "e", "path": "lab:easy", "split": "test"}} | changes
        for i, changes in enumerate(
            (
                {"max_new_tokens": 64},
                {"max_new_tokens": 64, "temperature": 0.0},
                {"max_new_tokens": 32},
            )
        )
    ]
    launch = plan_launch(run_of(evaluation={"benchmarks": benchmarks}), tmp_path)
    assert launch.unused == ("evaluation of b1", "evaluation of b2")
    assert "trainer.test_freq=1000000000" in launch.command  # after the last step


def test_prompts_that_verl_would_cut_are_refused(tmp_path) -> None:
    config = resolve_config(run_of(verl={"max_prompt_length": 10}))
    with pytest.raises(DataError, match="max_prompt_length"):
        write_files(config, training_problems(config), files_in(tmp_path))


def test_data_that_does_not_fill_a_step_is_refused(tmp_path) -> None:
    """verl leaves such a step out, counts 0 steps in an epoch and divides by them."""
    config = resolve_config(run_of(verl={"prompts_per_step": 4}))
    with pytest.raises(DataError, match=r"found 3 problems, required at least the 4"):
        write_files(config, training_problems(config), files_in(tmp_path))


def test_workers_rebuild_method_and_rewards_from_the_facts(tmp_path) -> None:
    config = resolve_config(run_of())
    problems = training_problems(config)
    files = files_in(tmp_path)
    write_files(config, problems, files)
    parts = run_parts(json.loads(files.facts.read_text()))
    assert parts.guidance().active
    assert (parts.seed, parts.scale) == (0, "group")
    assert (parts.keep_groups, parts.token_logps) == ("all", "accepted")
    judge = parts.judge()
    answer = problems[0].reference_answer
    right, wrong = judge("train", [f"#{answer}", "no"], [problems[0], problems[0]])
    judge.close()
    assert (right.reward, wrong.reward) == (1.0, 0.0)


def test_the_launch_is_one_command(tmp_path) -> None:
    launch = plan_launch(run_of(verl={"ray_address": "ray://head:10001"}), tmp_path)
    assert launch.command[1:3] == ("-m", "rephrase_rl.trainers.verl.launch")
    assert launch.environment == {"RAY_ADDRESS": "ray://head:10001"}
    assert launch.shell().startswith("RAY_ADDRESS=ray://head:10001 ")
    assert not list(tmp_path.iterdir())


def test_settings_of_verl_may_be_written_as_paths_or_as_mappings(tmp_path) -> None:
    overrides = {"trainer.logger": ["wandb"], "trainer": {"project_name": "mine"}}
    command = plan_launch(run_of(verl={"overrides": overrides}), tmp_path).command
    assert "trainer.logger=[wandb]" in command
    assert "trainer.project_name=mine" in command
    assert not any(word.startswith("trainer={") for word in command)


def test_without_verl_the_run_is_refused_before_anything_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        "rephrase_rl.assembly.verl.launching.importlib.util.find_spec", lambda name: None
    )
    with pytest.raises(ConfigError, match="verl is not installed"):
        train_on_verl(run_of(), run_path=tmp_path / "run", command=[])
    assert not (tmp_path / "run").exists()


def test_an_exported_folder_holds_all_that_it_needs(tmp_path) -> None:
    folder = tmp_path / "out put"
    export_run(run_of(), folder, command=["rephrase-rl"])
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "launch.sh",
        "config.yaml",
        "requirements.txt",
        "manifest.json",
        "data",
        "package",
        "run",
    }
    assert {path.name for path in (folder / "data").iterdir()} == {
        "train.parquet",
        "evaluation.parquet",
        "facts.json",
    }
    assert RunDirectory.open(folder / "run").manifest["method"] == "repo"
    for path in (folder / "package").rglob("*.py"):
        ast.parse(path.read_text())
    script = (folder / "launch.sh").read_text()
    assert str(tmp_path) not in script, "the folder may be moved"
    assert os.access(folder / "launch.sh", os.X_OK)
    with pytest.raises(ConfigError, match="not empty"):
        export_run(run_of(), folder, command=[])


def launched(folder: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with a stand-in for Python that prints its arguments."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    echo = 'echo "$PYTHONPATH"; printf "%s\\n" "$@"'
    python.write_text(f"#!/usr/bin/env bash\n[ $# -gt 1 ] || exit 0\n{echo}\n")
    python.chmod(0o755)
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["/bin/bash", str(folder / "launch.sh"), "trainer.total_training_steps=1"],
        env=os.environ | {"PATH": path, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )


def test_the_script_starts_with_its_own_folders_files(tmp_path) -> None:
    folder = tmp_path / "out"
    export_run(run_of(), folder, command=[])
    moved = folder.rename(tmp_path / "moved")
    printed = launched(moved, tmp_path).stdout.splitlines()
    assert printed[0] == str(moved / "package")
    assert printed[1:3] == ["-m", "rephrase_rl.trainers.verl.launch"]
    assert override("data.train_files", f"{moved}/data/train.parquet") in printed
    # The workers of a cluster that is there already do not have the script's variables.
    assert printed[-2] == f"+ray_kwargs.ray_init.runtime_env.env_vars.PYTHONPATH={moved}/package"
    assert printed[-1] == "trainer.total_training_steps=1"


def test_the_script_refuses_a_path_that_hydra_would_read_otherwise(tmp_path) -> None:
    folder = tmp_path / "it's here"
    export_run(run_of(), folder, command=[])
    ended = launched(folder, tmp_path)
    assert ended.returncode == 2
    assert "move the folder" in ended.stderr
    assert ended.stdout == ""


NOT_OF_VERL = ("trl", "typer", "scipy", "matplotlib", "openai", "gguf", "greenlet")
"""Packages of ours that neither verl 0.9.1 nor an export's requirements install."""


def test_what_workers_import_is_there_where_verl_is() -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({NOT_OF_VERL}))\n"
        "import rephrase_rl.guidance.step, rephrase_rl.runs, rephrase_rl.rewards.math_verifier\n"
        "from rephrase_rl.assembly.verl.parts import run_parts\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=ROOT, env=os.environ, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
