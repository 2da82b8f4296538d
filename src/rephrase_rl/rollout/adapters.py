"""Policies that are an adapter (LoRA) on another model: found, and merged into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rephrase_rl.errors import EngineError

ADAPTER_FILE = "adapter_config.json"
_MAX_BYTES = 2**20


def adapter_base(path: str | Path) -> str | None:
    """The model that the adapter in a local folder was trained on; None: there is no adapter.

    A folder that has a whole model beside the adapter is that model.

    Raises:
        EngineError: The adapter's configuration cannot be read or names no model.
    """
    folder = Path(path)
    file = folder / ADAPTER_FILE
    if not file.is_file() or (folder / "config.json").is_file():
        return None
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES} bytes")
        config = json.loads(file.read_text(encoding="utf-8"))
        base = config["base_model_name_or_path"]
        if not isinstance(base, str) or not base:
            raise ValueError(f"base_model_name_or_path is {base!r}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise EngineError(
            f"{file} does not say on which model the adapter was trained "
            f"({type(error).__name__}: {error}); required: base_model_name_or_path with a folder "
            "or a hub id: write it there"
        ) from error
    return base


def merged(model: Any, path: str | Path) -> Any:
    """A model with an adapter's change added to its weights; the same function of its inputs.

    Raises:
        EngineError: PEFT is not installed, or the adapter does not fit or cannot be merged.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise EngineError(
            f"{path} is an adapter, and reading it needs a package that is not installed "
            f"({error}); required: the extra for adapters; do `pip install 'rephrase-rl[peft]'`"
        ) from error
    try:
        whole = PeftModel.from_pretrained(model, str(path))
        if not hasattr(whole, "merge_and_unload"):
            raise ValueError(f"adapters of kind {type(whole.base_model).__name__} are not merged")
        return whole.merge_and_unload()
    # A missing tensor is a RuntimeError or KeyError, a broken file one of safetensors' own.
    except Exception as error:
        raise EngineError(
            f"the adapter in {path} cannot be put on its model: {type(error).__name__}: {error}; "
            "required: adapter_model.safetensors that fits the model, of a kind that can be merged "
            "(LoRA): check the folder, or merge it yourself and give the whole model"
        ) from error
