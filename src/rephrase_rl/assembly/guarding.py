"""Guards of a run from its configuration: steps that are not finite, and runs that hang."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rephrase_rl.runs.hardware import process_name
from rephrase_rl.trainers.trl.guards import Guards
from rephrase_rl.trainers.trl.hang_watch import HangWatch

if TYPE_CHECKING:
    from rephrase_rl.assembly.run_parts import RunRequest


def run_guards(request: RunRequest) -> Guards:
    """When to stop because of steps that are not finite, and where they are written down."""
    return Guards(request.config.guards.refused_in_a_row, request.run_path / "refused")


def hang_watches(request: RunRequest) -> list[HangWatch]:
    """The watch of this process, if the configuration has a limit."""
    limit_s = request.config.guards.hang_limit_s
    every = request.config.evaluation.every_steps
    if limit_s is None:
        return []
    return [
        HangWatch(
            limit_s,
            process_name() or "this run",
            evaluates_at=lambda step: every is not None and step % every == 0,
        )
    ]


def stop_watching(trainer: Any) -> None:
    """Stop the watches of a trainer whose training has ended, in whatever way."""
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, HangWatch):
            callback.close()
