"""Whole files are replaced in one step, whatever happens in between."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from rephrase_rl.runs import atomic


def test_the_new_content_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "folder" / "file.json"
    atomic.write_text(path, "old")
    atomic.write_text(path, "new")

    assert path.read_text() == "new"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


def test_an_exception_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.json"
    atomic.write_text(path, "old")

    def write_half() -> None:
        with atomic.replacing(path) as file:
            file.write(b"half")
            raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        write_half()

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_between_write_and_rename_leaves_the_old_file(tmp_path):
    """The process ends without any clean-up at the last moment before the file takes its name."""
    path = tmp_path / "file.json"
    atomic.write_text(path, "old")
    killed = textwrap.dedent(
        f"""
        import os
        from pathlib import Path
        from rephrase_rl.runs import atomic
        os.replace = lambda *_: os._exit(9)
        atomic.write_text(Path({str(path)!r}), "new")
        """
    )

    done = subprocess.run([sys.executable, "-c", killed], env=dict(os.environ), check=False)

    assert done.returncode == 9
    assert path.read_text() == "old"
    assert atomic.temporary_path(path).read_text() == "new"
    atomic.write_text(path, "next")
    assert path.read_text() == "next"
    assert not atomic.temporary_path(path).exists()


def test_half_a_surrogate_pair_can_be_written(tmp_path):
    atomic.write_text(tmp_path / "page.html", "a\ud800")

    assert (tmp_path / "page.html").read_bytes() == b"a&#55296;"
