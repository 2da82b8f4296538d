"""Token budgets of a first configuration, from measured lengths and the policy's context.

A problem can be rewritten where its P(q, k) and a rewrite as long as its expert share the context.
Under a limit of completions that is too high no P(q, k) fits, under one that is too low no rewrite
ends; the limit is chosen in between, and what still does not fit is counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rephrase_rl.assembly.check_wording import Wording
from rephrase_rl.assembly.objects import scan_data
from rephrase_rl.errors import ConfigError
from rephrase_rl.methods import resolve_config
from rephrase_rl.records import Problem

if TYPE_CHECKING:
    from rephrase_rl.config import RunConfig
    from rephrase_rl.data.inspection import DataReport

ROOM_FOR_REWRITES = 1.5
"""Length limit of completions as a multiple of the experts' 99th percentile: a rewrite explains
each step and is longer than its expert."""
LEAST_ROOM = 32
"""Tokens that a completion needs at least."""
ENOUGH_FITTING = 0.9
"""Share of experts that must fit beside rewrites with that room; else rewrites get less of it."""
FEWEST_FITTING = 0.1
"""Share of experts that must fit into the context; with fewer, RePO would be GRPO but in name."""
WITHOUT_EXPERTS = {"cpu": 256, "gpu": 1024}
"""Length limit of completions where no expert says how long a solution is."""


class ExpertLengths(NamedTuple):
    """Lengths of one problem that has an expert, in the policy's tokens."""

    expert: int
    rephrase: int
    """Of P(q, k): template, question and expert."""

    def needs(self, room: float = 1.0) -> int:
        """Tokens of a rewrite that is ``room`` times as long as the expert, with its end token."""
        return max(LEAST_ROOM, math.ceil(room * self.expert), self.expert + 1)


@dataclass(frozen=True, slots=True)
class Budgets:
    """Lengths in the policy's tokens, and what follows from them."""

    solve: int
    """99th percentile of the prompts q."""
    expert: int | None
    """99th percentile of the experts' texts. None: there is none."""
    rephrase: int | None
    """Longest prompt P(q, k) of the sample."""
    context: int | None
    """The policy's context. None: its configuration does not say."""
    max_completion_length: int
    max_prompt_tokens: int | None = None
    """For P(q, k). None: nothing is rephrased."""
    expert_tokens: int | None = None
    """Longest expert that fits into the context with its rewrite. None: no longer one was seen."""
    experts: int = 0
    """Of the sample."""
    fitting: int = 0
    """Those of them that can be rewritten within the context."""
    shortened: bool = False
    """Whether the context has no room for the completions that the experts' lengths ask for."""

    @property
    def left_out(self) -> int:
        """Experts of the sample whose problems train without them."""
        return self.experts - self.fitting


def expert_lengths(config: RunConfig) -> list[ExpertLengths]:
    """Measure the problems of a configuration's first set that have an expert and a P(q, k).

    Raises:
        DataError: The data cannot be read.
        EngineError: The tokenizer cannot be loaded or has no chat template.
    """
    config = resolve_config(config)
    wording = Wording(config, with_tokenizer=True)
    found = []
    for item in scan_data(config.data[0]):
        if isinstance(item, Problem) and item.expert_solution is not None:
            rephrase = wording.rephrase_tokens(item)
            if rephrase is not None:
                found.append(ExpertLengths(wording.count(item.expert_solution), rephrase))
    return found


def find_budgets(
    report: DataReport, lengths: Sequence[ExpertLengths], context: int | None, kind: str
) -> Budgets:
    """Token budgets from the measured lengths.

    Completions get room for a rewrite of the longest experts but one in a hundred; P(q, k) gets
    room for the longest of the sample and a tenth more. Where both do not share the context, the
    limit of completions is the one under which most experts can be rewritten.

    Args:
        report: On the sample.
        lengths: Of its problems with an expert.
        context: The policy's, in tokens; None: not known.
        kind: Of the machine, ``cpu`` or ``gpu``.

    Raises:
        ConfigError: The context has no room for answers, or for hardly any expert.
    """
    tokens = report.tokens or {}
    solve, expert = tokens.get("solve"), tokens.get("expert")
    prompt = 0 if solve is None else solve.p99
    wanted = WITHOUT_EXPERTS[kind] if expert is None else ROOM_FOR_REWRITES * expert.p99
    completion = max(LEAST_ROOM, _rounded_up(wanted, 16 if wanted < 128 else 64))
    if context is not None:
        if context - prompt < LEAST_ROOM:
            raise ConfigError(
                f"found questions of up to {prompt} tokens (99 %) and a context of {context}; "
                f"required: room for {LEAST_ROOM} more; do this: take a model with a longer context"
            )
        completion = min(completion, context - prompt)
    if not lengths or expert is None:
        known = None if expert is None else expert.p99
        return Budgets(prompt, known, None, context, completion)
    longest = max(one.rephrase for one in lengths)
    most = completion
    fitting = list(lengths)
    if context is not None and longest + completion > context:
        completion = _completion_limit(lengths, context, completion)
        fitting = [one for one in lengths if _fits(one, completion, context)]
        if len(fitting) < max(1, FEWEST_FITTING * len(lengths)):
            raise _no_room(lengths, len(fitting), context)
    kept = max(one.expert for one in fitting)
    room = _rounded_up(1.1 * longest, 64)
    return Budgets(
        solve=prompt,
        expert=expert.p99,
        rephrase=longest,
        context=context,
        max_completion_length=completion,
        max_prompt_tokens=room if context is None else min(room, context - completion),
        expert_tokens=kept if any(one.expert > kept for one in lengths) else None,
        experts=len(lengths),
        fitting=len(fitting),
        shortened=completion < most,
    )


def _completion_limit(lengths: Sequence[ExpertLengths], context: int, most: int) -> int:
    """The limit under which most experts can be rewritten, the highest of equals.

    Rewrites get their usual room if most experts then fit; else as much as their expert takes.
    """
    limits = sorted({min(most, context - one.rephrase) for one in lengths})

    def fitting(limit: int, room: float) -> int:
        return sum(_fits(one, limit, context, room) for one in lengths)

    def rank(limit: int) -> tuple[int, int, int]:
        return fitting(limit, ROOM_FOR_REWRITES), fitting(limit, 1.0), limit

    roomy = max(limits, key=rank)
    if fitting(roomy, ROOM_FOR_REWRITES) >= ENOUGH_FITTING * len(lengths):
        return roomy
    return max(limits, key=lambda limit: (fitting(limit, 1.0), limit))


def _fits(one: ExpertLengths, limit: int, context: int, room: float = 1.0) -> bool:
    """Whether P(q, k) and a rewrite of k share the context under a limit of completions."""
    return one.needs(room) <= limit <= context - one.rephrase


def _no_room(lengths: Sequence[ExpertLengths], fitting: int, context: int) -> ConfigError:
    least = min(lengths, key=lambda one: one.rephrase + one.needs())
    around, completion = least.rephrase - least.expert, least.needs()
    total = least.rephrase + completion
    one_in = round(1 / FEWEST_FITTING)
    return ConfigError(
        f"found a policy with a context of {context} tokens, in which {fitting} of {len(lengths)} "
        "experts can be rewritten, whatever the limit of completions: the one that needs least has "
        f"{least.expert} tokens, question and template take {around} around it, and a completion "
        f"as long as it {completion}, {total} together; required: room for one expert in {one_in} "
        "at least, since hardly anything would be rewritten; do this: take a model with a longer "
        "context; where the experts are what is long, shorten them; for plain GRPO, which "
        "rewrites none, --method grpo"
    )


def _rounded_up(value: float, multiple: int) -> int:
    return multiple * math.ceil(value / multiple)
