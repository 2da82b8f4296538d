"""What the guidance step learns of TRL's trainer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from fakes import EOS_ID, tiny_model
from guidance_fakes import repo
from rephrase_rl.guidance.blocks import Measurement
from rephrase_rl.records import Completion
from rephrase_rl.trainers.trl.engine import TrlGuidanceEngine
from trl_fakes import trainer

pytestmark = pytest.mark.integration


def engine_of(made) -> TrlGuidanceEngine:
    generated = SimpleNamespace(prompt_ids=[[5, 6]] * made.num_generations)
    filler = Completion("x", (7,), finished=True)
    return TrlGuidanceEngine(made, made.guidance, [], generated, ["q"], filler, (0, 0))


def test_a_text_ends_as_the_chat_format_ends_a_turn(tmp_path) -> None:
    """Llama 3 Instruct lists another end token first."""
    model = tiny_model()
    model.generation_config.eos_token_id = [9, EOS_ID]
    made = trainer(tmp_path, repo(), model=model)
    assert made.eos_token_ids == [9, EOS_ID]
    assert engine_of(made).end_id == EOS_ID


def test_log_probs_are_measured_without_dropout(tmp_path) -> None:
    made = trainer(tmp_path, repo(), model=tiny_model(attention_dropout=0.5))
    wanted = [Measurement(0, (8, 9), (10, 11, EOS_ID))]
    expected = engine_of(made).measure(wanted)
    layer = made.model.model.layers[0]
    made.model.train()
    layer.eval()
    before = torch.get_rng_state()
    assert engine_of(made).measure(wanted) == expected
    assert made.model.training, "every module is in the mode that it had"
    assert not layer.training
    assert torch.equal(torch.get_rng_state(), before), "rollouts must not notice"


@pytest.mark.parametrize(
    ("fields", "shares"),
    [
        pytest.param({}, [1, 1, 1, 1], id="one vLLM for each process"),
        pytest.param({"vllm_tensor_parallel_size": 2}, [2, 2], id="one for two processes"),
        pytest.param(
            {"vllm_tensor_parallel_size": 2, "use_vllm": False}, [1, 1, 1, 1], id="no vLLM"
        ),
        pytest.param(
            {"vllm_tensor_parallel_size": 2, "vllm_mode": "server"}, [1, 1, 1, 1], id="a server"
        ),
    ],
)
def test_processes_that_share_a_vllm_sample_rewrites_by_one_seed(tmp_path, fields, shares) -> None:
    """Each of them samples the rows of all; another token on one of them parts them."""
    made = trainer(tmp_path, repo())
    args = SimpleNamespace(seed=7, vllm_tensor_parallel_size=1)
    settings = {"use_vllm": True, "vllm_mode": "colocate", "args": args}
    seeds = []
    for process in range(4):
        engine = engine_of(made)
        engine._trainer = SimpleNamespace(
            **settings, accelerator=SimpleNamespace(process_index=process)
        )
        for name, value in fields.items():
            setattr(args if hasattr(args, name) else engine._trainer, name, value)
        seeds.append(engine._seed("rephrase"))
    assert [seeds.count(seed) for seed in dict.fromkeys(seeds)] == shares
    assert seeds == sorted(seeds, key=list(dict.fromkeys(seeds)).index), "neighbours share one"
