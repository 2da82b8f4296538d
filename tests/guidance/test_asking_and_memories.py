"""What is known of a source before it is asked, and the corners of the memories."""

from __future__ import annotations

import dataclasses
import json

import pytest

from fakes import completion
from guidance_fakes import group
from rephrase_rl.guidance.blocks import Ask, Nothing, StepContext
from rephrase_rl.guidance.memory import (
    CachedSource,
    Outcome,
    ReplaySource,
    drafts_ahead,
    needs_expert,
)
from rephrase_rl.guidance.sources import (
    ExpertPrefixSource,
    ExpertTextSource,
    RationaleSource,
    RefinementSource,
    RephraseSource,
)
from rephrase_rl.records import Candidate, Rollout, RolloutGroup


@pytest.mark.parametrize(
    ("source", "expert", "ahead"),
    [
        (RephraseSource(), True, True),
        (ExpertTextSource(), True, False),
        (ExpertPrefixSource(), True, False),
        (RationaleSource(), False, True),
        (RefinementSource(), True, False),
        (RefinementSource(show_expert=False), False, False),
        (ReplaySource(), False, False),
        (None, False, False),
    ],
)
def test_what_a_source_needs_and_whether_its_prompt_is_known_ahead(source, expert, ahead) -> None:
    for asked in (source, CachedSource(source, 1)):
        assert needs_expert(asked) is expert
        assert drafts_ahead(asked) is ahead


def test_a_success_is_kept_if_it_is_whole_and_reaches_the_threshold() -> None:
    just = Rollout(completion("just"), 0.5, 0.5)
    cut = Rollout(completion("cut", finished=False), 1.0, 1.0)
    failed = group(0.0)
    for rollout, kept in ((just, True), (cut, False)):
        source = ReplaySource()
        source.observe([Outcome(RolloutGroup(failed.problem, (rollout,)), ())], StepContext(0))
        assert (source.draft(failed, StepContext(1)) == Nothing("empty_buffer")) is not kept


def test_eight_successes_are_kept_unless_said_otherwise() -> None:
    source = ReplaySource()
    source.observe([Outcome(group(*[1.0] * 9), ())], StepContext(0))
    assert [kept[1] for kept in source.state()["successes"]["p0"]] == [f"r{i}" for i in range(1, 9)]


def accepted(**changes) -> Candidate:
    whole = Candidate(completion("mine"), "rephrase", 1.0, 1.0, "mine", 5, context_ids=(7, 8))
    return dataclasses.replace(whole, **changes)


def test_the_age_of_a_candidate_counts_from_the_step_it_was_sampled_at() -> None:
    source = CachedSource(RephraseSource(), max_age_steps=2)
    failed = group(0.0)
    source.observe([Outcome(failed, (accepted(),))], StepContext(5))
    assert source.draft(failed, StepContext(7)).text == "mine"
    assert isinstance(source.draft(failed, StepContext(8)), Ask)


def test_a_candidate_that_did_not_end_by_itself_is_not_cached() -> None:
    source = CachedSource(RephraseSource(), max_age_steps=2)
    cut = accepted(completion=completion("mine", finished=False))
    source.observe([Outcome(group(0.0), (cut,))], StepContext(0))
    assert isinstance(source.draft(group(0.0), StepContext(1)), Ask)


def test_a_cache_over_a_source_without_memory_survives_json() -> None:
    source, again = (CachedSource(RephraseSource(), max_age_steps=2) for _ in range(2))
    source.observe([Outcome(group(0.0), (accepted(),))], StepContext(0))
    state = source.state()
    assert json.loads(json.dumps(state)) == state
    assert state["inner"] is None
    again.load_state(state)
    assert again.draft(group(0.0), StepContext(1)) == source.draft(group(0.0), StepContext(1))
