"""``--set method=NAME`` on a file that was written for another method.

What a file says of its blocks is laid over the preset that it names. Under another preset the
same words can make a method that is neither of the two, which nobody asked for: they are refused,
or left out and told of where they are mere settings of a block that the other method has not.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from rephrase_rl.config.guidance import AdvantageConfig, GuidanceConfig
from rephrase_rl.config.overrides import apply_overrides
from rephrase_rl.presets import PRESETS

if TYPE_CHECKING:
    from rephrase_rl.presets import Preset

BLOCKS = ("gate", "source", "slot", "train")
"""Of one kind each; ``accept`` is a list of kinds."""


def switch_method(raw: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Make a file's blocks fit for the method that the command line names in place of the file's.

    A block whose kind both presets have alike is a change of either, and stays.

    Args:
        raw: Configuration as read from YAML, before the overrides; settings that the other method's
            blocks do not have are taken out of it, with a warning.
        overrides: Of the form ``path=value``.

    Returns:
        At most one sentence: blocks with which the run would not be what ``method`` says.
    """
    paths = {override.partition("=")[0].strip() for override in overrides}
    asked: dict[str, Any] = {}
    apply_overrides(asked, [o for o in overrides if o.partition("=")[0].strip() == "method"])
    name, written_for = asked.get("method"), raw.get("method")
    if not isinstance(name, str) or name not in PRESETS or written_for in (None, name):
        return []
    new = PRESETS[name]
    old = PRESETS.get(written_for) if isinstance(written_for, str) else None
    _tell_of_trainer(raw.get("trainer"), new, old, paths)
    guidance = raw.get("guidance")
    if not isinstance(guidance, dict) or "guidance" in paths:
        return []
    given = {
        block: value
        for block, value in guidance.items()
        if f"guidance.{block}" not in paths and f"guidance.{block}.kind" not in paths
    }
    foreign = [*_foreign_kinds(given, new, old), *_foreign_advantages(given, new, old, paths)]
    if foreign:
        return [
            f"--set method={name}: found blocks in the file that are not those of {name}: "
            f"{'; '.join(foreign)}; required: blocks of {name}, or the decision to combine them; "
            f"do this: add --set 'guidance={{}}' for {name} as it is, or write method: {name} into "
            "the file to combine them"
        ]
    left_out = list(_left_out(given, guidance, new, old))
    if left_out:
        warnings.warn(
            f"--set method={name}: {', '.join(left_out)} of the file left out, which no block of "
            f"{name} has",
            stacklevel=2,
        )
    return []


def _kind(preset: Preset | None, block: str) -> str | None:
    """Kind of a preset's block; None where there is no preset."""
    if preset is None:
        return None
    default = GuidanceConfig.model_fields[block].default.kind
    return str(preset.blocks.get(block, {}).get("kind", default))


def _rules(preset: Preset) -> list[str]:
    default = [rule.kind for rule in GuidanceConfig.model_fields["accept"].default]
    return _names(preset.blocks.get("accept", default))


def _names(rules: object) -> list[str]:
    """Kinds of rules as a file may write them: one or several, with or without settings."""
    items = rules if isinstance(rules, list) else [rules]
    return [str(item.get("kind") if isinstance(item, Mapping) else item) for item in items]


def _foreign_kinds(given: Mapping[str, Any], new: Preset, old: Preset | None) -> Iterator[str]:
    """Blocks that the file names by kind and that make another method of the new one."""
    for block in BLOCKS:
        value = given.get(block)
        kind = value.get("kind") if isinstance(value, Mapping) else None
        theirs = _kind(new, block)
        if kind is not None and theirs not in (kind, _kind(old, block)):
            yield f"{block} {kind} ({new.name}: {theirs})"
    if "accept" in given:
        names, theirs_too = _names(given["accept"]), _rules(new)
        if theirs_too != names and (old is None or theirs_too != _rules(old)):
            here, there = (", ".join(rules) or "anything" for rules in (names, theirs_too))
            yield f"accept {here} ({new.name}: {there})"


def _foreign_advantages(
    given: Mapping[str, Any], new: Preset, old: Preset | None, paths: set[str]
) -> Iterator[str]:
    """Likewise, what the two presets say differently of advantages."""
    own = given.get("advantages")
    if not isinstance(own, Mapping):
        return
    for field, value in own.items():
        if field not in AdvantageConfig.model_fields or f"guidance.advantages.{field}" in paths:
            continue
        default = AdvantageConfig.model_fields[field].default
        theirs = new.blocks.get("advantages", {}).get(field, default)
        before = None if old is None else old.blocks.get("advantages", {}).get(field, default)
        if theirs not in (value, before):
            yield f"advantages.{field} {value} ({new.name}: {theirs})"


def _left_out(
    given: Mapping[str, Any], guidance: dict[str, Any], new: Preset, old: Preset | None
) -> Iterator[str]:
    """Take settings of the old preset's kind out of ``guidance`` that the new one's has not."""
    for block in BLOCKS:
        value, theirs, before = given.get(block), _kind(new, block), _kind(old, block)
        if not isinstance(value, Mapping) or "kind" in value or theirs == before:
            continue
        gone = _fields(block, before) - _fields(block, theirs)
        yield from (f"guidance.{block}.{field}" for field in value if field in gone)
        guidance[block] = {field: item for field, item in value.items() if field not in gone}


def _fields(block: str, kind: str | None) -> frozenset[str]:
    """Fields of a kind of block."""
    for member in get_args(GuidanceConfig.model_fields[block].annotation):
        if member.model_fields["kind"].default == kind:
            return frozenset(member.model_fields)
    return frozenset()


def _tell_of_trainer(trainer: object, new: Preset, old: Preset | None, paths: set[str]) -> None:
    """Say which of the file's trainer fields stand where the presets differ."""
    if not isinstance(trainer, Mapping) or "trainer" in paths:
        return
    before = {} if old is None else old.trainer
    stands = []
    for field, value in trainer.items():
        if f"trainer.{field}" in paths or before.get(field) == new.trainer.get(field):
            continue
        if field not in new.trainer:
            stands.append(f"{field} {value!r:.40} ({new.name}: the default)")
        elif value != new.trainer[field]:
            stands.append(f"{field} {value!r:.40} ({new.name}: {new.trainer[field]})")
    if stands:
        warnings.warn(
            f"--set method={new.name}: trainer fields of the file stand, where {new.name} has "
            f"others: {', '.join(stands)}; --set changes them",
            stacklevel=3,
        )
