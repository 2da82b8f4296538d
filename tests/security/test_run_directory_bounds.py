"""What a run writes stays in its directory, whatever links and names somebody put there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rephrase_rl.cli.train import run_path_of
from rephrase_rl.config import parse_config
from rephrase_rl.errors import CheckpointError, ConfigError, RephraseError
from rephrase_rl.reports import write_comparison, write_report
from rephrase_rl.runs import RunDirectory, atomic
from rephrase_rl.runs.directory import FILES, FOLDERS
from rephrase_rl.runs.resumable import ResumableJob
from reports.synthetic_run import CONFIG, MANIFEST, make_run, result

RUN = {"method": "repo", "model": {"path": "lab:base"}, "data": {"path": "lab:hard"}}


@pytest.fixture
def outside(tmp_path):
    """A folder beside the run that has to stay as it is."""
    folder = tmp_path / "outside"
    (folder / "hard").mkdir(parents=True)
    (folder / "precious.txt").write_text("precious")
    (folder / "hard" / "result.json").write_text("{}")
    yield folder
    assert sorted(path.name for path in folder.rglob("*")) == [
        "hard",
        "precious.txt",
        "result.json",
    ]
    assert (folder / "precious.txt").read_text() == "precious"


@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_a_link_in_place_of_a_part_is_refused(tmp_path, outside, name) -> None:
    run = make_run(tmp_path / "run").path
    target = outside / "precious.txt" if name in FILES else outside
    if name in ("evals", "checkpoints", "report"):
        if (run / name).is_dir():
            (run / name).rename(tmp_path / "moved")
    else:
        (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(target)

    message = "manifest.json|symbolic links"
    for use in (
        lambda: write_report(run),
        lambda: RunDirectory.open(run).rewind(0),
        lambda: RunDirectory.create(run, MANIFEST, CONFIG, overwrite=True),
    ):
        with pytest.raises(CheckpointError, match=message):
            use()


@pytest.mark.parametrize("name", ["evals/5", "evals/4/hard", "report/index.html",
                                  "checkpoints/final", "checkpoints/checkpoint-9"])  # fmt: skip
def test_a_link_below_a_part_is_refused(tmp_path, outside, name) -> None:
    run = make_run(tmp_path / "run").path
    place = run / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        place.rename(tmp_path / "moved")
    place.symlink_to(outside)
    with pytest.raises(CheckpointError, match=f"symbolic links in place of {name}"):
        RunDirectory.open(run).rewind(0)


def test_a_job_folder_with_a_link_is_refused(tmp_path, outside) -> None:
    folder = tmp_path / "job"
    ResumableJob.open(folder, "lines.jsonl", {"seed": 0}, {})
    (folder / "lines.jsonl").symlink_to(outside / "precious.txt")
    with pytest.raises(CheckpointError, match="symbolic links"):
        ResumableJob.open(folder, "lines.jsonl", {"seed": 0}, {})


def test_the_run_directory_itself_may_be_a_link(tmp_path) -> None:
    make_run(tmp_path / "disk" / "run")
    (tmp_path / "run").symlink_to(tmp_path / "disk" / "run")
    assert write_report(tmp_path / "run").index.is_file()


def test_a_temporary_file_that_is_a_link_is_not_written_through(tmp_path, outside) -> None:
    path = tmp_path / "file.json"
    atomic.temporary_path(path).symlink_to(outside / "precious.txt")
    atomic.write_text(path, "new")
    assert path.read_text() == "new"
    assert not path.is_symlink()


NAMES = ["../up", "/abs", "a/b", "..", ".", "", ".hidden", "a\0b", "a\nb", "n" * 300, "-a",
         "nul\\x", "a\u202eb", "C:x", "a b", "~"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_that_become_folders_cannot_lead_out(tmp_path, name) -> None:
    benchmark = {"name": name, "data": {"path": "lab:hard"}}
    for raw in (
        {**RUN, "evaluation": {"benchmarks": [benchmark]}},
        {**RUN, "data": [{"path": "lab:hard", "name": name, "evaluate": {}}]},
    ):
        with pytest.raises(ConfigError, match="name"):
            parse_config(raw)
    run = make_run(tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CheckpointError):
        run.write_evaluation(1, name, result("x", 0.5), [])
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("file", ["..yaml", "...yaml", ".yaml", "a/../..yaml", "....yml"])
def test_a_run_named_after_its_file_lies_under_runs(file) -> None:
    path = run_path_of(parse_config(RUN), Path(file))
    assert path.parent == Path("runs")
    assert path.name not in ("", ".", "..")


def test_hostile_folder_names_do_not_break_reports_out(tmp_path) -> None:
    """Names of runs and evaluations come from folders, and stand in pages, figures and links."""
    runs = [tmp_path / name for name in ("a$\\frac{$b<script>", 'x"><img src=y>|`\u202e')]
    for folder in runs:
        run = make_run(folder)
        os.rename(run.path / "evals" / "4" / "hard", run.path / "evals" / "4" / "<b>$x_{$|`[a](b)")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    paths = write_comparison(runs, tmp_path / "out")
    for run in runs:
        write_report(run)
    after = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    allowed = (tmp_path / "out", *(run / "report" for run in runs))
    assert all(any(path.is_relative_to(folder) for folder in allowed) for path in after)
    assert "<script>" not in paths.index.read_text()
    assert "<img src=y>" not in paths.index.read_text()
    assert "<b>" not in paths.comparison_markdown.read_text()


def test_a_very_long_run_path_is_told(tmp_path) -> None:
    with pytest.raises((RephraseError, OSError)):
        RunDirectory.create(tmp_path / ("n" * 300), MANIFEST, CONFIG)
