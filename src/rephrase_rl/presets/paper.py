"""The systems of the paper: supervised fine-tuning, GRPO, LUFFY, RePO, and its simpler variants."""

from __future__ import annotations

from rephrase_rl.presets.preset import (
    ALL_FAILED,
    LUFFY_LOSS,
    NO_CLIP,
    NO_GUIDANCE,
    OWN_WORDS,
    Preset,
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
        "One optimiser step for each batch, so every own ratio is 1; the code takes two "
        "(trainer.steps_per_generation: 2 with half the batch in each).",
    ),
)

LUFFY_GRPO = Preset(
    name="luffy_grpo",
    summary="The GRPO baseline that LUFFY is published with: its loss and scaling, clip kept.",
    paper="arXiv:2504.14945; code ElliottYan/LUFFY, exp_scripts/train_on_policy.sh",
    blocks={**NO_GUIDANCE, "advantages": {"scale": "none"}},
    trainer=LUFFY_LOSS,
    deviations=(
        "Differs from `luffy` in the demonstration and in the clip range (0.2, where luffy has "
        "none), as most copies of the published script do; in one (mcptest-user/LUFFY@1234e30) "
        "the clip is gone there too: set trainer.epsilon to 1e9 for one difference alone.",
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

REWRITE_SFT = Preset(
    name="rewrite_sft",
    summary=(
        "The starting policy rewrites every expert solution once; supervised fine-tuning on the "
        "rewrites (SDFT)."
    ),
    paper="arXiv:2402.13669 (SDFT); code sail-sg/sdft@10a0603, eval/gen_distilled_data.py 32-68",
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
        "Batch size, length limit and rate as in `sft`; the code trains LoRA at 1e-4.",
        "Every rewrite is verified; the code checks the tasks that have a checker.",
        "Meta text is cut out first and an unfinished rewrite refused; the code refuses any text "
        "with one of five phrases and does not ask whether it ended.",
    ),
)
