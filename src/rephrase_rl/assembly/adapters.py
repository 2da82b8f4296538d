"""Adapters of a run: from ``model.lora`` to what PEFT and TRL take, and what does not go together.

TRL wraps the policy by its ``peft_config``; PEFT saves, loads and merges. A run that starts from an
adapter trains that one on, since a new one beside it would name a model that is nowhere on disk.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import is_peft_model
from transformers.pytorch_utils import Conv1D

from rephrase_rl.assembly.objects import load_model
from rephrase_rl.config import config_to_plain
from rephrase_rl.config.lora import ALL_LINEAR
from rephrase_rl.errors import ConfigError, EngineError
from rephrase_rl.rollout.adapters import adapter_base

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.config import LoraConfig, PolicyConfig, RunConfig
    from rephrase_rl.records import JSON
    from rephrase_rl.rollout import LoadedPolicy
    from rephrase_rl.runs import RunDirectory


def refuse_unfit_adapters(config: RunConfig) -> None:
    """Refuse settings beside ``model.lora`` under which it would not be what it says.

    Args:
        config: Resolved.

    Raises:
        ConfigError: With all faults.
    """
    model, trainer = config.model, config.trainer
    if model.lora is None:
        return
    faults = []
    if model.lora.dropout > 0 and trainer.get("disable_dropout"):
        faults.append(
            f"model.lora.dropout is {model.lora.dropout:g} and trainer.disable_dropout true, which "
            "would set it to 0: set trainer.disable_dropout to false, or leave the dropout out"
        )
    if model.load_in_4bit and trainer.get("use_vllm"):
        faults.append(
            "model.load_in_4bit and trainer.use_vllm are set; TRL hands vLLM weights in another "
            "shape than 4-bit ones have, which it refuses (huggingface/trl#4973): set "
            "trainer.use_vllm to false, or train adapters on bfloat16 weights (model.dtype)"
        )
    if model.gguf_file is not None or model.path.endswith(".gguf"):
        faults.append(
            "model.lora is set and the policy is a GGUF file, which an adapter cannot name as its "
            "model: write it as safetensors first (`rephrase-rl export merged MODEL OUT`)"
        )
    if trainer.get("sync_ref_model"):
        faults.append(
            "trainer.sync_ref_model is set, and adapters have no reference policy of their own to "
            "be brought up to date: leave it out"
        )
    if faults:
        raise ConfigError("model.lora does not go with other settings", faults)


def warn_of_rate(config: RunConfig) -> None:
    """Say that the default rate is one for all weights, if adapters would be trained at it.

    Args:
        config: As the user wrote it, not resolved.
    """
    if config.model.lora is not None and "learning_rate" not in config.trainer:
        warnings.warn(
            "model.lora is set and trainer.learning_rate is not: its default is the paper's, for "
            "all weights, and adapters learn next to nothing at it; set it to five to ten times as "
            "much (docs/lora.md)",
            stacklevel=2,
        )


def load_with_adapter(model: PolicyConfig, *, for_training: bool) -> LoadedPolicy:
    """A policy; one that is an adapter is merged, or stays beside its model where that is trained.

    Args:
        model: Where it is, and what of it is trained.
        for_training: Whether it is trained.

    Raises:
        ConfigError: It is an adapter unlike ``model.lora``.
        EngineError: Nothing loadable is there, or no GPU for weights in 4 bits.
    """
    # Merging into weights of 4 bits would round what was learned.
    beside = model.load_in_4bit or (for_training and model.lora is not None)
    policy = load_model(model, merge_adapter=not beside, four_bits=model.load_in_4bit)
    if for_training and model.lora is not None and is_peft_model(policy.model):
        _refuse_another_adapter(policy.model, model.lora, model.path)
    return policy


def new_adapter(model: PolicyConfig, policy: Any) -> Any:
    """TRL's ``peft_config``; None where all weights or an adapter that is there are trained.

    Raises:
        ConfigError: ``target_modules`` names layers that the policy does not have.
        EngineError: PEFT is not installed.
    """
    lora = model.lora
    if lora is None or is_peft_model(policy):
        return None
    try:
        from peft import LoraConfig as PeftLoraConfig
    except ImportError as error:
        raise EngineError(
            f"model.lora needs a package that is not installed ({error}); required: the extra for "
            "adapters; do `pip install '.[peft]'` in the clone"
        ) from error
    if not lora.takes_all_linear:
        _refuse_unknown_layers(policy, lora.target_modules)
    return PeftLoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=ALL_LINEAR if lora.takes_all_linear else list(lora.target_modules),
        use_rslora=lora.use_rslora,
        revision=model.revision,
    )


def record_adapter(run: RunDirectory | None, model: PolicyConfig, policy: Any) -> None:
    """Have the manifest say what is trained, unless it is all weights.

    Args:
        run: The run directory; None on all processes but the first.
        model: Of the configuration.
        policy: The trainer's model.
    """
    if run is None or model.lora is None:
        return
    trained, parameters = policy.get_nb_trainable_parameters()
    entry: dict[str, JSON] = {
        "kind": "lora",
        **config_to_plain(model.lora),
        "load_in_4bit": model.load_in_4bit,
        "trained_parameters": trained,
        "parameters": parameters,
    }
    run.update_manifest({"adapter": entry})


def trained_part(config: RunConfig) -> str:
    """What of the policy a run trains, in words.

    Args:
        config: Resolved.
    """
    lora, rate = config.model.lora, f"rate {config.trainer['learning_rate']:g}"
    if lora is None:
        return f"all weights, {rate}"
    bits = " on weights in 4 bits" if config.model.load_in_4bit else ""
    return f"adapters of rank {lora.r} on {', '.join(lora.target_modules)}{bits}, {rate}"


def without_adapter(model: PolicyConfig) -> PolicyConfig:
    """Where the model itself lies if the policy is an adapter on one, for what needs no weights.

    Raises:
        EngineError: An adapter's configuration cannot be read.
    """
    base = adapter_base(model.path)
    if base is None:
        return model
    return model.model_copy(update={"path": base.path, "revision": base.revision})


def _refuse_another_adapter(policy: Any, lora: LoraConfig, path: str) -> None:
    """Refuse to train an adapter on under settings that are not its own.

    Raises:
        ConfigError: With all differences.
    """
    found = policy.peft_config["default"]
    own = {
        "r": getattr(found, "r", None),
        "alpha": getattr(found, "lora_alpha", None),
        "dropout": getattr(found, "lora_dropout", None),
        "use_rslora": getattr(found, "use_rslora", None),
    }
    faults = [
        f"model.lora.{name}: found {getattr(lora, name)!r}, the adapter has {value!r}; set it to "
        "that"
        for name, value in own.items()
        if getattr(lora, name) != value
    ]
    bare = sorted(_linear_layers_without_adapter(policy))
    if lora.takes_all_linear and bare:
        faults.append(
            f"model.lora.target_modules: all-linear, the adapter has none on {bare}; name those "
            f"that it has: {sorted(found.target_modules or ())}"
        )
    targets = sorted(found.target_modules or ())
    if not lora.takes_all_linear and sorted(lora.target_modules) != targets:
        faults.append(
            f"model.lora.target_modules: found {sorted(lora.target_modules)}, the adapter has "
            f"{targets}; set it to that"
        )
    if faults:
        raise ConfigError(
            f"the run starts from the adapter in {path} and would train it on, but model.lora is "
            "not what it was made with; set it to that, or merge the adapter first "
            "(`rephrase-rl export merged`) and start a new one from the result",
            faults,
        )


def _refuse_unknown_layers(policy: Any, names: Sequence[str]) -> None:
    """PEFT passes over names that it does not find, if it finds others.

    Raises:
        ConfigError: With all of them.
    """
    layers = _linear_layers(policy)
    unknown = [n for n in names if not any(f".{layer}".endswith(f".{n}") for layer in layers)]
    if unknown:
        known = sorted({layer.rpartition(".")[2] for layer in layers})
        raise ConfigError(
            f"model.lora.target_modules: found {', '.join(unknown)}, which no linear layer of the "
            "policy is called (its output projection takes no adapter); required: names of such "
            f"layers; write some of: {', '.join(known)}"
        )


def _linear_layers_without_adapter(policy: Any) -> set[str]:
    """Last parts of the names of linear layers that have no adapter, less the projection's."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = tuple(f"{n}." for n, m in policy.named_modules() if isinstance(m, BaseTunerLayer))
    bare = [name for name in _linear_layers(policy) if not f"{name}.".startswith(adapted)]
    return {name.rpartition(".")[2] for name in bare}


def _linear_layers(policy: Any) -> list[str]:
    """Names of all linear layers but the output projection; those in 4 bits are linear too."""
    projection = policy.get_output_embeddings()
    return [
        name
        for name, module in policy.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not projection
    ]
