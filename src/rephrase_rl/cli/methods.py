"""``rephrase-rl methods``: the presets and their blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rephrase_rl.cli.console import output, print_json
from rephrase_rl.cli.options import JsonOption

if TYPE_CHECKING:
    from rephrase_rl.config import GuidanceConfig


def methods(
    name: Annotated[
        str | None, typer.Argument(help="One method, in full.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the methods, or show one with its blocks and its differences from the paper."""
    from rephrase_rl.config import config_to_plain, write_yaml
    from rephrase_rl.methods import PRESETS, get_preset, resolve_guidance

    chosen = list(PRESETS.values()) if name is None else [get_preset(name)]
    if as_json:
        described = {
            preset.name: {
                "summary": preset.summary,
                "paper": preset.paper,
                "guidance": config_to_plain(resolve_guidance(preset.name, {})),
                "trainer": dict(preset.trainer),
                "deviations": list(preset.deviations),
            }
            for preset in chosen
        }
        print_json(described)
    elif name is None:
        width = max(map(len, PRESETS))
        for preset in chosen:
            guidance = resolve_guidance(preset.name, {})
            output.print(f"{preset.name:<{width}}  {_blocks_line(guidance)}")
            output.print(f"{'':<{width}}  {preset.summary} ({preset.paper})")
        output.print(
            "next: rephrase-rl methods NAME, with every value and what differs from the paper"
        )
    else:
        preset = chosen[0]
        output.print(f"{preset.name}: {preset.summary}\n{preset.paper}\n")
        output.print(write_yaml({"guidance": config_to_plain(resolve_guidance(name, {}))}))
        for deviation in preset.deviations:
            output.print(f"differs from the paper: {deviation}")


def _blocks_line(guidance: GuidanceConfig) -> str:
    """The blocks in the order in which they act."""
    rules = " + ".join(rule.kind for rule in guidance.accept) or "anything"
    return (
        f"gate {guidance.gate.kind} > source {guidance.source.kind} > accept {rules} > slot "
        f"{guidance.slot.kind} > train {guidance.train.kind}"
    )
