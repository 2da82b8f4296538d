"""Supervised fine-tuning on whole texts: TRL's ``SFTTrainer`` under the conditions of RL runs.

Rows are tokenised here, not by TRL: prompt tokens are those that ``GRPOTrainer`` samples from, and
the completion is the text's own tokens with one end token. A chat template that writes a finished
answer in another way than it opens one (empty thinking parts, line breaks behind the end token)
would give other tokens, and evaluation would ask under a prompt that was never trained on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from torch.utils.data import Sampler
from trl import SFTTrainer
from trl.trainer.utils import disable_dropout_in_model

from rephrase_rl.errors import DataError
from rephrase_rl.trainers.trl.checkpoints import EpochOrder, WholeCheckpoints
from rephrase_rl.trainers.trl.compatibility import check_trl_version
from rephrase_rl.trainers.trl.guards import GuardedTrainer
from rephrase_rl.trainers.trl.sharding import keep_float32

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rephrase_rl.records import Message
    from rephrase_rl.trainers.trl.supervised_arguments import SupervisedArguments

IGNORED = -100
"""Label of a token that is not trained on."""


@dataclass(frozen=True, slots=True)
class SupervisedText:
    """What is to be learned for one problem."""

    prompt: tuple[Message, ...] | str
    """The question q as it is asked in RL and in evaluation: a conversation, or plain text."""
    completion_ids: tuple[int, ...]
    """Tokens of the answer, the end token included."""


def encode_text(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Token ids of a text as a completion, with the tokenizer's end token.

    Example:
        >>> encode_text(tokenizer, "42")[-1] == tokenizer.eos_token_id  # doctest: +SKIP
        True
    """
    ids = tokenizer.encode(text, add_special_tokens=False)
    return (*(int(token) for token in ids), int(tokenizer.eos_token_id))


def supervised_dataset(
    texts: Sequence[SupervisedText],
    tokenizer: Any,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> Dataset:
    """Rows that ``SFTTrainer`` takes without preparing them: ``input_ids`` and ``labels``.

    Args:
        texts: One per row; prompts all conversations or all plain.
        tokenizer: The policy's.
        chat_template_kwargs: Passed to the chat template, such as ``enable_thinking``.

    Raises:
        DataError: There is no text.
    """
    if not texts:
        raise DataError(
            "found no text to train on; required: one in at least one problem; name its column in "
            "the mapping"
        )
    prompt_ids = _prompt_ids([text.prompt for text in texts], tokenizer, chat_template_kwargs or {})
    return Dataset.from_list(
        [
            {
                "input_ids": [*prompt, *text.completion_ids],
                "labels": [IGNORED] * len(prompt) + list(text.completion_ids),
            }
            for prompt, text in zip(prompt_ids, texts, strict=True)
        ]
    )


def _prompt_ids(
    prompts: Sequence[tuple[Message, ...] | str],
    tokenizer: Any,
    chat_template_kwargs: Mapping[str, Any],
) -> list[list[int]]:
    """As ``GRPOTrainer._tokenize_prompts`` does it for text."""
    if isinstance(prompts[0], str):
        plain: list[list[int]] = tokenizer(text=list(prompts))["input_ids"]
        return plain
    return [
        list(
            tokenizer.apply_chat_template(
                [dict(message) for message in prompt],  # type: ignore[arg-type]
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                **chat_template_kwargs,
            )["input_ids"]
        )
        for prompt in prompts
    ]


class ProblemOrder(Sampler[int]):
    """The order in which ``GRPOTrainer`` visits problems, for rows that occur once each.

    Each epoch has its own permutation of one seeded stream, and what does not fill a whole step at
    its end is left out of that epoch. Unlike TRL's sampler it can be set to an epoch, so a run
    resumed in a later epoch goes on in the right order.
    """

    def __init__(self, num_rows: int, rows_per_step: int, *, shuffle: bool, seed: int) -> None:
        """Args: rows of the data and of a step over all processes, and how to order them."""
        self._num_rows = num_rows
        # Fewer rows than a step holds: the step takes all there are.
        self._length = num_rows - num_rows % rows_per_step or num_rows
        self._shuffle = shuffle
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, that the next iteration gives; Accelerate calls this."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        order = list(range(self._num_rows))
        if self._shuffle:
            generator = torch.Generator().manual_seed(self._seed)
            for _ in range(self._epoch + 1):
                order = torch.randperm(self._num_rows, generator=generator).tolist()
        return iter(order[: self._length])


class SupervisedTrainer(GuardedTrainer, WholeCheckpoints, SFTTrainer):
    """``SFTTrainer`` with the loss of the whole optimiser step as a mean over its tokens.

    Args:
        model: The policy to start from.
        arguments: What ``supervised_arguments`` gave.
        train_dataset: What ``supervised_dataset`` gave.
        tokenizer: The policy's.
        sampled_tokens: Tokens that were sampled to make the texts; reported with the first step.
        **kwargs: As for ``SFTTrainer``; ``guards=Guards(...)`` for steps that are not finite.

    Raises:
        CompatibilityError: TRL is outside the tested range.
    """

    _order: ProblemOrder | None = None

    def __init__(
        self,
        model: Any,
        arguments: SupervisedArguments,
        train_dataset: Dataset,
        tokenizer: Any,
        *,
        sampled_tokens: int = 0,
        **kwargs: Any,
    ) -> None:
        check_trl_version()
        if arguments.disable_dropout:
            disable_dropout_in_model(model)
        self._shuffle = arguments.shuffle
        self._sampled_tokens = sampled_tokens
        self._trained_tokens = 0
        super().__init__(
            model=model,
            args=arguments.sft,
            train_dataset=train_dataset,
            processing_class=tokenizer,
            **kwargs,
        )
        keep_float32(self)
        # TRL's compute_loss divides by the token count of the whole step by itself, whatever the
        # model's forward accepts; without this the mean would be one of micro-batches.
        self.model_accepts_loss_kwargs = True
        self.add_callback(EpochOrder(lambda: self._order))

    def _get_train_sampler(self, train_dataset: Any = None) -> ProblemOrder:
        args = self.args
        per_step = args.per_device_train_batch_size * args.gradient_accumulation_steps
        self._order = ProblemOrder(
            len(train_dataset if train_dataset is not None else self.train_dataset),
            per_step * args.world_size,
            shuffle=self._shuffle,
            seed=args.seed,
        )
        return self._order

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """TRL's loss, with token counts that a resumed run takes up where it stopped."""
        if num_items_in_batch is not None:  # of the whole step, over all processes
            self._trained_tokens = int(num_items_in_batch)
        # TRL keeps its count in memory alone, so a resumed run would start it again.
        self._total_train_tokens = self.state.num_input_tokens_seen
        result = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        self.state.num_input_tokens_seen = self._total_train_tokens
        return result

    def log(self, logs: dict[str, Any], start_time: float | None = None) -> None:
        """Add the figures that supervised steps share with RL steps."""
        self.guard.mark(logs)
        if "loss" in logs:
            first = self.state.global_step == 1
            logs["injection/logp_on_q"] = None if math.isnan(logs["loss"]) else -logs["loss"]
            logs["tokens/trained"] = float(self._trained_tokens)
            logs["tokens/rollout"] = 0.0
            logs["tokens/rephrase"] = float(self._sampled_tokens if first else 0)
        super().log(logs, start_time)
