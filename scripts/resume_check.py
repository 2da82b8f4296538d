"""Is a run that is killed in every step and resumed each time the run that was left alone?

``make resume-check`` calls it. For every preset and setting one run of the lab is left alone, and
one is killed (SIGKILL) in every step, after its record and before its checkpoint, and gone on with.
Both must leave the same bytes: records of steps and groups, final weights, and in the last
checkpoint the optimiser, the scheduler, random states and what the trainer remembers.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rephrase_rl.config import RunConfig, parse_config
from rephrase_rl.methods import PRESETS, resolve_guidance
from rephrase_rl.runs import RunDirectory, atomic, collect_manifest

SETTINGS = [(iterations, steps) for iterations in (1, 2) for steps in (1, 4)]
"""``num_iterations`` and ``steps_per_generation``."""
STEPS = 5
"""Of every run. The longest generation batch serves eight steps, the shortest one."""
CHANGES: dict[str, Any] = {
    # So small that the buffer fills within a run, and replay has something to give.
    "relift": {"slot": {"size": 2}},
    "replay": {"gate": {"kind": "always"}, "accept": []},
    "repo": {"source": {"cache_steps": 2}},
}
WRITTEN = ("steps.jsonl", "groups.jsonl", "checkpoints/final/model.safetensors")
IN_CHECKPOINT = ("optimizer.pt", "scheduler.pt", "rng_state.pth")
MEMORY = "guidance-0.pt"
"""Compared value by value: pickle writes a value that two places share once, and resumed ones are
not shared."""


class Cell(NamedTuple):
    """One line and column of the table."""

    method: str
    num_iterations: int
    steps_per_generation: int

    @property
    def name(self) -> str:
        """For folders."""
        return f"{self.method}-{self.num_iterations}-{self.steps_per_generation}"


def main() -> int:
    """Check every cell, print the table, and keep a record of a whole check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs side by side")
    parser.add_argument("--work", type=Path, default=Path("build/resume_check"))
    parser.add_argument("--out", type=Path, default=Path("results/resume_check"))
    options = parser.parse_args()
    about = collect_manifest("make resume-check", 0)
    _import_everything()
    cells = [cell for method in options.methods for cell in cells_of(method)]
    git = about["git"]
    work = options.work / ("changed" if git["dirty"] else str(git["commit"]))
    if git["dirty"]:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    rows = check_all(cells, work, options.jobs)
    text = "\n".join(table(rows))
    print(text)
    seconds = sum(row["seconds"] for row in rows)
    unequal = [row["cell"] for row in rows if row["differences"]]
    print(f"{len(rows) - len(unequal)} of {len(rows)} equal, {seconds:.0f} s of work")
    if set(options.methods) == set(PRESETS):
        write_record(options.out, about, rows, text, seconds)
    return 1 if unequal else 0


def cells_of(method: str) -> list[Cell]:
    """Supervised methods sample nothing in training, so the two settings mean nothing to them."""
    supervised = resolve_guidance(method, {}).slot.kind == "dataset"
    return [Cell(method, *setting) for setting in (SETTINGS[:1] if supervised else SETTINGS)]


def configuration(cell: Cell) -> RunConfig:
    """Four problems, shuffled, so that epochs end within the run; one group to a step."""
    return parse_config(
        {
            "method": cell.method,
            "model": {"path": "lab:base"},
            "data": {"path": "lab:mixed", "limit": 4},
            "guidance": CHANGES.get(cell.method, {}),
            "trainer": {
                "max_steps": STEPS,
                "save_strategy": "steps",
                "save_steps": 1,
                "per_device_train_batch_size": 4,
                "num_generations": 4,
                "num_iterations": cell.num_iterations,
                "steps_per_generation": cell.steps_per_generation,
                "max_completion_length": 40,
                "learning_rate": 1e-3,
                "bf16": False,
            },
        }
    )


def check(cell: Cell, folder: Path) -> dict[str, Any]:
    """Run a cell both ways and compare."""
    started = time.perf_counter()
    whole, parts = folder / "whole", folder / "parts"
    in_child(lambda: train(cell, whole))
    in_child(lambda: train(cell, parts, killed_in=2), killed=True)
    for step in range(1, STEPS):
        last = step == STEPS - 1
        in_child(
            lambda step=step, last=last: train(
                cell, parts, resume=True, killed_in=None if last else step + 2
            ),
            killed=not last,
        )
    run = RunDirectory.open(parts)
    resumed = [part["after_step"] for part in run.manifest["resumed"]]
    if resumed != list(range(1, STEPS)):
        raise SystemExit(f"{cell.name} was resumed after steps {resumed}")
    accepted = sum(step.metrics.get("injection/accepted") or 0.0 for step in run.steps())
    return {
        "cell": list(cell),
        "resumed_after": resumed,
        "accepted": int(accepted),
        "seconds": round(time.perf_counter() - started, 1),
        "differences": differences(whole, parts),
    }


def train(cell: Cell, path: Path, resume: bool = False, killed_in: int | None = None) -> None:
    """One part of a run; ends by SIGKILL when the record of the step ``killed_in`` is written."""
    from rephrase_rl.assembly import train_run

    def on_step(view: Any) -> None:
        if view.step == killed_in:
            os.kill(os.getpid(), signal.SIGKILL)

    train_run(
        configuration(cell), run_path=path, command=["resume_check"], resume=resume, on_step=on_step
    )


def differences(whole: Path, parts: Path) -> list[str]:
    """Files that are not the same bytes."""
    last = f"checkpoints/checkpoint-{STEPS}"
    names = [*WRITTEN, *(f"{last}/{name}" for name in IN_CHECKPOINT)]
    found = [name for name in names if content(whole / name) != content(parts / name)]
    memory = f"{last}/{MEMORY}"
    if not same(remembered(whole / memory), remembered(parts / memory)):
        found.append(memory)
    return found


def remembered(file: Path) -> Any:
    """None for methods whose trainer remembers nothing."""
    import torch

    return torch.load(file, weights_only=True) if file.is_file() else None


def same(one: Any, other: Any) -> bool:
    """Whether two structures hold the same values, tensors to the last bit."""
    import torch

    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(v, other[k]) for k, v in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other or (one != one and other != other))


def content(file: Path) -> bytes | None:
    """None for a file that this method does not write."""
    return file.read_bytes() if file.is_file() else None


def in_child(body: Callable[[], None], killed: bool = False) -> None:
    """Run in a process of its own, which must end as expected."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            body()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, how = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(how)
    if code != (-signal.SIGKILL if killed else 0):
        raise SystemExit(f"a part of a run ended with {code}")


def check_all(cells: list[Cell], folder: Path, jobs: int) -> list[dict[str, Any]]:
    """Check cells in as many processes as there are jobs; the rows in the order of the cells."""
    # What a check that broke off has done of this very commit stays done.
    todo = [cell for cell in cells if not (folder / f"{cell.name}.json").is_file()]

    def work(job: int) -> None:
        for cell in todo[job::jobs]:
            place = folder / cell.name
            shutil.rmtree(place, ignore_errors=True)
            row = check(cell, place)
            shutil.rmtree(place)
            atomic.write_text(folder / f"{cell.name}.json", json.dumps(row))
            print(f"{cell.name}: {', '.join(row['differences']) or 'equal'}", flush=True)

    pids = []
    for job in range(jobs):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                work(job)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        pids.append(pid)
    if any(os.waitpid(pid, 0)[1] for pid in pids):
        raise SystemExit("a check broke off; see above")
    return [json.loads((folder / f"{cell.name}.json").read_text()) for cell in cells]


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Presets and settings; one cell for methods that have no such settings."""
    names = [f"iterations {i}, steps per generation {s}" for i, s in SETTINGS]
    lines = [f"| preset | {' | '.join(names)} | accepted |", "|---" * (len(names) + 2) + "|"]
    for method in dict.fromkeys(row["cell"][0] for row in rows):
        own = [row for row in rows if row["cell"][0] == method]
        cells = [", ".join(row["differences"]) or "equal" for row in own]
        cells += ["-"] * (len(SETTINGS) - len(cells))
        accepted = ", ".join(str(row["accepted"]) for row in own)
        lines.append(f"| `{method}` | {' | '.join(cells)} | {accepted} |")
    return lines


def write_record(
    out: Path, about: dict[str, Any], rows: list[dict[str, Any]], text: str, seconds: float
) -> None:
    """The card, as data and as a page."""
    out.mkdir(parents=True, exist_ok=True)
    record = {**about, "steps": STEPS, "seconds": round(seconds, 1), "rows": rows}
    atomic.write_text(out / "card.json", json.dumps(record, indent=2) + "\n")
    git = about["git"]
    page = [
        "# Killed in every step and resumed, against left alone",
        "",
        f"`make resume-check`: the lab's base policy, {STEPS} steps, killed (SIGKILL) in each, so "
        f"resumed after steps 1 to {STEPS - 1}.",
        f"Compared byte by byte: {', '.join(WRITTEN)}, and of the last checkpoint "
        f"{', '.join(IN_CHECKPOINT)}; value by value: {MEMORY}.",
        "*accepted*: texts that guidance accepted in each of the runs.",
        "",
        text,
        "",
        f"Commit {git['commit']}{' (with changes)' if git['dirty'] else ''}, started "
        f"{about['started_at']}, {seconds:.0f} s of work, "
        f"hardware {json.dumps(about['hardware'])}.",
        "",
        "Versions: " + ", ".join(f"{k} {v}" for k, v in about["versions"].items()) + ".",
        "",
    ]
    atomic.write_text(out / "card.md", "\n".join(page))


def _import_everything() -> None:
    """Children share what is imported here, and one thread suffices for so small a model."""
    import torch
    import transformers

    import rephrase_rl.assembly.supervised
    import rephrase_rl.assembly.training
    import rephrase_rl.lab  # noqa: F401

    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    warnings.filterwarnings("ignore")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main())
