"""A policy as a folder of whole weights: an adapter merged into its model, a GGUF file unpacked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import torch

from rephrase_rl.assembly.objects import load_model
from rephrase_rl.assembly.policies import resolve_policy_path
from rephrase_rl.config import ModelConfig
from rephrase_rl.errors import ConfigError
from rephrase_rl.rollout.adapters import Base, adapter_base

if TYPE_CHECKING:
    from pathlib import Path

NumberFormat: TypeAlias = Literal["float32", "bfloat16"]


def write_whole_policy(model: str, folder: Path, *, dtype: NumberFormat = "float32") -> Base | None:
    """Write a policy with its tokenizer, so that whatever reads transformers' folders reads it.

    Args:
        model: Run directory, folder of a model, checkpoint or adapter, GGUF file, hub id or lab
            name.
        folder: Where to; must not exist, or be empty.
        dtype: Of the written weights; the sum of model and adapter is formed in float32.

    Returns:
        The model that the policy was an adapter on; None: it was whole already.

    Raises:
        CheckpointError: ``model`` is a run without a final policy.
        ConfigError: The folder holds something.
        EngineError: The policy cannot be loaded or merged.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"{folder} is there and not empty; required: a new folder, since files of another "
            "model would be mixed up with these: choose another name"
        )
    path = resolve_policy_path(model)
    policy = load_model(ModelConfig(path=path))
    whole = policy.model.to(getattr(torch, dtype))
    whole.save_pretrained(str(folder))
    policy.tokenizer.save_pretrained(str(folder))
    return adapter_base(path)
