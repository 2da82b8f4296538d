"""Every override of a launch is one that verl's own configuration takes, with the value meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from verl.utils.config import omega_conf_to_dataclass, validate_config

from rephrase_rl.assembly.verl.hydra_text import override
from rephrase_rl.assembly.verl.launching import files_in
from rephrase_rl.assembly.verl.overrides import Files, translate
from rephrase_rl.config import load_config
from rephrase_rl.methods import resolve_config
from verl_fakes import VERL_CONFIG, run_config

RECIPES = Path(__file__).parents[3] / "recipes"
PRESETS = ("grpo", "repo", "naive", "luffy", "luffy_grpo", "guide", "star", "hpt")


def composed(run, folder=Path("/runs/some where")):
    overrides = [o for o in translate(run, files_in(folder)).overrides() if "hydra." not in o]
    with initialize_config_dir(VERL_CONFIG, version_base=None):
        return compose("ppo_trainer", overrides)


@pytest.mark.parametrize("method", PRESETS)
def test_hydra_composes_verls_configuration(method) -> None:
    config = composed(run_config(method))
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    assert actor.clip_ratio_c == 1e9
    assert config.algorithm.adv_estimator == "grpo"
    assert config.actor_rollout_ref.rollout.n == 4
    validate_config(config, use_reference_policy=False, use_critic=False)


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*7b*.yaml")), ids=lambda path: path.stem)
def test_recipes_of_the_papers_size_are_taken(recipe) -> None:
    run = resolve_config(load_config(recipe))
    config = composed(run)
    assert config.actor_rollout_ref.model.path == run.model.path
    assert config.actor_rollout_ref.actor.optim.lr == run.trainer["learning_rate"]
    validate_config(config, use_reference_policy=False, use_critic=False)


@pytest.mark.parametrize(
    ("trainer", "path", "value"),
    [
        ({"epsilon": 0.1}, "actor_rollout_ref.actor.clip_ratio_low", 0.1),
        ({"epsilon": 0.1}, "actor_rollout_ref.actor.clip_ratio_high", 0.1),
        ({"epsilon_high": 0.28}, "actor_rollout_ref.actor.clip_ratio_high", 0.28),
        ({"delta": 4.0}, "actor_rollout_ref.actor.clip_ratio_c", 4.0),
        ({"loss_type": "grpo"}, "actor_rollout_ref.actor.loss_agg_mode", "seq-mean-token-mean"),
        ({"loss_type": "dr_grpo"}, "actor_rollout_ref.actor.loss_scale_factor", 64),
        ({"top_k": 0}, "actor_rollout_ref.rollout.top_k", -1),
        ({"top_k": 20}, "actor_rollout_ref.rollout.top_k", 20),
        ({"weight_decay": 0.0}, "actor_rollout_ref.actor.optim.weight_decay", 0.0),
        ({"adam_beta2": 0.95}, "actor_rollout_ref.actor.optim.betas", [0.9, 0.95]),
        ({"max_steps": 7}, "trainer.total_training_steps", 7),
        ({"num_iterations": 2}, "actor_rollout_ref.actor.ppo_epochs", 2),
        (
            {"chat_template_kwargs": {"enable_thinking": False}},
            "data.apply_chat_template_kwargs.enable_thinking",
            False,
        ),
        ({"save_strategy": "steps", "save_steps": 50}, "trainer.save_freq", 50),
        ({}, "trainer.save_freq", -1),
        ({}, "actor_rollout_ref.rollout.max_model_len", 2048 + 64 + 1),
        (
            {"beta": 0.01, "use_bias_correction_kl": False},
            "actor_rollout_ref.actor.use_kl_loss",
            True,
        ),
    ],
)
def test_fields_arrive(trainer, path, value) -> None:
    assert OmegaConf.select(composed(run_config(trainer=trainer)), path) == value


def test_adapters_of_the_configuration_are_verls() -> None:
    config = composed(run_config(model={"path": "lab:base", "lora": {"r": 32, "alpha": 64}}))
    model = config.actor_rollout_ref.model
    assert (model.lora_rank, model.lora_alpha, model.target_modules) == (32, 64, "all-linear")
    assert config.actor_rollout_ref.rollout.load_format == "safetensors"
    names = {"r": 8, "target_modules": ["q_proj", "v_proj"]}
    model = composed(run_config(model={"path": "lab:base", "lora": names})).actor_rollout_ref.model
    assert list(model.target_modules) == ["q_proj", "v_proj"]
    assert composed(run_config()).actor_rollout_ref.model.lora_rank == 0


def test_users_own_settings_have_the_last_word() -> None:
    run = run_config(verl={"overrides": {"trainer.project_name": "mine, all mine"}})
    assert composed(run).trainer.project_name == "mine, all mine"


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "with space",
        "it's",
        'quo"te',
        "a=b,c",
        "[x]",
        "{y}",
        "true",
        "null",
        "12",
        "1e-6",
        "back\\slash",
        "ends\\",
        "it\\'s",
        "ünïcode",
        "",
        "a:b",
        "~/x",
        "%d",
        "#no comment",
    ],
)
def test_text_comes_back_as_it_was(value) -> None:
    with initialize_config_dir(VERL_CONFIG, version_base=None):
        config = compose("ppo_trainer", [override("trainer.project_name", value)])
    assert config.trainer.project_name == value


def test_numbers_lists_and_mappings_come_back() -> None:
    value = {"a": [1, 2.5, None, True, "x y"], "b": {"c": "it's"}}
    with initialize_config_dir(VERL_CONFIG, version_base=None):
        config = compose("ppo_trainer", [override("+data.extra", value)])
    assert OmegaConf.to_container(config.data.extra) == value


def test_the_files_of_a_launch_are_named() -> None:
    config = composed(run_config())
    assert config.data.train_files == "/runs/some where/verl/train.parquet"
    assert config.trainer.default_local_dir == "/runs/some where/checkpoints"
    assert Files.__name__ == "Files"
