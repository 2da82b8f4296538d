"""From a sample to a candidate, and the refusals that are necessities."""

from __future__ import annotations

import dataclasses

import pytest

from fakes import EOS_ID, completion, problem
from guidance_fakes import NAN
from rephrase_rl.guidance.blocks import CleanedCompletion
from rephrase_rl.guidance.candidates import cleaned_candidate, is_empty, refusals, unfit
from rephrase_rl.records import Candidate, Completion, Rollout

FAILED = Rollout(completion("r"), 0.0, 0.0)


def cleaned(text: str) -> CleanedCompletion:
    return CleanedCompletion(text.removeprefix("Meta. "), ("Meta. ",), ("left",))


@pytest.mark.parametrize("finished", [True, False])
def test_a_cleaned_text_has_an_end_token_if_one_was_sampled(finished) -> None:
    raw = completion("Meta. x = 2", finished=finished)
    candidate = cleaned_candidate(raw, cleaned, lambda text: tuple(text.encode()), "rephrase")
    ids = (*b"x = 2", EOS_ID) if finished else tuple(b"x = 2")
    assert candidate.completion == Completion("x = 2", ids, finished)
    assert (candidate.removed_meta, candidate.leftover_meta) == (("Meta. ",), ("left",))


def test_a_text_without_tokens_is_empty() -> None:
    candidate = Candidate(Completion("x", (), True), "rephrase", NAN, NAN, "x", 0)
    assert is_empty(candidate)
    assert unfit(candidate, 10) == "empty"
    assert not is_empty(dataclasses.replace(candidate, completion=completion("x")))


@pytest.mark.parametrize(
    ("reward", "correctness", "expected"),
    [(NAN, 1.0, ("unscorable",)), (1.0, NAN, ("unscorable",)), (1.0, 1.0, ())],
)
def test_a_candidate_needs_both_verdicts(reward, correctness, expected) -> None:
    candidate = Candidate(completion("x"), "rephrase", reward, correctness, "x", 2)
    assert refusals(candidate, FAILED, problem(), (), 10) == expected
