"""The guidance step with the blocks of RePO's relatives: what enters, where, and why not."""

from __future__ import annotations

import dataclasses

import pytest

from fakes import EOS_ID, completion, problem
from guidance_fakes import ScriptedGuidanceEngine, group, repo
from rephrase_rl.guidance.acceptance import RewardAboveReplaced
from rephrase_rl.guidance.blocks import Guidance, StepContext
from rephrase_rl.guidance.gates import AlwaysGate, FailedShareGate
from rephrase_rl.guidance.memory import CachedSource, ReplaySource
from rephrase_rl.guidance.slots import LastPlace, ReplaceWorst, SupervisedStream, WholeGroup
from rephrase_rl.guidance.sources import (
    ExpertPrefixSource,
    ExpertTextSource,
    RephraseSource,
)
from rephrase_rl.guidance.step import guide
from rephrase_rl.records import Completion

CONTEXT = StepContext(0)


def one(guidance: Guidance, engine: ScriptedGuidanceEngine, rewards=(0.0, 0.0), of=None):
    (guided,) = guide([group(*rewards, of=of)], guidance, engine, CONTEXT)
    return guided


def luffy(**changes) -> Guidance:
    blocks = {"gate": AlwaysGate(), "source": ExpertTextSource(), "slot": LastPlace()}
    return Guidance(**(blocks | changes))


# --- several candidates


@pytest.mark.parametrize(
    ("choice", "entered"), [("first", "second"), ("most_likely", "fourth!"), ("shortest", "3rd")]
)
def test_choice_among_acceptable_candidates(choice, entered) -> None:
    engine = ScriptedGuidanceEngine(
        ["no", "second", "3rd", "fourth!"], reward=lambda text: float(text != "no")
    )
    engine.logp_on_q = {"no": -0.1, "second": -2.0, "3rd": -3.0, "fourth!": -1.0}
    guided = one(repo(num_candidates=4, choice=choice), engine)
    assert guided.group.rollouts[0].completion.text == entered
    refusals = {c.completion.text: c.refusals for c in guided.candidates}
    assert refusals.pop("no") == ("reward_above_replaced",)
    assert refusals.pop(entered) == ()
    assert set(refusals.values()) == {("not_chosen",)}
    assert len(engine.sampled[0]) == 4
    assert len(set(engine.sampled[0])) == 1, "all from the same prompt"


def test_candidates_of_several_groups_do_not_mix() -> None:
    engine = ScriptedGuidanceEngine(["a1", "a2", "b1", "b2"], reward=lambda t: float(t[1] == "2"))
    groups = [
        group(0.0, 0.0, of=problem("a", task_kind="lab")),
        group(1.0, 1.0),
        group(0.0, 0.0, of=problem("b", task_kind="lab")),
    ]
    guided = guide(groups, repo(num_candidates=2), engine, CONTEXT)
    assert [g.accepted and g.accepted.completion.text for g in guided] == ["a2", None, "b2"]
    assert [group for group, _ in engine.scored[0]] == [0, 0, 2, 2]


# --- the expert's own text


def test_expert_text_takes_the_reserved_place_whatever_the_rewards() -> None:
    engine = ScriptedGuidanceEngine(reward=lambda text: 0.0)
    guided = one(luffy(), engine, (1.0, 0.0, 1.0), of=problem(expert_solution="wrong"))
    member = guided.group.rollouts[2]
    assert (member.origin, member.completion.text, member.reward) == ("expert", "wrong", 0.0)
    assert member.completion.token_ids == (*b"wrong", EOS_ID)
    assert guided.candidates[0].num_sampled_tokens == 0
    assert engine.sampled == [[]], "asked, as every rank has to, for nothing"


def test_problem_without_expert_keeps_its_rollouts() -> None:
    before = group(0.0, 0.0, of=problem(expert_solution=None))
    (guided,) = guide([before], luffy(), ScriptedGuidanceEngine(), CONTEXT)
    assert guided.group is before
    assert guided.reason == "no_expert"


def test_expert_text_that_is_too_long_is_refused_or_cut_as_asked() -> None:
    k = problem(expert_solution="0123456789")
    engine = ScriptedGuidanceEngine()
    engine.max_completion_tokens = 4
    refused = one(luffy(), engine, of=k)
    assert refused.candidates[0].refusals == ("over_length",)
    assert refused.slot is None
    # Neither a verifier nor a forward pass is given what cannot enter.
    assert (engine.scored, engine.measured) == ([[]], [[]])
    cut = one(luffy(over_length="truncate"), engine, of=k)
    member = cut.group.rollouts[1].completion
    assert (member.text, member.token_ids, member.finished) == ("0123", tuple(b"0123"), False)
    # The verifier judges what is left of it.
    assert engine.scored[-1] == [(0, "0123")]


# --- prefix


def test_prefix_is_given_and_the_continuation_sampled_from_the_question() -> None:
    engine = ScriptedGuidanceEngine(["-end"])
    guidance = luffy(source=ExpertPrefixSource(0.5))
    guided = one(guidance, engine, of=problem(expert_solution="abcdef"))
    assert engine.sampled == [[(0, 0, *b"abc")]], "q, then half of the expert's tokens"
    candidate = guided.candidates[0]
    assert candidate.completion.token_ids == (*b"abc-end", EOS_ID)
    assert candidate.completion.text == "abc-end"
    assert candidate.num_prefix_tokens == 3
    assert candidate.num_sampled_tokens == 5
    assert candidate.context_ids is None
    assert guided.group.rollouts[1].origin == "prefix"


def test_prefix_that_leaves_no_room_is_counted_and_not_sampled() -> None:
    engine = ScriptedGuidanceEngine()
    engine.max_completion_tokens = 3
    guided = one(luffy(source=ExpertPrefixSource(1.0)), engine, of=problem(expert_solution="abc"))
    assert (guided.gate_open, guided.reason) == (False, "over_length")


# --- outside the group


def test_whole_group_marks_the_one_member_that_is_trained_on() -> None:
    guidance = luffy(slot=WholeGroup(), gate=FailedShareGate(0.5))
    guided = one(guidance, ScriptedGuidanceEngine(), (1.0, 0.0))
    assert guided.placement == "whole_group"
    assert guided.slot == 1
    assert not guided.rescued, "nothing of the group is trained by its spread"


def test_stream_leaves_the_group_alone() -> None:
    before = group(0.0, 0.0)
    (guided,) = guide([before], luffy(slot=SupervisedStream()), ScriptedGuidanceEngine(), CONTEXT)
    assert guided.group is before
    assert (guided.slot, guided.replaced, guided.placement) == (None, None, "stream")
    assert guided.accepted is not None


# --- log-probs kept while sampling


def test_log_probs_under_the_rephrase_prompt_are_taken_from_sampling() -> None:
    kept = dataclasses.replace(completion("mine"), sampling_logps=(-0.25,) * 5)
    engine = ScriptedGuidanceEngine([kept])
    guided = guide([group(0.0, 0.0)], repo(), engine, StepContext(0))[0]
    assert guided.candidates[0].logps_on_context == kept.sampling_logps
    assert guided.candidates[0].logps_on_q == (-1.0,) * 5
    assert [wanted.context_ids for wanted in engine.measured[0]] == [None], "q alone is asked for"


def test_a_text_that_was_cleaned_is_measured_under_the_rephrase_prompt() -> None:
    sampled = dataclasses.replace(
        completion("Here is my rewritten solution:\n\nx = 2"), sampling_logps=(-0.25,) * 40
    )
    engine = ScriptedGuidanceEngine([sampled])
    math_group = group(0.0, 0.0, of=problem(task_kind="math"))
    guided = guide([math_group], repo(), engine, StepContext(0))[0]
    assert guided.candidates[0].completion.text == "x = 2"
    assert guided.candidates[0].logps_on_context == (-0.5,) * len("x = 2\n")
    assert engine.measured[0][0].context_ids is not None


# --- memory


def test_cached_rewrite_is_offered_again_without_sampling() -> None:
    source = CachedSource(RephraseSource(), max_age_steps=1)
    guidance = repo(source=source)
    engine = ScriptedGuidanceEngine(["mine", "fresh"])
    steps = [guide([group(0.0, 0.0)], guidance, engine, StepContext(step))[0] for step in range(3)]
    assert [g.accepted.completion.text for g in steps] == ["mine", "mine", "fresh"]
    assert [len(asked) for asked in engine.sampled] == [1, 0, 1]
    assert [g.candidates[0].num_sampled_tokens for g in steps] == [5, 0, 6]
    # Judged and measured each time, under the prompt that it was written from.
    contexts = [wanted[0].context_ids for wanted in engine.measured]
    assert contexts[0] == contexts[1] is not None


def test_replayed_success_rescues_a_group_that_fails_later() -> None:
    guidance = Guidance(FailedShareGate(), ReplaySource(), (RewardAboveReplaced(),), ReplaceWorst())
    engine = ScriptedGuidanceEngine()
    first = guide([group(1.0, 0.0)], guidance, engine, StepContext(0))[0]
    second = guide([group(0.0, 0.0)], guidance, engine, StepContext(1))[0]
    assert first.candidates == ()
    assert second.rescued
    assert second.group.rollouts[0].origin == "replay"
    assert second.group.rollouts[0].completion.text == "r0"


def test_nothing_to_replay_is_a_reason() -> None:
    guidance = Guidance(FailedShareGate(), ReplaySource(), (), ReplaceWorst())
    guided = one(guidance, ScriptedGuidanceEngine())
    assert (guided.gate_open, guided.reason) == (False, "empty_buffer")


# --- a rule of one's own


def test_rules_see_the_problem_and_their_names_stand_in_the_record() -> None:
    class NoLonger:
        name = "no_longer"

        def __call__(self, candidate, replaced, of) -> bool:
            return len(candidate.completion.text) <= len(of.expert_solution)

    engine = ScriptedGuidanceEngine([Completion("far too long", tuple(b"far too long"), True)])
    short = problem(expert_solution="k", task_kind="lab")
    guided = one(repo(accept=(NoLonger(),)), engine, of=short)
    assert guided.candidates[0].refusals == ("no_longer",)


def test_group_size_never_changes() -> None:
    for slot in (LastPlace(), WholeGroup(), SupervisedStream(), ReplaceWorst()):
        guided = one(luffy(slot=slot), ScriptedGuidanceEngine(), (0.0, 0.5, 1.0))
        assert len(guided.group.rollouts) == 3
        assert completion("r0").text in [r.completion.text for r in guided.group.rollouts] or (
            guided.slot == 0
        )
