"""What guidance remembers, beside TRL's checkpoint: histories, caches, replay, the stream.

One file for each process, since a source's memory holds the groups of its own process.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from rephrase_rl.errors import CheckpointError
from rephrase_rl.guidance.ledger import Ledger
from rephrase_rl.guidance.memory import remembers
from rephrase_rl.trainers.trl.stream import BufferedStream

if TYPE_CHECKING:
    from rephrase_rl.trainers.trl.trainer import RePOTrainer


class SaveMemory(TrainerCallback):
    """Writes the memory of this process into every checkpoint."""

    def __init__(self, trainer: RePOTrainer) -> None:
        """Args: the trainer whose memory it is."""
        self._trainer = trainer

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called when TRL's part of the checkpoint is written."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        save_memory(self._trainer, folder)


def save_memory(trainer: RePOTrainer, folder: Path) -> None:
    """Write what this process remembers into a checkpoint folder."""
    source, stream = trainer.guidance.source, trainer.stream
    memory = {
        "ledger": trainer.ledger.to_json(),
        "source": source.state() if remembers(source) else None,
        "stream": stream.state() if isinstance(stream, BufferedStream) else None,
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(memory, _file(folder, trainer))


def load_memory(trainer: RePOTrainer, folder: Path) -> None:
    """Take up what was written at a checkpoint.

    Raises:
        CheckpointError: The file of this process is missing.
    """
    file = _file(folder, trainer)
    if not file.is_file():
        raise CheckpointError(
            f"found no {file.name} in {folder}; required is a checkpoint written by as many "
            f"processes as now ({trainer.accelerator.num_processes}) and by RePOTrainer: resume "
            "with that number, or start a new run from the checkpoint as model"
        )
    memory = torch.load(file, weights_only=True)
    trainer.ledger = Ledger.from_json(memory["ledger"])
    if remembers(trainer.guidance.source):
        trainer.guidance.source.load_state(memory["source"])
    if isinstance(trainer.stream, BufferedStream):
        trainer.stream.load_state(memory["stream"])


def _file(folder: Path, trainer: RePOTrainer) -> Path:
    return folder / f"guidance-{trainer.accelerator.process_index}.pt"
