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
GOLDEN_OF_KINDS_AND_STYLES = """
math-solve-think-v1 4fddbff634a218414647bdc3938734f88f436827ed90d07ded95b74474c35322
math-rephrase-think-v1 55aeae8c92b5325bd82d1f7dd8de7d78117919f0e384826c6738937369c4ed37
math-rationale-think-v1 0c5484917b9e0ddfc8d2cd49ad41b937faac8218c4526583de8245f5da9296e8
math-refine-think-v1 e278e67e9277d91619474037345a86aaed4894dd562568b57a8c11995815603b
math-refine_alone-think-v1 36238540865ed54ac4c2ca784549f9c4b8df77770326c7863d767085d4c7676b
choice-solve-v1 c780a8e32136af02410b7de0c8134e84d2e3cd55b5d6860a6be79b0f4283ec07
choice-rephrase-v1 74050497275354c22dc56bc871513c2393c5aa2539ea09fec59b94910d7a9a55
choice-rationale-v1 d1b4ab89027e6e6514c1ec9ef16c28ea7b2d900db96216cd0a9ce3c83478f69b
choice-refine-v1 c4baa760e7fe5e679651f27d299e1f1f8eb71364ddeb19e82c1aafa42ae2a186
choice-refine_alone-v1 4e43ebf374742d3dae26dcbd561568dc68629af38a2e7cafec02de340cc141a4
choice-solve-think-v1 aec5bb8f44ecc0a3156f0585449f17f7976a865c9db738f48bd6a940284562ef
choice-rephrase-think-v1 a2f1a5c8e5a36bc1922427ed567a0dac6b24cea25ff580cef7e08f4912600f5f
choice-rationale-think-v1 a7a8a60998890560afd46b07c9583401dc6ba8316bc3b31a495f89789830bb15
choice-refine-think-v1 34085d63cfa18e4834808ae7555d32069b2e393350803f1dbbbeb7c76dac06fe
choice-refine_alone-think-v1 8deeb3c78f0ed6f6d5e90efae16d36e359984d0ebf6590fafd5b9ab3c22432a3
finance-solve-v1 1954e7de7d89f9945235112302ee914ff3ae85be60dfd38491e40b455bcf1bbd
finance-rephrase-v1 5f0a65d72bd2ef6b8d1c86ac9a0fb4a5d8f7647c8aa9f50d591570bd9e069da2
finance-rationale-v1 1b37750fd3341d8f3f9a0c01d79cf1ed14aebb13b8a9b79776d925842b0bd5ee
finance-refine-v1 bce750c0e271f18f04712bcef2ae50c527df9629069f64a28881bfaa15b86e18
finance-refine_alone-v1 fd4eb890072f795da6a534a66dae1d878a1e24dd46ef9fab7577987a676dc7c5
finance-solve-think-v1 8244857089ab65b7db6554d434822609bca3c59ad0da7466a547617f9948bdfa
finance-rephrase-think-v1 892ce926715cd6520e071ce564a2e9fc74858f91ca2944b80c61c984d1f5611b
finance-rationale-think-v1 8c85dc5d88ec57f7331f6681da303351f3a39b8804ab76211e75fcca2a44503f
finance-refine-think-v1 758e095c3de25f2723927e3aaefd6d2da4aa09cb12ffa825d58d26f2fdb053c9
finance-refine_alone-think-v1 0749973114505eb4e584ffcea5f7b454e20f7dacf50966ca6d290149d224a764
text-solve-v1 1841eb77deb89f329521be9f6b71dc8d60279ffb37e973aa3208fe60a788209e
text-rephrase-v1 89960d642859e07197ab18f745de706aa380825c07782e870bcb7e825d4d02ab
text-rationale-v1 d60216e30a33a654765c398935acec0c024e1cb82525aee7736d4bd51b10c189
text-refine-v1 a407f0f06b095bd1b3670c6ad0847ef5ba68053e6ca66d4384099644e288a5ba
text-refine_alone-v1 dd6bb188c02bc975c382b385e7d2c78ca44ad477ef05096d8e2b1271edbacc06
text-solve-think-v1 3f32e9d88045179f57deb14c4cf190e5969554e384b867ab75b320c81006bacd
text-rephrase-think-v1 8b29f7740318e4d4618331900d36aeaf6e7c2a6bbcbdab239d636e39ae27126a
text-rationale-think-v1 1dea16d8932ee497677b6be82d70bf94ac553de696c96dfd34bca1e0d7389216
text-refine-think-v1 fa0c1bbc63445da8012865a3562b780380e712746479d20b52d61d4ecd1265a7
text-refine_alone-think-v1 9e468fafc4377fb0f16b8c0d87e27cde726663fb9a91dd238a19df9905803d60
"""
GOLDEN |= dict(line.split() for line in GOLDEN_OF_KINDS_AND_STYLES.strip().splitlines())


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
    kind, purpose, *style, version = name.split("-")
    assert template.purpose == purpose
    assert template.style == (style[0] if style else "plain")
    assert ("<think>" in template.text) == (style == ["think"])
    assert version[0] == "v"
    assert default_template(kind, purpose, template.style).template_id == name
    assert template.template_id == name


def test_every_kind_has_every_purpose_in_both_styles():
    kinds, styles = ("math", "choice", "finance", "text"), ("plain", "think")
    purposes = ("solve", "rephrase", "rationale", "refine", "refine_alone")
    ids = {
        default_template(kind, purpose, style).template_id
        for kind in kinds
        for purpose in purposes
        for style in styles
    }
    assert len(ids) == 4 * 5 * 2
    assert default_template("choice", "solve") == default_template("choice", "solve", "plain")


@pytest.mark.parametrize("kind", ["math", "choice", "finance"])
def test_answers_that_a_program_compares_go_into_a_box(kind):
    for name in (name for name in GOLDEN if name.startswith(f"{kind}-")):
        text = get_template(name).text
        assert text.count(r"\boxed{}") == 1
        if "-think-" in name:
            # The box comes after the thinking, or a verifier would read a try as the answer.
            assert text.index("</think>") < text.index(r"\boxed{}")


def test_free_text_has_no_box_and_choices_ask_for_the_letter_alone():
    texts = {name: get_template(name).text for name in GOLDEN}
    assert not any("boxed" in text for name, text in texts.items() if name.startswith("text-"))
    for name, text in texts.items():
        if name.startswith("choice-"):
            assert (
                r"the letter of the option that you choose, and nothing else, within \boxed{}"
                in text
            )


def test_what_is_shown_is_not_to_be_spoken_of_in_thinking_either():
    for name in GOLDEN:
        kind, purpose, *style, _ = name.split("-")
        if kind == "lab" or purpose == "solve":
            continue
        text = get_template(name).text
        assert "ever mention" in text
        assert ("This holds inside <think> too" in text) == (style == ["think"])
        assert not any(place in text for place in ("{noun}", "{a_noun}", "{verb}", "{explain}"))


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
    with pytest.raises(PromptError, match="'math-solve-v0'; required: a published id, KIND-PUR"):
        get_template("math-solve-v0")
    with pytest.raises(PromptError, match="kind 'law'; kinds with one are choice, finance, lab"):
        default_template("law", "solve")
    with pytest.raises(
        PromptError, match=r"style 'think' for task kind 'lab'; kinds .* are choice"
    ):
        default_template("lab", "solve", "think")


def test_a_text_of_ones_own_stands_in_place_of_an_id():
    text = "{question}\n\nSeen: {expert_solution}\nUse \\boxed{}.\n"
    own = get_template(text, "rephrase")
    assert (own.text, own.purpose) == (text[:-1], "rephrase")
    assert own.template_id.startswith("own-rephrase-")
    assert get_template(text.rstrip()) == own
    assert get_template(text + "!").template_id != own.template_id
    assert get_template("Say: {question}", "solve").template_id.startswith("own-solve-")


@pytest.mark.parametrize(
    ("text", "purpose", "said"),
    [
        ("{question} {expert_solution}", "solve", r"for 'rephrase' by what it shows, and 'solve'"),
        ("{question}", "rephrase", r"shows \{question\}, \{expert_solution\}"),
        ("math-solve-v1", "rephrase", "is for 'solve'"),
        ("{question} {expert}", "rephrase", r"has the places \{expert\}"),
        ("{question} {question}", "solve", "must have"),
        ("template.txt", "solve", "or a text of your own"),
    ],
)
def test_a_text_that_asks_for_something_else_is_refused(text, purpose, said):
    with pytest.raises(PromptError, match=said):
        get_template(text, purpose)
