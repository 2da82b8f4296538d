"""Log-probs of given texts, against one plain forward pass for each row."""

from __future__ import annotations

import random

import pytest
import torch

from fakes import VOCABULARY_SIZE, tiny_model
from rephrase_rl.rollout import likelihoods
from rephrase_rl.rollout.likelihoods import GivenCompletion, completion_logps


def alone(model, row: GivenCompletion, temperature: float = 1.0) -> list[float]:
    """One row, unpadded, token by token."""
    ids = [*row.prompt_ids, *row.token_ids]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double() / temperature
    logps = torch.log_softmax(logits, dim=-1)
    first = len(row.prompt_ids)
    return [logps[i - 1, ids[i]].item() for i in range(first, len(ids))]


@pytest.fixture(scope="module")
def model():
    return tiny_model(3)


@pytest.fixture(scope="module")
def rows():
    rng = random.Random(0)

    def ids(length):
        return tuple(rng.randrange(VOCABULARY_SIZE) for _ in range(length))

    lengths = [(5, 1), (1, 7), (30, 3), (4, 20), (12, 12), (2, 2), (40, 1)]
    return [GivenCompletion(ids(a), ids(b)) for a, b in lengths]


@pytest.mark.parametrize("limit", [2**26, 10 * VOCABULARY_SIZE, 1])
def test_padding_and_batches_change_nothing(model, rows, monkeypatch, limit) -> None:
    monkeypatch.setattr(likelihoods, "LOGITS_PER_PASS", limit)
    found = completion_logps(model, rows)
    assert [len(logps) for logps in found] == [len(row.token_ids) for row in rows]
    for logps, row in zip(found, rows, strict=True):
        assert list(logps) == pytest.approx(alone(model, row), abs=1e-4)


def test_temperature_divides_the_logits(model, rows) -> None:
    (cool,) = completion_logps(model, rows[:1], temperature=0.5)
    assert list(cool) == pytest.approx(alone(model, rows[0], 0.5), abs=1e-4)


def test_no_more_logits_than_the_limit_at_once(model, rows, monkeypatch) -> None:
    seen = []
    forward = model.forward

    def watched(**inputs):
        seen.append(inputs["input_ids"].shape[0] * (inputs["logits_to_keep"] - 1))
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", watched)
    monkeypatch.setattr(likelihoods, "LOGITS_PER_PASS", 40 * VOCABULARY_SIZE)
    completion_logps(model, rows)
    assert len(seen) > 1
    assert max(seen) <= 40


def test_the_mode_of_the_model_is_restored(model, rows) -> None:
    model.train()
    completion_logps(model, rows[:1])
    assert model.training
    model.eval()


def test_nothing_asked_nothing_computed(model) -> None:
    assert completion_logps(model, []) == []
