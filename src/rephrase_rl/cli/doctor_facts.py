"""What ``rephrase-rl doctor`` looks at: versions, devices, memory, disk and the hub."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TESTED_VERSIONS: Mapping[str, str] = {
    "torch": "2.13.0",
    "transformers": "5.23.0",
    "trl": "1.16.0",
    "accelerate": "1.15.0",
    "datasets": "5.2.0",
    "math-verify": "0.9.0",
    "pebble": "5.2.3",
    "pydantic": "2.14.3",
    "numpy": "2.4.6",
    "scipy": "1.17.1",
}
"""What the tests ran with; the same as in constraints.txt, which a test compares."""

OPTIONAL_PACKAGES: Mapping[str, tuple[str, str]] = {
    "peft": ("peft", "training of adapters (LoRA)"),
    "bitsandbytes": ("qlora", "adapters on weights in 4 bits (QLoRA), on an NVIDIA GPU"),
    "vllm": ("vllm", "fast sampling on a GPU"),
    "gguf": ("gguf", "reading of GGUF files"),
    "openai": ("judge", "judges and teachers behind an endpoint"),
}
"""Distribution -> the extra that brings it, and what it is for."""
FOR_GPUS = ("bitsandbytes", "vllm")
"""Of these, what a machine without a GPU has no use for."""

HUB = "https://huggingface.co"
HUB_TIMEOUT_S = 3.0
_CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def gather_facts() -> dict[str, Any]:
    """Versions (here, tested, required), the machine, the hub and optional packages, as data."""
    required = required_versions()
    return {
        "versions": {
            name: (version_of(name), tested, required.get(name, ""))
            for name, tested in TESTED_VERSIONS.items()
        },
        "machine": _machine(),
        "hub": hub_access(),
        "optional": {name: version_of(name) for name in OPTIONAL_PACKAGES},
    }


def required_versions() -> dict[str, str]:
    """Dependency -> the range of versions that this package declares; empty if not installed."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires("rephrase-rl") or []
    except metadata.PackageNotFoundError:
        return {}
    parsed = [Requirement(line) for line in lines]
    return {r.name: str(r.specifier) for r in parsed if "extra" not in str(r.marker or "")}


def version_of(name: str) -> str | None:
    """The installed version of a distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def in_range(version: str, required: str) -> bool:
    """Whether a version is within a declared range; an empty range holds all."""
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(required).contains(version, prereleases=True)


def hub_access() -> dict[str, Any]:
    """Whether models and data can be fetched: ``offline``, ``reachable`` or ``unreachable``.

    Opens one connection to the hub (or to ``HF_ENDPOINT``) and sends nothing.
    """
    logged_in = bool(os.environ.get("HF_TOKEN")) or (_hub_home() / "token").is_file()
    found: dict[str, Any] = {"logged_in": logged_in, "cache": str(_hub_home())}
    if any(_is_set(name) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        return {"state": "offline", **found}
    address = urlsplit(os.environ.get("HF_ENDPOINT") or HUB)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=HUB_TIMEOUT_S):
            return {"state": "reachable", **found}
    except OSError as error:
        return {"state": "unreachable", "why": f"{address.hostname}: {error}", **found}


def _hub_home() -> Path:
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.environ.get("HF_HOME") or default).expanduser()


def _machine() -> dict[str, Any]:
    from rephrase_rl.runs.hardware import describe_hardware

    gpus = _gpus()  # before the hardware's description, which knows GPUs if torch is loaded
    hardware = describe_hardware()
    return {
        "python": platform.python_version(),
        "system": hardware["system"],
        "cpu": hardware["cpu"],
        "cores": hardware["cores"],
        "cpu_flags": _cpu_flags(Path("/proc/cpuinfo")),
        "memory_bytes": hardware["memory_bytes"],
        "gpus": gpus,
        "disk_free_bytes": shutil.disk_usage(Path.cwd()).free,
    }


def _gpus() -> list[dict[str, Any]] | None:
    """Name, memory and bfloat16 of each GPU; None without torch."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return []
    bfloat16 = bool(torch.cuda.is_bf16_supported())
    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = int(properties.total_memory)
        found.append({"name": str(properties.name), "memory_bytes": memory, "bfloat16": bfloat16})
    return found


def _cpu_flags(cpu_info: Path) -> list[str]:
    """Of the instructions that decide the speed, those that this processor has."""
    try:
        text = cpu_info.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    words = set(text.partition("flags")[2].partition("\n")[0].split())
    return [flag for flag in _CPU_FLAGS if flag in words]


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in {"1", "on", "yes", "true"}
