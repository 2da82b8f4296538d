"""Every override of a launch is one that verl's own configuration takes, with the value meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf
from verl.utils.config import omega_conf_to_dataclass, validate_config

from rephrase_rl.assembly.objects import model_path
from rephrase_rl.assembly.verl.hydra_text import override
from rephrase_rl.assembly.verl.launching import files_in
from rephrase_rl.assembly.verl.overrides import Files, translate
from rephrase_rl.assembly.verl.parts import facts_of
from rephrase_rl.config import load_config
from rephrase_rl.errors import ConfigError
from rephrase_rl.methods import PRESETS, resolve_config
from rephrase_rl.trainers.verl.attachment import WHERE, sealed
from rephrase_rl.trainers.verl.checks import refuse_unsupported
from verl_fakes import VERL_CONFIG, lab_problem, run_config

RECIPES = Path(__file__).parents[3] / "recipes"
RUNS = sorted(path for path in RECIPES.glob("*.yaml") if "method:" in path.read_text())
EIGHT = {"num_generations": 8}
BESIDE_GROUPS = {"relift", "chord", "chord_mu", "sft", "rewrite_sft"}
"""Methods with a supervised stream or data set, for which verl's trainer has no place."""


def composed(run, folder=Path("/runs/some where")):
    overrides = translate(run, files_in(folder)).overrides()
    with initialize_config_dir(VERL_CONFIG, version_base=None):
        # With Hydra's own part, of which a launch names the folder.
        return compose("ppo_trainer", overrides, return_hydra_config=True)


@pytest.mark.parametrize("method", sorted(set(PRESETS) - BESIDE_GROUPS - {"replay"}))
def test_hydra_composes_verls_configuration(method) -> None:
    config = composed(run_config(method))
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    assert actor.clip_ratio_c == 1e9
    assert config.algorithm.adv_estimator == "grpo"
    assert config.actor_rollout_ref.rollout.n == 4
    validate_config(config, use_reference_policy=False, use_critic=False)


LARGE = RECIPES / "openr1_hard_qwen2.5_math_7b_repo.yaml"


@pytest.mark.parametrize(
    ("recipe", "mode"),
    [*((path, "sync") for path in RUNS), (LARGE, "colocate_async"), (LARGE, "separate_async")],
    ids=lambda value: getattr(value, "stem", value),
)
def test_every_recipe_is_taken_and_every_mode(recipe, mode) -> None:
    apart = ["verl.rollout_nodes=1"] if mode == "separate_async" else []
    run = resolve_config(load_config(recipe, [f"verl.mode={mode}", *apart]))
    config = composed(run)
    assert config.actor_rollout_ref.model.path == model_path(run.model)
    assert config.actor_rollout_ref.actor.optim.lr == run.trainer["learning_rate"]
    validate_config(config, use_reference_policy=False, use_critic=False)
    # What our own processes ask of it before anything is started.
    facts = sealed(facts_of(run, [lab_problem("a")]))
    OmegaConf.update(config, f"{WHERE}.text", facts, force_add=True)
    refuse_unsupported(config, trainer_is_guided=False)


@pytest.mark.parametrize("method", sorted(BESIDE_GROUPS | {"replay"}))
def test_other_presets_are_refused(method) -> None:
    with pytest.raises(ConfigError, match=r"slot\.kind|memory"):
        composed(run_config(method))


def test_overrides_are_checked_by_name() -> None:
    """A path that verl does not know is an error of Hydra's, so the tests above say something."""
    with pytest.raises(ConfigCompositionException):
        composed(run_config(verl={"overrides": {"trainer.no_such_field": 1}}))


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
        # verl ends with its epochs otherwise, however many steps were asked for.
        ({"max_steps": 7}, "trainer.total_epochs", 10**9),
        ({"num_train_epochs": 3.0}, "trainer.total_epochs", 3),
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


def test_a_seed_reaches_everything_that_draws() -> None:
    config = composed(run_config(seed=2**31 + 5))
    for path in (
        "data.seed",
        "actor_rollout_ref.rollout.seed",
        "actor_rollout_ref.actor.data_loader_seed",
    ):
        assert OmegaConf.select(config, path) == 5, path


def test_the_format_of_weights_arrives() -> None:
    for ours, theirs in (("float32", "fp32"), ("bfloat16", "bf16")):
        config = composed(run_config(model={"path": "lab:base", "dtype": ours}))
        assert config.actor_rollout_ref.actor.fsdp_config.model_dtype == theirs


def test_servers_of_their_own_are_told_how_weights_reach_them() -> None:
    run = run_config(
        verl={"mode": "separate_async", "prompts_per_step": 8, "prompts_per_update": 2}
        | {"rollout_nodes": 3, "gpus_per_node": 4}
    )
    config = composed(run)
    rollout = config.actor_rollout_ref.rollout
    assert (rollout.nnodes, rollout.n_gpus_per_node) == (3, 4)
    assert rollout.checkpoint_engine.backend == "nccl"
    assert config.trainer.v1.separate_async.parameter_sync_step == 4
    assert config.actor_rollout_ref.actor.ppo_mini_batch_size == 2


def verl_of_the_page(word: str) -> dict:
    """The `verl:` section of docs/scaling.md that has this word in it."""
    page = (RECIPES.parent / "docs" / "scaling.md").read_text(encoding="utf-8")
    (block,) = [b for b in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if word in b]
    return yaml.safe_load(block)["verl"]


def test_the_separate_mode_of_the_page_is_taken() -> None:
    config = composed(run_config(verl=verl_of_the_page("separate_async"), trainer=EIGHT))
    assert config.trainer.v1.separate_async.parameter_sync_step == 4
    assert (config.trainer.nnodes, config.actor_rollout_ref.rollout.nnodes) == (2, 2)
    validate_config(config, use_reference_policy=False, use_critic=False)


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
