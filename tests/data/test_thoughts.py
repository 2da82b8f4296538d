"""Which part of a reasoning model's text is k, and what prompts lose."""

import dataclasses

import pytest

from rephrase_rl.data import get_mapping, problems_from_rows
from rephrase_rl.data.experts import take_part
from rephrase_rl.errors import DataError

FULL = "<think>\nfirst I add\n</think>\n\nIt is 2."


@pytest.mark.parametrize(
    ("text", "part", "taken"),
    [
        (FULL, "whole", FULL),
        (FULL, "after_think", "It is 2."),
        (FULL, "think", "first I add"),
        # Where the template opens the block, only the closing tag is in the text.
        ("I add</think>It is 2.", "think", "I add"),
        ("I add</think>It is 2.", "after_think", "It is 2."),
        # A text that quotes the tag: the last one ends the thinking.
        ("<think>write </think> now</think>2", "after_think", "2"),
        ("<think>write </think> now</think>2", "think", "write </think> now"),
        # Without tags the whole text is answer.
        ("It is 2.", "after_think", "It is 2."),
        ("It is 2.", "whole", "It is 2."),
    ],
)
def test_parts(text, part, taken):
    assert take_part(text, part) == taken


@pytest.mark.parametrize(
    ("text", "part", "message"),
    [
        ("<think>cut off", "after_think", "never closed"),
        ("<think>cut off", "think", "never closed"),
        ("It is 2.", "think", "no </think>"),
        ("<think>a</think> \n", "after_think", "nothing after"),
        ("<think> </think>2", "think", "nothing before"),
    ],
)
def test_parts_that_are_not_there(text, part, message):
    with pytest.raises(ValueError, match=message):
        take_part(text, part)


def load(row, **changes):
    mapping = dataclasses.replace(get_mapping("canonical"), **changes)
    return problems_from_rows([(1, row)], mapping, source_name="s")


ROW = {"question": "1+1?", "reference_answer": "2", "expert_solution": FULL}


def test_the_chosen_part_is_k_and_metadata_says_that_something_was_left_out():
    (problem,) = load(ROW, expert_part="after_think", append_answer=True)
    assert problem.expert_solution == "It is 2.\nThe final answer is \\boxed{2}."
    assert problem.metadata == {"expert_part": "after_think"}
    assert load(ROW)[0].metadata == {}
    assert load({**ROW, "expert_solution": "2"}, expert_part="after_think")[0].metadata == {}


def test_a_row_whose_part_is_not_there_is_a_fault():
    with pytest.raises(DataError, match="column 'expert_solution': <think> is never closed"):
        load({**ROW, "expert_solution": "<think>a"}, expert_part="after_think")


def test_a_worked_answer_is_cut_like_any_other_text():
    row = {"question": "q", "answer": "<think>a</think>1+1=2\n#### 2"}
    mapping = dataclasses.replace(get_mapping("gsm8k"), expert_part="after_think")
    (problem,) = problems_from_rows([(1, row)], mapping, source_name="s")
    assert problem.expert_solution == "1+1=2\nThe final answer is \\boxed{2}."
    mapping = dataclasses.replace(mapping, expert_part="think")
    with pytest.raises(DataError, match="column 'answer': no </think>"):
        problems_from_rows([(1, {**row, "answer": "2\n#### 2"})], mapping, source_name="s")


TURNS = [
    {"role": "system", "content": "Put thoughts into <think> tags."},
    {"role": "user", "content": "1+1?"},
    {"role": "assistant", "content": FULL},
    {"role": "user", "content": "Is <think> a tag? </think>"},
]


def test_prompts_lose_thoughts_only_if_that_is_asked_for():
    row = {"question": TURNS, "reference_answer": "yes"}
    assert load(row)[0].messages == tuple(TURNS)
    (problem,) = load(row, strip_think=True)
    assert [turn["content"] for turn in problem.messages] == [
        "1+1?", "It is 2.", "Is <think> a tag? </think>"
    ]  # fmt: skip
    assert problem.metadata == {"stripped_think": True}


def test_a_system_turn_that_asks_for_something_else_stays():
    turns = [{"role": "system", "content": "Be brief."}, TURNS[1]]
    (problem,) = load({"question": turns, "reference_answer": "2"}, strip_think=True)
    assert problem.messages == tuple(turns)
    assert problem.metadata == {}
