"""The longest common run of words, against a search by hand, and on texts that are hard for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rephrase_rl.guidance.overlap import copied_share, longest_common_run


def longest_by_hand(words: list[str], others: list[str]) -> int:
    """Every run of one side, looked for in the other."""
    return max(
        (
            size
            for start in range(len(words))
            for size in range(1, len(words) - start + 1)
            for at in range(len(others) - size + 1)
            if words[start : start + size] == others[at : at + size]
        ),
        default=0,
    )


# Two letters make runs that overlap themselves, which is where an automaton has to split a state.
few_words = st.lists(st.sampled_from("ab"), max_size=12) | st.lists(
    st.sampled_from("abcd"), max_size=12
)


@given(few_words, few_words)
def test_longest_common_run_is_the_one_found_by_hand(words, others) -> None:
    assert longest_common_run(words, others) == longest_by_hand(words, others)


@pytest.mark.parametrize(
    ("text", "expert", "share"),
    [
        ("one two three four", "one two three four", 1.0),
        ("one two five six", "one two three four", 0.5),
        ("ONE  Two", "one two", 1.0),
        ("nothing alike", "one two three", 0.0),
        ("7+5=2;2-3=9#9", "7+5=2;", 6 / 13),
        ("a b c x a b", "a b c", 0.5),
        ("", "one", 0.0),
        ("one", "", 0.0),
    ],
)
def test_copied_share_is_that_of_the_longest_common_run(text, expert, share) -> None:
    assert copied_share(text, expert) == pytest.approx(share)


def test_a_text_that_repeats_itself_is_compared_in_linear_memory() -> None:
    # Dynamic programming would fill a table of 4 * 10^10 cells here and not come back.
    assert longest_common_run(["so"] * 200_000, ["so"] * 199_999 + ["end"]) == 199_999
