"""Guided workers as real Ray actors, with the real TransferQueue and a scripted server."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import ray
import transfer_queue as tq
from omegaconf import OmegaConf
from verl.experimental.reward_loop.reward_loop import RewardLoopWorker
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.utils import tensordict_utils as tu

from engine_parity import verl_trainer
from rephrase_rl.errors import TrainingError
from rephrase_rl.runs import RunDirectory
from rephrase_rl.trainers.verl.liveness import Liveness
from rephrase_rl.trainers.verl.notes import INJECTED, record_of
from rephrase_rl.trainers.verl.recording import StepRecorder
from rephrase_rl.trainers.verl.rows import NOTES
from rephrase_rl.trainers.verl.worker import GuidedManager
from verl_fakes import RayServer, lab_problem, row_of, run_config, verl_config

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Ray, TransferQueue, two guided workers and a reward worker."""
    paths = [str(TESTS), str(TESTS.parent / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    ray.shutdown()
    # TransferQueue's actors ask for a core each, whether there are so many or not.
    ray.init(
        num_cpus=8,
        include_dashboard=False,
        runtime_env={"env_vars": environment},
        object_store_memory=200 * 2**20,
        log_to_driver=False,
    )
    run = run_config()
    config = verl_config(
        run,
        tmp_path_factory.mktemp("ray"),
        overrides=["actor_rollout_ref.rollout.agent.num_workers=2"],
    )
    OmegaConf.update(config, "transfer_queue.backend.SimpleStorage.num_data_storage_units", 1)
    tq.init(config.transfer_queue)
    rewards = [ray.remote(RewardLoopWorker).remote(config)]
    server = RayServer(config.actor_rollout_ref.model.path)
    manager = GuidedManager.create(
        config=config, llm_client=server, teacher_client=None, reward_loop_worker_handles=rewards
    )
    yield config, run, manager
    tq.close()
    ray.shutdown()


def submit(cluster, names: str) -> None:
    """Hand problems to the manager as verl's trainer does."""
    _, run, manager = cluster
    rows = [row_of(lab_problem(name), run) for name in names]
    columns = {key: np.array([row[key] for row in rows], dtype=object) for key in rows[0]}
    columns.pop("global_steps")
    batch = tu.get_tensordict(columns)
    tu.assign_non_tensor_data(batch, "global_steps", 1)
    tags = [{"is_prompt": True, "status": "pending", "global_steps": 1} for _ in rows]
    tq.kv_batch_put(keys=[row["uid"] for row in rows], partition_id="train", tags=tags)
    manager.generate_sequences(batch)


def sampled_batch(count: int):
    """What verl's trainer takes out."""
    buffer = ReplayBuffer(
        trainer_mode="sync",
        trainer_config=OmegaConf.create({}),
        max_off_policy_threshold=8,
        max_off_policy_strategy="drop",
        sampler_kwargs=OmegaConf.create({}),
        poll_interval=0.1,
    )
    batch, _ = buffer.sample(global_steps=1, partition_id="train", batch_size=count)
    return batch


def sample(count: int):
    """Injected tokens and reward by row, and the records of groups."""
    batch = sampled_batch(count)
    fields = ["uid", "responses", "rm_scores", "extra_fields", INJECTED]
    data = tq.kv_batch_get(keys=batch.keys, partition_id="train", select_fields=fields)
    extra = [getattr(value, "data", value) for value in data["extra_fields"]]
    injected = dict(zip(batch.keys, data[INJECTED].reshape(-1).tolist(), strict=True))
    rewards = {
        key: float(score.sum())
        for key, score in zip(batch.keys, data["rm_scores"].unbind(), strict=True)
    }
    records = [record for own in extra if (record := record_of(own[NOTES])) is not None]
    tq.kv_clear(keys=batch.keys, partition_id="train")
    return injected, rewards, records


def test_gates_may_open_on_one_worker_alone(cluster) -> None:
    """a and b, of the first worker, are solved at once; c and d, of the second, never."""
    submit(cluster, "abcd")
    injected, rewards, records = sample(4)
    assert len(injected) == 16
    assert {key.split("_")[0] for key, count in injected.items() if count} == {"uidc", "uidd"}
    assert all(rewards[key] == 1.0 for key, count in injected.items() if count)
    assert {record.problem_id: record.gate_open for record in records} == {
        "a": False,
        "b": False,
        "c": True,
        "d": True,
    }


class StoredRow(dict):
    """A row as TransferQueue gives it back."""

    def __init__(self, key: str) -> None:
        (row,) = tq.kv_batch_get(keys=[key], partition_id="train")
        super().__init__({name: row[name] for name in row.keys()})  # noqa: SIM118


class Stored:
    """The real TransferQueue, as the scripted training workers ask for it."""

    class _Rows:
        def __getitem__(self, key: str) -> StoredRow:
            return StoredRow(key)

    def __init__(self) -> None:
        self.rows = {"train": self._Rows()}

    @staticmethod
    def kv_batch_put(keys, partition_id, fields):
        return tq.kv_batch_put(keys=keys, partition_id=partition_id, fields=fields)

    @staticmethod
    def kv_batch_get(keys, partition_id):
        return tq.kv_batch_get(keys=keys, partition_id=partition_id)


def test_a_step_of_the_trainer_on_what_workers_have_published(cluster, tmp_path) -> None:
    """The real TransferQueue wraps and stacks columns in its own way."""
    config, run, _ = cluster
    submit(cluster, "ac")
    batch = sampled_batch(2)
    trainer = verl_trainer(run, config, Stored(), [lab_problem(name) for name in "ac"])
    directory = RunDirectory.create(tmp_path / "run", {"method": "repo"}, "method: repo\n")
    trainer._recorder = StepRecorder(str(directory.path), "all")
    metrics: dict = {}
    for part in (
        trainer._compute_old_log_prob,
        trainer._compute_advantage,
        trainer._update_actor,
    ):
        batch = part(batch, metrics)
    trainer._compute_metrics(batch, metrics, {"step": 1.0, "gen": 1.0}, global_steps=1, epoch=0)
    (injected,) = [key for key in batch.keys if StoredRow(key)[INJECTED] > 0]
    row = StoredRow(injected)
    assert injected.startswith("uidc_")
    assert row["rollout_log_probs"].tolist() == row["old_log_probs"].tolist()
    assert len(row["advantages"]) == len(row["loss_mask"]) == len(row["responses"])
    assert {group.problem_id: group.rescued for group in directory.groups()} == {
        "a": False,
        "c": True,
    }
    assert metrics["groups/unguided"] == 0.0
    assert {"injection/clip_fraction", "expert/policy_logp", "reward"} <= metrics.keys()
    tq.kv_clear(keys=batch.keys, partition_id="train")


def test_a_killed_worker_leaves_nothing_half_done_and_is_noticed(cluster) -> None:
    """Its groups never appear in part, the other worker's are whole, and who waits is told."""
    _, _, manager = cluster
    submit(cluster, "ez")  # z's rollouts come at once, and its rewrite takes long
    time.sleep(3)
    ray.kill(manager.agent_loop_workers[1])
    injected, _, records = sample(1)
    assert {key.split("_")[0] for key in injected} == {"uide"}
    assert len(injected) == 4
    assert [record.problem_id for record in records] == ["e"]
    left = tq.kv_list("train")["train"]
    assert {key: tag["status"] for key, tag in left.items()} == {"uidz": "running"}
    liveness = Liveness(every_s=0.0)
    workers = [(f"worker {i}", one) for i, one in enumerate(manager.agent_loop_workers)]

    def wait_for_ever() -> None:
        while True:
            liveness.require(workers)
            time.sleep(0.1)

    with pytest.raises(TrainingError, match=r"worker 1 has died.*--resume"):
        wait_for_ever()


def test_workers_that_live_are_not_taken_for_dead(cluster) -> None:
    """One that is busy answers later, and nobody waits for it."""
    _, _, manager = cluster
    liveness = Liveness(every_s=0.0)
    started = time.monotonic()
    for _ in range(20):
        liveness.require([("worker 0", manager.agent_loop_workers[0])])
        time.sleep(0.05)
    assert time.monotonic() - started < 10
