"""The simulation of coverage: a small part here, all of it as a slow test and a script."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from rephrase_rl.statistics import clustered_mean_interval, clustered_share_interval

SCRIPT = Path(__file__).parents[2] / "scripts" / "interval_coverage.py"


def script():
    spec = importlib.util.spec_from_file_location("interval_coverage", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


simulation = script()


@pytest.mark.parametrize(
    ("samples", "difficulty"), [(1, "equal"), (4, "beta 0.3"), (32, "beta 0.6")]
)
def test_a_few_shares_are_covered_as_stated(samples, difficulty) -> None:
    cell = simulation.simulate(30, samples, difficulty, shares=(0.05, 0.5, 0.97), repeats=1000)
    # Noise of 1,000 repeats has a standard deviation of up to 0.9 %; the lowest is 91 % here.
    assert cell.lowest[0] >= 0.89
    assert cell.narrowest > 0


def test_the_simulation_sees_an_interval_that_is_too_narrow(monkeypatch) -> None:
    """Wilson's interval over all samples as if they were independent."""

    def naive(means, *, max_effective_n):
        return clustered_share_interval(
            np.repeat(means, round(max_effective_n / len(means)))[:, None]
        )

    monkeypatch.setattr(simulation, "clustered_share_interval", naive)
    cell = simulation.simulate(30, 4, "beta 0.6", shares=(0.5,), repeats=100)
    assert cell.lowest[0] < 0.9


@pytest.mark.parametrize("difficulty", simulation.DIFFICULTIES)
def test_problems_have_the_mean_that_is_asked_about(difficulty) -> None:
    for share in (0.03, 0.5, 0.9):
        found = simulation.draw(np.random.default_rng(0), difficulty, share, (200, 500)).mean()
        assert found == pytest.approx(share, abs=0.005)


@pytest.mark.slow
def test_every_setting_is_within_the_bars() -> None:
    shares = simulation.SHARES[::4]
    for cell in simulation.cells(repeats=1000, shares=shares):
        assert 0.93 <= cell.mean <= 0.97, cell
        # The bar is 90 %; noise of 1,000 repeats there has a standard deviation of 0.9 %.
        assert cell.lowest[0] >= 0.89, cell
        assert cell.narrowest > 0, cell


def test_the_bootstrap_and_t_agree_on_many_problems() -> None:
    means = np.random.default_rng(3).beta(2, 3, size=(500, 1))
    t = clustered_mean_interval(means)
    bootstrap = clustered_mean_interval(means, method="bootstrap", num_resamples=2000)
    width = t.high - t.low
    assert bootstrap.low == pytest.approx(t.low, abs=0.1 * width)
    assert bootstrap.high == pytest.approx(t.high, abs=0.1 * width)
