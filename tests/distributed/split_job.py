"""Processes of guided runs whose weights FSDP2 divides, on CPUs; started by test_split_weights.py.

Usage: split_job.py OUT bf16|float32 weights|adapter|texts. Trains three steps, goes on from the
checkpoint of the second in a run of its own, and writes what came of it to OUT. Accelerate reads
``ACCELERATE_USE_FSDP`` and ``FSDP_*``, but divides weights on accelerators alone; what it does
there is done here for CPUs.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from transformers import TrainerCallback
from trl.distributed import DistributedBackend
from trl.generation.vllm_generation import VLLMGeneration

sys.path.insert(0, str(Path(__file__).parents[1]))

from split_runs import ARGUMENTS, split_supervised, split_trainer


def divide_on_cpus() -> None:
    """The lines of ``AcceleratorState`` for processes with accelerators (accelerate 1.15)."""
    as_it_is = AcceleratorState.__init__

    def with_fsdp(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        as_it_is(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is None:
            return
        self.distributed_type = DistributedType.FSDP
        if self._mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(self._mixed_precision)
        self.fsdp_plugin = fsdp_plugin
        PartialState._shared_state["distributed_type"] = self.distributed_type

    AcceleratorState.__init__ = with_fsdp


class BetweenMicroBatches(TrainerCallback):
    """Sees where gradients are before the last micro-batch of a step, and in which format."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.whole = 0

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for module in kwargs["model"].modules():
            groups = module._get_fsdp_state()._fsdp_param_groups if _divided(module) else []
            for weight in (weight for group in groups for weight in group.fsdp_params):
                whole = getattr(weight, "_unsharded_param", None)
                self.whole += whole is not None and whole.grad is not None
                if weight.sharded_param.grad is not None:
                    self.held.add(str(weight.sharded_param.grad.dtype))


def _divided(module: Any) -> bool:
    return hasattr(module, "_get_fsdp_state")


def sent_to_vllm(made: Any) -> dict[str, torch.Tensor]:
    """Weights by the names under which TRL hands them to vLLM; all processes together."""
    sender = object.__new__(VLLMGeneration)
    sender.model, sender.accelerator = made.model, made.accelerator
    sender._dist = DistributedBackend(made.accelerator)
    return {name: weight.detach().clone() for name, weight in sender._iter_named_params()}


def main() -> None:
    out, arithmetic, trained = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    divide_on_cpus()
    args = copy.deepcopy(ARGUMENTS) | {
        "gradient_accumulation_steps": 2,
        "bf16": arithmetic == "bf16",
        "ddp_backend": "gloo",
        "save_strategy": "steps",
        "save_steps": 2,
    }
    seen = BetweenMicroBatches()
    build = split_supervised if trained == "texts" else split_trainer
    more = (True,) if trained == "adapter" else ()
    made = build(out.parent / "trl", args, *more)
    made.add_callback(seen)
    formats: set[str] = set()
    scores = getattr(made, "_get_per_token_logps_and_entropies", None)  # supervised has none

    def watched(*args: Any, **kwargs: Any) -> Any:
        result = scores(*args, **kwargs)
        formats.add(str(result[0].dtype))
        return result

    made._get_per_token_logps_and_entropies = watched
    made.train()
    again = build(out.parent / "again", args | {"save_strategy": "no"}, *more)
    again.train(resume_from_checkpoint=str(out.parent / "trl" / "checkpoint-2"))
    weights, resumed = sent_to_vllm(made), sent_to_vllm(again)
    if made.accelerator.is_main_process:
        torch.save(weights, out.with_suffix(".pt"))
        found = {
            "kind": str(made.accelerator.distributed_type),
            "logps": sorted(formats),
            "gradients": sorted(seen.held),
            "whole_gradients": seen.whole,
            "injected": made.state.log_history[0].get("injection/accepted"),
            "grad_norm": [line["grad_norm"] for line in made.state.log_history[:3]],
            "resumed": all(torch.equal(weights[name], resumed[name]) for name in weights),
        }
        out.write_text(json.dumps(found))
    torch.distributed.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
