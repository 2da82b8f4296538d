"""What tutorials show beside commands: their own test passes, their verifier accepts experts."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

from pages import ROOT, commands_of, saved_files, tiny_model
from rephrase_rl.cli.main import main


def page(name: str) -> str:
    return (ROOT / "docs" / "tutorials" / name).read_text(encoding="utf-8")


def test_the_gate_of_the_page_passes_the_test_of_the_page(tmp_path) -> None:
    saved_files(page("write-a-gate.md"), tmp_path)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_patient.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True,
                          env={"PYTHONPATH": str(ROOT / "src")})  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.integration
def test_the_verifier_of_the_page_accepts_the_experts_of_the_page(
    tmp_path, monkeypatch, capsys
) -> None:
    saved_files(page("add-a-verifier.md"), tmp_path)
    tiny_model(tmp_path / "models" / "SmolLM2-135M-Instruct")
    monkeypatch.chdir(tmp_path)
    assert main(["data", "check", "days.yaml", "--rows", "0"]) == 0
    assert "3 of 3" in capsys.readouterr().out


STAND_IN = """#!/bin/sh
mkdir "$4" && cp "$(echo "$*" | sed 's/.*data.0.path=\\([^ ]*\\).*/\\1/')" "$4/hard.parquet"
echo "$CUDA_VISIBLE_DEVICES $*" >"$4/called"
"""
"""Of ``rephrase-rl mine CONFIG --out FOLDER``: finds every problem hard."""


def write_problems(folder, count: int) -> list[str]:
    lines = [
        json.dumps(
            {"question": f"{n} + 1?", "reference_answer": n + 1, "expert_solution": str(n + 1)}
        )
        for n in range(count)
    ]
    for name in ("problems.jsonl", "held_out.jsonl"):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lines


def test_the_loop_over_gpus_mines_every_problem_once(tmp_path) -> None:
    lines = write_problems(tmp_path, 40)
    (loop,) = re.findall(r"```bash\n(split .*?)```", page("7b-8-gpus.md"), re.DOTALL)
    stand_in = tmp_path / "bin" / "rephrase-rl"
    stand_in.parent.mkdir()
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    env = os.environ | {"PATH": f"{stand_in.parent}:{os.environ['PATH']}"}
    subprocess.run(["/bin/bash", "-ec", loop], cwd=tmp_path, env=env, check=True)
    parts = sorted((tmp_path / "hard").iterdir())
    assert len(parts) == 8
    assert [line for part in parts for line in part.read_text().splitlines()] == lines
    for gpu in range(8):
        called = (tmp_path / f"mined_{gpu}" / "called").read_text()
        assert called.startswith(f"{gpu} mine all.yaml")
        assert f"seed={gpu} " in called


TRIED = {
    "rephrase-rl ": "",
    "Qwen/Qwen2.5-7B-Instruct": "model",
    "--engine vllm": "",
    "--benchmark gsm8k": "",
    "checkpoint-25": "checkpoint-1",
    "checkpoint-50": "checkpoint-2",
}
"""What stands in a command -> what is tried here in its place."""


def tried(line: str) -> str:
    for shown, here in TRIED.items():
        line = line.replace(shown, here)
    return line


@pytest.mark.slow
@pytest.mark.integration
def test_the_steps_for_a_node_of_gpus_with_a_tiny_model(tmp_path, monkeypatch, capsys) -> None:
    """In the order of the page; a CPU stands for the GPUs, and two checkpoints for many."""
    monkeypatch.chdir(tmp_path)
    text = page("7b-8-gpus.md")
    saved_files(text, tmp_path)
    write_problems(tmp_path, 64)
    tiny_model(tmp_path / "model")
    (mine,) = re.findall(r"rephrase-rl (mine .*?) >", re.sub(r"\\\n\s*", " ", text))

    def run(line: str, *more: str) -> None:
        assert main([*shlex.split(line), *more]) == 0, capsys.readouterr().err

    def run_page(start: str, *more: str) -> None:
        lines = [line for line in commands_of(text) if line.startswith(f"rephrase-rl {start}")]
        assert lines, start
        for line in lines:
            run(tried(line), *more)

    short = ("--set", "trainer.max_completion_length=8")
    run_page("init Qwen/Qwen2.5-7B-Instruct problems.jsonl")
    run_page("data check all.yaml")
    (tmp_path / "hard").mkdir()
    subprocess.run(["/bin/bash", "-c", "split -n l/2 -d -a 1 --additional-suffix=.jsonl "
                    "problems.jsonl part_"], check=True)  # fmt: skip
    for gpu in range(2):
        run(tried(mine.replace("$gpu", str(gpu))), "-k", "1", *short)
        shutil.copy(f"mined_{gpu}/hard.parquet", f"hard/{gpu}.parquet")
    run_page("init Qwen/Qwen2.5-7B-Instruct hard")
    run_page("rephrase", *short)
    config = yaml.safe_load((tmp_path / "hard.yaml").read_text())
    for section, changes in yaml.safe_load((tmp_path / "hard_changes.yaml").read_text()).items():
        config[section] = config.get(section, {}) | changes
    config["trainer"].pop("max_steps", None)  # which `init` writes where there is no GPU
    (tmp_path / "hard.yaml").write_text(yaml.safe_dump(config))
    capsys.readouterr()
    run_page("train hard.yaml --dry-run")
    assert "64 problems" in " ".join(capsys.readouterr().out.split())
    run_page("plan hard.yaml")
    small = {"use_vllm": False, "bf16": False, "gradient_checkpointing": False, "max_steps": 2}
    small |= {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "save_steps": 1}
    sets = [word for name, value in small.items() for word in ("--set", f"trainer.{name}={value}")]
    run("train hard.yaml", *sets, *short)
    run_page("eval", "--set", "max_new_tokens=8", "--set", "limit=2")
    assert (tmp_path / "runs/hard/evals/1/held_out/result.json").is_file()
    assert (tmp_path / "runs/hard/evals/2/held_out/result.json").is_file()
    run_page("report runs/hard")
