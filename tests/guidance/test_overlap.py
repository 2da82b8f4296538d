"""Passages in common, against a search by hand, and on texts that are hard for it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rephrase_rl.guidance.overlap import common_run_lengths, copied_share


def runs_by_hand(words: list[str], others: list[str]) -> list[int]:
    """For each word every run that ends there, looked for in the other side."""
    return [
        max(
            size
            for size in range(end + 2)
            if size == 0
            or any(
                words[end - size + 1 : end + 1] == others[at : at + size]
                for at in range(len(others) - size + 1)
            )
        )
        for end in range(len(words))
    ]


def share_by_hand(words: list[str], others: list[str], least: int) -> float:
    """Mark every word of every common run that is long enough."""
    least = min(least, len(words))
    marked = set()
    for end, size in enumerate(runs_by_hand(words, others)):
        if size >= least:
            marked.update(range(end - size + 1, end + 1))
    return len(marked) / len(words) if words else 0.0


# Two letters make runs that overlap themselves, which is where an automaton has to split a state.
few_words = st.lists(st.sampled_from("ab"), max_size=12) | st.lists(
    st.sampled_from("abcd"), max_size=12
)


@given(few_words, few_words)
# The state of "y" and "x y" leads by "c" to what is split when "x y c" comes again; from there on
# a run that began with "y" or "c" has not got the "x" before it.
@example(list("qyce"), list("zxycwxyce"))
@example(list("qce"), list("zxycwxyce"))
def test_common_runs_are_those_found_by_hand(words, others) -> None:
    assert common_run_lengths(words, others) == runs_by_hand(words, others)


@given(few_words, few_words, st.integers(1, 6))
def test_the_share_is_the_one_marked_by_hand(words, others, least) -> None:
    found = copied_share(" ".join(words), " ".join(others), least)
    assert found == pytest.approx(share_by_hand(words, others, least))


@pytest.mark.parametrize(
    ("text", "expert", "share"),
    [
        ("one two three four", "one two three four", 1.0),
        ("one two five six", "one two three four", 0.5),
        ("ONE  Two", "one two", 1.0),
        ("nothing alike", "one two three", 0.0),
        ("7+5=2;2-3=9#9", "7+5=2;", 6 / 13),
        ("a b c x a b", "a b c", 5 / 6),
        ("", "one", 0.0),
        ("one", "", 0.0),
    ],
)
def test_passages_of_two_words_are_counted(text, expert, share) -> None:
    assert copied_share(text, expert, 2) == pytest.approx(share)


def test_short_passages_count_only_if_they_are_the_whole_text() -> None:
    expert = "one two three four five six seven eight nine ten"
    assert copied_share("zero one two three four five six seven", expert) == 0.0
    assert copied_share("zero one two three four five six seven eight", expert) == 8 / 9
    assert copied_share("one two three", expert) == 1.0


def test_two_copied_passages_with_own_words_between_add_up() -> None:
    first, second = "a b c d e f g h", "i j k l m n o p"
    assert copied_share(f"{first} own words {second}", f"{first} {second}") == 16 / 18


def test_a_text_that_repeats_itself_is_compared_in_linear_memory() -> None:
    # Dynamic programming would fill a table of 4 * 10^10 cells here and not come back.
    lengths = common_run_lengths(["so"] * 200_000, ["so"] * 199_999 + ["end"])
    assert lengths[-2:] == [199_999, 199_999]
