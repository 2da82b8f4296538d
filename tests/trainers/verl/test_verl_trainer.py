"""verl's own trainer methods between sampling and update, with the method's arithmetic in them."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf
from verl.trainer.ppo.padding_utils import construct_minimal_padding_template
from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY, PPOTrainer

from engine_parity import ScriptedActor, loss_of, verl_trainer
from rephrase_rl.guidance.recording import step_metrics
from rephrase_rl.records import StepRecord
from rephrase_rl.runs import RunDirectory
from rephrase_rl.trainers.verl import trainer as trainer_module
from rephrase_rl.trainers.verl.checks import GUIDED
from rephrase_rl.trainers.verl.loss import ADVANTAGE, SCALE, guided_loss
from rephrase_rl.trainers.verl.notes import record_of
from rephrase_rl.trainers.verl.recording import StepRecorder
from rephrase_rl.trainers.verl.rows import NOTES
from rephrase_rl.trainers.verl.trainer import PREFIX, GuidedTrainer, register_guided_trainers
from verl_fakes import lab_problem, run_config

PROBLEMS = [lab_problem(name) for name in "ab"]


def script(prompt: str, number: int) -> str:
    """Of problem a all fail and the rewrite is right; of b two of four are right."""
    if "the expert says" in prompt:
        return "A"
    return "B" if "say b" in prompt and number < 2 else f"no {number}"


@pytest.fixture
def ready(stage):
    """A played stage and a trainer with log-probs computed."""

    def set_up(run=None, overrides=()):
        played = stage(script, run or run_config(), overrides=overrides)
        played.play(PROBLEMS)
        trainer = verl_trainer(played.run, played.worker.config, played.queue, PROBLEMS)
        batch = played.queue.batch()
        metrics: dict = {}
        trainer._compute_old_log_prob(batch, metrics)
        return played.queue, trainer, batch, metrics

    return set_up


def test_an_injected_row_gets_the_policys_log_probs_on_q(ready) -> None:
    queue, _, _, _ = ready()
    rows = queue.rows["train"]
    injected, own = rows["uida_0_0"], rows["uida_1_0"]
    assert torch.equal(injected["rollout_log_probs"], injected["old_log_probs"])
    assert set(own["rollout_log_probs"].tolist()) == {-0.5}  # as it was sampled


def test_figures_of_sampling_against_training_leave_injected_rows_out(ready) -> None:
    _, _, _, metrics = ready()
    assert metrics["training/rollout_probs_diff_valid"] == 1
    # 0.0, the place holder of an injected row, would be a probability of 1.
    assert metrics["training/rollout_probs_diff_max"] < 1 - math.exp(-2)


def test_rollout_correction_leaves_injected_rows_alone(ready) -> None:
    queue, trainer, batch, metrics = ready(
        overrides=[
            "algorithm.rollout_correction.rollout_is=token",
            "algorithm.rollout_correction.rollout_is_threshold=5.0",
        ]
    )
    trainer._compute_advantage(batch, metrics)
    weights = queue.rows["train"]["uida_0_0"]["rollout_is_weights"]
    assert torch.allclose(weights, torch.ones_like(weights))


def test_advantages_are_cores_after_injection(ready) -> None:
    queue, trainer, batch, metrics = ready()
    trainer._compute_advantage(batch, metrics)
    rows = queue.rows["train"]
    # One of four: (G - 1) / sqrt(G) with the sample standard deviation.
    assert rows["uida_0_0"]["advantages"][0].item() == pytest.approx(1.5, abs=1e-4)
    assert rows["uida_1_0"]["advantages"][0].item() == pytest.approx(-0.5, abs=1e-4)
    for row in rows.values():
        assert len(row["advantages"]) == len(row["responses"])


def test_equal_rewards_that_are_no_dyadic_numbers_have_no_advantage(ready) -> None:
    queue, trainer, batch, metrics = ready()
    for row in queue.rows["train"].values():
        row["rm_scores"] = torch.zeros_like(row["rm_scores"])
        row["rm_scores"][-1] = 0.98
    trainer._compute_advantage(batch, metrics)
    for row in queue.rows["train"].values():
        assert set(row["advantages"].tolist()) == {0.0}


def test_an_unscored_row_has_no_say_in_its_group(ready) -> None:
    queue, trainer, batch, metrics = ready()
    queue.rows["train"]["uidb_3_0"]["extra_fields"]["rephrase_rl"]["unscored"] = True
    trainer._compute_advantage(batch, metrics)
    rows = queue.rows["train"]
    assert set(rows["uidb_3_0"]["advantages"].tolist()) == {0.0}
    # Of 1, 1, 0: mean 2/3, sample standard deviation 1/sqrt(3).
    expected = (1 / 3) * math.sqrt(3)
    assert rows["uidb_0_0"]["advantages"][0].item() == pytest.approx(expected, abs=1e-4)


def test_padding_rows_of_verl_take_no_part(ready) -> None:
    queue, trainer, batch, metrics = ready()
    source = queue.rows["train"]["uida_0_0"]
    row, tag = construct_minimal_padding_template(
        dict(source), {**queue.tags["train"]["uida_0_0"], "seq_len": 3}, 1
    )
    row["uid"] = "pad0"
    row["old_log_probs"] = torch.zeros(1)
    queue.rows["train"]["pad0_0_0"], queue.tags["train"]["pad0_0_0"] = row, tag
    batch = queue.batch()
    trainer._compute_advantage(batch, metrics)
    assert queue.rows["train"]["pad0_0_0"]["advantages"].tolist() == [0.0]
    assert queue.rows["train"]["uida_0_0"]["advantages"][0].item() == pytest.approx(1.5, abs=1e-4)


def test_a_rule_with_a_loss_of_its_own_takes_the_tokens_out_of_verls(ready) -> None:
    queue, trainer, batch, metrics = ready(run_config("luffy"))
    trainer._compute_advantage(batch, metrics)
    rows = queue.rows["train"]
    assert set(rows["uida_3_0"]["advantages"].tolist()) == {0.0}
    assert rows["uida_3_0"][ADVANTAGE].item() == pytest.approx(0.75)  # no spread: 1 - 1/4
    assert rows["uida_3_0"][SCALE].item() == 1.0


def test_the_loss_reaches_the_training_workers_with_a_rule_of_its_own_alone(
    monkeypatch, ready
) -> None:
    monkeypatch.setattr(PPOTrainer, "_setup", lambda self: None)
    for method, has_rule in (("luffy", True), ("repo", False), ("grpo", False)):
        _, trainer, _, _ = ready(run_config(method))
        trainer.actor_rollout_wg.loss_fn = None
        trainer._setup()
        found = trainer.actor_rollout_wg.loss_fn
        assert found.func is guided_loss
        assert (found.keywords["rule"] is not None) == has_rule


def test_rows_that_are_left_out_are_not_counted_by_verls_engines(ready) -> None:
    """They divide by the sum of ``loss_mask``, and not of ``response_mask``."""
    queue, trainer, batch, metrics = ready(run_config("hpt"))
    trainer._compute_advantage(batch, metrics)
    rows = queue.rows["train"]
    for name in ("response_mask", "loss_mask"):
        counts = [int(rows[f"uida_{i}_0"][name].sum()) for i in range(4)]
        assert counts == [len(rows["uida_0_0"]["responses"]), 0, 0, 0]


def test_a_batch_of_rows_that_are_all_left_out_has_a_loss_of_nothing(ready) -> None:
    run = run_config("repo", guidance={"no_spread": {"policy": "drop"}, "gate": {"kind": "never"}})
    queue, trainer, _, metrics = ready(run)
    batch = queue.batch(uid="uida")
    trainer._compute_advantage(batch, metrics)
    rows = [queue.rows["train"][key] for key in batch.keys]
    data = queue.kv_batch_get(batch.keys, "train")
    loss, _, gradients = loss_of(trainer.actor_rollout_wg.loss_fn, data, rows)
    assert loss == 0.0
    assert all(value == 0.0 for own in gradients for value in own)


def test_figures_of_the_loss_have_the_names_of_every_other_run(ready) -> None:
    _, trainer, batch, metrics = ready()
    trainer._compute_advantage(batch, metrics)
    trainer._update_actor(batch, metrics)
    for kind in ("rollouts", "injection"):
        assert metrics[f"{kind}/policy_logp"] < 0
        assert 0 <= metrics[f"{kind}/clip_fraction"] <= 1
    assert metrics["rollouts/clip_fraction"] > 0
    assert not any(name.startswith(("actor/rollouts", "actor/injection")) for name in metrics)


def test_an_accepted_rewrite_keeps_its_tokens_with_the_trainers_log_probs(ready) -> None:
    queue, trainer, batch, metrics = ready()
    trainer._compute_advantage(batch, metrics)
    kept = []
    trainer._recorder = SimpleNamespace(keep=lambda step, records, *_: kept.extend(records))
    trainer._compute_metrics(batch, metrics, {"step": 1.0, "gen": 1.0}, global_steps=1, epoch=0)
    (guided,) = [record for record in kept if record.gate_open]
    tokens = guided.candidates[0].tokens
    row = queue.rows["train"]["uida_0_0"]
    assert "".join(tokens.pieces) == "A"
    assert tokens.logps_on_q == pytest.approx(row["old_log_probs"].tolist(), abs=1e-4)
    assert tokens.logps_on_context == (-0.5, -0.5)


def test_tokens_are_kept_of_whom_the_configuration_says(stage) -> None:
    def wrong(prompt: str, number: int) -> str:
        return "wrong" if "the expert says" in prompt else f"no {number}"

    for kept, expected in (("all", True), ("accepted", False), ("none", False)):
        played = stage(wrong, run_config(log={"token_logps": kept}))
        played.play(PROBLEMS[:1])
        record = record_of(played.queue.rows["train"]["uida_0_0"]["extra_fields"][NOTES])
        assert (record.candidates[0].tokens is not None) == expected
        if expected:
            assert "".join(record.candidates[0].tokens.pieces) == "wrong"


def test_experts_are_measured_in_every_nth_step(ready) -> None:
    for every, there in ((1, True), (0, False)):
        _, trainer, batch, metrics = ready(run_config(guidance={"expert_logp_every": every}))
        trainer._compute_advantage(batch, metrics)
        trainer._compute_metrics(batch, metrics, {"step": 1.0, "gen": 1.0}, 1, 0)
        assert ("expert/policy_logp" in metrics) == there


def test_unguided_groups_are_counted(stage) -> None:
    def broken(prompt: str, number: int) -> str:
        if "say b" in prompt and number == 1:
            raise ConnectionError("server lost")
        return script(prompt, number)

    played = stage(broken)
    played.play(PROBLEMS)
    trainer = verl_trainer(played.run, played.worker.config, played.queue, PROBLEMS)
    batch, metrics = played.queue.batch(), {}
    trainer._compute_old_log_prob(batch, metrics)
    trainer._compute_advantage(batch, metrics)
    trainer._compute_metrics(batch, metrics, {"step": 1.0, "gen": 1.0}, 1, 0)
    assert metrics["groups/unguided"] == 1.0


def test_figures_have_the_names_of_every_other_run(ready, tmp_path) -> None:
    queue, trainer, batch, metrics = ready()
    run = RunDirectory.create(tmp_path / "run", {"method": "repo"}, "method: repo\n")
    trainer._recorder = StepRecorder(str(run.path), "all")
    trainer._compute_advantage(batch, metrics)
    trainer._compute_metrics(batch, metrics, {"step": 2.0, "gen": 1.0}, global_steps=1, epoch=0)
    groups = list(run.groups())
    assert {group.problem_id for group in groups} == {"a", "b"}
    expected = step_metrics(groups, 0.5)
    for name, value in expected.items():
        if not math.isnan(value):
            assert metrics[name] == pytest.approx(value), name
    assert metrics["gate/open_fraction"] == 0.5
    assert metrics["injection/rescued_fraction"] == 0.5
    assert metrics["groups/unguided"] == 0.0
    (guided,) = [group for group in groups if group.gate_open]
    assert [m.advantage for m in guided.members] == pytest.approx([1.5, -0.5, -0.5, -0.5], abs=1e-4)
    accepted = guided.candidates[0]
    row = queue.rows["train"]["uida_0_0"]
    assert accepted.logp_on_q == pytest.approx(float(row["old_log_probs"].mean()))
    assert accepted.logp_on_context == pytest.approx(-0.5)
    (step,) = run.steps()
    assert isinstance(step, StepRecord)
    assert step.step == 0
    assert step.metrics["reward"] == pytest.approx(3 / 8)
    assert run.timings()[0].timings["time/step_s"] == 2.0


def test_guided_trainers_stand_beside_verls_own_modes(tmp_path) -> None:
    register_guided_trainers()
    register_guided_trainers()  # twice does no harm
    for mode in ("sync", "colocate_async", "separate_async"):
        guided = TRAINER_REGISTRY[PREFIX + mode]
        assert guided.guided_mode == mode
        assert guided.__mro__.index(GuidedTrainer) < guided.__mro__.index(TRAINER_REGISTRY[mode])


def test_a_guided_trainer_has_the_modes_own_name_before_verl_asks(monkeypatch, stage) -> None:
    """verl takes every name but ``sync`` for an asynchronous trainer."""
    register_guided_trainers()
    played = stage(script)
    config = played.worker.config
    OmegaConf.update(config, GUIDED, None)
    config.trainer.v1.trainer_mode = PREFIX + "sync"
    seen = []
    monkeypatch.setattr(
        PPOTrainer, "__init__", lambda self, config: seen.append(config.trainer.v1.trainer_mode)
    )
    trainer = TRAINER_REGISTRY[PREFIX + "sync"](config=config)
    assert seen == ["sync"]
    assert OmegaConf.select(config, GUIDED) is True
    assert trainer.guidance.active
    assert trainer_module.PREFIX == PREFIX
    assert ScriptedActor(played.queue).loss_fn is None
