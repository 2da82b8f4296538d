"""The separate supervised stream: texts that are trained on by likelihood, outside any group.

Two forms. ``JointStream`` adds a supervised term to the RL loss, (1 - mu) RL + mu supervised
(CHORD, arXiv:2508.11408). ``BufferedStream`` gathers texts and takes a supervised optimiser step of
its own whenever enough are there (ReLIFT, arXiv:2506.07527).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from accelerate.utils import gather_object
from transformers import TrainerCallback
from trl.trainer.utils import pad

from rephrase_rl.core.reduction import reduce_loss
from rephrase_rl.errors import ConfigError
from rephrase_rl.guidance.training import InjectedTokens
from rephrase_rl.seeding import derive_seed, forked_rng

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from rephrase_rl.guidance.step import GuidedGroup
    from rephrase_rl.trainers.trl.batch import GuidedBatch
    from rephrase_rl.trainers.trl.trainer import RePOTrainer


class StreamRow(NamedTuple):
    """One text of the stream."""

    prompt_ids: tuple[int, ...]
    """Tokens of q."""
    completion_ids: tuple[int, ...]
    """Tokens of the text, the end token included."""


@dataclass(frozen=True, slots=True)
class JointStream:
    """Schedule of the weight of a supervised term beside the RL loss."""

    peak: float = 0.9
    valley: float = 0.05
    decay_steps: int = 200

    def mu(self, step: int) -> float:
        """Weight at an optimiser step: from peak to valley on half a cosine, then the valley.

        Example:
            >>> stream = JointStream(0.9, 0.1, 10)
            >>> [round(stream.mu(step), 3) for step in (0, 5, 10, 99)]
            [0.9, 0.5, 0.1, 0.1]
        """
        progress = min(1.0, step / self.decay_steps)
        return self.valley + (self.peak - self.valley) * (1 + math.cos(math.pi * progress)) / 2

    def join(
        self, trainer: RePOTrainer, model: Any, inputs: dict[str, Any], rl_loss: Tensor
    ) -> Tensor:
        """(1 - mu) RL + mu supervised, of one micro-batch.

        The supervised term is a mean over the tokens of all texts of the optimiser step.
        """
        mu = self.mu(trainer.state.global_step)
        trainer._metrics["train"]["stream/mu"].append(mu)
        rows = [row for rows_of_one in inputs["stream"] for row in rows_of_one]
        loss = (1 - mu) * rl_loss
        if not rows:
            return loss
        windows = trainer.args.steps_per_generation / trainer.current_gradient_accumulation_steps
        total = float(inputs["stream_tokens"]) / trainer.accelerator.num_processes / windows
        # Under DDP the gradients of this second pass meet the first's before they are averaged.
        unwrapped = trainer.accelerator.unwrap_model(model)
        return loss + mu * stream_loss(trainer, unwrapped, rows, total)


@dataclass
class BufferedStream:
    """Buffer and optimiser of separate supervised steps; the same on every process."""

    size: int = 128
    learning_rate: float = 1e-6
    rows: list[StreamRow] = field(default_factory=list)
    optimizer: torch.optim.Optimizer | None = None
    _saved_optimizer: dict[str, Any] | None = None

    def add(self, rows: Sequence[StreamRow]) -> None:
        """Take in the rows of all processes, in rank order."""
        self.rows.extend(StreamRow(*map(tuple, row)) for row in gather_object(list(rows)))

    def step_if_full(self, trainer: RePOTrainer) -> int:
        """Take as many supervised steps as the buffer is full; their number.

        Every process computes the whole step, so that equal weights stay equal without a
        collective.
        """
        steps = 0
        while len(self.rows) >= self.size:
            batch, self.rows = self.rows[: self.size], self.rows[self.size :]
            self._step(trainer, batch)
            steps += 1
        return steps

    def _step(self, trainer: RePOTrainer, rows: Sequence[StreamRow]) -> None:
        model = trainer.accelerator.unwrap_model(trainer.model)
        optimizer = self._own_optimizer(trainer)
        # Dropout draws the same on every process, or their weights would drift apart.
        seed = derive_seed(trainer.args.seed, trainer.state.global_step, "stream")
        with forked_rng(seed):
            loss_sum = self._backward(trainer, model, rows)
        inputs = {
            "prompt_ids": [list(row.prompt_ids) for row in rows],
            "completion_ids": [list(row.completion_ids) for row in rows],
        }
        if not trainer.guard.allows_stream_step(loss_sum, inputs, model):
            return
        if trainer.args.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), trainer.args.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        trainer._metrics["train"]["stream/loss"].append(loss_sum)

    def _backward(self, trainer: RePOTrainer, model: Any, rows: Sequence[StreamRow]) -> float:
        """Gradient of the mean over all tokens, in micro-batches; the loss."""
        total = sum(len(row.completion_ids) for row in rows)
        width = trainer.args.per_device_train_batch_size
        loss_sum = 0.0
        for start in range(0, len(rows), width):
            with trainer.compute_loss_context_manager():
                loss = stream_loss(trainer, model, rows[start : start + width], total)
            loss.backward()  # type: ignore[no-untyped-call]
            loss_sum += float(loss.detach())
        return loss_sum

    def state(self) -> dict[str, Any]:
        """Buffer and optimiser, for a checkpoint."""
        return {
            "rows": [(list(row.prompt_ids), list(row.completion_ids)) for row in self.rows],
            # Taken up at the last checkpoint and not used since: it goes on to the next one.
            "optimizer": self._saved_optimizer
            if self.optimizer is None
            else self.optimizer.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what ``state`` gave; the optimiser when it is made for the first step."""
        self.rows = [StreamRow(tuple(q), tuple(o)) for q, o in state["rows"]]
        self._saved_optimizer = state["optimizer"]

    def _own_optimizer(self, trainer: RePOTrainer) -> torch.optim.Optimizer:
        if self.optimizer is None:
            model = trainer.accelerator.unwrap_model(trainer.model)
            self.optimizer = torch.optim.AdamW(
                [p for p in model.parameters() if p.requires_grad],
                lr=self.learning_rate,
                betas=(trainer.args.adam_beta1, trainer.args.adam_beta2),
                eps=trainer.args.adam_epsilon,
                weight_decay=0.0,
            )
            if self._saved_optimizer is not None:
                self.optimizer.load_state_dict(self._saved_optimizer)
        return self.optimizer


class StreamSteps(TrainerCallback):
    """Takes the buffered stream's steps after each optimiser step."""

    def __init__(self, trainer: RePOTrainer, stream: BufferedStream) -> None:
        """Args: trainer and its stream."""
        self._trainer = trainer
        self._stream = stream

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Act when the buffer is full."""
        steps = self._stream.step_if_full(self._trainer)
        self._trainer._metrics["train"]["stream/steps"].append(float(steps))


def send_to_stream(
    stream: JointStream | BufferedStream, output: dict[str, Any], batch: GuidedBatch
) -> None:
    """Give the accepted texts of a batch to the stream; all processes together.

    The joint stream's texts travel with the rows of their groups, so that TRL's shuffling and
    splitting into micro-batches divides them as well. Those of groups that gave way in dynamic
    sampling are trained on too; they travel with the batch's rows in turn.
    """
    of_row: list[tuple[StreamRow, ...]] = [()] * len(output["completion_ids"])

    def send(group: GuidedGroup, prompt_ids: tuple[int, ...], row: int) -> None:
        candidate = group.accepted
        if candidate is not None and group.placement == "stream":
            of_row[row] += (StreamRow(prompt_ids, candidate.completion.token_ids),)

    for i, group in enumerate(batch.groups):
        row = i * batch.size
        mask = output["prompt_mask"][row].bool()
        send(group, tuple(output["prompt_ids"][row][mask].tolist()), row)
    for i, displaced in enumerate(batch.displaced):
        send(displaced.group, displaced.prompt_ids, i % len(of_row))
    rows = [row for rows_of_one in of_row for row in rows_of_one]
    if isinstance(stream, BufferedStream):
        stream.add(rows)
        return
    tokens = sum(gather_object([sum(len(row.completion_ids) for row in rows)]))
    output["stream"] = of_row
    output["stream_tokens"] = torch.tensor(float(tokens))


def stream_loss(
    trainer: RePOTrainer, model: Any, rows: Sequence[StreamRow], total_tokens: float
) -> Tensor:
    """Supervised loss of some rows, as a share of the mean over ``total_tokens`` tokens."""
    device = trainer.accelerator.device
    pad_id = trainer._tokenizer.pad_token_id
    prompts = [torch.tensor(row.prompt_ids) for row in rows]
    completions = [torch.tensor(row.completion_ids) for row in rows]
    completion_ids = pad(completions, pad_id, padding_side="right").to(device)
    mask_BT = pad([torch.ones_like(c) for c in completions], 0, padding_side="right").to(device)
    prompt_ids = pad(prompts, pad_id, padding_side="left").to(device)
    prompt_mask = pad([torch.ones_like(p) for p in prompts], 0, padding_side="left").to(device)
    logps_BT, _, _ = trainer._get_per_token_logps_and_entropies(
        model,
        torch.cat([prompt_ids, completion_ids], dim=1),
        torch.cat([prompt_mask, mask_BT], dim=1),
        completion_ids.size(1),
    )
    tokens = InjectedTokens(logps_BT, logps_BT.new_ones(len(rows)), mask_BT.bool())
    loss_BT = trainer.guidance.train.token_losses(tokens) * trainer.guidance.train.weight
    return reduce_loss(loss_BT, mask_BT, total_tokens=total_tokens)


def refuse_sharded(trainer: RePOTrainer) -> None:
    """Refuse a stream where another engine owns the weights or the optimiser.

    Raises:
        ConfigError: Under DeepSpeed or FSDP, or with fp16.
    """
    found = [
        name
        for name, on in (
            ("DeepSpeed", trainer.is_deepspeed_enabled),
            ("FSDP", trainer.is_fsdp_enabled),
            ("fp16", trainer.args.fp16),
        )
        if on
    ]
    if found:
        raise ConfigError(
            f"found a supervised stream under {' and '.join(found)}; it takes backward passes and "
            "optimiser steps of its own, and DeepSpeed, FSDP and the gradient scaler of fp16 each "
            "allow one of their own alone: use bf16 on one process or DDP, or a slot inside the "
            "group (guidance.slot.kind: reserved or replace_worst)"
        )
