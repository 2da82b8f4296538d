"""``rephrase-rl plan``: memory, tokens and time of a run before it is started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rephrase_rl.cli.console import messages, print_json
from rephrase_rl.cli.options import ConfigArgument, JsonOption, SetOption

if TYPE_CHECKING:
    from rephrase_rl.config import RunConfig

DEVICE_COUNTS = (1, 8, 64, 512, 1024)
"""Compared where none are named and the device has links."""
MOST_DEVICES = 1024


def plan(
    config_path: ConfigArgument,
    overrides: SetOption = [],
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Numbers of processes, each on a device, to compare, 1 to 1024; the first is "
            "planned in full. Without it: plan.devices.",
            show_default=False,
        ),
    ] = None,
    open_share: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Expected share of open gates, in place of plan.expected_open_share.",
            show_default=False,
        ),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure", help="Measure this machine first, about a minute, and keep the constants."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what a run will cost: memory, tokens and seconds by phase, and what guidance adds."""
    from rephrase_rl.config import load_config

    counts = _counts(devices)
    config = load_config(config_path, overrides)
    if measure:
        _measure(config)
    with messages.status("reading model and data"):
        from rephrase_rl.assembly.plan_inputs import plan_run, with_overrides

        config = with_overrides(config, counts[0] if counts else None, open_share)
        if not counts and (config.plan.device != "this" or config.plan.link_gb_s is not None):
            counts = tuple(sorted({*DEVICE_COUNTS, config.plan.devices}))
        made = plan_run(config, counts)
    if as_json:
        from rephrase_rl.planning import plan_to_plain

        print_json(plan_to_plain(made))
        return
    from rephrase_rl.cli.plan_tables import show_plan

    show_plan(made)


def _counts(text: str | None) -> tuple[int, ...]:
    """Numbers of devices as written on the command line."""
    from rephrase_rl.errors import ConfigError

    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    wrong = [p for p in parts if not p.isdecimal() or not 1 <= int(p) <= MOST_DEVICES]
    if wrong:
        raise ConfigError(
            f"--devices: found {', '.join(map(repr, wrong))}; required: whole numbers from 1 to "
            f"{MOST_DEVICES}, separated by commas; do this: --devices 1,8,64"
        )
    return tuple(dict.fromkeys(int(part) for part in parts))


def _measure(config: RunConfig) -> None:
    """Measure this machine in the number format that the run needs."""
    from rephrase_rl.assembly.plan_measure import measure_constants
    from rephrase_rl.methods import resolve_config
    from rephrase_rl.planning.from_config import computing_of
    from rephrase_rl.planning.measured import file_name, own_folder, write_constants

    number = computing_of(resolve_config(config)).arithmetic
    with messages.status("measuring"):
        constants = measure_constants([number], command="rephrase-rl plan --measure")
    path = own_folder() / file_name(constants["cpu"], constants["cores"])
    write_constants(constants, path)
    messages.print(f"measured; kept in {path}")
