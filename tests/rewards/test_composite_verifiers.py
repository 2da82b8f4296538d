"""Verifiers made of others: values, statuses, columns, and who is asked at all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.errors import VerifierError
from rephrase_rl.records import Verdict
from rephrase_rl.rewards import AllOf, ContextVerifier, Gated, get_verifier
from rephrase_rl.rewards.composite import FirstOf

RIGHT = Verdict("scored", 1.0, "5")
WRONG = Verdict("scored", 0.0, "6")
HALF = Verdict("scored", 0.5)
BAD_GOLD = Verdict("unscorable", None, detail="gold is bad")
TIMEOUT = Verdict("timeout", None, detail="too slow")


class Scripted:
    """Gives verdicts by completion, and keeps what it was asked."""

    context_columns = ("level",)

    def __init__(self, verdicts, name="scripted"):
        self.verdicts = verdicts
        self.name = name
        self.asked = []
        self.contexts = []
        self.closed = 0

    def verify(self, completions, reference_answers):
        return self.verify_in_context(completions, reference_answers, {})

    def verify_in_context(self, completions, reference_answers, context):
        self.asked.append(list(completions))
        self.contexts.append({name: list(values) for name, values in context.items()})
        return [self.verdicts[completion] for completion in completions]

    def close(self):
        self.closed += 1


def test_all_of_is_the_smallest():
    first = Scripted({"a": RIGHT, "b": RIGHT, "c": WRONG}, "first")
    second = Scripted({"a": RIGHT, "b": HALF, "c": RIGHT}, "second")
    found = AllOf([first, second]).verify(["a", "b", "c"], ["5"] * 3)
    assert [verdict.value for verdict in found] == [1.0, 0.5, 0.0]
    assert [verdict.detail for verdict in found][1:] == ["lowest: second", "lowest: first"]
    assert [verdict.answer for verdict in found] == ["5", "5", "6"]


def test_all_of_cannot_judge_what_one_cannot_judge():
    first = Scripted({"a": WRONG, "b": TIMEOUT})
    second = Scripted({"a": BAD_GOLD, "b": BAD_GOLD}, "second")
    found = AllOf([first, second]).verify(["a", "b"], ["5", "5"])
    assert [(v.status, v.value) for v in found] == [("unscorable", None), ("timeout", None)]
    assert found[0].detail == "second: gold is bad"


def test_gated_asks_the_second_only_where_the_first_is_right():
    gate = Scripted({"a": RIGHT, "b": WRONG, "c": BAD_GOLD, "d": RIGHT}, "gate")
    then = Scripted({"a": RIGHT, "d": WRONG}, "then")
    levels = {"level": [1, 2, 3, 4]}
    found = Gated(gate, then, 0.25).verify_in_context(["a", "b", "c", "d"], ["5"] * 4, levels)
    assert [verdict.value for verdict in found] == [1.0, 0.0, None, 0.75]
    assert found[2] == BAD_GOLD
    assert then.asked == [["a", "d"]]
    assert gate.contexts == [{"level": [1, 2, 3, 4]}]
    assert then.contexts == [{"level": [1, 4]}]


def test_gated_asks_nobody_where_nothing_is_right():
    then = Scripted({})
    assert Gated(Scripted({"a": WRONG}), then).verify(["a"], ["5"]) == [WRONG]
    assert then.asked == []


def test_gated_cannot_judge_what_the_second_cannot_judge():
    found = Gated(Scripted({"a": RIGHT}), Scripted({"a": TIMEOUT}, "then")).verify(["a"], ["5"])
    assert (found[0].status, found[0].value, found[0].answer) == ("timeout", None, "5")
    assert found[0].detail == "then: too slow"


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_gated_stays_between_nothing_and_the_gate(first, second, share):
    gate = Scripted({"a": Verdict("scored", first)})
    then = Scripted({"a": Verdict("scored", second)})
    (found,) = Gated(gate, then, share).verify(["a"], ["5"])
    assert 0.0 <= found.value <= first + 1e-12
    assert found.value == pytest.approx(first * (1 - share) + first * share * second)


def test_a_fifth_of_the_reward_is_for_the_second_unless_said_otherwise():
    gated = Gated(Scripted({"a": RIGHT}), Scripted({"a": WRONG}))
    assert gated.verify(["a"], ["5"])[0].value == pytest.approx(0.8)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_of_more_than_the_reward_is_refused(share):
    with pytest.raises(VerifierError, match=f"found share={share}.*at least 0 and at most 1"):
        Gated(Scripted({}), Scripted({}), share)


def test_names_are_the_rules_unless_given():
    parts = [Scripted({}), Scripted({})]
    assert [AllOf(parts).name, FirstOf(parts).name, Gated(*parts).name] == [
        *("all_of", "first_of", "gated")
    ]
    assert AllOf(parts, "both").name == FirstOf(parts, "both").name == "both"


def test_columns_are_those_of_any_part():
    plain = get_verifier("exact")
    for parts in ((Scripted({}), plain), (plain, Scripted({}))):
        for made in (AllOf(parts), FirstOf(parts), Gated(*parts)):
            assert made.context_columns == ("level",)


def test_from_the_registry_with_real_parts():
    verifier = get_verifier(
        "gated",
        gate={"verifier": "math"},
        then={"verifier": "format", "options": {"format": "think_boxed"}},
        share=0.1,
        name="right_and_neat",
    )
    texts = [r"<think>a</think>\boxed{5}", r"\boxed{5}", r"<think>a</think>\boxed{6}"]
    assert [v.value for v in verifier.verify(texts, ["5"] * 3)] == pytest.approx([1.0, 0.9, 0.0])
    assert verifier.name == "right_and_neat"
    verifier.close()
    both = get_verifier("all_of", verifiers=["exact", {"verifier": "choice"}])
    assert [v.value for v in both.verify(["Answer: #B", "Answer: B"], ["B", "B"])] == [1.0, 0.0]
    assert isinstance(both, ContextVerifier)
    assert both.context_columns == ("options",)


def test_closing_closes_the_parts():
    parts = [Scripted({}), Scripted({})]
    AllOf(parts).close()
    Gated(*parts).close()
    assert [part.closed for part in parts] == [2, 2]


def test_lengths_must_agree():
    parts = [Scripted({"a": RIGHT}), Scripted({"a": RIGHT})]
    for verifier in (AllOf(parts), Gated(*parts), FirstOf(parts)):
        with pytest.raises(VerifierError, match="1 completions and 2"):
            verifier.verify(["a"], ["1", "2"])


def test_first_of_asks_the_next_only_where_a_gold_cannot_be_read():
    first = Scripted({"a": RIGHT, "b": BAD_GOLD, "c": TIMEOUT, "d": BAD_GOLD})
    second = Scripted({"b": WRONG, "d": BAD_GOLD})
    verifier = FirstOf([first, second])
    golds = ["g"] * 4
    found = verifier.verify_in_context(list("abcd"), golds, {"level": [1, 2, 3, 4]})
    assert found == [RIGHT, WRONG, TIMEOUT, BAD_GOLD]
    assert second.asked == [["b", "d"]]
    assert second.contexts == [{"level": [2, 4]}]
    verifier.close()
    assert (first.closed, second.closed) == (1, 1)


def test_first_of_asks_nobody_where_every_gold_was_read():
    second = Scripted({})
    assert FirstOf([Scripted({"a": RIGHT}), second]).verify(["a"], ["5"]) == [RIGHT]
    assert second.asked == []


def test_first_of_is_made_by_name_and_wants_several():
    verifier = get_verifier("first_of", verifiers=["number", "text_exact"])
    found = verifier.verify(["It is 25", r"\boxed{the table}"], ["25", "table"])
    assert [verdict.reward for verdict in found] == [1.0, 1.0]
    assert verifier.verify(["26"], ["25"])[0].reward == 0.0
    with pytest.raises(VerifierError, match="at least 2"):
        get_verifier("first_of", verifiers=["number"])
    with pytest.raises(VerifierError, match="a list of verifiers"):
        get_verifier("first_of", verifiers="number")
