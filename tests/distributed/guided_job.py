"""One process of a guided run on scripted rollouts; started by test_two_processes.py.

Usage: guided_job.py OUT PER_DEVICE QUESTIONS [METHOD]. All rollouts of the QUESTIONS (with commas
between them) fail; METHOD is a preset, and ``PRESET+lora`` trains adapters. Writes the group
records of all processes to OUT and the weights beside it. The rollouts depend on the question
alone, so one and two processes see the same ones.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import torch
from peft import LoraConfig

sys.path.insert(0, str(Path(__file__).parents[1]))

from rephrase_rl.assembly.blocks import build_guidance
from rephrase_rl.assembly.streams import build_stream
from rephrase_rl.config import PromptsConfig
from rephrase_rl.methods import resolve_guidance
from rephrase_rl.records import to_json
from rephrase_rl.trainers.trl.compute import Compute
from trl_fakes import QUESTIONS, CountingReward, trainer

NEEDS_HELP = set(sys.argv[3].split(",")) if len(sys.argv) > 3 else set()
"""Questions whose rollouts all fail."""
METHOD, _, ADAPTER = (sys.argv[4] if len(sys.argv) > 4 else "repo").partition("+")
CHANGES = {
    "relift": {"slot": {"size": 2, "learning_rate": 1e-2}},
    "grpo": {"no_spread": {"policy": "drop"}},
}
EXPERT_IS_RIGHT = {f"expert:{question[::-1]}": 1.0 for question in QUESTIONS}


def script(prompts, call):
    found = [re.search(r"expert:(\w+)", prompt) for prompt in prompts]
    texts = []
    for index, (prompt, match) in enumerate(zip(prompts, found, strict=True)):
        question = re.search(r"(?:<rewrite>|<\|user\|>)(\w+)", prompt).group(1)
        if match:
            texts.append(match.group(1))
        elif question in NEEDS_HELP or index % 2:
            texts.append("x")
        else:
            texts.append(question[::-1])
    return texts


def main() -> None:
    out, per_device = Path(sys.argv[1]), int(sys.argv[2])
    records: list[object] = []
    processes = {"ddp_backend": "gloo"} if int(os.environ.get("WORLD_SIZE", "1")) > 1 else {}
    config = resolve_guidance(METHOD, CHANGES.get(METHOD, {}))
    made = trainer(
        out.parent / f"trl-{per_device}",
        build_guidance(config, PromptsConfig()),
        stream=build_stream(config.slot),
        reward_funcs=CountingReward(EXPERT_IS_RIGHT),
        script=script,
        on_groups=records.extend,
        # A row or two at a time: several backward passes, as many on every process.
        compute=Compute(tokens_per_pass=30 if METHOD in ("repo", "naive") else "auto"),
        args={"per_device_train_batch_size": per_device, "max_steps": 2} | processes,
        peft_config=LoraConfig(r=2, target_modules="all-linear") if ADAPTER else None,
    )
    made.train()
    if int(os.environ.get("RANK", "0")) == 0:
        torch.save([p.detach() for p in made.model.parameters()], out.with_suffix(".pt"))
        out.write_text(
            json.dumps(
                {
                    "groups": to_json(records),
                    "metrics": made.state.log_history[0],
                    "weights": [float(p.double().abs().sum()) for p in made.model.parameters()],
                }
            )
        )
    if torch.distributed.is_initialized():
        # As the command line does (``cli.main``): Python's own shutdown is aborted now and then
        # while gloo's threads are alive.
        torch.distributed.destroy_process_group()
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
