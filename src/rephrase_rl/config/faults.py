"""From pydantic's errors to sentences: where, what was found, what is required, what to do."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from rephrase_rl.config.data import WAYS_OF_NAMING
from rephrase_rl.secrecy import without_secrets

LONGEST_SHOWN_VALUE = 80


def describe_faults(
    error: ValidationError, model: type[BaseModel], raw: object, prefix: str = ""
) -> list[str]:
    """One sentence per fault, in the order of the fields.

    Args:
        error: What validation of ``raw`` against ``model`` raised.
        model: The model that was asked for.
        raw: The data as the user wrote it.
        prefix: Field of a larger configuration that ``raw`` stands in; put before every place.
    """
    return [
        _describe(detail, model, raw, prefix)
        for detail in error.errors(include_url=False, include_context=True)
    ]


def nearest(name: str, choices: Sequence[str]) -> str | None:
    """The choice that ``name`` was most likely meant to be, if any is near enough."""
    matches = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    return matches[0] if matches else None


def _describe(detail: Any, model: type[BaseModel], raw: object, prefix: str) -> str:
    """Detail is pydantic's ErrorDetails; typed loosely, since its ``ctx`` has no type anyway."""
    path = _written_path(raw, detail["loc"])
    where = ".".join([*([prefix] if prefix else []), *map(str, path)]) or "the top level"
    kind, found = detail["type"], _shown(detail["input"])
    if kind == "extra_forbidden":
        return f"{where}: {_unknown_field(str(path[-1]), _models_at(model, path[:-1], raw))}"
    if kind == "missing":
        meaning = _meaning(model, path, raw)
        return f"{where}: found nothing; required: a value; do this: add it{meaning}"
    if kind in ("literal_error", "union_tag_invalid"):
        return f"{where}: {_unknown_choice(detail, found)}"
    if kind == "union_tag_not_found":
        members = _models_at(model, path, raw)
        kinds = ", ".join(str(member.model_fields["kind"].default) for member in members)
        return (
            f"{where}: found no kind; required: a mapping with `kind`; do this: add one of {kinds}"
        )
    if kind == "value_error":
        return f"{where}: {detail['ctx']['error']}"
    required = _required(kind, detail["msg"])
    remedy = _remedy(kind, detail["input"])
    if required == "a mapping" and isinstance(detail["input"], str) and _has_path(model, path, raw):
        remedy = f"write it as {path[-1]}: {{path: {found}}}"
    return (
        f"{where}: found {found}; required: {required}; do this: "
        f"{remedy}{_meaning(model, path, raw)}"
    )


def _has_path(model: type[BaseModel], path: Sequence[int | str], raw: object) -> bool:
    """Whether a path may be all that was meant by a text in the place of a block."""
    return bool(path) and any("path" in m.model_fields for m in _models_at(model, path, raw))


def _written_path(raw: object, loc: Sequence[int | str]) -> list[int | str]:
    """Pydantic's location as the user would write it.

    Pydantic puts the chosen kind of a block into the location, the way in which a mapping is
    written, and an index where a lone item was written in place of a list.
    """
    path: list[int | str] = []
    here = raw
    for part in loc:
        if part in WAYS_OF_NAMING and not (isinstance(here, Mapping) and part in here):
            continue
        if isinstance(here, Mapping):
            if isinstance(part, int) or (part not in here and here.get("kind") == part):
                continue
            here = here.get(part)
        elif isinstance(here, list | tuple) and isinstance(part, int):
            here = here[part] if part < len(here) else None
        elif isinstance(part, int):
            continue
        path.append(part)
    return path


def _models_at(
    model: type[BaseModel], path: Sequence[int | str], raw: object
) -> list[type[BaseModel]]:
    """The models that the value at ``path`` may be; one unless it is a block without a kind."""
    candidates = [model]
    here = raw
    for part in path:
        here = _step(here, part)
        if not isinstance(part, int):
            candidates = [
                found
                for candidate in candidates
                if part in candidate.model_fields
                for found in _models_in(candidate.model_fields[part].annotation)
            ]
    kind = here.get("kind") if isinstance(here, Mapping) else None
    if kind is None:
        return candidates
    return [c for c in candidates if "kind" not in c.model_fields or _kind(c) == kind]


def _kind(model: type[BaseModel]) -> object:
    return model.model_fields["kind"].default


def _step(here: object, part: int | str) -> object:
    if isinstance(here, Mapping):
        return here.get(part)
    if isinstance(here, list | tuple) and isinstance(part, int) and part < len(here):
        return here[part]
    return None


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]


def _unknown_field(name: str, models: Sequence[type[BaseModel]]) -> str:
    fields = list(dict.fromkeys(field for model in models for field in model.model_fields))
    guess = nearest(name, fields)
    remedy = f"did you mean `{guess}`?" if guess else "remove it or choose a known field"
    return f"found unknown field `{name}`; required: one of {', '.join(fields)}; do this: {remedy}"


def _unknown_choice(detail: Any, found: str) -> str:
    context = detail["ctx"]
    if detail["type"] == "union_tag_invalid":
        found, given = without_secrets(repr(context["tag"])), str(context["tag"])
        found = f"kind {found}"
    else:
        given = str(detail["input"])
    expected = str(context.get("expected_tags") or context["expected"])
    choices = [choice.strip("' ") for choice in expected.replace(" or ", ", ").split(",")]
    guess = nearest(given, choices)
    remedy = f"did you mean {guess}?" if guess else "choose one of them"
    return f"found {found}; required: one of {', '.join(choices)}; do this: {remedy}"


def _required(kind: str, message: str) -> str:
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "a mapping"
    if kind == "string_type":
        return "text"
    shortened = message.removeprefix("Input should ").removeprefix("String should ")
    if shortened.startswith(("match", "have")):
        return f"it must {shortened}"
    return shortened.removeprefix("be ")


def _remedy(kind: str, found: object) -> str:
    if kind in ("int_type", "float_type") and isinstance(found, str):
        return "write a number, without quotes"
    if kind == "string_type" and not isinstance(found, Mapping | list):
        return "put it in quotes"
    return "change the value"


def _meaning(model: type[BaseModel], path: Sequence[int | str], raw: object) -> str:
    """What the field is for, from the doc string under it."""
    if not path or isinstance(path[-1], int):
        return ""
    for owner in _models_at(model, path[:-1], raw):
        field = owner.model_fields.get(path[-1])
        if field is not None and field.description:
            return f" ({' '.join(field.description.split())})"
    return ""


def _shown(value: object) -> str:
    text = without_secrets(repr(value))
    return text if len(text) <= LONGEST_SHOWN_VALUE else text[: LONGEST_SHOWN_VALUE - 3] + "..."
