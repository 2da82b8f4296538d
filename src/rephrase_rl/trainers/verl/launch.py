"""Start verl's V1 trainer with guidance: verl's own entry point, with a task runner of ours.

``python -m rephrase_rl.trainers.verl.launch OVERRIDES...`` takes what ``python -m
verl.trainer.main_ppo`` takes. Nothing is attached as a verl plug-in: verl logs a plug-in that
cannot be imported at DEBUG and trains without it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
import ray
from omegaconf import OmegaConf
from verl.trainer import main_ppo
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config
from verl.utils.device import auto_set_device

from rephrase_rl.errors import ConfigError, RephraseError
from rephrase_rl.trainers.verl.attachment import WHERE, sealed
from rephrase_rl.trainers.verl.checks import refuse_unsupported

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONFIG_FOLDER = str(Path(main_ppo.__file__).parent / "config")


class GuidedTaskRunner(main_ppo.TaskRunnerV1.__ray_actor_class__):
    """verl's task, with a guided trainer in the place of the one of the same mode."""

    def run(self, config: DictConfig) -> None:
        """Train."""
        from rephrase_rl.trainers.verl.trainer import PREFIX, register_guided_trainers

        register_guided_trainers()
        # The trainer puts the mode's own name back before anything else reads it.
        config.trainer.v1.trainer_mode = PREFIX + config.trainer.v1.trainer_mode
        super().run(config)


def start(config: DictConfig) -> None:
    """Check the settings, and train on the Ray cluster that is there, or on a local one.

    Args:
        config: verl's whole configuration; Ray's cluster is that of ``RAY_ADDRESS``.

    Raises:
        ConfigError: The method cannot be run with these settings.
    """
    auto_set_device(config)
    take_in_facts(config)
    refuse_unsupported(config, trainer_is_guided=False)
    validate_config(
        config=config,
        use_reference_policy=need_reference_policy(config),
        use_critic=need_critic(config),
    )
    main_ppo.run_ppo(config, task_runner_class=ray.remote(GuidedTaskRunner))


def take_in_facts(config: DictConfig) -> None:
    """Put the file of facts that a launch names into verl's configuration, which goes everywhere.

    Raises:
        ConfigError: The file is named and is not there.
    """
    path = OmegaConf.select(config, f"{WHERE}.facts")
    if path is None:
        return
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{WHERE}.facts: {path} cannot be read ({error.strerror}); required: the file that "
            "`rephrase-rl train --engine verl` or `rephrase-rl export verl` has written"
        ) from error
    OmegaConf.update(config, f"{WHERE}.text", sealed(json.loads(text)), force_add=True)


@hydra.main(  # type: ignore[untyped-decorator]
    config_path=CONFIG_FOLDER, config_name="ppo_trainer", version_base=None
)
def main(config: Any) -> None:
    """Entry point; overrides are verl's."""
    try:
        start(config)
    except RephraseError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201  (a program of its own)
        sys.exit(2)


if __name__ == "__main__":
    main()
