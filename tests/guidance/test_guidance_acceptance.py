"""Acceptance rules one by one."""

from __future__ import annotations

from fakes import completion, problem
from rephrase_rl.guidance.acceptance import (
    Correct,
    Finished,
    NoMetaText,
    NotCopied,
    RewardAboveReplaced,
    StepsValid,
    WithinLength,
)
from rephrase_rl.guidance.overlap import copied_share
from rephrase_rl.guidance.recording import REFUSAL_METRICS
from rephrase_rl.guidance.steps import StepValidity
from rephrase_rl.records import Candidate, Rollout

FAILED = Rollout(completion("r"), 0.0, 0.0)
PROBLEM = problem(expert_solution="First add two and two. That is four, so the answer is 4.")


def candidate(text: str = "fine", *, reward: float = 1.0, finished: bool = True) -> Candidate:
    return Candidate(completion(text, finished=finished), "rephrase", reward, reward, text, 5)


def test_better_than_the_replaced_means_strictly() -> None:
    assert RewardAboveReplaced()(candidate(reward=0.1), FAILED, PROBLEM)
    assert not RewardAboveReplaced()(candidate(reward=0.0), FAILED, PROBLEM)


def test_correct_is_judged_by_correctness() -> None:
    assert Correct()(candidate(reward=0.5), FAILED, PROBLEM)
    assert not Correct()(candidate(reward=0.49), FAILED, PROBLEM)
    well_styled = Candidate(completion("t"), "rephrase", 0.9, 0.0, "t", 1)
    assert not Correct()(well_styled, FAILED, PROBLEM)
    assert not Correct()(candidate(reward=float("nan")), FAILED, PROBLEM)


def test_finished_and_without_meta_text() -> None:
    assert Finished()(candidate(), FAILED, PROBLEM)
    assert not Finished()(candidate(finished=False), FAILED, PROBLEM)
    assert NoMetaText()(candidate("x = 2"), FAILED, PROBLEM)
    assert not NoMetaText()(candidate("The expert solution shows that x = 2."), FAILED, PROBLEM)
    thought = "<think>{}</think>\nSo x = 2."
    assert NoMetaText()(candidate(thought.format("Add two and two.")), FAILED, PROBLEM)
    assert not NoMetaText()(candidate(thought.format("The solution says 4.")), FAILED, PROBLEM)
    assert NoMetaText()(candidate("The solution says 4."), FAILED, PROBLEM)
    removable = candidate("Here is my rewritten solution:\n\nx = 2")
    assert not NoMetaText()(removable, FAILED, PROBLEM), "nobody has removed it"


def test_copies_are_refused_above_the_limit_only() -> None:
    half = candidate("First add two and two. I find another way to the goal.")
    share = copied_share(half.completion.text, PROBLEM.expert_solution, 6)
    assert 0.4 < share < 0.5
    assert NotCopied(share, 6)(half, FAILED, PROBLEM)
    assert not NotCopied(share - 0.01, 6)(half, FAILED, PROBLEM)
    assert NotCopied(share - 0.01, 7)(half, FAILED, PROBLEM), "a passage of six words is too short"
    assert NotCopied(0.0)(candidate("anything"), FAILED, problem(expert_solution=None))


def test_half_of_the_words_may_be_copied_unless_said_otherwise() -> None:
    passage = "one two three four five six seven eight"
    expert = problem(expert_solution=passage)
    half = candidate(f"{passage} a b c d e f g h")
    assert copied_share(half.completion.text, passage) == 0.5
    assert NotCopied()(half, FAILED, expert)
    assert not NotCopied()(candidate(f"{passage} a b c d e f g"), FAILED, expert)


def test_names_are_those_that_records_and_metrics_know() -> None:
    rules = (Correct(), Finished(), NoMetaText(), NotCopied(), WithinLength(), StepsValid())
    names = [rule.name for rule in rules]
    assert names == [
        "correct", "finished", "no_meta_text", "not_copied", "within_length", "steps_valid",
    ]  # fmt: skip
    assert set(names) <= set(REFUSAL_METRICS)
    assert RewardAboveReplaced().name == "reward_above_replaced"


def test_length_bounds() -> None:
    assert WithinLength()(candidate("", finished=True), FAILED, PROBLEM), "the end token is one"
    assert WithinLength()(candidate("", finished=False), FAILED, PROBLEM) is False
    four = candidate("abc")  # three bytes and the end token
    assert WithinLength(min_tokens=4, max_tokens=4)(four, FAILED, PROBLEM)
    assert not WithinLength(min_tokens=5)(four, FAILED, PROBLEM)
    assert WithinLength(max_tokens=3)(four, FAILED, PROBLEM) is False
    k = problem(expert_solution="ab")
    assert WithinLength(max_ratio_to_expert=1.5)(four, FAILED, k)
    assert not WithinLength(max_ratio_to_expert=1.4)(four, FAILED, k)
    assert WithinLength(max_ratio_to_expert=0.1)(four, FAILED, problem(expert_solution=None))


def test_steps_have_to_be_right_as_far_as_they_can_be_checked() -> None:
    half = candidate("2 + 2 = 4, so 4 * 3 = 13.")
    assert StepsValid()(candidate("2 + 2 = 4"), FAILED, PROBLEM)
    assert not StepsValid()(half, FAILED, PROBLEM)
    assert StepsValid(min_share=0.5)(half, FAILED, PROBLEM)
    assert not StepsValid(min_share=0.51)(half, FAILED, PROBLEM)
    assert StepsValid()(candidate("It is four."), FAILED, PROBLEM)
    assert StepsValid(min_steps=1)(candidate("It is four."), FAILED, PROBLEM) is False
    assert StepsValid(min_share=0.0, min_steps=2)(half, FAILED, PROBLEM)
    assert not StepsValid(min_share=0.0, min_steps=3)(half, FAILED, PROBLEM)


def test_steps_are_checked_by_the_check_that_is_given() -> None:
    seen = []

    def check(text, problem):
        seen.append((text, problem))
        return StepValidity(1, 2)

    assert not StepsValid(check=check)(candidate("2 + 2 = 4"), FAILED, PROBLEM)
    assert seen == [("2 + 2 = 4", PROBLEM)]
