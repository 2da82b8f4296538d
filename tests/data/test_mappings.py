"""Named mappings on small rows of each format, paths into nested columns, and wrong mappings."""

import dataclasses

import pytest

from rephrase_rl.data import ColumnMapping, get_mapping, mapping_names, problems_from_rows
from rephrase_rl.data.choices import MOST_OPTIONS
from rephrase_rl.data.columns import value_at, without_paths
from rephrase_rl.errors import DataError
from rephrase_rl.rewards.option_texts import LETTERS


def load(mapping, *rows):
    columns = get_mapping(mapping) if isinstance(mapping, str) else mapping
    return problems_from_rows(enumerate(rows, start=1), columns, source_name="s")


def one(mapping, row):
    (problem,) = load(mapping, row)
    return problem


def faults(mapping, *rows):
    with pytest.raises(DataError) as caught:
        load(mapping, *rows)
    return caught.value.faults


# --- paths -----------------------------------------------------------------------------------


def test_paths():
    row = {
        "a": {"b": [{"c": 1}, {"c": 2}]},
        "a.b": "named so",
        "x": {"0": "key", "-1": "minus"},
        "n": None,
    }
    found = {path: value_at(row, path) for path in (
        "a.b.1.c", "a.b.-1.c", "a.b.2.c", "a.b.c", "a.b", "x.0", "x.-1", "n.m", "no", "a.b.0.c.d",
    )}  # fmt: skip
    assert found == {
        "a.b.1.c": 2, "a.b.-1.c": 2, "a.b.2.c": None, "a.b.c": None, "a.b": "named so",
        "x.0": "key", "x.-1": "minus", "n.m": None, "no": None, "a.b.0.c.d": None,
    }  # fmt: skip


def test_what_is_left_of_a_column_used_in_part():
    value = {"truth": "5", "style": "rule", "deep": {"x": 1, "y": 2}}
    assert without_paths(value, ["truth", "deep.x"]) == {"style": "rule", "deep": {"y": 2}}
    assert without_paths({"truth": "5"}, ["truth"]) is None
    assert without_paths([{"content": "k"}], ["0.content"]) is None


# --- which mapping fits ----------------------------------------------------------------------

AIMED = "choose the mapping that fits (data.mapping): "


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({"problem": "q", "solution": "k", "answer": "2"}, "math"),
        ({"problem": "q", "solution": r"\boxed{2}"}, "math"),
        ({"problem": "q", "answer": "2"}, None),  # math's expert is not there
        ({"problem": "q", "solution": None, "answer": "2", "generations": []}, "openr1_math math"),
        ({"question": "q", "answer": "2"}, None),
        ({"question": "q", "answer": "So 2.\n#### 2"}, "gsm8k"),
        ({"question": "q\nA) 1\nB) 2", "answer": "B"}, "arc"),
        ({"question": "q\nA) 1\nB) 2", "answer": "2", "explanation": "k"}, "ecqa arc"),
        ({"question": "q", "options": ["1", "2"], "correct": "B", "rationale": "k"}, "aqua"),
        ({"question": "q", "options": ["1", "2"], "answer": "B"}, None),
        ({"prompt": "q", "solution": "2"}, "trl"),
        ({"prompt": [], "reward_model": {"ground_truth": "2"}}, "verl"),
        ({"question": "q", "answer": "2", "steps": ["1 + 1 = 2"]}, "mwp"),
        ({"text": "q"}, None),
    ],
)
def test_a_row_without_the_columns_is_told_of_the_mappings_that_have_them(row, names):
    told = "docs/data.md lists them"
    if names is not None:
        told = f"all columns of {' and of '.join(names.split())} are there"
    assert all(fault.endswith(f"{AIMED}{told}") for fault in faults("canonical", row))


def test_the_mapping_that_has_failed_is_not_named():
    (fault,) = faults("trl", {"prompt": None, "solution": "2"})
    assert fault.endswith(f"{AIMED}docs/data.md lists them")


def test_a_question_alone_is_told_of_the_mapping_too():
    (fault,) = faults("canonical", {"reference_answer": "2", "prompt": "q", "solution": "2"})
    assert "column 'question'" in fault
    assert fault.endswith(f"{AIMED}all columns of trl are there")


# --- formats ---------------------------------------------------------------------------------

SYSTEM = {"role": "system", "content": "Think in <think> tags."}
USER = {"role": "user", "content": "1+1?"}
VERL = {
    "data_source": "openr1",
    "prompt": [SYSTEM, USER],
    "target": [{"role": "assistant", "content": "<think>\nadd\n</think>\n\nIt is \\boxed{2}."}],
    "ability": "math",
    "reward_model": {"ground_truth": "2", "style": "rule"},
    "extra_info": {"index": 7, "split": "train"},
}


def test_verl():
    problem = one("verl", VERL)
    assert problem.messages == (SYSTEM, USER)
    assert problem.reference_answer == "2"
    assert problem.expert_solution == VERL["target"][0]["content"]
    assert problem.metadata == {
        "data_source": "openr1",
        "ability": "math",
        "reward_model": {"style": "rule"},
        "extra_info": {"index": 7, "split": "train"},
    }
    without = one("verl", {k: v for k, v in VERL.items() if k != "target"})
    assert without.expert_solution is None


def test_verl_ids_by_a_path():
    mapping = dataclasses.replace(get_mapping("verl"), problem_id="extra_info.index")
    problem = one(mapping, VERL)
    assert problem.problem_id == "7"
    assert problem.metadata["extra_info"] == {"split": "train"}


def test_a_missing_ground_truth_is_told_by_its_path():
    row = {**VERL, "reward_model": {"style": "rule"}}
    assert faults("verl", row)[0].startswith("row 1, column 'reward_model.ground_truth': nothing")
    del row["reward_model"]
    assert "no such column" in faults("verl", row)[0]


OPENR1 = {
    "problem": "1+1?",
    "solution": "Numina's",
    "answer": "2",
    "problem_type": "Algebra",
    "source": "olympiads",
    "uuid": "u-1",
    "is_reasoning_complete": [True, True],
    "generations": ["<think>a</think>3", "<think>b</think>2"],
    "correctness_math_verify": [False, True],
    "correctness_llama": None,
    "finish_reasons": None,
    "correctness_count": 1,
    "messages": [{"role": "user", "content": "1+1?"}],
}


def test_openr1_takes_the_first_generation_that_is_marked_correct():
    problem = one("openr1_math", OPENR1)
    assert (problem.problem_id, problem.question, problem.reference_answer) == ("u-1", "1+1?", "2")
    assert problem.expert_solution == "<think>b</think>2"
    assert set(problem.metadata) == {"problem_type", "source", "correctness_count"}
    none = {**OPENR1, "correctness_math_verify": [False, False]}
    llama = {**none, "correctness_llama": [True, False]}
    assert one("openr1_math", llama).expert_solution == "<think>a</think>3"
    assert one("openr1_math", none).expert_solution is None


def test_openr1_without_flags_is_a_fault():
    row = {**OPENR1, "correctness_math_verify": None}
    assert "column 'generations': no list of flags" in faults("openr1_math", row)[0]
    assert "not a list of texts" in faults("openr1_math", {**OPENR1, "generations": "k"})[0]


def test_super_gpqa():
    row = {
        "uuid": "u", "question": "Which?", "options": ["x", "y", "z"], "answer": "y",
        "answer_letter": "B", "discipline": "Science", "is_calculation": False,
    }  # fmt: skip
    problem = one("super_gpqa", row)
    assert problem.question == "Which?\n\nA. x\nB. y\nC. z"
    assert (problem.reference_answer, problem.task_kind) == ("B", "choice")
    assert problem.metadata["options"] == ["x", "y", "z"]
    assert (problem.metadata["answer"], problem.metadata["discipline"]) == ("y", "Science")


def test_mmlu_pro_has_ten_options_and_blank_experts():
    row = {
        "question_id": 70, "question": "Which?", "options": [f"o{i}" for i in range(10)],
        "answer": "J", "answer_index": 9, "cot_content": "", "category": "law", "src": "x",
    }  # fmt: skip
    problem = one("mmlu_pro", row)
    assert problem.question.endswith("\nI. o8\nJ. o9")
    assert (problem.problem_id, problem.reference_answer) == ("70", "J")
    assert problem.expert_solution is None
    assert one("mmlu_pro", {**row, "cot_content": "A: so J"}).expert_solution == "A: so J"


def test_math_takes_the_answer_from_its_column_or_from_the_box():
    row = {"problem": "p", "solution": r"First \boxed{1}, so \boxed{\frac{1}{2}}.", "level": "5"}
    assert one("math", row).reference_answer == r"\frac{1}{2}"
    assert one("math", row).expert_solution == row["solution"]
    assert one("math", {**row, "answer": "0.5", "question": "p"}).reference_answer == "0.5"
    assert one("math", {"problem": "p", "answer": 27.0}).reference_answer == "27.0"
    assert r"no \boxed{}" in faults("math", {**row, "solution": r"open \boxed{1"})[0]


def test_a_whole_number_that_no_float_holds_is_an_answer():
    row = {"question": "q", "reference_answer": 10**400}
    assert one("canonical", row).reference_answer == "1" + 400 * "0"


def test_several_boxes_side_by_side_are_one_answer_of_several_parts():
    """As the verifier reads a completion: whoever boxes -2 and 1 has not answered 1."""
    for end, answer in (
        (r"the answers are $\boxed{-2}$ and $\boxed{1}$.", "-2, 1"),
        (r"\boxed{3} \text{ or } \boxed{\frac{2}{5}}", r"3, \frac{2}{5}"),
        (r"\boxed{7}, so again \boxed{2}, \boxed{2}, \boxed{open", "2"),
        (r"\boxed{\boxed{5}}", "5"),
    ):
        assert one("math", {"problem": "p", "solution": end}).reference_answer == answer
    assert "nothing" in faults("math", {"problem": "p"})[0]


def test_aqua_takes_the_labels_off_its_options():
    # First row of AQuA's dev set (Apache-2.0, google-deepmind/AQuA), shortened.
    row = {
        "question": "Three birds are flying at 900 kilometers per hour. [1km = 0.6 miles]",
        "options": ["A)32400", "B)6000", "C)600", "D)60000", "E)10"],
        "rationale": "540/60 ... Correct answer - A",
        "correct": "A",
    }
    problem = one("aqua", row)
    assert problem.question.endswith("\n\nA. 32400\nB. 6000\nC. 600\nD. 60000\nE. 10")
    assert problem.metadata["options"][0] == "32400"
    assert problem.expert_solution == row["rationale"]


def test_ecqa_shows_repeated_options_once_and_ends_with_the_answer():
    row = {
        "question": "What first?\nOptions:\n- get money\n- have money\n- go\n- have money",
        "answer": "have money",
        "explanation": "Nothing is bought without.",
    }
    problem = one("ecqa", row)
    assert problem.question == "What first?\n\nA. get money\nB. have money\nC. go"
    assert problem.reference_answer == "B"
    assert problem.expert_solution == (
        "Nothing is bought without.\nThe final answer is \\boxed{B}."
    )


def test_arc_turns_numbers_into_letters_and_trusts_labels_over_texts():
    numbers = {"question": "Which?\n\n1) x\n2) y\n", "answer": "2"}
    assert one("arc", numbers).question == "Which?\n\nA. x\nB. y"
    assert one("arc", numbers).reference_answer == "B"
    letters = {"question": "Which?\n\nA) C\nB) O\nC) CO\n", "answer": "C"}
    assert one("arc", letters).reference_answer == "C"


def test_tatqa_shows_text_and_table_before_the_question_and_gives_the_scale():
    row = {
        "uid": "t", "question": "Change?", "answer": -12.6, "scale": "million",
        "derivation": "44.1-56.7", "paragraphs": "Sales by type.", "table": "a | b\n1 | 2",
        "answer_type": "arithmetic",
    }  # fmt: skip
    problem = one("tatqa", row)
    assert problem.question == "Sales by type.\n\na | b\n1 | 2\n\nChange?"
    assert (problem.reference_answer, problem.task_kind) == ("-12.6 million", "finance")
    assert problem.expert_solution == "44.1-56.7\nThe final answer is \\boxed{-12.6 million}."
    cells = [["a", 1], [None, 2]]
    percent = one("tatqa", {**row, "answer": "5", "scale": "percent", "table": cells})
    assert percent.reference_answer == "5%"
    assert percent.expert_solution.endswith(r"\boxed{5\%}.")  # a bare % would comment the brace out
    assert "a | 1\n | 2" in percent.question
    assert one("tatqa", {**row, "scale": ""}).reference_answer == "-12.6"


def test_pubmedqa_as_choice_and_as_text():
    row = {
        "key": "7", "QUESTION": "Do they?", "CONTEXTS": ["One.", "Two."], "LONG_ANSWER": "They do.",
        "final_decision": "no", "YEAR": "2011",
    }  # fmt: skip
    choice = one("pubmedqa", row)
    assert choice.question == "One.\n\nTwo.\n\nDo they?\n\nA. yes\nB. no\nC. maybe"
    assert (choice.problem_id, choice.reference_answer) == ("7", "B")
    assert choice.expert_solution == "They do.\nThe final answer is \\boxed{B}."
    text = one("pubmedqa_text", row)
    assert (text.reference_answer, text.expert_solution) == ("They do.", None)
    assert (text.question, text.task_kind) == ("One.\n\nTwo.\n\nDo they?", "text")


def test_mwp_joins_its_steps():
    problem = one("mwp", {"question": "q", "steps": ["1 + 2 = 3", "3 * 2 = 6"], "answer": "6"})
    assert problem.expert_solution == "1 + 2 = 3\n3 * 2 = 6\nThe final answer is \\boxed{6}."
    assert "not a list of texts" in faults("mwp", {"question": "q", "steps": [], "answer": "6"})[0]


def test_the_last_assistant_turn_as_expert():
    mapping = ColumnMapping("m", expert_solution="chat", expert_form="last_assistant")
    first, last = ({"role": "assistant", "content": text} for text in "ak")
    chat = [USER, first, USER, last]
    row = {"question": "q", "reference_answer": "2"}
    assert one(mapping, {**row, "chat": chat}).expert_solution == "k"
    assert one(mapping, {**row, "chat": None}).expert_solution is None
    assert "no assistant turn" in faults(mapping, {**row, "chat": [USER]})[0]


# --- options ---------------------------------------------------------------------------------

CHOICE = ColumnMapping("c", options="options", default_task_kind="choice")
WHICH = {"question": "Which?", "options": ["x", "y"], "reference_answer": "y"}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("B", "B"), ("(B)", "B"), ("B.", "B"), (1, "B"), ("y", "B"), (" x ", "A")],
)
def test_answers_of_every_form(answer, letter):
    assert one(CHOICE, {**WHICH, "reference_answer": answer}).reference_answer == letter


@pytest.mark.parametrize(
    ("change", "column", "found"),
    [
        ({"reference_answer": "z"}, "reference_answer", "none of the options"),
        ({"reference_answer": "C"}, "reference_answer", "none of the options"),
        ({"reference_answer": 2}, "reference_answer", "index 2 of 2"),
        ({"reference_answer": -1}, "reference_answer", "index -1"),
        ({"reference_answer": True}, "reference_answer", "bool True"),
        ({"reference_answer": None}, "reference_answer", "nothing"),
        ({"options": ["x", "A"], "reference_answer": "A"}, "reference_answer", "text of another"),
        ({"options": ["x"]}, "options", "1 option(s)"),
        ({"options": ["x"] * 27}, "options", "27 option(s)"),
        ({"options": ["x", ""]}, "options", "not a list of options"),
        ({"options": None}, "options", "nothing"),
        ({"options": "A) x"}, "options", "not a list of options"),
    ],
)
def test_faults_of_choices(change, column, found):
    (fault,) = faults(CHOICE, {**WHICH, **change})
    assert fault.startswith(f"row 1, column {column!r}: ")
    assert found in fault


@pytest.mark.parametrize("as_text", [False, True], ids=["column", "question"])
def test_as_many_options_as_the_verifier_has_letters(as_text):
    def row(count):
        texts = [f"{chr(65 + i)}. text {i}" for i in range(count)]
        asked = {"question": "\n".join(["Which?", *texts])}
        given = asked if as_text else {"question": "Which?", "options": texts}
        return {**given, "reference_answer": "B"}

    columns = dataclasses.replace(CHOICE, options=None, options_in_question=True)
    mapping = columns if as_text else CHOICE
    assert one(mapping, row(MOST_OPTIONS)).metadata["options"][-1] == f"text {MOST_OPTIONS - 1}"
    (fault,) = faults(mapping, row(MOST_OPTIONS + 1))
    assert f"{MOST_OPTIONS + 1} option(s), not 2 to {MOST_OPTIONS}" in fault
    assert len(LETTERS) == MOST_OPTIONS


def test_options_by_label_and_labels_without_text():
    row = {**WHICH, "options": {"A": "x", "B": "y", "C": None}, "reference_answer": "B"}
    assert one(CHOICE, row).question == "Which?\n\nA. x\nB. y"


def test_options_in_the_last_turn_of_a_conversation():
    row = {**WHICH, "question": [SYSTEM, {"role": "user", "content": "Which?"}]}
    assert [turn["content"] for turn in one(CHOICE, row).messages] == [
        SYSTEM["content"], "Which?\n\nA. x\nB. y"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "question",
    [
        "Which?",
        "Which?\nA) x",
        "Which?\nB) x\nC) y",
        "Which?\nA) x\nA) y",
        "A) x\nB) y",
        "Which?\nA) x\nB) y\nand why?",
    ],
)
def test_questions_without_a_list_of_options(question):
    mapping = dataclasses.replace(CHOICE, options=None, options_in_question=True)
    (fault,) = faults(mapping, {"question": question, "reference_answer": "A"})
    assert fault.startswith("row 1, column 'question': ")


def test_faults_of_question_and_answer_are_both_told():
    found = faults(CHOICE, {"options": ["x", "y"]})
    assert [fault.split(":")[0] for fault in found] == [
        "row 1, column 'question'",
        "row 1, column 'reference_answer'",
    ]


# --- wrong mappings --------------------------------------------------------------------------


def test_all_faults_of_a_mapping_at_once():
    with pytest.raises(DataError) as caught:
        ColumnMapping(
            "x", question=(), options="o", fixed_options=("a", "b"), reference_answer=None,
            worked_answer="w", expert_form="prose", expert_part="half", answer_form="either one",
        )  # fmt: skip
    told = "\n".join(caught.value.faults)
    for part in (
        "question names no column", "expert_form is 'prose'", "expert_part is 'half'",
        "answer_form is 'either one'", "options and fixed_options are given",
        "worked_answer does not go with options", "no reference_answer",
    ):  # fmt: skip
        assert part in told
    assert len(caught.value.faults) == 7


@pytest.mark.parametrize(
    "change", [{"expert_form": "first_correct"}, {"expert_flags": ("correct",)}]
)
def test_flags_belong_to_first_correct(change):
    with pytest.raises(DataError, match="first_correct needs flags"):
        ColumnMapping("x", **change)


@pytest.mark.parametrize(
    "options", [("yes",), ("yes", " yes"), ("yes", ""), tuple(str(i) for i in range(11))]
)
def test_fixed_options_can_be_options(options):
    with pytest.raises(DataError, match="give 2 to 10 texts"):
        ColumnMapping("x", fixed_options=options)


def test_every_named_mapping_is_found_by_its_name():
    assert [get_mapping(name).name for name in mapping_names()] == list(mapping_names())


def test_half_a_surrogate_pair_is_a_fault_of_its_row():
    row = {"question": "1\ud800", "reference_answer": "2", "expert_solution": "\udfff"}
    assert [fault.split(":")[0] for fault in faults("canonical", row)] == [
        "row 1, column 'question'",
        "row 1, column 'expert_solution'",
    ]


# --- shapes of test sets ---------------------------------------------------------------------


def test_options_as_two_columns_have_the_labels_of_the_source():
    mapping = ColumnMapping("arc", options="choices", reference_answer="key", answer_form="letter")
    row = {"question": "Which?", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "key": "2"}
    problem = one(mapping, row)
    assert problem.question == "Which?\n\nA. x\nB. y"
    assert problem.reference_answer == "B"
    # Columns of different lengths are no options, and neither is a label without a text.
    row["choices"] = {"text": ["x", "y"], "label": ["1", "2", "3"]}
    assert "not a list of options" in faults(mapping, row)[0]


GPQA = ColumnMapping(
    "gpqa",
    question=("Q",),
    wrong_options=("W1", "W2", "W3"),
    reference_answer="R",
    answer_form="text",
    default_task_kind="choice",
)


def test_wrong_options_are_shown_with_the_right_one_in_an_order_of_their_own():
    letters = []
    for number in range(40):
        row = {"Q": f"Which of {number}?", "R": "right", "W1": "w1", "W2": "w2", "W3": "w3"}
        problem = one(GPQA, row)
        shown = problem.metadata["options"]
        assert sorted(shown) == ["right", "w1", "w2", "w3"]
        assert shown["ABCD".index(problem.reference_answer)] == "right"
        assert one(GPQA, dict(reversed(row.items()))).messages == problem.messages
        letters.append(problem.reference_answer)
    assert set(letters) == set("ABCD")
    assert max(letters.count(letter) for letter in "ABCD") < 20


@pytest.mark.parametrize("column", ["R", "W1", "W3"])
def test_a_missing_option_is_told(column):
    row = {"Q": "Which?", "R": "right", "W1": "w1", "W2": "w2", "W3": "w3", column: None}
    assert "nothing as one of the options" in faults(GPQA, row)[0]


def test_wrong_options_go_with_an_answer_that_is_a_text():
    with pytest.raises(DataError, match="wrong_options go with text"):
        dataclasses.replace(GPQA, answer_form="either")
    with pytest.raises(DataError, match="options and wrong_options"):
        dataclasses.replace(GPQA, options="o")


@pytest.mark.parametrize(
    ("answer", "read"), [(["5"], "5"), ([5], "5"), (["a", " b"], "a, b"), ("5", "5"), (5, "5")]
)
def test_a_list_of_answers_is_joined_where_that_is_wanted(answer, read):
    mapping = ColumnMapping("l", list_answer=", ")
    assert one(mapping, {"question": "q", "reference_answer": answer}).reference_answer == read


@pytest.mark.parametrize("answer", [[], ["a", None], [["a"]], ["a", {}]])
def test_a_list_with_something_else_in_it_stays_a_fault(answer):
    mapping = ColumnMapping("l", list_answer=", ")
    assert faults(mapping, {"question": "q", "reference_answer": answer})
    assert faults("canonical", {"question": "q", "reference_answer": ["a"]})


DOCUMENT = {
    "table": {"uid": "t1", "table": [["", "2019"], ["Other", "44.1"]]},
    "paragraphs": [{"order": 1, "text": "First."}, {"order": 2, "text": "Second."}],
    "questions": [
        {"uid": "q1", "question": "Change?", "answer": -12.6, "scale": "million"},
        {"uid": "q2", "question": "Which?", "answer": ["a", "b"], "scale": ""},
    ],
}
DOCUMENTS = ColumnMapping(
    "documents",
    rows_in="questions",
    context=("paragraphs", "table.table"),
    reference_answer="answer",
    list_answer="; ",
    unit="scale",
    problem_id="uid",
)


def test_questions_of_one_document_are_problems_of_their_own():
    first, second = load(DOCUMENTS, DOCUMENT)
    assert (first.problem_id, first.reference_answer) == ("q1", "-12.6 million")
    assert (second.problem_id, second.reference_answer) == ("q2", "a; b")
    for problem in (first, second):
        assert problem.question.startswith("First.\n\nSecond.\n\n | 2019\nOther | 44.1\n\n")
        assert "questions" not in problem.metadata


def test_questions_without_ids_are_told_apart_and_faults_name_the_document():
    mapping = dataclasses.replace(DOCUMENTS, problem_id="none")
    assert [p.problem_id for p in load(mapping, DOCUMENT)] == ["s-1-1", "s-1-2"]
    broken = {**DOCUMENT, "questions": "none"}
    assert faults(mapping, DOCUMENT, broken)[0].startswith("row 2, column 'questions': str 'none'")
    twice = {**DOCUMENT, "questions": [DOCUMENT["questions"][0]] * 2}
    assert "'q1' is also row 1's" in faults(DOCUMENTS, twice)[0]
