"""What the benchmarks share: figures of repeated runs, growth with size, memory, and output.

A benchmark writes one JSON object: ``about`` (machine, versions, commit), ``settings``, ``figures``
(name -> ``Figure``, what the history compares) and ``details`` (what its part of the report shows).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

Better = Literal["lower", "higher"]


class Figure(TypedDict):
    """One quantity, measured several times."""

    unit: str
    better: Better
    median: float
    low: float
    high: float
    count: int


class Slope(NamedTuple):
    """Exponent of a power law with its 95 % interval; 1 is linear."""

    value: float
    low: float
    high: float


def figure(values: Sequence[float], unit: str, better: Better = "lower") -> Figure:
    """Median, smallest and largest of the repetitions."""
    return Figure(
        unit=unit,
        better=better,
        median=statistics.median(values),
        low=min(values),
        high=max(values),
        count=len(values),
    )


def seconds_of(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def log_log_slope(sizes: Sequence[float], costs: Sequence[float]) -> Slope:
    """Fit cost = a * size ** slope by least squares on logarithms, one point per measurement."""
    import numpy
    from scipy import stats

    fit = stats.linregress(numpy.log(sizes), numpy.log(costs))
    if len(sizes) == 2:  # a line through two points: no interval
        return Slope(float(fit.slope), float("-inf"), float("inf"))
    half = float(stats.t.ppf(0.975, len(sizes) - 2) * fit.stderr)
    return Slope(float(fit.slope), float(fit.slope) - half, float(fit.slope) + half)


def exponents(costs: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, Slope]:
    """Exponent of each cost; none where there is one size only.

    Args:
        costs: Name -> pairs of size and cost per unit of size.
    """
    return {
        name: log_log_slope([n for n, _ in points], [n * cost for n, cost in points])
        for name, points in costs.items()
        if len({n for n, _ in points}) > 1
    }


def peak_mib() -> float:
    """Largest resident memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # the other figure begins with the parent's peak
        (line,) = [x for x in status.read_text().splitlines() if x.startswith("VmHWM")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_python(script: str, *arguments: str) -> str:
    """Run a script of this folder in a process of its own and return what it printed.

    Raises:
        SystemExit: It failed; the end of its error output is the message.
    """
    path = Path(__file__).with_name(script)
    command = [sys.executable, "-W", "ignore", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{script} broke off:\n{done.stderr[-3000:]}")
    return done.stdout


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """Options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write all figures here too")
    return parser


def about(script: str) -> dict[str, Any]:
    """Machine, versions and commit."""
    from rephrase_rl.runs import collect_manifest

    return collect_manifest(f"benchmarks/{script}", seed=0)


def finish(
    script: str,
    options: argparse.Namespace,
    figures: Mapping[str, Figure],
    details: Mapping[str, Any],
) -> None:
    """Print a table of the figures and write the JSON object."""
    facts = about(script)
    print(f"\n{one_line(facts)}")
    for name, one in figures.items():
        spread = f"({one['low']:.4g} to {one['high']:.4g}, {one['count']}x)"
        print(f"{name:<58} {one['median']:10.4g} {one['unit']:<14} {spread}")
    if options.json:
        settings = {k: v for k, v in vars(options).items() if k not in ("json", "worker")}
        record = {"about": facts, "settings": settings, "figures": figures, "details": details}
        options.json.write_text(json.dumps(record, indent=2) + "\n")


def one_line(facts: Mapping[str, Any]) -> str:
    """Machine, versions and commit as a sentence."""
    hardware, versions, git = facts["hardware"], facts["versions"], facts["git"]
    changed = " with changes" if git["dirty"] else ""
    named = [f"{name} {versions[name]}" for name in ("python", "torch", "trl") if name in versions]
    return (
        f"{hardware['cpu']}, {hardware['cores']} cores; {', '.join(named)}; "
        f"commit {git['commit'] or 'unknown'}{changed}"
    )
