"""How often the 95 % intervals of evaluations hold the true share: a simulation.

A benchmark's problems are drawn from a population whose mean success is p, each is sampled k
times, and the interval is asked whether it holds p. Problems differ in difficulty in several ways:

    equal       every problem is solved with probability p
    beta R      probabilities are Beta-distributed with mean p; two samples of one problem correlate
                by R (the intraclass correlation)
    two kinds   each problem is solved nearly always (0.9) or never; mirrored for p above one half

Prints a Markdown table; ``make interval-coverage`` puts it into docs/evaluation.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rephrase_rl.statistics import clustered_share_interval

PAGE = Path(__file__).parents[1] / "docs" / "evaluation.md"
BEGIN, END = "<!-- coverage -->\n", "\n<!-- /coverage -->"
PROBLEMS = (30, 500)
SAMPLES = (1, 4, 32)
DIFFICULTIES = ("equal", "beta 0.1", "beta 0.3", "beta 0.6", "beta 0.9", "two kinds")
SHARES = tuple(round(0.01 * i, 2) for i in range(1, 100))


@dataclass(frozen=True)
class Cell:
    """Coverage of one setting at every share."""

    problems: int
    samples: int
    difficulty: str
    coverage: dict[float, float]
    """By true share."""
    narrowest: float
    """Width of the narrowest interval of all."""

    @property
    def mean(self) -> float:
        """Mean coverage over the shares."""
        return float(np.mean(list(self.coverage.values())))

    @property
    def lowest(self) -> tuple[float, float]:
        """(coverage, share) where it is lowest."""
        return min((value, share) for share, value in self.coverage.items())


def simulate(
    problems: int,
    samples: int,
    difficulty: str,
    *,
    shares: Sequence[float] = SHARES,
    repeats: int = 1000,
    seed: int = 0,
) -> Cell:
    """Draw benchmarks and count the intervals that hold the true share."""
    coverage: dict[float, float] = {}
    narrowest = 1.0
    for share in shares:
        rng = np.random.default_rng([seed, problems, samples, round(share * 1000)])
        probabilities = draw(rng, difficulty, share, (repeats, problems))
        means = rng.binomial(samples, probabilities) / samples
        hits = 0
        for means_P in means:
            found = clustered_share_interval(
                means_P[:, None], max_effective_n=float(problems * samples)
            )
            hits += found.low - 1e-12 <= share <= found.high + 1e-12
            narrowest = min(narrowest, found.high - found.low)
        coverage[share] = hits / repeats
    return Cell(problems, samples, difficulty, coverage, narrowest)


def draw(
    rng: np.random.Generator, difficulty: str, share: float, size: tuple[int, int]
) -> np.ndarray:
    """Success probabilities of problems, with mean ``share`` over the population."""
    if difficulty == "equal":
        return np.full(size, share)
    if difficulty == "two kinds":
        if share <= 0.5:
            return np.where(rng.random(size) < share / 0.9, 0.9, 0.0)
        return np.where(rng.random(size) < (1 - share) / 0.9, 0.1, 1.0)
    correlation = float(difficulty.removeprefix("beta "))
    strength = 1 / correlation - 1
    return rng.beta(share * strength, (1 - share) * strength, size=size)


def cells(repeats: int, shares: Sequence[float] = SHARES) -> Iterator[Cell]:
    """All settings; with one sample per problem the kind of difficulty makes no difference."""
    for problems in PROBLEMS:
        for samples in SAMPLES:
            for difficulty in DIFFICULTIES if samples > 1 else DIFFICULTIES[:1]:
                yield simulate(problems, samples, difficulty, shares=shares, repeats=repeats)


def table(found: Sequence[Cell], repeats: int) -> str:
    """The cells as Markdown."""
    lines = [
        f"{repeats:,} benchmarks for each of {len(found[0].coverage)} shares from 0.01 to 0.99.",
        "",
        "| problems | k | difficulty | mean coverage | lowest, at share | narrowest interval |",
        "|---|---|---|---|---|---|",
    ]
    for cell in found:
        lowest, share = cell.lowest
        difficulty = "any" if cell.samples == 1 else cell.difficulty
        lines.append(
            f"| {cell.problems} | {cell.samples} | {difficulty} | {cell.mean:.1%} "
            f"| {lowest:.1%}, {share:g} | {cell.narrowest:.4f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all settings and print, or write into the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=2000, help="benchmarks for each share")
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/evaluation.md"
    )
    arguments = parser.parse_args()
    text = table(list(cells(arguments.repeats)), arguments.repeats)
    print(text)
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        _, after = rest.split(END)
        PAGE.write_text(before + BEGIN + text + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
