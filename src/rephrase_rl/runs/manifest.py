"""The manifest: what somebody else needs in order to repeat a run, gathered when it starts."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING

from rephrase_rl import __version__
from rephrase_rl.errors import ConfigError
from rephrase_rl.runs.environment import describe_environment
from rephrase_rl.runs.hardware import describe_hardware
from rephrase_rl.secrecy import arguments_without_secrets, without_secrets

if TYPE_CHECKING:
    from rephrase_rl.records import JSON

FORMAT_VERSION = 1
"""Raised when the layout of a run directory changes so that older readers fail."""

RECORDED_PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
    "peft",
    "vllm",
    "math-verify",
    "sympy",
    "numpy",
    "scipy",
    "pyarrow",
)
"""Distributions that can change numbers; those not installed are left out."""

GIT_TIMEOUT_S = 20.0


def collect_manifest(
    command: str | Sequence[str], seed: int, extra: Mapping[str, JSON] | None = None
) -> dict[str, JSON]:
    """Gather what identifies a run: code, versions, machine, seed and time of start.

    Args:
        command: Command line, as one string or as its arguments; keys in it are hidden.
        seed: Seed of the run.
        extra: Further entries. Reports look for ``method``, ``model``, ``data`` (fingerprints),
            ``templates`` (id -> sha256), ``seeds`` and ``deviations`` (differences from the paper,
            one sentence each).

    Returns:
        A JSON object with ``format_version``, ``command``, ``seed``, ``started_at`` (UTC, ISO
        8601), ``git`` (``commit``, ``dirty``, ``reason``), ``versions``, ``environment``
        (hashes of constraints and of what is installed), ``hardware`` and the entries of ``extra``.

    Raises:
        ConfigError: ``extra`` names an entry that is gathered here.
    """
    manifest: dict[str, JSON] = {
        "format_version": FORMAT_VERSION,
        "command": without_secrets(command)
        if isinstance(command, str)
        else arguments_without_secrets([str(part) for part in command]),
        "seed": seed,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": describe_commit(Path(__file__).resolve()),
        "versions": package_versions(),
        "environment": describe_environment(),
        "hardware": describe_hardware(),
    }
    clash = sorted(set(manifest) & set(extra or {}))
    if clash:
        raise ConfigError(
            f"manifest: extra names {', '.join(clash)}, which are gathered by collect_manifest: "
            "give those facts another name"
        )
    return {**manifest, **(extra or {})}


def package_versions() -> dict[str, str]:
    """Return the versions of Python, this package and the installed ``RECORDED_PACKAGES``."""
    versions = {"python": python_version(), "rephrase-rl": __version__}
    for name in RECORDED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def describe_commit(source_file: Path) -> dict[str, JSON]:
    """Return the commit that a source file belongs to.

    Args:
        source_file: A file of the package. It has to be tracked: an environment that merely lies
            inside somebody's repository says nothing about the code that ran.

    Returns:
        ``commit`` (None if unknown), ``dirty`` (whether anything in the work tree differs from it;
        None if unknown) and ``reason`` (why there is no commit, else None).
    """
    folder = source_file.parent
    try:
        if _git(folder, "ls-files", "--error-unmatch", source_file.name) is None:
            return _no_commit("the package does not run from a git checkout")
        commit = _git(folder, "rev-parse", "HEAD")
        if commit is None:
            return _no_commit("the git checkout has no commit yet")
        dirty = bool(_git(folder, "status", "--porcelain"))
        return {"commit": commit, "dirty": dirty, "reason": None}
    except FileNotFoundError:
        return _no_commit("git is not installed")
    except subprocess.TimeoutExpired:
        return _no_commit(f"git did not answer within {GIT_TIMEOUT_S:g} s")


def _no_commit(reason: str) -> dict[str, JSON]:
    return {"commit": None, "dirty": None, "reason": reason}


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, None if it fails.

    `git status` would refresh the index under a lock, which stays behind where a run is killed in
    that moment, and then the user can commit no more.
    """
    done = subprocess.run(
        ["git", "--no-optional-locks", "-C", str(folder), *arguments],  # noqa: S607  (the user's)
        capture_output=True,
        text=True,
        timeout=GIT_TIMEOUT_S,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else None
