"""Each block by itself: gates, sources, acceptance rules, slots."""

from __future__ import annotations

import pytest

from fakes import completion, problem
from guidance_fakes import NAN, group
from rephrase_rl.guidance.acceptance import Finished, NoMetaText, RewardAboveReplaced
from rephrase_rl.guidance.blocks import Guidance, StepContext
from rephrase_rl.guidance.gates import AlwaysGate, FailedShareGate
from rephrase_rl.guidance.slots import ReplaceWorst
from rephrase_rl.guidance.sources import RephraseSource
from rephrase_rl.prompts import get_template
from rephrase_rl.records import Candidate, Rollout

CONTEXT = StepContext(0)


@pytest.mark.parametrize(
    ("rewards", "fraction", "opens"),
    [
        ((0.0, 0.0, 0.0, 0.0), 1.0, True),
        ((0.0, 0.0, 0.0, 1.0), 1.0, False),
        ((0.0, 0.0, 0.0, 1.0), 0.75, True),
        ((0.0, 0.0, 1.0, 1.0), 0.75, False),
        ((1.0, 1.0, 1.0, 1.0), 0.25, False),
        ((NAN, NAN, NAN, 0.0), 1.0, True),
        ((0.0, 0.0, 0.0, 0.0), 1.5, False),
    ],
)
def test_failed_share_gate(rewards, fraction, opens) -> None:
    assert FailedShareGate(fraction)(group(*rewards), CONTEXT) is opens


def test_threshold_says_what_failing_is() -> None:
    mixed = group(0.4, 0.4)
    assert FailedShareGate(1.0, 0.5)(mixed, CONTEXT)
    assert not FailedShareGate(1.0, 0.4)(mixed, CONTEXT)


def test_gate_judges_correctness_not_total_reward() -> None:
    from rephrase_rl.records import RolloutGroup

    rollouts = tuple(Rollout(completion("r"), reward=0.9, correctness=0.0) for _ in range(2))
    assert FailedShareGate()(RolloutGroup(problem(), rollouts), CONTEXT)


def test_always_gate_is_open() -> None:
    assert AlwaysGate()(group(1.0, 1.0), CONTEXT)


def test_slot_is_the_first_of_the_worst_scored() -> None:
    assert ReplaceWorst()(group(0.3, 0.1, NAN, 0.1)) == 1
    assert ReplaceWorst()(group(NAN, NAN)) is None


def candidate(text: str = "fine", *, reward: float = 1.0, finished: bool = True) -> Candidate:
    return Candidate(completion(text, finished=finished), "rephrase", reward, reward, text, 5)


def test_acceptance_rules_one_by_one() -> None:
    failed = Rollout(completion("r"), 0.0, 0.0)
    assert RewardAboveReplaced()(candidate(reward=0.1), failed)
    assert not RewardAboveReplaced()(candidate(reward=0.0), failed), "equal is not better"
    assert Finished()(candidate(), failed)
    assert not Finished()(candidate(finished=False), failed)
    assert NoMetaText()(candidate("x = 2"), failed)
    assert not NoMetaText()(candidate("The expert solution shows that x = 2."), failed)


def test_rephrase_source_takes_the_template_of_the_task_kind() -> None:
    lab = problem(task_kind="lab", question="1+1", expert_solution="K")
    assert RephraseSource().context_messages(lab)[-1]["content"] == "<rewrite>1+1<expert>K"
    math = problem(task_kind="math", question="What is 1+1?", expert_solution="It is two.")
    content = RephraseSource().context_messages(math)[-1]["content"]
    assert "What is 1+1?" in content
    assert "It is two." in content
    fixed = RephraseSource(get_template("lab-rephrase-v1"))
    assert fixed.context_messages(math)[-1]["content"] == "<rewrite>What is 1+1?<expert>It is two."


def test_meta_text_can_be_left_in_but_is_then_reported() -> None:
    text = "Here is my rewritten solution:\n\nx = 2"
    assert RephraseSource().clean(text).text == "x = 2"
    kept = RephraseSource(strip_meta_text=False).clean(text)
    assert kept.text == text
    assert kept.leftover


def test_guidance_without_blocks_is_inactive() -> None:
    assert not Guidance().active
    assert not Guidance(gate=AlwaysGate()).active
    assert Guidance(gate=AlwaysGate(), source=RephraseSource(), slot=ReplaceWorst()).active
