"""Figures of ``data check``: lengths, duplicates, overlap, verdicts; each counted by hand here."""

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.data import BadRow, RowFault
from rephrase_rl.data.contamination import EvaluationIndex, ProblemWords
from rephrase_rl.data.duplicates import DuplicateFinder
from rephrase_rl.data.inspection import DataInspector, ExpertVerdicts
from rephrase_rl.data.lengths import Fit, LengthCounts, LengthSummary
from rephrase_rl.data.part_fits import Limits, PartTally
from rephrase_rl.errors import DataError
from rephrase_rl.records import Problem, Verdict, to_json


def problem(number, question="1+1?", answer="2", **fields):
    return Problem(f"p{number}", ({"role": "user", "content": question},), answer, **fields)


# --- lengths ---------------------------------------------------------------------------------


def test_quantiles_of_one_to_a_hundred():
    counts = LengthCounts()
    for length in range(100, 0, -1):
        counts.add(length)
    # Nearest rank: the smallest length that at least q % do not exceed.
    assert counts.summary() == LengthSummary(100, 50, 90, 99, 100)
    assert (counts.at_most(0), counts.at_most(40), counts.at_most(100)) == (0, 40, 100)


def test_no_lengths():
    assert LengthCounts().summary() is None


@given(st.lists(st.integers(0, 30), min_size=1, max_size=50))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_quantiles_are_those_of_the_sorted_list(lengths):
    counts = LengthCounts()
    for length in lengths:
        counts.add(length)
    ordered = sorted(lengths)
    expected = [ordered[math.ceil(len(lengths) * q) - 1] for q in (0.5, 0.9, 0.99)]
    summary = counts.summary()
    assert [summary.p50, summary.p90, summary.p99] == expected
    assert summary.longest == ordered[-1]


# --- duplicates ------------------------------------------------------------------------------


def test_repeated_questions_and_those_with_another_answer():
    finder = DuplicateFinder()
    for item in (
        problem(1, "What is  ONE?", "1"),
        problem(2, "what is one?", "1"),
        problem(3, "What\nis one?", "2"),
        problem(4, "What is two?", "2"),
    ):
        finder.add(item)
    report = finder.report()
    assert (report.repeated, report.conflicting) == (2, 1)
    assert report.repeated_examples == (("p2", "p1"), ("p3", "p1"))
    assert report.conflicting_examples == (("p3", "p1"),)


def test_earlier_turns_make_a_difference_and_system_turns_none():
    user, other = {"role": "user", "content": "and now?"}, {"role": "user", "content": "hi"}
    finder = DuplicateFinder()
    for number, turns in enumerate(
        [(user,), ({"role": "system", "content": "s"}, user), (other, user)]
    ):
        finder.add(Problem(f"p{number}", turns, "1"))
    assert finder.report().repeated_examples == (("p1", "p0"),)


# --- overlap ---------------------------------------------------------------------------------

TEN = "zero one two three four five six seven eight nine"


def overlap(evaluation, training, num_words=4):
    index = EvaluationIndex("test", num_words)
    for number, question in enumerate(evaluation):
        index.add(Problem(f"e{number}", ({"role": "user", "content": question},), "1"))
    for number, (question, expert) in enumerate(training):
        turns = ({"role": "user", "content": question},)
        index.compare(ProblemWords.of(Problem(f"t{number}", turns, "1", expert_solution=expert)))
    return index.report()


def test_a_run_of_words_in_question_or_expert():
    report = overlap(
        [TEN, "another thing altogether, not seen"],
        [
            ("Two, three -- FOUR five!", ""),
            ("new", "so: six seven eight nine"),
            ("two three four", "five"),
        ],
    )
    assert (report.evaluation_problems, report.touched_evaluation_problems) == (2, 1)
    assert (report.touched_training_problems, report.equal_questions) == (2, 0)
    assert [(e.training_id, e.evaluation_id, e.where, e.words) for e in report.examples] == [
        ("t0", "e0", "question", "two three four five"),
        ("t1", "e0", "expert", "six seven eight nine"),
    ]


def test_a_question_shorter_than_the_run_counts_as_a_whole():
    report = overlap(["1 + 1 = ?"], [("1 + 1 = ?", ""), ("what is 1 + 1 = ?", "")])
    assert (report.touched_training_problems, report.equal_questions) == (1, 1)


def test_a_run_that_two_questions_share_touches_both():
    report = overlap([f"a {TEN}", f"b {TEN}"], [(TEN, "")])
    assert report.touched_evaluation_problems == 2
    assert report.equal_questions == 0


def test_lists_of_options_are_no_overlap_and_yet_part_of_the_whole():
    options = {"options": ["1", "2", "3", "4"]}
    listed = "\n\nA. 1\nB. 2\nC. 3\nD. 4"

    def choice(name, stem):
        turns = ({"role": "user", "content": stem + listed},)
        return Problem(name, turns, "A", metadata=options)

    index = EvaluationIndex("test", 4)
    index.add(choice("e0", "Which number is it?"))
    index.add(choice("e1", "So?"))
    index.compare(ProblemWords.of(choice("t0", "How many are there?")))
    assert index.report().touched_training_problems == 0
    index.compare(ProblemWords.of(choice("t1", "so")))
    assert (index.report().touched_training_problems, index.report().equal_questions) == (1, 1)
    plain = Problem("t2", ({"role": "user", "content": "Take a. 1 b. 2 c. 3 d. 4"},), "A")
    index.compare(ProblemWords.of(plain))
    assert index.report().touched_training_problems == 1


def test_empty_questions_are_no_match():
    assert overlap(["?"], [("!", "")]).touched_training_problems == 0


def test_runs_have_a_length():
    with pytest.raises(DataError, match="runs of 0 words"):
        EvaluationIndex("x", 0)


@given(
    st.lists(st.sampled_from("abc"), max_size=9),
    st.lists(st.sampled_from("abc"), max_size=9),
    st.integers(1, 4),
)
@settings(derandomize=True, deadline=None, max_examples=150)
def test_overlap_is_that_of_all_pairs_of_runs(left, right, n):
    report = overlap([" ".join(left)], [(" ".join(right), "")], n)
    runs = [{tuple(words[i : i + n]) for i in range(len(words) - n + 1)} for words in (left, right)]
    expected = bool(runs[0] & runs[1]) or (left == right and bool(left))
    assert bool(report.touched_training_problems) == expected


# --- the whole -------------------------------------------------------------------------------


def test_counts():
    inspector = DataInspector()
    inspector.add(problem(1, expert_solution="<think>a</think>b"))
    inspector.add(problem(2, "q", task_kind="lab"))
    part = {"expert_part": "think", "stripped_think": True}
    inspector.add(problem(3, "r", expert_solution="k", metadata=part))
    fault = RowFault(4, "column 'a'", "nothing", "give it", "reference_answer")
    other = dataclasses.replace(fault, row=5, about="question")
    inspector.add_bad_row(BadRow(4, (fault, fault)))
    inspector.add_bad_row(BadRow(5, (other,)))
    inspector.add_fate("cut")
    report = inspector.report()
    assert (report.rows, report.problems, report.missing_answers) == (5, 3, 1)
    assert str(report.faults[2]) == "row 5, column 'a': nothing; give it"
    assert report.task_kinds == {"lab": 1, "math": 2}
    assert (report.with_expert, report.with_thoughts) == (2, 2)
    assert (report.thoughts_left_out, report.prompts_stripped) == (1, 1)
    assert report.expert_budget == {"cut": 1}
    assert report.tokens is None
    assert to_json(report)["duplicates"]["repeated"] == 0


def test_what_fits_the_limits_and_what_does_not():
    inspector = DataInspector(limits=Limits(prompt=10, completion=10))
    for number, length in enumerate((9, 10, 11)):
        inspector.add_length("rephrase", length, f"p{number}")
        inspector.add_length("expert", length, f"p{number}")
    report = inspector.report()
    assert report.prompt_fit == Fit(10, 2, 3, ("p2 (11)",))
    # An end token has to fit too.
    assert report.completion_fit == Fit(10, 1, 3, ("p1 (10)", "p2 (11)"))
    assert DataInspector().report().prompt_fit is None


def test_only_the_first_that_do_not_fit_are_named():
    inspector = DataInspector(limits=Limits(prompt=10))
    for number in range(9):
        inspector.add_length("rephrase", 11, f"p{number}")
    fit = inspector.report().prompt_fit
    assert (fit.fitting, fit.count, len(fit.over), fit.over[-1]) == (0, 9, 5, "p4 (11)")


def parts(limits):
    tally = PartTally("think")
    for expert, prompt in ((5, 105), (50, 152), (70, 171), (8, None)):
        tally.add(expert, prompt)
    lacking = RowFault(5, "column 'k'", "no </think>", "give it", "expert_solution")
    other = dataclasses.replace(lacking, about="question")
    tally.add_absent(BadRow(5, (lacking,)))
    tally.add_absent(BadRow(6, (other,)))
    return tally.fit(limits)


def test_a_part_against_the_limits_and_the_largest_budget_that_lets_it_fit():
    found = parts(Limits(prompt=155, completion=50))
    assert (found.part, found.without, found.tokens.count) == ("think", 1, 4)
    assert found.prompt_fit == Fit(155, 2, 3)
    assert found.completion_fit == Fit(50, 2, 4)  # 5 and 8, each with an end token; not 50
    # At most 102 tokens stand around k (152 - 50), so a k of 155 - 102 always leaves P within it.
    assert found.budget_fit == Fit(53, 3, 4)


def test_a_budget_that_is_set_takes_the_place_of_the_largest():
    assert parts(Limits(prompt=155, expert=7)).budget_fit == Fit(7, 1, 4)
    assert parts(Limits()).budget_fit is None
    assert parts(Limits(prompt=102)).budget_fit is None  # the question alone fills it


def test_verdicts_by_task_kind():
    inspector = DataInspector()
    for number, verdict in enumerate(
        [
            Verdict("scored", 1.0),
            Verdict("scored", 0.5),
            Verdict("scored", 0.4, "3", "differs"),
            Verdict("timeout", None),
            Verdict("unscorable", None, detail="no gold"),
        ]
    ):
        inspector.add_verdict("math", f"p{number}", verdict, "math", 0.5)
    inspector.add_not_judged("choice", "no verifier")
    report = inspector.report()
    assert report.expert_verdicts == {
        "math": ExpertVerdicts(
            "math", 5, 2, 1, 2,
            ("p2: rejected: differs", "p3: unscorable: timeout", "p4: unscorable: no gold"),
        )
    }  # fmt: skip
    assert report.not_judged == {"choice": "no verifier"}
