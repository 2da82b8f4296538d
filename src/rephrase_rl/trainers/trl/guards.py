"""A step whose loss or gradient is not finite is refused: weights and optimiser stay as they were.

One NaN in a log-prob makes every weight NaN, and from then on the run computes nothing. The guard
looks at losses and gradients just before the optimiser does. What it refuses is written down with
its inputs, and after several in a row the run stops.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from rephrase_rl.errors import TrainingError
from rephrase_rl.runs import atomic, jsonl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

logger = logging.getLogger(__name__)

REFUSED_METRIC = "guard/refused"
"""1 in the record of a refused step; absent in any other."""

SHOWN_PARAMETERS = 3


@dataclass(frozen=True, slots=True)
class Guards:
    """What becomes of steps that cannot be taken."""

    refused_in_a_row: int = 3
    """Refused steps after each other with which a run stops."""
    folder: Path | None = None
    """Where the inputs of refused steps go. None: ``refused`` in the trainer's ``output_dir``."""


class NonFiniteGuard(TrainerCallback):
    """Refuses optimiser steps; one per trainer."""

    def __init__(self, trainer: Any, guards: Guards) -> None:
        """Args: trainer, after its construction by TRL, and what to do."""
        self._trainer = trainer
        self._limit = guards.refused_in_a_row
        self._folder = guards.folder or Path(trainer.args.output_dir) / "refused"
        self._seen: list[tuple[Tensor, Mapping[str, Any]]] = []
        self._in_a_row = 0
        self.refused = False
        """Whether the last step was refused."""

    def see(self, loss: Tensor, inputs: Mapping[str, Any]) -> None:
        """Take note of one micro-batch of the step at hand."""
        self._seen.append((loss.detach(), inputs))

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin with nothing seen."""
        self._seen, self.refused = [], False

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the gradients away if they, or a loss, are not finite on any process.

        Raises:
            TrainingError: It is the last step that may be refused.
        """
        seen, self._seen = self._seen, []
        model = kwargs["model"]
        losses_finite = all(bool(torch.isfinite(loss).all()) for loss, _ in seen)
        self.refused = not self._all_processes(losses_finite and self._gradients_finite(model))
        if self.refused:
            self._trainer._metrics["train"][REFUSED_METRIC].append(1.0)
            self._refuse(f"step-{state.global_step}", seen, model)
        else:
            self._in_a_row = 0

    def allows_stream_step(self, loss: float, inputs: Mapping[str, Any], model: Any) -> bool:
        """Whether a supervised step beside the RL steps can be taken; else it is refused.

        Raises:
            TrainingError: It is the last step that may be refused.
        """
        if math.isfinite(loss) and gradients_finite(model.parameters()):
            return True
        step = self._trainer.state.global_step
        self._refuse(f"stream-after-step-{step}", [(torch.tensor(loss), inputs)], model)
        return False

    def _refuse(self, name: str, seen: list[tuple[Tensor, Mapping[str, Any]]], model: Any) -> None:
        self._in_a_row += 1
        found = _found([loss for loss, _ in seen], model)
        path = self._write(name, found, seen)
        # Without gradients no optimiser changes a weight, a moment or its count of steps.
        for parameter in model.parameters():
            parameter.grad = None
        self._tell(name, found, path)

    def mark(self, logs: dict[str, Any]) -> None:
        """Say in the figures of a refused step that there is no loss; transformers logs 0."""
        if self.refused and "loss" in logs:
            logs["loss"] = math.nan

    def _all_processes(self, fine: bool) -> bool:
        accelerator = self._trainer.accelerator
        if accelerator.num_processes == 1:
            return fine
        faults = torch.tensor(float(not fine), device=accelerator.device)
        return not accelerator.reduce(faults, reduction="sum").item()

    def _gradients_finite(self, model: Any) -> bool:
        # With loss scaling an overflow is expected now and then, and the scaler skips the step.
        if self._trainer.accelerator.scaler is not None:
            return True
        return gradients_finite(model.parameters())

    def _tell(self, name: str, found: str, path: Path) -> None:
        # DeepSpeed keeps gradients of its own, so its step cannot be refused.
        too_late = self._trainer.is_deepspeed_enabled
        message = (
            f"{name}: found {found}; required: finite numbers. The step is refused, no weight has "
            f"changed, and its inputs are in {path}"
        )
        if too_late or self._in_a_row >= self._limit:
            raise TrainingError(
                f"{message}. {self._in_a_row} refused in a row (guards.refused_in_a_row: "
                f"{self._limit}): look at that file, lower trainer.learning_rate or "
                "trainer.max_grad_norm, compute in float32, and resume from the last checkpoint"
            )
        logger.warning("%s (%d in a row of at most %d)", message, self._in_a_row, self._limit)

    def _write(self, name: str, found: str, seen: list[tuple[Tensor, Mapping[str, Any]]]) -> Path:
        process = self._trainer.accelerator.process_index
        path = self._folder / f"{name}-process-{process}.json"
        batches = [
            {"loss": repr(float(loss)), "texts": self._texts(inputs), "inputs": _plain(inputs)}
            for loss, inputs in seen
        ]
        record = {"found": found, "process": process, "micro_batches": batches}
        atomic.write_bytes(path, jsonl.encode(record) + b"\n")
        return path

    def _texts(self, inputs: Mapping[str, Any]) -> dict[str, list[str]]:
        tokenizer = getattr(
            self._trainer.processing_class, "tokenizer", self._trainer.processing_class
        )
        names = [n for n in ("prompt_ids", "completion_ids", "input_ids") if n in inputs]
        return {name: tokenizer.batch_decode(inputs[name]) for name in names}


class GuardedTrainer:
    """Mixin for a ``transformers.Trainer``: its optimiser steps are guarded.

    Args:
        *args: As for the trainer.
        guards: When to stop, and where refused steps are written down.
        **kwargs: As for the trainer.
    """

    def __init__(self, *args: Any, guards: Guards | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.guard = NonFiniteGuard(self, guards or Guards())
        self.add_callback(self.guard)  # type: ignore[attr-defined]

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As the trainer's; the guard takes note."""
        result = super().compute_loss(model, inputs, *args, **kwargs)  # type: ignore[misc]
        if model.training:
            self.guard.see(result[0] if isinstance(result, tuple) else result, inputs)
        return result

    def log(self, logs: dict[str, Any], start_time: float | None = None) -> None:
        """As the trainer's; a refused step has no loss."""
        self.guard.mark(logs)
        super().log(logs, start_time)  # type: ignore[misc]


def gradients_finite(parameters: Iterable[Any]) -> bool:
    """Whether all gradients of this process are finite."""
    # A norm is one pass over memory and makes no mask as large as the weights.
    norms = [torch.linalg.vector_norm(_local(p.grad)) for p in parameters if p.grad is not None]
    if not norms:
        return True
    device = norms[0].device
    return bool(torch.isfinite(torch.stack([norm.float().to(device) for norm in norms])).all())


def _local(gradient: Any) -> Any:
    """A sharded gradient's part on this process."""
    return gradient.to_local() if hasattr(gradient, "to_local") else gradient


def _found(losses: list[Tensor], model: Any) -> str:
    """What is not finite, in words."""
    bad_losses = [repr(float(loss)) for loss in losses if not torch.isfinite(loss).all()]
    graded = [(name, p) for name, p in model.named_parameters() if p.grad is not None]
    bad = [name for name, p in graded if not gradients_finite([p])]
    parts = []
    if bad_losses:
        parts.append(f"loss {', '.join(sorted(set(bad_losses)))}")
    if bad:
        shown = ", ".join(bad[:SHOWN_PARAMETERS]) + (" ..." if len(bad) > SHOWN_PARAMETERS else "")
        parts.append(f"gradients that are not finite in {len(bad)} of {len(graded)} ({shown})")
    return " and ".join(parts) or "a loss or gradient that is not finite on another process"


def _plain(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors as lists, in which numbers that are not finite are words."""
    lists = {
        name: value.tolist() if torch.is_tensor(value) else value
        for name, value in inputs.items()
        if torch.is_tensor(value) or isinstance(value, list)
    }
    return {name: _words(value) for name, value in lists.items()}


def _words(value: Any) -> Any:
    if isinstance(value, list):
        return [_words(item) for item in value]
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
