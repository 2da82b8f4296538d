"""When one of several processes ends with an error, the others end with its message.

A process that waits for a dead one in a collective learns only that a connection is gone. So one
that fails leaves its message in the store through which the processes found each other, and one
whose connection breaks looks there. There, too, they learn what one of them has done alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch.distributed
from accelerate import PartialState
from transformers import TrainingArguments

from rephrase_rl.errors import ProcessError

FAILURE_KEY = "rephrase_rl/failure"

LOST_CONNECTION = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "Connection refused",
    "Socket Timeout",
    "Timed out waiting",
    "NCCL",
    "gloo",
)
"""Parts of what torch says when a collective loses another process; its classes do not tell."""

WAIT_FOR_MESSAGE_S = 5.0
"""The message of a process is written beside the breaking of its connections, so it may be late."""

BETWEEN_LOOKS_S = 0.5


def meet(trainer: Mapping[str, Any]) -> None:
    """Let the processes of a run find each other, under the run's own time limit.

    transformers does so when it makes its arguments, and takes the limit from them; where anything
    has asked accelerate for the processes before, it is too late, and torch's own limit of 10
    minutes for NCCL holds for the run.

    Args:
        trainer: The ``trainer`` section of a configuration.
    """
    limit = trainer.get("ddp_timeout")
    if not isinstance(limit, int | float):
        limit = TrainingArguments.ddp_timeout
    PartialState(
        # Without ``cpu`` accelerate finds one process where there are several on CPUs.
        cpu=bool(trainer.get("use_cpu", not torch.cuda.is_available())),
        backend=trainer.get("ddp_backend"),
        timeout=timedelta(seconds=limit),
    )


@contextmanager
def shared_failures() -> Iterator[None]:
    """Tell the other processes why this one ends, or say here why another one did.

    Raises:
        ProcessError: Another process has ended.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        store = _store()
        if store is None:
            raise
        if not is_lost_connection(error):
            _leave_message(store, error)
            raise
        message = _late_message(store)
        if message is not None:
            raise ProcessError(_ended_by(message)) from error
        raise ProcessError(_why_gone(error)) from error


def mark_done(name: str) -> None:
    """Tell the processes that ``wait_until_done`` that this one has done something."""
    store = _store()
    if store is not None:
        store.set(name, "done")


def wait_until_done(name: str) -> None:
    """Wait while another process does something alone, for as long as it takes.

    A collective, in which this one would wait else, gives up after ``trainer.ddp_timeout``.

    Raises:
        ProcessError: Another process has ended.
    """
    store = _store()
    while store is not None and not store.check([name]):
        if store.check([FAILURE_KEY]):
            raise ProcessError(_ended_by(store.get(FAILURE_KEY).decode()))
        time.sleep(BETWEEN_LOOKS_S)


def is_lost_connection(error: BaseException) -> bool:
    """Whether a collective broke since another process is gone or does not come."""
    if isinstance(error, torch.distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in LOST_CONNECTION)


def _store() -> Any:
    """Where the processes of this run met; None if there is but one."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return None
    if torch.distributed.get_world_size() == 1:
        return None
    return torch.distributed.distributed_c10d._get_default_store()


def _leave_message(store: Any, error: BaseException) -> None:
    # The first one counts; the store itself may be gone with its process.
    with suppress(Exception):
        if not store.check([FAILURE_KEY]):
            rank = torch.distributed.get_rank()
            store.set(FAILURE_KEY, f"process {rank}: {type(error).__name__}: {error}")


def _late_message(store: Any) -> str | None:
    message = None
    until = time.monotonic() + WAIT_FOR_MESSAGE_S
    while message is None and time.monotonic() < until:
        try:
            if store.check([FAILURE_KEY]):
                message = store.get(FAILURE_KEY).decode()
        except Exception:  # torch raises what it likes where the store is gone
            break
        time.sleep(0.05)
    return message


def _ended_by(message: str) -> str:
    return f"another process ended this run ({message}); mend that, then go on with --resume"


def _why_gone(error: BaseException) -> str:
    first_line = str(error).splitlines()[0]
    return (
        "another process is gone and left no message, so it was killed (for want of memory, for "
        "instance) or its machine is; required: all processes. See its log and the kernel's, then "
        f"resume from the last checkpoint ({type(error).__name__}: {first_line})"
    )
