"""Every package that a run was made with, as hashes of what was asked for and what is there."""

from __future__ import annotations

import hashlib
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rephrase_rl.records import JSON

CONSTRAINTS = Path(__file__).resolve().parents[3] / "constraints.txt"
"""The tested versions; there only where the package runs from its repository."""
MOST_NAMED = 50
"""Packages named that differ from the constraints."""


def describe_environment(constraints: Path = CONSTRAINTS) -> dict[str, JSON]:
    """Return hashes of the constraints and of everything that is installed.

    Args:
        constraints: File of lines ``name==version``.

    Returns:
        ``installed_sha256`` over sorted lines ``name==version`` of all distributions,
        ``packages`` (their number), ``constraints_sha256`` (None without the file) and
        ``differing`` (installed packages of another version than the file's, ``name version``).
    """
    installed = {_canonical(d.metadata["Name"]): str(d.version) for d in metadata.distributions()}
    lines = "\n".join(f"{name}=={version}" for name, version in sorted(installed.items()))
    facts: dict[str, JSON] = {
        "installed_sha256": hashlib.sha256(lines.encode()).hexdigest(),
        "packages": len(installed),
        "constraints_sha256": None,
        "differing": None,
    }
    try:
        content = constraints.read_bytes()
    except OSError:
        return facts
    wanted = dict(
        re.findall(r"^([\w.-]+)==(\S+)", content.decode("utf-8", "replace"), re.MULTILINE)
    )
    differing = []
    for name, version in sorted(wanted.items()):
        own = installed.get(_canonical(name))
        # A local part such as +cpu is another build of the same version.
        if own is not None and own.partition("+")[0] != version:
            differing.append(f"{name} {own}")
    return facts | {
        "constraints_sha256": hashlib.sha256(content).hexdigest(),
        "differing": differing[:MOST_NAMED],
    }


def _canonical(name: str) -> str:
    """A distribution's name in the one form in which they are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", str(name)).lower()
