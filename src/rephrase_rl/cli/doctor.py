"""``rephrase-rl doctor``: what this machine can run, and what to install for the rest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from rich.table import Table

from rephrase_rl.cli.console import messages, output, print_json
from rephrase_rl.cli.options import JsonOption

TESTED_VERSIONS: Mapping[str, str] = {
    "torch": "2.13.0",
    "transformers": "5.23.0",
    "trl": "1.16.0",
    "accelerate": "1.15.0",
    "datasets": "5.2.0",
    "math-verify": "0.9.0",
    "pebble": "5.2.3",
    "pydantic": "2.14.3",
    "numpy": "2.4.6",
    "scipy": "1.17.1",
}
"""What the tests ran with; the same as in constraints.txt, which a test compares."""

OPTIONAL_PACKAGES: Mapping[str, str] = {
    "peft": "training of adapters (LoRA)",
    "vllm": "fast sampling on a GPU",
    "gguf": "reading of GGUF files",
}
"""Distribution -> what it is for; each is an extra of the same name."""

SUPPORTED_TRL = "1.16."
"""The trainer overrides TRL's private methods, so it is tied to one minor version."""

GIB = 1024**3


def doctor(as_json: JsonOption = False) -> None:
    """Show versions, hardware and what works here; exits with status 0 whatever it finds."""
    with messages.status("looking"):
        facts = gather_facts()
    if as_json:
        print_json(facts)
        return
    table = Table("package", "here", "tested with", title="versions")
    for name, (here, tested) in facts["versions"].items():
        table.add_row(name, here or "not installed", tested)
    output.print(table, soft_wrap=False)
    for label, value in facts["machine"].items():
        output.print(f"{label}: {value}")
    output.print()
    for line in advice(facts):
        output.print(line)


def gather_facts() -> dict[str, Any]:
    """Versions (here, tested), the machine and the optional packages, as plain data."""
    return {
        "versions": {name: (_version(name), tested) for name, tested in TESTED_VERSIONS.items()},
        "machine": _machine(),
        "optional": {name: _version(name) for name in OPTIONAL_PACKAGES},
    }


def advice(facts: Mapping[str, Any]) -> list[str]:
    """What works, and what to do about what does not, one line each."""
    missing = [name for name, (here, _) in facts["versions"].items() if here is None]
    if missing:
        return [f"missing: {', '.join(missing)}; do this: pip install rephrase-rl"]
    lines = []
    trl = facts["versions"]["trl"][0]
    if trl.startswith(SUPPORTED_TRL):
        lines.append("works: rephrase-rl demo (CPU, minutes)")
    else:
        lines.append(
            f"does not work: training; found trl {trl}, required {SUPPORTED_TRL}x; do this: "
            f"pip install 'trl=={TESTED_VERSIONS['trl']}'"
        )
    machine = facts["machine"]
    if machine["gpus"]:
        bf16 = "bfloat16" if machine["bfloat16"] else "float32 only (no bfloat16)"
        lines.append(f"works: training of language models on the GPU, {bf16}")
    else:
        lines.append(
            "works slowly: models above a few hundred million parameters; no GPU was found by torch"
        )
    if machine["hub"] == "offline":
        lines.append(
            "hub is offline (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set): models and data must "
            "be local folders or in the cache"
        )
    for name, use in OPTIONAL_PACKAGES.items():
        if facts["optional"][name] is None:
            lines.append(f"not installed: {use}; do this: pip install 'rephrase-rl[{name}]'")
    return lines


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    from rephrase_rl.runs.hardware import describe_hardware

    bfloat16 = _load_torch()
    hardware = describe_hardware()
    memory = hardware["memory_bytes"]
    offline = any(_is_set(name) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return {
        "system": hardware["system"],
        "cpu": hardware["cpu"],
        "cores": hardware["cores"],
        "memory": None if memory is None else f"{memory / GIB:.1f} GiB",
        "gpus": hardware["gpus"],
        "bfloat16": bfloat16,
        "hub": "offline" if offline else "allowed",
    }


def _load_torch() -> bool | None:
    """Load torch, so that the hardware's description knows the GPUs; whether they have bfloat16."""
    try:
        import torch
    except ImportError:
        return None
    return bool(torch.cuda.is_available() and torch.cuda.is_bf16_supported())


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in {"1", "on", "yes", "true"}
