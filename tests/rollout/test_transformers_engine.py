"""The transformers engine on a tiny Llama, against ``generate`` and a plain forward pass."""

from __future__ import annotations

import inspect
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import GenerationConfig

from fakes import EOS_ID, ByteTokenizer, tiny_model
from rephrase_rl.errors import EngineError
from rephrase_rl.rollout import Engine, SamplingSettings, TransformersEngine, transformers_engine
from rephrase_rl.seeding import forked_rng

if TYPE_CHECKING:
    from rephrase_rl.records import Completion, Message


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return ByteTokenizer()


@pytest.fixture
def model() -> Any:
    return tiny_model()


@pytest.fixture(params=["shared_prefix", "generate"], autouse=True)
def sampler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test holds for both ways of sampling."""
    shared = request.param == "shared_prefix"
    monkeypatch.setattr(TransformersEngine, "_shares_prefixes", shared)
    return str(request.param)


@pytest.fixture
def engine(model: Any, tokenizer: Any) -> TransformersEngine:
    return TransformersEngine(model, tokenizer, batch_size=5)


def prompts_of(*questions: str) -> list[tuple[Message, ...]]:
    return [({"role": "user", "content": question},) for question in questions]


QUESTIONS = prompts_of("1+1", "a much longer question than the others", "x", "two words", "1+1")


def flat(groups: list[list[Completion]]) -> list[Completion]:
    return [completion for group in groups for completion in group]


def model_logps(model: Any, prompt: list[int], completion: Completion) -> torch.Tensor:
    """Log-probabilities of a completion's tokens from one unpadded forward pass."""
    ids = torch.tensor([prompt + list(completion.token_ids)])
    with torch.no_grad():
        logps_SV = model(ids).logits[0].log_softmax(-1)
    return logps_SV[len(prompt) - 1 : -1].gather(1, ids[0, len(prompt) :, None])[:, 0]


def test_it_is_an_engine(engine: TransformersEngine) -> None:
    assert isinstance(engine, Engine)


def test_greedy_equals_generate_row_by_row_without_padding(
    engine: TransformersEngine, model: Any
) -> None:
    found = engine.sample(QUESTIONS, SamplingSettings(temperature=0, max_new_tokens=12))
    for prompt, (completion,) in zip(QUESTIONS, found, strict=True):
        ids = torch.tensor([engine.render(prompt)])
        output = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12
        )
        assert list(completion.token_ids) == output[0, ids.shape[1] :].tolist()


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(
    engine: TransformersEngine,
) -> None:
    settings = SamplingSettings(n=3, max_new_tokens=8, seed=11)
    first = engine.sample(QUESTIONS, settings)
    torch.rand(7)  # the state of the global stream must not matter
    assert engine.sample(QUESTIONS, settings) == first
    assert engine.sample(QUESTIONS, SamplingSettings(n=3, max_new_tokens=8, seed=12)) != first


def test_the_global_random_stream_is_not_moved(engine: TransformersEngine) -> None:
    before = torch.random.get_rng_state()
    engine.sample(QUESTIONS, SamplingSettings(max_new_tokens=4))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_samples_come_back_with_their_own_prompt(
    model: Any, tokenizer: Any, batch_size: int
) -> None:
    # Teacher-forcing each sample under its prompt gives the kept log-probabilities; a sample that
    # was handed to another prompt would not. Groups span batches for sizes 1 and 4.
    engine = TransformersEngine(model, tokenizer, batch_size=batch_size)
    groups = engine.sample(QUESTIONS, SamplingSettings(n=3, max_new_tokens=6, seed=5))
    assert [len(group) for group in groups] == [3] * len(QUESTIONS)
    for prompt, group in zip(QUESTIONS, groups, strict=True):
        for completion in group:
            expected = model_logps(model, engine.render(prompt), completion)
            assert completion.sampling_logps == pytest.approx(expected.tolist(), abs=2e-4)


def test_samples_of_a_prompt_differ(engine: TransformersEngine) -> None:
    (group,) = engine.sample(QUESTIONS[:1], SamplingSettings(n=8, max_new_tokens=8))
    assert len({completion.token_ids for completion in group}) == 8


@pytest.mark.parametrize("changes", [{"temperature": 0.5}, {"top_p": 0.5}, {"temperature": 0.0}])
def test_logps_are_the_models_own_whatever_the_sampling(
    engine: TransformersEngine, model: Any, changes: dict[str, float]
) -> None:
    groups = engine.sample(QUESTIONS[:2], SamplingSettings(max_new_tokens=6, **changes))  # type: ignore[arg-type]
    for prompt, (completion,) in zip(QUESTIONS, groups, strict=False):
        expected = model_logps(model, engine.render(prompt), completion)
        assert completion.sampling_logps == pytest.approx(expected.tolist(), abs=2e-4)


def test_first_tokens_follow_the_models_distribution(
    engine: TransformersEngine, model: Any
) -> None:
    engine.batch_size = 4000
    (group,) = engine.sample(QUESTIONS[:1], SamplingSettings(n=4000, max_new_tokens=1))
    ids = torch.tensor([engine.render(QUESTIONS[0])])
    with torch.no_grad():
        probabilities = model(ids).logits[0, -1].softmax(-1)
    counts = Counter(completion.token_ids[0] for completion in group)
    observed = torch.tensor([counts[token] / 4000 for token in range(len(probabilities))])
    # 4,000 draws over 261 tokens: expected total variation about sqrt(V / (2 pi N)) = 0.10 for a
    # flat distribution, less for this one. A leaked top_k of 50 gives far more.
    assert 0.5 * (observed - probabilities).abs().sum() < 0.11
    assert len(counts) > 100


@pytest.mark.parametrize(
    "shipped",
    [
        {"do_sample": True, "top_k": 1},
        {"do_sample": True, "temperature": 0.01, "top_p": 0.01},
        {"repetition_penalty": 5.0},
        {"no_repeat_ngram_size": 1},
        {"min_p": 0.9, "do_sample": True},
        {"typical_p": 0.1, "do_sample": True},
        {"suppress_tokens": list(range(200))},
        {"bad_words_ids": [[token] for token in range(200)]},
        {"min_new_tokens": 8},
        {"num_beams": 2},
        {"num_return_sequences": 2, "do_sample": True},
        {"forced_eos_token_id": 5},
        {"begin_suppress_tokens": list(range(200))},
        {"use_cache": False},
        {"return_dict_in_generate": True, "output_scores": True},
        {"stop_strings": ["a"]},
        {"max_length": 5},
    ],
    ids="+".join,
)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_shipped_generation_config_has_no_say(
    engine: TransformersEngine, model: Any, shipped: dict[str, Any], temperature: float
) -> None:
    settings = SamplingSettings(n=2, temperature=temperature, max_new_tokens=8, seed=3)
    expected = engine.sample(QUESTIONS[:2], settings)
    own = GenerationConfig(eos_token_id=EOS_ID, **shipped)
    model.generation_config = own
    assert engine.sample(QUESTIONS[:2], settings) == expected
    assert model.generation_config is own


@pytest.mark.parametrize("sampler", ["shared_prefix"], indirect=True)
@pytest.mark.parametrize(
    ("max_new_tokens", "asked", "rows"),
    [(6, None, 512), (60_000, None, 64), (6, 5, 5)],
    ids=["small", "large", "asked for"],
)
def test_rows_sampled_at_once_have_room_for_their_keys_and_values(
    model: Any,
    tokenizer: Any,
    monkeypatch: pytest.MonkeyPatch,
    max_new_tokens: int,
    asked: int | None,
    rows: int,
) -> None:
    seen = []

    def note(_: Any, prompts: list[Any], *__: Any, max_rows: int, **___: Any) -> list[list[Any]]:
        seen.append(max_rows)
        return [[] for _ in prompts]

    monkeypatch.setattr(transformers_engine, "sample_shared_prefix", note)
    monkeypatch.setattr(model.config, "max_position_embeddings", 100_000)
    engine = TransformersEngine(model, tokenizer, batch_size=asked)
    engine.sample(QUESTIONS[:1], SamplingSettings(max_new_tokens=max_new_tokens))
    assert seen == [rows]


def test_top_p_cuts_the_tail(engine: TransformersEngine) -> None:
    engine.batch_size = 512
    (group,) = engine.sample(
        QUESTIONS[:1], SamplingSettings(n=512, max_new_tokens=1, top_p=1e-6, seed=1)
    )
    (greedy,) = engine.sample(QUESTIONS[:1], SamplingSettings(temperature=0, max_new_tokens=1))
    assert {completion.token_ids for completion in group} == {greedy[0].token_ids}


def test_finished_says_whether_the_model_ended_by_itself(model: Any, tokenizer: Any) -> None:
    engine = TransformersEngine(model, tokenizer, batch_size=200)
    found = flat(engine.sample(QUESTIONS, SamplingSettings(n=40, max_new_tokens=40, seed=2)))
    assert {completion.finished for completion in found} == {True, False}
    for completion in found:
        ids = completion.token_ids
        assert len(completion.sampling_logps or ()) == len(ids)
        assert completion.finished == (ids[-1] == EOS_ID)
        assert EOS_ID not in ids[:-1]
        assert completion.finished or len(ids) == 40
        assert completion.text == tokenizer.decode(ids, skip_special_tokens=True)


def test_every_end_token_of_the_model_ends_a_completion(model: Any, tokenizer: Any) -> None:
    plain = TransformersEngine(model, tokenizer)
    (prompt,) = QUESTIONS[:1]
    ((longest,),) = plain.sample([prompt], SamplingSettings(temperature=0, max_new_tokens=6))
    extra = longest.token_ids[2]
    model.generation_config.eos_token_id = [EOS_ID, extra]
    engine = TransformersEngine(model, tokenizer)
    ((found,),) = engine.sample([prompt], SamplingSettings(temperature=0, max_new_tokens=6))
    cut = longest.token_ids.index(extra) + 1
    assert found.token_ids == longest.token_ids[:cut]
    assert found.finished


def test_padding_with_the_end_token_keeps_completions_whole(model: Any) -> None:
    tokenizer = ByteTokenizer()
    settings = SamplingSettings(n=20, max_new_tokens=20, seed=2)
    expected = TransformersEngine(model, tokenizer).sample(QUESTIONS, settings)
    tokenizer.pad_token = tokenizer.eos_token
    assert TransformersEngine(model, tokenizer).sample(QUESTIONS, settings) == expected


def test_modes_and_generation_config_are_restored_even_after_an_error(
    engine: TransformersEngine, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.train()
    model.model.layers[0].eval()  # a frozen part
    modes = {name: module.training for name, module in model.named_modules()}
    own = model.generation_config
    seen = []
    forward = model.forward

    def watching(*arguments: Any, **keywords: Any) -> Any:
        seen.append((any(m.training for m in model.modules()), torch.is_inference_mode_enabled()))
        if len(seen) > 1:
            raise RuntimeError("out of memory")
        return forward(*arguments, **keywords)

    watching.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(model, "forward", watching)
    engine.sample(QUESTIONS[:1], SamplingSettings(max_new_tokens=1))
    with pytest.raises(RuntimeError, match="out of memory"):
        engine.sample(QUESTIONS[:1], SamplingSettings(max_new_tokens=2))
    assert seen == [(False, True)] * 2
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert model.generation_config is own


def test_the_model_can_be_trained_after_sampling(engine: TransformersEngine, model: Any) -> None:
    engine.sample(QUESTIONS, SamplingSettings(max_new_tokens=4))
    ids = torch.tensor([engine.render(QUESTIONS[0])])
    model.train()
    model(ids, labels=ids).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_peft_models_sample_like_their_base_and_keep_their_config(
    model: Any, tokenizer: Any
) -> None:
    peft = pytest.importorskip("peft")
    settings = SamplingSettings(n=2, max_new_tokens=6, seed=4)
    expected = TransformersEngine(model, tokenizer).sample(QUESTIONS, settings)
    model.generation_config.top_k = 1
    own = model.generation_config
    with forked_rng(0):
        wrapped = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", r=2))
    found = TransformersEngine(wrapped, tokenizer).sample(QUESTIONS, settings)
    # A fresh adapter adds exactly nothing, yet its kernels may round in another order.
    for completion, reference in zip(flat(found), flat(expected), strict=True):
        assert completion.token_ids == reference.token_ids
        assert completion.sampling_logps == pytest.approx(reference.sampling_logps, abs=1e-5)
    assert wrapped.base_model.model.generation_config is own


def test_progress_ends_at_the_number_asked_for(engine: TransformersEngine) -> None:
    seen: list[tuple[int, int]] = []
    engine.sample(
        QUESTIONS,
        SamplingSettings(n=3, max_new_tokens=1),
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == sorted(set(seen))
    assert len(seen) >= 3, "one call for each batch of at most five rows"
    assert seen[-1] == (15, 15)


def test_no_prompts_give_no_completions(engine: TransformersEngine) -> None:
    assert engine.sample([], SamplingSettings()) == []


def test_template_variables_reach_the_template(model: Any) -> None:
    tokenizer = ByteTokenizer()
    tokenizer.chat_template = "{{ flavour }}{{ messages[0]['content'] }}"
    engine = TransformersEngine(model, tokenizer, chat_template_kwargs={"flavour": "sweet "})
    assert tokenizer.decode(engine.render(QUESTIONS[0])) == "sweet 1+1"


def test_what_does_not_fit_the_context_is_refused_not_cut(engine: TransformersEngine) -> None:
    with pytest.raises(EngineError, match=r"has 41 tokens .* at most 1024"):
        # 38 characters, the role marker, the end of the turn, the opened turn
        engine.sample(QUESTIONS, SamplingSettings(max_new_tokens=1000))


@pytest.mark.parametrize(
    ("length", "advice"),
    [(1000, "lower the length limit to 21"), (1021, "do this: leave long prompts")],
)
def test_the_advice_is_one_that_can_be_followed(
    engine: TransformersEngine, length: int, advice: str
) -> None:
    with pytest.raises(EngineError, match=f"; {advice}"):
        engine.sample(prompts_of("x" * length), SamplingSettings(max_new_tokens=30))


def test_a_prompt_without_tokens_is_refused(model: Any) -> None:
    tokenizer = ByteTokenizer()
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    with pytest.raises(EngineError, match=r"prompts \[1\] have no tokens"):
        TransformersEngine(model, tokenizer).sample(prompts_of("a", ""), SamplingSettings())


def test_parts_that_cannot_work_are_refused_at_once(model: Any) -> None:
    tokenizer = ByteTokenizer()
    with pytest.raises(EngineError, match="batch_size"):
        TransformersEngine(model, tokenizer, batch_size=0)
    tokenizer.eos_token = None
    model.generation_config.eos_token_id = None
    with pytest.raises(EngineError, match="end-of-sequence"):
        TransformersEngine(model, tokenizer)
    tokenizer.chat_template = None
    with pytest.raises(EngineError, match="chat template"):
        TransformersEngine(model, tokenizer)


class Notes:
    """A journal in memory that may fail after a number of batches, as a killed process would."""

    def __init__(self, known: dict[int, list[Completion]], most: int = 99) -> None:
        self.known = known
        self.batches: list[list[int]] = []
        self._most = most

    def keep(self, sampled: Any) -> None:
        if len(self.batches) == self._most:
            raise KeyboardInterrupt
        self.batches.append(list(sampled))
        self.known |= {index: list(found) for index, found in sampled.items()}


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_a_killed_request_that_is_gone_on_with_gives_the_same_bits(
    engine: TransformersEngine, batches: int
) -> None:
    settings = SamplingSettings(n=2, max_new_tokens=8, seed=3)
    whole = engine.sample(QUESTIONS, settings)
    notes = Notes({}, batches)
    with pytest.raises(KeyboardInterrupt):
        engine.sample(QUESTIONS, settings, journal=notes)
    before = set(notes.known)
    rest = Notes(notes.known)
    progress: list[tuple[int, int]] = []
    found = engine.sample(
        QUESTIONS, settings, journal=rest, on_progress=lambda *x: progress.append(x)
    )
    assert [[c.token_ids for c in group] for group in found] == [
        [c.token_ids for c in group] for group in whole
    ]
    assert before.isdisjoint(index for batch in rest.batches for index in batch)
    assert sorted(rest.known) == list(range(len(QUESTIONS)))
    assert progress[-1] == (10, 10)


def test_batches_hold_whole_prompts_of_similar_length(engine: TransformersEngine) -> None:
    notes = Notes({})
    engine.sample(QUESTIONS, SamplingSettings(n=2, max_new_tokens=4), journal=notes)
    # Two prompts of two rows in a batch of five; the longest question is in the first batch.
    assert [len(batch) for batch in notes.batches] == [2, 2, 1]
    assert notes.batches[0][0] == 1


def test_a_prompt_larger_than_a_batch_is_kept_once_it_is_whole(engine: TransformersEngine) -> None:
    notes = Notes({})
    found = engine.sample(
        QUESTIONS[:2], SamplingSettings(n=7, max_new_tokens=4, seed=1), journal=notes
    )
    assert [batch for batch in notes.batches if batch] == [[1], [0]]
    assert [len(group) for group in found] == [7, 7]
