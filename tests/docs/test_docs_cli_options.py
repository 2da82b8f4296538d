"""The options of the command line are frozen: a new knob belongs into the configuration."""

from __future__ import annotations

from typing import Any

import typer

from rephrase_rl.cli.main import app

# fmt: off
FROZEN = {
    "": ["--debug", "--version"],
    "compare": ["--baseline", "--general", "--hard", "--json", "--out", "--threshold"],
    "config check": ["--set"],
    "config show": ["--set"],
    "data check": [
        "--against", "--column", "--json", "--judge", "--limit", "--mapping", "--model",
        "--no-judge", "--rows", "--set", "--split", "--words",
    ],
    "demo": ["--arm", "--check", "--no-check", "--out", "--seed", "--set", "--steps"],
    "doctor": ["--json"],
    "eval": [
        "--benchmark", "--engine", "--json", "--like", "--list", "--lm-eval", "--out", "--resume",
        "--samples", "--seed", "--set", "--trust", "-k",
    ],
    "experts": [
        "--json", "--keep-unsolved", "--out", "--samples", "--set", "--teacher", "--teacher-model",
        "-k",
    ],
    "export merged": ["--dtype"],
    "export verl": ["--set", "--trust"],
    "init": [
        "--column", "--mapping", "--method", "--out", "--overwrite", "--split", "--task",
    ],
    "ledger": ["--json", "--limit", "--samples", "--seed", "--trust", "--utilisation", "-k"],
    "methods": ["--json"],
    "mine": [
        "--engine", "--high", "--json", "--low", "--model", "--out", "--samples", "--set", "-k",
    ],
    "rephrase": ["--json", "--out", "--samples", "--set", "-k"],
    "plan": ["--devices", "--json", "--measure", "--open-share", "--set"],
    "report": [],
    "study ablations": [
        "--config", "--hours", "--known", "--max-runs", "--out", "--set", "--status",
    ],
    "study claims": [
        "--config", "--hours", "--known", "--max-runs", "--out", "--set", "--status",
    ],
    "study plus": [
        "--config", "--hours", "--known", "--max-runs", "--out", "--set", "--status",
    ],
    "study plus-ab": [
        "--config", "--hours", "--known", "--max-runs", "--out", "--set", "--status",
    ],
    "train": ["--dry-run", "--engine", "--overwrite", "--resume", "--resume-from", "--set"],
}
# fmt: on


def options_of(command: Any, path: str) -> dict[str, list[str]]:
    own = sorted(
        name
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.name != "help"
        for name in (*parameter.opts, *parameter.secondary_opts)
    )
    below = getattr(command, "commands", {})
    found = {} if below and path else {path: own}
    for name, child in below.items():
        found |= options_of(child, f"{path} {name}".strip())
    return found


def test_options_are_those_of_the_list() -> None:
    assert options_of(typer.main.get_command(app), "") == FROZEN
