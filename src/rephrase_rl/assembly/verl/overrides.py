"""A run's settings as overrides of verl's configuration, held equal to what TRL would do.

Fields of ``trainer:`` are TRL's. Each has a counterpart in verl, or is a matter of TRL's own
machinery and is named in ``Translation.unused``, or is refused: none is dropped in silence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.objects import model_path
from rephrase_rl.assembly.run_parts import starting_model
from rephrase_rl.assembly.verl.adapters import adapter_settings
from rephrase_rl.assembly.verl.hydra_text import override
from rephrase_rl.assembly.verl.parts import FACTORY
from rephrase_rl.assembly.verl.refusals import LOSSES, blocks_of, faults_of, unused_fields
from rephrase_rl.config import all_benchmarks, parse_guidance
from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.config import BenchmarkConfig, GuidanceConfig, RunConfig

ROLLOUT, ACTOR, MODEL = (f"actor_rollout_ref.{part}" for part in ("rollout", "actor", "model"))
CUSTOM = f"+{ROLLOUT}.custom.rephrase_rl"
MANAGER = "rephrase_rl.trainers.verl.worker.GuidedManager"
NO_DUAL_CLIP = 1e9
"""verl's dual clip cannot be switched off; no ratio reaches this one."""
LAST_STEP_ALONE = 10**9
"""Steps between validations that no run has."""
EPOCHS_WITHOUT_END = 10**9
"""verl stops at the end of its epochs, even where a number of steps is asked for."""
LARGEST_SEED = 2**31
"""verl's workers add their rank to a seed, which numpy wants below 2**32."""
FORMATS = {"float32": "fp32", "bfloat16": "bf16"}
"""``model.dtype`` -> verl's ``model_dtype``."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where a launch finds what travels with it; absolute, seen from the machine of the trainer."""

    train: Path
    evaluation: Path
    facts: Path
    run: Path
    """The run directory, or in an exported folder the place of one."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A run as verl's overrides."""

    settings: Mapping[str, Any]
    """Path in verl's configuration, with Hydra's ``+`` where verl's files lack it -> value."""
    unused: tuple[str, ...]
    """What a user set and verl does not do: fields of TRL's own machinery, and evaluations."""

    def overrides(self) -> list[str]:
        """As Hydra reads them."""
        return [override(path, value) for path, value in self.settings.items()]


def translate(config: RunConfig, files: Files) -> Translation:
    """A run as verl's overrides.

    Args:
        config: Resolved.
        files: Data, facts and run directory.

    Raises:
        ConfigError: Something has no counterpart in verl; with all faults.
    """
    guidance = parse_guidance(config.guidance)
    trainer = dict(config.trainer)
    faults = faults_of(config, guidance)
    if faults:
        raise ConfigError(f"method {config.method!r} cannot be run on verl as it is", faults)
    settings = {
        **_data(config, trainer, files),
        **_model(config, trainer),
        **_rollout(config, trainer, guidance),
        **_loss(config, trainer, guidance),
        **_optimiser(trainer),
        **_schedule(config, trainer, files),
        **_mode(config),
        **_validation(validated(config)),
        **_rewards(config),
        f"+{ROLLOUT}.agent.agent_loop_manager_class": MANAGER,
        f"{CUSTOM}.factory": FACTORY,
        f"{CUSTOM}.facts": str(files.facts),
        f"{CUSTOM}.run_path": str(files.run),
        **_flat(config.verl.overrides),
    }
    kept = {benchmark.name for benchmark in validated(config)}
    unused = [
        *unused_fields(config),
        *(f"evaluation of {b.name}" for b in all_benchmarks(config) if b.name not in kept),
    ]
    return Translation(settings, tuple(unused))


def validated(config: RunConfig) -> list[BenchmarkConfig]:
    """The benchmarks that verl evaluates: those sampled like the first that it can sample.

    verl validates all rows in one way, and up to the length of a completion in training.
    """
    length = config.trainer["max_completion_length"]
    able = [b for b in all_benchmarks(config) if b.max_new_tokens == length]
    return [b for b in able if _sampling_of(b) == _sampling_of(able[0])]


def _sampling_of(benchmark: BenchmarkConfig) -> tuple[int, float, float]:
    return benchmark.samples_per_problem, benchmark.temperature, benchmark.top_p


def _flat(overrides: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Full paths, whether a user wrote them with dots or as mappings in mappings.

    A mapping handed over whole would take the place of all of verl's settings beside the named one.

    Example:
        >>> _flat({"trainer.logger": ["wandb"], "trainer": {"project_name": "mine"}})
        {'trainer.logger': ['wandb'], 'trainer.project_name': 'mine'}
    """
    flat: dict[str, Any] = {}
    for name, value in overrides.items():
        path = f"{above}{name}"
        flat |= _flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return flat


def _data(config: RunConfig, trainer: Mapping[str, Any], files: Files) -> dict[str, Any]:
    return {
        "data.train_files": str(files.train),
        "data.val_files": str(files.evaluation),
        "data.train_batch_size": config.verl.prompts_per_step,
        "data.max_prompt_length": config.verl.max_prompt_length,
        "data.max_response_length": trainer["max_completion_length"],
        "data.truncation": "error",
        "data.filter_overlong_prompts": False,
        "data.shuffle": trainer["shuffle_dataset"],
        "data.seed": config.seed % LARGEST_SEED,
        "data.trust_remote_code": config.model.trust_remote_code,
        **{
            f"+data.apply_chat_template_kwargs.{name}": value
            for name, value in (trainer.get("chat_template_kwargs") or {}).items()
        },
    }


def _model(config: RunConfig, trainer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{MODEL}.path": model_path(starting_model(config)),
        f"{MODEL}.trust_remote_code": config.model.trust_remote_code,
        f"{MODEL}.enable_gradient_checkpointing": trainer.get("gradient_checkpointing", True),
        **adapter_settings(config),
        f"{ACTOR}.fsdp_config.model_dtype": FORMATS[config.model.dtype],
    }


def _rollout(
    config: RunConfig, trainer: Mapping[str, Any], guidance: GuidanceConfig
) -> dict[str, Any]:
    verl, length = config.verl, trainer["max_completion_length"]
    blocks = blocks_of(config, guidance)
    longest = max(verl.max_prompt_length, blocks.max_prompt_tokens if blocks.active else 0)
    return {
        f"{ROLLOUT}.name": verl.rollout,
        f"{ROLLOUT}.n": trainer["num_generations"],
        f"{ROLLOUT}.seed": config.seed % LARGEST_SEED,
        f"{ROLLOUT}.temperature": trainer["temperature"],
        f"{ROLLOUT}.top_p": trainer["top_p"],
        f"{ROLLOUT}.top_k": trainer["top_k"] or -1,
        # Room for P(q, k), which is longer than a question, and one token to measure with.
        f"{ROLLOUT}.max_model_len": longest + length + 1,
        f"{ROLLOUT}.tensor_model_parallel_size": verl.tensor_parallel,
        f"{ROLLOUT}.gpu_memory_utilization": verl.gpu_memory_utilization,
        f"{ROLLOUT}.calculate_log_probs": True,
        f"{ROLLOUT}.agent.num_workers": verl.agent_workers,
        f"{ROLLOUT}.agent.default_agent_loop": "single_turn_agent",
        f"{ROLLOUT}.log_prob_use_dynamic_bsz": True,
        f"{ROLLOUT}.log_prob_max_token_len_per_gpu": verl.tokens_per_gpu,
    }


def _loss(
    config: RunConfig, trainer: Mapping[str, Any], guidance: GuidanceConfig
) -> dict[str, Any]:
    low = trainer["epsilon"]
    high = low if trainer["epsilon_high"] is None else trainer["epsilon_high"]
    mode = LOSSES[trainer["loss_type"]]
    fixed = trainer["max_completion_length"] if mode == "seq-mean-token-sum-norm" else None
    return {
        "algorithm.adv_estimator": "grpo",
        "algorithm.norm_adv_by_std_in_grpo": guidance.advantages.scale != "none",
        "algorithm.use_kl_in_reward": False,
        f"{ACTOR}.loss_agg_mode": mode,
        f"{ACTOR}.loss_scale_factor": fixed,
        f"{ACTOR}.clip_ratio": low,
        f"{ACTOR}.clip_ratio_low": low,
        f"{ACTOR}.clip_ratio_high": high,
        f"{ACTOR}.clip_ratio_c": NO_DUAL_CLIP if trainer["delta"] is None else trainer["delta"],
        f"{ACTOR}.entropy_coeff": trainer["entropy_coef"],
        f"{ACTOR}.use_kl_loss": trainer["beta"] != 0.0,
        f"{ACTOR}.kl_loss_coef": trainer["beta"],
        f"{ACTOR}.kl_loss_type": "low_var_kl",
        f"{ACTOR}.ppo_epochs": trainer["num_iterations"],
        f"{ACTOR}.data_loader_seed": config.seed % LARGEST_SEED,
        f"{ACTOR}.ppo_mini_batch_size": config.verl.prompts_of_an_update,
        f"{ACTOR}.use_dynamic_bsz": True,
        f"{ACTOR}.ppo_max_token_len_per_gpu": config.verl.tokens_per_gpu,
        f"{ACTOR}.fsdp_config.param_offload": config.verl.offload,
        f"{ACTOR}.fsdp_config.optimizer_offload": config.verl.offload,
    }


def _optimiser(trainer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{ACTOR}.optim.lr": trainer["learning_rate"],
        f"{ACTOR}.optim.lr_scheduler_type": trainer["lr_scheduler_type"],
        f"{ACTOR}.optim.lr_warmup_steps": trainer["warmup_steps"],
        f"{ACTOR}.optim.weight_decay": trainer["weight_decay"],
        f"{ACTOR}.optim.betas": [trainer["adam_beta1"], trainer["adam_beta2"]],
        f"{ACTOR}.optim.clip_grad": trainer["max_grad_norm"],
        f"{ACTOR}.grad_clip": trainer["max_grad_norm"],
    }


def _schedule(config: RunConfig, trainer: Mapping[str, Any], files: Files) -> dict[str, Any]:
    steps = trainer.get("max_steps", -1)
    saves = trainer["save_strategy"] == "steps"
    benchmarks = validated(config)
    # verl validates after the last step too, if it ever does.
    every = (config.evaluation.every_steps or LAST_STEP_ALONE) if benchmarks else -1
    return {
        "trainer.use_v1": True,
        "trainer.v1.trainer_mode": config.verl.mode,
        "trainer.nnodes": config.verl.nodes,
        "trainer.n_gpus_per_node": config.verl.gpus_per_node,
        "trainer.total_epochs": EPOCHS_WITHOUT_END
        if steps > 0
        else math.ceil(trainer["num_train_epochs"]),
        "trainer.total_training_steps": steps if steps > 0 else None,
        "trainer.save_freq": trainer.get("save_steps", 500) if saves else -1,
        "trainer.max_actor_ckpt_to_keep": trainer.get("save_total_limit"),
        "trainer.test_freq": every,
        "trainer.val_before_train": config.evaluation.before and bool(benchmarks),
        "trainer.default_local_dir": str(files.run / "checkpoints"),
        "trainer.project_name": "rephrase-rl",
        "trainer.experiment_name": files.run.name,
        "trainer.logger": ["console"],
        "hydra.run.dir": str(files.run / "hydra"),
    }


def _mode(config: RunConfig) -> dict[str, Any]:
    """What the mode with servers of its own has to be told beside its name."""
    verl = config.verl
    if verl.mode != "separate_async":
        return {}
    return {
        f"{ROLLOUT}.nnodes": verl.rollout_nodes,
        f"{ROLLOUT}.checkpoint_engine.backend": "nccl",
        # Weights go to the servers once a step, after all of its updates.
        "trainer.v1.separate_async.parameter_sync_step": verl.prompts_per_step
        // verl.prompts_of_an_update,
    }


def _validation(benchmarks: list[BenchmarkConfig]) -> dict[str, Any]:
    if not benchmarks:
        return {}
    one = benchmarks[0]
    return {
        f"{ROLLOUT}.val_kwargs.n": one.samples_per_problem,
        f"{ROLLOUT}.val_kwargs.temperature": one.temperature,
        f"{ROLLOUT}.val_kwargs.top_p": one.top_p,
        f"{ROLLOUT}.val_kwargs.do_sample": one.temperature > 0,
    }


def _rewards(config: RunConfig) -> dict[str, Any]:
    return {
        "reward.num_workers": config.verl.reward_workers,
        "reward.reward_manager.source": "importlib",
        "reward.reward_manager.name": "VerifierRewardManager",
        "reward.reward_manager.module.path": "pkg://rephrase_rl.trainers.verl.reward",
    }
