"""The guidance step beyond the semantics of ``repo``: prompts, modes of sampling, verdicts."""

from __future__ import annotations

import dataclasses

import pytest

from fakes import EOS_ID, completion, problem
from guidance_fakes import NAN, ScriptedGuidanceEngine, group, repo
from rephrase_rl.guidance.acceptance import NoMetaText
from rephrase_rl.guidance.blocks import CleanedCompletion, Guidance, Ready, StepContext
from rephrase_rl.guidance.gates import AlwaysGate, FailedShareGate
from rephrase_rl.guidance.memory import CachedSource
from rephrase_rl.guidance.slots import ReplaceRandomFailure, ReplaceWorst, WholeGroup
from rephrase_rl.guidance.sources import ExpertPrefixSource, ExpertTextSource, RephraseSource
from rephrase_rl.guidance.step import guide
from rephrase_rl.records import Completion, Rollout, RolloutGroup

CONTEXT = StepContext(0)
REPHRASE_IDS = tuple(b"<rewrite>1+1<expert>1+1=2")
"""Tokens of P(q, k) for the problem of ``group``, whose q is (position, position)."""


def run(groups, guidance: Guidance, engine: ScriptedGuidanceEngine, step: int = 0):
    return guide(groups, guidance, engine, StepContext(step))


class Given:
    """Offers one ready text, whatever the group."""

    origin = "replay"

    def __init__(self, ready: Ready) -> None:
        self.ready = ready

    def draft(self, group, context):
        return self.ready

    def clean(self, text):
        return CleanedCompletion(text, (), ("left",))


# --- what is sampled, and from what


def test_a_rewrite_is_sampled_from_the_rephrase_prompt_and_says_so() -> None:
    engine = ScriptedGuidanceEngine(["mine"])
    (guided,) = run([group(0.0, 0.0)], repo(), engine)
    assert engine.sampled == [[REPHRASE_IDS]]
    assert guided.candidates[0].context_ids == REPHRASE_IDS
    assert [one.context_ids for one in engine.measured[0]] == [REPHRASE_IDS]


def test_the_injected_group_is_the_old_one_with_one_rollout_replaced() -> None:
    before = group(0.0, 0.0)
    (guided,) = run([before], repo(), ScriptedGuidanceEngine(["mine"]))
    mine = Rollout(completion("mine"), 1.0, 1.0, "rephrase")
    assert guided.group == RolloutGroup(before.problem, (mine, before.rollouts[1]))
    assert guided.placement == "member"


def test_a_prompt_of_exactly_the_limit_is_sampled() -> None:
    limit = len(REPHRASE_IDS)
    fits = run([group(0.0)], repo(max_prompt_tokens=limit), ScriptedGuidanceEngine(["mine"]))
    over = run([group(0.0)], repo(max_prompt_tokens=limit - 1), ScriptedGuidanceEngine())
    assert (fits[0].reason, over[0].reason) == ("open", "over_length")


def test_a_method_that_is_not_complete_asks_for_nothing() -> None:
    engine = ScriptedGuidanceEngine()
    before = group(0.0, 0.0)
    for guidance, word in ((Guidance(), "closed"), (Guidance(gate=AlwaysGate()), "open")):
        (guided,) = run([before], guidance, engine)
        assert guided.group is before
        assert (guided.reason, guided.placement, guided.candidates) == (word, "member", ())
    assert engine.sampled == engine.scored == engine.measured == []


# --- modes of sampling

MODES = ("lazy", "eager", "anticipated")


def test_the_eager_form_judges_all_and_lets_none_in_at_a_closed_gate() -> None:
    engine = ScriptedGuidanceEngine(["a", "b"])
    solved = group(1.0, 1.0)
    _, closed = run([group(0.0, 0.0), solved], repo(sampling="eager"), engine)
    assert engine.scored == [[(0, "a"), (1, "b")]]
    assert [one.group for one in engine.measured[0]] == [0, 1]
    assert closed.group is solved
    assert [(c.refusals, c.reward) for c in closed.candidates] == [(("gate_closed",), 1.0)]


def test_what_was_only_expected_to_be_needed_is_recorded_and_not_judged() -> None:
    engine = ScriptedGuidanceEngine(["a", "b"])
    engine.ahead = {REPHRASE_IDS}
    _, closed = run([group(0.0, 0.0), group(1.0, 1.0)], repo(sampling="anticipated"), engine)
    assert engine.scored == [[(0, "a")]]
    assert [one.group for one in engine.measured[0]] == [0]
    assert closed.candidates[0].refusals == ("gate_closed",)
    assert closed.candidates[0].reward != closed.candidates[0].reward


def test_nothing_is_sampled_for_a_closed_gate_that_was_not_anticipated() -> None:
    engine = ScriptedGuidanceEngine(["a"])
    _, closed = run([group(0.0, 0.0), group(1.0, 1.0)], repo(sampling="anticipated"), engine)
    assert engine.sampled == [[REPHRASE_IDS]], "the open one alone"
    assert (closed.gate_open, closed.reason, closed.candidates) == (False, "closed", ())


@pytest.mark.parametrize("sampling", MODES)
def test_a_group_without_a_verdict_stays_closed_whatever_the_gate_says(sampling) -> None:
    engine = ScriptedGuidanceEngine()
    before = group(NAN, NAN)
    (guided,) = run([before], repo(gate=AlwaysGate(), sampling=sampling), engine)
    assert guided.group is before
    assert (guided.gate_open, guided.reason, guided.candidates) == (False, "unscored", ())
    assert engine.sampled == [[]]


def test_what_is_there_already_for_a_group_without_a_verdict_is_recorded() -> None:
    engine = ScriptedGuidanceEngine(["a"])
    engine.ahead = {REPHRASE_IDS}
    (guided,) = run([group(NAN, NAN)], repo(gate=AlwaysGate(), sampling="anticipated"), engine)
    assert (guided.gate_open, guided.reason) == (False, "unscored")
    assert guided.candidates[0].refusals == ("gate_closed",)
    assert engine.scored == [[]]


@pytest.mark.parametrize(("sampling", "made"), [("lazy", 0), ("eager", 1), ("anticipated", 0)])
def test_a_ready_text_is_made_where_the_gate_is_open_or_the_form_eager(sampling, made) -> None:
    guidance = repo(source=ExpertTextSource(), sampling=sampling)
    closed, opened = run([group(1.0, 1.0), group(0.0, 0.0)], guidance, ScriptedGuidanceEngine())
    assert len(closed.candidates) == made
    assert all(c.refusals == ("gate_closed",) for c in closed.candidates)
    assert opened.slot == 0


def test_at_a_closed_gate_a_prompt_that_is_too_long_is_no_reason() -> None:
    guidance = repo(sampling="eager", max_prompt_tokens=1)
    guided = run([group(1.0, 1.0), group(0.0, 0.0)], guidance, ScriptedGuidanceEngine())
    assert [(g.gate_open, g.reason) for g in guided] == [(False, "closed"), (False, "over_length")]


# --- ready texts


def test_a_ready_text_keeps_the_tokens_it_was_sampled_with() -> None:
    ready = Ready("mine", (1, 2, 3), context_ids=(7, 8))
    (guided,) = run([group(0.0)], repo(source=Given(ready)), ScriptedGuidanceEngine())
    (candidate,) = guided.candidates
    assert candidate.completion == Completion("mine", (1, 2, 3), finished=True)
    assert (candidate.context_ids, candidate.leftover_meta) == ((7, 8), ("left",))


@pytest.mark.parametrize(("room", "cut"), [(6, False), (5, False), (4, True)])
def test_only_a_text_over_the_limit_is_truncated(room, cut) -> None:
    engine = ScriptedGuidanceEngine()
    engine.max_completion_tokens = room
    guidance = repo(source=Given(Ready("mine")), accept=(), over_length="truncate")
    (guided,) = run([group(0.0)], guidance, engine)
    ids = tuple(b"mine") if cut else (*b"mine", EOS_ID)
    assert guided.candidates[0].completion == Completion("mine", ids, finished=not cut)


# --- log-probs


def test_log_probs_kept_while_sampling_from_the_question_are_not_those_of_a_context() -> None:
    kept = completion("mine", logp=-0.25)
    guidance = repo(source=ExpertPrefixSource(0.0))
    (guided,) = run([group(0.0)], guidance, ScriptedGuidanceEngine([kept]))
    (candidate,) = guided.candidates
    assert candidate.context_ids is None
    assert candidate.logps_on_q == candidate.logps_on_context == (-1.0,) * 5


# --- slots and what is recorded


def test_a_candidate_without_a_place_is_refused() -> None:
    before = group(1.0, 1.0)
    guidance = repo(gate=AlwaysGate(), slot=ReplaceRandomFailure())
    (guided,) = run([before], guidance, ScriptedGuidanceEngine(["mine"]))
    assert guided.group is before
    assert guided.gate_open
    assert [c.refusals for c in guided.candidates] == [("no_slot",)]


def test_the_accepted_candidate_is_the_one_that_entered() -> None:
    engine = ScriptedGuidanceEngine(["bad", "good"], reward=lambda text: float(text == "good"))
    entered, kept = run([group(0.0), group(1.0)], repo(num_candidates=2), engine)
    assert entered.accepted is entered.candidates[1]
    assert kept.accepted is None


def test_a_whole_group_is_not_rescued_by_its_spread() -> None:
    (guided,) = run([group(0.0, 0.0)], repo(slot=WholeGroup()), ScriptedGuidanceEngine(["mine"]))
    assert guided.slot == 0
    assert not guided.rescued


def test_a_refused_candidate_is_not_remembered() -> None:
    guidance = repo(source=CachedSource(RephraseSource(), max_age_steps=5))
    engine = ScriptedGuidanceEngine(["bad", "good"], reward=lambda text: float(text == "good"))
    first = run([group(0.0, 0.0)], guidance, engine)[0]
    second = run([group(0.0, 0.0)], guidance, engine, step=1)[0]
    assert (first.slot, second.slot) == (None, 0)
    assert [len(asked) for asked in engine.sampled] == [1, 1]


def test_the_failed_share_is_by_the_threshold_of_the_method() -> None:
    guidance = repo(failure_reward_threshold=0.2)
    (guided,) = run([group(0.1, 0.3, 1.0, 1.0)], guidance, ScriptedGuidanceEngine())
    assert guided.failure_fraction == 0.25


def test_rewards_are_compared_to_the_last_digit() -> None:
    """Gate, slot, share and spread; float32 would take each of these pairs as equal."""
    barely_failed = 0.5 - 1e-12
    before = group(barely_failed, barely_failed - 1e-12)
    assert FailedShareGate()(before, CONTEXT)
    assert ReplaceWorst()(before, CONTEXT) == 1
    (guided,) = run([before], repo(), ScriptedGuidanceEngine(["mine"]))
    assert (guided.failure_fraction, guided.slot) == (1.0, 1)
    assert not guided.rescued, "there was a spread before"
    engine = ScriptedGuidanceEngine(["mine"], reward=lambda text: 0.3 + 1e-12)
    assert run([group(0.3, 0.3)], repo(), engine)[0].rescued
    unjudged = dataclasses.replace(before.rollouts[0], correctness=NAN)
    assert ReplaceWorst()(RolloutGroup(before.problem, (unjudged,)), CONTEXT) is None


def test_a_rule_sees_the_text_as_it_would_be_trained_on() -> None:
    engine = ScriptedGuidanceEngine(["Here is my rewritten solution:\n\nx = 2"])
    kept = repo(source=RephraseSource(strip_meta_text=False), accept=(NoMetaText(),))
    (guided,) = run([group(0.0, of=problem(task_kind="math"))], kept, engine)
    (candidate,) = guided.candidates
    assert candidate.refusals == ("no_meta_text",)
    assert candidate.leftover_meta
