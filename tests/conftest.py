"""Settings of every test: one torch thread, no hub.

The models of the tests are tiny; a second thread costs more than it gives, and with two busy cores
many times more.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
