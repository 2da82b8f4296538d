"""``make torture``: injects every kind of fault and says what survived.

Every fault runs in a child forked from this process, which has imported everything and runs no
thread. Writes ``card.md``, ``card.json``, ``table.md`` and ``log.jsonl`` to the output folder. Ends
with status 1 if anything did not survive.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import sys
import time
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import openai  # noqa: E402, F401  (imported once, before the forks)
import torch  # noqa: E402

torch.set_num_threads(1)
torch.set_num_interop_threads(1)

import faults_data  # noqa: E402, F401
import faults_disk  # noqa: E402, F401
import faults_distributed  # noqa: E402, F401
import faults_endpoint  # noqa: E402, F401
import faults_model  # noqa: E402, F401
import faults_verifier  # noqa: E402, F401
from forks import Child  # noqa: E402
from kills import METHODS, Reference, kill_of  # noqa: E402
from world import FAULTS, Fault, Outcome, threads  # noqa: E402

from rephrase_rl.runs import collect_manifest  # noqa: E402

SHOWN_CHARS = 160
COUNTS = ("kinds", "runs", "survived", "lost")


@dataclasses.dataclass
class Row:
    """All injections of one kind."""

    fault: Fault
    outcomes: list[Outcome] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    @property
    def survived(self) -> int:
        return sum(o.survived for o in self.outcomes)

    @property
    def message(self) -> str:
        """Of the first that did not survive, else of the last one."""
        bad = [o.message for o in self.outcomes if not o.survived]
        return (bad or [self.outcomes[-1].message])[0]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of a family's or a fault's name")
    parser.add_argument("--quick", action="store_true", help="ten kills in place of sixty")
    parser.add_argument("--kills", type=int, default=None, help="number of kills, 60 by default")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--jobs", type=int, default=2, help="children at a time")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "torture")
    parser.add_argument("--keep", action="store_true", help="keep the folders of the runs")
    return parser.parse_args()


def chosen_faults(options: argparse.Namespace, work: Path) -> list[Fault]:
    """The faults of this call, kills last; their reference runs are made here."""
    only = options.only.lower()
    faults = [f for f in FAULTS if only in f"{f.family}: {f.name}".lower()]
    kills = options.kills if options.kills is not None else 10 if options.quick else 60
    methods = [m for m in METHODS if only in f"kill: kill -9 of {m}"]
    references = [Reference(method, work) for method in methods] if kills else []
    for number in range(kills if methods else 0):
        faults.append(kill_of(references[number % len(references)], number, options.seed))
    return faults


def run_all(faults: list[Fault], work: Path, options: argparse.Namespace) -> dict[str, Row]:
    """Run them, a few at a time; a line for each as it ends."""
    rows = {f"{f.family}: {f.name}": Row(f) for f in faults}
    waiting = list(enumerate(faults))
    running: list[tuple[int, Fault, Child]] = []
    log = (options.out / "log.jsonl").open("w", encoding="utf-8")
    while waiting or running:
        while waiting and len(running) < options.jobs:
            number, fault = waiting.pop(0)
            folder = work / f"{number:03d}"
            folder.mkdir(parents=True)
            child = Child(
                lambda body=fault.body, folder=folder: dataclasses.asdict(body(folder)),
                folder / "child.log",
                fault.limit_s,
            )
            running.append((number, fault, child))
        for item in [r for r in running if r[2].poll() is not None]:
            running.remove(item)
            number, fault, child = item
            outcome = outcome_of(child)
            row = rows[f"{fault.family}: {fault.name}"]
            row.outcomes.append(outcome)
            row.seconds += child.seconds
            entry = {"family": fault.family, "fault": fault.name, "seconds": child.seconds}
            line = json.dumps(entry | dataclasses.asdict(outcome))
            log.write(without_paths(line, work) + "\n")
            log.flush()
            word = "survived" if outcome.survived else "DID NOT SURVIVE"
            print(
                f"{number:3d} {child.seconds:5.1f} s  {fault.family}: {fault.name}: {word}", end=""
            )
            print("" if outcome.survived else f": {outcome.message[:600]}", flush=True)
            if not options.keep and outcome.survived:
                shutil.rmtree(work / f"{number:03d}", ignore_errors=True)
        time.sleep(0.02)
    log.close()
    return rows


def outcome_of(child: Child) -> Outcome:
    result = child.result()
    if result is not None:
        return Outcome(**result)
    if child.poll() == "killed":
        return Outcome(False, f"hangs: not done after {child.limit_s:g} s")
    return Outcome(False, f"broke: {child.output()[-500:]}")


def table(rows: dict[str, Row], seconds: float) -> str:
    """The result in Markdown."""
    done = list(rows.values())
    kinds = sum(row.survived == len(row.outcomes) for row in done)
    lost = sum(o.lost for row in done for o in row.outcomes)
    runs = sum(len(row.outcomes) for row in done)
    lines = [
        f"{len(done)} kinds of fault in {runs} runs: {kinds} kinds survived, {lost} records lost, "
        f"{seconds / 60:.1f} minutes on {os.cpu_count()} cores ({platform.machine()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}).",
        "",
        "| fault | injected | runs survived | lost records | surviving means | seen |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        injected = sum(o.injected for o in row.outcomes)
        lost = sum(o.lost for o in row.outcomes)
        seen = " ".join(row.message.split()).replace("|", "\\|")[:SHOWN_CHARS]
        lines.append(
            f"| {name} | {injected} | {row.survived}/{len(row.outcomes)} | {lost} | "
            f"{row.fault.survives} | {seen} |"
        )
    return "\n".join(lines) + "\n"


def without_paths(text: str, work: Path) -> str:
    """Machine paths mean nothing to a reader."""
    return text.replace(f"{work}/", "").replace(f"{ROOT}/", "").replace(str(ROOT), "here")


def write_card(out: Path, about: dict[str, Any], rows: dict[str, Row], text: str) -> None:
    """The table with what made it, as a page and as data."""
    families: dict[str, dict[str, int]] = {}
    for row in rows.values():
        counts = families.setdefault(row.fault.family, dict.fromkeys(COUNTS, 0))
        counts["kinds"] += 1
        counts["runs"] += len(row.outcomes)
        counts["survived"] += row.survived
        counts["lost"] += sum(o.lost for o in row.outcomes)
    (out / "card.json").write_text(json.dumps({**about, "families": families}, indent=2) + "\n")
    git = about["git"]
    page = [
        "# Faults injected, and what survived",
        "",
        text,
        f"Command `{about['command']}`, commit {git['commit']}"
        f"{' (with changes)' if git['dirty'] else ''}, seed {about['seed']}, started "
        f"{about['started_at']}, hardware {json.dumps(about['hardware'])}.",
        "",
        "Versions: " + ", ".join(f"{k} {v}" for k, v in about["versions"].items()) + ".",
        "",
    ]
    (out / "card.md").write_text("\n".join(page), encoding="utf-8")


def main() -> int:
    options = arguments()
    command = " ".join(["scripts/torture/inject.py", *sys.argv[1:]])
    about = collect_manifest(without_paths(command, options.out / "runs"), options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    work: Any = options.out / "runs"
    shutil.rmtree(work, ignore_errors=True)
    started = time.monotonic()
    if threads() > 1:
        print(f"note: {threads()} threads run before the forks", file=sys.stderr)
    rows = run_all(chosen_faults(options, work), work, options)
    text = table(rows, time.monotonic() - started)
    text = without_paths(text, work)
    write_card(options.out, about, rows, text)
    (options.out / "table.md").write_text(text, encoding="utf-8")
    print("\n" + text)
    bad = [name for name, row in rows.items() if row.survived < len(row.outcomes)]
    if not bad and not options.keep:
        shutil.rmtree(work, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
