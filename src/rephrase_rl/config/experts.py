"""Sampling of expert solutions from a teacher, as a user's YAML file describes it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rephrase_rl.config.base import ConfigModel, Many, PlainMapping
from rephrase_rl.config.data import DataConfig, Positive
from rephrase_rl.config.endpoint import EndpointConfig
from rephrase_rl.config.evaluation import Fraction
from rephrase_rl.config.schema import ModelConfig, PromptsConfig

DATASET_SUFFIXES = (".jsonl", ".parquet")


class EndpointTeacher(EndpointConfig):
    """A teacher behind an OpenAI-compatible endpoint."""

    kind: Literal["endpoint"] = "endpoint"
    """Which kind of teacher."""


class ModelTeacher(ModelConfig):
    """A teacher on this machine."""

    kind: Literal["model"] = "model"
    """Which kind of teacher."""
    batch_size: Positive = 64
    """Completions sampled at a time."""
    chat_template_kwargs: PlainMapping = Field(default_factory=dict)
    """Passed to the chat template, such as ``enable_thinking``."""


class ExpertsConfig(ConfigModel):
    """Expert solutions: sampled once from a teacher, verified, and the best of n kept."""

    data: Annotated[Many[DataConfig], Field(min_length=1)]
    """Problems; expert solutions that they already have are not looked at."""
    teacher: Annotated[EndpointTeacher | ModelTeacher, Field(discriminator="kind")]
    """Who solves them: ``{kind: endpoint, ...}`` or ``{kind: model, path: ...}``."""
    output: str
    """Data set to write, ``.jsonl`` or ``.parquet``, in the canonical columns. All samples are kept
    beside it (``.samples.jsonl``), and an endpoint's replies (``.replies.jsonl``) unless
    ``teacher.cache`` names another file."""
    samples_per_problem: Positive = 4
    """Solutions sampled for each problem, n of best-of-n."""
    choose: Literal["first", "shortest", "most_likely"] = "first"
    """Which of several correct samples is kept: the first, the one with the fewest tokens, or the
    one with the highest mean log-prob per token under the teacher."""
    temperature: Annotated[float, Field(ge=0.0)] | None = 1.0
    """Sampling temperature. null: left to the endpoint, for models that refuse one."""
    top_p: Fraction | None = 1.0
    """Nucleus of the sampling. null: left to the endpoint."""
    max_new_tokens: Positive = 2048
    """Length limit of a sample in tokens; what is cut off there is never kept."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of a teacher on this machine; endpoints are not sent one."""
    prompts: PromptsConfig = PromptsConfig()
    """How the teacher is asked: the solve template and the style."""
    verifier: str | None = None
    """Verifier by name or import path. null: the one of each problem's task kind."""
    verifier_options: PlainMapping = Field(default_factory=dict)
    """Keyword arguments of the verifier."""
    failure_reward_threshold: float = 0.5
    """A sample with a reward below it is not correct."""
    keep_unsolved: bool = False
    """Write problems without a correct sample too, with expert_solution null."""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if not self.output.endswith(DATASET_SUFFIXES):
            raise ValueError(
                f"found output {self.output!r}; required: a file that ends in "
                f"{' or '.join(DATASET_SUFFIXES)}; do this: rename it"
            )
        if self.teacher.kind == "model" and None in (self.temperature, self.top_p):
            raise ValueError(
                "found temperature or top_p null with a teacher on this machine; required: "
                "numbers; do this: write 1.0 for the model's own distribution"
            )
        if self.temperature == 0 and self.samples_per_problem > 1:
            raise ValueError(
                f"found {self.samples_per_problem} samples per problem at temperature 0, which are "
                "all the same; required: one, or a temperature above 0; do this: change either"
            )
        if self.verifier is None and self.verifier_options:
            raise ValueError(
                "found verifier_options without a verifier; required: its name; do this: add "
                "`verifier`"
            )
        return self
