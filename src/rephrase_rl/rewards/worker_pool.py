"""Calls with a wall-clock limit, in worker processes that are killed when they overrun.

A thread cannot be killed and ``signal.alarm`` works in main threads only, so work that may hang (a
symbolic comparison) runs in processes. They are forked from a clean fork server, which never holds
torch's threads, and which imports the work's module once, so a killed worker is replaced in
milliseconds. Used by the mathematics verifier; knows nothing of mathematics.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import context, spawn
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from rephrase_rl.errors import VerifierError

ResultT = TypeVar("ResultT")

START_UP_S = 120.0
"""Seconds a pool may take to start and import before it counts as stuck; a slow disk needs some."""

_start_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class CallResult(Generic[ResultT]):
    """How one call ended."""

    status: Literal["done", "timeout", "error"]
    value: ResultT | None = None
    """What the function returned; None unless ``done``."""
    detail: str = ""


class Begun(NamedTuple):
    """A call that was handed to a worker."""

    call: tuple[Any, ...]
    pool: Any
    """The pool that has it; None: there was none to take it."""
    future: Any


@contextmanager
def _main_module_left_alone() -> Iterator[None]:
    """Keep new processes from running the user's script a second time.

    multiprocessing re-imports ``__main__`` in each worker. A training script without a
    ``__name__ == "__main__"`` guard would start training again in there; our work never needs it.
    """
    with _start_lock:
        original = spawn.get_preparation_data
        owner = threading.get_ident()

        def prepare(name: str) -> dict[str, object]:
            data: dict[str, object] = original(name)
            if threading.get_ident() == owner:  # other threads may start processes meanwhile
                data.pop("init_main_from_path", None)
                data.pop("init_main_from_name", None)
            return data

        spawn.get_preparation_data = prepare
        try:
            yield
        finally:
            spawn.get_preparation_data = original


class _WorkerProcess(context.ForkServerProcess):
    """A process of the fork server that does not import the user's script."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with _main_module_left_alone():
            return context.ForkServerProcess._Popen(process_obj)


class _WorkerContext(context.ForkServerContext):
    Process = _WorkerProcess


class KillablePool(Generic[ResultT]):
    """Runs one function over many argument tuples, each call with its own wall-clock limit.

    Workers start at the first call and are used again until ``close``. The limit of a call runs
    from the moment a worker takes it, so neither start-up nor queueing counts.
    """

    def __init__(
        self,
        function: Callable[..., ResultT],
        *,
        timeout_s: float,
        max_workers: int = 1,
        initializer: Callable[[], None] | None = None,
        preload: str | None = None,
    ) -> None:
        """Describe the pool; nothing starts yet.

        Args:
            function: Importable by name (not from ``__main__``); arguments and result pickle.
            timeout_s: Wall-clock limit of one call in seconds, > 0.
            max_workers: Number of worker processes, >= 1.
            initializer: Run once in each new worker, outside any limit.
            preload: Module that the fork server imports once for all workers.

        Raises:
            VerifierError: ``timeout_s`` or ``max_workers`` is out of range.
        """
        if timeout_s <= 0 or max_workers < 1:
            raise VerifierError(
                f"found timeout_s={timeout_s} and max_workers={max_workers}; required are a limit "
                "above 0 seconds and at least 1 worker"
            )
        self._function = function
        self._timeout_s = timeout_s
        self._max_workers = max_workers
        self._initializer = initializer
        self._preload = preload
        self._pool: Any = None

    def run(self, calls: Sequence[tuple[Any, ...]]) -> list[CallResult[ResultT]]:
        """Call the function with each tuple of arguments and wait for all, in order.

        A call that overruns ends as ``timeout`` and its worker is killed; one that raises or takes
        its worker down ends as ``error``. If the pool itself breaks, it is built anew and the
        undecided calls are tried again one by one, so that a culprit takes no other call with it.

        Raises:
            VerifierError: Workers cannot be started, or the pool does not answer any more.
        """
        return self.finish(self.begin(calls))

    def begin(self, calls: Sequence[tuple[Any, ...]]) -> list[Begun]:
        """Hand calls to the workers without waiting; ``finish`` waits."""
        try:
            pool = self._started()
            return [
                Begun(call, pool, pool.schedule(self._function, args=call, timeout=self._timeout_s))
                for call in calls
            ]
        except (BrokenProcessPool, RuntimeError):  # RuntimeError: it broke while nobody looked
            self.close()
            return [Begun(call, None, None) for call in calls]

    def finish(self, begun: Sequence[Begun]) -> list[CallResult[ResultT]]:
        """Wait for calls; as ``run``, which also says what it raises."""
        results = self._attempt(begun)
        return [
            self._attempt_alone(one.call) if result is None else result
            for one, result in zip(begun, results, strict=True)
        ]

    def close(self) -> None:
        """Stop the workers; a later ``run`` starts new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()
            pool.join()

    def _attempt_alone(self, call: tuple[Any, ...]) -> CallResult[ResultT]:
        self._check_start()
        result = self._attempt(self.begin([call]))[0]
        if result is None:
            return CallResult("error", detail="the worker process died")
        return result

    def _attempt(self, begun: Sequence[Begun]) -> list[CallResult[ResultT] | None]:
        """Outcome of every call; None marks those that a broken pool left undecided."""
        # A pool that was closed meanwhile answers no more.
        pool = self._pool
        results = [
            self._outcome(one.future, len(begun)) if pool and one.pool is pool else None
            for one in begun
        ]
        if None in results:
            self.close()
        return results

    def _outcome(self, future: Any, num_calls: int) -> CallResult[ResultT] | None:
        longest_wait_s = START_UP_S + (num_calls + 1) * (self._timeout_s + 1.0)
        try:
            return CallResult("done", future.result(longest_wait_s))
        except FutureTimeoutError as error:
            if not future.done():
                self.close()
                raise VerifierError(
                    f"the worker processes gave no answer for {longest_wait_s:.0f} s; check the "
                    "machine's memory and process limits"
                ) from error
            return CallResult("timeout", detail=f"no result within {self._timeout_s:g} s")
        except BrokenProcessPool:
            return None
        # The worker's exception arrives here whatever its class; it is reported, not hidden.
        except Exception as error:
            return CallResult("error", detail=f"{type(error).__name__}: {error}")

    def _started(self) -> Any:
        if self._pool is None:
            from pebble import ProcessPool

            mp_context = _WorkerContext()
            if self._preload is not None:
                mp_context.set_forkserver_preload([self._preload])
            self._pool = ProcessPool(
                max_workers=self._max_workers, initializer=self._initializer, context=mp_context
            )
        return self._pool

    def _check_start(self) -> None:
        """Tell a machine that cannot start workers from a call that kills them."""
        try:
            self._started().schedule(_answer_ping, timeout=self._timeout_s).result(START_UP_S)
        except Exception as error:
            self.close()
            raise VerifierError(
                f"worker processes do not start ({type(error).__name__}: {error}); check that "
                "math-verify can be imported and that the machine lets processes start"
            ) from error


def _answer_ping() -> bool:
    return True
