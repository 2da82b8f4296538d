"""Tokens of candidates: spelled so that they join to the text, kept where that is asked for."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import EOS_ID, ByteTokenizer
from guidance_fakes import ScriptedGuidanceEngine, group, repo
from rephrase_rl.guidance.blocks import StepContext
from rephrase_rl.guidance.recording import candidate_record, group_record
from rephrase_rl.guidance.step import guide
from rephrase_rl.guidance.token_records import TokenRecorder, rounded, spell
from rephrase_rl.records import CandidateRecord, from_json, to_json

CONTEXT = StepContext(step=0, rank=0)
BYTES = ByteTokenizer()


def guided(reward: float = 1.0):
    """One open group with the rewrite "good", accepted if its reward is above 0."""
    engine = ScriptedGuidanceEngine(["good"], reward=lambda _: reward)
    engine.logp_on_q = {"good": -2.0}
    return guide([group(0.0, 0.0)], repo(), engine, CONTEXT)[0]


def test_a_character_of_several_tokens_is_given_by_its_last() -> None:
    ids = BYTES.encode("a é😀", add_special_tokens=False)

    assert spell([*ids, EOS_ID], BYTES) == ("a", " ", "", "é", "", "", "", "😀", "")


def test_a_special_token_in_the_middle_adds_nothing_and_hides_nothing() -> None:
    assert spell([0x61, EOS_ID, 0x62, EOS_ID, 0x63], BYTES) == ("a", "", "b", "", "c")


def test_log_probs_are_written_with_four_decimals() -> None:
    assert rounded((-1.23456789, -0.00004)) == (-1.2346, -0.0)


def test_blanks_that_a_token_alone_would_lose_are_kept() -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # As sentencepiece tokenizers do: a blank is the beginning of the next word.
    words = {"▁the": 0, "▁sum": 1, "▁": 2, "4": 3, "<unk>": 4}
    tokenizer = Tokenizer(models.WordLevel(words, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)

    assert fast.decode([1]) == "sum"
    assert spell([0, 1, 2, 3], fast) == ("the", " sum", " ", "4")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(max_size=30))
def test_pieces_join_to_the_text(text) -> None:
    ids = BYTES.encode(text, add_special_tokens=False)
    pieces = spell(ids, BYTES)

    assert len(pieces) == len(ids)
    assert "".join(pieces) == BYTES.decode(ids)


def test_bytes_that_are_no_text_are_spelled_too() -> None:
    ids = [0x41, 0xE2, 0x82, 0x41, 0xFF]
    pieces = spell(ids, BYTES)

    assert len(pieces) == 5
    assert "".join(pieces) == BYTES.decode(ids)


def test_the_record_has_each_token_with_its_log_probs() -> None:
    (candidate,) = group_record(
        guided(), (0.7, -0.7), CONTEXT, tokens=TokenRecorder("accepted", BYTES)
    ).candidates

    assert candidate.tokens.pieces == ("g", "o", "o", "d", "")
    assert candidate.tokens.logps_on_q == (-2.0,) * 5
    assert candidate.tokens.logps_on_context == (-0.5,) * 5
    assert from_json(CandidateRecord, to_json(candidate)) == candidate


@pytest.mark.parametrize(
    ("kept", "of_accepted", "of_refused"),
    [("accepted", True, False), ("all", True, True), ("none", False, False)],
)
def test_the_candidates_asked_for_keep_theirs(kept, of_accepted, of_refused) -> None:
    for one, expected in ((guided(), of_accepted), (guided(reward=0.0), of_refused)):
        record = candidate_record(one.candidates[0], TokenRecorder(kept, BYTES))
        assert (record.tokens is not None) == expected


def test_without_a_recorder_nothing_is_kept() -> None:
    assert candidate_record(guided().candidates[0]).tokens is None


def test_a_text_of_no_prompt_of_its_own_has_one_log_prob() -> None:
    own = dataclasses.replace(guided().candidates[0], context_ids=None)
    record = candidate_record(own, TokenRecorder("all", BYTES))
    assert record.tokens.logps_on_context is None
    unmeasured = dataclasses.replace(own, logps_on_q=None)
    assert candidate_record(unmeasured, TokenRecorder("all", BYTES)).tokens is None
