"""Relatives of RePO: other answers to the same five questions."""

from __future__ import annotations

from rephrase_rl.presets.preset import ALL_FAILED, OWN_WORDS, Preset

GUIDE = Preset(
    name="guide",
    summary=(
        "Like RePO, with the weight pi(o given q) / pi(o given q, k) on the tokens of what was "
        "written with the solution in sight."
    ),
    paper=(
        "arXiv:2506.13923; code vaskar-open-source-research/guide_rl@eb5c802, "
        "verl/trainer/ppo/core_algos.py, compute_policy_loss"
    ),
    blocks={
        "gate": ALL_FAILED,
        "source": {"kind": "rephrase"},
        "accept": OWN_WORDS,
        "slot": {"kind": "replace_worst"},
        "train": {"kind": "context_ratio", "level": "token", "cap": 2.0},
    },
    trainer={},
    deviations=(
        "One guided trajectory replaces the worst rollout; the code samples a whole guided group "
        "in place of the failed one, with advantages within it.",
        "The guidance is the rephrase prompt with the whole solution; the paper gives hints.",
        "The weight is a capped ratio without gradient beside the clipped surrogate; the code "
        "shapes r = pi(o given q)/pi_old(o given q, hint) as r/(r + its 0.9 quantile), with "
        "gradient and without clip.",
        "Groups without spread are kept; the code drops them and samples further ones "
        "(guidance.no_spread.policy: resample).",
        "A wrong guided trajectory is refused; the code trains on the right and wrong ones of a "
        "mixed guided group.",
    ),
)

RELIFT = Preset(
    name="relift",
    summary=(
        "Expert texts of problems that all rollouts failed gather in a buffer; when it is full, "
        "one supervised step follows the RL step."
    ),
    paper=(
        "arXiv:2506.07527; code TheRoadQaQ/ReLIFT@1ff8869, relift/core_algos.py 77-83, and the "
        "trainer's fit"
    ),
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
        "The stream's optimiser is AdamW without weight decay, where the code has 0.01; its state "
        "is kept over the run.",
        "The buffer is used oldest first, and as many steps follow as it is full; the release "
        "takes the newest 128 and one step at most.",
        "The supervised step is a mean over all its tokens without entropy bonus; the release has "
        "a mean of micro-batch means and 0.001.",
        "The RL part is that of `grpo`; the code's has no std, no clip, a constant length and "
        "entropy bonus 0.001.",
    ),
)

CHORD_CODE = (
    "arXiv:2508.11408; code Trinity-RFT 0.6.0, "
    "trinity/algorithm/policy_loss_fn/chord_policy_loss.py 14-31 (mu), 62-67 (phi), 83-98, 224-228"
)
CHORD_DEVIATIONS = (
    "The expert texts are those of the problems in the batch, one for each; the code draws 64 "
    "from a separate set beside 32 problems.",
    "The supervised term is a mean over the tokens of the optimiser step; the code takes a token "
    "mean of each micro-batch and weighs it by rows.",
)

CHORD = Preset(
    name="chord",
    summary=(
        "(1 - mu) GRPO + mu supervised loss on expert texts, each token weighted by p (1 - p), "
        "with a small constant mu (CHORD-phi)."
    ),
    paper=CHORD_CODE,
    blocks={
        "gate": {"kind": "always"},
        "source": {"kind": "expert_text"},
        "accept": [],
        "slot": {"kind": "stream_joint", "peak": 0.1, "valley": 0.1, "decay_steps": 1},
        "train": {"kind": "phi_nll"},
    },
    trainer={},
    deviations=(
        *CHORD_DEVIATIONS,
        "The code's example has a third form, a weight that rises to 0.5 over 200 steps and falls "
        "to 0.02 over 400; a rise is not offered here.",
    ),
)

CHORD_MU = Preset(
    name="chord_mu",
    summary=(
        "(1 - mu) GRPO + mu supervised loss on expert texts, every token alike; mu falls over the "
        "run (CHORD-mu)."
    ),
    paper=CHORD_CODE,
    blocks={
        "gate": {"kind": "always"},
        "source": {"kind": "expert_text"},
        "accept": [],
        "slot": {"kind": "stream_joint", "peak": 0.9, "valley": 0.05, "decay_steps": 200},
        "train": {"kind": "nll"},
    },
    trainer={},
    deviations=CHORD_DEVIATIONS,
)

HPT = Preset(
    name="hpt",
    summary=(
        "Where the success rate of a group is at or below a limit, the group is replaced by "
        "supervised training on the expert's text."
    ),
    paper=(
        "arXiv:2509.04419; code undefinted/Unify-Post-Training@0bfcb82, mix_src/mix_actor.py "
        "135-165, mix_trainer.py (select_on_off_ada_balance)"
    ),
    blocks={
        "gate": {"kind": "success_rate", "success_rate": 0.0},
        "source": {"kind": "expert_text"},
        "accept": [],
        "slot": {"kind": "whole_group"},
        "train": {"kind": "nll"},
    },
    trainer={},
    deviations=(
        "RL and supervised tokens share one denominator (train.normalisation: separate for two "
        "token means); the code adds a token mean of the supervised part to an RL part divided by "
        "the constant length.",
        "The RL part is that of `grpo`; the code's has no std, no clip and entropy bonus 0.001.",
        "The limit is 0, as the code has it for Qwen; for Llama it has 2 of 8 "
        "(guidance.gate.success_rate: 0.25).",
        "Learning rate as for all methods; the code has 5e-6.",
    ),
)

STAR = Preset(
    name="star",
    summary=(
        "Where all rollouts fail, the policy is told the answer and writes the way to it; what is "
        "right is trained on by likelihood."
    ),
    paper=(
        "arXiv:2203.14465; code ezelikman/STaR@bfe9e4b, device_inference.py (eval_examples), "
        "iteration_train.py (train_model)"
    ),
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
        "The failed rollouts of the group get a negative advantage beside the rationale; STaR "
        "trains on nothing wrong.",
        "The gate asks that all G attempts failed; STaR rationalises after one.",
        "The hint is an instruction with the answer; the code has few-shot prompts, and for GSM8K "
        "the whole solution.",
    ),
)

REPLAY = Preset(
    name="replay",
    summary=(
        "Where all rollouts fail, an earlier success of the policy on the same problem takes the "
        "place of the worst rollout; no expert is needed."
    ),
    paper=(
        "arXiv:2506.09340; code SihengLi99/RePO@08a6867, src/replay_grpo_trainer.py "
        "(_replay_step, _update_cache)"
    ),
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
        "Only successes are kept and the newest is offered; the code keeps the last 16 samples of "
        "any reward and takes the best eight.",
        "The replayed member shares the group's mean and spread; the code normalises replayed "
        "samples apart.",
    ),
)
