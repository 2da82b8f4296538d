"""Writing the groups of a long run, reading them back, the ledger, the viewer, the whole report.

Groups have 8 members of 480 characters, 8 groups a step; every second gate opens, half of the
rewrites are refused, and problems come again after 7,473. Every job runs in a process of its own,
so that peak memory is its own. Seconds and MiB; an exponent of 1 is linear.

    python benchmarks/records.py [--sizes 1000 10000 100000] [--json FILE]
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measuring import exponents, figure, finish, parser_of, peak_mib, run_python, seconds_of

from rephrase_rl.guidance.ledger import Ledger, summarise
from rephrase_rl.records import CandidateRecord, GroupRecord, MemberRecord, StepRecord
from rephrase_rl.runs import RunDirectory

if TYPE_CHECKING:
    import argparse

SIZES = (1_000, 10_000, 100_000)
GROUP, GROUPS_A_STEP, PROBLEMS = 8, 8, 7_473
TEXT = "First we add the numbers, then we divide by two. " * 10
METRICS = (
    "loss",
    "reward",
    "groups/all_failed_fraction",
    "groups/all_passed_fraction",
    "gate/open_fraction",
    "injection/accept_fraction",
    "injection/rescued_fraction",
    "injection/logp_on_q",
    "injection/logp_on_context",
    "tokens/rollout",
    "tokens/rephrase",
)


def main() -> None:
    """Do every job at every size (or one of them, for ``--worker``)."""
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="groups of the run")
    parser.add_argument("--worker", nargs=3, metavar=("JOB", "RUN", "GROUPS"), help="internal")
    parser.add_argument("--most", type=int, default=3, help="runs of each size at most")
    options = parser.parse_args()
    if options.worker:
        job, folder, size = options.worker
        print(json.dumps(do(JOBS[job], Path(folder), int(size))))
        return
    runs = [(n, measure(n)) for n in options.sizes for _ in range(repetitions(n, options.most))]
    finish("records.py", options, *summary(options, runs))


def repetitions(size: int, most: int) -> int:
    """Three runs of 10,000 groups, one of 100,000."""
    return max(1, min(most, math.ceil(30_000 / size)))


def measure(size: int) -> dict[str, dict[str, float]]:
    """Every job on one run of this many groups."""
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "run")
        return {
            job: json.loads(run_python("records.py", "--worker", job, run, str(size)))
            for job in JOBS
        }


def summary(
    options: argparse.Namespace, runs: list[tuple[int, dict[str, dict[str, float]]]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures at the largest size; all measurements, exponents and sizes of files."""
    largest = max(options.sizes)
    at_largest = [run for size, run in runs if size == largest]
    figures = {}
    for job in JOBS:
        for name, unit in (("seconds", "s"), ("peak_mib", "MiB")):
            values = [run[job][name] for run in at_largest]
            figures[f"{job} {name}, {largest} groups"] = figure(values, unit)
    costs = {job: [(n, run[job]["seconds"] / n) for n, run in runs] for job in JOBS}
    peaks = {job: [(n, run[job]["peak_mib"]) for n, run in runs] for job in JOBS}
    return figures, {
        "us_per_group": {job: [(n, 1e6 * cost) for n, cost in costs[job]] for job in JOBS},
        "peak_mib": peaks,
        "exponents": exponents(costs),
        "sizes_mib": {n: run["report"]["sizes_mib"] for n, run in runs},
    }


def do(job: Callable[[Path, int], dict[str, float]], folder: Path, size: int) -> dict[str, Any]:
    """One job in this process: seconds, peak memory, and what it says itself."""
    said: list[dict[str, float]] = []
    seconds = seconds_of(lambda: said.append(job(folder, size)))
    return {"seconds": seconds, "peak_mib": peak_mib(), **said[0]}


def write(folder: Path, size: int) -> dict[str, float]:
    """A run of ``size`` groups, step by step as training writes it."""
    manifest = {"format_version": 1, "command": "records.py", "seed": 0, "method": "repo"}
    run = RunDirectory.create(folder, manifest, "method: repo\n")
    num_steps = math.ceil(size / GROUPS_A_STEP)
    groups = scripted_groups(size)
    for step in range(num_steps):
        wave = math.sin(step * step)
        run.append_step(StepRecord(step, dict.fromkeys(METRICS, 0.5 + wave / 4)))
        run.append_timing(step, {"time/step_s": 1.0})
        run.append_groups([g for _, g in zip(range(GROUPS_A_STEP), groups, strict=False)])
    run.write_summary({"wall_s": float(num_steps)})
    return {}


def read(folder: Path, size: int) -> dict[str, float]:
    """Every group as a record, one after the other."""
    assert sum(1 for _ in RunDirectory.open(folder).groups()) == size  # noqa: S101  (checks the benchmark)
    return {}


def ledger(folder: Path, size: int) -> dict[str, float]:
    """The ledger of the run and its summary."""
    found = summarise(Ledger.of_run(RunDirectory.open(folder)))
    assert found.problems == min(size, PROBLEMS)  # noqa: S101  (checks the benchmark)
    return {}


def viewer(folder: Path, size: int) -> dict[str, float]:
    """The pages of the viewer as data, without the rest of the report."""
    from rephrase_rl.reports.viewer.contents import page_contents
    from rephrase_rl.reports.viewer.survey import survey_groups

    run = RunDirectory.open(folder)
    survey = survey_groups(run)
    pages = [page.span.count for page in page_contents(run, survey, {"charts": [], "ledger": []})]
    assert sum(pages) == survey.tally.groups == size  # noqa: S101  (checks the benchmark)
    return {}


def report(folder: Path, size: int) -> dict[str, Any]:
    """Card, curves, ledger and pages."""
    from rephrase_rl.reports import write_report

    paths = write_report(folder)
    files = {
        "groups.jsonl": [folder / "groups.jsonl"],
        "index.html": [paths.index],
        "further pages": list(paths.parts),
    }
    return {
        "sizes_mib": {
            name: sum(file.stat().st_size for file in found) / 2**20
            for name, found in files.items()
        }
    }


JOBS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "write": write,
    "read": read,
    "ledger": ledger,
    "viewer": viewer,
    "report": report,
}


def scripted_groups(size: int) -> Iterator[GroupRecord]:
    """Groups in turn: closed, rescued, closed, refused."""
    passed, failed = (
        MemberRecord(TEXT, "rollout", reward, reward, 0.9 * (2 * reward - 1), 120, True)
        for reward in (1.0, 0.0)
    )
    for index in range(size):
        opened, accepted = index % 2 == 1, index % 4 == 1
        reward = float(accepted)
        refusals = () if accepted else ("reward_above_replaced",)
        candidate = CandidateRecord(
            *(TEXT, TEXT, "rephrase", reward, reward, 120, 120, True, accepted, refusals, ()),
            logp_on_q=-0.75,
            logp_on_context=-0.125,
            context_ratio_quantiles=(0.5, 1.0, 1.5),
        )
        yield GroupRecord(
            step=index // GROUPS_A_STEP,
            rank=0,
            problem_id=f"p{index % PROBLEMS}",
            question=TEXT[:240],
            reference_answer="42",
            expert_solution=TEXT,
            failure_fraction=1.0 if opened else 0.5,
            gate_open=opened,
            gate_reason="open" if opened else "closed",
            members=(failed,) * GROUP if opened else (passed, failed) * (GROUP // 2),
            candidates=(candidate,) if opened else (),
            slot=0 if accepted else None,
            replaced=failed if accepted else None,
            rescued=accepted,
        )


if __name__ == "__main__":
    main()
