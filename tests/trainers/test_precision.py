"""bfloat16 where it pays, measured; everything else as it was."""

from __future__ import annotations

import pytest
import torch

from fakes import tiny_model
from rephrase_rl.trainers.trl import precision
from rephrase_rl.trainers.trl.precision import bf16_pays


def timings(monkeypatch, plain: float, fast: float, instructions: bool = True) -> None:
    monkeypatch.setattr(precision, "_has_instructions", lambda: instructions)
    monkeypatch.setattr(
        precision, "_seconds_of_a_pass", lambda model, bf16: fast if bf16 else plain
    )


@pytest.mark.parametrize(
    ("plain", "fast", "expected"), [(2.0, 1.0, True), (1.2, 1.0, False), (1.0, 2.0, False)]
)
def test_it_has_to_be_clearly_faster(monkeypatch, plain, fast, expected) -> None:
    timings(monkeypatch, plain, fast)
    assert bf16_pays(tiny_model()) is expected


def test_without_instructions_it_is_not_even_tried(monkeypatch) -> None:
    monkeypatch.setattr(precision, "_has_instructions", lambda: False)
    monkeypatch.setattr(
        precision, "_seconds_of_a_pass", lambda *_: pytest.fail("timed an emulated format")
    )
    assert bf16_pays(tiny_model()) is False


def test_the_measurement_leaves_no_trace(monkeypatch) -> None:
    monkeypatch.setattr(precision, "_has_instructions", lambda: True)
    model = tiny_model().train()
    kept = torch.ones_like(next(model.parameters()))
    next(model.parameters()).grad = kept
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    weights = [p.detach().clone() for p in model.parameters()]
    bf16_pays(model)
    assert torch.equal(torch.rand(2), expected)
    assert model.training
    assert next(model.parameters()).grad is kept
    assert all(p.grad is None for p in list(model.parameters())[1:])
    assert torch.equal(kept, torch.ones_like(kept))
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))


def test_passes_are_computed_in_the_format_asked_for() -> None:
    seen = []
    model = tiny_model()
    # The output of a matrix product has the format of the arithmetic.
    hook = model.get_output_embeddings().register_forward_hook(
        lambda module, args, output: seen.append(output.dtype)
    )
    precision._seconds_of_a_pass(model, bf16=False)
    precision._seconds_of_a_pass(model, bf16=True)
    hook.remove()
    assert seen == [torch.float32] * 2 + [torch.bfloat16] * 2
