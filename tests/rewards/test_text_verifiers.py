"""Free text: values against independent implementations, beside the graded cases."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.errors import VerifierError
from rephrase_rl.rewards import get_verifier, rouge_l, text_exact, text_f1
from rephrase_rl.rewards.text import rouge_l_f1, token_f1

words = st.lists(st.sampled_from(["red", "blue", "house", "big", "of", "x1"]), max_size=9)


def longest_common_subsequence(first, second):
    """Textbook table, one cell at a time."""
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = (
                table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
            )
    return table[-1][-1]


def harmonic(common, found, wanted):
    if not common:
        return 0.0
    precision, recall = common / found, common / wanted
    return 2 * precision * recall / (precision + recall)


@given(words, words.filter(bool))
@settings(derandomize=True, deadline=None, max_examples=150)
def test_rouge_l_is_the_f1_of_the_longest_common_subsequence(found, wanted):
    expected = harmonic(longest_common_subsequence(found, wanted), len(found), len(wanted))
    assert rouge_l_f1(" ".join(found), " ".join(wanted)) == pytest.approx(expected)


@given(words, words.filter(bool))
@settings(derandomize=True, deadline=None, max_examples=150)
def test_f1_is_that_of_the_words_in_common(found, wanted):
    left = Counter(wanted)
    common = 0
    for word in found:
        if left[word]:
            left[word] -= 1
            common += 1
    expected = harmonic(common, len(found), len(wanted))
    assert token_f1(" ".join(found), " ".join(wanted)) == pytest.approx(expected)


@given(words.filter(bool))
@settings(derandomize=True, deadline=None, max_examples=50)
def test_a_text_equals_itself(wanted):
    text = " ".join(wanted)
    for verifier in (text_exact(), text_f1(), rouge_l()):
        assert verifier.verify([text, f"Answer: {text}"], [text, text])[0].value == 1.0


def test_what_was_compared_is_in_the_verdict():
    verdict = text_exact().verify([r"so \boxed{\text{The Tower}}"], ["tower"])[0]
    assert (verdict.value, verdict.answer) == (1.0, "The Tower")
    assert text_f1("marker").verify(["tower"], ["tower"])[0].detail.startswith("no answer")
    assert "has no word" in rouge_l().verify(["x"], ["?"])[0].detail


@pytest.mark.parametrize("name", ["text_exact", "text_f1", "rouge_l"])
def test_options_are_checked(name):
    with pytest.raises(VerifierError, match=rf"verifier '{name}': found answer='end'"):
        get_verifier(name, answer="end")
    with pytest.raises(VerifierError, match=r"answer='end'.*answer_marker=''"):
        get_verifier(name, answer="end", answer_marker="")
    assert get_verifier(name).name == name
    assert get_verifier(name, name="mine").name == "mine"
