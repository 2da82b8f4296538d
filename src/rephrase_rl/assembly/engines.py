"""Engines that sample a policy on disk, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rephrase_rl.assembly.objects import load_model_to_sample, model_path
from rephrase_rl.config import ModelConfig
from rephrase_rl.rollout import TransformersEngine
from rephrase_rl.rollout.vllm_engine import VllmEngine

if TYPE_CHECKING:
    from rephrase_rl.rollout import Engine

EngineName: TypeAlias = Literal["transformers", "vllm"]


def load_engine(path: str, name: EngineName, template_kwargs: Mapping[str, Any] | None) -> Engine:
    """An engine with a policy loaded into it.

    Args:
        path: Folder of a model or adapter, hub id or ``lab:NAME``.
        name: Which engine. transformers: in float32, on this process's GPU if it has one; vllm: in
            the format of ``config.json``, float32 as the first that the GPU computes in.
        template_kwargs: Variables for the chat template.

    Raises:
        EngineError: Nothing loadable is there, or the engine is not installed.
    """
    kwargs = None if template_kwargs is None else dict(template_kwargs)
    if name == "vllm":
        return VllmEngine(model_path(ModelConfig(path=path)), chat_template_kwargs=kwargs)
    policy = load_model_to_sample(ModelConfig(path=path))
    return TransformersEngine(policy.model, policy.tokenizer, chat_template_kwargs=kwargs)
