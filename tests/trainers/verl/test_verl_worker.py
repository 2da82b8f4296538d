"""A group through verl's own worker: sampled, scored, gated, rewritten, replaced, published."""

from __future__ import annotations

import pytest
import torch

from rephrase_rl.errors import ConfigError
from rephrase_rl.trainers.verl.notes import CONTEXT_LOGPS, INJECTED, LEFT_OUT, UNSCORED, record_of
from rephrase_rl.trainers.verl.rows import NOTES
from verl_fakes import EOS, lab_problem, row_of, run_config, verl_config


def is_rewrite(prompt: str) -> bool:
    return "the expert says" in prompt


def failing(right: str = "A") -> object:
    """Rollouts fail; the rewrite says what is right."""

    def script(prompt: str, number: int) -> str:
        return right if is_rewrite(prompt) else f"no {number}"

    return script


def texts(stage, uid: str = "uida") -> list[str]:
    rows = stage.queue.rows["train"]
    keys = sorted(key for key in rows if key.startswith(f"{uid}_"))
    decode = stage.worker.tokenizer.decode
    return [decode(rows[key]["responses"], skip_special_tokens=True) for key in keys]


def notes(stage, uid: str = "uida") -> list[dict]:
    rows = stage.queue.rows["train"]
    keys = sorted(key for key in rows if key.startswith(f"{uid}_"))
    return [rows[key]["extra_fields"][NOTES] for key in keys]


def test_a_failed_group_is_rescued_and_published_as_whole(stage) -> None:
    played = stage(failing())
    played.play([lab_problem("a")])
    assert texts(played) == ["A", "no 1", "no 2", "no 3"]
    rows = played.queue.rows["train"]
    assert sorted(rows) == [f"uida_{i}_0" for i in range(4)]
    assert [float(rows[key]["rm_scores"].sum()) for key in sorted(rows)] == [1.0, 0.0, 0.0, 0.0]
    assert played.queue.statuses() == {"uida": "finished"}
    assert played.queue.history[0] == ("uida", "running")
    assert played.queue.history[-1] == ("uida", "finished")  # after the last row


def test_the_injected_row_stands_behind_q_and_not_behind_the_rephrase_prompt(stage) -> None:
    played = stage(failing())
    played.play([lab_problem("a")])
    rows = [played.queue.rows["train"][f"uida_{i}_0"] for i in range(4)]
    decode = played.worker.tokenizer.decode
    assert "the expert says" not in decode(rows[0]["prompts"])
    assert len({tuple(row["prompts"].tolist()) for row in rows}) == 1
    injected = rows[0]
    assert injected["input_ids"].tolist() == [
        *injected["prompts"].tolist(),
        *injected["responses"].tolist(),
    ]
    assert injected["responses"][-1] == EOS
    assert injected["response_mask"].tolist() == [1] * len(injected["responses"])
    assert injected["position_ids"].tolist() == list(range(len(injected["input_ids"])))


def test_all_rows_have_the_same_fields(stage) -> None:
    """verl stacks a batch by the fields of its first row."""
    played = stage(failing())
    played.play([lab_problem("a"), lab_problem("b")])
    fields = {frozenset(row) for row in played.queue.rows["train"].values()}
    assert len(fields) == 1
    kinds = {
        frozenset(row["extra_fields"]) - {"spec"} for row in played.queue.rows["train"].values()
    }
    assert len(kinds) == 1


def test_rows_say_what_was_injected(stage) -> None:
    played = stage(failing())
    played.play([lab_problem("a")])
    found = notes(played)
    length = len(played.queue.rows["train"]["uida_0_0"]["responses"])
    assert [own[INJECTED] for own in found] == [length, 0, 0, 0]
    assert found[0][CONTEXT_LOGPS] == [-0.5] * length
    assert [own[UNSCORED] for own in found] == [False] * 4
    assert [played.queue.rows["train"][f"uida_{i}_0"][INJECTED].item() for i in range(4)] == [
        length,
        0,
        0,
        0,
    ]
    record = record_of(found[0])
    assert record is not None
    assert (record.step, record.slot, record.rescued, record.gate_open) == (0, 0, True, True)
    assert [member.origin for member in record.members] == ["rephrase", *["rollout"] * 3]
    assert record_of(found[1]) is None


def test_every_completion_is_judged_once(stage) -> None:
    played = stage(failing())
    judged = []
    judge = played.worker.reward_loop_worker_handles[0]._manager._judge

    def counting(source, asked, problems):
        judged.extend(asked)
        return judge(source, asked, problems)

    played.worker.reward_loop_worker_handles[0]._manager._judge = counting
    played.play([lab_problem("a")])
    assert sorted(judged) == ["A", "no 0", "no 1", "no 2", "no 3"]


def test_a_closed_gate_asks_for_no_rewrite(stage) -> None:
    def script(prompt: str, number: int) -> str:
        return "A" if number == 2 else "no"

    played = stage(script)
    played.play([lab_problem("a")])
    assert len(played.sampled) == 4
    assert texts(played) == ["no", "no", "A", "no"]
    assert all(own[INJECTED] == 0 for own in notes(played))


def test_a_wrong_rewrite_is_refused_and_recorded(stage) -> None:
    played = stage(failing(right="wrong"))
    played.play([lab_problem("a")])
    assert texts(played) == [f"no {i}" for i in range(4)]
    record = record_of(notes(played)[0])
    assert record is not None
    assert record.candidates[0].refusals == ("reward_above_replaced",)


def test_an_unfinished_rewrite_is_refused(stage) -> None:
    played = stage(failing(right="A…"))
    played.play([lab_problem("a")])
    record = record_of(notes(played)[0])
    assert record is not None
    assert record.candidates[0].refusals == ("finished",)


def test_meta_text_is_removed_and_the_row_still_ends(stage) -> None:
    def script(prompt: str, number: int) -> str:
        return "Sure, here is the rewritten solution:\nA" if is_rewrite(prompt) else "no"

    played = stage(script)
    played.play([lab_problem("a")])
    assert texts(played)[0] == "A"
    row = played.queue.rows["train"]["uida_0_0"]
    assert row["responses"][-1] == EOS
    assert notes(played)[0][CONTEXT_LOGPS] is None  # no longer the tokens that were sampled


def test_the_rephrase_prompt_is_longer_than_questions_may_be_and_not_cut(stage) -> None:
    long_expert = "the expert says A " * 40
    played = stage(failing())
    played.play([lab_problem("a", expert_solution=long_expert)])
    (rewrite,) = [request for request in played.sampled if is_rewrite(request[0])]
    limit = played.worker.rollout_config.prompt_length
    assert len(played.worker.tokenizer.encode(rewrite[0])) > limit
    assert long_expert.strip() in rewrite[0]
    assert rewrite[1]["max_tokens"] == 64


def test_rewrites_have_a_temperature_of_their_own(stage) -> None:
    run = run_config(guidance={"source": {"temperature": 0.0}})
    played = stage(failing(), run)
    played.play([lab_problem("a")])
    (params,) = [p for prompt, p in played.sampled if is_rewrite(prompt)]
    assert (params["temperature"], params["top_p"], params["top_k"]) == (0.0, 1.0, -1)
    # Sampled from another distribution than the loss knows: not the log-probs of the policy.
    assert notes(played)[0][CONTEXT_LOGPS] is None


def test_validation_is_verls_own_and_never_injects(stage) -> None:
    played = stage(failing(), overrides=["actor_rollout_ref.rollout.val_kwargs.n=2"])
    played.play([lab_problem("a")], validate=True)
    assert not any(is_rewrite(prompt) for prompt, _ in played.server.requests)
    rows = played.queue.rows["val"]
    assert sorted(rows) == ["uida_0_0", "uida_1_0"]
    assert not played.queue.rows["train"]
    assert [float(row["rm_scores"].sum()) for row in rows.values()] == [0.0, 0.0]


def test_groups_go_on_independently_of_a_slow_one(stage) -> None:
    def script(prompt: str, number: int) -> str:
        if is_rewrite(prompt):
            return prompt.split("the expert says ")[1][0]
        return "no"

    played = stage(script, delay=lambda prompt: 0.2 if "say a" in prompt else 0.0)
    played.play([lab_problem("a"), lab_problem("b"), lab_problem("c")])
    finished = [key for key, status in played.queue.history if status == "finished"]
    assert finished[-1] == "uida"
    assert set(finished) == {"uida", "uidb", "uidc"}
    assert [texts(played, f"uid{name}")[0] for name in "abc"] == ["A", "B", "C"]


def test_an_unscorable_rollout_is_flagged_and_not_a_failure(stage) -> None:
    def script(prompt: str, number: int) -> str:
        return "A" if is_rewrite(prompt) else f"no {number}"

    played = stage(script, run_config(rewards=[{"verifier": "verl_blocks:Choosy"}]))
    played.play([lab_problem("a")])
    assert [own[UNSCORED] for own in notes(played)] == [False, False, True, False]
    record = record_of(notes(played)[0])
    assert record is not None
    assert record.failure_fraction == 1.0  # of the three that were judged
    row = played.queue.rows["train"]["uida_2_0"]
    assert torch.isfinite(row["rm_scores"]).all()


def test_a_rollout_that_fails_leaves_its_group_unguided(stage) -> None:
    def script(prompt: str, number: int) -> str:
        if number == 1:
            raise ConnectionError("server lost")
        return "no"

    played = stage(script)
    played.play([lab_problem("a")])
    assert played.queue.statuses() == {"uida": "failure"}
    assert len(texts(played)) == 3
    assert not any(is_rewrite(prompt) for prompt, _ in played.sampled)
    assert all(own[INJECTED] == 0 for own in notes(played))


def test_a_rewrite_that_fails_fails_its_group_alone(stage) -> None:
    def script(prompt: str, number: int) -> str:
        if is_rewrite(prompt) and "say a" in prompt:
            raise ConnectionError("server lost")
        return "B" if is_rewrite(prompt) else "no"

    played = stage(script)
    played.play([lab_problem("a"), lab_problem("b")])
    assert played.queue.statuses() == {"uida": "failure", "uidb": "finished"}
    assert texts(played, "uidb")[0] == "B"


def test_a_judge_that_loses_verdicts_fails_groups_and_keeps_nobody_waiting(stage) -> None:
    played = stage(failing())
    manager = played.worker.reward_loop_worker_handles[0]._manager
    manager._judge = lambda source, asked, problems: []
    played.play([lab_problem("a")])
    assert played.queue.statuses() == {"uida": "failure"}


def test_luffy_puts_the_expert_text_into_the_last_place(stage) -> None:
    played = stage(lambda prompt, number: "no", run_config("luffy"))
    played.play([lab_problem("a")])
    assert texts(played)[-1] == "the expert says A"
    length = len(played.queue.rows["train"]["uida_3_0"]["responses"])
    assert [own[INJECTED] for own in notes(played)] == [0, 0, 0, length]
    assert len(played.sampled) == 4


def test_hpt_trains_on_the_expert_alone(stage) -> None:
    played = stage(lambda prompt, number: "no", run_config("hpt"))
    played.play([lab_problem("a")])
    assert [own[LEFT_OUT] for own in notes(played)] == [False, True, True, True]


def test_an_expert_prefix_is_continued(stage) -> None:
    run = run_config(guidance={"source": {"kind": "expert_prefix", "share": 0.5}, "accept": []})

    def script(prompt: str, number: int) -> str:
        return " done" if "the exp" in prompt else "no"

    played = stage(script, run)
    played.play([lab_problem("a")])
    assert texts(played)[0].startswith("the exp")
    assert texts(played)[0].endswith(" done")
    own = notes(played)[0]
    assert 0 < own[INJECTED] < len(played.queue.rows["train"]["uida_0_0"]["responses"])


def test_the_likeliest_of_several_rewrites_is_measured_by_the_server(stage) -> None:
    run = run_config(guidance={"source": {"num_candidates": 2, "choice": "most_likely"}})
    played = stage(lambda p, n: "A" if is_rewrite(p) else "no", run)
    played.play([lab_problem("a")])
    measuring = [params for _, params in played.server.requests if "prompt_logprobs" in params]
    assert len(measuring) == 3  # the expert's own text too
    assert all(params["max_tokens"] == 1 for params in measuring)
    assert texts(played)[0] == "A"


def test_log_probs_of_a_prompt_are_read_at_the_right_positions(stage) -> None:
    from rephrase_rl.guidance.blocks import Measurement
    from rephrase_rl.trainers.verl.engine import GroupEngine
    from rephrase_rl.trainers.verl.worker import _GroupPolicy

    played = stage(failing())
    policy = _GroupPolicy(played.worker, row_of(lab_problem("a"), played.run))
    engine = GroupEngine(policy, played.worker._guidance, (5, 6, 7), {}, None)
    import asyncio

    found = asyncio.run(engine.logps((5, 6, 7), (8, 9)))
    assert found == (-2.0, -3.0)  # position i holds the log-prob of token i + 1
    assert Measurement(0, None, (8, 9)).token_ids == (8, 9)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("algorithm.adv_estimator=gae", "adv_estimator"),
        ("algorithm.rollout_correction.bypass_mode=true", "bypass_mode"),
        ("reward.reward_model.enable=true", "reward_model"),
        ("actor_rollout_ref.rollout.max_model_len=null", "max_model_len"),
        ("actor_rollout_ref.rollout.max_model_len=192", "max_model_len"),
        ("trainer.use_v1=false", "use_v1"),
        ("algorithm.filter_groups.enable=true", "filter_groups"),
        ("algorithm.use_kl_in_reward=true", "use_kl_in_reward"),
        ("actor_rollout_ref.rollout.multi_turn.enable=true", "multi_turn"),
        ("actor_rollout_ref.rollout.agent.default_agent_loop=tool_agent", "default_agent_loop"),
        ("actor_rollout_ref.rollout.enable_rollout_routing_replay=true", "routing_replay"),
        ("reward.reward_manager.name=naive", "reward_manager"),
        ("distillation.enabled=true", "distillation"),
        ("skip.rollout_tq.enable=true", "rollout_tq"),
        ("actor_rollout_ref.rollout.agent.agent_loop_manager_class=null", "manager_class"),
    ],
)
def test_settings_that_would_train_on_something_else_are_refused(tmp_path, change, word) -> None:
    from rephrase_rl.trainers.verl.checks import refuse_unsupported

    config = verl_config(run_config(), tmp_path, overrides=[change])
    with pytest.raises(ConfigError, match=word):
        refuse_unsupported(config)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (["actor_rollout_ref.rollout.calculate_log_probs=false"], "calculate_log_probs"),
        (
            [
                "actor_rollout_ref.rollout.logprobs_mode=raw_logprobs",
                "actor_rollout_ref.rollout.temperature=0.7",
            ],
            "logprobs_mode",
        ),
    ],
)
def test_weights_of_the_context_ratio_need_the_servers_log_probs(tmp_path, changes, word) -> None:
    from rephrase_rl.trainers.verl.checks import refuse_unsupported

    run = run_config(guidance={"train": {"kind": "context_ratio"}})
    refuse_unsupported(verl_config(run, tmp_path))
    with pytest.raises(ConfigError, match=word):
        refuse_unsupported(verl_config(run, tmp_path, overrides=changes))


def test_servers_that_read_at_another_temperature_than_the_loss_are_not_asked(stage) -> None:
    """Weights would compare log-probs of two temperatures."""
    run = run_config(trainer={"temperature": 0.5}, guidance={"train": {"kind": "context_ratio"}})

    def told(prompt: str, number: int) -> str:
        return "Sure, here is the rewritten solution:\nA" if is_rewrite(prompt) else "no"

    played = stage(told, run)
    played.play([lab_problem("a")], temperature=0.5)
    assert len(played.sampled) == len(played.server.requests)
    assert notes(played)[0][CONTEXT_LOGPS] is None


def test_good_settings_pass_and_verls_own_trainer_is_told(tmp_path) -> None:
    from omegaconf import OmegaConf

    from rephrase_rl.trainers.verl.checks import GUIDED, refuse_unsupported

    config = verl_config(run_config(), tmp_path)
    refuse_unsupported(config)
    OmegaConf.update(config, GUIDED, False)
    refuse_unsupported(config, trainer_is_guided=False)
    with pytest.raises(ConfigError, match=r"trainers\.verl\.launch"):
        refuse_unsupported(config)


@pytest.mark.parametrize("method", ["relift", "chord", "replay"])
def test_methods_that_need_more_than_a_group_are_refused(method) -> None:
    from rephrase_rl.assembly.verl.parts import facts_of, run_parts
    from rephrase_rl.trainers.verl.group_at_a_time import guidance_faults

    run = run_config(method)
    assert guidance_faults(run_parts(facts_of(run, [lab_problem("a")])).guidance())
