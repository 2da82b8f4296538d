"""Log-probabilities of texts that are there already, given prompts of one's choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

LOGITS_PER_PASS = 2**26
"""Most logits of one forward pass (256 MiB in float32): rows x tokens x vocabulary."""


class GivenCompletion(NamedTuple):
    """A prompt and a completion as tokens; both have at least one."""

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]


def completion_logps(
    model: Any, rows: Sequence[GivenCompletion], *, temperature: float = 1.0
) -> list[tuple[float, ...]]:
    """Log-probability (nats) of every token of every completion, without gradient.

    Rows are padded on the left and computed in batches of similar length; the model's mode is
    restored afterwards.

    Args:
        model: A causal language model of transformers, on whatever device.
        rows: In any order.
        temperature: Divides the logits, as in sampling; above 0.
    """
    found: dict[int, tuple[float, ...]] = {}
    was_training = model.training
    model.eval()
    try:
        for batch in _batches(rows, model.config.get_text_config().vocab_size):
            logps = _batch_logps(model, [rows[i] for i in batch], temperature)
            found.update(zip(batch, logps, strict=True))
    finally:
        model.train(was_training)
    return [found[i] for i in range(len(rows))]


def _batches(rows: Sequence[GivenCompletion], vocabulary: int) -> list[list[int]]:
    """Positions of rows that go through the model together, the longest first."""
    order = sorted(range(len(rows)), key=lambda i: -(len(rows[i][0]) + len(rows[i][1])))
    batches: list[list[int]] = []
    longest = 0
    for i in order:
        longest = max(longest, len(rows[i].token_ids)) if batches else len(rows[i].token_ids)
        if batches and (len(batches[-1]) + 1) * longest * vocabulary <= LOGITS_PER_PASS:
            batches[-1].append(i)
        else:
            batches.append([i])
            longest = len(rows[i].token_ids)
    return batches


@torch.inference_mode()
def _batch_logps(
    model: Any, rows: Sequence[GivenCompletion], temperature: float
) -> list[tuple[float, ...]]:
    width = max(len(row.prompt_ids) + len(row.token_ids) for row in rows)
    kept = max(len(row.token_ids) for row in rows)
    input_BS = torch.zeros((len(rows), width), dtype=torch.long)
    mask_BS = torch.zeros_like(input_BS)
    for i, row in enumerate(rows):
        ids = torch.tensor([*row.prompt_ids, *row.token_ids])
        input_BS[i, width - len(ids) :] = ids
        mask_BS[i, width - len(ids) :] = 1
    # Left padding would shift the places that rotary embeddings see.
    position_BS = (mask_BS.cumsum(dim=1) - 1).clamp(min=0)
    logits_BTV = model(
        input_ids=input_BS.to(model.device),
        attention_mask=mask_BS.to(model.device),
        position_ids=position_BS.to(model.device),
        logits_to_keep=kept + 1,
        use_cache=False,
    ).logits[:, :-1]
    logits_BTV = logits_BTV.float() / temperature
    target_BT = input_BS[:, -kept:].to(model.device)
    logp_BT = logits_BTV.gather(2, target_BT[:, :, None]).squeeze(2) - logits_BTV.logsumexp(dim=2)
    return [
        tuple(logps[kept - len(row.token_ids) :])
        for row, logps in zip(rows, logp_BT.cpu().tolist(), strict=True)
    ]
