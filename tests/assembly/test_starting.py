"""The batch and the budgets of a first configuration follow memory and context."""

from __future__ import annotations

import pytest

from rephrase_rl.assembly.starting import _budgets
from rephrase_rl.assembly.starting_machine import Machine, largest_micro_batch
from rephrase_rl.data.inspection import DataInspector
from rephrase_rl.planning import ModelShape

GIB = 1024.0**3
ONE_BILLION = ModelShape("1b", 16, 2048, 32, 8, 64, 8192, 128_256, tied=True)


def batch(memory_gib: float, gpus: int = 1, lengths: tuple[int, int, int] = (200, 1024, 2048)):
    machine = Machine("gpu", "H100", 16, memory_gib * GIB, ("H100",) * gpus, bfloat16=True)
    return largest_micro_batch(ONE_BILLION, machine, rows=128, group_size=8, lengths=lengths)


def test_more_memory_holds_more_rows() -> None:
    sizes = [batch(memory)[0] for memory in (24, 32, 80, 141)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]


def test_what_does_not_fit_is_said_with_the_peak() -> None:
    rows, peak, fits = batch(16)
    assert (rows, fits) == (1, False)
    assert peak is not None
    assert peak > 16 * GIB  # weights, gradients and two moments of 1.2e9 parameters alone


def test_nothing_is_estimated_for_unknown_sizes() -> None:
    machine = Machine("cpu", "cpu", 2, 8 * GIB)
    found = largest_micro_batch(None, machine, rows=16, group_size=8, lengths=(1, 1, 1))
    assert found == (8, None, None)


def report(expert: int | None, rephrase: int | None):
    inspector = DataInspector()
    inspector.add_length("solve", 100, "p")
    if expert is not None and rephrase is not None:
        inspector.add_length("expert", expert, "p")
        inspector.add_length("rephrase", rephrase, "p")
    return inspector.report()


def test_budgets_have_room_for_the_longest() -> None:
    found = _budgets(report(300, 500), 4096, "gpu")
    assert found.max_completion_length == 512  # 450 rounded up to a multiple of 64
    assert found.max_prompt_tokens == 576  # 550 rounded up
    assert found.expert_tokens is None


def test_without_experts_the_machine_decides() -> None:
    assert _budgets(report(None, None), None, "cpu").max_completion_length == 256
    assert _budgets(report(None, None), None, "gpu").max_prompt_tokens is None


@pytest.mark.parametrize("context", [1024, 2048])
def test_budgets_stay_within_the_context(context: int) -> None:
    found = _budgets(report(900, 1100), context, "gpu")
    assert found.max_prompt_tokens is not None
    assert found.max_completion_length + 100 <= context
    assert found.max_completion_length + found.max_prompt_tokens <= context
    assert found.expert_tokens is not None
    assert found.expert_tokens + (1100 - 900) <= found.max_prompt_tokens
