"""The batch of a first configuration follows the memory and the number of problems."""

from __future__ import annotations

import pytest

from rephrase_rl.assembly.starting import Batch, _batch
from rephrase_rl.assembly.starting_budgets import Budgets
from rephrase_rl.assembly.starting_machine import Machine, largest_micro_batch
from rephrase_rl.errors import DataError
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


BUDGETS = Budgets(100, 100, 300, 4096, 192, 384)
CPU = Machine("cpu", "cpu", 2, 16 * GIB)


def first_batch(problems: int, gpus: int = 0) -> Batch:
    machine = Machine("gpu", "H100", 16, 80 * GIB, ("H100",) * gpus, bfloat16=True)
    return _batch(ONE_BILLION, machine if gpus else CPU, BUDGETS, problems)


@pytest.mark.parametrize(
    ("problems", "gpus", "of_step"),
    [(500, 1, 16), (12, 1, 12), (1, 1, 1), (500, 0, 2), (1, 0, 1), (12, 8, 8), (23, 8, 16),
     (500, 32, 32), (500, 3, 15), (13, 3, 12)],
)  # fmt: skip
def test_a_step_takes_no_more_problems_than_there_are(problems, gpus, of_step) -> None:
    batch = first_batch(problems, gpus)
    devices = max(1, gpus)
    assert batch.problems == of_step
    assert batch.micro_rows * batch.accumulation * devices == 8 * of_step == batch.rows_per_step
    assert (of_step // devices) * devices == of_step  # whole groups on every device
    assert batch.fewer_than_usual == (problems < max(16 if gpus else 2, devices))


def test_fewer_problems_than_gpus_are_refused() -> None:
    with pytest.raises(DataError, match=r"3 usable .* 8 GPUs.*CUDA_VISIBLE_DEVICES=0,1,2\)"):
        first_batch(3, 8)
