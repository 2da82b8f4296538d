"""Sources one by one: what they offer, what they call it, and when they have nothing."""

from __future__ import annotations

import dataclasses
import json

import pytest

from fakes import completion, problem
from guidance_fakes import NAN, group
from rephrase_rl.errors import PromptError
from rephrase_rl.guidance.blocks import Ask, Nothing, Ready, StepContext
from rephrase_rl.guidance.memory import CachedSource, Outcome, ReplaySource, remembers
from rephrase_rl.guidance.sources import (
    ExpertPrefixSource,
    ExpertTextSource,
    RationaleSource,
    RefinementSource,
    RephraseSource,
    linear,
)
from rephrase_rl.prompts import get_template
from rephrase_rl.records import Candidate

CONTEXT = StepContext(0)
LAB = problem(task_kind="lab", question="1+1", expert_solution="K", reference_answer="2")
MATH = problem(task_kind="math", question="What is 1+1?", expert_solution="It is two.")
NO_EXPERT = problem(task_kind="lab", expert_solution=None)


def last_turn(draft) -> str:
    assert isinstance(draft, Ask)
    return draft.messages[-1]["content"]


def test_rephrase_source_takes_the_template_of_the_task_kind() -> None:
    assert last_turn(RephraseSource().draft(group(0.0, of=LAB), CONTEXT)) == "<rewrite>1+1<expert>K"
    content = last_turn(RephraseSource().draft(group(0.0, of=MATH), CONTEXT))
    assert "What is 1+1?" in content
    assert "It is two." in content
    fixed = RephraseSource(get_template("lab-rephrase-v1")).draft(group(0.0, of=MATH), CONTEXT)
    assert last_turn(fixed) == "<rewrite>What is 1+1?<expert>It is two."


@pytest.mark.parametrize(
    "source",
    [RephraseSource(), ExpertTextSource(), ExpertPrefixSource(), RefinementSource()],
    ids=lambda source: type(source).__name__,
)
def test_sources_that_need_an_expert_say_so(source) -> None:
    assert source.draft(group(0.0, of=NO_EXPERT), CONTEXT) == Nothing("no_expert")


@pytest.mark.parametrize(
    "source", [RephraseSource, RationaleSource, RefinementSource], ids=lambda s: s.__name__
)
def test_meta_text_can_be_left_in_but_is_then_reported(source) -> None:
    text = "Here is my rewritten solution:\n\nx = 2"
    assert source().clean(text).text == "x = 2"
    kept = source(strip_meta_text=False).clean(text)
    assert kept.text == text
    assert kept.leftover


def test_expert_text_is_offered_to_the_letter() -> None:
    text = "Here is my rewritten solution:\n\nx = 2"
    of = problem(expert_solution=text)
    assert ExpertTextSource().draft(group(0.0, of=of), CONTEXT) == Ready(text)
    assert ExpertTextSource().clean(text).text == text
    assert ExpertTextSource().origin == "expert"


def test_prefix_share_may_change_over_the_run() -> None:
    source = ExpertPrefixSource(0.8, 0.2, over_steps=10)
    drafts = [source.draft(group(0.0, of=LAB), StepContext(step)) for step in (0, 5, 10, 99)]
    assert [draft.prefix_share for draft in drafts] == pytest.approx([0.8, 0.5, 0.2, 0.2])
    assert all(draft.messages is None and draft.prefix == "K" for draft in drafts)
    assert ExpertPrefixSource(0.4).draft(group(0.0, of=LAB), StepContext(7)).prefix_share == 0.4
    assert ExpertPrefixSource().draft(group(0.0, of=LAB), CONTEXT).prefix_share == 0.5


def test_a_line_needs_an_end_and_a_length() -> None:
    assert linear(0.8, 0.2, 10, StepContext(5)) == pytest.approx(0.5)
    assert linear(0.8, 0.2, None, StepContext(5)) == 0.8
    assert linear(0.8, None, 10, StepContext(5)) == 0.8


def test_candidates_are_labelled_by_their_source() -> None:
    sources = (RephraseSource, ExpertTextSource, ExpertPrefixSource, RationaleSource)
    assert [source().origin for source in (*sources, RefinementSource)] == [
        "rephrase", "expert", "prefix", "rationale", "refinement",
    ]  # fmt: skip


def test_a_template_that_is_named_is_used() -> None:
    lab, math = (dataclasses.replace(MATH, task_kind=kind) for kind in ("lab", "math"))
    for source, name in (
        (RationaleSource, "lab-rationale-v1"),
        (RefinementSource, "lab-refine-v1"),
    ):
        of_the_kind = last_turn(source().draft(group(0.0, of=lab), CONTEXT))
        named = last_turn(source(get_template(name)).draft(group(0.0, of=math), CONTEXT))
        assert named == of_the_kind


def test_refinement_alone_needs_no_expert() -> None:
    alone = RefinementSource(show_expert=False)
    no_expert = dataclasses.replace(MATH, expert_solution=None)
    assert "r0" in last_turn(alone.draft(group(0.0, of=no_expert), CONTEXT))


def test_rationale_shows_the_answer_and_no_solution() -> None:
    content = last_turn(RationaleSource().draft(group(0.0, of=MATH), CONTEXT))
    assert MATH.reference_answer in content
    assert "It is two." not in content
    unanswered = problem(task_kind="math", reference_answer="  ")
    assert RationaleSource().draft(group(0.0, of=unanswered), CONTEXT) == Nothing("no_answer")


def test_refinement_shows_the_worst_attempt() -> None:
    attempts = group(0.4, NAN, 0.1, 0.1, of=MATH)
    content = last_turn(RefinementSource().draft(attempts, CONTEXT))
    assert "r2" in content
    assert "r0" not in content
    assert "It is two." in content
    alone = last_turn(RefinementSource(show_expert=False).draft(attempts, CONTEXT))
    assert "r2" in alone
    assert "It is two." not in alone
    assert RefinementSource().draft(group(NAN, of=MATH), CONTEXT) == Nothing("no_attempt")


def observed(source, *steps: tuple[int, tuple[float, ...]]) -> None:
    for step, rewards in steps:
        source.observe([Outcome(group(*rewards), ())], StepContext(step))


def test_replay_offers_the_newest_success_of_an_earlier_step() -> None:
    source = ReplaySource(capacity=2)
    failed = group(0.0, 0.0)
    assert source.draft(failed, StepContext(0)) == Nothing("empty_buffer")
    observed(source, (0, (1.0, 0.0, 0.0)), (1, (0.0, 1.0, 0.0)))
    # Of step 1 itself only what was there before it.
    assert source.draft(failed, StepContext(1)).text == "r0"
    assert source.draft(failed, StepContext(2)).text == "r1"
    assert source.draft(failed, StepContext(2)).token_ids == completion("r1").token_ids
    assert source.draft(group(0.0, of=problem("other")), StepContext(2)) == Nothing("empty_buffer")
    assert source.origin == "replay"


def test_replay_keeps_no_more_than_its_capacity_and_only_finished_successes() -> None:
    source = ReplaySource(capacity=2)
    observed(source, (0, (1.0, 1.0, 1.0)))
    assert [kept[1] for kept in source.state()["successes"]["p0"]] == ["r1", "r2"]
    empty = ReplaySource(capacity=0)
    observed(empty, (0, (1.0, 1.0)))
    assert empty.draft(group(0.0), StepContext(1)) == Nothing("empty_buffer")
    assert empty.state() == {"successes": {}}
    unsuccessful = ReplaySource()
    observed(unsuccessful, (0, (0.0, 0.0)))
    assert unsuccessful.state() == {"successes": {}}, "no entry for each problem ever failed"


def accepted(text: str, *, sampled: int = 5) -> Candidate:
    return Candidate(completion(text), "rephrase", 1.0, 1.0, text, sampled, context_ids=(7, 8))


def test_cache_offers_an_accepted_candidate_until_it_is_too_old() -> None:
    source = CachedSource(RephraseSource(), max_age_steps=2)
    failed = group(0.0, 0.0, of=LAB)
    assert isinstance(source.draft(failed, StepContext(0)), Ask)
    source.observe([Outcome(failed, (accepted("mine"),))], StepContext(0))
    expected = Ready("mine", completion("mine").token_ids, (7, 8))
    assert source.draft(failed, StepContext(1)) == expected
    # Offered again it does not get younger.
    source.observe([Outcome(failed, (accepted("mine", sampled=0),))], StepContext(2))
    assert source.draft(failed, StepContext(2)) == expected
    assert isinstance(source.draft(failed, StepContext(3)), Ask)
    assert source.origin == "rephrase"


def test_refused_candidates_are_not_cached() -> None:
    source = CachedSource(RephraseSource(), max_age_steps=2)
    source.observe([Outcome(group(0.0, of=LAB), ())], StepContext(0))
    assert isinstance(source.draft(group(0.0, of=LAB), StepContext(1)), Ask)


def test_a_candidate_with_a_given_prefix_is_not_cached() -> None:
    source = CachedSource(ExpertPrefixSource(), max_age_steps=2)
    begun = dataclasses.replace(accepted("mine"), num_prefix_tokens=2)
    source.observe([Outcome(group(0.0, of=LAB), (begun,))], StepContext(0))
    assert isinstance(source.draft(group(0.0, of=LAB), StepContext(1)), Ask)


@pytest.mark.parametrize(
    "build",
    [
        lambda: RephraseSource(get_template("lab-rationale-v1")),
        lambda: RationaleSource(get_template("lab-rephrase-v1")),
        lambda: RefinementSource(get_template("lab-rephrase-v1")),
        lambda: RefinementSource(get_template("math-refine-v1"), show_expert=False),
    ],
)
def test_a_template_that_shows_something_else_is_refused(build) -> None:
    with pytest.raises(PromptError, match=r"found template .*; required here is one for"):
        build()


def test_memories_survive_json() -> None:
    replay, again = ReplaySource(), ReplaySource()
    observed(replay, (0, (1.0, 0.0)), (3, (1.0, 1.0)))
    again.load_state(json.loads(json.dumps(replay.state())))
    assert again.state() == replay.state()
    assert again.draft(group(0.0), StepContext(4)) == replay.draft(group(0.0), StepContext(4))

    cache = CachedSource(ReplaySource(), 5)
    cache.observe([Outcome(group(1.0, 0.0), (accepted("mine"),))], StepContext(0))
    other = CachedSource(ReplaySource(), 5)
    other.load_state(json.loads(json.dumps(cache.state())))
    assert other.draft(group(0.0), StepContext(1)) == cache.draft(group(0.0), StepContext(1))
    assert other.draft(group(0.0), StepContext(9)).text == "r0", "the inner memory came along"


def test_only_sources_with_a_memory_remember() -> None:
    assert remembers(ReplaySource())
    assert remembers(CachedSource(RephraseSource(), 1))
    assert not remembers(RephraseSource())
    assert not remembers(None)
