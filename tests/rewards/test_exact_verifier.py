"""The exact verifier: text after the last marker, compared as it is."""

import pytest

from rephrase_rl.errors import VerifierError
from rephrase_rl.rewards import ExactVerifier, Verifier

CASES = [
    ("right", "7+5=2#2", "2", "scored", 1.0, "2"),
    ("wrong", "7+5=2#3", "2", "scored", 0.0, "3"),
    ("last_marker", "#1#2", "2", "scored", 1.0, "2"),
    ("first_marker_does_not_count", "#2#1", "2", "scored", 0.0, "1"),
    ("stripped", "a# 2 \n", " 2", "scored", 1.0, "2"),
    ("inner_blank_counts", "#1 2", "12", "scored", 0.0, "1 2"),
    ("no_normalisation", "#2.0", "2", "scored", 0.0, "2.0"),
    ("no_marker", "2", "2", "scored", 0.0, None),
    ("nothing_after_marker", "2#", "2", "scored", 0.0, ""),
    ("empty", "", "2", "scored", 0.0, None),
    ("gold_empty", "#2", " ", "unscorable", None, None),
]


@pytest.mark.parametrize(
    ("completion", "gold", "status", "value", "answer"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_case(completion, gold, status, value, answer):
    verdict = ExactVerifier().verify([completion], [gold])[0]
    assert ExactVerifier().name == "exact"
    assert (verdict.status, verdict.value, verdict.answer) == (status, value, answer)


def test_another_marker():
    verdicts = ExactVerifier("####", name="gsm8k").verify(["so #### 72", "so # 72"], ["72", "72"])
    assert [verdict.value for verdict in verdicts] == [1.0, 0.0]


def test_verdict_says_why():
    found = ExactVerifier().verify(["2", "#2", "#3", "#2"], ["2", "", "2", "2"])
    assert [verdict.detail for verdict in found] == [
        *("no '#' in the completion", "the reference answer is empty", "differs from '2'", "")
    ]


def test_order_and_protocol():
    verifier = ExactVerifier()
    assert isinstance(verifier, Verifier)
    assert [v.value for v in verifier.verify(["#1", "#2"], ["1", "1"])] == [1.0, 0.0]
    verifier.close()


def test_faults():
    with pytest.raises(VerifierError, match="answer_marker"):
        ExactVerifier("")
    with pytest.raises(VerifierError, match="2 completions and 1 reference"):
        ExactVerifier().verify(["#1", "#2"], ["1"])
