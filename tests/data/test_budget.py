"""A token budget for experts: what fits, what is cut, and that nothing is lost unseen."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.data import ExpertBudget, fit_expert
from rephrase_rl.records import Problem

TURN = ({"role": "user", "content": "q"},)
TEXT = "one two\n\nthree four\n \nfive"  # 2, 2 and 1 words


def words(text):
    return len(text.split())


def fit(text, max_tokens, over):
    problem = Problem("p", TURN, "1", expert_solution=text, metadata={"a": 1})
    return fit_expert(problem, ExpertBudget(max_tokens, over), words)


@pytest.mark.parametrize("over", ["refuse", "cut", "leave_out"])
def test_what_fits_stays(over):
    fitted = fit(TEXT, 5, over)
    assert (fitted.fate, fitted.num_tokens) == ("fits", 5)
    assert fitted.problem.expert_solution == TEXT
    assert fitted.problem.metadata == {"a": 1}


def test_no_expert_fits_any_budget():
    assert fit(None, 1, "refuse").fate == "fits"


def test_refuse_keeps_the_text_for_whoever_raises():
    fitted = fit(TEXT, 4, "refuse")
    assert (fitted.fate, fitted.num_tokens) == ("refused", 5)
    assert fitted.problem.expert_solution == TEXT


@pytest.mark.parametrize(
    ("max_tokens", "kept"), [(4, "one two\n\nthree four"), (3, "one two"), (2, "one two")]
)
def test_cut_keeps_whole_paragraphs_and_says_so(max_tokens, kept):
    fitted = fit(TEXT, max_tokens, "cut")
    assert (fitted.fate, fitted.problem.expert_solution) == ("cut", kept)
    assert fitted.problem.metadata == {
        "a": 1,
        "expert_budget": {"fate": "cut", "tokens": 5, "max_tokens": max_tokens},
    }


def test_a_first_paragraph_that_is_too_long_is_refused():
    assert fit(TEXT, 1, "cut").fate == "refused"
    assert fit("\n\n" + TEXT, 1, "cut").fate == "refused"


def test_leave_out_trains_without_the_expert_and_says_so():
    fitted = fit(TEXT, 4, "leave_out")
    assert (fitted.fate, fitted.problem.expert_solution) == ("left_out", None)
    assert fitted.problem.metadata["expert_budget"]["fate"] == "left_out"


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 40))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_the_longest_fitting_run_of_paragraphs_is_found(lengths, max_tokens):
    paragraphs = [" ".join(["w"] * length) for length in lengths]
    fitted = fit("\n\n".join(paragraphs), max_tokens, "cut")
    best = max(n for n in range(len(lengths) + 1) if sum(lengths[:n]) <= max_tokens)
    if best == 0:
        assert fitted.fate == "refused"
    else:
        assert fitted.problem.expert_solution == "\n\n".join(paragraphs[:best])
