"""Seeds of single requests, derived from the seed of the run.

Every random draw of guidance has a seed of its own, made from (run seed, step, rank, purpose, ...),
so that whether one gate opens never moves the random stream of anything else. Imports torch only
inside the function that forks its generators, so configuration code stays light.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

SEED_BITS = 63
"""Derived seeds lie in [0, 2**63), which both torch and numpy's SeedSequence accept."""


def derive_seed(run_seed: int, *parts: int | str) -> int:
    """Return the seed of one request, a stable hash of the run seed and the request's coordinates.

    Different coordinates give different seeds (up to a 63-bit hash collision) on every machine and
    in every process; Python's own ``hash`` is salted per process and is not used.

    Example:
        >>> derive_seed(0, 3, "rephrase") == derive_seed(0, 3, "rephrase")
        True
        >>> derive_seed(0, 3, "rephrase") == derive_seed(0, 4, "rephrase")
        False
    """
    # repr keeps 1 and "1" apart; the separator keeps ("ab", "c") and ("a", "bc") apart.
    text = "\x1f".join(repr(part) for part in (run_seed, *parts))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - SEED_BITS)


@contextmanager
def forked_rng(seed: int) -> Iterator[None]:
    """Run a block under its own torch seed and restore the generators afterwards.

    CPU and all visible CUDA generators are forked, and numpy's global one, from which vLLM (0.31.0)
    takes a seed for each request. Python's is left alone: nothing in generation draws from it.
    """
    import numpy as np
    import torch

    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    of_numpy = np.random.get_state()  # noqa: NPY002  (vLLM draws from this one)
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
    finally:
        np.random.set_state(of_numpy)  # noqa: NPY002


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch; the only place in the package that touches global seeds."""
    from transformers import set_seed

    set_seed(seed)
