"""A group as the viewer shows it: what it is filtered by, its marks, and the sentence on it."""

from __future__ import annotations

import dataclasses
import math

import pytest
from synthetic_run import candidate, group, member, refused, rescued

from rephrase_rl.errors import DataError
from rephrase_rl.records import TokenRecord
from rephrase_rl.reports.viewer.group import full_group, rounded, table_row, tags_of, verdict_of

EXPERT = "seven plus five gives two; two minus three gives nine; then one"


@pytest.mark.parametrize(
    ("record", "tags"),
    [
        (group(0, "half"), []),
        (group(0, "easy", failure_fraction=0.0), ["passed"]),
        (group(0, "unscored", failure_fraction=math.nan), []),
        (rescued(0, "r"), ["rescued", "injected", "accepted", "failed"]),
        (refused(0, "n"), ["refused", "failed"]),
        (rescued(0, "d", used=False), ["rescued", "injected", "accepted", "failed", "unused"]),
        (
            refused(0, "c", candidates=(candidate("x", accepted=False, refusals=("not_copied",)),)),
            ["refused", "failed", "copied"],
        ),
        # Half of the words in passages of the expert's; and the expert's text itself.
        (rescued(0, "s", candidates=(candidate(EXPERT[:45] + " so is it"),)), None),
        (rescued(0, "e", candidates=(candidate(EXPERT, origin="expert"),)), None),
    ],
)
def test_tags_are_what_filters_ask_for(record, tags):
    if tags is None:
        assert "copied" in tags_of(record)
    else:
        assert tags_of(record) == tags


def test_an_own_way_of_saying_it_is_no_copy():
    assert "copied" not in tags_of(rescued(0, "r"))
    assert full_group(rescued(0, "r"))["candidates"][0]["copied"] == 0.0
    assert full_group(rescued(0, "r", expert_solution=None))["candidates"][0]["copied"] is None


def test_the_replaced_rollout_is_back_in_its_place_and_the_new_member_beside_it():
    row = table_row(rescued(0, "r"))

    assert row["before"] == [[0.0, "none"]] * 4
    assert (row["slot"], row["after"]) == (0, [1.0, "full"])
    assert row["reward"] == 0.25
    assert (row["logp_q"], row["logp_context"]) == (-0.75, -0.125)


def test_a_row_without_an_injection_has_no_slot():
    row = table_row(group(0, "plain"))

    assert [mark[1] for mark in row["before"]] == ["full", "none", "full", "none"]
    assert not {"slot", "after", "logp_q"} & row.keys()
    assert row["gate"] == "gate closed"


def test_marks_tell_part_of_a_reward_and_what_was_not_scored():
    members = (member("a", 0.5, 0.0), member("b", math.nan, 0.0), member("c", -1.0, 0.0))
    assert table_row(group(0, "g", members=members))["before"] == [
        [0.5, "part"],
        [None, "unscored"],
        [-1.0, "none"],
    ]


def test_the_candidate_that_stands_for_a_group_is_the_accepted_one():
    no = candidate("no", accepted=False, refusals=("correct",), logp_on_q=-9.0)
    row = table_row(rescued(0, "r", candidates=(no, candidate("yes", logp_on_q=-1.5))))

    assert row["logp_q"] == -1.5
    assert row["rules"] == ["correct"]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            rescued(0, "r"),
            "All of the scored rollouts failed; a rephrase took place 0, and the group, which had "
            "no spread, has one now.",
        ),
        (
            group(0, "p"),
            "50% of the scored rollouts failed; nothing was brought in (gate closed).",
        ),
        (
            refused(0, "n"),
            "All of the scored rollouts failed; the candidate was refused and the group stayed as "
            "sampled.",
        ),
        (
            group(0, "u", failure_fraction=math.nan, gate_reason="unscored"),
            "No rollout could be scored; nothing was brought in (nothing scored).",
        ),
        (
            refused(0, "s", candidates=(candidate("x"),), placement="stream"),
            "All of the scored rollouts failed; an accepted candidate went to the supervised "
            "stream.",
        ),
        (
            group(0, "d", failure_fraction=0.0, used=False),
            "None of the scored rollouts failed; nothing was brought in (gate closed). Dynamic "
            "sampling then put another group in its place.",
        ),
    ],
)
def test_the_sentence_says_what_happened(record, words):
    assert verdict_of(record) == words


def test_a_full_group_holds_every_text():
    record = rescued(0, "r")
    full = full_group(record)

    assert [m["text"] for m in full["members"]] == [m.text for m in record.members]
    assert full["replaced"]["text"] == "7+5=3#3"
    assert full["replaced"]["advantage"] is None
    (one,) = full["candidates"]
    assert one["raw"] == "As the reference says, 7+5=2-3=9+2=1#291"
    assert tuple(one["removed"]) == ("As the reference says, ",)
    # A raw text that is the text itself is not written twice.
    same = dataclasses.replace(record.candidates[0], raw_text=record.candidates[0].text)
    assert full_group(rescued(0, "r", candidates=(same,)))["candidates"][0]["raw"] is None


def test_tokens_are_lengths_in_the_text_and_hundredths():
    tokens = TokenRecord(("7+", "é", ""), (-0.126, math.nan, -12.0), (-0.004, -1.0, 0.0))
    one = full_group(rescued(0, "r", candidates=(candidate("7+é", tokens=tokens),)))

    assert one["candidates"][0]["heat"] == {
        "text": None,
        "lengths": [2, 1, 0],
        "q": [-13, None, -1200],
        "context": [0, -100, 0],
    }
    # Where the tokens do not join to the text, theirs is what is shown.
    other = full_group(rescued(0, "r", candidates=(candidate("7 + é", tokens=tokens),)))
    assert other["candidates"][0]["heat"]["text"] == "7+é"
    assert full_group(rescued(0, "r"))["candidates"][0]["heat"] is None


def test_tokens_without_their_log_probs_are_told():
    tokens = TokenRecord(("7", "+"), (-0.1,))
    with pytest.raises(DataError, match="2 tokens and 1 log-probs"):
        full_group(rescued(0, "r", candidates=(candidate("7+", tokens=tokens),)))


def test_small_numbers_are_not_rounded_away():
    assert rounded(0.0000123456) == 0.000012346
    assert rounded(-1234.5678) == -1234.6
    assert rounded(math.nan) is None
    assert rounded(None) is None
