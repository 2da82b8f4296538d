"""All benchmarks in one command: a line in the history of this machine, and a report with plots.

Every benchmark runs in a process of its own, in turn. The figures go as one line into
``benchmarks/history/MACHINE.jsonl`` and are compared with the last lines of the same machine and
form; the report goes to ``results/benchmarks/`` (quick form: ``build/benchmarks/``). A run that
broke off goes on with ``--resume``, which takes what was measured at the same commit.

    python benchmarks/run.py [--quick] [--only guidance records] [--resume]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import report
from history import Change, append_line, compare, line_of, machine_of, read_lines
from measuring import about, one_line, run_python
from suite import SUITE, Form

ROOT = Path(__file__).resolve().parents[1]
PARTS = ROOT / "build" / "benchmarks" / "parts"
"""What each benchmark wrote last, for ``--resume``."""


def main() -> None:
    """Run what is asked for, compare and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, at most two minutes")
    parser.add_argument("--only", nargs="+", choices=SUITE, default=list(SUITE), metavar="NAME")
    parser.add_argument(
        "--resume", action="store_true", help="take what was measured at this commit"
    )
    parser.add_argument("--history", type=Path, default=ROOT / "benchmarks" / "history")
    parser.add_argument("--out", type=Path, help="folder of the report")
    options = parser.parse_args()
    form: Form = "quick" if options.quick else "full"
    facts = about("run.py")
    print(one_line(facts))
    records = {
        part: measured(part, form, facts, options.resume) for part in SUITE if part in options.only
    }
    out = options.out or ROOT / ("build" if options.quick else "results") / "benchmarks"
    changes, file = conclude(facts, form, records, options.history, out)
    announce(changes)
    print(f"report: {file}")


def measured(part: str, form: Form, facts: Mapping[str, Any], resume: bool) -> dict[str, Any]:
    """Run one benchmark, or take what it wrote at this commit.

    Raises:
        SystemExit: It broke off.
    """
    benchmark = SUITE[part]
    kept = PARTS / f"{form}-{part}.json"
    if resume and kept.exists():
        earlier: dict[str, Any] = json.loads(kept.read_text())
        same = earlier["about"]["git"] == facts["git"]
        if same and facts["git"]["dirty"] is False:
            print(f"{part}: taken from {earlier['about']['started_at']}")
            return earlier
    kept.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    run_python(benchmark.script, *benchmark.arguments(form), "--json", str(kept))
    print(f"{part}: {time.perf_counter() - started:.0f} s", flush=True)
    record: dict[str, Any] = json.loads(kept.read_text())
    return record


def conclude(
    facts: Mapping[str, Any],
    form: Form,
    records: Mapping[str, Mapping[str, Any]],
    history: Path,
    out: Path,
) -> tuple[list[Change], Path]:
    """Compare with earlier lines, add this one, write the report."""
    read = {
        part: {**record, "figures": SUITE[part].figures(record)} for part, record in records.items()
    }
    figures = {
        f"{part}: {name}": one
        for part, record in read.items()
        for name, one in record["figures"].items()
    }
    machine = machine_of(facts)
    file = history / f"{machine}.jsonl"
    line = line_of(facts, form, figures)
    changes = compare(figures, read_lines(file), form)
    append_line(file, line)
    name = report.name_of(machine, facts["started_at"])
    return changes, report.write_report(out, line, name, read, changes)


def announce(changes: list[Change]) -> None:
    """Say on the terminal what has changed."""
    counts = dict.fromkeys(("regression", "improvement", "within noise", "new"), 0)
    for change in changes:
        counts[change.verdict] += 1
        if change.verdict in ("regression", "improvement"):
            print(f"{change.verdict}: {change.name} {change.share:+.0%} against {change.before:g}")
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


if __name__ == "__main__":
    main()
