"""``rephrase-rl doctor``: what this machine can run, and what to install for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from rephrase_rl.cli.console import messages, output, print_json
from rephrase_rl.cli.doctor_facts import (
    FOR_GPUS,
    OPTIONAL_PACKAGES,
    TESTED_VERSIONS,
    gather_facts,
    in_range,
)
from rephrase_rl.cli.options import JsonOption

GIB = 1024**3
BYTES_PER_PARAMETER = 16
"""Full training in float32: weight, gradient and two moments of AdamW."""
ROOM_FOR_THE_REST = 0.6
"""Share of the memory that these may take; the rest is for activations, caches and logits."""
LOW_DISK_BYTES = 10 * 1000**3


def doctor(as_json: JsonOption = False) -> None:
    """Show versions, hardware, hub and what works here; status 0 whatever it finds."""
    with messages.status("looking"):
        facts = gather_facts()
    if as_json:
        print_json({**facts, "advice": advice(facts)})
        return
    table = Table("package", "here", "required", "tested with", title="versions")
    for name, (here, tested, required) in facts["versions"].items():
        table.add_row(name, here or "not installed", required, tested)
    output.print(table, soft_wrap=False)
    for label, value in _described(facts):
        output.print(f"{label}: {value}")
    output.print()
    for line in advice(facts):
        output.print(line)
    output.print("next: rephrase-rl demo, or for your own data: rephrase-rl init MODEL DATA")


def advice(facts: Mapping[str, Any]) -> list[str]:
    """What works, and what to do about what does not, one line each."""
    missing = [name for name, (here, *_) in facts["versions"].items() if here is None]
    if missing:
        install = "pip install -c constraints.txt . (in the clone)"
        return [f"missing: {', '.join(missing)}; do this: {install}"]
    return [
        *_about_versions(facts["versions"]),
        *_about_devices(facts["machine"]),
        *_about_the_hub(facts["hub"], facts["machine"]),
        *_about_extras(facts["optional"], facts["machine"]),
    ]


def _about_versions(versions: Mapping[str, tuple[str, str, str]]) -> list[str]:
    outside = {
        name: (here, required)
        for name, (here, _, required) in versions.items()
        if not in_range(here, required)
    }
    if not outside:
        return ["works: rephrase-rl demo (CPU, minutes)"]
    return [
        f"does not work: training; found {name} {here}, required {required}; do this: pip install "
        f"'{name}=={TESTED_VERSIONS[name]}'"
        for name, (here, required) in outside.items()
    ]


def _about_devices(machine: Mapping[str, Any]) -> list[str]:
    gpus = machine["gpus"]
    if gpus:
        smallest = min(gpu["memory_bytes"] for gpu in gpus)
        number = "bfloat16" if gpus[0]["bfloat16"] else "float32 only (no bfloat16)"
        lines = [
            f"works: full training of up to about {_trainable(smallest)} on one GPU, {number}; "
            "rephrase-rl plan CONFIG says what a run needs"
        ]
        if len(gpus) > 1:
            lines.append(
                f"{len(gpus)} GPUs: accelerate launch --num_processes {len(gpus)} "
                "-m rephrase_rl.cli.main train CONFIG"
            )
        return lines
    lines = [
        "works slowly: models above a few hundred million parameters; no GPU was found by torch"
    ]
    if machine["memory_bytes"]:
        fitting = _trainable(machine["memory_bytes"])
        lines.append(f"memory for full training of up to about {fitting} on this CPU")
    flags = machine["cpu_flags"]
    if not {"avx512_bf16", "amx_bf16"} & set(flags):
        lines.append("no bfloat16 instructions: keep trainer.bf16 off, it would be emulated")
    return lines


def _about_the_hub(hub: Mapping[str, Any], machine: Mapping[str, Any]) -> list[str]:
    lines = []
    if hub["state"] == "offline":
        lines.append(
            "hub is offline (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set): models and data must "
            "be local folders or in the cache"
        )
    elif hub["state"] == "unreachable":
        lines.append(
            f"hub cannot be reached ({hub['why']}): models and data must be local folders or in "
            f"the cache ({hub['cache']}); set HF_HUB_OFFLINE=1, or nothing loads before a time-out"
        )
    elif not hub["logged_in"]:
        lines.append("hub is reachable, not logged in; for gated models: hf auth login")
    if machine["disk_free_bytes"] < LOW_DISK_BYTES:
        free = machine["disk_free_bytes"] / 1000**3
        lines.append(f"little disk: {free:.1f} GB free here; a checkpoint of 1B parameters has 16")
    return lines


def _about_extras(optional: Mapping[str, str | None], machine: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, (extra, use) in OPTIONAL_PACKAGES.items():
        if optional[name] is None and (name not in FOR_GPUS or machine["gpus"]):
            install = f"pip install {'-c constraints-vllm.txt ' * (extra == 'vllm')}'.[{extra}]'"
            lines.append(f"not installed: {use}; do this: {install} (in the clone)")
    return lines


def _trainable(memory_bytes: float) -> str:
    """Parameters that can be trained in full, as people say it: ``1.3B``, ``350M``."""
    parameters = memory_bytes * ROOM_FOR_THE_REST / BYTES_PER_PARAMETER
    if parameters >= 1e9:
        return f"{parameters / 1e9:.1f}B parameters"
    return f"{parameters / 1e6:.0f}M parameters"


def _described(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    machine, hub = facts["machine"], facts["hub"]
    gpus = machine["gpus"]
    memory = machine["memory_bytes"]
    shown = [f"{gpu['name']} ({gpu['memory_bytes'] / GIB:.0f} GiB)" for gpu in gpus or ()]
    return [
        ("python", machine["python"]),
        ("system", machine["system"]),
        ("cpu", f"{machine['cpu']}, {machine['cores']} cores"),
        ("instructions", ", ".join(machine["cpu_flags"]) or "not known"),
        ("memory", "not known" if memory is None else f"{memory / GIB:.1f} GiB"),
        ("gpus", "torch is missing" if gpus is None else ", ".join(shown) or "none"),
        ("disk free here", f"{machine['disk_free_bytes'] / 1000**3:.1f} GB"),
        ("hub", f"{hub['state']}, {'logged in' if hub['logged_in'] else 'not logged in'}"),
        ("hub cache", hub["cache"]),
    ]
