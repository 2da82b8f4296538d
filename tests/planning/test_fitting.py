"""Fitting finds the rates that timings were made with, and none below zero."""

from __future__ import annotations

import dataclasses
import random

import pytest

from rephrase_rl.planning.devices import ProgramRates
from rephrase_rl.planning.fitting import PRICED, SHARED, Timing, fit_programs
from rephrase_rl.planning.work import Rates, Work

TRUE = ProgramRates(
    score=Rates(5e-12, 7e-12, 5e-10, 1.8e-10, 0.0, 4e-9, 9e-4),
    forward=Rates(5e-12, 7e-12, 1e-9, 2e-10, 0.0, 7e-9, 1.4e-3),
    backward=Rates(5e-12, 7e-12, 1.2e-9, 1e-10, 0.0, 1.6e-8, 9e-4),
    decode=Rates(5e-12, 0.0, 0.0, 1.5e-10, 3e-10, 0.0, 4e-4),
)


def timings(noise: float) -> dict[str, list[Timing]]:
    rng = random.Random(0)
    scales = Work(1e10, 1e9, 5e7, 1e8, 1e8, 1e6, 10.0)

    def one(program: str) -> Timing:
        work = Work(*(amount * rng.uniform(0.05, 2.0) for amount in scales.amounts()))
        exact = getattr(TRUE, program).seconds(work)
        return Timing(work, exact * (1.0 + noise * rng.uniform(-1.0, 1.0)))

    return {program: [one(program) for _ in range(12)] for program in PRICED}


def test_exact_timings_give_the_rates_back() -> None:
    fit = fit_programs(timings(0.0))
    for program in PRICED:
        found, true = getattr(fit.rates, program), getattr(TRUE, program)
        assert dataclasses.astuple(found) == pytest.approx(dataclasses.astuple(true), rel=1e-6)
        assert max(map(abs, fit.errors[program])) < 1e-6


def test_noise_leaves_no_negative_rate_and_errors_of_its_own_size() -> None:
    fit = fit_programs(timings(0.2))
    for program in PRICED:
        assert min(dataclasses.astuple(getattr(fit.rates, program))) >= 0.0
        assert max(map(abs, fit.errors[program])) < 0.4
    for unit in SHARED:
        prices = {getattr(getattr(fit.rates, p), unit) for p in PRICED if unit in PRICED[p]}
        assert len(prices) == 1
