"""The shared-prefix forward pass against TRL's own method, value by value and gradient by gradient.

TRL's ``_get_per_token_logps_and_entropies`` itself is the reference; it knows nothing of packing.
"""

from __future__ import annotations

import functools
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
import transformers
import trl.trainer.utils as trl_utils
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from trl import GRPOTrainer

from fakes import PAD_ID, VOCABULARY_SIZE, tiny_model
from rephrase_rl.trainers.trl import packed
from rephrase_rl.trainers.trl.compact_head import compact_head
from rephrase_rl.trainers.trl.packed import (
    attends,
    lay_out,
    members_by_prompt,
    packed_logps_and_entropies,
    why_not_packed,
)
from rephrase_rl.trainers.trl.packing import PackedRow, Span, least_cost_rows
from trl_fakes import ScriptedTrainer, trainer

pytestmark = pytest.mark.integration

RAGGED = ((7, 6), (4, 3), (7, 0), (7, 1), (1, 5), (4, 6), (5, 2), (7, 4))
"""(prompt length, completion length) per row; rows of equal prompt length share their prompt."""
WIDTH = {"P": 7, "T": 6}


def micro_batch(rows=RAGGED, prompt_width=WIDTH["P"], width=WIDTH["T"], seed=0):
    """Ids and mask of TRL's form: prompts left-padded, completions right-padded."""
    generator = torch.Generator().manual_seed(seed)
    prompts = torch.randint(0, 255, (prompt_width + 1, prompt_width), generator=generator)
    ids = torch.full((len(rows), prompt_width + width), PAD_ID)
    mask = torch.zeros_like(ids)
    for b, (prompt, completion) in enumerate(rows):
        real = slice(prompt_width - prompt, prompt_width + completion)
        drawn = torch.randint(0, 255, (completion,), generator=generator)
        ids[b, real] = torch.cat([prompts[prompt][:prompt], drawn])
        mask[b, real] = 1
    return ids, mask


def with_head(model, temperature=0.7):
    trl_utils.add_fused_lm_head(model, temperature=temperature, outputs=("log_probs", "entropy"))
    return model


def built(family: str, **changes):
    """A tiny model of a family with TRL's head; random, far from uniform."""
    names = {"GPT2": "GPT2LMHeadModel"}
    config = getattr(transformers, f"{family}Config")(
        **{
            "vocab_size": VOCABULARY_SIZE,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 64,
            "initializer_range": 0.3,
            "pad_token_id": PAD_ID,
            "bos_token_id": None,
            "eos_token_id": 257,
        }
        | changes
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kind = getattr(transformers, names.get(family, f"{family}ForCausalLM"))
        return with_head(kind(config).eval())


@functools.cache
def llama():
    return with_head(tiny_model(num_key_value_heads=1))


def by_trl(model, ids, mask, width, batch_size=None):
    stub = SimpleNamespace(accelerator=SimpleNamespace(autocast=nullcontext))
    method = GRPOTrainer._get_per_token_logps_and_entropies.__wrapped__
    return method(stub, model, ids, mask, width, batch_size=batch_size, compute_entropy=True)[:2]


def by_packing(model, ids, mask, width, batch_size=None):
    return packed_logps_and_entropies(
        model, ids, mask, width, batch_size=batch_size, compute_entropy=True
    )


def gradients(model, logps, entropies):
    """Of a loss in which each token has a weight of its own, with a term like the KL's."""
    generator = torch.Generator().manual_seed(5)
    a, b, c = torch.randn(3, *logps.shape, generator=generator) / 10
    loss = (a * logps + b * entropies + c * (logps.clamp(min=-5).exp() - logps - 1)).sum()
    parameters = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def assert_as_trl(model, ids, mask, width, **options) -> None:
    ours = by_packing(model, ids, mask, width, **options)
    theirs = by_trl(model, ids, mask, width, **options)
    for mine, wanted in zip(ours, theirs, strict=True):
        assert mine.dtype == wanted.dtype
        torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-5)
    pairs = zip(gradients(model, *ours), gradients(model, *theirs), strict=True)
    for mine, wanted in pairs:
        torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


# --- equal to TRL


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("Llama", {}),
        ("Qwen3", {"head_dim": 8}),
        ("GPT2", {}),  # learned positions: those of TRL's left-padded rows
        ("SmolLM3", {"no_rope_layers": [1, 0]}),
        ("Mixtral", {"num_local_experts": 4}),
    ],
)
def test_values_and_gradients_are_trls(family, changes, attention) -> None:
    model = built(family, attn_implementation=attention, **changes)
    assert why_not_packed(model) is None
    assert_as_trl(model, *micro_batch(), WIDTH["T"])


row = st.tuples(st.integers(1, 4), st.integers(0, 5))


@settings(max_examples=40, derandomize=True, deadline=None)
@given(rows=st.lists(row, min_size=1, max_size=9), seed=st.integers(0, 3))
def test_any_ragged_batch_is_as_trls(rows, seed) -> None:
    assert_as_trl(llama(), *micro_batch(rows, 4, 5, seed), 5)


@pytest.mark.parametrize("members_to_a_row", [1, 2, 8])
def test_any_split_of_a_group_is_as_trls(members_to_a_row, monkeypatch) -> None:
    def split(groups, balance):
        return [
            PackedRow(tuple(group[i : i + members_to_a_row]))
            for group in groups
            for i in range(0, len(group), members_to_a_row)
        ]

    monkeypatch.setattr(packed, "least_cost_rows", split)
    assert_as_trl(llama(), *micro_batch(), WIDTH["T"])


@pytest.mark.parametrize("reentrant", [True, False])
def test_under_gradient_checkpointing(reentrant) -> None:
    model = built("Llama").train()
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model.enable_input_require_grads()
    ids, mask = micro_batch()
    for run in (by_trl, by_packing):
        model.zero_grad()
        logps, entropies = run(model, ids, mask, WIDTH["T"])
        (logps.sum() + entropies.sum()).backward()
        found = [p.grad for p in model.parameters()]
        if run is by_trl:
            wanted = found
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))


def test_with_lora() -> None:
    model = get_peft_model(
        built("Llama"), LoraConfig(r=2, init_lora_weights=False, target_modules="all-linear")
    )
    assert why_not_packed(model) is None
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora" in name for name in trained)
    assert_as_trl(model, *micro_batch(), WIDTH["T"])


def test_in_chunks_and_without_entropy(monkeypatch) -> None:
    ids, mask = micro_batch()
    assert_as_trl(llama(), ids, mask, WIDTH["T"], batch_size=3)
    counts = projected(monkeypatch)
    by_packing(llama(), ids, mask, WIDTH["T"], batch_size=3)
    assert counts == [9, 12, 6], "the completion tokens of three, three and two rows"
    assert packed_logps_and_entropies(llama(), ids, mask, WIDTH["T"]).entropies is None


def test_bfloat16_autocast_errs_no_more_than_trl() -> None:
    model, (ids, mask) = built("Llama", initializer_range=0.1), micro_batch()
    exact = by_trl(model, ids, mask, WIDTH["T"])[0].detach()
    with torch.autocast("cpu", torch.bfloat16):
        ours, entropies = by_packing(model, ids, mask, WIDTH["T"])
        theirs, _ = by_trl(model, ids, mask, WIDTH["T"])
    assert ours.dtype == theirs.dtype == torch.float32
    limit = 2 * float((theirs.detach() - exact).abs().max())
    assert 0 < float((ours.detach() - exact).abs().max()) < limit
    assert all(bool(g.isfinite().all()) for g in gradients(model, ours, entropies))


def test_a_hole_in_the_mask_is_treated_as_trl_treats_it() -> None:
    ids, mask = micro_batch()
    mask[0, WIDTH["P"] + 2] = 0
    mask[[0, 3, 7], 3] = 0  # within the shared prompt of these rows
    assert_as_trl(llama(), ids, mask, WIDTH["T"])


# --- rows that are masked out


def test_masked_out_rows_get_zeros_and_no_gradient() -> None:
    ids, mask = micro_batch()
    mask[[1, 4], WIDTH["P"] :] = 0
    logps, entropies = by_packing(llama(), ids, mask, WIDTH["T"])
    for values in (logps, entropies):
        assert torch.equal(values[[1, 4]], torch.zeros(2, WIDTH["T"]))
        assert values.isfinite().all()
    assert all(not g.any() for g in gradients(llama(), logps[[1, 4]], entropies[[1, 4]]))
    assert_as_trl(llama(), ids, mask, WIDTH["T"])


@pytest.mark.parametrize("size", [1, 3])
def test_a_batch_of_masked_out_rows_still_has_a_backward_pass(size) -> None:
    ids, mask = micro_batch([(4, 0)] * size)
    logps, entropies = by_packing(llama(), ids, mask, WIDTH["T"])
    assert not logps.any()
    assert logps.shape == (size, WIDTH["T"])
    assert all(not g.any() for g in gradients(llama(), logps, entropies))


# --- what the model is given


def given_to(model, ids, mask, monkeypatch):
    seen = []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda **inputs: seen.append(inputs) or forward(**inputs))
    by_packing(model, ids, mask, WIDTH["T"])
    (inputs,) = seen
    return inputs


def test_a_prompt_is_computed_once(monkeypatch) -> None:
    monkeypatch.setattr(packed, "balance_length", lambda config: 10**6)
    ids, mask = micro_batch([(7, 6)] * 4)
    inputs = given_to(built("Llama"), ids, mask, monkeypatch)
    # 6 tokens of the prompt but its last, then 4 segments of 6; TRL's rows have 4 * 13 tokens.
    assert inputs["input_ids"].shape == (1, 6 + 4 * 6)
    assert inputs["position_ids"].tolist() == [[*range(6), *([*range(6, 12)] * 4)]]
    assert (inputs["shift_labels"] != -100).sum() == 24


def test_rows_without_a_common_prompt_go_in_as_they_are(monkeypatch) -> None:
    ids, mask = micro_batch([(7, 6), (4, 3), (1, 5)])
    inputs = given_to(built("Llama"), ids, mask, monkeypatch)
    assert torch.equal(inputs["input_ids"], ids)
    assert torch.equal(inputs["attention_mask"], mask)


def test_who_sees_whom() -> None:
    # The prompt's two shared tokens, members of two tokens and one, one token of padding.
    segments, real = torch.tensor([[0, 0, 1, 1, 2, -1]]), torch.tensor([[True] * 5 + [False]])
    assert attends(segments, real)[0, :5].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
    ]
    nothing = attends(segments, torch.zeros(1, 6, dtype=torch.bool))
    assert torch.equal(nothing[0], torch.eye(6).bool()), "an empty softmax would be NaN"


def test_layout_repeats_the_prompts_last_token_and_leaves_out_each_completions() -> None:
    # Prompt in columns 2..4 of 5, completions from column 5 on.
    rows = [PackedRow((Span(3, 2, 2), Span(1, 2, 1))), PackedRow((Span(0, 0, 2),))]
    layout = lay_out(rows, 5, torch.device("cpu"))
    assert layout.rows_NL.tolist() == [[3, 3, 3, 3, 1], [0, 0, 0, 0, 0]]
    assert layout.columns_NL.tolist() == [[2, 3, 4, 5, 4], [4, 5, 0, 0, 0]]
    assert layout.segments_NL.tolist() == [[0, 0, 1, 1, 2], [1, 1, -1, -1, -1]]


# --- which members share a row


def shared_out(groups, balance):
    return [sorted(m.row for m in row.members) for row in least_cost_rows(groups, balance=balance)]


def test_attentions_share_decides_how_a_group_is_split() -> None:
    group = [Span(i, 10, 10) for i in range(4)]
    # Rows of 50, 30 (two) or 20 (four) tokens. Cheap attention: 50 < 60 < 80 tokens in all.
    assert shared_out([group], 10**6) == [[0, 1, 2, 3]]
    # Attention alone: 50^2 = 2500 > 2 * 30^2 = 1800 > 4 * 20^2 = 1600.
    assert shared_out([group], 0) == [[0], [1], [2], [3]]
    # In between: 50 * 90 = 4500, 2 * 30 * 70 = 4200, 4 * 20 * 60 = 4800.
    assert shared_out([group], 40) == [[0, 2], [1, 3]]


def test_members_are_spread_so_that_the_longest_row_is_short() -> None:
    group = [Span(i, 0, length) for i, length in enumerate((1, 3, 4))]
    # 2 * 4^2 = 32 is less than 8^2 and 3 * 4^2; in the order given, rows of 5 and 3 would be more.
    assert shared_out([group], 0) == [[2], [0, 1]]


def test_padding_counts() -> None:
    # One long completion of its own fixes 110 tokens to a row; nothing is gained by shorter ones.
    long, group = Span(0, 9, 101), [Span(i, 10, 10) for i in range(1, 9)]
    assert shared_out([[long], group], 0) == [[0], [*range(1, 9)]]
    # Rows of 30 and 50 tokens, both padded to 50, are 100 in all; three rows of 30 are 90.
    pair, four = [Span(i, 10, 10) for i in (0, 1)], [Span(i, 10, 10) for i in range(2, 6)]
    assert shared_out([pair, four], 1000) == [[0, 1], [2, 4], [3, 5]]


def test_members_are_found_by_prompt_whatever_its_padding_holds() -> None:
    ids, mask = micro_batch([(4, 2), (7, 1), (4, 3), (7, 0)])
    ids[0, 0] = 7  # under the left padding
    groups = members_by_prompt(ids, mask, WIDTH["T"])
    assert sorted(groups) == [[Span(0, 3, 2), Span(2, 3, 3)], [Span(1, 6, 1)]]


# --- models that cannot be packed


@pytest.mark.parametrize(
    ("family", "changes", "reason"),
    [
        ("Mistral", {"sliding_window": 5}, "slides over 5 tokens"),
        ("Qwen2", {"use_sliding_window": True, "max_window_layers": 1}, "sliding_attention"),
        ("Lfm2", {"layer_types": ["conv", "full_attention"]}, "of type conv"),
        ("Jamba", {"mamba_d_state": 2, "use_mamba_kernels": False}, "carry a state"),
        ("GPTJ", {"n_embd": 32, "n_head": 4, "n_layer": 1, "rotary_dim": 4}, "its attention mask"),
        ("OPT", {"ffn_dim": 48, "word_embed_proj_dim": 32}, "positions from the mask"),
        ("Mixtral", {"num_local_experts": 2, "output_router_logits": True}, "router"),
        (
            "Llama",
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            "depend on the row's length",
        ),
    ],
)
def test_reasons_not_to_pack(family, changes, reason) -> None:
    assert reason in (why_not_packed(built(family, **changes)) or "None")


def test_reasons_of_models_that_are_not_built_here(monkeypatch) -> None:
    def reason(**config):
        model = tiny_model()
        for name, value in config.items():
            setattr(model.config, name, value)
        return why_not_packed(model) or "None"

    text = tiny_model().config
    assert "other inputs" in reason(get_text_config=lambda: text)
    assert "encoder-decoder" in reason(is_encoder_decoder=True)
    assert "not causal" in reason(is_causal=False)
    monkeypatch.setattr(transformers.LlamaModel, "forward", lambda self, input_ids: None)
    assert "position ids" in reason()


def test_an_attention_kernel_without_masks_is_a_reason() -> None:
    model = tiny_model()
    model.config._attn_implementation = "flash_attention_2"
    assert "'flash_attention_2'" in (why_not_packed(model) or "None")


def test_prompt_learning_is_a_reason() -> None:
    model = get_peft_model(
        tiny_model(), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    )
    assert "virtual tokens" in (why_not_packed(model) or "None")


# --- the compact head


def projected(monkeypatch) -> list[int]:
    """Numbers of positions that the head projects, call by call, from now on."""
    counts: list[int] = []
    apply = trl_utils._ChunkedLogProbFunction.apply

    def counting(hidden, *rest):
        counts.append(len(hidden))
        return apply(hidden, *rest)

    monkeypatch.setattr(trl_utils._ChunkedLogProbFunction, "apply", counting)
    return counts


def test_compact_head_projects_labelled_positions_only(monkeypatch) -> None:
    counts = projected(monkeypatch)
    ids, mask = micro_batch()
    plain = by_trl(llama(), ids, mask, WIDTH["T"])
    with compact_head(ids.device):
        compact = by_trl(llama(), ids, mask, WIDTH["T"])
    by_packing(llama(), ids, mask, WIDTH["T"])
    labelled = sum(completion for _, completion in RAGGED)
    assert counts == [len(RAGGED) * (WIDTH["P"] + WIDTH["T"] - 1), labelled, labelled]
    for mine, wanted in zip(compact, plain, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=0, atol=1e-6)
    pairs = zip(gradients(llama(), *compact), gradients(llama(), *plain), strict=True)
    for mine, wanted in pairs:
        torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


def test_compact_head_leaves_no_trace() -> None:
    before = trl_utils._use_triton

    def fail():
        with compact_head(torch.device("cpu")):
            assert trl_utils._use_triton is not before
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert trl_utils._use_triton is before
    with compact_head(torch.device("meta")):
        assert trl_utils._use_triton is before, "only a CPU's head is changed"


def test_compact_head_keeps_off_an_untested_trl(monkeypatch) -> None:
    monkeypatch.setattr("rephrase_rl.trainers.trl.compact_head.version", lambda name: "1.17.0")
    before = trl_utils._use_triton
    with compact_head(torch.device("cpu")):
        assert trl_utils._use_triton is before


# --- inside the trainer


class PlainTrainer(ScriptedTrainer):
    def _get_per_token_logps_and_entropies(self, *args, **kwargs):
        return GRPOTrainer._get_per_token_logps_and_entropies(self, *args, **kwargs)


class PackingTrainer(ScriptedTrainer):
    def _get_per_token_logps_and_entropies(self, model, input_ids, attention_mask, *args, **kwargs):
        (width,) = args
        with self.accelerator.autocast():
            scores = by_packing(
                model, input_ids, attention_mask, width, batch_size=kwargs.get("batch_size")
            )
        self.packed_calls = getattr(self, "packed_calls", 0) + 1
        return (*scores, None)


def test_training_goes_as_with_trls_own(tmp_path, monkeypatch) -> None:
    """Real sampling, several steps, old log-probs from a pass of their own: the same weights."""
    # A step size to speak of is safe with SGD: Adam's divides by a gradient near zero.
    changes = {"max_steps": 2, "optim": "sgd", "learning_rate": 0.5, "num_iterations": 2}

    class Length:
        __name__ = "length"

        def __call__(self, completions, **kwargs):
            return [float(len(text[0]["content"])) for text in completions]

    monkeypatch.setattr("trl_fakes.ScriptedTrainer", PlainTrainer)
    plain = trainer(tmp_path, None, reward_funcs=Length(), args=changes)
    start = [p.detach().clone() for p in plain.model.parameters()]
    plain.train()
    monkeypatch.setattr("trl_fakes.ScriptedTrainer", PackingTrainer)
    ours = trainer(tmp_path, None, reward_funcs=Length(), args=changes)
    ours.train()
    assert ours.packed_calls >= 3
    pairs = zip(start, plain.model.parameters(), ours.model.parameters(), strict=True)
    moved = 0.0
    for before, theirs, mine in pairs:
        moved = max(moved, float((theirs - before).detach().abs().max()))
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    assert moved > 1e-2, "nothing was learned, so the test shows nothing"
