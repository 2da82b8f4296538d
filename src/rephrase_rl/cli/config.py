"""``rephrase-rl config``: look at a configuration as it will be used, or only check it."""

from __future__ import annotations

import typer

from rephrase_rl.cli.console import output
from rephrase_rl.cli.options import ConfigArgument, SetOption

config_app = typer.Typer(help="Look at or check a run configuration.", no_args_is_help=True)


@config_app.command("show")
def show(
    config_path: ConfigArgument,
    overrides: SetOption = [],
) -> None:
    """Print the configuration with every default filled in; the output is itself valid input."""
    from rephrase_rl.config import dump_config, load_config
    from rephrase_rl.methods import resolve_config

    output.print(dump_config(resolve_config(load_config(config_path, overrides))), end="")


@config_app.command("check")
def check(
    config_path: ConfigArgument,
    overrides: SetOption = [],
) -> None:
    """Check everything that can be checked without loading a model or data."""
    from rephrase_rl.config import config_hash, load_config
    from rephrase_rl.methods import resolve_config, resolve_guidance

    config = resolve_config(load_config(config_path, overrides))
    guidance = resolve_guidance(config.method, config.guidance)

    from rephrase_rl.assembly import column_mapping
    from rephrase_rl.rewards.registry import refuse_unknown_name
    from rephrase_rl.trainers.trl.arguments import grpo_arguments

    for data in (*config.data, *(benchmark.data for benchmark in config.evaluation.benchmarks)):
        column_mapping(data)
    grpo_arguments(
        config.trainer,
        output_dir="unused",
        seed=config.seed,
        scale_rewards=guidance.advantages.scale,
        reward_weights=[reward.weight for reward in config.rewards] or [1.0],
    )
    for reward in (*config.rewards, *(reward for data in config.data for reward in data.rewards)):
        if ":" not in reward.verifier:
            refuse_unknown_name(reward.verifier)
    output.print(f"{config_path} is valid: method {config.method}, hash {config_hash(config)}")
