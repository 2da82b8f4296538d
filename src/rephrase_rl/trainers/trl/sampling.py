"""TRL's generation calls answered by the shared-prefix sampler where the model allows it.

TRL hands every prompt over G times, and ``generate`` computes each copy. The sampler computes a
prompt once, lets finished rows leave, and keeps the log-probs that guidance needs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from trl.models import unwrap_model_for_generation

from rephrase_rl.errors import ConfigError
from rephrase_rl.rollout.shared_prefix import (
    TokenSampling,
    sample_shared_prefix,
    why_not_shared_prefix,
)
from rephrase_rl.seeding import derive_seed, seed_everything

if TYPE_CHECKING:
    from rephrase_rl.rollout.shared_prefix import FinishedCallback
    from rephrase_rl.trainers.trl.compute import SamplerChoice
    from rephrase_rl.trainers.trl.trainer import RePOTrainer

logger = logging.getLogger(__name__)

MAX_ROWS = 512
"""Rows decoded at once; TRL decodes the whole generation batch at once."""


class SampledIds(NamedTuple):
    """What ``GRPOTrainer._generate_single_turn`` returns."""

    completion_ids: list[list[int]]
    logps: list[list[float]]
    """Log-probs of the model at the training temperature, nats."""


def sampler_number(trainer: RePOTrainer) -> int:
    """Number of the sampler that this process draws with, from 0.

    Processes that share one vLLM, with parts of its weights each, have to draw the same tokens.
    """
    colocated = trainer.use_vllm and trainer.vllm_mode == "colocate"
    sharing: int = trainer.args.vllm_tensor_parallel_size if colocated else 1
    return int(trainer.accelerator.process_index // sharing)


def seed_colocated(trainer: RePOTrainer) -> None:
    """Let rollouts of a vLLM in this process depend on the run's seed.

    As it starts, vLLM seeds Python's, numpy's and torch's generators of the process with the number
    that TRL gives it, its own among the samplers, and draws from them later (0.31.0).
    """
    if trainer.use_vllm and trainer.vllm_mode == "colocate":
        seed = derive_seed(trainer.args.seed, sampler_number(trainer), "vllm")
        seed_everything(seed % 2**32)


def shares_prefixes(trainer: RePOTrainer, choice: SamplerChoice) -> bool:
    """Whether the shared-prefix sampler serves the trainer's generation calls.

    Says in one line why it does not where one would expect it.

    Args:
        trainer: After its construction by TRL.
        choice: What the user asked for.

    Raises:
        ConfigError: It was asked for and cannot.
    """
    if choice == "generate" or (choice == "auto" and trainer.accelerator.device.type != "cpu"):
        return False
    reason = _why_not(trainer)
    if reason is None:
        return True
    if choice == "shared_prefix":
        raise ConfigError(
            f"compute.sampler is 'shared_prefix', but {reason}; set it to 'auto' or 'generate'"
        )
    if not trainer.use_vllm:
        logger.warning("completions are sampled by `generate`, since %s", reason)
    return False


def _why_not(trainer: RePOTrainer) -> str | None:
    if trainer.use_vllm:
        return "vLLM samples"
    if trainer.use_transformers_continuous_batching:
        return "continuous batching was asked for"
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        return "sharded weights need equally many forward passes on every process"
    if trainer._is_vlm:
        return "the model takes images"
    settings = trainer.generation_kwargs
    own = sorted(set(settings) - _KNOWN_FIELDS)
    own += [name for name, neutral in _NEUTRAL.items() if settings.get(name, neutral) != neutral]
    if own:
        return f"only `generate` knows the setting {' and '.join(own)}"
    return why_not_shared_prefix(trainer.accelerator.unwrap_model(trainer.model))


_NEUTRAL: dict[str, Any] = {"repetition_penalty": 1.0, "cache_implementation": None}
_KNOWN_FIELDS = {
    "max_new_tokens",
    "do_sample",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    *_NEUTRAL,
}
"""Of TRL's ``generation_kwargs`` those that ``TokenSampling`` stands for, or that change nothing at
their neutral value."""


def sample_ids(
    trainer: RePOTrainer,
    prompt_ids: Sequence[Sequence[int]],
    on_finished: FinishedCallback | None = None,
) -> SampledIds:
    """One completion for each prompt as it stands; equal prompts are computed once.

    The seed is one draw from torch's global generator, which TRL seeds for each process and
    checkpoints restore, so the trainer's random stream moves as it would with ``generate``.

    Args:
        trainer: Its ``generation_config`` says how to sample.
        prompt_ids: Token ids of each prompt.
        on_finished: Called with each completion as it ends.
    """
    seed = int(torch.randint(2**62, (1,)))
    with (
        unwrap_model_for_generation(
            trainer.model_wrapped,
            trainer.accelerator,
            gather_deepspeed3_params=False,
            gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs,
        ) as model,
        eval_mode(model),
        # Around the whole of it, so that the weights are cast once and not in every step.
        trainer.accelerator.autocast(),
    ):
        sampled = sample_shared_prefix(
            model,
            prompt_ids,
            1,
            _settings(trainer),
            seed=seed,
            max_rows=MAX_ROWS,
            on_finished=on_finished,
        )
    rows = [row for (row,) in sampled]
    return SampledIds([list(row.token_ids) for row in rows], [list(row.logps) for row in rows])


def _settings(trainer: RePOTrainer) -> TokenSampling:
    config = trainer.generation_config
    return TokenSampling(
        max_new_tokens=config.max_new_tokens,
        eos_ids=tuple(trainer.eos_token_ids),
        temperature=config.temperature if config.do_sample else 0.0,
        top_p=1.0 if config.top_p is None else config.top_p,
        top_k=config.top_k or 0,
        min_p=config.min_p,
        logp_temperature=trainer.temperature,
    )


@contextmanager
def eval_mode(model: Any) -> Iterator[None]:
    """Without dropout; every module's mode is restored."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode
