"""Settings of verl under which groups cannot be guided, refused before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from rephrase_rl.errors import ConfigError
from rephrase_rl.guidance.training import ContextRatio
from rephrase_rl.trainers.verl.attachment import WHERE, attachment_of
from rephrase_rl.trainers.verl.group_at_a_time import guidance_faults

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from rephrase_rl.guidance.blocks import Guidance

GUIDED = f"{WHERE}.guided"
"""Set by ``GuidedTrainer``: without it nobody corrects the log-probs of injected rows."""
MANAGER = "rephrase_rl.trainers.verl.worker.GuidedManager"
REWARD_MODULE = "pkg://rephrase_rl.trainers.verl.reward"
REWARD_MANAGER = "VerifierRewardManager"

REQUIRED: tuple[tuple[str, Any, str], ...] = (
    ("trainer.use_v1", True, "the trainers before V1 publish rows elsewhere"),
    ("algorithm.adv_estimator", "grpo", "groups have advantages among themselves (default: gae)"),
    ("algorithm.use_kl_in_reward", False, "rewards that decided what was injected would change"),
    (
        "algorithm.rollout_correction.bypass_mode",
        False,
        "the old log-probs of a rewrite would be those under P(q, k), not on q",
    ),
    (
        "algorithm.filter_groups.enable",
        False,
        "groups would be filtered after guidance, and their candidates lost unseen",
    ),
    (
        "reward.reward_model.enable",
        False,
        "a reward model that shares the GPUs scores after sampling, when gates have been decided; "
        "name it as a judge under rewards",
    ),
    ("reward.custom_reward_function.path", None, "rewards come from the run's verifiers"),
    ("reward.reward_manager.source", "importlib", "rewards come from the run's verifiers"),
    ("reward.reward_manager.name", REWARD_MANAGER, "rewards come from the run's verifiers"),
    ("reward.reward_manager.module.path", REWARD_MODULE, "rewards come from the run's verifiers"),
    (
        "actor_rollout_ref.rollout.agent.agent_loop_manager_class",
        MANAGER,
        "groups would be published without guidance",
    ),
    (
        "actor_rollout_ref.rollout.agent.default_agent_loop",
        "single_turn_agent",
        "a rewrite cannot be replayed in an environment or with tools",
    ),
    ("actor_rollout_ref.rollout.multi_turn.enable", False, "a rewrite has one turn"),
    (
        "actor_rollout_ref.rollout.enable_rollout_routing_replay",
        False,
        "an injected row has no recorded routing of its experts",
    ),
    ("actor_rollout_ref.actor.policy_loss.loss_mode", "vanilla", "other losses are not held equal"),
    ("skip.rollout_tq.enable", False, "groups would be those that another run has guided"),
    ("distillation.enabled", False, "a teacher's log-probs of an injected row are not asked for"),
)
"""Path in verl's configuration, required value, reason."""


def refuse_unsupported(config: DictConfig, *, trainer_is_guided: bool = True) -> None:
    """Refuse what would train on something else than the method, each fault with its remedy.

    Args:
        config: verl's whole configuration.
        trainer_is_guided: Whether ``GuidedTrainer`` must have taken its place already.

    Raises:
        ConfigError: With all faults.
    """
    guidance = attachment_of(config).parts().guidance()
    faults = [fault for fault in map(_fault(config), REQUIRED) if fault]
    faults += _length_faults(config, guidance)
    faults += guidance_faults(guidance)
    faults += _log_prob_faults(config, guidance)
    if trainer_is_guided and not OmegaConf.select(config, GUIDED):
        faults.append(
            "the trainer is verl's own, which would take the log-probs of rewrites for those of "
            "rollouts: start with `python -m rephrase_rl.trainers.verl.launch` in the place of "
            "`python -m verl.trainer.main_ppo`"
        )
    if faults:
        raise ConfigError("verl cannot run the method with these settings", faults)


def _fault(config: DictConfig) -> Any:
    def check(rule: tuple[str, Any, str]) -> str | None:
        path, required, reason = rule
        found = OmegaConf.select(config, path)
        if found == required:
            return None
        return f"{path}: found {found!r}, required {required!r}, since {reason}"

    return check


def _log_prob_faults(config: DictConfig, guidance: Guidance) -> list[str]:
    """Weights of the context ratio need the servers' log-probs, as they were sampled with."""
    if not (isinstance(guidance.train, ContextRatio) and guidance.active):
        return []
    rollout, faults = config.actor_rollout_ref.rollout, []
    if not rollout.calculate_log_probs:
        faults.append(
            "actor_rollout_ref.rollout.calculate_log_probs: found False, required True, since "
            "the weights of injected tokens are made of the log-probs under P(q, k)"
        )
    if rollout.logprobs_mode != "processed_logprobs" and rollout.temperature != 1.0:
        faults.append(
            f"actor_rollout_ref.rollout.logprobs_mode: found {rollout.logprobs_mode!r} at "
            f"temperature {rollout.temperature}, required 'processed_logprobs', since the weights "
            "of injected tokens compare log-probs at the temperature of training"
        )
    return faults


def _length_faults(config: DictConfig, guidance: Guidance) -> list[str]:
    """P(q, k) is longer than q, and the servers' context must have room for both ways."""
    if not guidance.active:
        return []
    rollout = config.actor_rollout_ref.rollout
    needed = max(rollout.prompt_length, guidance.max_prompt_tokens) + rollout.response_length + 1
    found = rollout.max_model_len
    if found is not None and found >= needed:
        return []
    return [
        f"actor_rollout_ref.rollout.max_model_len: found {found}, required at least {needed}: the "
        f"longest of question ({rollout.prompt_length}) and rephrase prompt "
        f"({guidance.max_prompt_tokens}), a completion ({rollout.response_length}) and one more; "
        "null is the room of a question, in which rewrites would be cut short"
    ]
