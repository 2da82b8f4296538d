"""Filling of templates."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.errors import PromptError
from rephrase_rl.prompts import PromptTemplate, get_template, render_prompt, template_ids
from rephrase_rl.records import Problem

SOLVE = [name for name in template_ids() if "-solve-" in name]
REPHRASE = [name for name in template_ids() if "-rephrase-" in name]
ANY_TEXT = st.text(max_size=80)


def problem(question="What is 2+3?", expert="2+3=5, so 5.", before=()):
    messages = (*before, {"role": "user", "content": question})
    return Problem("p", messages, reference_answer="5", expert_solution=expert)


def test_solve_prompt():
    turns = render_prompt(problem(), get_template("math-solve-v1"))
    assert turns == (
        {
            "role": "user",
            "content": "What is 2+3?\n\n"
            r"Please reason step by step, and put your final answer within \boxed{}.",
        },
    )


def test_lab_prompts():
    item = problem("7+5-3+2=", "CuF|JvD|BuC#291")
    solve = render_prompt(item, get_template("lab-solve-v1"))
    rephrase = render_prompt(item, get_template("lab-rephrase-v1"))
    assert solve[-1]["content"] == "7+5-3+2="
    assert rephrase[-1]["content"] == "<rewrite>7+5-3+2=<expert>CuF|JvD|BuC#291"


def test_earlier_turns_stay_and_the_problem_is_not_changed():
    before = ({"role": "system", "content": "S"}, {"role": "user", "content": "hi"},
              {"role": "assistant", "content": "yes?"})  # fmt: skip
    item = problem(before=before)
    turns = render_prompt(item, PromptTemplate("t-v1", "<{question}>", system="other"))
    assert turns == (*before, {"role": "user", "content": "<What is 2+3?>"})
    assert item.question == "What is 2+3?"
    assert turns[0] is not before[0]


def test_the_templates_system_turn_is_used_where_there_is_none():
    template = PromptTemplate("t-v1", "{question}", system="T")
    before = ({"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?"})
    assert render_prompt(problem(before=before), template)[0] == {"role": "system", "content": "T"}
    assert len(render_prompt(problem(before=before), template)) == 4


def test_no_expert_text_no_rephrase_prompt():
    with pytest.raises(PromptError, match="problem 'p' has none"):
        render_prompt(problem(expert=None), get_template("math-rephrase-v1"))
    assert render_prompt(problem(expert=None), get_template("math-solve-v1"))


def test_order_of_the_places_is_free():
    template = PromptTemplate("t-v1", "{expert_solution}|{question}|{}")
    assert render_prompt(problem("Q", "K"), template)[-1]["content"] == "K|Q|{}"


@pytest.mark.parametrize("name", REPHRASE)
def test_names_of_places_in_the_texts_are_text(name):
    item = problem("{expert_solution} {0} %s {question} {{", "{question} {expert_solution} }")
    content = render_prompt(item, get_template(name))[-1]["content"]
    assert content.count("{expert_solution} {0} %s {question} {{") == 1
    assert content.count("{question} {expert_solution} }") == 1


@pytest.mark.parametrize("name", SOLVE)
@given(question=ANY_TEXT, expert=ANY_TEXT, system=ANY_TEXT)
@settings(derandomize=True, deadline=None)
def test_the_expert_text_never_occurs_in_a_solve_prompt(name, question, expert, system):
    secret = f"\x00secret\x00{expert}"
    before = ({"role": "system", "content": system},)
    for turn in render_prompt(problem(question, secret, before), get_template(name)):
        assert "\x00secret\x00" not in turn["content"]
    with_expert = render_prompt(problem(question, secret), get_template(name))
    assert with_expert == render_prompt(problem(question, None), get_template(name))


@pytest.mark.parametrize("name", REPHRASE)
@given(question=ANY_TEXT, expert=ANY_TEXT)
@settings(derandomize=True, deadline=None)
def test_question_and_expert_text_are_whole(name, question, expert):
    ended = f"{expert}\x00end"
    content = render_prompt(problem(question, ended), get_template(name))[-1]["content"]
    assert ended in content
    assert question in content
    rest = get_template(name).text.replace("{question}", "").replace("{expert_solution}", "")
    assert len(content) == len(rest) + len(question) + len(ended)


def test_a_very_long_expert_text_is_whole():
    expert = "step " * 100_000 + "the end"
    assert (
        expert
        in render_prompt(problem("Q", expert), get_template("math-rephrase-v1"))[-1]["content"]
    )
