"""Functions that run in worker processes in tests; light, as each new worker imports them."""

from __future__ import annotations

import os
import time

from rephrase_rl.records import Verdict


def misbehave(found: str, is_boxed: bool, reference_answer: str) -> Verdict:
    """Stand-in for the judge that does what the answer says; runs in a worker."""
    if found == "hang":
        time.sleep(600)
    if found == "crash":
        time.sleep(0.3)
        os._exit(3)
    if found == "raise":
        raise RuntimeError("broken on purpose")
    if found == "memory":
        return Verdict("scored", 1.0, str(len(bytearray(8 * 2**30))))
    return Verdict("scored", 1.0, str(os.getpid()))


def echo(value: int) -> int:
    return value


def worker_id() -> int:
    return os.getpid()


def start_slowly() -> None:
    time.sleep(1.0)


def fail_to_start() -> None:
    raise ImportError("no such module")


def die_at_once() -> None:
    os._exit(7)
