"""Ends a run that does not move any more, and says what every thread was doing.

A collective that one process never joins, a verifier that never returns, a dead disk: nothing of
this raises. The watch is a thread of its own in every process; each finished part of a step sets it
back. Where a thread of Python cannot run, since something holds the interpreter, faulthandler's own
thread ends the process a little later.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

from transformers import TrainerCallback

if TYPE_CHECKING:
    from collections.abc import Callable

LATER = 1.2
"""The second watch ends the process after so many times the limit."""

EXIT_STATUS = 1


class HangWatch(TrainerCallback):
    """Watches training of one process; evaluations in between are not watched."""

    def __init__(
        self,
        limit_s: float,
        name: str,
        *,
        evaluates_at: Callable[[int], bool] = lambda _: False,
        stream: TextIO | None = None,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        """Describe the watch; it begins with training.

        Args:
            limit_s: Seconds that a part of a step may take: sampling and judging, or a forward and
                backward pass.
            name: Of the process, in the message.
            evaluates_at: Whether an evaluation follows so many finished steps.
            stream: Where the message goes; it needs a file descriptor. None: standard error.
            end: Ends the process.
        """
        self._limit_s = limit_s
        self._name = name
        self._evaluates_at = evaluates_at
        self._stream: Any = stream or sys.__stderr__
        self._end = end
        self._last: float | None = None
        self._where = "the start of training"
        self._stopped = threading.Event()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin to watch."""
        self._stopped.clear()
        self._moved("the start of training")
        threading.Thread(target=self._watch, name="hang-watch", daemon=True).start()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The step's groups come next."""
        self._moved(f"step {state.global_step}")

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A micro-batch is done."""
        self._moved(f"step {state.global_step}")

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """All micro-batches of the step are done."""
        self._moved(f"the update of step {state.global_step}")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Records, a checkpoint, perhaps an evaluation come next."""
        self._moved(f"the end of step {state.global_step - 1}")
        if self._evaluates_at(state.global_step):
            self._pause()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Nothing is watched any more."""
        self.close()

    def close(self) -> None:
        """Stop watching, also where training ended with an error."""
        self._stopped.set()
        self._pause()

    def _moved(self, where: str) -> None:
        self._last, self._where = time.monotonic(), where
        later_s = self._limit_s * LATER + 1.0
        faulthandler.dump_traceback_later(later_s, exit=True, file=self._stream)

    def _pause(self) -> None:
        self._last = None
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while not self._stopped.wait(min(1.0, self._limit_s / 4)):
            last = self._last
            if last is not None and time.monotonic() - last > self._limit_s:
                self._give_up()
                return

    def _give_up(self) -> None:
        self._stream.write(
            f"error: {self._name}: nothing has moved for {self._limit_s:g} s, since {self._where} "
            "(guards.hang_limit_s). The threads below show where it hangs: a verifier, a disk, or "
            "a collective that another process does not join. The run ends; what is recorded can "
            "be resumed. If it only takes so long, raise guards.hang_limit_s\n"
        )
        self._stream.flush()
        faulthandler.dump_traceback(file=self._stream, all_threads=True)
        self._stream.flush()
        self._end(EXIT_STATUS)
