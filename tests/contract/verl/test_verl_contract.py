"""verl 0.9.1 held to what ``trainers/verl`` relies on; a failure names the file that breaks."""

from __future__ import annotations

import dataclasses
import inspect
import re
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
import verl
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from verl.experimental.agent_loop import agent_loop
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, AgentLoopWorker
from verl.trainer import main_ppo
from verl.trainer.ppo import core_algos, padding_utils
from verl.trainer.ppo.reward import load_reward_manager
from verl.trainer.ppo.v1 import agent_loop_tq, trainer_base
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer, ReplayBufferAsync
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.utils.metric import Metric, reduce_metrics
from verl.workers.config import AgentLoopConfig, RolloutConfig
from verl.workers.engine_workers import ActorRolloutRefWorker
from verl.workers.rollout.llm_server import FullyAsyncLLMServerClient, LLMServerClient
from verl.workers.rollout.replica import TokenOutput
from verl.workers.utils import losses

import verl_environment

pytestmark = pytest.mark.contract

HERE = "src/rephrase_rl/trainers/verl"
WORKER, ENGINE, LAUNCH = f"{HERE}/worker.py", f"{HERE}/engine.py", f"{HERE}/launch.py"
TRAINER, LOSS, REWARD = f"{HERE}/trainer.py", f"{HERE}/loss.py", f"{HERE}/reward.py"
SOURCE = Path(verl.__file__).parent


def breaks(what: str, *files: str) -> str:
    return f"verl {version('verl')}: {what} is not what it was in 0.9.1; {', '.join(files)} uses it"


def parameters(function) -> list[str]:
    """Names of parameters, but for the one that Ray adds to the methods of its actors."""
    return [name for name in inspect.signature(function).parameters if name != "_ray_trace_ctx"]


@pytest.fixture(scope="module")
def default_config():
    with initialize_config_dir(str(SOURCE / "trainer" / "config"), version_base=None):
        return compose("ppo_trainer")


def test_version_is_the_one_that_was_read() -> None:
    assert version("verl") == verl_environment.VERSION


WORKER_CLASS = agent_loop_tq.AgentLoopWorkerTQ.__ray_actor_class__


@pytest.mark.parametrize(
    ("owner", "name", "expected", "file"),
    [
        (
            WORKER_CLASS,
            "_run_prompt",
            ["self", "prompt", "sampling_params", "trajectory", "trace"],
            WORKER,
        ),
        (
            WORKER_CLASS,
            "_agent_loop_postprocess",
            ["self", "output", "validate", "kwargs"],
            WORKER,
        ),
        (
            AgentLoopWorker,
            "_run_agent_loop",
            ["self", "sampling_params", "trajectory", "agent_name", "trace", "kwargs"],
            WORKER,
        ),
        (AgentLoopWorker, "_compute_score", ["self", "outputs", "kwargs"], WORKER),
        (
            AgentLoopWorker,
            "__init__",
            ["self", "config", "llm_client", "teacher_client", "reward_loop_worker_handles"],
            WORKER,
        ),
        (agent_loop_tq, "_settle_session_tasks", ["tasks"], WORKER),
        (agent_loop_tq, "apply_greedy_sampling_params", ["params"], WORKER),
        (ActorRolloutRefWorker, "set_loss_fn", ["self", "loss_fn"], LAUNCH),
        (losses, "ppo_loss", ["config", "model_output", "data", "dp_group"], LOSS),
        (PPOTrainer, "_compute_old_log_prob", ["self", "batch", "metrics"], TRAINER),
        (PPOTrainer, "_compute_advantage", ["self", "batch", "metrics"], TRAINER),
        (
            PPOTrainer,
            "_compute_metrics",
            ["self", "batch", "metrics", "timing_raw", "global_steps", "epoch"],
            TRAINER,
        ),
        (trainer_base, "register_trainer", ["name"], TRAINER),
        (main_ppo, "run_ppo", ["config", "task_runner_class"], LAUNCH),
        (
            core_algos,
            "agg_loss",
            [
                "loss_mat",
                "loss_mask",
                "loss_agg_mode",
                "dp_size",
                "batch_num_tokens",
                "global_batch_size",
                "loss_scale_factor",
            ],
            LOSS,
        ),
    ],
)
def test_signatures(owner, name, expected, file) -> None:
    assert parameters(getattr(owner, name)) == expected, breaks(name, file)


def test_sampling_takes_tokens_and_settings_by_name() -> None:
    found = parameters(LLMServerClient.generate)
    assert found[:4] == ["self", "request_id", "prompt_ids", "sampling_params"], breaks(
        "LLMServerClient.generate", ENGINE
    )
    fields = set(TokenOutput.model_fields)
    assert {"token_ids", "log_probs", "stop_reason", "extra_fields"} <= fields, breaks(
        "TokenOutput", ENGINE
    )


def test_an_output_has_the_fields_that_a_replacement_is_made_of() -> None:
    needed = {
        "prompt_ids",
        "response_ids",
        "response_mask",
        "response_logprobs",
        "reward_score",
        "num_turns",
        "metrics",
        "extra_fields",
    }
    assert needed <= set(AgentLoopOutput.model_fields), breaks("AgentLoopOutput", WORKER)


def test_worker_class_of_the_manager_is_an_attribute_that_init_sets() -> None:
    source = inspect.getsource(agent_loop_tq.AgentLoopManagerTQ.__init__)
    assert "self.agent_loop_workers_class = AgentLoopWorkerTQ" in source, breaks(
        "AgentLoopManagerTQ.agent_loop_workers_class", WORKER
    )
    source = inspect.getsource(agent_loop.AgentLoopManager._init_agent_loop_workers)
    assert "self.agent_loop_workers_class.options(" in source, breaks(
        "AgentLoopManager._init_agent_loop_workers", WORKER
    )


def test_manager_is_looked_up_where_the_override_puts_it() -> None:
    assert "agent_loop_manager_class" in {f.name for f in dataclasses.fields(AgentLoopConfig)}
    source = inspect.getsource(main_ppo.TaskRunnerV1.__ray_actor_class__.init_agent_loop_manager)
    assert '.rollout.get("agent", {}).get("agent_loop_manager_class")' in source, breaks(
        "agent_loop_manager_class", LAUNCH
    )
    assert "custom" in {f.name for f in dataclasses.fields(RolloutConfig)}, breaks(
        "rollout.custom", LAUNCH
    )


def test_trainer_is_built_before_the_manager() -> None:
    source = inspect.getsource(main_ppo.TaskRunnerV1.__ray_actor_class__.run)
    order = [
        source.index(step)
        for step in (
            "get_trainer_cls(config.trainer.v1.trainer_mode)",
            "trainer_cls(config=config)",
            "self.trainer.init()",
            "self.init_agent_loop_manager()",
            "self.trainer.fit(self.agent_loop_manager)",
        )
    ]
    assert order == sorted(order), breaks("TaskRunnerV1.run", LAUNCH)


def test_modes_are_the_three_that_are_guided() -> None:
    import verl.trainer.ppo.v1  # noqa: F401  (registers them)

    found = {name for name in trainer_base.TRAINER_REGISTRY if not name.startswith("rephrase_rl")}
    assert found == {"sync", "colocate_async", "separate_async"}, breaks("trainer modes", TRAINER)


def test_metrics_are_computed_before_rows_are_cleared_and_logged() -> None:
    source = inspect.getsource(PPOTrainer.fit)
    order = [
        source.index("self._compute_metrics("),
        source.index("tq.kv_clear("),
        source.index("self.logger.log(data=metrics, step=self.global_steps)", source.index("kv_")),
    ]
    assert order == sorted(order), breaks("PPOTrainer.fit", TRAINER)


def test_old_log_probs_then_advantages_then_the_update() -> None:
    source = inspect.getsource(PPOTrainer._step_once)
    order = [
        source.index(f"self.{name}(")
        for name in ("_compute_old_log_prob", "_compute_advantage", "_update_actor")
    ]
    assert order == sorted(order), breaks("PPOTrainer._step_once", TRAINER)


def test_step_counts_from_one() -> None:
    assert "# we start from step 1" in inspect.getsource(PPOTrainer.fit), breaks("steps", WORKER)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("algorithm.adv_estimator", "gae"),
        ("algorithm.rollout_correction.rollout_is", None),
        ("algorithm.rollout_correction.rollout_rs", None),
        ("algorithm.rollout_correction.bypass_mode", False),
        ("algorithm.filter_groups.enable", False),
        ("actor_rollout_ref.rollout.calculate_log_probs", True),
        ("actor_rollout_ref.rollout.agent.default_agent_loop", "single_turn_agent"),
        ("actor_rollout_ref.actor.clip_ratio_c", 3.0),
        ("actor_rollout_ref.actor.loss_agg_mode", "token-mean"),
        ("actor_rollout_ref.actor.policy_loss.loss_mode", "vanilla"),
        ("actor_rollout_ref.actor.optim.weight_decay", 0.01),
        ("actor_rollout_ref.rollout.load_format", "dummy"),
        ("reward.reward_model.enable", False),
        ("trainer.use_v1", True),
        ("trainer.v1.trainer_mode", "sync"),
        ("data.truncation", "error"),
        ("data.filter_overlong_prompts", False),
    ],
)
def test_defaults_that_the_overrides_are_made_for(default_config, path, value) -> None:
    assert OmegaConf.select(default_config, path) == value, breaks(path, f"{HERE}/overrides.py")


def test_the_epsilon_beside_the_spread() -> None:
    default = inspect.signature(core_algos.compute_grpo_outcome_advantage).parameters["epsilon"]
    assert default.default == 1e-6, breaks("epsilon of GRPO", "docs/scaling.md")


def test_loss_gets_all_fields_of_a_row_and_padding_rows_copy_one() -> None:
    """A scalar field of ours is copied; one value per token would have another row's length."""
    row = {
        "prompts": torch.tensor([1, 2]),
        "responses": torch.tensor([3, 4, 5]),
        "position_ids": torch.arange(5),
        "injected_tokens": torch.tensor(3),
    }
    filled, tag = padding_utils.construct_minimal_padding_template(row, {"seq_len": 5}, 0)
    assert filled["injected_tokens"] == 3, breaks("padding rows", TRAINER, LOSS)
    assert filled["response_mask"].tolist() == [0], breaks("padding rows", TRAINER, LOSS)
    assert tag["is_padding"], breaks("padding tags", TRAINER)


def test_custom_reward_managers_are_loaded_by_path_and_get_the_configuration() -> None:
    source = inspect.getsource(load_reward_manager)
    assert "resolve_reward_manager_cls(config)" in source, breaks("load_reward_manager", REWARD)
    for argument in ("config=config", "tokenizer=tokenizer", "compute_score="):
        assert argument in source, breaks("load_reward_manager", REWARD)


def test_prompts_are_cut_on_the_left_by_agent_loops() -> None:
    """Why P(q, k) is sampled from token ids and not through an agent loop."""
    source = inspect.getsource(agent_loop.AgentLoopBase._cap_text_prompt_length)
    assert "prompt_ids[-prompt_length:]" in source, breaks("_cap_text_prompt_length", ENGINE)


def test_server_takes_max_tokens_and_prompt_logprobs() -> None:
    server = (SOURCE / "workers/rollout/vllm_rollout/vllm_async_server.py").read_text()
    for part in ('if "max_tokens" in sampling_params:', "num_prompt_logprobs=", '"global_steps"'):
        assert part in server, breaks(f"{part} in vllm_async_server.py", ENGINE)
    helpers = (SOURCE / "workers/rollout/vllm_rollout/utils.py").read_text()
    assert 'result_dict["prompt_logprobs"] = prompt_logprobs_ls' in helpers, breaks(
        "prompt_logprobs", ENGINE
    )


def test_broken_plugins_are_swallowed_and_external_modules_are_not() -> None:
    """Why nothing of ours is attached as a plug-in."""
    source = (SOURCE / "__init__.py").read_text()
    assert ".debug(\"Failed to load plugin '%s': %s\"" in source, breaks("verl.plugins", LAUNCH)


def test_tokens_of_a_chat_come_from_the_builder_that_agent_loops_use() -> None:
    from verl.utils.tokenizer.continuous_token_wiring import create_continuous_token_builder

    assert {"hf_model_type", "chat_template_kwargs", "processor"} <= set(
        parameters(create_continuous_token_builder)
    ), breaks("create_continuous_token_builder", ENGINE)
    source = inspect.getsource(agent_loop.AgentLoopBase.ct_build_initial_tokens)
    assert "self.continuous_token_builder.build_initial_tokens(" in source, breaks(
        "build_initial_tokens", ENGINE
    )


def test_clients_of_partial_rollouts_leave_log_probs_of_prompts_out() -> None:
    """Why prompts are read through the plain client's method in the asynchronous modes."""
    assert issubclass(FullyAsyncLLMServerClient, LLMServerClient), breaks("client", WORKER)
    source = inspect.getsource(FullyAsyncLLMServerClient.generate)
    assert "prompt_logprobs" not in source, breaks("FullyAsyncLLMServerClient.generate", WORKER)
    assert 'output.stop_reason not in ("aborted", "abort")' in source, breaks("aborts", WORKER)
    for name in ("colocate_async", "separate_async"):
        file = SOURCE / f"trainer/ppo/v1/trainer_{name}.py"
        assert "client_cls=FullyAsyncLLMServerClient" in file.read_text(), breaks(name, WORKER)


def test_engines_divide_by_the_tokens_of_the_loss_mask() -> None:
    for engine in ("fsdp", "megatron", "veomni", "torchtitan", "automodel"):
        source = (SOURCE / f"workers/engine/{engine}/transformer_impl.py").read_text()
        counts = re.findall(r"batch_num_tokens = (.*)", source)
        assert counts, breaks(engine, TRAINER)
        assert all("loss_mask" in line for line in counts[:1]), breaks(engine, TRAINER)


def test_buffers_wait_in_a_method_that_can_be_watched() -> None:
    for buffer in (ReplayBuffer.sample, ReplayBufferAsync.wait_for_sampleable):
        assert "self._wait_for_next_poll(" in inspect.getsource(buffer), breaks("waits", TRAINER)


def test_sums_of_micro_batches_stay_in_proportion() -> None:
    """Why a share can be made of two sums after verl has reduced them."""
    first, second = Metric("sum", 1.0), Metric("sum", 2.0)
    first.append(3.0)
    second.append(4.0)
    assert Metric.aggregate_dp([first, second]) == 5.0, breaks("Metric.aggregate_dp", LOSS)
    assert reduce_metrics({"a": [2.0, 4.0]}) == {"a": 3.0}, breaks("reduce_metrics", LOSS)


def test_steps_count_epochs_even_where_a_number_of_steps_is_asked_for() -> None:
    """Why a launch with max_steps has epochs without end, and data has to fill a step."""
    source = inspect.getsource(PPOTrainer.fit)
    assert "current_epoch < self.config.trainer.total_epochs and" in source, breaks("fit", LAUNCH)
    assert "// self.steps_per_epoch" in source, breaks("steps_per_epoch", LAUNCH)
