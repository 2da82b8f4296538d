"""Loading a policy: a hub id, a local folder, or a GGUF file."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rephrase_rl.errors import EngineError
from rephrase_rl.rollout.adapters import (
    ADAPTER_FILE,
    adapter_base,
    merged,
    opened_for_training,
)
from rephrase_rl.rollout.four_bits import four_bit_loading
from rephrase_rl.seeding import forked_rng

if TYPE_CHECKING:
    from rephrase_rl.rollout.adapters import Base


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A causal language model in eval mode and its tokenizer."""

    model: Any
    """``transformers.PreTrainedModel``, or PEFT's around one; can be trained and saved."""
    tokenizer: Any
    """``transformers.PreTrainedTokenizerFast``; has a padding token."""


def load_policy(
    path: str | Path,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    gguf_file: str | None = None,
    trust_remote_code: bool = False,
    merge_adapter: bool = True,
    four_bits: bool = False,
) -> LoadedPolicy:
    """Load a model with its tokenizer, ready to sample from, to train and to save.

    An adapter in a local folder is merged into the model that it names; its own tokenizer is taken
    if it has one. A GGUF file is de-quantised. What transformers then returns still counts as
    quantised and refuses to be saved or trained, so the model is built anew from its configuration
    without that entry. A missing padding token is set to the end-of-sequence token.

    Args:
        path: Hub id, local folder of a model or an adapter, or the path of a ``.gguf`` file.
        revision: Branch, tag or commit on the hub.
        dtype: ``auto`` (as stored; float32 for GGUF) or a torch dtype's name: ``bfloat16`` ...
        gguf_file: Name of the GGUF file inside ``path``.
        trust_remote_code: Whether to run Python code that comes with the model.
        merge_adapter: False leaves an adapter beside the model's weights, to be trained on.
        four_bits: Hold the weights of the model itself in 4 bits, on this process's GPU.

    Raises:
        EngineError: Nothing loadable is there, it brings code that is not to be run, the dtype is
            unknown, or reading GGUF is not installed; or weights are not finite, or no token ends
            a text; or 4 bits are asked for without an NVIDIA GPU or bitsandbytes.
    """
    base = adapter_base(path)
    if base is not None:
        whole = _load_base(path, base, dtype, trust_remote_code, four_bits)
        own = Path(path, "tokenizer_config.json").is_file()
        tokenizer = load_tokenizer(path) if own else whole.tokenizer
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        put_on = merged if merge_adapter else opened_for_training
        return LoadedPolicy(put_on(whole.model, path).eval(), tokenizer)
    source = str(path)
    if gguf_file is None and source.endswith(".gguf"):
        source, gguf_file = str(Path(path).parent), Path(path).name
    torch_dtype = _resolve_dtype(dtype)
    # Never left out: without the argument transformers asks on the terminal.
    arguments: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if revision is not None:
        arguments["revision"] = revision
    if gguf_file is not None:
        arguments["gguf_file"] = gguf_file
    loading = four_bit_loading() if four_bits else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **arguments)
        if gguf_file is not None:
            loading |= _dense_weights()
        model = AutoModelForCausalLM.from_pretrained(
            source, dtype=torch_dtype, **arguments, **loading
        )
    except ImportError as error:
        if gguf_file is None:
            raise
        raise EngineError(
            f"reading {gguf_file} needs a package that is not installed ({error}); required: "
            "the extra for GGUF; do `pip install '.[gguf]'` in the clone"
        ) from error
    # Damaged files are told by whatever reads them: safetensors, torch, json, tokenizers.
    except Exception as error:
        raise EngineError(_describe_failure(source, gguf_file, error)) from error
    if gguf_file is not None:
        model = _without_quantization(model)
    _check_weights(model, source)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise EngineError(
                f"the tokenizer of {source} has neither a padding nor an end-of-sequence token; "
                "required: an end-of-sequence token, or no text would ever end; set eos_token in "
                "its tokenizer_config.json to the token that ends the model's texts"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return LoadedPolicy(model.eval(), _silent_on_lengths(tokenizer))


def _load_base(
    path: str | Path, base: Base, dtype: str, trust_remote_code: bool, four_bits: bool
) -> LoadedPolicy:
    """The model of an adapter.

    Raises:
        EngineError: It cannot be loaded.
    """
    try:
        return load_policy(
            base.path,
            revision=base.revision,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            four_bits=four_bits,
        )
    except EngineError as error:
        raise EngineError(
            f"{error}\n{path} is an adapter on that model; do this: write where the model lies now "
            f"into base_model_name_or_path of {ADAPTER_FILE} there"
        ) from error


def _check_weights(model: Any, source: str) -> None:
    """Refuse weights from which nothing can be sampled; one pass over them."""
    bad = [name for name, p in model.named_parameters() if not _is_finite(p)]
    if bad:
        raise EngineError(
            f"{len(bad)} weights of the policy in {source} hold numbers that are not finite "
            f"({', '.join(bad[:3])}); required: finite ones. A run that diverged leaves such a "
            "policy: start from an earlier checkpoint"
        )


def _is_finite(weights: torch.Tensor) -> bool:
    if weights.is_meta or not weights.is_floating_point():
        return True
    # The extremes are NaN or infinite if any weight is, and need no mask as large as the weights.
    low, high = torch.aminmax(weights.detach())
    return bool(torch.isfinite(low) and torch.isfinite(high))


def load_tokenizer(
    path: str | Path,
    *,
    revision: str | None = None,
    gguf_file: str | None = None,
    trust_remote_code: bool = False,
) -> Any:
    """Load a policy's tokenizer alone, for looking at prompts and lengths.

    Args:
        path: See ``load_policy``.
        revision: Branch, tag or commit on the hub.
        gguf_file: Name of the GGUF file inside ``path``.
        trust_remote_code: Whether to run Python code that comes with the tokenizer.

    Raises:
        EngineError: Nothing loadable is there, or it brings code that is not to be run.
    """
    source = str(path)
    if gguf_file is None and source.endswith(".gguf"):
        source, gguf_file = str(Path(path).parent), Path(path).name
    given: dict[str, Any] = {"revision": revision, "gguf_file": gguf_file}
    arguments = {name: value for name, value in given.items() if value is not None}
    arguments["trust_remote_code"] = trust_remote_code
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **arguments)
    except Exception as error:
        raise EngineError(_describe_failure(source, gguf_file, error)) from error
    return _silent_on_lengths(tokenizer)


def _silent_on_lengths(tokenizer: Any) -> Any:
    """The same: prompts are held against the context before they are sampled from.

    Where a longer one is only counted, transformers would foretell indexing errors.
    """
    told = getattr(tokenizer, "deprecation_warnings", {})
    told["sequence-length-is-longer-than-the-specified-maximum"] = True
    return tokenizer


def _resolve_dtype(name: str) -> str | torch.dtype:
    if name == "auto":
        return name
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise EngineError(
            f"dtype is {name!r}, required: auto or a floating-point dtype of torch, such as "
            "float32, bfloat16 or float16"
        )
    return found


def _dense_weights() -> dict[str, Any]:
    """Return the argument that makes transformers unpack GGUF weights.

    Where its matmul kernels are installed, it keeps them packed otherwise. Versions without
    ``GgufConfig`` always unpack.
    """
    try:
        from transformers import GgufConfig
    except ImportError:
        return {}
    return {"quantization_config": GgufConfig(dequantize=True)}


def _describe_failure(source: str, gguf_file: str | None, error: Exception) -> str:
    what = f"{gguf_file} in {source}" if gguf_file else source
    if "trust_remote_code" in str(error):
        return (
            f"{what} brings Python code of its own, which would run with all your rights; "
            "required: your word; do this: read that code, name its commit in model.revision and "
            f"set model.trust_remote_code to true, or take another model ({error})"
        )
    if Path(source).is_dir():
        needed = gguf_file or "config.json, model.safetensors and the tokenizer's files"
        remedy = f"required in that folder: {needed}; check the path"
    else:
        remedy = (
            "no such local folder, and the hub gave nothing; required: an existing folder or a "
            "reachable hub id; check the spelling, the network and, for gated models, the login"
        )
    if "weights_only" in str(error):  # torch's advice is to run what is in the file
        error = ValueError("the weights hold more than tensors, and are not unpickled")
    return f"cannot load a policy from {what}: {remedy} (transformers said: {error})"


def _without_quantization(model: Any) -> Any:
    """Return an equal model that does not count as quantised, made from configuration and state."""
    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    # Initial weights are drawn and then overwritten; the draw must not move the global stream.
    with forked_rng(0):
        rebuilt = AutoModelForCausalLM.from_config(config, dtype=model.dtype)
    rebuilt.load_state_dict(model.state_dict(), strict=True)
    rebuilt.generation_config = copy.deepcopy(model.generation_config)
    return rebuilt
