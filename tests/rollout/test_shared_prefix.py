"""Sampling with shared prefixes, against ``generate``, plain forward passes and exact odds."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from scipy.stats import chisquare

from fakes import tiny_model
from rephrase_rl.errors import EngineError
from rephrase_rl.rollout import shared_prefix
from rephrase_rl.rollout.prefix_attention import IMPLEMENTATION, SharedPrefixCache
from rephrase_rl.rollout.shared_prefix import (
    SampledRow,
    TokenSampling,
    sample_shared_prefix,
    why_not_shared_prefix,
)
from rephrase_rl.rollout.token_sampling import inverse_cdf
from rephrase_rl.seeding import forked_rng

VOCABULARY = 61
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
}
GPT2_SHAPE = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 128,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": None,
}


def build(name: str, **overrides: Any) -> Any:
    """A random model in eval mode whose weights depend on its name and shape only."""
    model_class = getattr(transformers, name)
    shape = GPT2_SHAPE if name.startswith("GPT2") else SHAPE
    with forked_rng(0):
        return model_class(model_class.config_class(**(shape | overrides))).eval()


MODELS: dict[str, Callable[[], Any]] = {
    "llama with grouped queries": lambda: build("LlamaForCausalLM"),
    "qwen3 with normed queries": lambda: build("Qwen3ForCausalLM", head_dim=8),
    "gpt2 with learned positions": lambda: build("GPT2LMHeadModel"),
    "gpt-neox with partial rotation": lambda: build(
        "GPTNeoXForCausalLM", rope_parameters={"rope_theta": 1e4, "partial_rotary_factor": 0.5}
    ),
    "mistral without a window": lambda: build("MistralForCausalLM", sliding_window=None),
}


@pytest.fixture(scope="module")
def llama() -> Any:
    return build("LlamaForCausalLM")


def random_prompts(*lengths: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(1, VOCABULARY, (n,), generator=generator).tolist() for n in lengths]


PROMPTS = random_prompts(5, 9, 9, 2, 14)
COPIES = [1, 3, 2, 4, 1]


def plain_logps(
    model: Any, prompt: list[int], row: SampledRow, temperature: float = 1.0
) -> torch.Tensor:
    """(T,) log-probabilities of a row's tokens from one unpadded forward pass without a cache."""
    ids = torch.tensor([prompt + list(row.token_ids)])
    with torch.no_grad():
        logps_SV = (model(ids).logits[0].float() / temperature).log_softmax(-1)
    return logps_SV[len(prompt) - 1 : -1].gather(1, ids[0, len(prompt) :, None])[:, 0]


def assert_logps(
    model: Any, groups: list[list[SampledRow]], temperature: float = 1.0, atol: float = 1e-4
) -> None:
    for prompt, rows in zip(PROMPTS, groups, strict=True):
        for row in rows:
            expected = plain_logps(model, prompt, row, temperature)
            torch.testing.assert_close(torch.tensor(row.logps), expected, atol=atol, rtol=0)


@contextlib.contextmanager
def recorded_inputs(model: Any) -> Iterator[list[tuple[int, ...]]]:
    """Collect the shapes of the token ids of every forward pass."""
    shapes: list[tuple[int, ...]] = []

    def record(_: Any, __: Any, keywords: dict[str, Any]) -> None:
        shapes.append(tuple(keywords["input_ids"].shape))

    handle = model.register_forward_pre_hook(record, with_kwargs=True)
    try:
        yield shapes
    finally:
        handle.remove()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("max_rows", [100, 5])
def test_greedy_equals_generate_token_by_token(name: str, max_rows: int) -> None:
    model = MODELS[name]()
    assert why_not_shared_prefix(model) is None
    # 40 tokens are more than a continuation has room for at first.
    sampling = TokenSampling(max_new_tokens=40, temperature=0.0)
    found = sample_shared_prefix(model, PROMPTS, COPIES, sampling, seed=0, max_rows=max_rows)
    assert [len(rows) for rows in found] == COPIES
    for prompt, rows in zip(PROMPTS, found, strict=True):
        ids = torch.tensor([prompt])
        output = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=40
        )
        for row in rows:
            assert list(row.token_ids) == output[0, len(prompt) :].tolist()
    assert_logps(model, found)


@pytest.mark.parametrize("name", MODELS)
def test_logps_of_sampled_rows_are_those_of_a_plain_forward(name: str) -> None:
    model = MODELS[name]()
    found = sample_shared_prefix(model, PROMPTS, COPIES, TokenSampling(12), seed=1, max_rows=9)
    assert_logps(model, found)
    assert len({row.token_ids for row in found[3]}) == COPIES[3]


@pytest.mark.parametrize(
    ("sampling", "temperature"),
    [
        (TokenSampling(8, temperature=0.7), 1.0),
        (TokenSampling(8, temperature=0.7, logp_temperature=0.7), 0.7),
        (TokenSampling(8, top_p=0.6, top_k=5, min_p=0.1), 1.0),
        (TokenSampling(8, temperature=0.0, logp_temperature=2.0), 2.0),
    ],
)
def test_logps_have_their_own_temperature_and_no_filters(
    llama: Any, sampling: TokenSampling, temperature: float
) -> None:
    found = sample_shared_prefix(llama, PROMPTS, COPIES, sampling, seed=1, max_rows=9)
    assert_logps(llama, found, temperature)


def exact_odds(
    logits: np.ndarray, temperature: float, top_k: int, top_p: float, min_p: float
) -> np.ndarray:
    """What generate draws one token from, written down anew: temperature, top-k, top-p, min-p."""
    odds = np.exp((logits - logits.max()) / temperature)
    if top_k:
        odds[np.argsort(-odds)[top_k:]] = 0.0
    odds /= odds.sum()
    order = np.argsort(-odds)
    before = np.cumsum(odds[order]) - odds[order]
    odds[order[before >= top_p]] = 0.0
    odds /= odds.sum()
    odds[odds < min_p * odds.max()] = 0.0
    return odds / odds.sum()


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"temperature": 0.6},
        {"temperature": 1.5, "top_k": 4},
        {"top_p": 0.7},
        {"temperature": 1.3, "top_k": 6, "top_p": 0.8, "min_p": 0.15},
    ],
)
def test_two_tokens_are_drawn_from_the_exact_distribution(filters: dict[str, Any]) -> None:
    size, rows = 9, 6000
    model = build("LlamaForCausalLM", vocab_size=size, initializer_range=0.2)
    # Two prompts of different length, so that the tested one is padded.
    prompt, longer = [3, 1, 4], [1, 5, 2, 6, 5, 3]
    found = sample_shared_prefix(
        model, [prompt, longer], [rows, 1], TokenSampling(2, **filters), seed=3, max_rows=rows + 1
    )
    with torch.no_grad():
        paths = torch.tensor([[*prompt, first] for first in range(size)])
        logits_FSV = model(paths).logits.double().numpy()
    settings = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0} | filters
    first_V = exact_odds(logits_FSV[0, -2], **settings)
    odds_VV = first_V[:, None] * np.stack([exact_odds(row[-1], **settings) for row in logits_FSV])
    drawn = Counter(row.token_ids for row in found[0])
    counts_VV = np.array([[drawn[a, b] for b in range(size)] for a in range(size)])
    assert counts_VV[odds_VV == 0].sum() == 0
    frequent = odds_VV * rows >= 5
    observed = [*counts_VV[frequent], counts_VV[~frequent].sum()]
    expected = [*(odds_VV[frequent] * rows), odds_VV[~frequent].sum() * rows]
    if expected[-1] < 1e-6:
        observed, expected = observed[:-1], expected[:-1]
    assert chisquare(observed, expected, sum_check=False).pvalue > 1e-3


def test_the_same_seed_gives_the_same_bits_and_leaves_the_global_stream_alone(llama: Any) -> None:
    def sample(seed: int) -> list[list[SampledRow]]:
        return sample_shared_prefix(llama, PROMPTS, 3, TokenSampling(9), seed=seed, max_rows=7)

    before = torch.random.get_rng_state()
    first = sample(0)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    assert sample(0) == first
    assert sample(1) != first


def test_a_row_depends_on_its_prompt_copy_and_step_only(llama: Any) -> None:
    def tokens(groups: list[list[SampledRow]], length: int) -> list[tuple[int, ...]]:
        return [row.token_ids[:length] for row in groups[1][:2]]

    few = sample_shared_prefix(llama, PROMPTS[:2], [1, 2], TokenSampling(5), seed=4, max_rows=99)
    many = sample_shared_prefix(llama, PROMPTS, 4, TokenSampling(40), seed=4, max_rows=6)
    assert tokens(few, 5) == tokens(many, 5)


@pytest.mark.parametrize("share", [1e-9, 1 / 8, 2.0])
def test_ended_rows_leave_and_the_others_do_not_notice(
    llama: Any, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_prefix, "FINISHED_SHARE_TO_COMPACT", share)
    eos_ids = (7, 11, 23, 40)
    whole = sample_shared_prefix(llama, PROMPTS, COPIES, TokenSampling(45), seed=2, max_rows=99)
    with recorded_inputs(llama) as shapes:
        cut = sample_shared_prefix(
            llama, PROMPTS, COPIES, TokenSampling(45, eos_ids), seed=2, max_rows=99
        )
    ended_early = 0
    for whole_rows, cut_rows in zip(whole, cut, strict=True):
        for long, short in zip(whole_rows, cut_rows, strict=True):
            length = len(short.token_ids)
            assert short.token_ids == long.token_ids[:length]
            assert short.logps == pytest.approx(long.logps[:length], abs=1e-5)
            assert not set(short.token_ids[:-1]) & set(eos_ids)
            assert length == 45 or short.token_ids[-1] in eos_ids
            ended_early += length < 45
    assert ended_early >= 6
    rows = [rows for rows, columns in shapes if columns == 1]
    assert (rows[-1] < rows[0]) == (share < 1)
    if share < 1e-6:
        lengths = [len(row.token_ids) for group in cut for row in group]
        assert rows == [sum(n > step for n in lengths) for step in range(1, max(lengths))]


def test_rows_are_announced_once_as_they_end(llama: Any) -> None:
    prompts = [[5, 6, 7], [8, 9]]
    announced: dict[tuple[int, int], tuple[int, ...]] = {}
    while_sampling = []
    hook = llama.register_forward_pre_hook(lambda *_: while_sampling.append(len(announced)))

    def keep(prompt: int, copy: int, tokens: tuple[int, ...]) -> None:
        assert (prompt, copy) not in announced
        announced[prompt, copy] = tokens

    # A tenth of the vocabulary ends a row, so rows end at many steps.
    sampling = TokenSampling(30, eos_ids=tuple(range(llama.config.vocab_size // 10)))
    rows = sample_shared_prefix(llama, prompts, 8, sampling, seed=1, max_rows=64, on_finished=keep)
    hook.remove()
    expected = {(p, c): row.token_ids for p, own in enumerate(rows) for c, row in enumerate(own)}
    assert announced == expected
    assert len(set(while_sampling)) > 3, "all were announced at once, not as they ended"


def test_it_stops_when_all_rows_have_ended(llama: Any) -> None:
    sampling = TokenSampling(30, eos_ids=tuple(range(VOCABULARY)))
    with recorded_inputs(llama) as shapes:
        found = sample_shared_prefix(llama, PROMPTS, 2, sampling, seed=0, max_rows=99)
    assert shapes == [(5, 14)]
    assert {len(row.token_ids) for rows in found for row in rows} == {1}


def test_a_prompt_is_computed_once_and_chunks_go_from_long_to_short(llama: Any) -> None:
    prompts = [[1, 2], [1, 2, 3, 4], [1, 2], [5, 6, 7], [1, 2]]
    done: list[tuple[int, int]] = []
    head_columns: set[int] = set()
    handle = llama.lm_head.register_forward_pre_hook(
        lambda _, arguments: head_columns.add(arguments[0].shape[1])
    )
    with recorded_inputs(llama) as shapes:
        found = sample_shared_prefix(
            llama,
            prompts,
            [2, 1, 1, 2, 4],
            TokenSampling(2),
            seed=0,
            max_rows=4,
            on_progress=lambda *progress: done.append(progress),
        )
    handle.remove()
    assert head_columns == {1}
    # [1, 2] has 7 rows, which need two chunks of at most 4; one row and two are laid out apart.
    assert shapes == [(1, 4), (1, 3), (3, 1), (1, 2), (4, 1), (1, 2), (3, 1)]
    assert done == [(3, 10), (7, 10), (10, 10)]
    assert [len(rows) for rows in found] == [2, 1, 1, 2, 4]
    assert len({row.token_ids for index in (0, 2, 4) for row in found[index]}) > 4


def test_prompts_with_few_rows_cost_no_slots_and_no_padding_beside_those_with_many(
    llama: Any,
) -> None:
    prompts = [[1, 2], [3, 4], [5, 6, 7, 8, 9]]
    with recorded_inputs(llama) as shapes, recorded_slots() as slots:
        sample_shared_prefix(llama, prompts, [8, 8, 1], TokenSampling(3), seed=0, max_rows=99)
    assert shapes == [(1, 5), (2, 2), (17, 1), (17, 1)], "two prefills, then all rows at once"
    layers = llama.config.num_hidden_layers
    assert slots == [1, 16] * layers * 2, "each row has its slot and there is no other"


@contextlib.contextmanager
def recorded_slots() -> Iterator[list[int]]:
    """Slots (prompts times copies) that each call of attention computes."""
    slots: list[int] = []
    attend = SharedPrefixCache.attend

    def counting(self: SharedPrefixCache, *arguments: Any) -> torch.Tensor:
        slots.append(self._layout.prompts * self._layout.copies)
        return attend(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SharedPrefixCache, "attend", counting)
        yield slots


def test_no_prompts_and_no_copies_are_fine(llama: Any) -> None:
    assert sample_shared_prefix(llama, [], 3, TokenSampling(2), seed=0, max_rows=4) == []
    found = sample_shared_prefix(llama, PROMPTS, 0, TokenSampling(2), seed=0, max_rows=4)
    assert found == [[]] * 5


@pytest.mark.parametrize(
    ("name", "overrides", "reason"),
    [
        ("MistralForCausalLM", {"sliding_window": 16}, "DynamicSlidingWindowLayer"),
        ("Gemma2ForCausalLM", {"head_dim": 8}, "DynamicSlidingWindowLayer"),
        (
            "Gemma2ForCausalLM",
            {"head_dim": 8, "layer_types": ["full_attention"] * 2, "sliding_window": None},
            "caps its attention scores",
        ),
        ("BloomForCausalLM", {}, "attention interface"),
        ("BartForConditionalGeneration", {"d_model": 32, "encoder_layers": 1}, "encoder-decoder"),
    ],
)
def test_unsupported_models_are_refused_with_a_reason(
    name: str, overrides: dict[str, Any], reason: str
) -> None:
    model = build(name, **overrides)
    found = why_not_shared_prefix(model)
    assert found is not None
    assert reason in found
    assert "\n" not in found
    with pytest.raises(EngineError, match="use `generate`"):
        sample_shared_prefix(model, PROMPTS, 1, TokenSampling(1), seed=0, max_rows=1)


def test_what_a_layer_adds_to_its_attention_is_refused() -> None:
    attention = transformers.AttentionInterface()[IMPLEMENTATION]
    states = torch.zeros(1, 1, 1, 4)
    for added in ("softcap", "sliding_window", "s_aux", "position_bias"):
        with pytest.raises(EngineError, match=added):
            attention(None, states, states, states, None, shared_prefix=object(), **{added: 1})
    with pytest.raises(EngineError, match="attention_mask"):
        attention(None, states, states, states, states, shared_prefix=object())
    with pytest.raises(EngineError, match="left out"):
        attention(None, states, states, states, None)


def test_training_mode_and_broken_weights_are_errors_that_leave_the_model_as_it_was() -> None:
    model = build("LlamaForCausalLM")
    before = model.config._attn_implementation
    model.train()
    with pytest.raises(EngineError, match="training mode"):
        sample_shared_prefix(model, PROMPTS, 1, TokenSampling(3), seed=0, max_rows=9)
    model.eval()
    with torch.no_grad():
        model.lm_head.weight[3, 0] = math.nan
    with pytest.raises(EngineError, match="not finite"):
        sample_shared_prefix(model, PROMPTS, 1, TokenSampling(3), seed=0, max_rows=9)
    handle = model.model.layers[1].register_forward_hook(
        lambda *_: pytest.fail("stop") if model.config._attn_implementation != before else None
    )
    with pytest.raises(pytest.fail.Exception):
        sample_shared_prefix(model, PROMPTS, 1, TokenSampling(3), seed=0, max_rows=9)
    handle.remove()
    assert model.config._attn_implementation == before


@pytest.mark.parametrize(
    ("prompts", "copies", "max_rows", "message"),
    [
        ([[1], []], 1, 1, r"prompts \[1\] have no tokens"),
        ([[1]], 1, 0, "max_rows is 0"),
        ([[1]], [1, 2], 1, r"copies is \[1, 2\]"),
        ([[1]], -1, 1, r"copies is \[-1\]"),
    ],
)
def test_bad_requests_are_named(
    llama: Any, prompts: list[list[int]], copies: Any, max_rows: int, message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        sample_shared_prefix(llama, prompts, copies, TokenSampling(1), seed=0, max_rows=max_rows)


def test_bad_sampling_is_named_at_once() -> None:
    with pytest.raises(EngineError) as caught:
        TokenSampling(0, (), -1.0, 0.0, -1, 2.0, 0.0)
    for name in ("max_new_tokens", "temperature", "top_p", "top_k", "min_p", "logp_temperature"):
        assert name in str(caught.value)


def test_bfloat16_autocast_and_inference_mode_stay_near_the_plain_forward(llama: Any) -> None:
    rounded = build("LlamaForCausalLM").to(torch.bfloat16)
    with torch.inference_mode():
        found = sample_shared_prefix(rounded, PROMPTS, COPIES, TokenSampling(6), seed=0, max_rows=9)
    assert_logps(rounded, found, atol=0.25)
    with torch.autocast("cpu", torch.bfloat16):
        found = sample_shared_prefix(llama, PROMPTS, COPIES, TokenSampling(6), seed=0, max_rows=9)
        assert_logps(llama, found, atol=0.25)


def test_a_lora_model_samples_with_its_adapter() -> None:
    peft = pytest.importorskip("peft")
    with forked_rng(1):
        model = peft.get_peft_model(
            build("LlamaForCausalLM"),
            peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False),
        ).eval()
    assert why_not_shared_prefix(model) is None
    found = sample_shared_prefix(model, PROMPTS, COPIES, TokenSampling(6), seed=0, max_rows=9)
    assert_logps(model, found)
    with model.disable_adapter():
        plain = sample_shared_prefix(model, PROMPTS, COPIES, TokenSampling(6), seed=0, max_rows=9)
        assert_logps(model, plain)
    assert plain != found
    prompted = peft.get_peft_model(
        build("LlamaForCausalLM"),
        peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2),
    )
    assert "virtual tokens" in str(why_not_shared_prefix(prompted))


@pytest.mark.parametrize("size", [5, 1024, 1025, 1300, 5120])
def test_inverse_cdf_equals_a_search_in_float64(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    weights = torch.rand(200, size, generator=generator).pow(8)
    weights[:, torch.rand(size, generator=generator) < 0.3] = 0
    weights[:, 1] += 1e-3
    uniform = torch.rand(200, dtype=torch.float64, generator=generator)
    found = inverse_cdf(weights, uniform)
    cdf = weights.double().cumsum(-1)
    expected = torch.searchsorted(cdf, (uniform * cdf[:, -1])[:, None], right=True)[:, 0]
    # The block sums of two levels are float32: a number within 1e-6 of a boundary may differ.
    distance = (cdf / cdf[:, -1:] - uniform[:, None]).abs().amin(-1)
    assert torch.equal(found[distance > 1e-6], expected[distance > 1e-6])
    assert (distance > 1e-6).sum() > 150


@pytest.mark.parametrize("size", [6, 3000])
def test_inverse_cdf_never_returns_a_token_of_weight_zero(size: int) -> None:
    weights = torch.zeros(4, size)
    weights[:, 2] = torch.tensor([1.0, 0.3, 1e-30, 1.0])
    weights[3, size - 2] = 0.1
    # 1.0 is what a place inside a block may round to.
    for uniform in (0.0, 0.5, 1 - 2**-53, 1.0):
        found = inverse_cdf(weights, torch.full((4,), uniform, dtype=torch.float64))
        assert found[:3].tolist() == [2, 2, 2]
        assert found[3] == (size - 2 if uniform > 0.95 else 2)


def test_a_large_vocabulary_samples_too() -> None:
    model = tiny_model(vocab_size=1500, initializer_range=0.5)
    found = sample_shared_prefix(model, PROMPTS, 20, TokenSampling(3), seed=0, max_rows=100)
    assert_logps(model, found)
    assert len({row.token_ids[0] for rows in found for row in rows}) > 20
