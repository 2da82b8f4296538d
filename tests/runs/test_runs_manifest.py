"""The manifest: commit, versions, machine, and no torch for its sake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from rephrase_rl import __version__
from rephrase_rl.errors import ConfigError
from rephrase_rl.runs import collect_manifest, hardware
from rephrase_rl.runs import manifest as manifest_module
from rephrase_rl.runs.manifest import describe_commit


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607  (git as the user has it)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    source = tmp_path / "module.py"
    source.write_text("a = 1\n")
    git(tmp_path, "add", "module.py")
    git(tmp_path, "commit", "-qm", "first")
    return source


def test_a_manifest_says_what_ran_where_and_when(monkeypatch):
    monkeypatch.setattr(manifest_module, "describe_commit", lambda _: {"commit": "abc"})

    manifest = collect_manifest(["rephrase-rl", "train"], 7, {"method": "repo"})

    assert json.loads(json.dumps(manifest)) == manifest
    assert manifest["command"] == ["rephrase-rl", "train"]
    assert manifest["seed"] == 7
    assert manifest["method"] == "repo"
    assert manifest["git"] == {"commit": "abc"}
    assert manifest["versions"]["rephrase-rl"] == __version__
    assert manifest["versions"]["python"].startswith("3.")
    assert "numpy" in manifest["versions"]
    offset = datetime.fromisoformat(manifest["started_at"]).utcoffset()
    assert offset is not None
    assert offset.total_seconds() == 0
    assert manifest["hardware"]["cores"] >= 1
    assert manifest["hardware"]["cpu"]


def test_extra_may_not_hide_what_is_gathered():
    with pytest.raises(ConfigError, match="extra names git, seed"):
        collect_manifest("x", 0, {"seed": 1, "git": None, "method": "repo"})


def test_a_clean_checkout_gives_its_commit(checkout):
    found = describe_commit(checkout)

    assert len(found["commit"]) == 40
    assert found["dirty"] is False
    assert found["reason"] is None


@pytest.mark.parametrize("name", ["module.py", "new.py"])
def test_any_change_makes_the_checkout_dirty(checkout, name):
    (checkout.parent / name).write_text("a = 2\n")

    assert describe_commit(checkout)["dirty"] is True


def test_the_users_index_is_left_alone(checkout):
    index = checkout.parent / ".git" / "index"
    before = index.read_bytes()
    os.utime(checkout, (1, 1))  # git status would note the new time

    assert describe_commit(checkout)["dirty"] is False
    assert index.read_bytes() == before


def test_an_untracked_file_says_nothing_about_the_commit(checkout):
    """As for a package installed into an environment that lies inside a repository."""
    installed = checkout.parent / "site-packages" / "module.py"
    installed.parent.mkdir()
    installed.write_text("")

    found = describe_commit(installed)

    assert found["commit"] is None
    assert "does not run from a git checkout" in found["reason"]


def test_a_checkout_without_commit_is_said_so(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "m.py").write_text("")
    git(tmp_path, "add", "m.py")

    assert describe_commit(tmp_path / "m.py")["reason"] == "the git checkout has no commit yet"


def test_a_machine_without_git_is_said_so(monkeypatch, tmp_path):
    def missing(*_args, **_kwargs):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)

    assert describe_commit(tmp_path / "m.py")["reason"] == "git is not installed"


def test_gpus_are_asked_for_only_if_torch_is_loaded(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert hardware.describe_hardware()["gpus"] is None
    assert "torch" not in sys.modules

    cuda = SimpleNamespace(
        is_available=lambda: True, device_count=lambda: 2, get_device_name=lambda i: f"GPU {i}"
    )
    fake = SimpleNamespace(cuda=cuda, version=SimpleNamespace(cuda="12.8"))
    monkeypatch.setitem(sys.modules, "torch", fake)
    found = hardware.describe_hardware()
    assert (found["gpus"], found["cuda"]) == (["GPU 0", "GPU 1"], "12.8")


def test_the_driver_is_the_first_line_of_its_file(tmp_path):
    file = tmp_path / "version"
    file.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15\nGCC version\n")
    assert hardware._gpu_driver(file).endswith("570.86.15")
    assert hardware._gpu_driver(tmp_path / "absent") is None


def test_the_cpu_has_a_name_without_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "none")

    assert isinstance(hardware.describe_hardware()["cpu"], str)


def test_runs_and_reports_import_without_torch_matplotlib_or_jinja2():
    code = (
        "import sys; import rephrase_rl.runs, rephrase_rl.reports; "
        "print(sorted({'torch', 'transformers', 'matplotlib', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
