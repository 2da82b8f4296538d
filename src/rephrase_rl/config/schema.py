"""The configuration of one run, as a user's YAML file has it.

Plain validated data: components never see it, ``rephrase_rl.assembly`` turns it into objects.
Fields come in the order in which people set them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from rephrase_rl.config.base import ConfigModel, Many, PlainMapping
from rephrase_rl.config.blocks.gates import Gate  # noqa: TC001
from rephrase_rl.config.data import DataConfig, Positive
from rephrase_rl.config.evaluation import (
    EvaluationConfig,
    JudgeConfig,
    SetEvaluationConfig,
    require_unique,
)
from rephrase_rl.config.lora import LoraConfig
from rephrase_rl.config.plan import PlanConfig
from rephrase_rl.config.verl import VerlConfig


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
    trust_remote_code: bool = False
    """Whether Python code that comes with the model is run, with all your rights. Read it first,
    and name a commit in ``revision``. vLLM has ``trainer.trust_remote_code`` for itself."""


class PolicyConfig(ModelConfig):
    """The policy to start from, and which of its weights are trained."""

    lora: LoraConfig | None = None
    """Adapters that are trained in the place of the weights. null: all weights are trained.
    ``{}``: adapters as the fields' defaults have them. They want a higher rate (docs/lora.md)."""
    load_in_4bit: bool = False
    """Hold the weights that stay as they are in 4 bits (QLoRA: NF4 by bitsandbytes, products in
    bfloat16). Needs ``lora``, an NVIDIA GPU and the extra ``qlora``."""

    @field_validator("load_in_4bit")
    @classmethod
    def _four_bits_are_not_trained(cls, four_bits: bool, info: ValidationInfo) -> bool:
        if four_bits and info.data.get("lora", four_bits) is None:
            raise ValueError(
                "found true without lora; weights in 4 bits cannot be trained themselves: add "
                "lora: {r: 16}, or set it to false"
            )
        if four_bits and info.data.get("gguf_file") is not None:
            raise ValueError(
                "found true with gguf_file, whose weights are quantised already; name a folder "
                "with safetensors, or set it to false"
            )
        return four_bits


class PromptsConfig(ConfigModel):
    """How the policy is asked: a style, or prompt templates.

    A template is the id of a published one, or a text of the user's own with ``{question}`` in it.
    """

    style: Literal["plain", "think"] = "plain"
    """Style of the task kind's default templates. plain: reason, then the answer. think: reason
    inside ``<think>``, then a short answer. A template named below has a style of its own."""
    solve: str | None = None
    """Template that asks for a solution. null: the default of the problems' task kind."""
    rephrase: str | None = None
    """Template P(q, k) that asks for a rewrite; a text of one's own has ``{expert_solution}`` too.
    null: the default of the task kind."""
    rationale: str | None = None
    """Template that shows the answer (``{reference_answer}``) and asks for the way to it. null: the
    task kind's default."""
    refine: str | None = None
    """Template that shows a failed attempt (``{attempt}``), and the expert's text where the source
    does. null: the task kind's default."""


class RewardConfig(JudgeConfig):
    """One verifier and its weight in the reward."""

    weight: float = 1.0
    """Factor of its verdict (0 to 1 for the shipped verifiers) in the total reward."""


class TrainDataConfig(DataConfig):
    """One set of problems to be trained on, and its place in a mixture."""

    weight: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    """Share of the drawn problems, in proportion to the other sets' weights; all sets have one or
    none has. Small sets come again until the last set was drawn whole. null: the sets follow one
    another."""
    rewards: Many[RewardConfig] = ()
    """Verifiers of this set. Empty: the run's ``rewards``; without these the task kind's own."""
    correctness: str | None = None
    """Which of several verifiers of this set decides failure. null: ``guidance.correctness``."""
    gate: Gate | None = None
    """Gate of this set, ``{kind: never}`` for none. null: ``guidance.gate``."""
    evaluate: SetEvaluationConfig | None = None
    """A benchmark under the set's name, judged by the set's verifier: what shows that an ability is
    kept. null: none."""

    @field_validator("rewards")
    @classmethod
    def _verifiers_once(cls, rewards: tuple[RewardConfig, ...]) -> tuple[RewardConfig, ...]:
        require_unique("verifier", [reward.verifier for reward in rewards])
        return rewards

    @field_validator("correctness")
    @classmethod
    def _correctness_is_a_reward(cls, correctness: str | None, info: ValidationInfo) -> str | None:
        names = [reward.verifier for reward in info.data.get("rewards", ())]
        if correctness is not None and correctness not in names:
            raise ValueError(
                f"found {correctness!r}, which is not among the set's rewards "
                f"({', '.join(names) or 'it has none'}); name one of them"
            )
        return correctness


class LogConfig(ConfigModel):
    """What a run directory keeps beyond the figures of each step."""

    groups: Literal["all", "open", "none"] = "all"
    """Which groups go to ``groups.jsonl`` with their texts: all, those with an open gate, none."""
    token_logps: Literal["accepted", "all", "none"] = "accepted"  # noqa: S105  (no key)
    """Which candidates keep the log-probs of their tokens given q and given P(q, k), for the heat
    map of the report; about 30 bytes a token in ``groups.jsonl``."""


class ComputeConfig(ConfigModel):
    """How a step is computed: choices that change its cost and not what is learned."""

    sampler: Literal["auto", "shared_prefix", "generate"] = "auto"
    """shared_prefix: one pass over each prompt for all its completions, and finished rows leave.
    auto: that on CPUs, where it was measured to be faster, if the model allows it; else generate,
    or vLLM where trainer.use_vllm says so."""
    forward: Literal["auto", "packed", "plain"] = "auto"
    """packed: log-probs from one pass over each prompt for all its completions. auto: that on CPUs,
    where it was measured to be faster, if the model allows it; else plain."""
    tokens_per_pass: Positive | Literal["auto"] | None = "auto"  # noqa: S105  (no key)
    """Most tokens of a forward and backward pass, prompts and padding included: a micro-batch of
    more rows is computed in parts, longest first, whose gradients add up to the same. auto: 4096 on
    CPUs, if the loss type allows it; null: never."""
    skip_untrained: bool = True
    """Leave rows of advantage 0 out of the forward pass where nothing else gives them a gradient.
    TRL's own figures of that pass, such as entropy, are then of the other rows."""


class GuardsConfig(ConfigModel):
    """When a run that goes wrong is stopped or spoken of; it changes nothing in one that goes."""

    refused_in_a_row: Positive = 3
    """A step whose loss or gradient is not finite is refused: no weight changes, and its inputs go
    to ``refused/`` in the run directory. After so many in a row the run stops."""
    hang_limit_s: Annotated[float, Field(gt=0.0)] | None = 1500.0
    """Seconds that a part of a step (sampling and judging; a micro-batch) may take. Then the
    process prints what every thread does and ends. Below ``trainer.ddp_timeout`` (1800), or only
    those that wait are heard of. null: never."""
    constant_reward_steps: Positive | None = 10
    """Steps after which a reward that never differed is warned of. null: never."""


class RunConfig(ConfigModel):
    """One training run of any method."""

    method: str
    """Preset to start from, such as ``repo`` or ``grpo``; ``rephrase-rl methods`` lists them."""
    model: PolicyConfig
    """The policy to start from."""
    init_from: Annotated[str, Field(min_length=1)] | None = None
    """Run directory, checkpoint folder or hub id of a policy to start from in place of
    ``model.path``: of a run its final policy, as for RL after supervised fine-tuning. Its tokenizer
    is used too; ``model.dtype`` stays, ``model.revision`` and ``model.gguf_file`` have no say. An
    adapter is trained on where ``model.lora`` is set, and merged where not."""
    data: Annotated[Many[TrainDataConfig], Field(min_length=1)]
    """Training problems; several sets are put one after the other, or mixed by their weights."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the run, from which every other seed is derived."""
    output_dir: str | None = None
    """Run directory. null: ``runs/<name of the configuration file>``."""
    prompts: PromptsConfig = PromptsConfig()
    """How the policy is asked."""
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
    guards: GuardsConfig = GuardsConfig()
    """When a run that goes wrong is stopped or spoken of."""
    plan: PlanConfig = PlanConfig()
    """What ``rephrase-rl plan`` assumes; training does not read it."""
    verl: VerlConfig = VerlConfig()
    """Where and how ``train --engine verl`` trains; nothing else reads it."""

    @field_validator("data")
    @classmethod
    def _data_fits_together(cls, data: tuple[TrainDataConfig, ...]) -> tuple[TrainDataConfig, ...]:
        require_unique("name", [item.name for item in data])
        without = [item.name for item in data if item.weight is None]
        if 0 < len(without) < len(data):
            raise ValueError(
                f"found no weight of {', '.join(without)}, and weights of the other sets; give "
                "every set a weight, or none"
            )
        return data

    @field_validator("rewards")
    @classmethod
    def _verifiers_once(cls, rewards: tuple[RewardConfig, ...]) -> tuple[RewardConfig, ...]:
        require_unique("verifier", [reward.verifier for reward in rewards])
        return rewards

    @field_validator("evaluation")
    @classmethod
    def _evaluations_once(cls, evaluation: EvaluationConfig, info: ValidationInfo) -> Any:
        own = [data.name for data in info.data.get("data", ()) if data.evaluate is not None]
        names = [*own, *(b.name for b in evaluation.benchmarks)]
        require_unique("name", names)
        for rule, watched in evaluation.watched.items():
            unknown = [name for name in watched if name not in names]
            if unknown:
                raise ValueError(
                    f"{rule} names {', '.join(unknown)}, which is not evaluated; write one of: "
                    f"{', '.join(names) or '(there is no benchmark)'}"
                )
        return evaluation

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
                f"found {len(names)} rewards and no guidance.correctness; required: the one that "
                f"decides failure; write one of: {', '.join(names)}"
            )
        if correctness is not None and names and correctness not in names:
            raise ValueError(
                f"guidance.correctness is {correctness!r}, which is not among the rewards; write "
                f"one of: {', '.join(names)}"
            )
        return guidance
