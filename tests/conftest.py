"""Settings of every test: one torch thread, no hub, names that no clock can change.

The models of the tests are tiny; a second thread costs more than it gives, and with two busy cores
many times more.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def pytest_make_parametrize_id(val: object) -> str | None:
    """A file's bytes stay out of a test's name.

    Packed ones may hold the second they were packed in, and two workers that collect a second apart
    would then disagree about which tests there are.
    """
    return "bytes" if isinstance(val, bytes) else None
