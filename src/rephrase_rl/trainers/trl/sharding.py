"""Gradients and log-probs of split weights have the precision that they have on one device.

Accelerate 1.15 gives FSDP2 one number format for products, sums over processes and outputs, so
under ``bf16`` log-probs come out rounded to 8 bits: a ratio of two that are near -16 is off by up
to 13 %. And it lets processes exchange gradients in the last micro-batch of a step alone: until
then each holds those of the whole model, in bfloat16, and adds hundreds of micro-batches up in it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch


def keep_float32(trainer: Any) -> None:
    """Sums, log-probs and the parts of gradients that a process keeps are float32 under FSDP.

    Gradients are exchanged after each micro-batch, unless
    ``accelerator_config.gradient_accumulation_kwargs`` says what is to be done. Products stay in
    bfloat16. Nothing is changed where weights are not split.

    Args:
        trainer: After its construction by TRL, before it trains.
    """
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if plugin is None:
        return
    asked = trainer.args.accelerator_config.gradient_accumulation_kwargs or {}
    each_batch = asked.get("sync_each_batch", True)
    trainer.accelerator.gradient_state.plugin_kwargs["sync_each_batch"] = each_batch
    if plugin.fsdp_version == 2 and plugin.mixed_precision_policy is not None:
        plugin.mixed_precision_policy = dataclasses.replace(
            plugin.mixed_precision_policy, reduce_dtype=torch.float32, output_dtype=torch.float32
        )
