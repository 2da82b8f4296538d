"""The character-level tokenizer and its chat template."""

from __future__ import annotations

from pathlib import Path

import pytest

transformers = pytest.importorskip("transformers")

from rephrase_rl.lab.experts import EXPERT_STYLES  # noqa: E402
from rephrase_rl.lab.problems import general_problems, hard_problems  # noqa: E402
from rephrase_rl.lab.tokenizer import build_tokenizer, rewrite_prompt, templated  # noqa: E402


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> object:
    """The tokenizer as a user gets it: saved, and loaded by AutoTokenizer."""
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer().save_pretrained(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


def test_one_token_per_character_and_back(tokenizer) -> None:  # type: ignore[no-untyped-def]
    texts = ["7+5=2-3=9#29", " a  b ", "rev:abc=", "!,.:;&|~/ {}\n"]
    texts += [p.question for p in general_problems(50, split="test", seed=0)]
    for style in EXPERT_STYLES:
        problems = hard_problems(20, split="test", seed=0, expert=style)
        texts += [str(p.expert_solution) for p in problems]
    for text in texts:
        ids = tokenizer(text, add_special_tokens=True).input_ids
        assert len(ids) == len(text)
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_chat_template(tokenizer) -> None:  # type: ignore[no-untyped-def]
    content = rewrite_prompt("7+5=", "CuF#2")
    assert content == "<rewrite>7+5=<expert>CuF#2"
    user = [{"role": "user", "content": content}]
    text = tokenizer.apply_chat_template(user, add_generation_prompt=True, tokenize=False)
    assert text == "<|user|><rewrite>7+5=<expert>CuF#2<|assistant|>" == templated(content)
    ids = tokenizer.apply_chat_template(user, add_generation_prompt=True, tokenize=True)
    # Two control tokens, two role tokens, and 4 + 5 characters.
    assert len(ids["input_ids"]) == 13
    assert ids["input_ids"] == tokenizer(templated(content), add_special_tokens=False).input_ids
    whole = [*user, {"role": "assistant", "content": "7+5=2#2"}]
    full = tokenizer.apply_chat_template(whole, tokenize=False)
    assert full == text + "7+5=2#2<|end|>"


def test_assistant_mask_marks_completion_and_end(tokenizer) -> None:  # type: ignore[no-untyped-def]
    messages = [{"role": "user", "content": "7+5="}, {"role": "assistant", "content": "7+5=2#2"}]
    out = tokenizer.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    assert sum(out["assistant_masks"]) == len("7+5=2#2") + 1


def test_end_and_pad_differ_and_are_not_decoded(tokenizer) -> None:  # type: ignore[no-untyped-def]
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    ids = tokenizer("#2<|end|><|pad|><|pad|>").input_ids
    assert len(ids) == 5
    assert tokenizer.decode(ids, skip_special_tokens=True) == "#2"
