"""A micro-batch of TRL's is computed in parts of a bounded number of tokens, a backward pass each.

Memory grows with the tokens between a forward and its backward pass, and on a CPU so does the time
of a token: large activations leave the caches, and the system hands out their pages anew. The loss
of a part is weighed such that the parts' gradients add up to the whole's, whatever the cut.
Members of a group stay in one part, where a packed forward pass shares their prompt.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from accelerate.utils import DistributedType, gather_object

from rephrase_rl.errors import ConfigError
from rephrase_rl.trainers.trl.batch import ROW_MEAN_LOSSES, loss_mask
from rephrase_rl.trainers.trl.packed import members_by_prompt
from rephrase_rl.trainers.trl.stream import JointStream
from rephrase_rl.trainers.trl.trained_rows import (
    SPLITTABLE_LOSSES,
    TrainedRows,
    padding_counts,
    rows_of,
    without_padding,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from rephrase_rl.trainers.trl.trainer import RePOTrainer

TOKENS_ON_A_CPU = 4096
"""Where nothing else is asked for. Measured on a CPU: parts of 1,500 to 3,000 tokens of a model of
135 million parameters take 0.7 of the time of one of 12,000, and a quarter of its memory."""


class Part(NamedTuple):
    """Rows of a micro-batch that are computed together."""

    rows: list[int]
    padding: int
    """Rows without any token that are added, so that this part has as many on every process."""
    tokens: int
    """Trained tokens of this part on all processes."""


def tokens_of_a_part(trainer: RePOTrainer, wanted: int | str | None) -> int | None:
    """How many tokens a part may have; None: a micro-batch is computed whole.

    Args:
        trainer: After its construction by TRL.
        wanted: ``Compute.tokens_per_pass``.

    Raises:
        ConfigError: It was asked for and the loss cannot be computed in parts.
    """
    if wanted is None or (wanted == "auto" and trainer.accelerator.device.type != "cpu"):
        return None
    reason = _why_whole(trainer)
    if wanted == "auto":
        return TOKENS_ON_A_CPU if reason is None else None
    if not isinstance(wanted, int) or wanted < 1:
        raise ConfigError(
            f"compute.tokens_per_pass is {wanted!r}; required is a number of tokens above 0, "
            "'auto' or null"
        )
    if reason is not None:
        raise ConfigError(
            f"compute.tokens_per_pass is {wanted}, but {reason}; set it to 'auto' or null, and "
            "bound memory by per_device_train_batch_size"
        )
    return wanted


def _why_whole(trainer: RePOTrainer) -> str | None:
    """Why the loss of a micro-batch is not the sum of its parts'; None if it is."""
    reasons = (
        (
            f"loss_type {trainer.loss_type!r} divides by what the micro-batch at hand holds",
            trainer.loss_type not in SPLITTABLE_LOSSES,
        ),
        ("the entropy bonus is a mean over the micro-batch", trainer._entropy_bonus_enabled),
        ("the loss of the router is one of the micro-batch", trainer.aux_loss_enabled),
        (
            "top_entropy_quantile ranks the tokens of the micro-batch",
            trainer.top_entropy_quantile < 1.0,
        ),
        ("a joint stream weighs the loss as a whole", isinstance(trainer.stream, JointStream)),
        ("images belong to rows in ways of their own", trainer._is_vlm),
        (
            "sharded weights are gathered for each pass",
            trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled,
        ),
        ("LOMO updates weights in the backward pass", "lomo" in str(trainer.args.optim)),
    )
    return next((reason for reason, found in reasons if found), None)


def loss_in_parts(
    trainer: RePOTrainer, model: Any, trained: TrainedRows, budget: int | None
) -> tuple[Tensor, Tensor | None]:
    """Loss of a micro-batch; the backward pass of every part but the last is done here.

    Args:
        trainer: Computes the loss of given rows.
        model: The trained model, wrapped or not.
        trained: The rows.
        budget: From ``tokens_of_a_part``.

    Returns:
        The loss, whose own backward pass adds the last part's gradient to the others'; and the
        log-probs of all completion tokens, detached, shape (B, T), or None if it has none.
    """
    inputs = trained.inputs
    parts = [] if budget is None else cut(trainer, inputs, budget)
    if len(parts) < 2:
        loss, logps_BT = trainer.loss_of_rows(model, inputs)
        return loss * trained.share, None if logps_BT is None else logps_BT.detach()
    total_rows, width = inputs["completion_ids"].shape
    whole_BT = torch.zeros(total_rows, width, device=inputs["completion_ids"].device)
    known = True
    metrics = trainer._metrics["train"]
    lengths = {name: len(values) for name, values in metrics.items()}
    earlier = torch.zeros((), device=whole_BT.device)
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        with contextlib.nullcontext() if is_last else _without_sync(trainer, model):
            loss, own_BT = trainer.loss_of_rows(model, _inputs_of(trainer, inputs, part))
            if trainer.loss_type in ROW_MEAN_LOSSES:
                loss = loss * (len(part.rows) + part.padding) / total_rows
            loss = loss * trained.share
            if not is_last:
                trainer.accelerator.backward(loss)
                earlier += loss.detach()
        known = known and own_BT is not None
        if own_BT is not None:
            own_BT = own_BT.detach()[: len(part.rows)].float()
            whole_BT[part.rows, : own_BT.size(1)] = own_BT
    _one_value_each(metrics, lengths, [part.tokens for part in parts])
    return loss + earlier, whole_BT if known else None


def _without_sync(trainer: RePOTrainer, model: Any) -> contextlib.AbstractContextManager[Any]:
    """Gradients of several processes meet once, in the last part's backward pass.

    The forward pass has to be in it too: there DDP decides whether the backward pass exchanges.
    """
    if trainer.accelerator.distributed_type == DistributedType.NO:
        return contextlib.nullcontext()
    context: contextlib.AbstractContextManager[Any] = trainer.accelerator.no_sync(model)
    return context


def cut(trainer: RePOTrainer, inputs: dict[str, Any], budget: int) -> list[Part]:
    """Cut a micro-batch into parts, as many and of as many rows on every process.

    Args:
        trainer: For its processes.
        inputs: TRL's micro-batch.
        budget: Most tokens of a part.
    """
    prompts_BS, completions_BT = inputs["prompt_mask"], inputs["completion_mask"]
    columns = torch.arange(1, completions_BT.size(1) + 1, device=completions_BT.device)
    prompt_B = prompts_BS.size(1) - prompts_BS.int().argmax(dim=1)
    lengths = (prompt_B + (completions_BT * columns).amax(dim=1)).tolist()
    ids_BS = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    if padding_counts(trainer.model):  # then it is computed as well
        lengths = [ids_BS.size(1)] * len(lengths)
    mask_BS = torch.cat([prompts_BS, completions_BT], dim=1)
    groups = [
        [span.row for span in members]
        for members in members_by_prompt(ids_BS, mask_BS, completions_BT.size(1))
    ]
    with_tokens = {row for members in groups for row in members}
    # A row without a completion token has no loss and stays where it costs least: in the last part.
    empty = [row for row in range(len(lengths)) if row not in with_tokens]
    own = cut_rows(groups, lengths, budget)
    own[-1] += empty
    counts = loss_mask(inputs).sum(dim=1).tolist()
    mine = [(len(rows), sum(counts[row] for row in rows)) for rows in own]
    if trainer.accelerator.num_processes == 1:
        return [Part(rows, 0, tokens) for rows, (_, tokens) in zip(own, mine, strict=True)]
    everyone: list[list[tuple[int, int]]] = gather_object([mine])
    parts = []
    for number in range(max(map(len, everyone))):
        there = [theirs[number] for theirs in everyone if number < len(theirs)]
        rows = own[number] if number < len(own) else []
        most = max(count for count, _ in there)
        parts.append(Part(rows, most - len(rows), sum(tokens for _, tokens in there)))
    return parts


def cut_rows(
    groups: Sequence[Sequence[int]], lengths: Sequence[int], budget: int
) -> list[list[int]]:
    """Share rows out to parts whose rows, padded to their longest, stay within a budget.

    Longest first, so that what does not fit into memory fails at once and not after hours, and rows
    of like length are padded little. A group is cut only if it does not fit into a part of its own;
    a row longer than the budget is a part by itself.

    Args:
        groups: Row numbers of each prompt.
        lengths: Tokens of each row.
        budget: Most tokens of a part.

    Example:
        >>> cut_rows([[0, 1], [2, 3], [4]], [5, 4, 9, 2, 3], 18)
        [[2, 3], [0, 1, 4]]
    """
    parts: list[list[int]] = [[]]

    def room(longest: int) -> int:
        """Further rows for the last part, the first of which has this length; 1 in an empty one."""
        width = max([longest, *(lengths[row] for row in parts[-1])])
        return max(budget // width - len(parts[-1]), 0 if parts[-1] else 1)

    for group in sorted(groups, key=lambda rows: -max(lengths[row] for row in rows)):
        rows = sorted(group, key=lambda row: -lengths[row])
        if parts[-1] and len(rows) > room(lengths[rows[0]]):
            parts.append([])
        while rows:
            fits = room(lengths[rows[0]])
            parts[-1] += rows[:fits]
            rows = rows[fits:]
            if rows:
                parts.append([])
    return parts


def _inputs_of(trainer: RePOTrainer, inputs: dict[str, Any], part: Part) -> dict[str, Any]:
    rows = len(inputs["completion_ids"])
    kept = torch.tensor(part.rows + [0] * part.padding)
    chosen = {name: rows_of(value, kept, rows) for name, value in inputs.items()}
    if part.padding:
        mask = chosen["completion_mask"].clone()
        mask[len(part.rows) :] = 0
        chosen["completion_mask"] = mask
    return without_padding(trainer, chosen)


def _one_value_each(
    metrics: dict[str, list[float]], lengths: dict[str, int], tokens: Sequence[int]
) -> None:
    """Put one value in place of those of the parts, as if the micro-batch had been computed whole.

    TRL's figures of a loss are means over its tokens, and the smallest or largest of a row.
    """
    for name, values in metrics.items():
        start = lengths.get(name, 0)
        own = values[start:]
        if len(own) != len(tokens):
            continue  # not a figure of the loss
        known = [(v, n) for v, n in zip(own, tokens, strict=True) if n and not math.isnan(v)]
        if not known:
            values[start:] = own[:1]
        elif name.endswith("_min"):
            values[start:] = [min(v for v, _ in known)]
        elif name.endswith("_max"):
            values[start:] = [max(v for v, _ in known)]
        else:
            values[start:] = [sum(v * n for v, n in known) / sum(n for _, n in known)]
