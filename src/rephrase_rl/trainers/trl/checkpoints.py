"""What both trainers add to ``transformers.Trainer``: checkpoints that are whole, exact order.

transformers writes a checkpoint file by file into its final folder and removes old ones whether or
not the new one is whole. Here it writes beside, and the folder gets its name when all processes are
done and every file has its checksum (``runs.checkpoints``).
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import Trainer, TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME

from rephrase_rl.errors import CheckpointError
from rephrase_rl.runs import checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class WholeCheckpoints(Trainer):
    """A trainer whose checkpoints are whole or not there, and are verified before they are loaded.

    Comes before TRL's trainer in the list of bases. Subclasses keep what they remember in
    ``keep_state`` and take it up in ``take_up_state``, each process its own.
    """

    before_publishing: Callable[[], object] | None = None
    """Called on the writing process when a checkpoint is about to get its name."""
    _writes_beside = False

    def keep_state(self, folder: Path) -> None:
        """Write what this process remembers beyond transformers' own state."""

    def take_up_state(self, folder: Path) -> None:
        """Take up what ``keep_state`` wrote."""

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """As ``Trainer.train``; a resumed run is bit for bit the one that was not interrupted.

        Raises:
            CheckpointError: The checkpoint is damaged, or what it holds does not suffice.
        """
        if not resume_from_checkpoint:
            return super().train(**kwargs)
        if resume_from_checkpoint is True:
            resume_from_checkpoint = str(checkpoints.choose(Path(self.args.output_dir)))
        folder = Path(resume_from_checkpoint)
        self._refuse_inexact(folder)
        if self.accelerator.is_main_process:
            checkpoints.require_whole(folder)
        self.take_up_state(folder)
        return super().train(resume_from_checkpoint=str(folder), **kwargs)

    def save_whole(self, folder: Path) -> None:
        """Save the policy alone, in one step; all processes together."""
        with self._writing(folder.parent, folder.name) as beside:
            self.save_model(str(beside))

    def _get_output_dir(self, trial: Any) -> str:
        folder: str = super()._get_output_dir(trial)
        return os.path.join(folder, checkpoints.WRITING) if self._writes_beside else folder

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        home = Path(self._get_output_dir(trial))
        name = checkpoints.name_of(self.state.global_step)
        with self._writing(home, name) as beside:
            self._writes_beside = True
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self._writes_beside = False
            self._name_best(home, beside)
            self.keep_state(beside)
        if self.args.should_save:
            best = self.state.best_model_checkpoint
            checkpoints.rotate(home, self.args.save_total_limit, best)

    @contextmanager
    def _writing(self, home: Path, name: str) -> Iterator[Path]:
        """Write a folder beside and publish it; what goes wrong leaves nothing and is told."""
        beside = home / checkpoints.WRITING / name
        try:
            if self.args.should_save:
                checkpoints.prepare_writing(home)
            self.accelerator.wait_for_everyone()
            yield beside
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                if self.before_publishing is not None:
                    self.before_publishing()
                checkpoints.seal(beside)
                checkpoints.publish(beside, home)
            self.accelerator.wait_for_everyone()
        except BaseException as error:
            shutil.rmtree(beside.parent, ignore_errors=True)
            if not isinstance(error, Exception):
                raise
            raise CheckpointError(_not_written(home, name, error)) from error

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """As transformers'; what is trained keeps its number format.

        PEFT reads adapters as float32, and TRL has made them bfloat16 where weights have 4 bits.
        """
        model = self.model if model is None else model
        trained = {name: p.dtype for name, p in model.named_parameters() if p.requires_grad}
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        for name, parameter in model.named_parameters():
            parameter.data = parameter.data.to(trained.get(name, parameter.dtype))

    def _name_best(self, home: Path, beside: Path) -> None:
        """The state names the best checkpoint by the place that it will have."""
        if not self.args.should_save or not self.state.best_global_step:
            return
        best = home / checkpoints.name_of(self.state.best_global_step)
        self.state.best_model_checkpoint = (
            str(best) if best.is_dir() or best.name == beside.name else None
        )
        self.state.save_to_json(str(beside / TRAINER_STATE_NAME))

    def _refuse_inexact(self, folder: Path) -> None:
        """Refuse settings under which a resumed run would be another run.

        Raises:
            CheckpointError: With the field and what to do.
        """
        for name, what in (
            ("ignore_data_skip", "the data would begin again at its first problem"),
            ("save_only_model", "checkpoints hold neither the optimiser nor random states"),
        ):
            if getattr(self.args, name):
                raise CheckpointError(
                    f"{folder} cannot be gone on from exactly: {name} is set, so {what}; set "
                    f"{name} to false, or start a new run from the checkpoint as model"
                )


class EpochOrder(TrainerCallback):
    """Sets the sampler to the epoch that begins, also in a run resumed within a later one.

    Accelerate does so too, but does not find a sampler behind the batches that it skips on several
    processes.
    """

    def __init__(self, sampler_of: Callable[[], Any]) -> None:
        """Args: gives the sampler in use."""
        self._sampler_of = sampler_of

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Epochs count from 0; within one, ``state.epoch`` has a fraction."""
        sampler = self._sampler_of()
        if sampler is not None:
            sampler.set_epoch(int(state.epoch or 0))


def _not_written(home: Path, name: str, error: Exception) -> str:
    try:
        room = f"{shutil.disk_usage(home).free / 1e6:,.0f} MB are free there"
    except OSError as unreadable:
        room = f"the folder cannot be looked at: {unreadable}"
    whole = [folder.name for folder in checkpoints.all_checkpoints(home)]
    last = f"the last one that is there is {whole[-1]}" if whole else "no other one is there"
    on = "go on with --resume" if whole else "begin anew with --overwrite"
    return (
        f"{home / name} could not be written ({type(error).__name__}: {error}); {room}. Nothing of "
        f"it was left, and {last}: make room or make the folder writable, then {on}"
    )
