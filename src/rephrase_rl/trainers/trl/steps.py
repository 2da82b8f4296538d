"""How many optimiser steps TRL and transformers will take, without a trainer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import TrainingArguments
    from trl import GRPOConfig


def problems_per_generation(arguments: GRPOConfig, processes: int) -> int:
    """Different problems whose rollouts are sampled at once, over all processes.

    Args:
        arguments: Of a run; its own number of processes is not looked at.
        processes: That the run will have.
    """
    rows = arguments.per_device_train_batch_size * arguments.steps_per_generation * processes
    return int(rows // arguments.num_generations)


def grpo_steps(arguments: GRPOConfig, num_problems: int, processes: int) -> int:
    """Optimiser steps of a run of ``GRPOTrainer``.

    A generation batch that the data does not fill is left out, as TRL's ``RepeatSampler`` does
    (``trl/trainer/utils.py``); the rest as in ``Trainer.set_initial_training_values``.

    Args:
        arguments: Of the run.
        num_problems: Of its training set.
        processes: That it will have.

    Returns:
        0 where the data does not fill one generation batch.
    """
    batches = num_problems // problems_per_generation(arguments, processes)
    micro_steps = batches * arguments.steps_per_generation * arguments.num_iterations
    return _steps(arguments, micro_steps)


def supervised_steps(arguments: TrainingArguments, num_texts: int, processes: int) -> int:
    """Optimiser steps of a run of ``SupervisedTrainer``; see ``ProblemOrder`` for what is left out.

    Args:
        arguments: Of the run.
        num_texts: That are trained on.
        processes: That it will have.
    """
    rows = arguments.per_device_train_batch_size * processes
    per_step = rows * arguments.gradient_accumulation_steps
    visited = num_texts - num_texts % per_step or num_texts
    return _steps(arguments, math.ceil(visited / rows))


def _steps(arguments: TrainingArguments, micro_steps: int) -> int:
    if micro_steps == 0:
        return 0
    if arguments.max_steps > 0:
        return int(arguments.max_steps)
    per_epoch = math.ceil(micro_steps / arguments.gradient_accumulation_steps)
    return math.ceil(arguments.num_train_epochs * per_epoch)
