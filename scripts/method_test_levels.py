"""How often the tests of two methods refuse a null hypothesis that is true, by number of seeds.

Prints the table of ``docs/compare.md``. Two methods of equal expected score are drawn: problems
differ, each method likes other problems, and seeds differ; four samples of each problem.
"""

from __future__ import annotations

import argparse

import numpy as np

from rephrase_rl.statistics import compare_methods
from rephrase_rl.statistics.hierarchical import bootstrap_p_value

PROBLEMS, SAMPLES, LEVEL = 100, 4, 0.05
SEED_SPREAD = 1.0
"""Standard deviation of a seed's effect, in logits: strong, the hard case for a bootstrap."""


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    options = parser.parse_args()
    print("| seeds per arm | t test | bootstrap |\n|---|---|---|")
    for seeds in (2, 3, 5, 10):
        t_test, bootstrap = levels(seeds, options.repeats)
        print(f"| {seeds} | {t_test:.1%} | {bootstrap:.1%} |")


def levels(seeds: int, repeats: int, *, with_bootstrap: bool = True) -> tuple[float, float]:
    """Share of true nulls that are refused at 5 % by the t test and by the bootstrap."""
    generator = np.random.default_rng(seeds)
    refused = by_bootstrap = 0
    for _ in range(repeats):
        first, other = draw(generator, seeds)
        p_value = compare_methods(first, other, num_resamples=0).p_value
        refused += p_value is not None and p_value < LEVEL
        if with_bootstrap:
            by_bootstrap += bootstrap_p_value(first, other, generator, 400) < LEVEL
    return refused / repeats, by_bootstrap / repeats


def draw(generator: np.random.Generator, seeds: int) -> list[np.ndarray]:
    """Scores of two methods of equal expected score, seeds by problems."""
    logits = generator.normal(0, 1.5, PROBLEMS)
    tables = []
    for _ in range(2):
        taste = generator.normal(0, 0.5, PROBLEMS)
        seed = generator.normal(0, SEED_SPREAD, (seeds, 1))
        shares = 1 / (1 + np.exp(-(logits + taste + seed)))
        tables.append(generator.binomial(SAMPLES, shares) / SAMPLES)
    return tables


if __name__ == "__main__":
    main()
