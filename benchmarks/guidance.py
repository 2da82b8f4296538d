"""What a group costs in guidance, records and ledger, and whether that grows in proportion.

The preset ``repo`` around an engine that takes no time, with no gate, every second and every gate
open; then, for every second gate, the group's record, the metrics of the step and the ledger. A
cost that is linear has an exponent of 1. Completions have 512 tokens and 2,058 characters without
meta text. One thread.

    python benchmarks/guidance.py [--sizes 100 1000 10000 100000] [--json FILE]
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from measuring import exponents, figure, finish, parser_of, seconds_of
from scripted import GROUP, TOKENS, ScriptedEngine, rollout_groups

from rephrase_rl import preset_guidance
from rephrase_rl.guidance.blocks import Guidance, StepContext
from rephrase_rl.guidance.ledger import Ledger
from rephrase_rl.guidance.recording import group_record, step_metrics
from rephrase_rl.guidance.step import GuidedGroup, guide

if TYPE_CHECKING:
    from rephrase_rl.records import GroupRecord

SHARES = {"gates closed": 0.0, "half open": 0.5, "all open": 1.0}
SIZES = (100, 1_000, 10_000, 100_000)
CONTEXT = StepContext(step=0)
ADVANTAGES = (0.0,) * GROUP


def main() -> None:
    """Time every size and fit the exponents."""
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="groups of a call")
    options = parser.parse_args()
    torch.set_num_threads(1)
    measure(min(options.sizes), preset_guidance("repo"))  # warms up
    runs = [
        (size, measure(size, preset_guidance("repo")))
        for size in options.sizes
        for _ in range(repetitions(size))
    ]
    costs = {name: [(size, run[name]) for size, run in runs] for name in runs[0][1]}
    largest = max(options.sizes)
    figures = {
        f"{name}, {largest} groups": figure([us for n, us in points if n == largest], "us/group")
        for name, points in costs.items()
    }
    details = {"us_per_group": costs, "exponents": exponents(costs), "tokens": TOKENS}
    finish("guidance.py", options, figures, details)


def repetitions(size: int) -> int:
    """More for small sizes: a call of 100 groups lasts a few milliseconds."""
    return max(2, min(9, math.ceil(20_000 / size)))


def measure(size: int, repo: Guidance) -> dict[str, float]:
    """Microseconds a group of everything at one size."""
    engine = ScriptedEngine()
    costs: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        results: list[Any] = []
        gc.collect()  # what the last case left behind is not this one's to pay for
        costs[name] = 1e6 * seconds_of(lambda: results.append(work())) / size
        return results[0]

    half: list[GuidedGroup] = []
    for name, share in SHARES.items():
        groups = rollout_groups(size, share)
        guided = timed(f"guide, {name}", lambda groups=groups: guide(groups, repo, engine, CONTEXT))
        opened = sum(one.slot is not None for one in guided)
        assert opened == round(share * size), f"{opened} of {size} groups were rescued"  # noqa: S101  (checks the benchmark)
        half = guided if share == 0.5 else half
        del groups, guided
    records: list[GroupRecord] = timed(
        "group_record, half open", lambda: [group_record(g, ADVANTAGES, CONTEXT) for g in half]
    )
    timed("step_metrics, half open", lambda: step_metrics(records, 0.5))
    timed("ledger, half open", lambda: Ledger.from_records(records))
    return costs


if __name__ == "__main__":
    main()
