"""Constants of machines that were measured: found by the processor's name and number of cores."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rephrase_rl.errors import ConfigError
from rephrase_rl.planning.devices import Device, Fact, Links, ProgramRates, TrainerOverhead
from rephrase_rl.planning.published import LINK_FRACTION, Assumptions
from rephrase_rl.planning.work import Rates

FORMAT_VERSION = 1
SHIPPED = Path(__file__).parent / "measured"
"""Machines whose constants come with the package."""
PROGRAMS = tuple(field.name for field in dataclasses.fields(ProgramRates))


def own_folder() -> Path:
    """Where this user's measurements are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "rephrase-rl" / "measured"


def file_name(cpu: str, cores: int) -> str:
    """Name of a machine's file."""
    slug = re.sub(r"[^a-z0-9]+", "-", cpu.lower()).strip("-")
    return f"{slug}-{cores}-cores.json"


def find_constants(cpu: str, cores: int) -> dict[str, Any]:
    """Constants of this machine, the user's own before those that are shipped.

    Raises:
        ConfigError: It was never measured.
    """
    for path in (own_folder() / file_name(cpu, cores), SHIPPED / file_name(cpu, cores)):
        if path.is_file():
            return read_constants(path)
    known = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.json")))
    raise ConfigError(
        f"plan.device is 'this', and {cpu!r} with {cores} cores was never measured (shipped: "
        f"{known}); do this: run the command again with --measure, which takes about a minute and "
        "keeps the constants, or name a GPU in plan.device"
    )


def read_constants(path: Path) -> dict[str, Any]:
    """Read a file of constants.

    Raises:
        ConfigError: It is of another format.
    """
    constants: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if constants.get("format_version") != FORMAT_VERSION:
        raise ConfigError(
            f"found format_version {constants.get('format_version')} in {path}; required: "
            f"{FORMAT_VERSION}; do this: measure again with --measure"
        )
    return constants


def write_constants(constants: Mapping[str, Any], path: Path) -> None:
    """Write a file of constants."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(constants, indent=2) + "\n", encoding="utf-8")


def rates_to_plain(rates: ProgramRates) -> dict[str, dict[str, float]]:
    """Rates as plain data."""
    return {program: dataclasses.asdict(getattr(rates, program)) for program in PROGRAMS}


def measured_device(constants: Mapping[str, Any], number: str, said: Assumptions) -> Device:
    """A machine by its measured constants.

    Args:
        constants: A file's content.
        number: Number format that the plan needs.
        said: The configuration's links; a machine's own are not measured.

    Raises:
        ConfigError: This number format was not measured.
    """
    if number not in constants["rates"]:
        raise ConfigError(
            f"found measured constants for {', '.join(constants['rates'])}; required: {number}; do "
            "this: run the command again with --measure, or set plan.arithmetic"
        )
    links = None
    if said.link_gb_s is not None:
        network = said.network_gb_s or said.link_gb_s
        links = Links(
            said.link_gb_s * 1e9 * LINK_FRACTION,
            network * 1e9 * LINK_FRACTION,
            said.devices_per_node,
        )
    return Device(
        name=f"{constants['cpu']}, {constants['cores']} cores",
        memory_bytes=constants["memory_bytes"],
        rates={
            name: ProgramRates(**{program: Rates(**each) for program, each in programs.items()})
            for name, programs in constants["rates"].items()
        },
        optimiser_s_per_parameter=constants["optimiser_s_per_parameter"],
        is_cpu=True,
        links=links,
        overhead=TrainerOverhead(**constants.get("trainer", {})),
        process_bytes=constants["process_bytes"],
        facts=tuple(_facts(constants, number)),
    )


def _facts(constants: Mapping[str, Any], number: str) -> Iterator[Fact]:
    about = constants["about"]
    commit = about["git"]["commit"] or "unknown"
    source = f"{about['command']}, torch {about['versions']['torch']}, commit {commit[:7]}"
    rates = constants["rates"][number]
    flops = rates["score"]["matmul_flops"]
    bandwidth = rates["decode"]["weight_bytes"]
    yield Fact("memory", f"{constants['memory_bytes'] / 1e9:.1f} GB", "measured", source)
    if flops:
        yield Fact(f"products, {number}", f"{1e-9 / flops:.0f} GFLOP/s", "measured", source)
    if bandwidth:
        yield Fact("weights read", f"{1e-9 / bandwidth:.1f} GB/s", "measured", source)
    yield Fact(
        "decoding, a layer and token",
        f"{rates['decode']['layer_calls'] * 1e3:.2f} ms",
        "measured",
        source,
    )
    if "trainer" in constants:
        trainer, fitted = constants["trainer"], ", ".join(constants["trainer_fitted_to"])
        value = f"{trainer['step_s'] * 1e3:.0f} ms a step, {trainer['row_s'] * 1e3:.2f} ms a row"
        yield Fact("trainer", value, "measured", f"fitted to {fitted}")
