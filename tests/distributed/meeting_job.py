"""A process of a run that looks at how it met the others; started by test_meeting.py.

Usage: meeting_job.py OUT. Writes the time limit of collectives before and after transformers has
made its arguments, and how many processes there are, to OUT.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch.distributed as dist
from accelerate import PartialState

from rephrase_rl.assembly import training
from rephrase_rl.config import parse_config
from rephrase_rl.trainers.trl.arguments import grpo_arguments


def found() -> dict[str, Any]:
    backend = dist.distributed_c10d._get_default_group()._get_backend(dist.torch.device("cpu"))
    return {
        "limit_s": backend.options._timeout.total_seconds(),
        "processes": PartialState().num_processes,
    }


def looked_at(request: Any, guidance: Any) -> None:
    seen = [found()]
    grpo_arguments(
        request.config.trainer,
        output_dir=str(request.run_path),
        seed=0,
        scale_rewards="group",
        reward_weights=[1.0],
    )
    seen.append(found())
    if PartialState().is_main_process:
        Path(sys.argv[1]).write_text(json.dumps(seen))
    dist.barrier()


def main() -> None:
    training._reinforcement_run = looked_at  # type: ignore[assignment]
    raw = {
        "method": "repo",
        "model": {"path": "lab:base"},
        "data": {"path": "lab:mixed"},
        "trainer": {"ddp_timeout": 77, "ddp_backend": "gloo"},
    }
    training.train_run(parse_config(raw), run_path=Path(sys.argv[1] + ".run"), command=[])
    dist.destroy_process_group()
    os._exit(0)


if __name__ == "__main__":
    main()
