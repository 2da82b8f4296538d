"""SmolLM2-135M-Instruct through the whole method on word problems: warm-up, mining, every arm.

    python scripts/smollm2/study.py --hours 8

A list of jobs in order of importance, each a command of its own. A job that is done is passed over,
one that was stopped goes on where it stopped; when the hours are over the running job is told to
save itself, and the same command goes on later. ``--list`` says what is done.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECIPES = ROOT / "recipes" / "smollm2"
STOPPED = 128 + signal.SIGTERM
"""Exit status of a run that saved itself when it was told to stop."""


@dataclass(frozen=True)
class Arm:
    """One way to train."""

    name: str
    method: str
    set: Sequence[str] = ()
    seeds: Sequence[int] | None = None
    """None: those of the study."""


@dataclass(frozen=True)
class Study:
    """What is trained and measured; ``study.yaml``."""

    arms: Sequence[Arm]
    seeds: Sequence[int]
    steps: int
    tokens: int
    samples: int
    high: float
    parts: dict[str, int]
    limit: int
    choices: int
    set: Sequence[str] = ()


def read_study(path: Path) -> Study:
    """The study that a file describes."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    arms = [Arm(name, **{"method": name, **said}) for name, said in raw.pop("arms").items()]
    return Study(arms=arms, **raw)


@dataclass(frozen=True)
class Job:
    """One command, and the file that is there once it is done."""

    name: str
    command: Sequence[str]
    done: Path
    run: Path | None = None
    """Of a training run: its directory, for going on."""
    log: list[str] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do."""
        return self.done.is_file()

    def words(self) -> list[str]:
        """The command as it has to be given now."""
        if self.run is None or not (self.run / "manifest.json").is_file():
            return list(self.command)
        saved = any((self.run / "checkpoints").glob("checkpoint-*"))
        return [*self.command, "--resume" if saved else "--overwrite"]


def main() -> int:
    """Carry out what is left, within the hours."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", type=Path, default=HERE / "study.yaml")
    parser.add_argument("--model", type=Path, default=ROOT / "models/SmolLM2-135M-Instruct")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--runs", type=Path, default=Path("runs/smollm2"))
    parser.add_argument("--hours", type=float, default=8.0, help="stop after so many")
    parser.add_argument("--list", action="store_true", help="say what is done, and stop")
    options = parser.parse_args()
    study = read_study(options.study)
    jobs = jobs_of(study, options.model, options.data, options.runs)
    if options.list:
        for job in jobs:
            print(f"{'done' if job.is_done else 'open'}  {job.name}")
        return 0
    options.runs.mkdir(parents=True, exist_ok=True)
    return carry_out(jobs, options.runs, time.monotonic() + 3600 * options.hours)


def jobs_of(study: Study, model: Path, data: Path, runs: Path) -> list[Job]:
    """Every job, the most important one first."""
    warm = runs / "warm_up"
    parts = runs / "data"
    sizes = [
        word
        for part, size in study.parts.items()
        for word in (f"--{part.replace('_', '-')}", str(size))
    ]
    split = script("problems.py", data / "mwp/mwp_train_steps.jsonl", "--out", parts, *sizes)
    changes = [f"model.path={model}", f"data.warm_up.path={parts / 'warm_up.jsonl'}", *study.set]
    mined = {"mined": "pool", "mined_test": "test_pool"}
    jobs = [
        Job("data", split, parts / "warm_up.jsonl"),
        training("warm_up", RECIPES / "warm_up.yaml", warm, changes),
        *(
            mining(study, warm, parts / f"{part}.jsonl", runs / name)
            for name, part in mined.items()
        ),
        *measuring("warm", warm, study, data, runs),
    ]
    for seed in study.seeds:
        for arm in study.arms:
            if arm.seeds is not None and seed not in arm.seeds:
                continue
            name = f"{arm.name}-{seed}"
            run = runs / name
            changes = [
                f"method={arm.method}",
                f"seed={seed}",
                f"model.path={warm / 'checkpoints/final'}",
                f"data.hard.path={runs / 'mined/hard.parquet'}",
                f"trainer.max_steps={study.steps}",
                f"trainer.max_completion_length={study.tokens}",
                *arm.set,
                *study.set,
            ]
            jobs.append(training(name, RECIPES / "arms.yaml", run, changes))
            jobs.extend(measuring(name, run, study, data, runs))
    return [*jobs, *measuring("base", model, study, data, runs)]


def training(name: str, config: Path, run: Path, changes: Sequence[str]) -> Job:
    """A training run; its summary is written when the final policy is."""
    command = product("train", config, *settings([f"output_dir={run}", *changes]))
    return Job(name, command, run / "summary.json", run)


def mining(study: Study, warm: Path, problems: Path, out: Path) -> Job:
    """The problems of a part that the warm policy hardly ever solves."""
    changes = [
        f"model.path={warm / 'checkpoints/final'}",
        f"data.hard.path={problems}",
        "data.hard.mapping=mwp",
        f"trainer.max_completion_length={study.tokens}",
        "method=grpo",
    ]
    command = product(
        "mine", RECIPES / "arms.yaml", "--out", out, "-k", study.samples, "--high", study.high
    )
    return Job(out.name, [*command, *settings(changes)], out / "summary.json")


def measuring(name: str, policy: Path, study: Study, data: Path, runs: Path) -> list[Job]:
    """What a policy can do: its texts, and what it takes for the likeliest option."""
    texts, choices = (runs / folder / f"{name}.json" for folder in ("measured", "choices"))
    arc = data / "choice/arc_challenge_test.jsonl"
    of_texts = (
        policy, "--hard", runs / "mined_test/hard.parquet", "--held-out",
        runs / "data/held_out.jsonl", "--choice", arc, "--text",
        data / "choice/pubmedqa_pqal.json", "--out", texts, "--tokens", study.tokens,
        "--limit", study.limit,
    )  # fmt: skip
    of_choices = (
        policy, "--arc", arc, "--ecqa", data / "choice/ecqa_train.tsv", "--out", choices,
        "--limit", study.choices,
    )  # fmt: skip
    return [
        Job(f"measure {name}", script("measure.py", *of_texts), texts),
        Job(f"measure choices of {name}", script("choices.py", *of_choices), choices),
    ]


def product(*words: object) -> list[str]:
    """A command line of rephrase-rl with this Python."""
    return [sys.executable, "-m", "rephrase_rl.cli.main", *map(str, words)]


def script(name: str, *words: object) -> list[str]:
    """A command line of a script of this folder."""
    return [sys.executable, str(HERE / name), *map(str, words)]


def settings(changes: Sequence[str]) -> list[str]:
    """Changes as options."""
    return [word for change in changes for word in ("--set", change)]


def carry_out(jobs: Sequence[Job], runs: Path, deadline: float) -> int:
    """One job after the other until the deadline.

    Args:
        jobs: In order.
        runs: Folder that gets ``log.txt``.
        deadline: By ``time.monotonic``.

    Returns:
        0, also where hours ran out; a job's own status where it failed.
    """
    for job in jobs:
        if job.is_done:
            continue
        if time.monotonic() >= deadline:
            print(f"the hours are over before {job.name}; the same command goes on")
            return 0
        job.done.parent.mkdir(parents=True, exist_ok=True)
        print(f"{time.strftime('%H:%M:%S')} {job.name}", flush=True)
        started = time.monotonic()
        status = run_until(job.words(), runs / "log.txt", deadline)
        print(f"  {time.monotonic() - started:.0f} s, status {status}", flush=True)
        if status in (STOPPED, -signal.SIGTERM):
            print(f"the hours ran out in {job.name}; the same command goes on")
            return 0
        if status:
            print(f"{job.name} failed; its output is in {runs / 'log.txt'}")
            return status
    print("every job is done")
    return 0


def run_until(words: Sequence[str], log: Path, deadline: float) -> int:
    """Run a command; at the deadline tell it to stop, and wait until it has saved itself."""
    with log.open("a", encoding="utf-8") as output:
        output.write(f"$ {' '.join(words)}\n")
        output.flush()
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT)
        try:
            return process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGTERM)
            process.wait()
            raise


if __name__ == "__main__":
    sys.exit(main())
