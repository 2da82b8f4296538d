"""Multiple choice: options and their letters, beside the graded cases."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.errors import VerifierError
from rephrase_rl.rewards import ChoiceVerifier, ContextVerifier
from rephrase_rl.rewards.option_texts import LETTERS, comparable, read_options

words = st.text(alphabet="bcdfgklmnprstvw", min_size=3, max_size=8)
option_lists = st.lists(words, min_size=2, max_size=10, unique=True)
statements = st.sampled_from(
    ["{}", "({})", r"\boxed{{{}}}", "Answer: {}", "The answer is {}.", "so the answer is ({})"]
)


def judge(completion, gold, options=None):
    (verdict,) = ChoiceVerifier().verify_in_context([completion], [gold], {"options": [options]})
    return verdict


@given(option_lists, st.randoms(use_true_random=False), st.data())
@settings(derandomize=True, deadline=None, max_examples=100)
def test_shuffled_options_follow_their_letters(options, shuffler, data):
    """The right text stays right wherever it moves; the letter of its new place is right, alone."""
    right = data.draw(st.sampled_from(options))
    form = data.draw(statements)
    shuffled = list(options)
    shuffler.shuffle(shuffled)
    for order in (options, shuffled):
        gold = LETTERS[order.index(right)]
        assert judge(form.format(right), gold, order).value == 1.0
        for letter in LETTERS[: len(order)]:
            assert judge(form.format(letter), gold, order).value == float(letter == gold)


@given(st.integers(0, 9), statements)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_every_letter_is_right_for_itself_alone(number, form):
    gold = LETTERS[number]
    values = [judge(form.format(letter), gold).value for letter in LETTERS]
    assert values == [float(letter == gold) for letter in LETTERS]


@pytest.mark.parametrize(
    ("found", "texts"),
    [
        (["A)100 m", "B)150 m"], ("100 m", "150 m")),
        (["(A) 100 m", "(B) 150 m"], ("100 m", "150 m")),
        (["A. one", "B. two", "C. three"], ("one", "two", "three")),
        (("a) one", "b) two"), ("one", "two")),
        # Labels of another order are left: which of the two orders the gold follows is not known.
        (["B)one", "A)two"], ("b)one", "a)two")),
        (["A)one", "two"], ("a)one", "two")),
        ([1, 2.5], ("1", "2.5")),
    ],
)
def test_labels_are_taken_off_where_all_are_in_order(found, texts):
    assert read_options(found).texts == texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"The  Mess".', "mess"),
        ("'mess.'", "mess"),
        ("A cat and a dog", "cat and a dog"),
        ("see the dog", "see the dog"),
        ("-1,234.5", "-1234.5"),
    ],
)
def test_texts_are_compared_without_what_says_nothing(text, expected):
    assert comparable(text) == expected


def test_only_a_text_of_its_own_stands_for_an_option_and_the_longest_first():
    options = read_options(["", "North", "north, then west", "south", "South"])
    assert options.unique == (("north, then west", "C"), ("north", "B"))
    assert options.letter_at_start("north, then west because it rains") == "C"
    assert options.letter_at_start("north, as said") == "B"
    assert (options.letter_of("south"), options.letter_of("")) == (None, None)


@pytest.mark.parametrize("found", ["abc", {"A": "x"}, [], ["one"], ("one",), ["x"] * 11, 5])
def test_options_that_are_none_make_the_problem_unscorable(found):
    assert isinstance(read_options(found), str)
    verdict = judge("A", "A", found)
    assert (verdict.status, verdict.value) == ("unscorable", None)
    size = f" of {len(found)}" if isinstance(found, list | tuple | dict) else ""
    assert verdict.detail == (
        f"options are {type(found).__name__}{size}; required: a list of 2 to 10 texts"
    )


def test_verdict_says_what_was_read_and_why():
    assert judge("The answer is (C).", "B").answer == "C"
    assert judge("The answer is (C).", "B").detail == "differs from 'B'"
    hedged = judge("Answer: A or B", "B")
    assert (hedged.answer, hedged.detail) == ("A or B", "the last statement names A, B")
    assert judge("who knows", "B").answer is None
    assert judge("A", "K").detail == "reference answer 'K' is none"
    assert judge("A", "C", ["x", "y"]).detail == "reference answer 'C' is none of 2 options"
    assert ChoiceVerifier().name == "choice"
    assert "takes the choice back" in judge("The answer is B. B is wrong.", "B").detail


def test_without_the_column_it_judges_letters():
    verifier = ChoiceVerifier("mc")
    assert isinstance(verifier, ContextVerifier)
    assert (verifier.name, verifier.context_columns) == ("mc", ("options",))
    assert [v.value for v in verifier.verify(["B", "south"], ["B", "B"])] == [1.0, 0.0]
    verifier.close()


def test_columns_must_have_one_length():
    with pytest.raises(VerifierError, match="2 completions and 1 reference"):
        ChoiceVerifier().verify(["A", "B"], ["A"])
    with pytest.raises(VerifierError, match="1 completions and 2"):
        ChoiceVerifier().verify_in_context(["A"], ["A"], {"options": [None, None]})


PIECES = ["answer is", "the answer", "(A)", "(B)", "B", "A", " ", "\n", ".", ",", "not", "or", "?"]
PIECES += ["\\boxed{", "}", "is correct", "option", "so", "I choose", "Answer:", "</think>", "**"]


@pytest.mark.parametrize("seed", range(6))
def test_time_is_linear_in_the_length(seed):
    chooser = random.Random(seed)
    pieces = chooser.sample(PIECES, chooser.choice([1, 2, 3, len(PIECES)]))
    text = "".join(chooser.choice(pieces) for _ in range(100_000))[:100_000]
    started = time.perf_counter()
    judge(text, "B", ["A is", "not B", "12", "x"])
    # Linear work takes below a second here, quadratic work minutes.
    assert time.perf_counter() - started < 10.0
