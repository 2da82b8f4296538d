"""Reading, checking, writing and hashing of configurations."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from rephrase_rl.bounded_yaml import MAX_CHARACTERS
from rephrase_rl.config.base import ConfigModel
from rephrase_rl.config.declared import expand_benchmarks
from rephrase_rl.config.endpoint import EndpointConfig
from rephrase_rl.config.evaluation import BenchmarkConfig, EvaluationConfig
from rephrase_rl.config.experts import ExpertsConfig
from rephrase_rl.config.faults import describe_faults
from rephrase_rl.config.guidance import GuidanceConfig
from rephrase_rl.config.harness import HarnessConfig
from rephrase_rl.config.overrides import apply_overrides
from rephrase_rl.config.schema import RunConfig
from rephrase_rl.config.study import StudyConfig
from rephrase_rl.config.switching import switch_method
from rephrase_rl.config.yaml_text import read_yaml, write_yaml
from rephrase_rl.errors import ConfigError
from rephrase_rl.secrecy import without_secrets

ModelT = TypeVar("ModelT", bound=ConfigModel)

NOT_HASHED = ("output_dir", "log", "guards", "plan", "verl")
"""Fields that change where a run is computed, what it writes, when it is stopped or what is
planned, not what it computes."""
_HASHED_IF_GIVEN = (
    *("weight", "rewards", "correctness", "gate", "evaluate", "judge"),
    *("prompt", "ks", "subject", "difficulty", "expected_rows", "subset", "layouts"),
    *("title", "source", "licence"),
)
"""Fields of a data set or benchmark that not all have: without them the hash is that of runs from
before there were any."""
_MODEL_HASHED_IF_GIVEN = ("trust_remote_code", "lora", "load_in_4bit")
"""Likewise, of the model."""
_RULES_HASHED_IF_GIVEN = ("early_stop", "keep_best", "retention")
"""Likewise, of the evaluation."""
_MAPPING_HASHED_IF_GIVEN = ("wrong_options", "list_answer", "rows_in")
"""Likewise, of a mapping by its columns."""


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run configuration from a YAML file.

    Args:
        path: The file.
        overrides: Changes of the form ``a.b.0.c=value``, applied in order. Another ``method`` than
            the file's takes its own blocks; see ``switch_method``.

    Raises:
        ConfigError: The file cannot be read, or the configuration has faults, all of which are
            listed.
    """
    raw = _read_mapping(Path(path))
    faults = [
        *expand_benchmarks(raw),
        *switch_method(raw, overrides),
        *apply_overrides(raw, overrides),
    ]
    return _validated(RunConfig, raw, f"{path} is not a valid configuration", faults)


def parse_config(
    raw: Mapping[str, Any], where: str = "configuration", overrides: Sequence[str] = ()
) -> RunConfig:
    """Check plain data as a run configuration.

    Args:
        raw: What a YAML file would hold.
        where: How the error message calls it.
        overrides: Changes of the form ``a.b.0.c=value``, applied in order.

    Raises:
        ConfigError: With every fault.
    """
    changed = copy.deepcopy(dict(raw))
    faults = [
        *expand_benchmarks(changed),
        *switch_method(changed, overrides),
        *apply_overrides(changed, overrides),
    ]
    return _validated(RunConfig, changed, f"{where} is not valid", faults)


def parse_guidance(raw: Mapping[str, Any], where: str = "guidance") -> GuidanceConfig:
    """Check plain data as a complete guidance; fields that are left out take their defaults.

    Args:
        raw: Blocks, as a preset with its overrides holds them.
        where: Field of the configuration that ``raw`` stands in; begins the place of every fault.

    Raises:
        ConfigError: With every fault.
    """
    return _validated(GuidanceConfig, raw, f"{where} is not valid", [], prefix=where)


def parse_benchmarks(
    raw: Sequence[Mapping[str, Any] | str], overrides: Sequence[str] = ()
) -> list[BenchmarkConfig]:
    """Check plain data as benchmarks, after applying the same overrides to each of them.

    Args:
        raw: What a YAML file would hold under ``evaluation.benchmarks``; names stand for declared
            ones.
        overrides: Of the form ``field=value``, relative to one benchmark.

    Raises:
        ConfigError: With every fault.
    """
    whole = {"evaluation": {"benchmarks": copy.deepcopy(list(raw))}}
    unknown = expand_benchmarks(whole)
    changed = [item for item in whole["evaluation"]["benchmarks"] if isinstance(item, dict)]
    faults = list(dict.fromkeys(f for item in changed for f in apply_overrides(item, overrides)))
    title = "the benchmarks are not valid"
    checked = _validated(EvaluationConfig, {"benchmarks": changed}, title, [*unknown, *faults])
    return list(checked.benchmarks)


def parse_harness(overrides: Sequence[str] = ()) -> HarnessConfig:
    """Options of lm-evaluation-harness from overrides of the form ``field=value``.

    Raises:
        ConfigError: With every fault.
    """
    raw: dict[str, Any] = {}
    faults = apply_overrides(raw, overrides)
    return _validated(HarnessConfig, raw, "the options of --lm-eval are not valid", faults)


def parse_endpoint(raw: Mapping[str, Any], where: str = "endpoint") -> EndpointConfig:
    """Check plain data as the description of an endpoint.

    Args:
        raw: What a YAML file would hold.
        where: Field of the configuration that ``raw`` stands in; begins the place of every fault.

    Raises:
        ConfigError: With every fault.
    """
    return _validated(EndpointConfig, raw, f"{where} is not valid", [], prefix=where)


def parse_experts(
    source: str | Path | Mapping[str, Any],
    changes: Mapping[str, Any],
    overrides: Sequence[str] = (),
) -> ExpertsConfig:
    """Read how expert solutions are sampled from a YAML file or plain data.

    Args:
        source: The file, or what it would hold.
        changes: Fields that take the place of those in ``source``; mappings of one kind are merged.
        overrides: Changes of the form ``a.b.0.c=value``, applied last.

    Raises:
        ConfigError: The file cannot be read, or there are faults, all of which are listed.
    """
    raw = (
        copy.deepcopy(dict(source))
        if isinstance(source, Mapping)
        else _read_mapping(Path(source), "sampling of experts", "data, teacher and output")
    )
    for name, value in changes.items():
        raw[name] = _merged(raw.get(name), value)
    faults = apply_overrides(raw, overrides)
    return _validated(ExpertsConfig, raw, "the sampling of experts is not valid", faults)


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> StudyConfig:
    """Read a study from a YAML file.

    Args:
        path: The file.
        overrides: Changes of the form ``a.b.0.c=value``, applied in order.

    Raises:
        ConfigError: The file cannot be read, or the study has faults, all of which are listed.
    """
    raw = _read_mapping(Path(path), "study", "name, arms and order")
    faults = apply_overrides(raw, overrides)
    return _validated(StudyConfig, raw, f"{path} is not a valid study", faults)


def _merged(here: object, change: object) -> object:
    """The change, with the fields of what is there beside its own if both are of one kind."""
    if not isinstance(here, dict) or not isinstance(change, Mapping):
        return copy.deepcopy(change)
    if change.get("kind", here.get("kind")) != here.get("kind"):
        return dict(change)
    return {**here, **change}


def config_to_plain(config: ConfigModel) -> dict[str, Any]:
    """Every field as plain data (dicts, lists, text, numbers), defaults included."""
    return config.model_dump(mode="json")


def dump_config(config: RunConfig) -> str:
    """Write a configuration as YAML with every field; ``load_config`` gives an equal one back."""
    return write_yaml(config_to_plain(config))


def config_hash(config: RunConfig) -> str:
    """SHA-256 of everything in the configuration that can change what a run computes.

    Where the run is written, what it logs and what was planned is left out. Order of fields does
    not matter.
    """
    plain = {key: value for key, value in config_to_plain(config).items() if key not in NOT_HASHED}
    for name in _MODEL_HASHED_IF_GIVEN:
        if not plain["model"][name]:
            del plain["model"][name]
    for name in _RULES_HASHED_IF_GIVEN:
        if plain["evaluation"][name] is None:
            del plain["evaluation"][name]
    for item in (*plain["data"], *plain["evaluation"]["benchmarks"]):
        for name in _HASHED_IF_GIVEN:
            if not item.get(name, True):
                del item[name]
        if isinstance(item.get("data", item)["mapping"], dict):
            mapping = item.get("data", item)["mapping"]
            for name in _MAPPING_HASHED_IF_GIVEN:
                if mapping[name] is None:
                    del mapping[name]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _read_mapping(
    path: Path, what: str = "run configuration", fields: str = "method, model and data"
) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            raw = read_yaml(file.read(MAX_CHARACTERS + 1))
    except OSError as error:
        raise ConfigError(
            f"found no readable file {path} ({error.strerror}); required: a YAML file, the {what}; "
            "do this: check the path (recipes/ holds examples)"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        shown = without_secrets(str(error))  # it quotes the line
        raise ConfigError(
            f"found text in {path} that is not valid YAML: {shown}; required: a YAML mapping; "
            "do this: correct that place"
        ) from error
    if not isinstance(raw, dict):
        raise ConfigError(
            f"found {type(raw).__name__} in {path}; required: a YAML mapping with at least "
            f"{fields}; do this: write the {what} so (recipes/ holds examples)"
        )
    return raw


def _validated(
    model: type[ModelT],
    raw: Mapping[str, Any],
    title: str,
    faults: Sequence[str],
    *,
    prefix: str = "",
) -> ModelT:
    try:
        # A deep copy, so that free mappings of the frozen config share nothing with the caller's.
        config = model.model_validate(copy.deepcopy(dict(raw)))
    except ValidationError as error:
        raise ConfigError(title, [*faults, *describe_faults(error, model, raw, prefix)]) from error
    except UnicodeEncodeError as error:
        fault = f"found half of a surrogate pair ({error.object!r:.80}); required: whole characters"
        raise ConfigError(title, [*faults, fault]) from error
    if faults:
        raise ConfigError(title, faults)
    return config
