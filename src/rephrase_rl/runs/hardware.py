"""What machine a run was made on. Standard library only; torch is asked if it is loaded anyway."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rephrase_rl.records import JSON

CPU_INFO = Path("/proc/cpuinfo")
DRIVER = Path("/proc/driver/nvidia/version")
STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


def describe_hardware() -> dict[str, JSON]:
    """Return CPU model, cores, memory and GPUs of this machine.

    Returns:
        ``cpu`` (model name), ``cores`` (those this process may use), ``memory_bytes`` (None where
        the system does not say), ``gpus`` (names; None if torch is not loaded, since importing it
        for a name would cost seconds), ``driver`` and ``cuda`` (NVIDIA's driver, and the CUDA that
        torch was built with; None without) and ``system``.
    """
    return {
        "cpu": _cpu_model(CPU_INFO),
        "cores": _usable_cores(),
        "memory_bytes": _memory_bytes(),
        "gpus": _gpu_names(),
        "driver": _gpu_driver(DRIVER),
        "cuda": _cuda_version(),
        "system": platform.platform(),
    }


def _cpu_model(cpu_info: Path) -> str:
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _gpu_names() -> list[str] | None:
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    cuda = torch.cuda
    if not cuda.is_available():
        return []
    return [str(cuda.get_device_name(index)) for index in range(cuda.device_count())]


def _gpu_driver(file: Path) -> str | None:
    """The kernel driver's own line, such as ``NVRM version: NVIDIA UNIX ... 570.86.15 ...``."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()[0].strip()
    except (OSError, IndexError):
        return None


def _cuda_version() -> str | None:
    torch = sys.modules.get("torch")
    return None if torch is None else torch.version.cuda


def reset_peak_memory() -> None:
    """Let ``peak_memory`` count from here, where the system can: earlier peaks are not of this run.

    Linux alone can; elsewhere the figure is the largest of the process's whole life.
    """
    with contextlib.suppress(OSError):
        CLEAR_REFS.write_text("5", encoding="ascii")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(index)


def peak_memory() -> dict[str, float]:
    """Largest memory of this process so far, in bytes, as figures of ``timings.jsonl``.

    Returns:
        ``memory/host_peak_bytes`` (resident memory; left out where the system does not say) and,
        with a GPU, ``memory/gpu_peak_bytes`` (what torch had allocated, on the fullest device).
    """
    found = {}
    host = _peak_resident_bytes(STATUS)
    if host is not None:
        found["memory/host_peak_bytes"] = float(host)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        devices = range(torch.cuda.device_count())
        peaks = [torch.cuda.max_memory_allocated(index) for index in devices]
        found["memory/gpu_peak_bytes"] = float(max(peaks, default=0))
    return found


def _peak_resident_bytes(status: Path) -> int | None:
    try:
        lines = status.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name == "VmHWM" and value.split()[1:] == ["kB"]:
            return int(value.split()[0]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def process_name() -> str:
    """How messages call this process of a run of several; empty if it is the only one."""
    count = os.environ.get("WORLD_SIZE", "1")
    return "" if count == "1" else f"process {os.environ.get('RANK', '?')} of {count}"
