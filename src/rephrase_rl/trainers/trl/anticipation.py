"""Rewrites that will probably be needed are sampled in the same call as the rollouts.

Decoding costs nearly as much for eight rows as for seventy, so a second call for a few rewrites is
dear. Whether a gate will open is predicted from the problem's last visit; a wrong guess costs the
tokens of one rewrite, which is dropped and counted, and one that was not foreseen is sampled after
the gate as ever. The decisions are those of lazy sampling.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from rephrase_rl.guidance.blocks import Ask
from rephrase_rl.guidance.memory import drafts_ahead
from rephrase_rl.records import Completion, Rollout, RolloutGroup
from rephrase_rl.trainers.trl.rows import encode_messages, problem_of_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rephrase_rl.guidance.blocks import Guidance, StepContext
    from rephrase_rl.trainers.trl.trainer import RePOTrainer

logger = logging.getLogger(__name__)

PromptIds = tuple[int, ...]
PASS_RATE = "pass_rate"  # noqa: S105  (no key)
"""Column of a dataset with each problem's mined pass rate, or null; may be absent."""


class Anticipation:
    """Prompts P(q, k) of the groups whose gate is expected to open, and what came of them."""

    def __init__(self, prompts: Sequence[PromptIds] = ()) -> None:
        """Args: token ids of each prompt, once for every candidate wanted of it."""
        self.prompts = list(prompts)
        self._sampled: dict[PromptIds, list[Completion]] = defaultdict(list)

    def keep(self, completions: Sequence[Completion]) -> None:
        """Take in the completions of ``prompts``, in order."""
        for prompt, completion in zip(self.prompts, completions, strict=True):
            self._sampled[prompt].append(completion)

    def holds(self, prompt: PromptIds) -> bool:
        """Whether there is a completion of this prompt."""
        return bool(self._sampled.get(prompt))

    def take(self, prompt: PromptIds) -> Completion | None:
        """A completion of this prompt, each once; None: it was not foreseen."""
        return self._sampled[prompt].pop(0) if self.holds(prompt) else None


def can_anticipate(trainer: RePOTrainer, shares_prefixes: bool) -> bool:
    """Whether the guidance asks for anticipation and one call can sample rollouts and rewrites.

    Says in one line why not where it was asked for.
    """
    guidance = trainer.guidance
    if guidance.sampling != "anticipated" or not guidance.active:
        return False
    reason = None
    if not drafts_ahead(guidance.source):
        reason = "this source's prompts are not known before the rollouts are"
    elif not shares_prefixes:
        reason = "only the shared-prefix sampler takes both in one call"
    elif guidance.temperature not in (None, trainer.temperature) or (
        guidance.top_p not in (None, trainer.top_p)
    ):
        reason = "they have a temperature or nucleus of their own"
    if reason is not None:
        logger.warning("rewrites are sampled after the gate, since %s", reason)
    return reason is None


def anticipate(
    trainer: RePOTrainer, rows: Sequence[Mapping[str, Any]], context: StepContext
) -> Anticipation:
    """Prompts for the groups whose gate the last visit of their problem predicts to open.

    Args:
        trainer: Its tokenizer and guidance.
        rows: Dataset rows of the batch, one per member.
        context: Step and history.
    """
    guidance, size = trainer.guidance, trainer.num_generations
    prompts: list[PromptIds] = []
    for row in rows[::size]:
        ask = _expected_ask(guidance, row, size, context)
        if ask is None:
            continue
        ids = encode_messages(trainer, ask.messages or (), isinstance(row["prompt"], str))
        if len(ids) <= guidance.max_prompt_tokens:
            prompts += [ids] * guidance.num_candidates
    return Anticipation(prompts)


def _expected_ask(
    guidance: Guidance, row: Mapping[str, Any], size: int, context: StepContext
) -> Ask | None:
    """What the source would ask for if the gate opens as expected; None: nothing to be sampled."""
    problem = problem_of_row(row)
    pass_fraction = _expected_pass_fraction(row, context.history(problem.problem_id))
    if pass_fraction is None or guidance.gate is None or guidance.source is None:
        return None
    passed = round(pass_fraction * size)
    nothing = Completion("", (), finished=True)
    group = RolloutGroup(
        problem,
        tuple(Rollout(nothing, float(i < passed), float(i < passed)) for i in range(size)),
    )
    if not guidance.gate(group, context):
        return None
    draft = guidance.source.draft(group, context)
    return draft if isinstance(draft, Ask) else None


def _expected_pass_fraction(row: Mapping[str, Any], history: Sequence[float]) -> float | None:
    """That of the last visit that was scored; before any, the mined one, if the data has it."""
    scored = [fraction for fraction in history if not math.isnan(fraction)]
    if scored:
        return scored[-1]
    mined = row.get(PASS_RATE)
    return None if mined is None else float(mined)
