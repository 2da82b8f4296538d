"""Peak memory of a process: read, counted from a reset, and left out where nothing is said."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rephrase_rl.runs import hardware

PROGRAM = """
from rephrase_rl.runs.hardware import peak_memory, reset_peak_memory
name = "memory/host_peak_bytes"
before = peak_memory()[name]
block = bytearray(60_000_000)
block[::4096] = b"x" * len(block[::4096])
with_block = peak_memory()[name]
del block
reset_peak_memory()
print(with_block - before > 50_000_000, with_block - peak_memory()[name] > 50_000_000)
"""


@pytest.mark.skipif(not hardware.CLEAR_REFS.exists(), reason="only Linux can count anew")
def test_the_peak_grows_with_memory_and_is_counted_anew() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_it_is_read_from_the_status_file_or_asked_of_the_system(tmp_path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t  2048 kB\nVmRSS:\t 10 kB\n")
    assert hardware._peak_resident_bytes(status) == 2048 * 1024
    fallback = hardware._peak_resident_bytes(tmp_path / "absent")
    assert fallback is not None
    assert fallback > 1_000_000


def test_no_gpu_figure_without_a_gpu() -> None:
    assert "memory/gpu_peak_bytes" not in hardware.peak_memory()
