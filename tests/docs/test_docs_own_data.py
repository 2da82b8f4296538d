"""docs/tutorials/own-data.md: done from top to bottom as it is printed, with a tiny model."""

from __future__ import annotations

import shlex

import pytest

from pages import ROOT, commands_of, saved_files, tiny_model
from rephrase_rl.cli.main import main

PAGE = (ROOT / "docs/tutorials/own-data.md").read_text(encoding="utf-8")
SHORT = {
    "train": ["--set", "trainer.max_steps=1", "--set", "trainer.max_completion_length=12",
              "--set", "trainer.gradient_accumulation_steps=1"],
    "rephrase": ["--set", "trainer.max_completion_length=12"],
    "eval": ["--set", "max_new_tokens=8", "--set", "data.limit=2"],
}  # fmt: skip
"""Added to commands that sample: one step, short completions."""


@pytest.mark.integration
def test_the_page_is_done_as_it_is_printed(tmp_path, monkeypatch, capsys) -> None:
    saved_files(PAGE, tmp_path)
    tiny_model(tmp_path / "models" / "SmolLM2-135M-Instruct")
    table = (tmp_path / "workshop.csv").read_text(encoding="utf-8")
    (tmp_path / "workshop_test.csv").write_text(table, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    commands = commands_of(PAGE)
    assert len(commands) == 10
    for line in commands:
        words = shlex.split(line)[1:]
        status = main([*words, *SHORT.get(words[0], [])])
        assert status == 0, (line, capsys.readouterr().err)
    out = capsys.readouterr().out
    assert "math accepts 8 of 8 experts" in out
    assert (tmp_path / "runs/workshop/report/index.html").is_file()
