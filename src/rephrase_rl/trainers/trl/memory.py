"""What a trainer remembers beside TRL's checkpoint, so that a resumed run is the same run.

Two parts. What guidance remembers: histories, caches, replay, the stream. And where the trainer is
within its generation batch: TRL samples for several optimiser steps at once and begins anew when it
is resumed, so the batch at hand is kept, with the figures that are not logged yet.

One file for each process, since rollouts and a source's memory are those of its own process.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from rephrase_rl.errors import CheckpointError
from rephrase_rl.guidance.ledger import Ledger
from rephrase_rl.guidance.memory import remembers
from rephrase_rl.records import GroupRecord, from_json, to_json
from rephrase_rl.trainers.trl.stream import BufferedStream, StreamRow

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.trainers.trl.trainer import RePOTrainer

REFERENCE = "reference.pt"
"""Weights of a reference policy that follows the policy (``sync_ref_model``)."""


def save_memory(trainer: RePOTrainer, folder: Path) -> None:
    """Write what this process remembers into a checkpoint folder."""
    source, stream = trainer.guidance.source, trainer.stream
    memory = {
        "processes": trainer.accelerator.num_processes,
        "ledger": trainer.ledger.to_json(),
        "source": source.state() if remembers(source) else None,
        "stream": stream.state() if isinstance(stream, BufferedStream) else None,
        "generation": _generation(trainer),
        "unlogged": _unlogged(trainer),
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(memory, _file(folder, trainer))
    if trainer.args.sync_ref_model and trainer.args.should_save:
        reference = trainer.accelerator.unwrap_model(trainer.ref_model)
        torch.save(reference.state_dict(), folder / REFERENCE)


def load_memory(trainer: RePOTrainer, folder: Path) -> None:
    """Take up what was written at a checkpoint.

    Raises:
        CheckpointError: The file of this process is missing, or the checkpoint was written by
            another number of processes or within a generation batch of another size.
    """
    file, processes = _file(folder, trainer), trainer.accelerator.num_processes
    memory = torch.load(file, weights_only=True) if file.is_file() else {}
    if memory.get("processes") != processes:
        raise CheckpointError(
            f"found no {file.name} of {processes} processes in {folder}; required is a checkpoint "
            "written by as many processes as now and by RePOTrainer: resume with that number, or "
            "start a new run from the checkpoint as model"
        )
    trainer.ledger = Ledger.from_json(memory["ledger"])
    if remembers(trainer.guidance.source):
        trainer.guidance.source.load_state(memory["source"])
    if isinstance(trainer.stream, BufferedStream):
        trainer.stream.load_state(memory["stream"])
    _take_up_generation(trainer, memory["generation"], folder)
    _take_up_unlogged(trainer, memory["unlogged"])
    if trainer.args.sync_ref_model:
        reference = trainer.accelerator.unwrap_model(trainer.ref_model)
        reference.load_state_dict(torch.load(folder / REFERENCE, weights_only=True))


class UnloggedLoss(TrainerCallback):
    """Gives back the loss of steps that were not logged yet; training sets it to 0 as it begins."""

    def __init__(self, trainer: RePOTrainer) -> None:
        """Args: the trainer whose loss it is."""
        self._trainer = trainer
        self.taken_up: tuple[float, int] | None = None
        """Sum of the losses, and the step that was logged last."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called when the counters have been reset."""
        if self.taken_up is not None:
            loss, last_logged = self.taken_up
            self._trainer._tr_loss += loss
            self._trainer._globalstep_last_logged = last_logged
            self.taken_up = None


def _shape(trainer: RePOTrainer) -> list[int]:
    """What decides at which micro-batch rollouts are sampled and how they are divided."""
    args = trainer.args
    return [
        args.per_device_train_batch_size,
        args.steps_per_generation,
        trainer.num_iterations,
        trainer.num_generations,
    ]


def _generation(trainer: RePOTrainer) -> dict[str, Any]:
    """The micro-batch that comes next, and the batch it is taken from unless that is used up."""
    cycle = trainer.args.steps_per_generation * trainer.num_iterations
    used_up = trainer._step % cycle == 0 or trainer._buffered_inputs is None
    batches = [] if used_up else [_plain(batch) for batch in trainer._buffered_inputs]
    return {"step": trainer._step, "shape": _shape(trainer), "batches": batches}


def _take_up_generation(trainer: RePOTrainer, state: dict[str, Any], folder: Path) -> None:
    if state["batches"] and state["shape"] != _shape(trainer):
        raise CheckpointError(
            f"{folder} was written within a generation batch of another size; found "
            "per_device_train_batch_size, steps_per_generation, num_iterations, num_generations = "
            f"{_shape(trainer)}, required {state['shape']}: set them back, or start a new run from "
            "the checkpoint as model"
        )
    trainer._step = state["step"]
    device = trainer.accelerator.device
    trainer._buffered_inputs = [_on(device, batch) for batch in state["batches"]] or None


def _unlogged(trainer: RePOTrainer) -> dict[str, Any]:
    """Figures of steps and completions that wait for the next log line."""
    metrics = {name: values for name, values in trainer._metrics["train"].items() if values}
    return {
        "metrics": _plain(metrics),
        "groups": to_json(trainer._step_records),
        "loss": float(trainer._tr_loss),
        "last_logged": int(trainer._globalstep_last_logged),
        "completions": _plain(trainer._logs) if trainer.log_completions else None,
    }


def _take_up_unlogged(trainer: RePOTrainer, state: dict[str, Any]) -> None:
    for name, values in state["metrics"].items():
        trainer._metrics["train"][name].extend(values)
    trainer._step_records = [from_json(GroupRecord, record) for record in state["groups"]]
    trainer.unlogged_loss.taken_up = (state["loss"], state["last_logged"])
    for column, values in (state["completions"] or {}).items():
        if isinstance(values, dict):
            for name, of_one in values.items():
                trainer._logs[column][name].extend(of_one)
        else:
            trainer._logs[column].extend(values)


def _plain(value: Any) -> Any:
    """Tensors and plain containers, which can be read back without running code from the file."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | deque):
        return [_plain(item) for item in value]
    return value


def _on(device: torch.device, batch: dict[str, Any]) -> dict[str, Any]:
    """A micro-batch as the trainer holds it."""
    moved = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
    if "stream" in moved:
        moved["stream"] = [
            tuple(StreamRow(tuple(q), tuple(o)) for q, o in rows) for rows in moved["stream"]
        ]
    return moved


def _file(folder: Path, trainer: RePOTrainer) -> Path:
    return folder / f"guidance-{trainer.accelerator.process_index}.pt"
