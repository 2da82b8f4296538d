"""verl's asynchronous modes: weights that change under way, groups in flight, old ones, restarts.

verl's own replay buffers, trainers of the three modes and client of partial rollouts, around our
worker and trainer, a server that breaks requests off, and TransferQueue in a dictionary.
"""

from __future__ import annotations

import asyncio
import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer, ReplayBufferAsync
from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY, PPOTrainer
from verl.utils import tensordict_utils as tu
from verl.workers.rollout import llm_server

from engine_parity import verl_trainer
from rephrase_rl.errors import TrainingError
from rephrase_rl.runs import RunDirectory
from rephrase_rl.trainers.verl import worker as worker_module
from rephrase_rl.trainers.verl.notes import CONTEXT_LOGPS, INJECTED, record_of
from rephrase_rl.trainers.verl.recording import StepRecorder
from rephrase_rl.trainers.verl.rows import NOTES
from rephrase_rl.trainers.verl.trainer import PREFIX, register_guided_trainers
from verl_fakes import lab_problem, row_of, run_config, verl_config

ASYNCHRONOUS = ("colocate_async", "separate_async")
MODES = ("sync", *ASYNCHRONOUS)
SEPARATE = {"mode": "separate_async", "rollout_nodes": 1, "prompts_per_update": 1}


def script(prompt: str, number: int) -> str:
    """Rollouts of b are right every second time, others fail; rewrites are right."""
    if "the expert says" in prompt:
        return prompt.split("the expert says ")[1][0]
    return "B" if "say b" in prompt and number % 2 else f"no {number}"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch) -> None:
    """verl waits a second before it goes on with what was broken off, and so do we."""
    pause = asyncio.sleep
    fast = SimpleNamespace(**{**vars(asyncio), "sleep": lambda seconds: pause(0)})
    monkeypatch.setattr(llm_server, "asyncio", fast)
    monkeypatch.setattr(worker_module, "READ_AGAIN_S", 0.0)


def rows_of(played: Any, uid: str) -> list[dict[str, Any]]:
    return [played.queue.rows["train"][key] for key in played.queue.batch(uid=uid).keys]


def texts(played: Any, uid: str) -> list[str]:
    decode = played.worker.tokenizer.decode
    return [decode(row["responses"], skip_special_tokens=True) for row in rows_of(played, uid)]


# --- weights that change while a group is made


def test_broken_off_rollouts_and_rewrites_go_on_and_are_whole(stage) -> None:
    played = stage(script, interrupted=True)
    played.play([lab_problem("a")])
    assert played.queue.statuses() == {"uida": "finished"}
    assert sorted(texts(played, "uida")) == ["A", "no 1", "no 2", "no 3"]
    injected, own = rows_of(played, "uida")[:2]
    assert injected[INJECTED] == len(injected["responses"]) == 2
    # All parts of a rewrite have log-probs, and together they are as long as it is.
    assert injected["extra_fields"][NOTES][CONTEXT_LOGPS] == [-0.5, -0.5]
    assert own[INJECTED] == 0


def test_a_rewrite_has_the_rest_of_its_room_after_a_break(stage) -> None:
    played = stage(script, interrupted=True)
    played.play([lab_problem("a")])
    rooms = [p["max_tokens"] for prompt, p in played.sampled if "the expert says" in prompt]
    assert rooms == [64, 63]


def test_an_injected_row_carries_the_versions_of_its_own_weights(stage) -> None:
    played = stage(script, interrupted=True)
    played.play([lab_problem("a"), lab_problem("b")])
    injected = []
    for key in played.queue.batch().keys:
        tag, row = played.queue.tags["train"][key], played.queue.rows["train"][key]
        versions = (2, 3) if row[INJECTED] else (0, 1)
        injected.append(bool(row[INJECTED]))
        assert (tag["min_global_steps"], tag["max_global_steps"]) == versions
        assert tag["global_steps"] == 1
    assert sum(injected) == 1


def test_a_text_that_was_not_sampled_counts_as_old_as_the_row_it_replaces(stage) -> None:
    played = stage(script, run_config("luffy"), interrupted=True)
    played.play([lab_problem("a")])
    (tag,) = [
        played.queue.tags["train"][key]
        for key in played.queue.batch().keys
        if played.queue.rows["train"][key][INJECTED]
    ]
    assert (tag["min_global_steps"], tag["max_global_steps"]) == (0, 1)


@pytest.mark.parametrize("interrupted", [False, True], ids=["sync", "async"])
def test_prompts_are_read_in_every_mode(stage, interrupted) -> None:
    """verl's client of partial rollouts leaves the log-probs of prompts out."""
    run = run_config(guidance={"source": {"num_candidates": 2, "choice": "most_likely"}})
    played = stage(script, run, interrupted=interrupted)
    played.play([lab_problem("a")])
    assert played.queue.statuses() == {"uida": "finished"}
    record = record_of(rows_of(played, "uida")[0]["extra_fields"][NOTES])
    assert record is not None
    assert all(candidate.logp_on_q is not None for candidate in record.candidates)


# --- groups in flight


def buffer_of(played: Any, mode: str, **changes: Any) -> Any:
    """The replay buffer that a guided trainer of this mode takes, and the trainer."""
    trainer = verl_trainer(played.run, played.worker.config, played.queue, [], mode)
    trainer.config = OmegaConf.merge(trainer.config, {"trainer": {"v1": {"sampler": changes}}})
    trainer.config.trainer.v1.trainer_mode = mode
    trainer.refilled = []
    trainer._add_prompts_to_generate = trainer.refilled.append
    trainer.agent_loop_manager = SimpleNamespace(agent_loop_workers=[])
    trainer.reward_loop_manager = SimpleNamespace(reward_loop_worker_handles=None)
    buffer = trainer._build_replay_buffer()
    buffer.poll_interval = 0.0
    return buffer, trainer


def submit(played: Any, names: str, step: int = 1) -> None:
    """Register prompts as verl's trainer does."""
    tags = [{"is_prompt": True, "status": "pending", "global_steps": step} for _ in names]
    played.queue.kv_batch_put([f"uid{name}" for name in names], "train", tags=tags)


@pytest.mark.parametrize("mode", MODES)
def test_modes_have_verls_own_buffer(stage, mode) -> None:
    buffer, _ = buffer_of(stage(script), mode)
    assert type(buffer) is (ReplayBuffer if mode == "sync" else ReplayBufferAsync)


@pytest.mark.parametrize("mode", MODES)
def test_a_group_that_is_still_published_is_not_trained_on(stage, mode) -> None:
    played = stage(script)
    submit(played, "ab")
    played.play([lab_problem("a"), lab_problem("b")])
    played.queue.tags["train"]["uidb"]["status"] = "running"  # as before its last row
    played.queue.kv_clear(["uidb_3_0"], "train")
    buffer, _ = buffer_of(played, mode)
    batch, _ = buffer.sample(global_steps=1, partition_id="train", batch_size=1)
    assert {key.split("_")[0] for key in batch.keys} == {"uida"}
    assert len(batch.keys) == 4
    assert "uidb_0_0" in played.queue.rows["train"]  # it stays, and its turn comes


@pytest.mark.parametrize("mode", ASYNCHRONOUS)
def test_a_failed_group_gives_way_to_another_in_the_asynchronous_modes(stage, mode) -> None:
    def breaking(prompt: str, number: int) -> str:
        if "the expert says A" in prompt:
            raise ConnectionError("server lost")
        return script(prompt, number)

    played = stage(breaking)
    submit(played, "ab")
    played.play([lab_problem("a"), lab_problem("b")])
    buffer, trainer = buffer_of(played, mode)
    batch, metrics = buffer.sample(global_steps=1, partition_id="train", batch_size=1)
    assert {key.split("_")[0] for key in batch.keys} == {"uidb"}
    assert trainer.refilled == [1]
    assert metrics["training/rollout_failure/evicted_samples"] == 1
    assert not any(key.startswith("uida") for key in played.queue.tags["train"])


@pytest.mark.parametrize("mode", ASYNCHRONOUS)
def test_an_old_group_is_dropped_whole(stage, mode) -> None:
    played = stage(script)
    submit(played, "a", step=1)
    submit(played, "b", step=3)
    played.play([lab_problem("a"), lab_problem("b")])
    buffer, trainer = buffer_of(played, mode, max_off_policy_threshold=2)
    batch, metrics = buffer.sample(global_steps=3, partition_id="train", batch_size=1)
    assert {key.split("_")[0] for key in batch.keys} == {"uidb"}
    assert metrics["training/off_policy/evicted_samples"] == 1
    assert trainer.refilled == [1]
    assert not any(key.startswith("uida") for key in played.queue.rows["train"])


@pytest.mark.parametrize("mode", MODES)
def test_whoever_waits_for_a_dead_worker_is_told(stage, mode) -> None:
    played = stage(script)
    submit(played, "z")
    buffer, trainer = buffer_of(played, mode)

    def found_dead(actors: Any) -> None:
        raise TrainingError("agent-loop worker 0 has died")

    trainer._liveness = SimpleNamespace(require=found_dead)
    with pytest.raises(TrainingError, match="worker 0 has died"):
        buffer.sample(global_steps=1, partition_id="train", batch_size=1)


# --- going on after a restart


def test_a_group_in_flight_at_a_checkpoint_is_made_again_from_its_prompt(stage) -> None:
    played = stage(script)
    submit(played, "a")
    row = row_of(lab_problem("a"), played.run)
    row.pop("global_steps")
    prompt = tu.get_tensordict({name: [value] for name, value in row.items()})
    played.queue.kv_batch_put(["uida"], "train", prompt)
    played.queue.tags["train"]["uida"]["status"] = "running"
    stale = {"responses": None}
    played.queue.rows["train"]["uida_0_0"] = stale  # published before the checkpoint
    played.queue.tags["train"]["uida_0_0"] = {"status": "success"}
    trainer = verl_trainer(played.run, played.worker.config, played.queue, [], "colocate_async")
    trainer.global_steps = 5
    handed = []
    trainer.agent_loop_manager = SimpleNamespace(generate_sequences=handed.append)
    assert trainer._reissue_inflight_prompts() == 1
    assert "uida_0_0" not in played.queue.rows["train"]

    async def lead() -> None:
        await played.worker.generate_sequences(handed[0])
        await asyncio.gather(*played.worker.background_tasks)

    played.worker.background_tasks = set()
    asyncio.run(lead())
    assert played.queue.statuses() == {"uida": "finished"}
    assert len(texts(played, "uida")) == 4
    assert texts(played, "uida").count("A") == 1
    assert {played.queue.tags["train"][k]["global_steps"] for k in played.queue.batch().keys} == {5}


# --- a step


def guided_step(stage: Any, tmp_path: Any, mode: str, **changes: Any) -> Any:
    """Groups a and b, each a batch of its own, up to figures and records of step 5."""
    run = run_config(**changes)
    played = stage(script, run)
    problems = [lab_problem("a"), lab_problem("b")]
    played.play(problems)
    trainer = verl_trainer(run, played.worker.config, played.queue, problems, mode)
    directory = RunDirectory.create(tmp_path / "run", {"method": "repo"}, "method: repo\n")
    trainer._recorder = StepRecorder(str(directory.path), "all")
    metrics: dict[str, Any] = {}
    for number, uid in enumerate(("uida", "uidb")):
        trainer.local_trigger_step = number
        batch = played.queue.batch(uid=uid)
        trainer._compute_old_log_prob(batch, metrics)
        trainer._compute_advantage(batch, metrics)
    trainer._compute_metrics(
        played.queue.batch(), metrics, {"step": 1.0, "gen": 1.0}, global_steps=5, epoch=0
    )
    return played, trainer, directory, metrics


@pytest.mark.parametrize("mode", MODES)
def test_groups_are_recorded_in_the_step_that_trains_on_them(stage, tmp_path, mode) -> None:
    """They were sampled in step 1, and a checkpoint of step 4 does not hold what they taught."""
    _, trainer, directory, _ = guided_step(stage, tmp_path, mode)
    assert [step.step for step in directory.steps()] == [4]
    assert [group.step for group in directory.groups()] == [4, 4]
    assert not trainer._advantages


def test_recorded_advantages_are_those_of_the_batch_that_was_trained_on(stage, tmp_path) -> None:
    """Scaled by the spread of a batch, of which a step of separate_async has several."""
    played, _, directory, _ = guided_step(
        stage, tmp_path, "separate_async", guidance={"advantages": {"scale": "batch"}}
    )
    for group in directory.groups():
        rows = rows_of(played, f"uid{group.problem_id}")
        assert [m.advantage for m in group.members] == [row["advantages"][0] for row in rows]


def test_old_log_probs_of_all_updates_are_of_the_weights_before_the_first(stage, tmp_path) -> None:
    played, trainer, _, _ = guided_step(stage, tmp_path, "separate_async")
    assert trainer.actor_rollout_wg.calls == [
        ("save", 0),
        ("compute", 4),
        ("save", 1),
        ("restore", 0),
        ("compute", 4),
        ("restore", 1),
        ("clear", 1),
    ]
    injected = rows_of(played, "uida")[0]
    assert injected["rollout_log_probs"].tolist() == injected["old_log_probs"].tolist()


@pytest.mark.parametrize("mode", MODES)
def test_verl_counts_how_old_guided_groups_are(stage, tmp_path, mode) -> None:
    _, _, _, metrics = guided_step(stage, tmp_path, mode)
    assert metrics["training/off_policy/trajectory_staleness/mean"] == 4.0


# --- what a mode asks for


def test_a_launch_of_the_separate_mode_satisfies_verls_trainer(tmp_path, monkeypatch) -> None:
    run = run_config(verl={"prompts_per_step": 4, "gpus_per_node": 1, **SEPARATE})
    config = verl_config(run, tmp_path)
    register_guided_trainers()
    config.trainer.v1.trainer_mode = PREFIX + "separate_async"
    monkeypatch.setattr(
        PPOTrainer, "__init__", lambda self, config: setattr(self, "config", config)
    )
    trainer = TRAINER_REGISTRY[PREFIX + "separate_async"](config=config)
    separate = trainer.config.trainer.v1.separate_async
    assert (trainer.config.trainer.v1.trainer_mode, separate.parameter_sync_step) == (
        "separate_async",
        4,
    )
    assert dataclasses.is_dataclass(trainer.hybrid_rollout_config)
