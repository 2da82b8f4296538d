"""The vLLM engine against a stand-in that has the part of vLLM's interface it uses."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fakes import EOS_ID, ByteTokenizer
from rephrase_rl.errors import EngineError
from rephrase_rl.rollout import Engine, SamplingSettings
from rephrase_rl.rollout.vllm_engine import VllmEngine

PROMPTS = [({"role": "user", "content": text},) for text in ("a", "a longer one", "mid")]


class FakeLLM:
    """Answers each prompt with its length, and keeps how it was asked."""

    made: list[FakeLLM] = []  # noqa: RUF012

    def __init__(self, **arguments: Any) -> None:
        if arguments["model"] == "broken":
            raise ValueError("unsupported architecture")
        self.arguments = arguments
        self.requests: list[Any] = []
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=1000))
        FakeLLM.made.append(self)

    def get_tokenizer(self) -> Any:
        return ByteTokenizer()

    def generate(self, prompts, sampling_params, *, use_tqdm, lora_request):
        self.requests.append((prompts, sampling_params, lora_request))
        assert not use_tqdm
        return [
            SimpleNamespace(
                outputs=[
                    SimpleNamespace(
                        text=f"{len(prompt['prompt_token_ids'])}/{copy}",
                        token_ids=[7, EOS_ID] if copy == 0 else [7, 7],
                        finish_reason="stop" if copy == 0 else "length",
                    )
                    for copy in range(parameters.n)
                ]
            )
            for prompt, parameters in zip(prompts, sampling_params, strict=True)
        ]


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> type[FakeLLM]:
    module = ModuleType("vllm")
    module.LLM = FakeLLM  # type: ignore[attr-defined]
    module.SamplingParams = SimpleNamespace  # type: ignore[attr-defined]
    request = ModuleType("vllm.lora.request")
    request.LoRARequest = lambda *a: a  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.lora", ModuleType("vllm.lora"))
    monkeypatch.setitem(sys.modules, "vllm.lora.request", request)
    FakeLLM.made.clear()
    return FakeLLM


def test_completions_come_back_in_the_order_of_the_prompts(vllm) -> None:
    engine = VllmEngine("model", chunk=2)
    assert isinstance(engine, Engine)
    progress: list[tuple[int, int]] = []
    found = engine.sample(PROMPTS, SamplingSettings(n=2), on_progress=lambda *x: progress.append(x))
    # Role marker, text, end token, marker of the assistant.
    assert [[c.text for c in group] for group in found] == [
        [f"{len(text) + 3}/0", f"{len(text) + 3}/1"] for text in ("a", "a longer one", "mid")
    ]
    assert [c.finished for c in found[0]] == [True, False]
    assert found[0][0].token_ids == (7, EOS_ID)
    assert progress == [(4, 6), (6, 6)]
    # The longest prompts are handed over first.
    first = [len(p["prompt_token_ids"]) for p in vllm.made[0].requests[0][0]]
    assert first == sorted(first, reverse=True)


def test_the_models_own_sampling_has_no_say(vllm) -> None:
    engine = VllmEngine("model", tensor_parallel_size=2)
    engine.sample(PROMPTS, SamplingSettings(n=3, temperature=0.6, top_p=0.9, max_new_tokens=20))
    (llm,) = vllm.made
    assert llm.arguments["generation_config"] == "vllm"
    assert llm.arguments["trust_remote_code"] is False
    assert llm.arguments["tensor_parallel_size"] == 2
    _, parameters, lora = llm.requests[0]
    asked = vars(parameters[0])
    assert (asked["n"], asked["temperature"], asked["top_p"]) == (3, 0.6, 0.9)
    assert (asked["top_k"], asked["max_tokens"]) == (-1, 20)
    assert asked["stop_token_ids"] == [EOS_ID]
    assert lora is None
    assert len({p.seed for p in parameters}) == 3


def test_seeds_depend_on_the_request_and_the_place_alone(vllm) -> None:
    def seeds(chunk: int, seed: int) -> dict[int, int]:
        engine = VllmEngine("model", chunk=chunk)
        engine.sample(PROMPTS, SamplingSettings(seed=seed))
        return {
            len(prompt["prompt_token_ids"]): parameters.seed
            for prompts, many, _ in vllm.made[-1].requests
            for prompt, parameters in zip(prompts, many, strict=True)
        }

    assert seeds(1, 5) == seeds(3, 5)
    assert set(seeds(1, 5).values()).isdisjoint(seeds(1, 6).values())


def test_what_a_journal_knows_is_not_asked_again(vllm) -> None:
    engine = VllmEngine("model", chunk=1)
    whole = engine.sample(PROMPTS, SamplingSettings(n=1))
    kept: dict[int, Any] = {}
    journal = SimpleNamespace(known={1: whole[1]}, keep=kept.update)
    asked_before = len(vllm.made[0].requests)
    assert engine.sample(PROMPTS, SamplingSettings(n=1), journal=journal) == whole
    assert len(vllm.made[0].requests) == asked_before + 2
    assert set(kept) == {0, 2}


def test_an_adapter_is_asked_for_on_its_base(vllm, tmp_path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "the/base"}')
    engine = VllmEngine(str(tmp_path))
    engine.sample(PROMPTS, SamplingSettings())
    (llm,) = vllm.made
    assert (llm.arguments["model"], llm.arguments["enable_lora"]) == ("the/base", True)
    assert llm.requests[0][2] == ("policy", 1, str(tmp_path))
    assert "revision" not in llm.arguments
    assert llm.arguments["max_lora_rank"] == 64


@pytest.mark.parametrize(("rank", "room"), [(16, 64), (65, 128), (300, 320), ("x", 64)])
def test_there_is_room_for_the_adapters_rank(vllm, tmp_path, rank, room) -> None:
    named = json.dumps({"base_model_name_or_path": "the/base", "r": rank})
    (tmp_path / "adapter_config.json").write_text(named)
    VllmEngine(str(tmp_path))
    assert vllm.made[-1].arguments["max_lora_rank"] == room


def test_an_adapter_names_the_commit_of_its_base(vllm, tmp_path) -> None:
    named = '{"base_model_name_or_path": "the/base", "revision": "abc"}'
    (tmp_path / "adapter_config.json").write_text(named)
    VllmEngine(str(tmp_path))
    assert vllm.made[-1].arguments["revision"] == "abc"


def test_what_cannot_be_loaded_or_does_not_fit_is_told(vllm, monkeypatch) -> None:
    with pytest.raises(EngineError, match="vLLM cannot load broken: ValueError: unsupported"):
        VllmEngine("broken")
    engine = VllmEngine("model")
    with pytest.raises(EngineError, match="at most 1000 together"):
        engine.sample(PROMPTS, SamplingSettings(max_new_tokens=995))
    engine.refuse_long(PROMPTS, 900)
    with pytest.raises(EngineError, match="at most 1000 together"):
        engine.refuse_long(PROMPTS, 995)
    monkeypatch.setattr(FakeLLM, "get_tokenizer", lambda self: SimpleNamespace(chat_template=None))
    with pytest.raises(EngineError, match="no chat template"):
        VllmEngine("model")


def test_without_vllm_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(EngineError, match=r"pip install -c constraints-vllm.txt '\.\[vllm\]'"):
        VllmEngine("model")
