"""What tutorials show beside commands: their own test passes, their verifier accepts experts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pages import ROOT, saved_files, tiny_model
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
