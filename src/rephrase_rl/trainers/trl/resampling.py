"""Dynamic sampling: groups without signal give way to groups of further problems.

Source: DAPO (arXiv:2503.14476, section 3.2). A group counts as without signal if it has none after
guidance. Every group that was sampled is recorded and its tokens counted, used or not.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from accelerate.utils import gather_object

from rephrase_rl.seeding import derive_seed
from rephrase_rl.trainers.trl.batch import Displaced
from rephrase_rl.trainers.trl.engine import logs_set_aside

if TYPE_CHECKING:
    from rephrase_rl.trainers.trl.batch import GenerationOutput, GuidedBatch
    from rephrase_rl.trainers.trl.trainer import RePOTrainer


def resample(
    trainer: RePOTrainer, generated: GenerationOutput, prompts: list[Any], batch: GuidedBatch
) -> None:
    """Replace groups without signal, in up to ``guidance.max_rounds`` rounds.

    Every process samples as many groups in a round as the one with the largest need, and keeps
    those that it can use. What has no signal after the last round stays.

    Args:
        trainer: Samples, guides and knows the data.
        generated: TRL's lists of the batch, changed.
        prompts: TRL's prompts of the batch, changed.
        batch: The guided batch, changed; groups that were put aside are in ``displaced``.
    """
    rows_of_batch = trainer.rows_of_batch
    draw = trainer._draws  # of the batch itself; every round is a draw of its own
    for round_index in range(trainer.guidance.max_rounds):
        dead = [i for i in range(len(batch.groups)) if not batch.has_signal(i)]
        need = max(gather_object([len(dead)]))
        if need == 0:
            return
        problems = _further_problems(trainer, need, round_index, draw)
        rows = [dict(problem) for problem in problems for _ in range(batch.size)]
        more_prompts = [row["prompt"] for row in rows]
        more = trainer.generate_rows(more_prompts)
        with logs_set_aside(trainer) as logged:
            fresh = trainer.guide_batch(more, rows, more_prompts)
        for j, group in enumerate(fresh.groups):
            if not dead or not fresh.has_signal(j):
                prompt_ids = more.prompt_ids[fresh.row_numbers(j)[0]]
                batch.displaced.append(Displaced(group, tuple(prompt_ids)))
                continue
            i = dead.pop(0)
            prompt_ids = generated.prompt_ids[batch.row_numbers(i)[0]]
            batch.displaced.append(Displaced(batch.groups[i], tuple(prompt_ids)))
            batch.groups[i] = group
            for to, origin in zip(batch.row_numbers(i), fresh.row_numbers(j), strict=True):
                batch.rewards_per_func[to] = fresh.rewards_per_func[origin]
                rows_of_batch[to], prompts[to] = rows[origin], more_prompts[origin]
                _copy_row(generated, to, more, origin)
                for column, values in trainer._pending_extra_logs.items():
                    if origin < len(logged.get(column, ())):
                        values[to] = logged[column][origin]


def _copy_row(generated: GenerationOutput, to: int, more: GenerationOutput, origin: int) -> None:
    generated.prompt_ids[to] = more.prompt_ids[origin]
    generated.completion_ids[to] = more.completion_ids[origin]
    generated.completions[to] = more.completions[origin]
    if generated.tool_mask is not None and more.tool_mask is not None:
        generated.tool_mask[to] = more.tool_mask[origin]
    if generated.logprobs is not None and more.logprobs is not None:
        generated.logprobs[to] = more.logprobs[origin]
    for column, values in generated.extra_fields.items():
        if isinstance(values, list):
            values[to] = more.extra_fields[column][origin]


def _further_problems(
    trainer: RePOTrainer, count: int, round_index: int, draw: tuple[int, int]
) -> list[Any]:
    """Rows of the training set, drawn without regard to what the sampler gave already."""
    rank = trainer.accelerator.process_index
    rng = random.Random(derive_seed(trainer.args.seed, *draw, round_index, rank, "resample"))
    dataset = trainer.train_dataset
    return [dataset[rng.randrange(len(dataset))] for _ in range(count)]
