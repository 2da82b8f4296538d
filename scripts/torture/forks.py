"""Children forked from a process that has imported everything, each with a time limit.

The process forks before any thread of torch runs; a child that hangs is killed with all that it
started.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

Status = Literal["done", "failed", "killed"]


class Child:
    """One forked process; what it writes goes to a file, what it returns to another."""

    def __init__(self, body: Callable[[], Any], log: Path, limit_s: float) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self.result_file = log.with_suffix(".result.json")
        self.started = time.monotonic()
        self.limit_s = limit_s
        self.seconds = 0.0
        self._status: Status | None = None
        self.code: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(body)

    def _run(self, body: Callable[[], Any]) -> None:
        code = 1
        try:
            os.setsid()
            number = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(number, 1)
            os.dup2(number, 2)
            # A test runner may have put objects of its own in their place.
            sys.stdout = sys.stderr = os.fdopen(number, "w", buffering=1)
            result = body()
            with contextlib.suppress(TypeError):
                self.result_file.write_text(json.dumps(result))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def poll(self) -> Status | None:
        """How it ended; None while it runs within its limit."""
        if self._status is not None:
            return self._status
        pid, code = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.code = os.waitstatus_to_exitcode(code)
            self._end("done" if self.code == 0 else "failed")
        elif time.monotonic() - self.started > self.limit_s:
            self.kill()
        return self._status

    def wait(self) -> Status:
        """Wait until it ends, at the latest at its limit."""
        while (status := self.poll()) is None:
            time.sleep(0.02)
        return status

    def kill(self) -> None:
        """``kill -9`` for it and for all that it started."""
        if self._status is None:
            # A child of a child leads a group of its own, so the group is not enough.
            for pid in (self.pid, *descendants(self.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._end("killed")

    def _end(self, status: Status) -> None:
        self._status = status
        self.seconds = time.monotonic() - self.started
        with contextlib.suppress(ProcessLookupError, PermissionError):  # what it left running
            os.killpg(self.pid, signal.SIGKILL)

    def result(self) -> Any:
        """What the body returned."""
        return json.loads(self.result_file.read_text()) if self.result_file.is_file() else None

    def output(self) -> str:
        """What it wrote to standard output and error."""
        return self.log.read_text(errors="replace") if self.log.is_file() else ""


def descendants(pid: int) -> list[int]:
    """Processes that a process started, and those that they started."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, file.read_text().split()):
                found += [child, *descendants(child)]
    return found
