"""The phases of one optimiser step on the busiest device: tokens and seconds of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rephrase_rl.planning.batches import (
    Members,
    RowBatch,
    packed_rows,
    plain_rows,
    prompts_in_micro_batch,
)
from rephrase_rl.planning.communication import exchanged_s
from rephrase_rl.planning.sampling import Ask, SamplingWork, sampling_work
from rephrase_rl.planning.setting import BYTES, Setting
from rephrase_rl.planning.work import Work, backward_work, forward_work


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of a step."""

    name: str
    seconds: float
    tokens: float = 0.0
    """Tokens that go through the model; 0 where none do."""


def step_phases(setting: Setting) -> tuple[Phase, ...]:
    """All phases of one optimiser step, in order; those that do not occur take 0 seconds."""
    work = setting.work
    return (
        *_rollouts(setting),
        *_rewrites(setting),
        _judging(setting),
        _scoring(setting, "old log-probs", work.old_logps),
        _scoring(setting, "reference log-probs", work.reference_logps),
        *_training(setting),
        _exchange(setting),
        _trainer(setting),
    )


def step_seconds(setting: Setting) -> float:
    """Seconds of one optimiser step."""
    return sum(phase.seconds for phase in step_phases(setting))


# --- sampling


def joins_rollouts(setting: Setting) -> bool:
    """Whether rewrites are sampled in the call of the rollouts; only one sampler can."""
    return (
        setting.work.mode == "anticipated"
        and setting.work.samples_candidates
        and setting.how.sampler == "shared_prefix"
    )


def _rollout_work(setting: Setting) -> SamplingWork:
    work = setting.work
    own = Ask(
        setting.local_problems,
        work.group_size,
        work.prompt_tokens,
        work.completion_tokens,
        work.longest_completion_tokens,
    )
    alone = sampling_work(setting, [own])
    occurs, groups = judged_groups(setting)
    if not occurs or not joins_rollouts(setting):
        return alone
    together = sampling_work(setting, [own, _rewrite_ask(setting, groups)])
    return together.weighed(occurs, alone)


def _rewrite_work(setting: Setting) -> tuple[float, SamplingWork | None]:
    """How often a second call is made for candidates, and its work."""
    occurs, groups = judged_groups(setting)
    if not occurs or not setting.work.samples_candidates or joins_rollouts(setting):
        return 0.0, None
    return occurs, sampling_work(setting, [_rewrite_ask(setting, groups)])


def _rewrite_ask(setting: Setting, groups: float) -> Ask:
    work = setting.work
    longest = work.longest_rewrite_tokens(groups * work.candidates)
    return Ask(groups, work.candidates, work.context_tokens, work.rewrite_tokens, longest)


def _rollouts(setting: Setting) -> tuple[Phase, ...]:
    names = ("prompts", "rollouts")
    return _sampling_phases(
        setting, _rollout_work(setting), names, setting.work.generations_per_step
    )


def _sampling_phases(
    setting: Setting, sampled: SamplingWork, names: tuple[str, str], factor: float
) -> tuple[Phase, ...]:
    rates = setting.device.rates[setting.how.arithmetic]
    slower = factor * setting.device.overhead.generate
    prefill_s = rates.score.seconds(sampled.prefill) * slower
    decode_s = rates.decode.seconds(sampled.decode) * slower
    return (
        Phase(names[0], prefill_s, sampled.prompt_tokens * factor),
        Phase(names[1], decode_s, sampled.sampled_tokens * factor),
    )


def _exchange(setting: Setting) -> Phase:
    """Between devices; sharded weights are fetched in each call of sampling."""
    occurs, rewrites = _rewrite_work(setting)
    calls = _rollout_work(setting).decode.layer_calls
    if rewrites is not None:
        calls += occurs * rewrites.decode.layer_calls
    calls *= setting.work.generations_per_step / setting.shape.layers
    return Phase("exchange", exchanged_s(setting, calls))


def judged_groups(setting: Setting) -> tuple[float, float]:
    """How often a step has candidates at all, and for how many groups of the device it then has.

    With a share of open gates there is none in (1 - share)^problems of the steps, and then no call
    of the model is made for them.
    """
    work = setting.work
    if work.mode == "none":
        return 0.0, 0.0
    if work.mode == "eager":
        return 1.0, setting.local_problems
    if work.open_share == 0:
        return 0.0, 0.0
    occurs = 1.0 - (1.0 - work.open_share) ** max(1.0, work.problems)
    return occurs, setting.local_problems * work.open_share / occurs


def _rewrites(setting: Setting) -> tuple[Phase, ...]:
    """A second call for candidates, and the log-probs of those that are judged."""
    names = ("rewrite prompts", "rewrites")
    called, sampled = _rewrite_work(setting)
    phases: tuple[Phase, ...] = tuple(Phase(name, 0.0) for name in names)
    if sampled is not None:
        factor = called * setting.work.generations_per_step
        phases = _sampling_phases(setting, sampled, names, factor)
    return (*phases, _candidate_logps(setting, *judged_groups(setting)))


def _candidate_logps(setting: Setting, occurs: float, groups: float) -> Phase:
    """Log-probs on q of judged candidates, on P(q, k) where no sampler kept them, and of experts'.

    The experts' texts are taken to be as long as the rewrites.
    """
    work = setting.work
    seconds = tokens = 0.0
    if occurs:
        rows = groups * work.candidates
        prompts = [work.prompt_tokens]
        if work.samples_candidates and setting.how.sampler == "generate":
            prompts.append(work.context_tokens)
        for prompt in prompts:
            batch = plain_rows(rows, prompt, work.rewrite_tokens)
            seconds += occurs * _score_seconds(setting, batch, rows * work.rewrite_tokens)
            tokens += occurs * batch.tokens
    if work.expert_every and work.mode != "none":
        rows = setting.local_problems
        batch = plain_rows(rows, work.prompt_tokens, work.rewrite_tokens)
        seconds += _score_seconds(setting, batch, rows * work.rewrite_tokens) / work.expert_every
        tokens += batch.tokens / work.expert_every
    each = work.generations_per_step
    return Phase("candidate log-probs", seconds * each, tokens * each)


def _score_seconds(setting: Setting, batch: RowBatch, scored: float) -> float:
    """Seconds of a pass without gradient."""
    calls = max(1, math.ceil(batch.rows / setting.work.micro_batch_rows))
    work = _pass(setting, batch, scored, calls)
    return setting.device.rates[setting.how.arithmetic].score.seconds(work)


def _judging(setting: Setting) -> Phase:
    work = setting.work
    occurs, groups = judged_groups(setting)
    judged = setting.local_problems * work.group_size + occurs * groups * work.candidates
    return Phase("verifier", judged * work.verify_s * work.generations_per_step)


# --- passes over all rows


def _pass(
    setting: Setting, batch: RowBatch, scored: float, calls: float, seen_share: float = 0.5
) -> Work:
    return forward_work(
        setting.shape,
        rows=batch.rows,
        length=batch.length,
        scored=scored,
        calls=calls,
        bytes_per_number=BYTES[setting.how.arithmetic],
        seen_share=seen_share,
    )


def _scoring(setting: Setting, name: str, wanted: bool) -> Phase:
    """Log-probs of every row, without gradient, in groups that are still together."""
    if not wanted:
        return Phase(name, 0.0)
    work = setting.work
    rows = setting.local_problems * work.group_size * work.generations_per_step
    if setting.how.packed:
        together = min(work.group_size, work.micro_batch_rows)
        members = Members(together, work.completion_tokens, work.completion_spread)
        batch = packed_rows(rows / together, work.prompt_tokens, members, setting.shape.hidden)
    else:
        batch = plain_rows(rows, work.prompt_tokens, work.longest_completion_tokens)
    seconds = _score_seconds(setting, batch, rows * work.completion_tokens)
    return Phase(name, seconds, batch.tokens)


def training_batch(setting: Setting) -> tuple[RowBatch, float]:
    """Rows of one micro-batch as the model sees them, and the completions among them."""
    work, how = setting.work, setting.how
    rows = setting.micro_batch_rows
    share = work.gradient_share if how.skips_untrained else 1.0
    trained = max(1.0, rows * share)
    if not how.packed:
        return plain_rows(trained, work.prompt_tokens, work.longest_completion_tokens), trained
    prompts = prompts_in_micro_batch(setting.local_problems, work.group_size, rows)
    together = min(trained, rows / prompts)
    members = Members(together, work.completion_tokens, work.completion_spread)
    groups = trained / together
    return packed_rows(groups, work.prompt_tokens, members, setting.shape.hidden), trained


def _training(setting: Setting) -> tuple[Phase, ...]:
    how, device = setting.how, setting.device
    batch, trained = training_batch(setting)
    count = setting.micro_batches
    scored = count * trained * setting.work.completion_tokens
    whole = RowBatch(batch.rows * count, batch.length)
    forward = _pass(setting, whole, scored, count, seen_share=1.0 if how.packed else 0.5)
    share = setting.trained_parameters / setting.shape.parameters
    backward = backward_work(setting.shape, forward, scored, share)
    rates, overhead = device.rates[how.arithmetic], device.overhead
    forward_s = overhead.forward * rates.forward.seconds(forward)
    backward_s = overhead.backward * rates.backward.seconds(backward)
    if how.checkpointing:  # every layer is computed once more
        backward_s += forward_s
    held = setting.trained_parameters
    if how.sharding == "fsdp":
        held = math.ceil(held / setting.devices)
    return (
        Phase("loss, forward", forward_s, whole.tokens),
        Phase("loss, backward", backward_s, whole.tokens),
        Phase("optimiser", held * device.optimiser_s_per_parameter),
    )


def _trainer(setting: Setting) -> Phase:
    overhead = setting.device.overhead
    rows = setting.local_rows_per_step
    return Phase("trainer", overhead.step_s + rows * overhead.row_s)
