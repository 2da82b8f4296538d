"""Trainers that are run on split weights and on whole ones: as on GPUs, rollouts by script."""

from __future__ import annotations

import os
import re
from typing import Any

from peft import LoraConfig

from fakes import ByteTokenizer, tiny_model
from rephrase_rl.assembly.blocks import build_guidance
from rephrase_rl.config import PromptsConfig
from rephrase_rl.methods import resolve_guidance
from rephrase_rl.trainers.trl.compute import Compute
from rephrase_rl.trainers.trl.supervised import (
    SupervisedText,
    SupervisedTrainer,
    encode_text,
    supervised_dataset,
)
from rephrase_rl.trainers.trl.supervised_arguments import supervised_arguments
from trl_fakes import QUESTIONS, CountingReward, trainer

FAILING = ("ab", "ef", "gh")
"""Questions whose rollouts all fail, more of them on one of two processes than on the other."""
ARGUMENTS = {
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 4,
    "max_steps": 3,
    "gradient_checkpointing": True,
    "max_grad_norm": 1.0,
}
"""Four micro-batches a step, over all processes."""


def script(prompts: list[str], call: int) -> list[str]:
    """Rewrites are right; of the other questions every second rollout is."""
    texts = []
    for index, prompt in enumerate(prompts):
        shown = re.search(r"expert:(\w+)", prompt)
        question = re.search(r"(?:<rewrite>|<\|user\|>)(\w+)", prompt).group(1)
        fails = question in FAILING or index % 2
        texts.append(shown.group(1) if shown else "x" if fails else question[::-1])
    return texts


def split_trainer(folder: Any, args: dict[str, Any], adapter: bool = False) -> Any:
    """A RePO trainer with the forward pass that GPUs have."""
    return trainer(
        folder,
        build_guidance(resolve_guidance("repo", {}), PromptsConfig()),
        reward_funcs=CountingReward({f"expert:{question[::-1]}": 1.0 for question in QUESTIONS}),
        script=script,
        compute=Compute("generate", "plain", None),
        args=args,
        peft_config=LoraConfig(r=2, target_modules="all-linear") if adapter else None,
    )


def split_supervised(folder: Any, args: dict[str, Any]) -> Any:
    """A trainer on eight texts of unequal length, four a step."""
    tokenizer = ByteTokenizer()
    texts = [
        SupervisedText(
            ({"role": "user", "content": question},), encode_text(tokenizer, question * times)
        )
        for question, times in zip(
            (*QUESTIONS, "ij", "kl", "mn", "op"), (1, 3, 2, 5) * 2, strict=True
        )
    ]
    fields = args | {"num_generations": 2, "learning_rate": 1e-2}
    # Configurations with FSDP on CPUs are refused, since accelerate leaves it out there.
    launched = os.environ.pop("ACCELERATE_USE_FSDP", None)
    arguments = supervised_arguments(fields, output_dir=str(folder), seed=0)
    if launched is not None:
        os.environ["ACCELERATE_USE_FSDP"] = launched
    data = supervised_dataset(texts, tokenizer)
    return SupervisedTrainer(tiny_model(), arguments, data, tokenizer)
