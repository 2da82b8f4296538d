"""Finding the final box of a completion."""

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.rewards.boxed import before_open_box, boxed_answer, find_boxes

CASES = [
    ("one", r"so \boxed{5}.", "5"),
    ("nested_braces", r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    ("last_of_several", r"\boxed{1} is wrong, so \boxed{2}", "2"),
    ("joined_by_and", r"$\boxed{1}$ and $\boxed{2}$", "1, 2"),
    ("joined_by_comma", r"\boxed{1}, \boxed{2}, or \boxed{3}", "1, 2, 3"),
    ("joined_by_text_and", r"\boxed{1} \text{ and } \boxed{2}", "1, 2"),
    ("side_by_side", r"\boxed{1}\boxed{2}", "1, 2"),
    ("repeated", "$\\boxed{5}$\n\n$\\boxed{5}$", "5"),
    ("box_in_box", r"\boxed{\boxed{5}}", "5"),
    ("box_in_box_spaced", r"\boxed{ \fbox{5} }", "5"),
    ("box_inside_text", r"\boxed{x = \boxed{5}}", r"x = \boxed{5}"),
    ("two_boxes_in_box", r"\boxed{\boxed{1}\boxed{2}}", r"\boxed{1}\boxed{2}"),
    ("box_in_box_after_a_box", r"\boxed{1}. So \boxed{\boxed{5}}", "5"),
    ("blanks_inside", r"\boxed{ 5 }", "5"),
    ("fbox", r"\fbox{7}", "7"),
    ("space_before_brace", r"\boxed {7}", "7"),
    ("escaped_braces", r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    ("after_line_break", r"\\\boxed{3}", "3"),
    ("truncated", r"\boxed{12", None),
    ("truncated_after_complete", r"\boxed{1} no: \boxed{2", "1"),
    ("complete_inside_truncated", r"\boxed{a \boxed{7}", "7"),
    ("empty_box", r"\boxed{}", ""),
    ("no_box", "the answer is 5", None),
    ("escaped_backslash_is_no_box", r"\\boxed{5}", None),
    ("stray_brace", r"} \boxed{5}", "5"),
    ("empty_text", "", None),
]


@pytest.mark.parametrize(("text", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_boxed_answer(text, expected):
    assert boxed_answer(text) == expected


def test_the_text_before_an_open_box_keeps_the_complete_ones():
    text = r"\boxed{1} then \boxed{2} and "
    assert before_open_box(text + r"\boxed{3") == text
    assert before_open_box(text) == text


@given(st.text(alphabet=r"\boxed{} 1,", max_size=60))
@settings(derandomize=True, deadline=None)
def test_boxes_are_ordered_complete_and_disjoint(text):
    boxes = find_boxes(text)
    for box in boxes:
        assert text[box.start] == "\\"
        assert text[box.end - 1] == "}"
        assert box.start < box.content_start <= box.content_end < box.end
    assert all(a.end <= b.start for a, b in itertools.pairwise(boxes))


@given(st.text(alphabet="0123456789+-x", min_size=1).map(str.strip), st.text(alphabet="ab .,"))
@settings(derandomize=True, deadline=None)
def test_what_is_boxed_last_is_found(content, before):
    assert boxed_answer(rf"{before}\boxed{{9}}, {before}a: \boxed{{{content}}}.") == content


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{" * 15_000,
        r"\boxed{" * 12_000 + "}" * 12_000,
        r"\boxed{1}" * 11_000,
        r"\boxed{1}" + " " * 100_000 + r"x\boxed{2}",
        "{" * 100_000,
    ],
    ids=["open", "nested", "many", "gap", "braces"],
)
def test_time_is_linear_in_the_length(text):
    started = time.process_time()
    boxed_answer(text)
    # Linear work takes about 0.1 s here, quadratic work minutes.
    assert time.process_time() - started < 5.0
