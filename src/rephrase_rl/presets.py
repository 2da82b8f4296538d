"""Presets: each method as data over the same five blocks.

A preset is what ``method: NAME`` in a configuration stands for; every field of it can be overridden
under ``guidance:`` and ``trainer:``. ``docs/methods.md`` explains each with its formula.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Preset:
    """One method: its blocks, what it differs in from the trainer's defaults, and its source."""

    name: str
    summary: str
    """One sentence."""
    paper: str
    """arXiv id and section of the method."""
    blocks: Mapping[str, Any]
    """A part of ``GuidanceConfig``; what is missing has that model's default."""
    trainer: Mapping[str, Any]
    """Fields of TRL's ``GRPOConfig`` in which the method differs from ``TRAINER_DEFAULTS``."""
    deviations: tuple[str, ...]
    """Where ours is known to differ from the paper or its code, one sentence each."""


NO_GUIDANCE: Mapping[str, Any] = {
    "gate": {"kind": "never"},
    "source": {"kind": "none"},
    "accept": [],
}
ALL_FAILED: Mapping[str, Any] = {"kind": "failed_share", "gate_failure_fraction": 1.0}
OWN_WORDS = ["reward_above_replaced", "finished", "no_meta_text"]
"""What a text that the policy wrote with help must be before it may enter."""
LUFFY_LOSS: Mapping[str, Any] = {"loss_type": "dr_grpo", "entropy_coef": 0.001}
"""Constant length in the denominator, entropy bonus; beside ``advantages.scale: none``."""
NO_CLIP: Mapping[str, Any] = {"epsilon": 1e9}
"""A range that no ratio leaves."""

GRPO = Preset(
    name="grpo",
    summary="Group-relative policy optimisation; no expert knowledge enters.",
    paper="arXiv:2402.03300, section 4.1",
    blocks=NO_GUIDANCE,
    trainer={},
    deviations=(
        "Token mean over the batch and no KL term (the DAPO loss), where the paper has a "
        "sequence mean and KL 0.04; set trainer.loss_type and trainer.beta for those.",
        "A group whose rewards are all equal gets exactly 0, by comparison.",
    ),
)

REPO = Preset(
    name="repo",
    summary=(
        "Where all rollouts fail, the policy rewrites the expert solution in its own words "
        "and that trajectory takes the place of the worst rollout."
    ),
    paper="arXiv:2602.10819, section 3",
    blocks={
        "gate": ALL_FAILED,
        "source": {"kind": "rephrase"},
        "accept": OWN_WORDS,
        "slot": {"kind": "replace_worst"},
        "train": {"kind": "clipped_ratio"},
    },
    trainer={},
    deviations=(
        "The rephrase prompt is ours; the paper does not publish its text.",
        "A rewrite enters only if its reward exceeds that of the rollout it replaces; "
        "readers disagree on whether the paper asks for it (guidance.accept).",
        "Rewrites are sampled only for open gates; the paper forms one for every prompt "
        "(guidance.source.sampling: eager).",
        "Failure threshold 0.5 and failed share 1.0 are ours; the paper does not state them.",
    ),
)

LUFFY = Preset(
    name="luffy",
    summary=(
        "In every group the expert's own text has one of the places and is trained with the "
        "shaped probability p / (p + 0.1)."
    ),
    paper="arXiv:2504.14945; code ElliottYan/LUFFY@01f4ae0, mix_core_alg.py 69-251",
    blocks={
        "gate": {"kind": "always"},
        "source": {"kind": "expert_text", "over_length": "truncate"},
        "accept": [],
        "slot": {"kind": "reserved"},
        "train": {"kind": "shaped", "gamma": 0.1},
        "advantages": {"scale": "none"},
    },
    trainer={**LUFFY_LOSS, **NO_CLIP},
    deviations=(
        "The place of the expert's text is sampled like the others and thrown away (in the code "
        "7 are sampled); those tokens count as sampled.",
        "The loss is divided by the number of rows as well as by the constant length; the code "
        "divides by the length alone: a constant factor, which Adam does not see, but gradient "
        "clipping at 1.0 does.",
        "The end of the thinking part (`</think>`) is not demanded of the expert's text; the "
        "verifier of the task judges it like any rollout.",
    ),
)

LUFFY_GRPO = Preset(
    name="luffy_grpo",
    summary="The GRPO baseline that LUFFY is published with: its loss and scaling, clip kept.",
    paper="arXiv:2504.14945; code ElliottYan/LUFFY@01f4ae0, exp_scripts",
    blocks={**NO_GUIDANCE, "advantages": {"scale": "none"}},
    trainer=LUFFY_LOSS,
    deviations=(
        "Differs from `luffy` in the demonstration and in the clip range (0.2, where luffy has "
        "none), as the published pair does; set trainer.epsilon to 1e9 for one difference alone.",
    ),
)

NAIVE = Preset(
    name="naive",
    summary=(
        "In every group the expert's own text has one of the places and is trained like any "
        "rollout (the paper's naive hybrid)."
    ),
    paper="arXiv:2602.10819",
    blocks={
        "gate": {"kind": "always"},
        "source": {"kind": "expert_text", "over_length": "truncate"},
        "accept": [],
        "slot": {"kind": "reserved"},
        "train": {"kind": "clipped_ratio"},
    },
    trainer={},
    deviations=(
        "Details of the paper's naive hybrid are not published; this is its description with the "
        "settings of `grpo`.",
    ),
)

GUIDE = Preset(
    name="guide",
    summary=(
        "Like RePO, with the weight pi(o given q) / pi(o given q, k) on the tokens of what was "
        "written with the solution in sight."
    ),
    paper="arXiv:2506.13923",
    blocks={
        "gate": ALL_FAILED,
        "source": {"kind": "rephrase"},
        "accept": OWN_WORDS,
        "slot": {"kind": "replace_worst"},
        "train": {"kind": "context_ratio", "level": "token", "cap": 2.0},
    },
    trainer={},
    deviations=(
        "One guided trajectory replaces the worst rollout; the paper samples a whole guided group.",
        "The guidance is the rephrase prompt with the whole solution; the paper gives hints.",
        "The ratio is a capped weight beside the clipped surrogate, not a factor inside the clip.",
    ),
)

RELIFT = Preset(
    name="relift",
    summary=(
        "Expert texts of problems that all rollouts failed gather in a buffer; when it is full, "
        "one supervised step follows the RL step."
    ),
    paper="arXiv:2506.07527",
    blocks={
        "gate": ALL_FAILED,
        "source": {"kind": "expert_text"},
        "accept": ["correct"],
        "slot": {"kind": "stream_buffer", "size": 128, "learning_rate": 1e-6},
        "train": {"kind": "nll"},
    },
    trainer={},
    deviations=(
        "A demonstration that the verifier rejects does not enter the buffer.",
        "The stream's optimiser is AdamW without weight decay; its state is kept over the run.",
    ),
)

CHORD = Preset(
    name="chord",
    summary=(
        "(1 - mu) GRPO + mu supervised loss on expert texts, each token weighted by p (1 - p); "
        "mu falls over the run."
    ),
    paper="arXiv:2508.11408",
    blocks={
        "gate": {"kind": "always"},
        "source": {"kind": "expert_text"},
        "accept": [],
        "slot": {"kind": "stream_joint", "peak": 0.9, "valley": 0.05, "decay_steps": 200},
        "train": {"kind": "phi_nll"},
    },
    trainer={},
    deviations=(
        "The expert texts are those of the problems in the batch; the paper draws them from a "
        "separate set.",
    ),
)

HPT = Preset(
    name="hpt",
    summary=(
        "Where the success rate of a group is at or below a limit, the group is replaced by "
        "supervised training on the expert's text."
    ),
    paper="arXiv:2509.04419",
    blocks={
        "gate": {"kind": "success_rate", "success_rate": 0.0},
        "source": {"kind": "expert_text"},
        "accept": [],
        "slot": {"kind": "whole_group"},
        "train": {"kind": "nll"},
    },
    trainer={},
    deviations=(
        "RL and supervised tokens share one denominator (train.normalisation: separate for two).",
    ),
)

STAR = Preset(
    name="star",
    summary=(
        "Where all rollouts fail, the policy is told the answer and writes the way to it; what is "
        "right is trained on by likelihood."
    ),
    paper="arXiv:2203.14465, section 3.2",
    blocks={
        "gate": ALL_FAILED,
        "source": {"kind": "rationale"},
        "accept": OWN_WORDS,
        "slot": {"kind": "replace_worst"},
        "train": {"kind": "nll"},
    },
    trainer={},
    deviations=(
        "Online: rationales enter the group in which they are needed; the paper alternates "
        "sampling and fine-tuning from the first model.",
        "The policy's own successes are trained by GRPO, not by likelihood.",
    ),
)

REPLAY = Preset(
    name="replay",
    summary=(
        "Where all rollouts fail, an earlier success of the policy on the same problem takes the "
        "place of the worst rollout; no expert is needed."
    ),
    paper="arXiv:2506.09340",
    blocks={
        "gate": ALL_FAILED,
        "source": {"kind": "replay", "capacity": 8},
        "accept": ["reward_above_replaced"],
        "slot": {"kind": "replace_worst"},
        "train": {"kind": "clipped_ratio"},
    },
    trainer={},
    deviations=(
        "One replayed success for a failed group; the paper replays whole samples beside every "
        "group.",
        "The ratio is to the policy at the time of replay, not to the one that wrote the text.",
        "Each process keeps the successes of the groups that it held.",
    ),
)

SFT = Preset(
    name="sft",
    summary="Supervised fine-tuning on the expert's texts; nothing is sampled.",
    paper="arXiv:2602.10819 (baseline)",
    blocks={
        "gate": {"kind": "always"},
        "source": {"kind": "expert_text"},
        "accept": [],
        "slot": {"kind": "dataset"},
        "train": {"kind": "nll"},
    },
    trainer={"learning_rate": 1e-5},
    deviations=(
        "trainer.per_device_train_batch_size counts rollouts for every method, so a supervised "
        "step holds that many divided by num_generations texts: the same problems as an RL step.",
        "A text longer than trainer.max_completion_length is left out and counted.",
    ),
)

REWRITE_SFT = Preset(
    name="rewrite_sft",
    summary=(
        "The starting policy rewrites every expert solution once; supervised fine-tuning on the "
        "rewrites (SDFT)."
    ),
    paper="arXiv:2402.13669 (SDFT)",
    blocks={
        "gate": {"kind": "always"},
        "source": {"kind": "rephrase"},
        "accept": OWN_WORDS,
        "slot": {"kind": "dataset", "fallback": "expert"},
        "train": {"kind": "nll"},
    },
    trainer={"learning_rate": 1e-5},
    deviations=(
        "The rewriting prompt is that of `repo`.",
        "Batch size and length limit as in `sft`.",
    ),
)

PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        SFT,
        GRPO,
        LUFFY,
        REPO,
        NAIVE,
        REWRITE_SFT,
        GUIDE,
        RELIFT,
        CHORD,
        HPT,
        STAR,
        REPLAY,
        LUFFY_GRPO,
    )
}
"""All shipped methods by name: the paper's four systems first, then their relatives."""
