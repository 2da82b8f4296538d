"""Asks an advisory service about every installed package: `make audit`.

pip-audit is installed into an environment of its own under build/, so that asking changes nothing
of what is asked about. Status 0: asked, and nothing is known. 1: there are advisories, all of them
listed. 3: nobody could be asked, which says nothing about the packages.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / "build" / "audit"
SERVICES = ("pypi", "osv")
"""In this order; the second is asked if the first cannot be reached."""
SERVICE_TIMEOUT_S = 20
TOTAL_TIMEOUT_S = 600.0
CLEAN, FOUND, NOT_ASKED = 0, 1, 3


def main(arguments: list[str] | None = None) -> int:
    """Ask, and tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pip-args", default="", help="Options of pip, such as an index.")
    given = parser.parse_args(arguments)
    try:
        python = prepare(shlex.split(given.pip_args))
    except (subprocess.SubprocessError, OSError) as error:
        return not_asked([f"pip-audit cannot be installed ({error})"])
    reasons = []
    for service in SERVICES:
        try:
            answer = ask(python, service)
        except ConnectionError as error:
            reasons.append(f"{service}: {error}")
            continue
        return tell(answer, service)
    return not_asked(reasons)


def prepare(pip_options: list[str]) -> Path:
    """The interpreter of an environment that has pip-audit.

    Raises:
        subprocess.SubprocessError: It cannot be installed.
    """
    python = ENVIRONMENT / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    command = [str(python), "-m", "pip", "install", "-qqq", *pip_options, "pip-audit"]
    subprocess.run(command, check=True, timeout=TOTAL_TIMEOUT_S)
    return python


def ask(python: Path, service: str) -> dict[str, Any]:
    """What a service knows of the packages beside this interpreter.

    Raises:
        ConnectionError: It cannot be reached, or gives no answer that can be read.
    """
    command = [
        *(str(python), "-m", "pip_audit", "--path", sysconfig.get_path("purelib")),
        *("--vulnerability-service", service, "--timeout", str(SERVICE_TIMEOUT_S)),
        *("--format", "json", "--progress-spinner", "off"),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TOTAL_TIMEOUT_S
        )
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise ConnectionError(f"no answer within {TOTAL_TIMEOUT_S:.0f} s") from error
    except ValueError as error:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise ConnectionError(lines[-1][:300]) from error
    if not isinstance(answer, dict) or not isinstance(answer.get("dependencies"), list):
        raise ConnectionError("an answer of another form")
    if all("skip_reason" in package for package in answer["dependencies"]):
        raise ConnectionError("it knows none of the packages, not even the common ones")
    return answer


def tell(answer: dict[str, Any], service: str) -> int:
    """Print advisories by package, and which packages the service does not know."""
    packages = answer["dependencies"]
    skipped = [p for p in packages if "skip_reason" in p]
    affected = [p for p in packages if p.get("vulns")]
    for package in affected:
        for advisory in package["vulns"]:
            names = ", ".join([advisory["id"], *advisory.get("aliases", [])])
            fixed = ", ".join(advisory.get("fix_versions", [])) or "no version yet"
            print(f"{package['name']} {package['version']}: {names}; fixed in {fixed}")
    if skipped:
        print(f"not known there: {', '.join(package['name'] for package in skipped)}")
    asked = len(packages) - len(skipped)
    print(f"{asked} packages asked about at {service}: {len(affected)} with advisories")
    return FOUND if affected else CLEAN


def not_asked(reasons: list[str]) -> int:
    """Say so loudly: silence would pass for a clean answer."""
    print("NOT AUDITED: no advisory service could be asked. Nothing is known about the packages.")
    for reason in reasons:
        print(f"  {reason}")
    print("Run `make audit` on a machine that reaches the advisories of PyPI or OSV.")
    return NOT_ASKED


if __name__ == "__main__":
    sys.exit(main())
