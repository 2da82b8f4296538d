"""Ctrl-C and SIGTERM in training: once finishes the step and saves, twice ends at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from accelerate import PartialState

if TYPE_CHECKING:
    from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ONE_PRESS_S = 0.5
"""Signals closer than this are one: a launcher passes on to its processes what the terminal has
sent them already."""


class StopRequest:
    """Listens for signals while training runs; a context manager.

    Outside the main thread nothing is listened for, since Python allows it there alone.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._since = 0.0
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self._signal is not None

    @property
    def signal_number(self) -> int:
        """The one that came; that of Ctrl-C if it came to another process."""
        return self._signal or signal.SIGINT

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._take) for number in SIGNALS}
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signal is not None:
            if now - self._since >= ONE_PRESS_S:
                raise KeyboardInterrupt
            return
        self._signal, self._since = number, now
        if PartialState().is_main_process:
            # Not print: the signal may have come in the middle of one.
            os.write(2, b"\nfinishing the step and saving; once more ends at once\n")
