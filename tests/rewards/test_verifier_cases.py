"""Every verifier against the graded cases; their expected values are a reader's, not a program's.

Of ``not right`` either a reward of 0 or a time-out will do: towers of powers may be judged or not,
as long as they are not accepted.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest
from case_tables import KINDS, cases_of, completion_of

from rephrase_rl.rewards import get_verifier
from rephrase_rl.rewards.context import verify_in_context

CASES = {kind: cases_of(kind) for kind in KINDS}

KNOWN_LIMITS = {
    "choice-122": "an option's text inside a sentence that does not speak of an answer",
    "math-046": "math-verify takes one letter behind a fraction for a unit and drops it",
    "math-076": "math-verify compares a relation with an interval if the gold is the relation",
    "math-082": "degrees are dropped, not converted",
    "number-215": "numbers in words are not read",
    "number-224": "decimal commas are not read: 1,234 would be two things",
    "number-225": "a sign in words is not read: the number itself must have it",
}
"""Cases that a reader decides and a verifier does not, each with its reason; nothing else fails."""


@pytest.fixture(scope="module", params=KINDS)
def verdicts(request):
    """All verdicts of one kind, by case id; one verifier for each of its settings."""
    by_settings: dict[tuple[str, str], list[dict]] = {}
    for case in CASES[request.param]:
        settings = dict(case.get("settings", {}))
        if case["verifier"] == "math":
            # What may time out does so soon; what may not has time on a busy machine too.
            settings |= {"timeout_s": 1.0 if case["expected"] == "not right" else 20.0}
            settings |= {"max_workers": 2}
        by_settings.setdefault((case["verifier"], json.dumps(settings)), []).append(case)
    judged = {}
    for (name, settings), cases in by_settings.items():
        verifier = get_verifier(name, **json.loads(settings))
        found = verify_in_context(
            verifier,
            [completion_of(case) for case in cases],
            [case["gold"] for case in cases],
            {"options": [case.get("options") for case in cases]},
        )
        verifier.close()
        judged |= {case["id"]: verdict for case, verdict in zip(cases, found, strict=True)}
    return judged


def is_as_expected(expected, verdict) -> bool:
    if expected == "not right":
        return verdict.value != 1.0 and verdict.status in ("scored", "timeout")
    if isinstance(expected, str):
        return verdict.status == expected
    return verdict.status == "scored" and verdict.value == pytest.approx(expected, abs=1e-6)


def test_verdicts_are_the_readers(verdicts):
    cases = {case["id"]: case for kind in KINDS for case in CASES[kind]}
    wrong = {
        id_: (cases[id_]["gold"], cases[id_]["completion"], cases[id_]["expected"], verdict)
        for id_, verdict in verdicts.items()
        if not is_as_expected(cases[id_]["expected"], verdict)
    }
    unexpected = {id_: found for id_, found in wrong.items() if id_ not in KNOWN_LIMITS}
    assert not unexpected
    mended = {id_ for id_ in KNOWN_LIMITS if id_ in verdicts} - set(wrong)
    assert not mended, "these are no limits any more: take them off the list"


def test_known_limits_are_few_and_real():
    ids = {case["id"] for kind in KINDS for case in CASES[kind]}
    assert len(KNOWN_LIMITS) <= 10
    assert set(KNOWN_LIMITS) <= ids


def test_the_tables_are_tables():
    cases = [case for kind in KINDS for case in CASES[kind]]
    counts = Counter(case["id"] for case in cases)
    assert max(counts.values()) == 1
    assert len(cases) >= 400
    assert sum(case.get("adversarial", False) for case in cases) >= 60
    for kind in KINDS:
        expected = {str(case["expected"]) for case in CASES[kind]}
        assert {"1.0", "0.0", "unscorable"} <= expected, kind


def test_rows_of_data_sets_say_where_they_come_from():
    """Only sources whose licence lets rows be copied: MIT, Apache-2.0, CC BY."""
    allowed = ("GSM8K (MIT)", "MATH (MIT)", "AQuA (Apache-2.0)", "TAT-QA (CC BY 4.0)")
    allowed += ("PubMedQA (MIT)", "Lin 2004", "written by hand", "rule of ", "known: ")
    origins = [case["origin"] for kind in KINDS for case in CASES[kind]]
    assert not [origin for origin in origins if not origin.startswith(allowed)]
    assert sum("(" in origin.split(",")[0] for origin in origins) >= 100
