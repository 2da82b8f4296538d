"""What is left out of a micro-batch leaves the rest as it was."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import transformers

from fakes import tiny_model
from rephrase_rl.seeding import forked_rng
from rephrase_rl.trainers.trl.trained_rows import without_padding


def learned_positions():
    shape = {"vocab_size": 61, "n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
    with forked_rng(0):
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape, n_positions=32)).eval()


def scaled_by_length():
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    return tiny_model(rope_parameters=rope, max_position_embeddings=8)


def logps(model, inputs) -> torch.Tensor:
    """Of the completions, as TRL computes them: without position ids."""
    ids_BS = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    mask_BS = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
    width = inputs["completion_ids"].size(1)
    with torch.no_grad():
        logits = model(input_ids=ids_BS, attention_mask=mask_BS).logits[:, -width - 1 : -1]
    return logits.log_softmax(-1).gather(2, inputs["completion_ids"].unsqueeze(2)).squeeze(2)


@pytest.mark.parametrize(
    ("build", "widths"),
    [(tiny_model, (3, 3)), (learned_positions, (6, 5)), (scaled_by_length, (6, 5))],
)
def test_padding_goes_only_where_log_probs_stay(build, widths) -> None:
    """Old and reference log-probs are those of the whole width."""
    prompts = torch.tensor([[0, 0, 0, 0, 5, 6], [0, 0, 0, 7, 8, 9]])
    completions = torch.tensor([[10, 11, 12, 0, 0], [13, 14, 0, 0, 0]])
    inputs = {
        "prompt_ids": prompts,
        "prompt_mask": (prompts > 0).long(),
        "completion_ids": completions,
        "completion_mask": (completions > 0).long(),
    }
    model = build()
    cut = without_padding(SimpleNamespace(model=model), inputs)
    assert (cut["prompt_ids"].size(1), cut["completion_ids"].size(1)) == widths
    real = cut["completion_mask"].bool()
    whole = logps(model, inputs)[:, : widths[1]]
    torch.testing.assert_close(logps(model, cut)[real], whole[real], atol=1e-5, rtol=1e-5)
