"""The switches of TRL that users expect, with every method, on a tiny model.

Each run goes through TRL's whole step: sampling by script, guidance, old log-probs, loss, update.
The full table of methods and switches is slow; the fast one has each switch with three methods.
"""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig
from test_repo_trainer import rewrite_or
from transformers import AutoModelForCausalLM

from fakes import tiny_model
from rephrase_rl.assembly.blocks import build_guidance
from rephrase_rl.assembly.streams import build_stream
from rephrase_rl.config import PromptsConfig
from rephrase_rl.methods import resolve_guidance
from trl_fakes import QUESTIONS, CountingReward, rows, trainer

pytestmark = pytest.mark.integration

METHODS = (
    *("grpo", "luffy_grpo", "repo", "luffy", "naive", "guide", "relift"),
    *("chord", "chord_mu", "hpt", "star", "replay"),
)
SWITCHES: dict[str, dict[str, Any]] = {
    "num_iterations": {"args": {"num_iterations": 2, "max_steps": 2}},
    "steps_per_generation": {"args": {"steps_per_generation": 2, "per_device_train_batch_size": 2}},
    "accumulation": {"args": {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 2}},
    "grpo": {"args": {"loss_type": "grpo"}},
    "dr_grpo": {"args": {"loss_type": "dr_grpo"}},
    "dapo": {"args": {"loss_type": "dapo"}},
    "bnpo": {"args": {"loss_type": "bnpo"}},
    "cispo": {"args": {"loss_type": "cispo", "epsilon_high": 5.0}},
    "gspo": {"args": {"loss_type": "grpo", "importance_sampling_level": "sequence"}},
    "kl": {"args": {"beta": 0.1}},
    "several_rewards": {"args": {"reward_weights": [1.0, 0.5]}},
    "mask_truncated": {"args": {"mask_truncated_completions": True}},
    "plain_prompts": {},
    "lora": {"peft_config": LoraConfig(r=2, target_modules=["q_proj", "v_proj"])},
}
REFUSED = {("luffy", "cispo"), ("luffy", "gspo")}
"""Shaped probability with a loss that it was not made for; tested in test_train_rules."""
FAST_METHODS = ("repo", "luffy", "hpt")


class Short:
    """A second reward: short texts are better."""

    __name__ = "short"

    def __call__(self, prompts, completions, **kwargs) -> list[float]:
        return [1.0 / (1 + len(text[0]["content"])) for text in completions]


EXPERT_IS_RIGHT = {f"expert:{question[::-1]}": 1.0 for question in QUESTIONS}


def saved_tiny_model(folder):
    """TRL loads the reference policy anew, from where the policy came from."""
    tiny_model().save_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def guidance_of(method: str, switch: str):
    overrides: dict[str, Any] = {}
    if switch == "several_rewards":
        overrides["correctness"] = "correct"
    if method == "relift":
        overrides["slot"] = {"size": 2}
    config = resolve_guidance(method, overrides)
    return build_guidance(config, PromptsConfig()), build_stream(config.slot)


def script(prompts, call):
    """Everything fails, but for texts that were written with the solution or the answer in sight.

    Some rollouts are cut off at the length limit.
    """
    texts = rewrite_or("x")(prompts, call)
    return [text if text != "x" else ("xx…" if i % 4 == 3 else "x") for i, text in enumerate(texts)]


def one_step(tmp_path, method: str, switch: str):
    options = dict(SWITCHES[switch])
    guidance, stream = guidance_of(method, switch)
    if switch == "plain_prompts":
        options["data"] = [row | {"prompt": row["prompt"][0]["content"]} for row in rows()]
    options["reward_funcs"] = [CountingReward(EXPERT_IS_RIGHT)]
    if switch == "several_rewards":
        options["reward_funcs"].append(Short())
    if switch == "kl":
        options["model"] = saved_tiny_model(tmp_path / "model")
    records: list = []
    made = trainer(
        tmp_path, guidance, stream=stream, script=script, on_groups=records.extend, **options
    )
    before = [p.detach().clone() for p in made.model.parameters()]
    made.train()
    moved = any(not torch.equal(a, b) for a, b in zip(before, made.model.parameters(), strict=True))
    return made, records, moved


def table(methods) -> list[tuple[str, str]]:
    pairs = itertools.product(methods, SWITCHES)
    return [pair for pair in pairs if pair not in REFUSED]


def check(tmp_path, method: str, switch: str) -> None:
    made, records, moved = one_step(tmp_path, method, switch)
    losses = [entry["loss"] for entry in made.state.log_history if "loss" in entry]
    assert losses
    assert all(loss == loss for loss in losses), "the loss is NaN"
    accepted = [c for r in records for c in r.candidates if c.accepted]
    # The scripted policy makes nothing of an answer alone, and has no success to replay.
    brings_expert = method not in ("grpo", "luffy_grpo", "star", "replay")
    if (method, switch) != ("star", "several_rewards"):  # better style, and that is a reward
        assert bool(accepted) == brings_expert
    # What is all failed has no gradient but by guidance, KL or the second reward.
    if brings_expert or switch == "several_rewards":
        assert moved
    elif switch != "kl":
        assert not moved


@pytest.mark.parametrize(("method", "switch"), table(FAST_METHODS))
def test_switch_works_with_the_method(tmp_path, method, switch) -> None:
    check(tmp_path, method, switch)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "switch"), table(m for m in METHODS if m not in FAST_METHODS))
def test_switch_works_with_every_method(tmp_path, method, switch) -> None:
    check(tmp_path, method, switch)


def test_kl_acts_on_injected_tokens_too(tmp_path) -> None:
    """With a reference policy the tokens of a rule with a loss of its own keep their KL term."""
    made, _, _ = one_step(tmp_path, "luffy", "kl")
    assert "ref_per_token_logps" in made.batches[0]
    assert all(entry["kl"] >= 0 for entry in made.state.log_history if "kl" in entry)


def test_masked_truncated_rollouts_leave_the_loss_and_injected_texts_stay(tmp_path) -> None:
    made, records, _ = one_step(tmp_path, "repo", "mask_truncated")
    counted = made.batches[0]["completion_mask"].bool()
    injected = made.batches[0]["injected_mask"]
    assert (injected & counted).any(1).sum() == 2
    truncated = sum(not member.finished for record in records for member in record.members)
    assert truncated > 0
    assert int((~counted.any(1)).sum()) == truncated


class FakeVllm:
    """vLLM's side of TRL's ``VLLMGeneration``: real log-probs of scripted texts under the policy.

    As a server it is given every prompt ``num_generations`` times and answers each distinct one
    that often; colocated it answers each prompt once.
    """

    mode = "colocate"

    def __init__(self, model, processing_class=None, **settings: Any) -> None:
        self.model, self.tokenizer = model, processing_class
        self.temperature = settings.get("temperature", 1.0)
        self.top_p = settings.get("top_p", 1.0)
        self.synchronised = 0
        self.calls: list[int] = []
        info = {"model_config": {"logprobs_mode": "processed_logprobs"}}
        self.vllm_client = SimpleNamespace(get_server_info=lambda: info)

    def sync_weights(self) -> None:
        self.synchronised += 1

    def generate(self, prompts, images, num_generations, profiler=None):
        self.calls.append(len(prompts))
        asked = prompts
        if self.mode == "server":
            asked = [ids for ids in prompts[::num_generations] for _ in range(num_generations)]
        texts = script([self.tokenizer.decode(ids) for ids in asked], 0)
        end = self.tokenizer.eos_token_id
        completion_ids = [
            [*text.removesuffix("…").encode(), *([] if text.endswith("…") else [end])]
            for text in texts
        ]
        logprobs = [
            self._logprobs(prompt, completion)
            for prompt, completion in zip(asked, completion_ids, strict=True)
        ]
        return prompts, completion_ids, logprobs, None

    def _logprobs(self, prompt, completion):
        ids = torch.tensor([[*prompt, *completion]])
        with torch.no_grad():
            logps = self.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        chosen = logps.gather(-1, ids[0, 1:].unsqueeze(-1))[-len(completion) :]
        return [[float(logp)] for logp in chosen.flatten()]


def test_rollouts_of_a_vllm_in_this_process_depend_on_the_runs_seed(tmp_path, monkeypatch) -> None:
    """vLLM seeds the process's generators by the sampler's number, which is no run's own."""

    class Seeding(FakeVllm):
        def __init__(self, *args, **settings) -> None:
            super().__init__(*args, **settings)
            np.random.seed(0)  # noqa: NPY002
            torch.manual_seed(0)

    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", Seeding)
    drawn = []
    for seed in (1, 1, 2):
        trainer(tmp_path, guidance_of("repo", "")[0], args={"use_vllm": True, "seed": seed})
        drawn.append((int(np.random.randint(2**31)), int(torch.randint(2**31, ()))))  # noqa: NPY002
    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[2][0]
    assert drawn[0][1] != drawn[2][1]


@pytest.mark.parametrize(
    ("mode", "weighing"),
    [
        ("colocate", "token_truncate"),
        ("colocate", "sequence_mask"),
        ("server", "token_truncate"),
    ],
)
@pytest.mark.parametrize("method", ["repo", "luffy", "hpt"])
def test_vllm_answers_rewrites_and_the_correction_leaves_injected_rows_alone(
    tmp_path, monkeypatch, method, mode, weighing
) -> None:
    backend = type("Backend", (FakeVllm,), {"mode": mode})
    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", backend)
    guidance, stream = guidance_of(method, "")
    records: list = []
    made = trainer(
        tmp_path,
        guidance,
        stream=stream,
        on_groups=records.extend,
        reward_funcs=[CountingReward(EXPERT_IS_RIGHT)],
        args={"use_vllm": True, "vllm_mode": mode, "vllm_importance_sampling_mode": weighing},
    )
    made.train()
    assert made.vllm_generation.synchronised == 1, "rewriting must not push the weights again"
    assert made.vllm_generation.calls == ([4, 2] if method == "repo" else [4])
    assert sum(c.accepted for r in records for c in r.candidates) == 2
    batch = made.batches[0]
    ratio, injected = batch["importance_sampling_ratio"], batch["injected_mask"].any(1)
    ratio = ratio.expand(-1, batch["completion_ids"].shape[1])
    assert injected.sum() == 2
    # Exactly 1 for what the sampler saw under another prompt, 1 up to rounding for own rollouts.
    assert (ratio[injected] == 1.0).all()
    torch.testing.assert_close(
        ratio[~injected], torch.ones_like(ratio[~injected]), atol=1e-4, rtol=0
    )
