"""The configuration of one run, as a user's YAML file has it.

Plain validated data: components never see it, ``rephrase_rl.assembly`` turns it into objects.
Fields come in the order in which people set them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from rephrase_rl.config.base import ConfigModel, Many, PlainMapping

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""Used as a folder name in run directories, hence letters, digits and ``._-`` only."""


def _require_unique(field: str, values: list[str]) -> None:
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(
            f"{field} {', '.join(repeated)} occurs more than once; give every item its own {field}"
        )


class ModelConfig(ConfigModel):
    """The policy to start from."""

    path: Annotated[str, Field(min_length=1)]
    """A Hugging Face hub id, a local folder, or ``lab:base`` for the policy shipped here."""
    revision: str | None = None
    """Branch, tag or commit on the hub. null: the main branch; name a commit to repeat a run."""
    dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    """Number format of the weights. auto: the one they are stored in, often bfloat16, in which
    steps as small as the paper's 1e-6 are lost to rounding; ``trainer.bf16`` makes the arithmetic
    fast and keeps the weights exact."""
    gguf_file: str | None = None
    """Name of a GGUF file in the folder, to be de-quantised on loading."""


class DataConfig(ConfigModel):
    """One set of problems."""

    path: Annotated[str, Field(min_length=1)]
    """A file (.jsonl, .jsonl.gz, .json, .parquet), a local folder or hub id of a Hugging Face
    dataset, or ``lab:hard``, ``lab:easy``, ``lab:general``, ``lab:mixed``."""
    name: Name = "data"
    """How records and reports call it; needed if there are several."""
    mapping: str = "canonical"
    """Which column is what: canonical, gsm8k, trl. The lab ignores it."""
    config_name: str | None = None
    """Configuration of a dataset that has several, such as ``main`` of openai/gsm8k. A single
    file has none."""
    split: str = "train"
    """Split of a Hugging Face dataset or of the lab. A single file is one split: its whole
    content is read."""
    revision: str | None = None
    """Branch, tag or commit on the hub. null: the main branch."""
    limit: Positive | None = None
    """Number of problems, from the start. null: all of them (the lab: its default number)."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the lab's problem generator; other sources are read in their own order."""
    expert: Literal["alien", "near"] = "alien"
    """Style of the lab's expert; other sources bring their own."""


class TestDataConfig(DataConfig):
    """Problems to be evaluated on: the test split unless another one is named."""

    __test__ = False  # pytest would take the class name for a test case

    split: str = "test"
    """Split of a Hugging Face dataset or of the lab; never the training split by default."""


class PromptsConfig(ConfigModel):
    """Ids of the prompt templates."""

    solve: str | None = None
    """Template that asks for a solution. null: the default of the problems' task kind."""
    rephrase: str | None = None
    """Template P(q, k) that asks for a rewrite. null: the default of the task kind."""
    rationale: str | None = None
    """Template that shows the answer and asks for the way to it. null: the task kind's default."""
    refine: str | None = None
    """Template that shows a failed attempt. null: the task kind's default."""


class RewardConfig(ConfigModel):
    """One verifier and its weight in the reward."""

    verifier: str
    """Name of the verifier: all_of, choice, exact, format, gated, length, math, number, rouge_l,
    text_exact, text_f1; or ``package.module:name`` or ``path/to/file.py:name`` of a verifier class,
    or of a function (completion, reference_answer) -> reward."""
    weight: float = 1.0
    """Factor of its verdict (0 to 1 for the shipped verifiers) in the total reward."""
    options: PlainMapping = Field(default_factory=dict)
    """Keyword arguments of the verifier, such as ``timeout_s``."""


class BenchmarkConfig(ConfigModel):
    """One evaluation: problems and the protocol they are sampled with."""

    name: Name
    """How results call it."""
    data: TestDataConfig
    """The problems; not those trained on."""
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


class EvaluationConfig(ConfigModel):
    """When to evaluate, and on what. The policy at the end is always evaluated."""

    every_steps: Positive | None = None
    """Optimiser steps between evaluations during training. null: none in between."""
    before: bool = False
    """Evaluate the starting policy too."""
    benchmarks: Many[BenchmarkConfig] = ()
    """What to evaluate on; none by default."""

    @field_validator("benchmarks")
    @classmethod
    def _names_once(cls, benchmarks: tuple[BenchmarkConfig, ...]) -> tuple[BenchmarkConfig, ...]:
        _require_unique("name", [benchmark.name for benchmark in benchmarks])
        return benchmarks


class LogConfig(ConfigModel):
    """What a run directory keeps beyond the figures of each step."""

    groups: Literal["all", "open", "none"] = "all"
    """Which groups go to ``groups.jsonl`` with their texts: all, those with an open gate, none."""


class ComputeConfig(ConfigModel):
    """How a step is computed: choices that change its cost and not what is learned."""

    sampler: Literal["auto", "shared_prefix", "generate"] = "auto"
    """shared_prefix: one pass over each prompt for all its completions, and finished rows leave.
    auto: that on CPUs, where it was measured to be faster, if the model allows it; else generate,
    or vLLM where trainer.use_vllm says so."""
    forward: Literal["auto", "packed", "plain"] = "auto"
    """packed: log-probs from one pass over each prompt for all its completions. auto: that on CPUs,
    where it was measured to be faster, if the model allows it; else plain."""
    skip_untrained: bool = True
    """Leave rows of advantage 0 out of the forward pass where nothing else gives them a gradient.
    TRL's own figures of that pass, such as entropy, are then of the other rows."""


class RunConfig(ConfigModel):
    """One training run of any method."""

    method: str
    """Preset to start from, such as ``repo`` or ``grpo``; ``rephrase-rl methods`` lists them."""
    model: ModelConfig
    """The policy to start from."""
    init_from: Annotated[str, Field(min_length=1)] | None = None
    """Run directory, checkpoint folder or hub id of a policy to start from in place of
    ``model.path``: of a run its final policy, as for RL after supervised fine-tuning. Its tokenizer
    is used too; ``model.dtype`` stays, ``model.revision`` and ``model.gguf_file`` have no say."""
    data: Annotated[Many[DataConfig], Field(min_length=1)]
    """Training problems; several sets are put one after the other."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the run, from which every other seed is derived."""
    output_dir: str | None = None
    """Run directory. null: ``runs/<name of the configuration file>``."""
    prompts: PromptsConfig = PromptsConfig()
    """Ids of the prompt templates."""
    rewards: Many[RewardConfig] = ()
    """Verifiers and weights. Empty: the verifier of the problems' task kind, weight 1."""
    guidance: PlainMapping = Field(default_factory=dict)
    """Changes to the preset's blocks, a part of GuidanceConfig: ``gate: {kind: never}``."""
    trainer: PlainMapping = Field(default_factory=dict)
    """Fields of TRL's GRPOConfig by their own names, such as ``learning_rate``."""
    compute: ComputeConfig = ComputeConfig()
    """How a step is computed."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """When to evaluate, and on what."""
    log: LogConfig = LogConfig()
    """What the run directory keeps."""

    @field_validator("data")
    @classmethod
    def _data_names_once(cls, data: tuple[DataConfig, ...]) -> tuple[DataConfig, ...]:
        _require_unique("name", [item.name for item in data])
        return data

    @field_validator("rewards")
    @classmethod
    def _verifiers_once(cls, rewards: tuple[RewardConfig, ...]) -> tuple[RewardConfig, ...]:
        _require_unique("verifier", [reward.verifier for reward in rewards])
        return rewards

    @field_validator("guidance")
    @classmethod
    def _correctness_is_named(
        cls, guidance: dict[str, Any], info: ValidationInfo
    ) -> dict[str, Any]:
        """With several rewards, the one that decides failure is the user's choice, not ours."""
        names = [reward.verifier for reward in info.data.get("rewards", ())]
        correctness = guidance.get("correctness")
        if correctness is None and len(names) > 1:
            raise ValueError(
                "guidance.correctness has to name the reward that decides failure if there are "
                f"several; write one of: {', '.join(names)}"
            )
        if correctness is not None and names and correctness not in names:
            raise ValueError(
                f"guidance.correctness is {correctness!r}, which is not among the rewards; write "
                f"one of: {', '.join(names)}"
            )
        return guidance
