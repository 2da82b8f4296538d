"""Form and length, which look at the completion alone."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.errors import VerifierError
from rephrase_rl.rewards import FormatVerifier, LengthVerifier

FORMS = [
    # format, completion, has it
    ("boxed", r"so \boxed{5}", True),
    ("boxed", "so 5", False),
    ("boxed", r"so \boxed{}", False),
    ("boxed", r"so \boxed{5", False),
    ("think", "<think>a</think>b", True),
    ("think", "\n<think>\na\n</think>\n\nb\n", True),
    ("think", "<think>a</think>", False),
    ("think", "<think>a</think> \n", False),
    ("think", "<think> </think>b", False),
    ("think", "b", False),
    ("think", "b<think>a</think>b", False),
    ("think", "<think>a", False),
    ("think", "<think>a</think>b</think>c", False),
    ("think", "<think>a<think>b</think>c", False),
    ("think", "<think>a</think>b<think>c</think>d", False),
    ("think", "<think>a</think>b<think>c", False),
    ("think_boxed", r"<think>a</think>\boxed{b}", True),
    ("think_boxed", r"<think>\boxed{b}</think>b", False),
    ("think_boxed", r"\boxed{b}", False),
    ("think_answer", "<think>a</think><answer>b</answer>", True),
    ("think_answer", "<think>a</think>\n<answer>\nb\n</answer>\n", True),
    ("think_answer", "<think>a</think><answer>b</answer>c", False),
    ("think_answer", "<think>a</think><answer> </answer>", False),
    ("think_answer", "<think>a</think><answer>b<answer>c</answer>", False),
    ("think_answer", "<answer>b</answer>", False),
    ("answer_line", "because\nAnswer: B", True),
    ("answer_line", "because\n**Answer:** B\n\n", True),
    ("answer_line", "Final answer: 5", True),
    ("answer_line", "Answer: B\nbecause", False),
    ("answer_line", "Answer:", False),
    ("answer_line", "The answer is B", False),
    ("answer_line", "", False),
]


@pytest.mark.parametrize(("format", "completion", "has_it"), FORMS)
def test_named_formats(format, completion, has_it):
    (verdict,) = FormatVerifier(format).verify([completion], ["not looked at"])
    assert (verdict.status, verdict.value) == ("scored", float(has_it))
    assert isinstance(verdict.value, float)


def test_forms_have_their_names_and_one_reference_for_each_completion():
    for verifier, name in ((FormatVerifier("boxed"), "format"), (LengthVerifier(5), "length")):
        assert verifier.name == name
        with pytest.raises(VerifierError, match="1 completions and 2 reference"):
            verifier.verify(["a"], ["", ""])


def test_a_pattern_of_ones_own():
    verifier = FormatVerifier(pattern=r"^STEP 1.*ANSWER: \S+$", name="steps")
    found = verifier.verify(["STEP 1\nx\nANSWER: 5", "ANSWER: 5"], ["", ""])
    assert [verdict.value for verdict in found] == [1.0, 0.0]
    assert verifier.name == "steps"
    verifier.close()


def test_a_pattern_that_runs_away_is_a_timeout():
    verifier = FormatVerifier(pattern=r"(?:a|aa)+$", timeout_s=0.3)
    started = time.perf_counter()
    (verdict,) = verifier.verify(["a" * 5000 + "b"], [""])
    assert (verdict.status, verdict.value) == ("timeout", None)
    assert time.perf_counter() - started < 30.0  # without a limit it takes for ever
    assert "0.3 s" in verdict.detail


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "required: one of them"),
        ({"format": "boxed", "pattern": "x"}, "required: one of them"),
        ({"format": "html"}, "format='html', required: one of boxed, think"),
        ({"pattern": ""}, "pattern='', required: a text"),
        ({"pattern": "("}, "no regular expression"),
        ({"format": "boxed", "timeout_s": 0}, "timeout_s=0"),
    ],
)
def test_options_of_the_format(options, message):
    with pytest.raises(VerifierError, match=message):
        FormatVerifier(**options)


def dapo_punishment(length, limit, buffer):
    """Soft overlong punishment as DAPO's paper writes it (arXiv:2503.14476, section 3.4)."""
    if length <= limit - buffer:
        return 0.0
    if length <= limit:
        return ((limit - buffer) - length) / buffer
    return -1.0


@given(st.integers(0, 60), st.integers(1, 40), st.integers(0, 40))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_length_is_dapos_punishment_plus_one(length, limit, buffer):
    buffer = min(buffer, limit)
    (by_text,) = LengthVerifier(limit, buffer, "characters").verify(["x" * length], [""])
    (by_tokens,) = LengthVerifier(limit, buffer).verify_in_context(
        ["text"], [""], {"completion_ids": [[7] * length]}
    )
    assert (
        by_text.value
        == by_tokens.value
        == pytest.approx(1.0 + dapo_punishment(length, limit, buffer))
    )


def test_without_a_slope_only_what_is_beyond_the_limit_gets_nothing():
    found = LengthVerifier(3, unit="characters").verify(["xxx", "xxxx"], ["", ""])
    assert [(verdict.value, verdict.detail) for verdict in found] == [
        *((1.0, ""), (0.0, "4 characters"))
    ]


def test_tokens_need_their_column():
    assert LengthVerifier(5).context_columns == ("completion_ids",)
    assert LengthVerifier(5, unit="characters").context_columns == ()
    with pytest.raises(VerifierError, match="counts tokens and found texts alone"):
        LengthVerifier(5).verify(["a"], ["b"])
    with pytest.raises(VerifierError, match="1 reference"):
        LengthVerifier(5).verify_in_context(["a"], ["b"], {"completion_ids": [[1], [2]]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit=0"),
        ({"limit": 5.0}, "limit=5.0"),
        ({"limit": True}, "limit=True"),
        ({"limit": 5, "buffer": 6}, "buffer=6, required: at most limit=5"),
        ({"limit": 5, "buffer": -1}, "found buffer=-1"),
        ({"limit": 5, "buffer": 1.5}, "found buffer=1.5"),
        ({"limit": 5, "buffer": "6"}, "found buffer='6'"),
        ({"limit": 5, "unit": "words"}, "unit='words'"),
    ],
)
def test_options_of_the_length(options, message):
    with pytest.raises(VerifierError, match=message):
        LengthVerifier(**options)
