"""The benchmarks that belong together, how each is called, and its figures in one form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from measuring import Figure, figure

Form = Literal["full", "quick"]


class Benchmark(NamedTuple):
    """One script of this folder."""

    script: str
    full: tuple[str, ...]
    """Arguments of the full form."""
    quick: tuple[str, ...]
    """Arguments of the form that fits into two minutes with the others."""
    figures: Callable[[Mapping[str, Any]], dict[str, Figure]]
    """What the script wrote -> its figures."""

    def arguments(self, form: Form) -> tuple[str, ...]:
        """Arguments of a form."""
        return self.full if form == "full" else self.quick


def own_figures(record: Mapping[str, Any]) -> dict[str, Figure]:
    """Figures of a script that writes them as such."""
    return dict(record["figures"])


def micro_figures(record: Mapping[str, Any]) -> dict[str, Figure]:
    """Milliseconds a call, five repetitions."""
    return {
        name: Figure(unit="ms", better="lower", median=median, low=low, high=high, count=5)
        for name, (median, low, high) in record["milliseconds"].items()
    }


def step_figures(record: Mapping[str, Any]) -> dict[str, Figure]:
    """Seconds and memory of a step by arm, and ratios to the first arm."""
    figures: dict[str, Figure] = {}
    for arm, runs in record["runs"].items():
        figures[f"{arm}, step"] = figure([run["step_s"] for run in runs], "s/step")
        figures[f"{arm}, peak"] = figure([run["peak_gib"] for run in runs], "GiB")
    first = next(iter(record["runs"]))
    for arm, ratios in record["ratios"].items():
        figures[f"{arm} / {first}, step"] = figure(ratios["step_s"], "x")
    return figures


SUITE: dict[str, Benchmark] = {
    "micro": Benchmark("micro.py", (), ("--seconds", "0.02"), micro_figures),
    "guidance": Benchmark("guidance.py", (), ("--sizes", "100", "1000"), own_figures),
    "records": Benchmark("records.py", (), ("--sizes", "300", "3000", "--most", "1"), own_figures),
    "verifiers": Benchmark("verifiers.py", (), ("--groups", "2", "--rounds", "2"), own_figures),
    "growth": Benchmark(
        "growth.py", (), ("--tiny", "--steps", "1", "--series", "G", "open"), own_figures
    ),
    "step": Benchmark(
        "grpo_step.py",
        ("--model", "lab", "--rows", "64", "--pairs", "2"),
        ("--model", "lab", "--rows", "16", "--pairs", "1", "--steps", "1"),
        step_figures,
    ),
}
"""In the order in which they run."""
