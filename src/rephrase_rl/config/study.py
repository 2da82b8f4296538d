"""A study on the lab: arms, conditions, sweep and ranked order, as a YAML file describes them.

One cell of a study is one training run. Everything that all runs share stands under ``run`` as an
ordinary run configuration; an arm says in what it differs.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rephrase_rl.config.base import ConfigModel, Many, PlainMapping
from rephrase_rl.config.data import Name, Positive
from rephrase_rl.config.evaluation import BenchmarkConfig

Expert = Literal["alien", "near"]
TaskFamily = Literal["chain", "ab"]
Rewriter = Literal["good", "poor"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Rate = Annotated[float, Field(gt=0.0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]

MOST_SAMPLES = 9
"""Of a test problem: summaries keep one digit for each."""
BASE_ARM = "base"
"""The starting policy itself: evaluated, not trained."""


class FirstStageConfig(ConfigModel):
    """A run that another one goes on from, such as supervised fine-tuning before RL."""

    arm: Name
    """Its method, blocks and learning rate are those of this arm."""
    steps: Positive
    """Its optimiser steps; it takes the problems from the start of the set, and the second stage
    those that follow, then these again."""


class ArmConfig(ConfigModel):
    """What a run of an arm differs in from the others."""

    method: str
    """Preset."""
    guidance: PlainMapping = Field(default_factory=dict)
    """Changes to the preset's blocks."""
    trainer: PlainMapping = Field(default_factory=dict)
    """Changes to the trainer fields of ``run``."""
    texts: Literal["hard", "all"] = "hard"
    """Which problems bring a text: hard ones the expert's; with ``all`` the other problems too,
    their right solution in the policy's own style, so that supervised arms see the same batch."""
    rate_of: Name | None = None
    """Arm whose selected learning rate is used. null: its own."""
    rate: Rate | None = None
    """Learning rate. null: found by the sweep."""
    first: FirstStageConfig | None = None
    """Stage before this one."""
    test_steps: Many[Positive] = ()
    """Optimiser steps after which the policy is tested besides the end."""

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if self.rate is not None and self.rate_of is not None:
            raise ValueError(
                f"an arm has rate {self.rate} and rate_of {self.rate_of!r}; give it one of them"
            )
        return self


class ProblemMixConfig(ConfigModel):
    """Shares of a training set; the rest are problems of the general abilities."""

    hard: Share
    """Share of hard problems."""
    easy: Share = 0.0
    """Share of easy problems of the same domain."""
    easy_levels: Many[Positive] = ()
    """Steps of the easy problems, in equal parts. Empty: all easy levels."""
    wrong_experts: Share = 0.0
    """Share of expert texts with a wrong step, carried on to the answer."""
    rewriting: Share = 0.0
    """Share of hard problems that are asked with the expert's text, as a rewrite is: what is
    trained on them is rewriting itself."""
    against: Name | None = None
    """Protocol whose runs of the baseline its own are compared with. null: itself."""

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        if self.hard + self.easy > 1:
            raise ValueError(
                f"hard {self.hard} and easy {self.easy} are more than 1 together; lower one of them"
            )
        return self


class SweepConfig(ConfigModel):
    """How each arm gets its learning rate."""

    learning_rates: Annotated[Many[Rate], Field(min_length=2)]
    """Rates tried for every arm, in rising order, each ``factor`` times the one before."""
    factor: Annotated[float, Field(gt=1.0)] = 2.0
    """Step to a further rate where the choice lies at an edge."""
    extensions: Annotated[int, Field(ge=0)] = 2
    """Most further rates at each end."""
    seed: Seed
    """Seed of the sweep's runs; no seed of the study's own."""
    retention_loss: Share = 0.05
    """Most that a selected rate may cost: accuracy on easy and general problems, base minus arm."""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        rates = self.learning_rates
        if list(rates) != sorted(set(rates)):
            raise ValueError(f"learning_rates are {list(rates)}; write them in rising order")
        return self


class OrderConfig(ConfigModel):
    """One entry of the ranked order: cells of some conditions, seed after seed."""

    kind: Literal["sweep", "main", "free"]
    """sweep: find the rates. main: at the rate selected. free: at the rate of the highest
    validation accuracy on hard problems whatever it costs, where that is another one."""
    protocols: Annotated[Many[Name], Field(min_length=1)]
    """Training sets, by their names under ``protocols``."""
    experts: Annotated[Many[Expert], Field(min_length=1)]
    """Distances of the expert. An arm that looks at no expert has one run for all of them."""
    rewriters: Many[Rewriter] = ("good",)
    """Starting policies: those that rewrite well, or poorly. Rates are swept with good ones."""
    arms: Annotated[Many[Name], Field(min_length=1)]
    """Arms, by their names under ``arms``; ``base`` for the starting policies."""
    seeds: Annotated[int, Field(ge=0)] = 0
    """Number of seeds; ``sweep`` has its own."""
    first_seed: Seed = 0
    """First of the seeds."""


class StudyConfig(ConfigModel):
    """A study: what is run, with what, and in which order."""

    name: Name
    """How records call it."""
    family: TaskFamily = "chain"
    """Task family of the hard and easy problems, and of the starting policies. The benchmarks name
    the same one: ``lab:hard`` and ``lab:easy`` are of chains, ``lab:ab-hard`` ... of the other."""
    pretraining_seeds: Annotated[Many[Seed], Field(min_length=1)]
    """Seeds of the starting policies; the run of seed s starts from number s modulo their count.
    0 is the shipped one of chains; all others are made in the folder of the study."""
    problems: Positive
    """Problems of a training set; one epoch is ``run.trainer.max_steps`` steps."""
    protocols: dict[Name, ProblemMixConfig]
    """Training sets by name."""
    run: PlainMapping
    """A run configuration without ``method``, ``data`` and ``model``."""
    validation: Annotated[Many[BenchmarkConfig], Field(min_length=1)]
    """Benchmarks during training, by which rates are selected: ``hard``, ``easy``, ``general``."""
    test: Annotated[Many[BenchmarkConfig], Field(min_length=1)]
    """Benchmarks of the policies that count: ``hard``, ``easy``, ``general``."""
    trained_problems: Positive = 100
    """Hard problems of the training set that are asked again afterwards (utilisation)."""
    trained_samples: Annotated[int, Field(gt=0, le=MOST_SAMPLES)] = 8
    """Samples of each."""
    arms: dict[Name, ArmConfig]
    """Arms by name."""
    sweep: SweepConfig | None = None
    """How learning rates are found. null: every arm has one."""
    baseline: Name | None = None
    """Arm that the others are compared with, seed by seed."""
    order: Annotated[Many[OrderConfig], Field(min_length=1)]
    """Ranked: what comes first matters most. A cell that occurs again is run once."""

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        asked = [(name, "protocols") for entry in self.order for name in entry.protocols]
        asked += [(name, "arms") for entry in self.order for name in entry.arms]
        asked += [(self.baseline, "arms")] if self.baseline else []
        asked += [(mix.against, "protocols") for mix in self.protocols.values() if mix.against]
        for arm in self.arms.values():
            asked += [(arm.rate_of, "arms")] if arm.rate_of else []
            asked += [(arm.first.arm, "arms")] if arm.first else []
        known = {"protocols": {*self.protocols}, "arms": {*self.arms, BASE_ARM}}
        unknown = sorted({f"{name} ({of})" for name, of in asked if name not in known[of]})
        if unknown:
            raise ValueError(
                f"the order or an arm names {', '.join(unknown)}, not described here; describe it "
                "there, or name one of those that are"
            )
        if BASE_ARM in self.arms:
            raise ValueError(f"{BASE_ARM!r} is the starting policy; give that arm another name")
        return self

    @model_validator(mode="after")
    def _comparisons_are_made(self) -> Self:
        lone = sorted(name for name, mix in self.protocols.items() if mix.against)
        if lone and self.baseline is None:
            raise ValueError(
                f"protocols {', '.join(lone)} are against another and the study has no baseline "
                "whose runs could be compared; give it one, or leave against out"
            )
        return self

    @model_validator(mode="after")
    def _rates_are_found(self) -> Self:
        swept = sorted(n for n, arm in self.arms.items() if arm.rate is None and not arm.rate_of)
        if swept and self.sweep is None:
            raise ValueError(
                f"arms {', '.join(swept)} have no rate and the study no sweep to find one; give "
                "each arm a rate, or the study a sweep"
            )
        asked = {name for entry in self.order if entry.kind == "sweep" for name in entry.arms}
        fixed = sorted(asked - {*swept})
        if fixed:
            raise ValueError(
                f"the order sweeps {', '.join(fixed)}, whose rate is given; take them out of the "
                "entries of kind sweep"
            )
        return self

    @model_validator(mode="after")
    def _benchmarks_are_three(self) -> Self:
        for field in ("validation", "test"):
            names = [benchmark.name for benchmark in getattr(self, field)]
            if sorted(names) != ["easy", "general", "hard"]:
                raise ValueError(
                    f"{field} has {', '.join(names)}; required: hard, easy and general, each once; "
                    "do this: name three benchmarks so"
                )
        self._check_family()
        most = max(benchmark.samples_per_problem for benchmark in self.test)
        if most > MOST_SAMPLES:
            raise ValueError(
                f"test has {most} samples per problem; required: at most {MOST_SAMPLES}, since "
                "summaries keep one digit for each problem; do this: lower samples_per_problem"
            )
        return self

    def _check_family(self) -> None:
        prefix = "" if self.family == "chain" else f"{self.family}-"
        for benchmark in (*self.validation, *self.test):
            path = benchmark.data.path
            right = f"lab:{prefix}{benchmark.name}"
            if benchmark.name != "general" and path.startswith("lab:") and path != right:
                raise ValueError(
                    f"benchmark {benchmark.name} has {path} and the study's family is "
                    f"{self.family!r}; required: {right}: name it, or set family"
                )
