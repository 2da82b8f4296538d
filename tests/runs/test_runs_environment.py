"""Packages of a run as hashes, and which differ from the tested ones."""

from __future__ import annotations

import hashlib
from importlib import metadata

from rephrase_rl.runs import environment


def test_the_hash_is_over_all_installed_packages(monkeypatch, tmp_path):
    class Fake:
        def __init__(self, name: str, version: str) -> None:
            self.metadata, self.version = {"Name": name}, version

    packages = [Fake("Torch", "2.13.0+cpu"), Fake("ruff_thing", "1.0")]
    monkeypatch.setattr(metadata, "distributions", lambda: packages)
    file = tmp_path / "constraints.txt"
    file.write_text("# tested\ntorch==2.13.0\nruff-thing==1.1\nabsent==3\n")
    found = environment.describe_environment(file)
    expected = hashlib.sha256(b"ruff-thing==1.0\ntorch==2.13.0+cpu").hexdigest()
    assert (found["installed_sha256"], found["packages"]) == (expected, 2)
    assert found["constraints_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    # A local build of the same version is the same; what is not installed is no difference.
    assert found["differing"] == ["ruff-thing 1.0"]


def test_without_constraints_only_what_is_there_is_told(tmp_path):
    found = environment.describe_environment(tmp_path / "absent.txt")
    assert (found["constraints_sha256"], found["differing"]) == (None, None)
    assert found["packages"] > 10


def test_the_repository_has_its_constraints_where_they_are_looked_for():
    assert environment.CONSTRAINTS.is_file()
