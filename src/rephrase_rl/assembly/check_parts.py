"""What each part of a reasoning model's text would be as k, and whether it would fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.assembly.objects import scan_data
from rephrase_rl.data import BadRow
from rephrase_rl.data.experts import EXPERT_PARTS
from rephrase_rl.data.part_fits import PartTally

if TYPE_CHECKING:
    from rephrase_rl.assembly.check_wording import Wording
    from rephrase_rl.config import RunConfig
    from rephrase_rl.data.part_fits import Limits, PartFit


def part_fits(config: RunConfig, wording: Wording, limits: Limits) -> tuple[PartFit, ...]:
    """Read every set once for each part, and measure k and P(q, k) without any budget.

    Args:
        config: The run, resolved.
        wording: With a tokenizer.
        limits: Of the run.
    """
    return tuple(_measured(part, config, wording).fit(limits) for part in EXPERT_PARTS)


def _measured(part: str, config: RunConfig, wording: Wording) -> PartTally:
    tally = PartTally(part)
    for data in config.data:
        for item in scan_data(data.model_copy(update={"expert_part": part})):
            if isinstance(item, BadRow):
                tally.add_absent(item)
            elif item.expert_solution is not None:
                tally.add(wording.count(item.expert_solution), wording.rephrase_tokens(item))
    return tally
