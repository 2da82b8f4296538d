"""Verifiers that raise, hang, return anything but verdicts, or die with their worker."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from world import (
    ENDS,
    GOES_ON,
    REFUSED,
    Outcome,
    ended,
    fault,
    lab,
    patched,
    refused,
    train,
    went_on,
)

FILE = Path(__file__).with_name("bad_verifiers.py")
LONG = {"per_device_train_batch_size": 16, "max_steps": 6}
"""Enough verdicts that the share of those that failed is looked at."""


def by_user(name: str, **changes: Any) -> Any:
    return lab(rewards=[{"verifier": f"{FILE}:{name}"}], **changes)


def misbehaved() -> int:
    return sys.modules["bad_verifiers"].calls


def run_faulty(folder: Path, config: Any) -> Any:
    os.environ["FAULTY"] = "1"
    ran = train(folder / "run", config)
    os.environ["FAULTY"] = "0"
    return ran


def unjudged(ran: Any) -> str:
    """What the record shows of completions that could not be judged."""
    from rephrase_rl.runs import RunDirectory

    groups = list(RunDirectory.open(ran.path).groups())
    members = [m for g in groups for m in g.members]
    missing = sum(m.reward != m.reward for m in members)
    return f"{missing} of {len(members)} rewards are recorded as not judged" if missing else ""


def counted(name: str) -> Any:
    def body(folder: Path) -> Outcome:
        ran = run_faulty(folder, by_user(name))
        shown = unjudged(ran) if ran.error is None else ""
        outcome = went_on(ran, injected=max(1, misbehaved() // 3), counted=shown)
        return outcome if shown or ran.error else Outcome(False, "nothing was counted")

    return body


def stopped(name: str, pattern: str) -> Any:
    def body(folder: Path) -> Outcome:
        config = by_user(name, trainer=LONG)
        return ended(run_faulty(folder, config), pattern, config, misbehaved())

    return body


for _name, _title in {
    "sometimes_raises": "verifier raises at every third completion",
    "out_of_memory": "verifier raises MemoryError at every third completion",
    "recurses": "verifier recurses without end at every third completion",
    "returns_nan": "verifier returns NaN at every third completion",
    "returns_inf": "verifier returns infinity at every third completion",
    "returns_none": "verifier returns None at every third completion",
    "returns_text": "verifier returns text at every third completion",
    "returns_list": "verifier returns a list at every third completion",
    "ScoresNan": "verifier class scores NaN",
    "ScoresText": "verifier class scores text",
}.items():
    fault("verifier", _title, GOES_ON)(counted(_name))

for _name, _title, _pattern in (
    ("always_raises", "verifier raises at every completion", "could not judge.*broken on purpose"),
    ("all_none", "verifier returns None for ever", "could not judge.*returned None"),
    ("Raises", "verifier class raises at every call", "could not judge.*broken on purpose"),
    ("ReturnsFloats", "verifier class returns numbers for verdicts", "could not judge.*no Verdict"),
    ("exits", "verifier calls sys.exit", "could not judge.*SystemExit"),
    ("TooFew", "verifier class returns too few verdicts", "15 values.*one Verdict for each"),
    ("TooMany", "verifier class returns too many verdicts", "17 values.*one Verdict for each"),
    ("ReturnsNone", "verifier class returns None for a batch", "returned None; required"),
    ("ReturnsText", "verifier class returns text for a batch", "returned 'good'; required"),
):
    fault("verifier", _title, ENDS)(stopped(_name, _pattern))


@fault("verifier", "verifier takes 50 ms for each completion", GOES_ON)
def slow(folder: Path) -> Outcome:
    ran = run_faulty(folder, by_user("slow"))
    return went_on(ran, injected=misbehaved(), counted="nothing to say: it is only slow")


@fault("verifier", "rewards of 1e30", GOES_ON)
def huge(folder: Path) -> Outcome:
    ran = run_faulty(folder, by_user("returns_huge"))
    return went_on(ran, injected=misbehaved() // 3, counted="advantages stay finite")


@fault("verifier", "reward 0 for ever", "goes on, and says loudly that nothing is learned")
def constant_zero(folder: Path) -> Outcome:
    guards = {"constant_reward_steps": 3}
    ran = run_faulty(folder, by_user("constant_zero", guards=guards))
    return went_on(ran, "CONSTANT REWARD: all .* got 0", misbehaved())


@fault("verifier", "reward 1 for ever", "goes on, and says loudly that nothing is learned")
def constant_one(folder: Path) -> Outcome:
    guards = {"constant_reward_steps": 3}
    ran = run_faulty(folder, by_user("constant_one", guards=guards))
    return went_on(ran, "CONSTANT REWARD: all .* got 1", misbehaved())


@fault("verifier", "verifier class cannot be built", REFUSED)
def not_built(folder: Path) -> Outcome:
    return refused(train(folder / "run", by_user("NotBuilt")), "cannot be built.*no licence")


@fault("verifier", "verifier is not there", REFUSED)
def not_there(folder: Path) -> Outcome:
    return refused(train(folder / "run", by_user("nothing")), "found no 'nothing'")


def _watched(folder: Path, name: str, pattern: str) -> Outcome:
    """A hang ends the whole process, so it hangs in a child of its own."""
    from forks import Child

    config = by_user(name, guards={"hang_limit_s": 2.0})
    os.environ["FAULTY"] = "1"
    child = Child(lambda: train(folder / "run", config), folder / "hanging.log", 60)
    status = child.wait()
    os.environ["FAULTY"] = "0"
    said = child.output()
    found = re.search(pattern, said, re.DOTALL)
    if status == "killed" or not found or name not in said:
        return Outcome(False, f"{status}, no stack of {name}: {said[-200:]}")
    again = train(folder / "run", config, overwrite=True)
    good = again.error is None
    return Outcome(good, " ".join(found.group(0).split()) + f" ... in {name}")


@fault("verifier", "verifier never returns", "ends after guards.hang_limit_s with every stack")
def sleeps(folder: Path) -> Outcome:
    return _watched(folder, "sleeps", r"error: this run: nothing has moved for 2 s")


@fault("verifier", "verifier holds the interpreter", "ends after guards.hang_limit_s with stacks")
def holds(folder: Path) -> Outcome:
    return _watched(folder, "holds_the_interpreter", r"Timeout \(0:00:03\.400000\)!")


def _worker(folder: Path, what: str, pattern: str) -> Outcome:
    """The mathematics verifier's worker misbehaves for some completions."""
    from worker_faults import misbehave_at_random

    from rephrase_rl.assembly import objects
    from rephrase_rl.rewards import MathVerifier

    verifier = MathVerifier(timeout_s=1.0, cache_size=0, judge=misbehave_at_random)
    os.environ["MISBEHAVE"] = what
    with patched(objects, "build_verifier", lambda reward: verifier):
        ran = train(folder / "run", lab(rewards=[{"verifier": "math"}]))
    number = verifier.counts["timeout"] + verifier.counts["error"]
    return went_on(ran, injected=number, counted=f"{number} {pattern}")


@fault("verifier", "worker of the mathematics verifier hangs", GOES_ON)
def worker_hangs(folder: Path) -> Outcome:
    return _worker(folder, "hang", "verdicts ended as timeout")


@fault("verifier", "worker of the mathematics verifier dies", GOES_ON)
def worker_dies(folder: Path) -> Outcome:
    return _worker(folder, "crash", "verdicts ended as error")
