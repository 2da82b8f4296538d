"""Semantics of the preset ``repo`` (lazy, rho > 0), locked.

 1. A closed gate leaves the group as it was sampled, object for object.
 2. Where all passed no rephrase request is sent.
 3. On ties the first of the worst rollouts gives up its place.
 4. A refused candidate leaves the group untouched.
 5. A truncated or empty rewrite is refused.
 6. An unscorable rollout counts neither as failed nor as passed, and is never the worst.
 7. Log-probs of an injected row are conditioned on q: its prompt ids are q's
    (trainers/test_repo_trainer.py, as 8 and 9).
 8. Evaluation never injects.
 9. The expert text is absent from the context of every trained row.
10. Each candidate is scored once, each rollout is never scored again.
11. The group keeps its size and at most one member changes.
12. A problem without an expert solution is trained like GRPO.
13. A rephrase prompt over the limit is skipped and counted, never truncated.

Do not "fix" a test here: a change of one of these needs a decision recorded in docs/decisions/.
"""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import completion, problem
from guidance_fakes import NAN, ScriptedGuidanceEngine, group, repo
from rephrase_rl.guidance.blocks import StepContext
from rephrase_rl.guidance.step import guide
from rephrase_rl.records import Rollout, RolloutGroup

CONTEXT = StepContext(step=0)


def guide_one(before, engine, guidance=None):
    return guide([before], guidance or repo(), engine, CONTEXT)[0]


def test_1_closed_gate_returns_the_very_group() -> None:
    before = group(0.0, 1.0, 0.0, 0.0)
    engine = ScriptedGuidanceEngine()
    after = guide_one(before, engine)
    assert after.group is before
    assert (after.gate_open, after.reason) == (False, "closed")
    assert after.candidates == ()


def test_2_all_passed_sends_no_request() -> None:
    engine = ScriptedGuidanceEngine()
    guide([group(1.0, 1.0), group(1.0, 1.0)], repo(), engine, CONTEXT)
    assert engine.sampled == [[]]
    assert engine.scored == [[]]


def test_3_first_of_the_worst_is_replaced() -> None:
    after = guide_one(group(0.1, 0.0, 0.0, 0.2), ScriptedGuidanceEngine(["new"]))
    assert after.slot == 1
    assert after.replaced is not None
    assert after.replaced.completion.text == "r1"
    assert [r.completion.text for r in after.group.rollouts] == ["r0", "new", "r2", "r3"]
    assert after.group.rollouts[1].origin == "rephrase"


def test_4_refused_candidate_leaves_the_group() -> None:
    before = group(0.0, 0.0)
    after = guide_one(before, ScriptedGuidanceEngine(["wrong"], reward=lambda text: 0.0))
    assert after.group is before
    assert after.candidates[0].refusals == ("reward_above_replaced",)
    assert after.gate_open
    assert not after.rescued


@pytest.mark.parametrize(
    ("candidate", "refusal"),
    [
        (completion("cut off", finished=False), ("finished",)),
        (completion(""), ("empty",)),
        (completion("  \n"), ("empty",)),
    ],
)
def test_5_truncated_or_empty_rewrite_is_refused(candidate, refusal) -> None:
    before = group(0.0, 0.0)
    after = guide_one(before, ScriptedGuidanceEngine([candidate]))
    assert after.group is before
    assert after.candidates[0].refusals == refusal


def test_5_empty_rewrite_is_never_shown_to_the_verifier() -> None:
    engine = ScriptedGuidanceEngine([completion("")])
    guide_one(group(0.0, 0.0), engine)
    assert engine.scored == [[]]


def test_6_unscorable_is_neither_failed_nor_passed_nor_worst() -> None:
    after = guide_one(group(NAN, 0.0, 0.0), ScriptedGuidanceEngine(["new"]))
    assert after.failure_fraction == 1.0
    assert after.slot == 1
    closed = guide_one(group(NAN, 0.0, 1.0), ScriptedGuidanceEngine())
    assert closed.failure_fraction == 0.5
    assert not closed.gate_open


def test_6_group_without_any_verdict_stays_closed() -> None:
    after = guide_one(group(NAN, NAN), ScriptedGuidanceEngine())
    assert (after.gate_open, after.reason) == (False, "unscored")


def test_6_unscorable_candidate_is_refused_by_necessity() -> None:
    before = group(0.0, 0.0)
    engine = ScriptedGuidanceEngine(["odd"], reward=lambda text: NAN)
    after = guide_one(before, engine, repo(accept=()))
    assert after.group is before
    assert after.candidates[0].refusals == ("unscorable",)


def test_6_a_style_reward_does_not_make_an_unjudged_text_scorable() -> None:
    """With several rewards the total has a value where the correctness reward has none."""
    unjudged = Rollout(completion("odd"), reward=-1.0, correctness=NAN)
    failed = Rollout(completion("bad"), reward=0.0, correctness=0.0)
    before = RolloutGroup(problem(task_kind="lab"), (unjudged, failed))
    after = guide_one(before, ScriptedGuidanceEngine(["new"]))
    assert after.slot == 1, "the unjudged rollout has the lowest total and is still not the worst"
    engine = ScriptedGuidanceEngine(["new"], reward=lambda text: 1.0, correctness=lambda text: NAN)
    refused = guide_one(before, engine)
    assert refused.group is before
    assert refused.candidates[0].refusals == ("unscorable",)


def test_10_one_score_per_candidate_in_one_call() -> None:
    engine = ScriptedGuidanceEngine(["a", "b"])
    guide([group(0.0, 0.0), group(1.0, 0.0), group(0.0, 0.0)], repo(), engine, CONTEXT)
    assert engine.scored == [[(0, "a"), (2, "b")]]
    assert len(engine.sampled) == 1


@settings(derandomize=True, deadline=None)
@given(
    rewards=st.lists(st.sampled_from([0.0, 0.25, 1.0, NAN]), min_size=2, max_size=8),
    reward=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    threshold=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_11_at_most_one_member_changes_and_the_mean_never_falls(rewards, reward, threshold) -> None:
    from rephrase_rl.guidance.gates import FailedShareGate

    before = group(*rewards)
    engine = ScriptedGuidanceEngine(["new"], reward=lambda text: reward)
    after = guide_one(before, engine, repo(gate=FailedShareGate(threshold))).group
    changed = [
        i
        for i, (a, b) in enumerate(zip(before.rollouts, after.rollouts, strict=True))
        if a is not b
    ]
    assert len(changed) <= 1
    for i in changed:
        assert after.rewards[i] > before.rewards[i]


def test_12_no_expert_solution_is_plain_grpo() -> None:
    before = group(0.0, 0.0, of=problem(expert_solution=None))
    after = guide_one(before, ScriptedGuidanceEngine())
    assert after.group is before
    assert (after.gate_open, after.reason) == (False, "no_expert")


def test_13_over_length_prompt_is_skipped_and_counted() -> None:
    before = group(0.0, 0.0, of=problem(expert_solution="x" * 100, task_kind="lab"))
    engine = ScriptedGuidanceEngine()
    after = guide_one(before, engine, repo(max_prompt_tokens=50))
    assert (after.gate_open, after.reason) == (False, "over_length")
    assert engine.sampled == [[]]
    fits = guide_one(before, ScriptedGuidanceEngine(["new"]), repo(max_prompt_tokens=200))
    assert fits.slot == 0


def test_rescued_only_if_the_group_had_no_spread() -> None:
    assert guide_one(group(0.0, 0.0), ScriptedGuidanceEngine(["new"])).rescued
    assert not guide_one(group(0.0, 0.2), ScriptedGuidanceEngine(["new"])).rescued


def test_eager_takes_the_same_decisions_and_drops_what_lazy_would_not_sample() -> None:
    groups = [group(0.0, 0.0), group(0.0, 1.0), group(0.0, 0.0)]
    lazy = guide(groups, repo(), ScriptedGuidanceEngine(["a", "c"]), CONTEXT)
    eager_engine = ScriptedGuidanceEngine(["a", "b", "c"])
    eager = guide(groups, repo(sampling="eager"), eager_engine, CONTEXT)
    assert len(eager_engine.sampled[0]) == 3
    assert [g.group for g in eager] == [g.group for g in lazy]
    assert eager[1].group is groups[1]
    assert eager[1].candidates[0].refusals == ("gate_closed",)


def test_eager_counts_a_solved_problem_without_expert_as_closed() -> None:
    solved = group(1.0, 1.0, of=problem(expert_solution=None))
    failed = group(0.0, 0.0, of=problem(expert_solution=None))
    guided = guide([solved, failed], repo(sampling="eager"), ScriptedGuidanceEngine(), CONTEXT)
    assert [g.reason for g in guided] == ["closed", "no_expert"]


def test_meta_text_is_removed_and_tokens_follow_the_text() -> None:
    question = problem(task_kind="math")
    raw = completion("Here is my rewritten solution:\n\nThe answer is \\boxed{2}.")
    after = guide_one(group(0.0, 0.0, of=question), ScriptedGuidanceEngine([raw]))
    injected = after.group.rollouts[0].completion
    assert injected.text == "The answer is \\boxed{2}."
    assert bytes(injected.token_ids[:-1]).decode() == injected.text
    assert injected.token_ids[-1] == raw.token_ids[-1], "the end-of-sequence token stays"
    assert after.candidates[0].raw_text == raw.text
    assert after.candidates[0].num_sampled_tokens == len(raw.token_ids)
    assert after.candidates[0].removed_meta


def test_cleaned_row_ends_with_the_end_token_that_was_sampled() -> None:
    """Chat models have several end tokens; another one would be taught instead."""
    other_end = 255
    text = "Here is my rewritten solution:\n\nThe answer is \\boxed{2}."
    raw = dataclasses.replace(completion(text), token_ids=(*text.encode(), other_end))
    after = guide_one(group(0.0, 0.0, of=problem(task_kind="math")), ScriptedGuidanceEngine([raw]))
    assert after.group.rollouts[0].completion.token_ids[-1] == other_end
    cut = dataclasses.replace(completion(text, finished=False))
    engine = ScriptedGuidanceEngine([cut])
    loose = guide_one(group(0.0, 0.0, of=problem(task_kind="math")), engine, repo(accept=()))
    assert loose.group.rollouts[0].completion.token_ids[-1] == ord(".")


def test_untouched_text_keeps_the_sampled_tokens() -> None:
    # Another tokenisation of the same text, as sampling may give: re-encoding would lose it.
    odd = dataclasses.replace(completion("new"), token_ids=(1, 2, 3))
    after = guide_one(group(0.0, 0.0), ScriptedGuidanceEngine([odd]))
    assert after.group.rollouts[0].completion.token_ids == (1, 2, 3)
