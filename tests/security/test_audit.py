"""`make audit` tells three outcomes apart: nothing known, something known, nobody asked."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "audit.py"
KNOWN = {"name": "torch", "version": "2.13.0", "vulns": []}
AFFECTED = {
    "name": "jinja2",
    "version": "3.0",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-2"], "fix_versions": ["3.1"]}],
}
UNKNOWN = {"name": "own-package", "version": "1", "skip_reason": "not on PyPI"}


@pytest.fixture
def audit(monkeypatch):
    spec = importlib.util.spec_from_file_location("audit_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "prepare", lambda options: Path("python"))
    return module


def answering(monkeypatch, audit, by_service):
    def run(command, **_):
        answer = by_service[command[command.index("--vulnerability-service") + 1]]
        out = answer if isinstance(answer, str) else json.dumps({"dependencies": answer})
        return subprocess.CompletedProcess(command, 1, out, "ERROR: no connection")

    monkeypatch.setattr(audit.subprocess, "run", run)


def test_nothing_known(monkeypatch, audit, capsys) -> None:
    answering(monkeypatch, audit, {"pypi": [KNOWN, UNKNOWN]})
    assert audit.main([]) == 0
    assert "1 packages asked about at pypi: 0 with advisories" in capsys.readouterr().out


def test_advisories_are_listed_with_their_remedy(monkeypatch, audit, capsys) -> None:
    answering(monkeypatch, audit, {"pypi": [KNOWN, AFFECTED]})
    assert audit.main([]) == 1
    assert "jinja2 3.0: PYSEC-1, CVE-2; fixed in 3.1" in capsys.readouterr().out


def test_the_second_service_is_asked_where_the_first_gives_nothing(monkeypatch, audit) -> None:
    answering(monkeypatch, audit, {"pypi": "", "osv": [AFFECTED]})
    assert audit.main([]) == 1


@pytest.mark.parametrize("nothing", ["", "<html>", "[]", [UNKNOWN], []])
def test_nobody_asked_is_no_clean_answer(monkeypatch, audit, capsys, nothing) -> None:
    answering(monkeypatch, audit, {"pypi": nothing, "osv": nothing})
    assert audit.main([]) == 3
    assert "NOT AUDITED" in capsys.readouterr().out


def test_pip_audit_that_cannot_be_installed_is_told(monkeypatch, audit, capsys) -> None:
    def fail(options):
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(audit, "prepare", fail)
    assert audit.main([]) == 3
    assert "pip-audit cannot be installed" in capsys.readouterr().out
