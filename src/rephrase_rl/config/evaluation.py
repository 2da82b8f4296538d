"""Benchmarks, the protocol they are sampled with, and what evaluations in training decide."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from rephrase_rl.config.base import ConfigModel, Many, PlainMapping
from rephrase_rl.config.data import (
    Column,
    MappingField,
    Name,
    Positive,
    TestDataConfig,
)

Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
Text = Annotated[str, Field(min_length=1)]


def require_unique(field: str, values: list[str]) -> None:
    """Refuse a value that several items have.

    Raises:
        ValueError: With all such values.
    """
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(
            f"{field} {', '.join(repeated)} occurs more than once; give every item its own {field}"
        )


class JudgeConfig(ConfigModel):
    """One verifier."""

    verifier: str
    """Name of the verifier: all_of, choice, exact, first_of, format, gated, judge, length, math,
    number, rouge_l, text_exact, text_f1; or ``package.module:name`` or ``path/to/file.py:name`` of
    a verifier class, or of a function (completion, reference_answer) -> reward."""
    options: PlainMapping = Field(default_factory=dict)
    """Keyword arguments of the verifier, such as ``timeout_s``."""


class ProtocolConfig(ConfigModel):
    """How completions are sampled to be evaluated, and of how many problems."""

    samples_per_problem: Positive = 1
    """Completions for each problem, K of avg@K and pass@K."""
    temperature: Annotated[float, Field(ge=0.0)] = 1.0
    """Sampling temperature. 0: greedy."""
    top_p: Fraction = 1.0
    """Nucleus of the sampling."""
    max_new_tokens: Positive = 256
    """Length limit of a completion in tokens; what is cut off there is counted as truncated."""
    limit: Positive | None = None
    """Number of problems, from the start of the data. null: all of them."""


class LayoutConfig(ConfigModel):
    """One way in which copies of a benchmark are laid out."""

    columns: Annotated[Many[Column], Field(min_length=1)]
    """Columns, or paths into nested ones, that have to be there; the first layout whose columns are
    all there is taken."""
    mapping: MappingField
    """Which of them is what; as ``data.mapping``."""


class BenchmarkPromptConfig(ConfigModel):
    """How a benchmark asks: a template by its id, or a text of its own."""

    template: Text | None = None
    """Id of a solve template, such as ``math-solve-v1``."""
    text: Text | None = None
    """Text of the user's turn, with ``{question}`` where the question goes."""
    system: Text | None = None
    """System turn that goes with ``text``. null: none."""

    @model_validator(mode="after")
    def _one_of_both(self) -> BenchmarkPromptConfig:
        if (self.template is None) == (self.text is None):
            given = "neither template nor text" if self.text is None else "template and text"
            raise ValueError(
                f"found {given}; required: either template or text; write one of them (a template "
                "brings its own system turn)"
            )
        if self.template is not None and self.system is not None:
            raise ValueError(
                "found system beside template, which brings its own system turn; leave system out"
            )
        places = (self.text or "").count("{question}")
        if self.text is not None and places != 1:
            raise ValueError(
                f"found {{question}} {places} times in text; required: exactly once; write it "
                "where the question goes"
            )
        return self


class BenchmarkConfig(ProtocolConfig):
    """One evaluation: problems and the protocol they are sampled with."""

    name: Name
    """How results call it."""
    data: TestDataConfig
    """The problems; not those trained on."""
    judge: JudgeConfig | None = None
    """The verifier. null: of the run's ``rewards`` the one that decides failure; without these the
    task kind's own."""
    prompt: BenchmarkPromptConfig | None = None
    """How it asks. null: as the run does; without a run the task kind's default template."""
    ks: Annotated[Many[Positive], Field(min_length=1)] | None = None
    """k of each pass@k, pass^k and maj@k. null: 1 and ``samples_per_problem``."""
    subject: Column | None = None
    """Key of the problems' metadata by whose values avg@k is told apart. null: not told apart."""
    difficulty: Column | None = None
    """Likewise, for how hard problems are."""
    expected_rows: Positive | None = None
    """Problems that the whole benchmark has; another number is refused. null: any number."""
    subset: bool = False
    """Whether another number of problems than ``expected_rows`` is meant; results say so."""
    layouts: Many[LayoutConfig] = ()
    """How its copies are laid out, if ``data.mapping`` is canonical. Empty: ``data.mapping``."""
    title: Text | None = None
    """What people call it."""
    source: Text | None = None
    """Where it comes from."""
    licence: Text | None = None
    """Under which terms, as its source states them."""

    @model_validator(mode="after")
    def _ks_can_be_estimated(self) -> BenchmarkConfig:
        if self.ks is not None and max(self.ks) > self.samples_per_problem:
            raise ValueError(
                f"ks has {max(self.ks)}, and samples_per_problem is {self.samples_per_problem}; "
                "required: k up to that number; draw more samples or leave it out"
            )
        return self


class SetEvaluationConfig(ProtocolConfig):
    """Evaluation of a training set on problems of its kind that are not trained on."""

    path: Annotated[str, Field(min_length=1)] | None = None
    """Where they are. null: the training set's own path, which then needs another split; a single
    file has none, so it needs another file."""
    split: str = "test"
    """Split of a Hugging Face dataset or of the lab."""


class EarlyStopConfig(ConfigModel):
    """End training when a benchmark no longer gets better."""

    benchmark: Name
    """By whose avg@k."""
    patience: Positive = 3
    """Evaluations in a row without a new best after which training ends."""
    min_gain: Annotated[float, Field(ge=0.0)] = 0.0
    """How much more than the best so far counts as better, in avg@k."""


class RetentionConfig(ConfigModel):
    """Raise an alarm when what the policy could do before is lost."""

    benchmarks: Annotated[Many[Name], Field(min_length=1)]
    """Each is compared with the starting policy's avg@k, hence ``evaluation.before: true``."""
    max_drop: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    """How far avg@k may fall, as an absolute difference: 0.02 from 0.90 is 0.88."""
    stop: bool = False
    """Whether training ends with the alarm."""


class EvaluationConfig(ConfigModel):
    """When to evaluate, and on what. The policy at the end is always evaluated."""

    every_steps: Positive | None = None
    """Optimiser steps between evaluations during training. null: none in between."""
    before: bool = False
    """Evaluate the starting policy too."""
    benchmarks: Many[BenchmarkConfig] = ()
    """What to evaluate on; none by default. A declared benchmark by its name, such as ``math500``,
    or with changes, ``{like: math500, limit: 100}``; or all fields of one's own."""

    early_stop: EarlyStopConfig | None = None
    """When training ends before its last step. null: never."""
    keep_best: Name | None = None
    """Benchmark by whose avg@k the best policy evaluated in training is kept in
    ``checkpoints/best``; policies with a retention alarm are passed over. null: none is kept."""
    retention: RetentionConfig | None = None
    """What must not be forgotten. null: nothing is watched."""

    @property
    def watched(self) -> dict[str, tuple[str, ...]]:
        """Benchmarks by the rule that looks at them."""
        rules = {
            "early_stop.benchmark": self.early_stop and (self.early_stop.benchmark,),
            "keep_best": self.keep_best and (self.keep_best,),
            "retention.benchmarks": self.retention and self.retention.benchmarks,
        }
        return {rule: names for rule, names in rules.items() if names}

    @model_validator(mode="after")
    def _rules_have_evaluations(self) -> EvaluationConfig:
        if self.watched and self.every_steps is None:
            raise ValueError(
                f"{', '.join(self.watched)} need evaluations during training; set "
                "evaluation.every_steps"
            )
        if self.retention is not None and not self.before:
            raise ValueError(
                "found retention with before: false; it compares with the starting policy; "
                "set evaluation.before to true"
            )
        return self

    @field_validator("benchmarks")
    @classmethod
    def _names_once(cls, benchmarks: tuple[BenchmarkConfig, ...]) -> tuple[BenchmarkConfig, ...]:
        require_unique("name", [benchmark.name for benchmark in benchmarks])
        return benchmarks
