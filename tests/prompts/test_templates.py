"""Templates: published texts never change, and only what is meant gets in."""

import pytest

from rephrase_rl.errors import PromptError
from rephrase_rl.prompts import PromptTemplate, default_template, get_template, template_ids

# Made with PromptTemplate.sha256 when the id was published. A changed text needs a NEW id; the
# line of an old id stays as it is, since recorded runs name it.
GOLDEN = {
    "math-solve-v1": "15857ef2a7038d943feedabc001e9f055782abb6ae92929f124f3d4bf8d254f0",
    "math-rephrase-v1": "6c479e813b33ee805823901888d42142be94d5014830f309c3ed8873a52381d3",
    "math-rationale-v1": "45b0b6af98647aba5b28109ca294dbc83d56249b33f39bcd1a0fd17f7d9c6cfc",
    "math-refine-v1": "5466a30d3e4e7a159aff3d47489f681320c7310665e4496917a1f50630f657d3",
    "math-refine_alone-v1": "c8c7973387eceebebcb271c89c59d14d0014c6dff4905373a4510d60390910f7",
    "lab-solve-v1": "f6cea596512a4580022788eb95a3a82694b1456179c2e1376c2259766557ac0e",
    "lab-rephrase-v1": "eb3204a388a7c0717c6453c02206843acf5d35955d3b440190ac3f9b46cb4298",
    "lab-rationale-v1": "968f679b78accfd2e9c79a2b0af65c8569ac89fd1f42e2b348e6a62716c075ed",
    "lab-refine-v1": "d50811a5758a425305dfe3c0e631a2577e04ae8667a4f4faa801219a1977f358",
    "lab-refine_alone-v1": "1547c27cc78b21d6695ad109350df98a98a9e96e4fe7945b25ceba85d10e32ea",
}


def test_published_templates_never_change():
    assert {name: get_template(name).sha256 for name in template_ids()} == GOLDEN


def test_hash_covers_text_and_system():
    base = PromptTemplate("a-v1", "{question}")
    assert base.sha256 != PromptTemplate("a-v1", "{question} ").sha256
    assert base.sha256 != PromptTemplate("a-v1", "{question}", system="s").sha256
    assert base.sha256 == PromptTemplate("b-v1", "{question}").sha256


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_ids_say_what_the_text_does(name):
    template = get_template(name)
    kind, purpose, version = name.split("-")
    assert template.purpose == purpose
    assert version[0] == "v"
    assert default_template(kind, purpose).template_id == name
    assert template.template_id == name


def test_the_mathematics_templates_ask_for_a_box():
    for name in (name for name in GOLDEN if name.startswith("math-")):
        assert r"\boxed{}" in get_template(name).text


def test_the_labs_texts():
    assert get_template("lab-solve-v1").text == "{question}"
    assert get_template("lab-rephrase-v1").text == "<rewrite>{question}<expert>{expert_solution}"


@pytest.mark.parametrize(
    ("template_id", "text", "system", "message"),
    [
        ("a-v1", "{question} {answer}", None, "places {answer}"),
        ("a-v1", "no place", None, "found none"),
        ("a-v1", "{question} {question}", None, "once"),
        ("a-v1", "{expert_solution}", None, "once"),
        ("a-v1", "{question}{expert_solution}{expert_solution}", None, "at most once"),
        ("a-v1", "{question}", "{expert_solution}", "system turn"),
        ("a-solve-v1", "{question}{expert_solution}", None, "for solving"),
        ("a-solve-v1", "{question}{attempt}", None, "for solving"),
        ("a-v1", "{question}{attempt}{reference_answer}", None, "alone"),
    ],
)
def test_faulty_templates(template_id, text, system, message):
    with pytest.raises(PromptError, match=message):
        PromptTemplate(template_id, text, system)


def test_unknown_names():
    with pytest.raises(PromptError, match="'math-solve-v0'; required: one of math-solve-v1"):
        get_template("math-solve-v0")
    with pytest.raises(PromptError, match="task kind 'finance'; kinds with one are lab, math"):
        default_template("finance", "solve")
