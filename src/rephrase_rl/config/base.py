"""What every configuration model has in common, and the field types they share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from rephrase_rl.secrecy import secrets_in

ItemT = TypeVar("ItemT")


class ConfigModel(BaseModel):
    """Frozen, strict and closed: an unknown key is a fault, and so is ``"3"`` for a number."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
        # What a user wrote in the wrong place may be a key; our own messages quote with care.
        hide_input_in_errors=True,
    )


def _as_tuple(value: object) -> object:
    """Take a list as written in YAML, or one lone item in place of a list of one."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, tuple):
        return value
    return (value,)


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    faults = sorted(set(_unplain_parts(value, "")))
    if faults:
        raise ValueError(
            f"found {', '.join(faults)}; required: text, finite numbers, true, false, null, lists "
            "and mappings, which alone can be stored; do this: write it as one of these"
        )
    secrets = secrets_in(value)
    if secrets:
        raise ValueError(
            f"found a key in {', '.join(secrets)} (not quoted here); required: no secrets, since "
            "configurations are stored; do this: put it into the environment (for an endpoint name "
            "the variable in api_key_env; for the hub set HF_TOKEN) and take it out here"
        )
    return dict(value)


def _unplain_parts(value: object, path: str) -> list[str]:
    """Paths of everything below ``value`` that would not survive a way through YAML."""
    if isinstance(value, Mapping):
        faults = [f"{path}{key!r} as a key" for key in value if not _is_text(key)]
        return faults + [
            fault for key, item in value.items() for fault in _unplain_parts(item, f"{path}{key}.")
        ]
    if isinstance(value, list):
        return [
            fault for i, item in enumerate(value) for fault in _unplain_parts(item, f"{path}{i}.")
        ]
    if value is None or isinstance(value, bool | int) or _is_text(value):
        return []
    if isinstance(value, float) and math.isfinite(value):
        return []
    return [f"{path.removesuffix('.')}={value!r}"]


def _is_text(value: object) -> bool:
    """Whether a value is text that can be written: no half of a surrogate pair."""
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


Many = Annotated[tuple[ItemT, ...], BeforeValidator(_as_tuple)]
"""Several items; in YAML a list, or one item alone."""

PlainMapping = Annotated[dict[str, Any], AfterValidator(_plain)]
"""A mapping whose keys belong to someone else (TRL, a preset); checked where it is used."""
