"""A folder that is filled line by line, and gone on with by the same job only."""

from __future__ import annotations

import json

import pytest

from rephrase_rl.errors import CheckpointError, ConfigError
from rephrase_rl.runs.resumable import ResumableJob

MANIFEST = {"command": ["mine"], "started_at": "now", "versions": {"torch": "1"}, "seed": 0}


def begin(path, settings=None, records="lines.jsonl", **manifest):
    return ResumableJob.open(path, records, {**MANIFEST, **manifest}, settings or {"k": 1})


def test_lines_are_there_after_a_kill(tmp_path) -> None:
    job = begin(tmp_path / "a" / "b")
    job.append([{"x": 1}, {"x": 2}])
    with (tmp_path / "a" / "b" / "lines.jsonl").open("ab") as file:
        file.write(b'{"x": 3')
    again = begin(tmp_path / "a" / "b")
    assert again.lines() == [{"x": 1}, {"x": 2}]
    again.append([{"x": 4}])
    assert begin(tmp_path / "a" / "b").lines() == [{"x": 1}, {"x": 2}, {"x": 4}]


def test_the_manifest_tells_of_every_part(tmp_path) -> None:
    begin(tmp_path / "a")
    begin(tmp_path / "a", started_at="later", versions={"torch": "2"})
    stored = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert (stored["started_at"], stored["settings"]) == ("now", {"k": 1})
    (part,) = stored["continued"]
    assert (part["started_at"], part["versions"]) == ("later", {"torch": "2"})


def test_settings_are_compared_as_they_are_stored(tmp_path) -> None:
    begin(tmp_path / "a", {"pair": (1, 2), "nothing": None, "nan": float("nan")}).append([{"x": 1}])
    again = begin(tmp_path / "a", {"pair": [1, 2], "nothing": None, "nan": float("nan")})
    assert again.lines() == [{"x": 1}]
    with pytest.raises(ConfigError, match="nan"):
        begin(tmp_path / "a", {"pair": [1, 2], "nothing": None, "nan": 0.0})


def test_every_difference_is_named(tmp_path) -> None:
    begin(tmp_path / "a", {"k": 1, "seed": 0, "same": 5}).append([{"x": 1}])
    with pytest.raises(ConfigError) as caught:
        begin(tmp_path / "a", {"k": 2, "same": 5, "new": 1})
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["k", "new", "seed"]


def test_a_job_that_has_no_line_yet_is_begun_anew_with_other_settings(tmp_path) -> None:
    begin(tmp_path / "a", {"k": 1}).settle("weights", "w")
    again = begin(tmp_path / "a", {"k": 2}, started_at="later")
    again.settle("weights", "v")
    stored = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert (stored["settings"], stored["started_at"]) == ({"k": 2}, "later")
    assert "continued" not in stored
    with pytest.raises(CheckpointError, match="another command"):
        begin(tmp_path / "a", {"k": 3}, records="others.jsonl")


def test_what_is_settled_later_holds_for_later_parts(tmp_path) -> None:
    begin(tmp_path / "a").settle("weights", "w")
    again = begin(tmp_path / "a")
    again.settle("weights", "w")
    with pytest.raises(ConfigError, match="weights"):
        again.settle("weights", "v")


def test_other_folders_are_left_alone(tmp_path) -> None:
    begin(tmp_path / "a")
    with pytest.raises(CheckpointError, match="another command"):
        begin(tmp_path / "a", records="others.jsonl")
    (tmp_path / "b").mkdir()
    begin(tmp_path / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "letter.txt").write_text("dear")
    with pytest.raises(CheckpointError, match="no manifest"):
        begin(tmp_path / "c")
    (tmp_path / "d").write_text("a file")
    with pytest.raises(CheckpointError):
        begin(tmp_path / "d")
    (tmp_path / "a" / "manifest.json").write_text("{")
    with pytest.raises(CheckpointError, match="not JSON"):
        begin(tmp_path / "a")


def test_the_summary_is_written_whole(tmp_path) -> None:
    begin(tmp_path / "a").write_summary({"x": float("nan")})
    assert json.loads((tmp_path / "a" / "summary.json").read_text()) == {"x": None}
