"""One line per optimiser step with the numbers that matter, and a progress bar where one fits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rephrase_rl.cli.console import messages, output

if TYPE_CHECKING:
    from rephrase_rl.assembly import StepView

SHOWN_METRICS = (
    ("loss", "loss", "{:.4f}"),
    ("reward", "reward", "{:.3f}"),
    ("failed", "groups/all_failed_fraction", "{:.2f}"),
    ("passed", "groups/all_passed_fraction", "{:.2f}"),
    ("gate", "gate/open_fraction", "{:.2f}"),
    ("accepted", "injection/accept_fraction", "{:.2f}"),
    ("rescued", "injection/rescued_fraction", "{:.2f}"),
    ("logp_q", "injection/logp_on_q", "{:.2f}"),
)
"""Label, metric and format; a method without such a metric has no such column. failed, passed, gate
and rescued are shares of the groups, accepted of the candidates; logp_q is the mean log-probability
per token (nats) of injected text on q."""

TOKEN_METRICS = ("tokens/rollout", "tokens/rephrase")
"""Sampled tokens of a step: their sum is shown."""


def step_line(
    step: int, total_steps: int, metrics: Mapping[str, float | None], seconds: float
) -> str:
    """Format one step; ``-`` where there is no number, such as nothing accepted.

    Example:
        >>> line = step_line(3, 20, {"reward": 0.25, "tokens/rollout": 1200.0}, 1.5)
        >>> line.split("  ")[:3], line.split("  ")[-2:]
        (['step', '3/20', 'reward 0.250'], ['tokens 1,200', '1.5 s'])
    """
    width = len(str(total_steps))
    shown = [
        f"{label} {_number(metrics[name], form)}"
        for label, name, form in SHOWN_METRICS
        if name in metrics
    ]
    tokens = [metrics[name] or 0.0 for name in TOKEN_METRICS if name in metrics]
    shown.append(f"tokens {_number(sum(tokens) if tokens else None, '{:,.0f}')}")
    return "  ".join([f"step {step:>{width}}/{total_steps}", *shown, f"{seconds:.1f} s"])


def _number(value: float | None, form: str) -> str:
    return "-" if value is None or not math.isfinite(value) else form.format(value)


class StepDisplay:
    """Shows steps as they come; a context manager, so that the bar is always taken down.

    Args:
        title: What is being trained, in front of the bar.
        every: Print the line of every n-th step, and of the first and last.
    """

    def __init__(self, title: str, every: int = 1) -> None:
        self._title = title
        self._every = every
        self._progress = progress_bar(unit="done")
        self._task = self._progress.add_task(title, total=None)
        self._evaluation = self._task
        self._evaluated: str | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, view: StepView) -> None:
        """Show one step."""
        self._progress.update(self._task, total=view.total_steps, completed=view.step)
        if view.step % self._every == 0 or view.step in (1, view.total_steps):
            output.print(step_line(view.step, view.total_steps, view.metrics, view.seconds))

    def show_evaluation(self, benchmark: str, done: int, total: int) -> None:
        """Show how far an evaluation has come; its bar goes when it is done."""
        if self._evaluated != benchmark:
            self._evaluated = benchmark
            self._evaluation = self._progress.add_task(f"{self._title}: {benchmark}", total=total)
        finished = done >= total
        self._progress.update(self._evaluation, completed=done, total=total, visible=not finished)
        if finished:
            self._evaluated = None


def progress_bar(unit: str) -> Progress:
    """A bar on standard error, drawn on a terminal only."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        console=messages,
        transient=True,
        disable=not messages.is_terminal,
    )
