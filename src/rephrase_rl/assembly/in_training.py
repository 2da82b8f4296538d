"""Evaluations of the policy in memory, before, during and at the end of its training."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.evaluating import EvaluationSetting, run_benchmarks, store_result
from rephrase_rl.assembly.processes import mark_done, wait_until_done
from rephrase_rl.errors import ConfigError
from rephrase_rl.rollout import TransformersEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rephrase_rl.assembly.benchmarks import LoadedBenchmark
    from rephrase_rl.config import RunConfig
    from rephrase_rl.evaluation import EvaluationResult
    from rephrase_rl.records import JSON
    from rephrase_rl.runs import RunDirectory


class PolicyEvaluations:
    """Evaluates on the first process, each step at most once, and stores the results."""

    def __init__(
        self,
        config: RunConfig,
        trainer: Any,
        tokenizer: Any,
        benchmarks: Sequence[LoadedBenchmark],
        run: RunDirectory | None,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> None:
        """Bind to a run.

        Raises:
            ConfigError: The weights are divided over processes, so the first cannot sample alone.
        """
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            refuse_with_divided_weights(benchmarks)
        self._setting = EvaluationSetting.of_run(config)
        self._seed = config.seed
        self._trainer = trainer
        self._tokenizer = tokenizer
        self._benchmarks = benchmarks
        self.run = run
        """The run directory; None on all processes but the first."""
        self._on_progress = on_progress
        self._done: dict[int, dict[str, EvaluationResult]] = {}
        self.seconds_during_training = 0.0

    def __call__(self, step: int) -> dict[str, EvaluationResult]:
        """Results after this many optimiser steps; nothing on processes but the first.

        The others wait for it outside of any collective, whose time limit it may exceed.
        """
        if not self._benchmarks:
            return {}
        done = f"rephrase_rl/evaluated/{step}"
        if self.run is None:
            wait_until_done(done)
            return {}
        if step not in self._done:
            started = time.perf_counter()
            model = self._trainer.accelerator.unwrap_model(self._trainer.model)
            kwargs = self._setting.chat_template_kwargs
            engine = TransformersEngine(
                model,
                self._tokenizer,
                chat_template_kwargs=None if kwargs is None else dict(kwargs),
            )
            with _weights_precision(model):
                results = run_benchmarks(
                    engine,
                    self._benchmarks,
                    self._setting,
                    seed=self._seed,
                    on_progress=self._on_progress,
                )
            made_by: dict[str, JSON] = {"engine": "transformers", "seed": self._seed}
            for benchmark in self._benchmarks:
                result = results[benchmark.config.name]
                store_result(self.run, step, benchmark, result, made_by)
            self._done[step] = results
            if step:
                self.seconds_during_training += time.perf_counter() - started
            mark_done(done)
        return self._done[step]


def refuse_with_divided_weights(benchmarks: Sequence[LoadedBenchmark]) -> None:
    """Refuse evaluations during a run whose weights lie on several processes.

    Raises:
        ConfigError: There are any.
    """
    if benchmarks:
        names = ", ".join(benchmark.config.name for benchmark in benchmarks)
        raise ConfigError(
            f"found evaluations during training ({names}; evaluation.benchmarks or data.evaluate), "
            "and FSDP or DeepSpeed divides the weights over processes, where the first process "
            "cannot evaluate alone: leave them out and run `rephrase-rl eval RUN` afterwards"
        )


@contextlib.contextmanager
def _weights_precision(model: Any) -> Iterator[None]:
    """Compute in the weights' own precision, as an evaluation from disk does.

    Accelerate replaces ``forward`` by one under autocast when training starts. Left in place, the
    evaluation before training and the ones after it would differ in arithmetic.
    """
    wrapped = model.__dict__.get("forward")
    original = model.__dict__.get("_original_forward")
    if wrapped is None or original is None:
        yield
        return
    model.forward = original
    try:
        yield
    finally:
        model.forward = wrapped
