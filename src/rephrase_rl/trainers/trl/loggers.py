"""Experiment trackers beside the run directory: whatever transformers' ``report_to`` knows.

A tracker gets the same figures under the same names as ``steps.jsonl`` (transformers puts
``train/`` before them), and evaluations as ``evaluation/<benchmark>/<figure>``. The run directory
stays the record; a tracker is a window on it.
"""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Any

from transformers.integrations import TensorBoardCallback
from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    get_available_reporting_integrations,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

FOLDER = "tensorboard"
"""Folder of event files in the run directory, unless TENSORBOARD_LOGGING_DIR names another."""


def logger_faults(report_to: object) -> list[str]:
    """What is wrong with ``trainer.report_to``; empty: nothing.

    Args:
        report_to: A name or a list of names; ``none`` and ``all`` are names too.
    """
    names = [report_to] if isinstance(report_to, str) else report_to
    if names is None or names in (["none"], ["all"]):
        return []
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return [f"trainer.report_to is {report_to!r}; required: a name or a list of names"]
    there = get_available_reporting_integrations()
    faults = []
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            close = difflib.get_close_matches(name, INTEGRATION_TO_CALLBACK, n=1)
            hint = f"did you mean {close[0]}?" if close else f"one of: {', '.join(sorted(there))}"
            faults.append(f"trainer.report_to names {name!r}, which transformers lacks; {hint}")
        elif _is_known_missing(name, there):
            faults.append(
                f"trainer.report_to names {name}, which is not installed; install it (pip install "
                f"{name}), or take it out"
            )
    return faults


def _is_known_missing(name: str, there: Sequence[str]) -> bool:
    """Whether transformers would refuse it; of flyte and azure_ml it does not say in one word."""
    return name not in there and name not in ("flyte", "azure_ml")


def loggers_of(trainer: Any) -> list[Any]:
    """The trackers among a trainer's callbacks."""
    kinds = tuple(INTEGRATION_TO_CALLBACK.values())
    return [c for c in trainer.callback_handler.callbacks if isinstance(c, kinds)]


def prepare_loggers(trainer: Any, run_path: Path) -> None:
    """Keep event files in the run directory, and figures that a step lacks away from trackers.

    Args:
        trainer: Before its training begins.
        run_path: The run directory.
    """
    for logger in loggers_of(trainer):
        logger.on_log = _without_gaps(logger.on_log)
        if isinstance(logger, TensorBoardCallback) and logger.logging_dir is None:
            logger.logging_dir = str(run_path / FOLDER)


def log_evaluation(trainer: Any, figures: Mapping[str, float]) -> None:
    """Hand the figures of an evaluation to every tracker, at the step at which training is.

    Not through ``trainer.log``, which would end the collection of the step's own figures.
    """
    for logger in loggers_of(trainer):
        logger.on_log(
            trainer.args, trainer.state, trainer.control, logs=dict(figures), model=trainer.model
        )


def _without_gaps(on_log: Callable[..., Any]) -> Callable[..., Any]:
    """Trackers take null for a fault of the program, and draw NaN as 0 or not at all."""

    def log(*arguments: Any, logs: Mapping[str, Any] | None = None, **rest: Any) -> Any:
        kept = {name: value for name, value in (logs or {}).items() if not _is_gap(value)}
        return on_log(*arguments, logs=kept, **rest)

    return log


def _is_gap(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
