"""What a command line means by its data: a run configuration, or problems alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rephrase_rl.cli.data import CONFIG_SUFFIXES
from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from rephrase_rl.config import RunConfig


def config_of_target(
    target: str, model: str | None, overrides: Sequence[str], *, method: str
) -> RunConfig:
    """The configuration that a command works by.

    Args:
        target: A run configuration (YAML), or where the problems are.
        model: Takes the place of the configuration's policy; needed for problems alone. A run
            stands for its final policy.
        overrides: Changes of the form ``path=value``.
        method: Preset whose settings go with problems alone.

    Raises:
        ConfigError: There is no model, or the configuration is not valid; with every fault.
        CheckpointError: The model is a run without a final policy.
    """
    from rephrase_rl.config import PolicyConfig, load_config, parse_config

    if model is not None and (Path(model) / "manifest.json").is_file():
        from rephrase_rl.assembly.policies import resolve_policy_path

        model = resolve_policy_path(model)
    if Path(target).suffix in CONFIG_SUFFIXES:
        config = load_config(target, overrides)
        if model is None:
            return config
        # A model of one's own choice has none of the configured one's peculiarities but its dtype.
        chosen = PolicyConfig(path=model, dtype=config.model.dtype)
        return config.model_copy(update={"model": chosen, "init_from": None})
    if model is None:
        raise ConfigError(
            f"found problems ({target}) and no model; required: one that answers; do this: give "
            "--model, such as --model lab:base, or a run configuration (YAML) in place of the data"
        )
    raw: dict[str, Any] = {"method": method, "model": {"path": model}, "data": {"path": target}}
    return parse_config(raw, "the command line", overrides)
