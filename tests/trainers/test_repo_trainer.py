"""The TRL adapter with scripted generations: what enters a batch, and what TRL makes of it."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset

from fakes import EOS_ID, PAD_ID, ByteTokenizer
from guidance_fakes import repo
from rephrase_rl.errors import CompatibilityError, ConfigError
from rephrase_rl.guidance.blocks import Guidance
from rephrase_rl.guidance.gates import AlwaysGate, FailedShareGate
from rephrase_rl.guidance.memory import CachedSource
from rephrase_rl.guidance.slots import ReplaceWorst
from rephrase_rl.guidance.sources import (
    ExpertTextSource,
    RationaleSource,
    RefinementSource,
    RephraseSource,
)
from rephrase_rl.trainers.trl.checks import refuse_unsupported
from rephrase_rl.trainers.trl.compatibility import check_trl_version
from trl_fakes import CountingReward, rows, trainer

pytestmark = pytest.mark.integration


def rewrite_or(wrong: str):
    """Rollouts say ``wrong``; a rewrite says what the expert said."""

    def script(prompts, call):
        found = [re.search(r"expert:(\w+)", prompt) for prompt in prompts]
        return [match.group(1) if match else wrong for match in found]

    return script


def run(tmp_path, guidance, script, **options):
    records = []
    made = trainer(tmp_path, guidance, script=script, on_groups=records.extend, **options)
    made.train()
    return made, records


def decoded(ids: torch.Tensor) -> list[str]:
    tokenizer = ByteTokenizer()
    return [tokenizer.decode([i for i in row.tolist() if i != PAD_ID]) for row in ids]


def test_injected_row_sees_q_alone(tmp_path) -> None:
    made, records = run(tmp_path, repo(), rewrite_or("x"))
    prompts = decoded(made.batches[0]["prompt_ids"])
    completions = decoded(made.batches[0]["completion_ids"])
    assert len(prompts) == 4
    for prompt in prompts:
        assert "expert" not in prompt, "the expert text stands in a trained row's context"
    injected = [i for i, text in enumerate(completions) if text != "x<eos>"]
    assert injected == [0, 2], "the first of the worst in each group of two"
    for i in injected:
        question = re.search(r"<\|user\|>(\w+)", prompts[i]).group(1)
        assert completions[i] == question[::-1] + "<eos>"
    assert [r.slot for r in records] == [0, 0]
    assert all(r.rescued and r.gate_open for r in records)
    assert records[0].replaced.text == "x"
    assert records[0].members[0].origin == "rephrase"


def test_advantages_are_cores_after_injection(tmp_path) -> None:
    made, records = run(tmp_path, repo(advantage_eps=0.0), rewrite_or("x"))
    # One success of two, sample standard deviation: (1 - 1/2) / sqrt(1/2) = sqrt(1/2).
    expected = [math.sqrt(0.5), -math.sqrt(0.5)] * 2
    assert made.batches[0]["advantages"].tolist() == pytest.approx(expected, rel=1e-6)
    assert [m.advantage for r in records for m in r.members] == pytest.approx(expected, rel=1e-6)
    assert list(made._logs["advantages"]) == pytest.approx(expected, rel=1e-6)


def test_constant_group_has_advantage_exactly_zero(tmp_path) -> None:
    reward = CountingReward({"x": 0.98})
    made, _ = run(tmp_path, None, rewrite_or("x"), reward_funcs=reward)
    assert made.batches[0]["advantages"].tolist() == [0.0] * 4


def test_close_to_stock_trl_where_nothing_is_injected(tmp_path) -> None:
    # eps 1e-4 is TRL's; the rest of the formula must then agree.
    reward = CountingReward({"a": 1.0, "b": 0.25, "c": 0.0, "d": 0.5})
    made, _ = run(
        tmp_path,
        Guidance(advantage_eps=1e-4),
        lambda prompts, call: ["a", "b", "c", "d"],
        reward_funcs=reward,
    )
    rewards = torch.tensor([[1.0, 0.25], [0.0, 0.5]])
    stock = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    torch.testing.assert_close(made.batches[0]["advantages"], stock.flatten())


def test_each_completion_is_judged_once(tmp_path) -> None:
    reward = CountingReward()
    made, _ = run(tmp_path, repo(), rewrite_or("x"), reward_funcs=reward)
    assert len(reward.seen) == 4 + 2
    assert sorted(reward.seen[4:]) == sorted(
        c.removesuffix("<eos>") for c in decoded(made.batches[0]["completion_ids"]) if c != "x<eos>"
    )


def test_closed_gate_is_grpo_bit_for_bit(tmp_path) -> None:
    """Real sampling: the weights after two steps must be equal to the last bit."""

    class LengthReward(CountingReward):
        def __call__(self, prompts, completions, **kwargs):
            return [float(len(text[0]["content"])) for text in completions]

    def weights(guidance):
        made = trainer(tmp_path, guidance, reward_funcs=LengthReward(), args={"max_steps": 2})
        made.train()
        return made.batches, [p.detach().clone() for p in made.model.parameters()]

    grpo_batches, grpo = weights(None)
    closed_batches, closed = weights(repo(gate=FailedShareGate(1.0, -1.0)))
    for ours, theirs in zip(closed_batches, grpo_batches, strict=True):
        # One mark more, with nothing marked.
        assert not ours.pop("injected_mask").any()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert all(torch.equal(a, b) for a, b in zip(grpo, closed, strict=True))


def test_open_gates_do_not_move_the_rollout_stream(tmp_path) -> None:
    """Real sampling without learning: rewrites are drawn, yet the rollouts stay the same."""

    def rollouts(guidance):
        _made, records = run(
            tmp_path,
            guidance,
            None,
            args={"max_steps": 3, "learning_rate": 0.0},
        )
        return [m.text for r in records for m in r.members], records

    plain, _ = rollouts(None)
    guided, records = rollouts(repo())
    assert all(r.candidates for r in records), "no rewrite was drawn, so the test shows nothing"
    assert plain == guided, "rewrites are wrong here, so nothing may be injected or moved"


def test_evaluation_never_injects(tmp_path) -> None:
    made = trainer(tmp_path, repo(), script=rewrite_or("x"), args={"per_device_eval_batch_size": 4})
    from datasets import Dataset

    metrics = made.evaluate(eval_dataset=Dataset.from_list(rows(2)))
    assert metrics["eval_reward"] == 0.0
    assert all("rewrite" not in prompt for call in made.calls for prompt in call)
    assert len(made._logs["extra"]["origin"]) == len(made._logs["prompt"])


def test_old_log_probs_of_injected_rows_are_taken_on_q(tmp_path) -> None:
    made, _ = run(tmp_path, repo(), rewrite_or("x"), args={"num_iterations": 2, "max_steps": 2})
    batch = made.batches[0]
    fresh = trainer(tmp_path, None)  # the same initial weights
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    with torch.no_grad():
        logits = fresh.model(input_ids=ids, attention_mask=mask).logits
    width = batch["completion_ids"].size(1)
    logps = logits[:, -width - 1 : -1].log_softmax(-1)
    expected = logps.gather(2, batch["completion_ids"].unsqueeze(2)).squeeze(2)
    keep = batch["completion_mask"].bool()
    torch.testing.assert_close(batch["old_per_token_logps"][keep], expected[keep])


def test_honesty_metrics_are_log_probs_under_both_contexts(tmp_path) -> None:
    made, records = run(tmp_path, repo(), rewrite_or("x"))
    fresh = trainer(tmp_path, None)
    tokenizer = ByteTokenizer()
    record = records[0]
    ids = [*record.candidates[0].text.encode(), EOS_ID]

    def mean_logp(content: str) -> float:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, return_dict=False
        )
        with torch.no_grad():
            logits = fresh.model(input_ids=torch.tensor([prompt + ids])).logits[0]
        logps = logits[len(prompt) - 1 : -1].log_softmax(-1)
        return logps[range(len(ids)), ids].mean().item()

    context = f"<rewrite>{record.question}<expert>{record.expert_solution}"
    assert record.candidates[0].logp_on_q == pytest.approx(mean_logp(record.question), abs=1e-4)
    assert record.candidates[0].logp_on_context == pytest.approx(mean_logp(context), abs=1e-4)
    assert made.state.log_history[0]["injection/logp_on_q"] == pytest.approx(
        sum(r.candidates[0].logp_on_q for r in records) / 2
    )


def test_none_reward_is_neither_failed_nor_worst(tmp_path) -> None:
    reward = CountingReward({"odd": None})
    made, records = run(
        tmp_path,
        repo(),
        lambda prompts, call: (
            rewrite_or("x")(prompts, call) if call else ["odd", "x", "odd", "odd"]
        ),
        reward_funcs=reward,
    )
    first, second = records
    assert first.failure_fraction == 1.0
    assert first.slot == 1
    assert second.gate_reason == "unscored"
    assert made.batches[0]["advantages"][0].item() == 0.0


def test_several_rewards_need_the_one_that_decides_failure(tmp_path) -> None:
    class Style(CountingReward):
        __name__ = "style"

        def __call__(self, prompts, completions, **kwargs):
            return [0.9] * len(completions)

    with pytest.raises(ConfigError, match=r"guidance\.correctness .*correct, style"):
        trainer(tmp_path, repo(), reward_funcs=[CountingReward(), Style()])
    with pytest.raises(ConfigError, match="name one of them"):
        trainer(tmp_path, repo(correctness="other"), reward_funcs=[CountingReward(), Style()])
    _made, records = run(
        tmp_path,
        repo(correctness="correct"),
        rewrite_or("x"),
        reward_funcs=[Style(), CountingReward()],
    )
    assert all(r.failure_fraction == 1.0 for r in records), "judged by style, nothing had failed"
    assert records[0].members[0].reward == pytest.approx(1.9)


def test_extra_columns_keep_one_value_per_row(tmp_path) -> None:
    class Logging(CountingReward):
        def __call__(self, prompts, completions, log_extra=None, log_metric=None, **kwargs):
            rewards = super().__call__(prompts, completions, **kwargs)
            log_extra("length", [len(c[0]["content"]) for c in completions])
            log_metric("calls", 1.0)
            return rewards

    made, _ = run(tmp_path, repo(), rewrite_or("wrong"), reward_funcs=Logging())
    assert list(made._logs["extra"]["length"]) == [2, 5, 2, 5]
    assert list(made._logs["extra"]["origin"]) == ["rephrase", "rollout"] * 2
    assert len(made._logs["prompt"]) == 4


def test_truncated_rewrite_is_refused_and_injected_one_keeps_eos(tmp_path) -> None:
    def script(prompts, call):
        if not call:
            return ["x"] * 4
        return [text + ("…" if i else "") for i, text in enumerate(rewrite_or("")(prompts, call))]

    made, records = run(tmp_path, repo(), script, args={"mask_truncated_completions": True})
    assert records[0].slot == 0
    assert records[1].slot is None
    assert records[1].candidates[0].refusals == ("finished",)
    row = made.batches[0]["completion_ids"][0]
    assert EOS_ID in row.tolist()
    assert made.batches[0]["completion_mask"][0].sum() == 3, "two bytes and the end"


def test_candidates_have_their_own_temperature(tmp_path) -> None:
    seen = []

    class Watching:
        def __call__(self, prompts, call):
            seen.append((made.generation_config.temperature, made.generation_kwargs["temperature"]))
            return rewrite_or("x")(prompts, call)

    made = trainer(tmp_path, repo(temperature=0.3), script=Watching())
    made.train()
    assert seen == [(1.0, 1.0), (0.3, 0.3)]
    assert made.generation_config.temperature == 1.0


def test_sampling_log_probs_of_injected_rows_are_nan(tmp_path) -> None:
    """With vLLM the sampler's log-probs belong to P(q, k) and must not reach the ratio."""
    made = trainer(tmp_path, repo(), script=rewrite_or("x"))
    generate = made._generate_single_turn

    def with_logprobs(prompt_ids, *args, **kwargs):
        ids, _ = generate(prompt_ids, *args, **kwargs)
        return ids, [[-0.5] * len(row) for row in ids]

    made._generate_single_turn = with_logprobs
    made.train()
    logps = made.batches[0]["sampling_per_token_logps"]
    mask = made.batches[0]["completion_mask"].bool()
    assert torch.isnan(logps[0][mask[0]]).all()
    assert (logps[1][mask[1]] == -0.5).all()


def test_vllm_importance_ratio_of_injected_rows_is_exactly_one(tmp_path) -> None:
    """TRL's own correction code, with a backend that gives log-probs as vLLM does."""
    made = trainer(tmp_path, repo(), script=rewrite_or("x"))
    made.use_vllm = True
    made.vllm_generation = SimpleNamespace(temperature=1.0, top_p=1.0)
    generate = made._generate_single_turn

    def with_logprobs(prompt_ids, *args, **kwargs):
        ids, _ = generate(prompt_ids, *args, **kwargs)
        return ids, [[-0.5] * len(row) for row in ids]

    made._generate_single_turn = with_logprobs
    made.train()
    assert made.vllm_importance_sampling_correction
    ratio = made.batches[0]["importance_sampling_ratio"].squeeze()
    assert ratio[0].item() == 1.0
    assert ratio[2].item() == 1.0
    assert ratio[1].item() != 1.0, "the rollout's own log-probs are corrected"


def test_greedy_rewrites_are_sampled_without_a_draw(tmp_path) -> None:
    """Temperature 0, with the real generation code."""
    records = [run(tmp_path, repo(temperature=0.0), None)[1] for _ in range(2)]
    texts = [[c.raw_text for r in found for c in r.candidates] for found in records]
    assert texts[0]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(("accumulation", "per_generation"), [(2, 1), (2, 2), (1, 2)])
def test_counts_are_of_the_whole_optimiser_step(tmp_path, accumulation, per_generation) -> None:
    """Several generations in one step are added, one generation for two steps is told once."""
    made, records = run(
        tmp_path,
        repo(),
        rewrite_or("x"),
        args={
            "gradient_accumulation_steps": accumulation,
            "steps_per_generation": per_generation,
            "max_steps": 2,
        },
    )
    logged = [entry for entry in made.state.log_history if "tokens/rollout" in entry]
    in_records = sum(m.num_tokens for r in records for m in (*r.members[1:], r.replaced))
    assert sum(entry["tokens/rollout"] for entry in logged) == in_records
    assert sum(entry["injection/accepted"] for entry in logged) == sum(
        r.slot is not None for r in records
    )


def test_plain_prompts_work_too(tmp_path) -> None:
    plain = [row | {"prompt": row["prompt"][0]["content"]} for row in rows()]
    made, records = run(tmp_path, repo(), rewrite_or("x"), data=plain)
    assert [r.slot for r in records] == [0, 0]
    assert all("expert" not in text for text in decoded(made.batches[0]["prompt_ids"]))


def settings(**changes):
    """What ``refuse_unsupported`` reads of a trainer; two processes would hold half groups each."""
    args = {
        "num_generations": 4,
        "per_device_train_batch_size": 4,
        "steps_per_generation": 1,
        "vllm_enable_sleep_mode": False,
    }
    trainer = {
        "guidance": repo(),
        "tools": [],
        "environment_factories": None,
        "_is_vlm": False,
        "use_vllm": False,
        "multi_objective_aggregation": "sum_then_normalize",
        "scale_rewards": "group",
        "stream": None,
        "train_dataset": [{}] * 8,
        "loss_type": "dapo",
        "importance_sampling_level": "token",
        "off_policy_mask_threshold": None,
        "top_entropy_quantile": 1.0,
        "is_deepspeed_enabled": False,
        "is_fsdp_enabled": False,
    }
    args |= {key: value for key, value in changes.items() if key in args}
    trainer |= {key: value for key, value in changes.items() if key in trainer}
    args["generation_batch_size"] = 8
    return SimpleNamespace(args=SimpleNamespace(**args), **trainer)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"per_device_train_batch_size": 2}, "groups would be split over processes"),
        ({"tools": [print]}, "tools or environment_factory"),
        ({"environment_factories": {"a": print}}, "tools or environment_factory"),
        ({"_is_vlm": True}, "image processor"),
        (
            {"multi_objective_aggregation": "normalize_then_sum", "scale_rewards": "none"},
            "always divides",
        ),
        ({"use_vllm": True, "vllm_enable_sleep_mode": True}, "vllm_enable_sleep_mode"),
    ],
)
def test_unsupported_settings_are_refused(changes, said) -> None:
    refuse_unsupported(settings())
    with pytest.raises(ConfigError, match=said):
        refuse_unsupported(settings(**changes))


def test_all_unsupported_settings_are_named_at_once_and_tools_are_fine_without_guidance() -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_unsupported(settings(per_device_train_batch_size=3, tools=[print], _is_vlm=True))
    assert len(caught.value.faults) == 3
    refuse_unsupported(settings(tools=[print], guidance=Guidance()))


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"expert_solutions": ["a", "b"]}, "the columns prompt, expert_solutions"),
        ({"expert_solution": [None, None]}, "nothing but None in the column expert_solution"),
    ],
)
def test_a_source_of_expert_solutions_is_refused_where_there_is_none(columns, found) -> None:
    data = Dataset.from_dict({"prompt": ["q", "r"], **columns})
    with pytest.raises(ConfigError, match=f"has {found}, and the source brings in nothing"):
        refuse_unsupported(settings(train_dataset=data))
    for source in (ExpertTextSource(), CachedSource(RephraseSource(), 2), RefinementSource()):
        guidance = Guidance(FailedShareGate(), source, slot=ReplaceWorst())
        with pytest.raises(ConfigError, match=found):
            refuse_unsupported(settings(train_dataset=data, guidance=guidance))
    for source in (RationaleSource(), RefinementSource(show_expert=False)):
        guidance = Guidance(FailedShareGate(), source, slot=ReplaceWorst())
        refuse_unsupported(settings(train_dataset=data, guidance=guidance))
    refuse_unsupported(settings(train_dataset=data, guidance=Guidance()))
    one = Dataset.from_dict({"prompt": ["q", "r"], "expert_solution": [None, "k"]})
    refuse_unsupported(settings(train_dataset=one))


def test_untested_trl_is_refused_by_name() -> None:
    with pytest.raises(CompatibilityError, match=r"trl 1\.17\.0.*>=1\.16,<1\.17"):
        check_trl_version("1.17.0")
    check_trl_version("1.16.4")


def test_always_gate_improves_mixed_groups_too(tmp_path) -> None:
    def script(prompts, call):
        return rewrite_or("x")(prompts, call) if call else ["x", "ba", "x", "x"]

    _, records = run(tmp_path, repo(gate=AlwaysGate()), script)
    assert all(r.gate_open for r in records)
