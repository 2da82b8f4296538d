"""Policies that are an adapter (LoRA) on another model: found, merged into it, or trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from rephrase_rl.errors import EngineError

ADAPTER_FILE = "adapter_config.json"
_MAX_BYTES = 2**20


class Base(NamedTuple):
    """The model that an adapter was trained on."""

    path: str
    """Folder or hub id."""
    revision: str | None = None
    """Branch, tag or commit on the hub. None: the main branch."""
    rank: int | None = None
    """Of the adapter. None: it does not say."""


def adapter_base(path: str | Path) -> Base | None:
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
        revision = config.get("revision")
        if not isinstance(revision, str | None):
            raise ValueError(f"revision is {revision!r}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise EngineError(
            f"{file} does not say on which model the adapter was trained "
            f"({type(error).__name__}: {error}); required: base_model_name_or_path with a folder "
            "or a hub id: write it there"
        ) from error
    rank = config.get("r")
    return Base(base, revision or None, rank if isinstance(rank, int) and rank > 0 else None)


def merged(model: Any, path: str | Path) -> Any:
    """A model with an adapter's change added to its weights; the same function of its inputs.

    All its weights can be trained, as those of any other model.

    Raises:
        EngineError: PEFT is not installed, or the adapter does not fit or cannot be merged.
    """
    whole = _opened(model, path)
    if not hasattr(whole, "merge_and_unload"):
        kind = type(whole.base_model).__name__
        raise _unfit(path, ValueError(f"adapters of kind {kind} are not merged"))
    try:
        return whole.merge_and_unload().requires_grad_(True)  # PEFT has frozen them
    except Exception as error:  # whatever PEFT's layers raise
        raise _unfit(path, error) from error


def opened_for_training(model: Any, path: str | Path) -> Any:
    """A model with an adapter beside its weights, which alone can be trained.

    Raises:
        EngineError: PEFT is not installed, or the adapter does not fit.
    """
    return _opened(model, path, is_trainable=True)


def _opened(model: Any, path: str | Path, *, is_trainable: bool = False) -> Any:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise EngineError(
            f"{path} is an adapter, and reading it needs a package that is not installed "
            f"({error}); required: the extra for adapters; do `pip install '.[peft]'` in the clone"
        ) from error
    try:
        return PeftModel.from_pretrained(model, str(path), is_trainable=is_trainable)
    # A missing tensor is a RuntimeError or KeyError, a broken file one of safetensors' own.
    except Exception as error:
        raise _unfit(path, error) from error


def _unfit(path: str | Path, error: Exception) -> EngineError:
    return EngineError(
        f"the adapter in {path} cannot be put on its model: {type(error).__name__}: {error}; "
        "required: adapter_model.safetensors that fits the model, of a kind that can be merged "
        "(LoRA): check the folder, or merge it yourself and give the whole model"
    )
