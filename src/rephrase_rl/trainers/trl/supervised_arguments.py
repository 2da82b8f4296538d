"""From the ``trainer:`` section, which is written for RL, to TRL's ``SFTConfig``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trl import GRPOConfig, SFTConfig

from rephrase_rl.errors import ConfigError
from rephrase_rl.trainers.trl.arguments import (
    RESERVED,
    check_fields,
    logger_defaults,
    machine_defaults,
    sharding_fault,
    with_the_word_no,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

RESERVED_IN_SUPERVISED = {
    **RESERVED,
    "max_length": "trainer.max_completion_length, beyond which a text is left out, not cut",
    "truncation_mode": "nothing: no text is cut",
    "packing": "nothing: a step holds as many problems as an RL step",
    "packing_strategy": "nothing: texts are not packed",
    "eval_packing": "nothing: texts are not packed",
    "padding_free": "nothing: texts are not packed",
    "dataset_kwargs": "data",
    "dataset_text_field": "data",
    "dataset_num_proc": "nothing: texts are tokenised here",
    "completion_only_loss": "nothing: the question is never trained on",
    "assistant_only_loss": "nothing: the completion alone is trained on",
    "chat_template_path": "the tokenizer's chat template",
    "eos_token": "the tokenizer's eos_token",
    "pad_token": "the tokenizer's pad_token",
}
"""Fields whose other values would make a supervised run differ from RL runs in more than its
method."""
USED_FROM_RL = (
    "num_generations",
    "max_completion_length",
    "disable_dropout",
    "shuffle_dataset",
    "chat_template_kwargs",
)
"""Fields of ``GRPOConfig`` that decide something here although ``SFTConfig`` does not know them
or means something else by them."""


@dataclass(frozen=True, slots=True)
class SupervisedArguments:
    """TRL's arguments, and the fields of the ``trainer`` section that it has no place for."""

    sft: SFTConfig
    shuffle: bool
    """Whether problems come in random order, the one in which ``GRPOTrainer`` takes them."""
    disable_dropout: bool
    chat_template_kwargs: Mapping[str, Any]
    max_completion_tokens: int | None
    """Longest text that is trained on, in tokens with its end token. None: no limit."""
    unused: tuple[str, ...]
    """Fields without a meaning in supervised training, sorted."""


def supervised_arguments(
    trainer: Mapping[str, Any], *, output_dir: str, seed: int
) -> SupervisedArguments:
    """Read the RL trainer's section as supervised training has it.

    ``per_device_train_batch_size`` counts rollouts, so a step takes the problems of an RL step: the
    rollouts of the step divided by ``num_generations``, at least one.

    Args:
        trainer: Fields of ``GRPOConfig`` or ``SFTConfig`` by name; those that only the former has
            are not used and are named in the result.
        output_dir: Where TRL writes checkpoints.
        seed: Seed of the run.

    Raises:
        ConfigError: A field is unknown to both, has its place elsewhere, or TRL refuses the values.
    """
    check_fields(trainer, (GRPOConfig, SFTConfig), RESERVED_IN_SUPERVISED)
    known = {field.name for field in dataclasses.fields(SFTConfig) if field.init}
    taken = {*USED_FROM_RL, "loss_type", "train_sampling_strategy"}
    values = {name: value for name, value in trainer.items() if name in known - taken}
    batch, accumulation = _problems_per_step(trainer)
    values |= {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
    try:
        sft = SFTConfig(
            output_dir=output_dir,
            seed=seed,
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
            logging_steps=1,
            disable_tqdm=True,
            **{**machine_defaults(), **logger_defaults(output_dir), **with_the_word_no(values)},
        )
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ConfigError(
            f"TRL refuses the trainer section ({error}); change what it names"
        ) from error
    if fault := sharding_fault(sft):
        raise ConfigError("the trainer section is not valid", [fault])
    defaults = {f.name: f.default for f in dataclasses.fields(GRPOConfig)}
    chosen = {name: trainer.get(name, defaults[name]) for name in USED_FROM_RL}
    return SupervisedArguments(
        sft=sft,
        shuffle=bool(chosen["shuffle_dataset"]),
        disable_dropout=bool(chosen["disable_dropout"]),
        chat_template_kwargs=dict(chosen["chat_template_kwargs"] or {}),
        max_completion_tokens=chosen["max_completion_length"],
        unused=tuple(sorted(set(trainer) - set(values) - set(USED_FROM_RL))),
    )


def _problems_per_step(trainer: Mapping[str, Any]) -> tuple[int, int]:
    """Problems of one forward pass, and passes of one optimiser step, on one process."""
    defaults = {f.name: f.default for f in dataclasses.fields(GRPOConfig)}

    def number(name: str) -> int:
        return int(trainer.get(name, defaults[name]))

    rollouts = number("per_device_train_batch_size")
    accumulation = number("gradient_accumulation_steps")
    generations = number("num_generations")
    if min(rollouts, accumulation, generations) < 1:
        raise ConfigError(
            f"found trainer.per_device_train_batch_size {rollouts}, gradient_accumulation_steps "
            f"{accumulation} and num_generations {generations}; required: at least 1 each; do "
            "this: raise what is below"
        )
    problems = max(1, rollouts * accumulation // generations)
    # A forward pass never holds more rows than in RL; groups may be spread over several there.
    most = max(1, rollouts // generations)
    batch = max(size for size in range(1, most + 1) if problems % size == 0)
    return batch, problems // batch
