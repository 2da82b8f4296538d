"""``study``: a study of one's own is not answered with the summaries of a shipped one."""

from __future__ import annotations

from pathlib import Path

import yaml

from rephrase_rl.studies.cells import Cell
from rephrase_rl.studies.store import write_summary

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "src/rephrase_rl/studies/ablations.yaml"


def first_summary(folder: Path) -> None:
    """The summary of a cell that every study below has."""
    cell = Cell("repo", "mixed", "alien", "good", 0, 2e-4)
    summary = {"format_version": 1, "id": cell.cell_id, "cell": cell.to_json()}
    write_summary(folder, summary)


def own_study(path: Path) -> Path:
    study = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    study["arms"] = {"repo": study["arms"]["repo"]}
    study["protocols"] = {"mixed": study["protocols"]["mixed"]}
    study["order"] = [
        {"kind": "main", "protocols": "mixed", "experts": "alien", "arms": "repo", "seeds": 1}
    ]
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


def test_shipped_summaries_count_for_the_shipped_study_alone(cli, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    first_summary(tmp_path / "results/ablations/runs")
    mine = own_study(tmp_path / "mine.yaml")
    status = ("study", "ablations", "--status")
    assert "\n1 summaries; next: " in cli(*status).out
    for another in (("--config", mine), ("--set", "run.trainer.max_steps=10")):
        assert "\n0 summaries; next: " in cli(*status, *another).out
    named = cli(*status, "--config", mine, "--known", tmp_path / "results/ablations/runs")
    assert "nothing is left" in named.out


def test_the_folder_of_an_own_study_has_its_files_name(cli, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    first_summary(tmp_path / "runs/mine/summaries")
    first_summary(tmp_path / "runs/ablations/summaries")
    mine = own_study(tmp_path / "mine.yaml")
    assert "nothing is left" in cli("study", "ablations", "--status", "--config", mine).out
    (tmp_path / "runs/mine/summaries").rename(tmp_path / "gone")
    assert "1 open" in cli("study", "ablations", "--status", "--config", mine).out
