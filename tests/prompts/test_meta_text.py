"""Removal of meta text: a table of what models write, and properties."""

import re
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rephrase_rl.prompts import meta_patterns, remove_meta_text

TOO_SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]

# (id, text, cleaned text)
REMOVED = [
    ("lead_colon", "Here is my rewritten solution:\n\n2 + 2 = 4.", "2 + 2 = 4."),
    ("lead_same_line", "Here is my rewritten solution: 2 + 2 = 4.", "2 + 2 = 4."),
    ("lead_sure", "Sure! Here's the rephrased solution:\nFirst, add.", "First, add."),
    ("lead_own_words", "Here is the solution in my own words:\n\nFirst, add.", "First, add."),
    ("lead_certainly", "Certainly, here is a rewritten version of the solution:\nAdd.", "Add."),
    ("lead_let_me", "Let me rephrase the solution. We add 2 and 3.", "We add 2 and 3."),
    ("lead_i_will", "I will now solve it in my own words.\n\nWe add.", "We add."),
    ("lead_okay_let", "Okay, let me explain this in my own words. Add 2.", "Add 2."),
    (
        "lead_understand",
        "First, let's understand the expert's solution.\n\nTom has 3.",
        "Tom has 3.",
    ),
    ("lead_i_have_read", "I have read the reference solution. Tom has 3.", "Tom has 3."),
    ("lead_based_on", "Based on the reference solution, we add 2 and 3.", "We add 2 and 3."),
    ("lead_based_on_given", "Based on the given solution, we add 2 and 3.", "We add 2 and 3."),
    ("lead_based_on_provided", "Based on the solution provided, we add.", "We add."),
    ("lead_based_on_above", "Based on the solution provided above, we add.", "We add."),
    ("lead_according", "According to the expert solution, Tom has 3.", "Tom has 3."),
    ("lead_following", "Following the expert's approach, let x be the age.", "Let x be the age."),
    ("lead_as_shown", "As shown in the reference solution, she pays $5.", "She pays $5."),
    ("lead_as_expert", "As the expert explains, the sum is 5.", "The sum is 5."),
    ("lead_as_solution", "As the reference solution states, x = 5.", "x = 5."),
    ("lead_using", "Using the teacher's method, we get 5.", "We get 5."),
    ("lead_after_reading", "After reading the provided solution, I add 2.", "I add 2."),
    ("lead_in_own_words", "In my own words: the sum is 5.", "The sum is 5."),
    ("lead_put_in_own_words", "To put it in my own words, the sum is 5.", "The sum is 5."),
    ("lead_rephrasing", "Rephrasing the expert solution: add 2.", "Add 2."),
    ("symbol_stays_small", "From the reference solution, x = 5.", "x = 5."),
    ("function_stays_small", "From the reference solution, sin x = 1.", "sin x = 1."),
    ("bold_frame", "**Based on the reference solution:** we add 2.", "We add 2."),
    ("bold_frame_comma", "**In my own words**, we add 2.", "We add 2."),
    ("mid_frame", "Tom has 3. Based on the expert's solution, Ann has 5.", "Tom has 3. Ann has 5."),
    ("list_frame", "1. Based on the reference solution, add 2.\n2. Stop.", "1. Add 2.\n2. Stop."),
    ("heading", "### Rewritten Solution\n\nAdd 2.", "Add 2."),
    ("heading_bold", "**Solution in my own words:**\n\nAdd 2.", "Add 2."),
    ("heading_rephrased", "## My rephrased solution:\nAdd 2.", "Add 2."),
    (
        "heading_mid",
        "Add 2.\n\n### Understanding the expert's solution\n\nAdd 3.",
        "Add 2.\n\nAdd 3.",
    ),
    ("trail_matches", "So \\boxed{5}.\n\nThis matches the reference solution.", "So \\boxed{5}."),
    ("trail_same_line", "So \\boxed{5}. This agrees with the expert's answer.", "So \\boxed{5}."),
    ("trail_result", "It is 5. The result is consistent with the reference answer.", "It is 5."),
    ("trail_note", "It is 5.\n\nNote: This is a rephrased solution.", "It is 5."),
    (
        "trail_note_bracket",
        "It is 5.\n\n(This was the expert's solution in my own words.)",
        "It is 5.",
    ),
    ("trail_hope", "It is 5. I hope this rewritten solution helps!", "It is 5."),
    ("trail_followed", "It is 5. I followed the expert's reasoning.", "It is 5."),
    ("trail_own", "It is 5.\nThis is my explanation in my own words.", "It is 5."),
    ("clause_which", "So it is 5, which matches the reference answer.", "So it is 5."),
    ("clause_as_shown", "We add 2, as shown in the reference solution.", "We add 2."),
    (
        "clause_mid",
        "We add 2, as explained in the expert solution, and get 5.",
        "We add 2 and get 5.",
    ),
    ("bracket", "We add 2 (as in the reference solution) and get 5.", "We add 2 and get 5."),
    ("middle_remark", "Add 2. Let me rephrase the solution. Add 3.", "Add 2. Add 3."),
    ("two_lines", "Sure!\nHere is the rewritten solution:\n\nAdd.", "Add."),
    (
        "several",
        "Here is my rewritten solution:\n\nBased on the expert's solution, we add 2 and 3.\n"
        "So \\boxed{5}.\n\nThis matches the reference solution.",
        "We add 2 and 3.\nSo \\boxed{5}.",
    ),
    ("only_meta", "Here is my rewritten solution:", ""),
    ("curly_apostrophe", "Following the expert’s approach, we add.", "We add."),
    ("lead_text", "Here is the rewritten text:\n\nAdd 2.", "Add 2."),
    ("lead_proof", "Here is the restated proof: add 2.", "add 2."),
    ("heading_version", "**Rewritten version:**\n\nAdd 2.", "Add 2."),
    ("lead_reasoning", "Based on the given reasoning, we add 2.", "We add 2."),
    ("upper_case", "BASED ON THE REFERENCE SOLUTION, we add.", "We add."),
]

# (id, text, leftover phrase): cutting would damage the reasoning.
LEFTOVER = [
    ("states_result", "First. The expert solution shows that x = 2. So 4.", "The expert solution"),
    ("uses_theorem", "Add. The expert's method relies on symmetry. So 4.", "The expert's method"),
    ("expert_says", "Here the expert explains that x = 2.", "the expert explains"),
    ("figures_in_remark", "This matches the reference answer of 42.", "the reference answer"),
    ("object", "We compare 5 with the reference answer.", "the reference answer"),
    ("given_says", "So the given solution states that x = 2.", "given solution states"),
    ("provided_by", "The solution provided by the expert gives x = 2.", "The solution provided by"),
    ("own_words_inside", "Thus, x in my own words is 5.", "in my own words"),
    ("box_in_remark", "Here is my rewritten solution \\boxed{5}.", "rewritten solution"),
    ("someone_else", "With x = 2 from someone else's solution.", "someone else's solution"),
]

SURVIVES = [
    "In the reference frame of the train, the ball moves at 3 m/s.",
    "The reference angle is 30 degrees.",
    "For reference, a mile has 5280 feet.",
    "According to the problem, Tom has 5 apples.",
    "According to the given information, Ann is 7.",
    "Based on the given information, we set up an equation.",
    "The solution of the equation is x = 3.",
    "The solution set is {1, 2}.",
    "Five expert players and three beginners meet.",
    "The expert climber needs 3 hours.",
    "An expert can type 80 words per minute, so the expert types 160 in two.",
    "The teacher has 24 students; the teacher's desk is 2 m long.",
    "The teacher gave each student an answer sheet.",
    "The equation can be rewritten as x^2 = 4.",
    "We rewrite the fraction as 3/4.",
    "Rewriting the expression, we get 2x.",
    "Let me rewrite the equation: x = 5 - 2.",
    "The problem can be rephrased as counting paths.",
    "The original solution contains 20% salt and 80% water.",
    "From the given solution of 30 ml acid, 10 ml are removed.",
    "The above equation gives x = 2.",
    "Using the given values, we find 7.",
    "In other words, half of them left.",
    "She is on her own: her own car costs $5.",
    "Here is the solution:\n\nLet x be the age.",
    "Let me solve this step by step.",
    "Sure! Let's think about it.",
    "To check our answer, substitute x = 2.",
    "This matches the condition of the problem.",
    "Which matches the given sum, so the answer is \\boxed{5}.",
    "The final answer is \\boxed{\\text{reference}}.",
    "  Indented text.  \n\n\n  And trailing blanks.   \n",
    "The solution given by the quadratic formula is x = 1.",
    "They followed the recipe: 3 cups of flour.",
    "5 cm + 3 cm = 8 cm, 20% of 50 is 10.",
    "# Solution\n\n**Step 1:** Add.\n\n- a\n- b\n",
    "The expert panel scored 9.5 (the expert panel has 5 members).",
    "A reference book costs $12.",
    "",
    "\n",
]

# (id, thinking, leftover phrase): thinking that speaks of what was shown is left over, whole.
THOUGHTS = [
    ("given_solution", "The given solution uses symmetry. So x = 2.", "The given solution"),
    ("provided", "Let me follow the provided solution here.", "the provided solution"),
    ("reference", "Per the reference answer, x = 2.", "the reference answer"),
    ("expert", "The expert adds 2 first, as the expert says.", "the expert says"),
    ("frame", "Based on the reference solution, we add 2 and 3.", "the reference solution"),
    ("remark", "Let me rephrase the solution. We add.", "rephrase the solution"),
    ("own_words", "I have to say it in my own words. So 5.", "in my own words"),
    ("this_solution", "This solution starts by doubling. Then 5.", "This solution starts by"),
    ("says", "Hmm, the solution says 12, so fine.", "the solution says"),
    ("that_was_given", "From the solution that was given, x = 2.", "the solution that was given"),
    ("described_in", "Follow the steps described in the solution.", "steps described in the"),
    ("i_was_given", "The answer I was given is 5.", "The answer I was given"),
    (
        "we_are_given",
        "We are given a correct solution. Read it.",
        "We are given a correct solution",
    ),
    ("i_was_shown", "I was shown the answer: B.", "I was shown the answer"),
    ("known_to_be", "The answer is known to be 7.", "The answer is known to be"),
    ("i_know", "I know that the answer should be 7.", "I know that the answer"),
    ("expected", "Does it match the expected answer?", "the expected answer"),
    ("without", "Solve it without mentioning the solution.", "without mentioning the solution"),
    ("must_not", "I must not mention that I saw it.", "must not mention that"),
    ("shouldnt", "I shouldn't reveal the answer.", "shouldn't reveal the answer"),
    ("as_if", "Write as if I had found it.", "as if I had found"),
    ("pretend", "Pretend that I haven't seen it.", "Pretend that I haven't seen"),
    ("user_gave", "The user gave me a worked solution.", "The user gave me a worked solution"),
    ("user_wants", "The user wants me to rewrite it.", "The user wants me to rewrite"),
    ("answer_key", "Check with the answer key: C.", "the answer key"),
    ("attempt", "The attempt above forgets the tax.", "The attempt above"),
    ("failed_attempt", "In the failed attempt, 2 was lost.", "the failed attempt"),
    ("attempt_wrong", "The attempt went wrong at 3.", "The attempt went"),
    ("heading", "## Understanding the expert's solution\nAdd.", "Understanding the expert"),
    ("lines", "Add 2.\nNow the given explanation\nhelps.", "the given explanation"),
]

HONEST_THOUGHTS = [
    "Wait, that is wrong. Let me try again: 2 + 3 = 5.",
    "My first attempt gives 7, which cannot be. The second attempt: 5.",
    "We are given that x = 2, and the given information says y = 3.",
    "The given equation has two solutions; the solution is x = 3.",
    "From the given solution of 30 ml acid, 10 ml are removed.",
    "The given solution contains 20 g of salt; the shown solution is heated.",
    "The provided answer choices are A to E; I pick the correct answer, B.",
    "The answer must be positive.",
    "The solution of the problem is short: the answer is 12.",
    "Let me rewrite the equation as x = 5 - 2 and restate the problem.",
    "As if by magic, the terms cancel. Suppose that I had 3 more.",
    "The user asks how many apples are left.",
    "The expert climber needs 3 hours, the teacher has 24 students.",
    "The reference frame moves; the reference angle is 30 degrees.",
    "I should check the answer: 3 * 4 = 12, as expected.",
    "The answer is 5. So the final answer is 5.",
    "I shouldn't forget the sign.",
    "The solution set is {1, 2}. This solution works, that one does not satisfy x > 0.",
]

LAB = [
    "7+5=2-3=9+2=1#291",
    "CuF|JvD|BuC#291",
    "5+7=2;2-3=9&9+2=1#291",
    "<rewrite>7+5-3+2=<expert>CuF|JvD|BuC#291",
    "#edcba",
    "7+5-3+2=",
]


@pytest.mark.parametrize(
    ("text", "expected"), [c[1:] for c in REMOVED], ids=[c[0] for c in REMOVED]
)
def test_removed(text, expected):
    cleaned = remove_meta_text(text)
    assert cleaned.text == expected
    assert cleaned.removed
    assert cleaned.leftover == ()


@pytest.mark.parametrize(
    ("text", "phrase"), [c[1:] for c in LEFTOVER], ids=[c[0] for c in LEFTOVER]
)
def test_left_over(text, phrase):
    cleaned = remove_meta_text(text)
    assert cleaned.text == text
    assert cleaned.removed == ()
    assert len(cleaned.leftover) == 1
    assert phrase in cleaned.leftover[0]


@pytest.mark.parametrize("text", SURVIVES)
def test_survives(text):
    cleaned = remove_meta_text(text)
    assert (cleaned.text, cleaned.removed, cleaned.leftover) == (text, (), ())


@pytest.mark.parametrize("text", LAB)
def test_the_labs_texts_survive(text):
    assert remove_meta_text(text).text == text


@pytest.mark.parametrize(
    ("thinking", "phrase"), [c[1:] for c in THOUGHTS], ids=[c[0] for c in THOUGHTS]
)
def test_thinking_about_what_was_shown_is_left_over(thinking, phrase):
    text = f"<think>{thinking}</think>\nThe sum is \\boxed{{5}}."
    cleaned = remove_meta_text(text)
    assert (cleaned.text, cleaned.removed) == (text, ())
    assert any(phrase in found for found in cleaned.leftover)


@pytest.mark.parametrize("thinking", HONEST_THOUGHTS)
def test_honest_thinking_survives(thinking):
    text = f"<think>\n{thinking}\n</think>\n\nThe sum is \\boxed{{5}}."
    cleaned = remove_meta_text(text)
    assert (cleaned.text, cleaned.removed, cleaned.leftover) == (text, (), ())


@pytest.mark.parametrize("text", SURVIVES)
def test_what_survives_in_an_answer_survives_in_thinking(text):
    assert remove_meta_text(f"<think>{text}</think>").leftover == ()


def test_the_answer_around_thinking_is_cleaned_as_ever():
    text = (
        "Here is my rewritten solution:\n\n<think>We add 2 and 3.</think>\n\n"
        "Based on the expert's solution, we add."
    )
    cleaned = remove_meta_text(text)
    assert cleaned.text == "<think>We add 2 and 3.</think>\n\nWe add."
    assert cleaned.removed == ("Here is my rewritten solution:", "Based on the expert's solution,")
    assert cleaned.leftover == ()


@pytest.mark.parametrize(
    "text",
    [
        "<think>The solution says 5.",  # cut off
        "The solution says 5.</think>5",  # opened by the chat template
        "<think>a</think>b<think>The solution says 5.</think>c",
        "<think>a<think>The solution says 5.</think>",
        "a</think>b<think>The solution says 5.</think>",
    ],
)
def test_thinking_is_found_wherever_its_tags_are(text):
    assert remove_meta_text(text).leftover == ("The solution says",)
    assert remove_meta_text(text).text == text


def test_wording_that_only_thinking_must_not_use_is_free_in_answers():
    text = "<think>Add.</think>Checked: the solution says what the known answer is in a test."
    assert remove_meta_text(text).leftover == ()


def test_the_table_is_a_table():
    assert len(REMOVED) + len(LEFTOVER) + len(SURVIVES) >= 80
    assert len({case[0] for case in [*REMOVED, *LEFTOVER]}) == len(REMOVED) + len(LEFTOVER)


def test_what_is_cut_is_reported():
    text = "Here is my rewritten solution:\n\nBased on the expert's solution, we add."
    cleaned = remove_meta_text(text)
    assert cleaned.removed == ("Here is my rewritten solution:", "Based on the expert's solution,")


def test_a_box_is_never_cut():
    for text in (
        "This is my rewritten solution: \\boxed{5}",
        "(see the expert solution \\boxed{5})",
    ):
        assert "\\boxed{5}" in remove_meta_text(text).text


PIECES = (
    [case[1] for case in [*REMOVED, *LEFTOVER, *THOUGHTS]]
    + SURVIVES
    + [" ", "\n", ". ", ", ", "\\boxed{5}", "<think>", "</think>"]
)


@given(st.lists(st.sampled_from(PIECES), max_size=6), st.sampled_from(["", " ", "\n", "\n\n"]))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_idempotent(pieces, joint):
    text = joint.join(pieces)
    once = remove_meta_text(text)
    twice = remove_meta_text(once.text)
    assert twice.text == once.text
    assert twice.removed == ()
    assert twice.leftover == once.leftover
    assert once.text.count("\\boxed{5}") == text.count("\\boxed{5}")


@pytest.mark.parametrize("name", ["MARKER", "HEADING", "FRAME", "ASIDE"])
def test_the_cheap_test_misses_no_phrase(name):
    pattern = getattr(meta_patterns, name)

    @given(st.from_regex(pattern))
    @settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=TOO_SLOW)
    def check(text):
        assert meta_patterns.may_match(text)
        # Bracketed remarks and clauses are looked for only where there is a marker.
        assert name != "ASIDE" or meta_patterns.MARKER.search(text)

    check()


@pytest.mark.parametrize("letter", sorted(set("".join(meta_patterns._TELLING)) - {" "}))
def test_the_cheap_test_knows_every_letter_that_patterns_take_for_another(letter):
    pattern = re.compile(letter, re.IGNORECASE)
    alike = [c for c in map(chr, range(0x3000)) if pattern.match(c)]
    assert {letter, letter.upper()} <= set(alike)
    for word in meta_patterns._TELLING:
        for other in alike:
            assert meta_patterns.may_match(word.replace(letter, other))


def test_common_words_alone_do_not_pass_the_cheap_test():
    text = "We are given 3 and want the sum. It is known that 3 + 4 = 7, or else 8."
    assert not meta_patterns.may_match(text)
    assert not meta_patterns.may_match("Adding up, the answer is \\boxed{7}.")
    assert meta_patterns.may_match(text + " The answer is 7.")


WORDS = (
    "the reference expert solution shows in my own words here is based on rewritten x = 2 , . : ( )"
)


@given(
    st.lists(
        st.sampled_from([*WORDS.split(), "\n", "**", "###", "<think>", "</think>"]), max_size=25
    )
)
@settings(derandomize=True, deadline=None, max_examples=300)
def test_idempotent_on_word_salad(words):
    once = remove_meta_text(" ".join(words))
    assert remove_meta_text(once.text).text == once.text


@given(st.text(alphabet="0123456789+-=#|;,.&!:~/uvABCDEFGHIJ", max_size=60))
@settings(derandomize=True, deadline=None)
def test_the_labs_alphabet_is_never_altered(text):
    assert remove_meta_text(text).text == text


@given(st.text(alphabet="abcdefghij \n.,:()*#0123456789", max_size=200))
@settings(derandomize=True, deadline=None)
def test_text_without_meta_phrases_is_never_altered(text):
    assert remove_meta_text(text).text == text


@pytest.mark.parametrize(
    "piece",
    [
        "solution ",
        "the expert ",
        "(the reference ",
        "in my own ",
        "a. ",
        "\n",
        "as shown in ",
        "the user gave ",
        "the ",
        "<think>",
        "</think>",
    ],
)
@pytest.mark.parametrize("opening", ["", "<think>"])
def test_time_is_bounded_on_long_text(piece, opening):
    text = opening + "solution " + piece * (100_000 // len(piece))
    started = time.process_time()
    remove_meta_text(text)
    assert time.process_time() - started < 5.0
