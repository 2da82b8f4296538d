"""``check_data`` on the lab and on small files, with real tokenizer, templates and verifiers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from rephrase_rl.assembly import CheckOptions, check_data
from rephrase_rl.assembly.objects import column_mapping, load_data, load_model_tokenizer
from rephrase_rl.assembly.problems import training_problems
from rephrase_rl.assembly.run_parts import RunRequest, run_manifest
from rephrase_rl.config import TestDataConfig, parse_config
from rephrase_rl.data.lengths import Fit
from rephrase_rl.errors import ConfigError, DataError, EngineError
from rephrase_rl.methods import resolve_config
from rephrase_rl.rewards import MathVerifier
from rephrase_rl.rollout import prompt_token_ids

LAB = {"path": "lab:hard", "limit": 20}


def config(data, **more):
    return parse_config({"method": "repo", "model": {"path": "lab:base"}, "data": data, **more})


@pytest.fixture
def rows(tmp_path):
    """Writes rows to a file and gives its path."""

    def write(*items, name="rows.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(item) + "\n" for item in items))
        return str(path)

    return write


def row(number, **more):
    return {"question": f"{number} + 1 = ?", "reference_answer": str(number + 1), **more}


def test_the_lab_as_the_policy_sees_it():
    run = config(LAB, trainer={"max_completion_length": 48})
    checked = check_data(run, options=CheckOptions(shown_rows=1))
    report = checked.report
    (problem, *_) = load_data(config(LAB).data[0])
    assert (report.rows, report.problems, report.with_expert) == (20, 20, 20)
    assert report.task_kinds == {"lab": 20}
    solve, rephrase = checked.prompts
    assert (solve.purpose, rephrase.purpose) == ("solve", "rephrase")
    assert solve.text == f"<|user|>{problem.question}<|assistant|>"
    assert rephrase.text == (
        f"<|user|><rewrite>{problem.question}<expert>{problem.expert_solution}<|assistant|>"
    )
    # One token a character, and each of the marks is one.
    assert len(solve.tokens) == len(problem.question) + 2
    assert report.tokens["question"].longest == len(problem.question)
    assert report.tokens["solve"].longest == len(problem.question) + 2
    assert report.prompt_fit.fitting == 20
    # The lab's expert writes in characters of its own, which the exact verifier rejects.
    assert report.expert_verdicts["lab"].judged == 20


def test_prompts_are_the_tokens_that_the_engine_samples_from():
    tokenizer = load_model_tokenizer(config(LAB).model)
    checked = check_data(config(LAB), options=CheckOptions(shown_rows=2))
    problems = load_data(config(LAB).data[0])[:2]
    shown = [view for view in checked.prompts if view.purpose == "solve"]
    for problem, view in zip(problems, shown, strict=True):
        ids = prompt_token_ids(tokenizer, problem.messages, {})
        assert view.tokens == tuple(tokenizer.convert_ids_to_tokens(ids))


def test_without_a_tokenizer_there_are_turns_and_no_token_figures(rows):
    path = rows(row(1, expert_solution=r"\boxed{2}"))
    checked = check_data(config({"path": path}), options=CheckOptions(with_tokenizer=False))
    assert checked.report.tokens is None
    assert checked.report.prompt_fit is None
    assert checked.prompts[0].text.startswith("[user]\n1 + 1 = ?\n\nPlease reason")
    assert checked.prompts[0].tokens is None


def test_experts_are_judged_by_the_task_kinds_verifier(rows):
    path = rows(
        row(1, expert_solution=r"so \boxed{2}"),
        row(2, expert_solution=r"so \boxed{5}"),
        row(3),
        row(4, expert_solution="k", task_kind="poem"),
    )
    report = check_data(config({"path": path}), options=CheckOptions(with_tokenizer=False)).report
    verdicts = report.expert_verdicts["math"]
    assert (verdicts.judged, verdicts.accepted, verdicts.rejected) == (2, 1, 1)
    assert verdicts.examples[0].endswith("rows-2: rejected: differs from '3'")
    assert report.not_judged == {"poem": "no verifier is set for task kind 'poem'"}
    assert (
        "no 'solve' template in style 'plain' for task kind 'poem'" in report.without_prompt["poem"]
    )


def test_a_choice_verifier_sees_the_options(rows):
    """Experts that name the right option by its text alone, as explanations do."""
    path = rows(
        *(
            {
                "question": "1 + 1 = ?",
                "options": ["two", "three"],
                "reference_answer": letter,
                "expert_solution": "The answer is two.",
                "task_kind": "choice",
            }
            for letter in "AB"
        )
    )
    data = {"path": path, "mapping": {"like": "canonical", "options": "options"}}
    report = check_data(config(data), options=CheckOptions(with_tokenizer=False)).report
    verdicts = report.expert_verdicts["choice"]
    assert (verdicts.judged, verdicts.accepted, verdicts.rejected) == (2, 1, 1)
    assert verdicts.examples[0].endswith("rows-2: rejected: differs from 'B'")


def test_experts_are_judged_by_the_runs_verifier_if_it_names_one(rows):
    path = rows(row(1, expert_solution="so #2", task_kind="poem"))
    reward = {"rewards": {"verifier": "exact"}, "prompts": {"solve": "math-solve-v1"}}
    report = check_data(config({"path": path}, **reward)).report
    assert report.expert_verdicts["poem"].accepted == 1
    off = CheckOptions(judge_experts=False)
    assert check_data(config({"path": path}, **reward), options=off).report.expert_verdicts == {}


def test_every_set_is_judged_by_the_verifier_that_decides_failure_in_it(rows):
    first = rows(row(1, expert_solution="so #2"), name="first.jsonl")
    second = rows(row(2, expert_solution=r"so \boxed{3}"), name="second.jsonl")
    sets = [
        {"name": "a", "path": first, "rewards": {"verifier": "exact"}},
        {"name": "b", "path": second},
    ]
    report = check_data(config(sets), options=CheckOptions(with_tokenizer=False)).report
    told = {key: (v.verifier, v.accepted) for key, v in report.expert_verdicts.items()}
    assert told == {"a: math": ("exact", 1), "b: math": ("math", 1)}


def test_a_verifier_that_counts_tokens_gets_them_or_is_left_out(rows):
    path = rows(row(1, expert_solution="four"), row(2, expert_solution="fives"))
    reward = {"rewards": {"verifier": "length", "options": {"limit": 5}}}
    # One token a character and an end token: 5 and 6.
    verdicts = check_data(config({"path": path}, **reward)).report.expert_verdicts["math"]
    assert (verdicts.accepted, verdicts.rejected) == (1, 1)
    blind = CheckOptions(with_tokenizer=False)
    report = check_data(config({"path": path}, **reward), options=blind).report
    assert report.not_judged == {"math": "length counts tokens, and there is no tokenizer"}


def test_more_experts_than_are_judged_at_once(rows, monkeypatch):
    monkeypatch.setattr("rephrase_rl.assembly.check_judging.JUDGED_AT_ONCE", 3)
    path = rows(*[row(i, expert_solution=rf"\boxed{{{i + 1}}}") for i in range(8)])
    sizes, verify = [], MathVerifier.verify

    def counted(self, completions, reference_answers):
        sizes.append(len(completions))
        return verify(self, completions, reference_answers)

    monkeypatch.setattr(MathVerifier, "verify", counted)
    report = check_data(config({"path": path}), options=CheckOptions(with_tokenizer=False)).report
    assert report.expert_verdicts["math"].accepted == 8
    assert sizes == [3, 3, 2]


def test_benchmarks_and_further_sets_are_looked_for(rows):
    question = "one two three four five six seven eight nine ten eleven twelve thirteen"
    path = rows({**row(1), "question": question}, row(2))
    own = rows({**row(1), "question": f"now {question}"}, name="own.jsonl")
    other = rows(row(2), name="other.jsonl")
    benchmark = {"name": "own", "data": {"path": own, "name": "own"}}
    checked = check_data(
        config({"path": path}, evaluation={"benchmarks": [benchmark]}),
        [TestDataConfig(path=other, name="other")],
    )
    first, second = checked.report.contamination
    assert (first.name, first.touched_training_problems, first.equal_questions) == ("own", 1, 0)
    assert (second.name, second.touched_training_problems, second.equal_questions) == (
        "other",
        1,
        1,
    )
    shown = [view.problem_id for view in checked.prompts if view.purpose == "evaluation"]
    assert [name.rpartition("/")[2] for name in shown] == ["own-1", "other-1"]


def test_bad_rows_are_in_the_report_and_stop_nothing(rows):
    path = rows(row(1), {"question": "q"}, row(2))
    report = check_data(config({"path": path})).report
    assert (report.rows, report.problems, report.missing_answers) == (3, 2, 1)
    assert str(report.faults[0]).startswith("row 2, column 'reference_answer'")


# --- what limits P(q, k) -----------------------------------------------------------------------

BY_FIELD = "guidance.source.max_prompt_tokens"


def lab_rows(*lengths):
    """Problems of the lab whose P(q, k) has 8 tokens more than k."""
    return [
        {"problem_id": f"p{i}", "question": "1+1=", "reference_answer": "2", "task_kind": "lab"}
        | {"expert_solution": "k" * length}
        for i, length in enumerate(lengths)
    ]


@pytest.mark.parametrize(
    ("completion", "configured", "fit", "limit_by"),
    [
        (48, 2048, Fit(208, 2, 3, ("p2 (308)",)), "the policy's context (256) less trainer.max_"
         "completion_length (48)"),
        (48, 100, Fit(100, 1, 3, ("p1 (208)", "p2 (308)")), BY_FIELD),
        (256, 2048, Fit(0, 0, 3, ("p0 (28)", "p1 (208)", "p2 (308)")),
         "the policy's context (256) less trainer.max_completion_length (256)"),
    ],
)  # fmt: skip
def test_rewriting_prompts_are_held_against_the_smaller_limit(
    rows, completion, configured, fit, limit_by
):
    run = config(
        {"path": rows(*lab_rows(20, 200, 300))},
        trainer={"max_completion_length": completion},
        guidance={"source": {"max_prompt_tokens": configured}},
    )
    report = check_data(run).report
    assert (report.prompt_fit, report.prompt_limit) == (fit, limit_by)


def test_the_limit_is_that_of_the_trainer(rows):
    """And with vLLM, that of its own context; texts of a data set are not rewritten by it."""
    path = rows(*lab_rows(20))
    vllm = {"max_completion_length": 48, "use_vllm": True, "vllm_max_model_length": 128}
    for method, limit in (("repo", 80), ("rewrite_sft", 208)):
        run = resolve_config(parse_config(
            {"method": method, "model": {"path": "lab:base"}, "data": {"path": path}}
            | {"trainer": vllm}
        ))  # fmt: skip
        assert check_data(run).report.prompt_fit.limit == limit


def test_where_the_context_is_not_known_this_is_said(rows, tmp_path):
    load_model_tokenizer(config(LAB).model).save_pretrained(tmp_path / "tokenizer")
    run = parse_config(
        {"method": "repo", "model": {"path": str(tmp_path / "tokenizer")}}
        | {"data": {"path": rows(*lab_rows(20))}}
    )
    report = check_data(run).report
    assert report.prompt_fit == Fit(2048, 1, 1)
    assert report.prompt_limit == f"{BY_FIELD} (the policy's context is not known)"


# --- experts under a budget --------------------------------------------------------------------

LONG = "ab\n\ncdef"  # 2 and 8 characters, which are the lab's tokens


def test_a_budget_is_counted_in_the_check(rows):
    path = rows(row(1, expert_solution=LONG), row(2, expert_solution="ab"), row(3))
    data = {"path": path, "expert_tokens": 7, "over_expert_tokens": "cut"}
    report = check_data(config(data)).report
    assert report.expert_budget == {"cut": 1, "fits": 1}
    assert report.tokens["expert"].longest == 2


def test_training_refuses_experts_over_the_budget_and_lists_them(rows):
    path = rows(row(1, expert_solution=LONG), row(2, expert_solution="ab"))
    with pytest.raises(
        DataError, match="1 of 2 expert solutions exceed expert_tokens = 7"
    ) as caught:
        training_problems(config({"path": path, "expert_tokens": 7}))
    assert caught.value.faults[0].endswith("rows-1': 8 tokens")
    assert len(training_problems(config({"path": path, "expert_tokens": 8}))) == 2


@pytest.mark.parametrize(("over", "kept"), [("cut", "ab"), ("leave_out", None)])
def test_training_warns_of_what_it_changes(rows, over, kept):
    path = rows(row(1, expert_solution=LONG), row(2, expert_solution="ab"))
    data = {"path": path, "expert_tokens": 7, "over_expert_tokens": over}
    with pytest.warns(UserWarning, match=f"of 2 expert solutions, {int(over == 'cut')} were cut"):
        first, second = training_problems(config(data))
    assert (first.expert_solution, second.expert_solution) == (kept, "ab")


@pytest.mark.filterwarnings("ignore:data")
@pytest.mark.parametrize("method", ["repo", "luffy", "sft"])
def test_a_budget_that_leaves_out_every_expert_is_refused(rows, method):
    path = rows(row(1, expert_solution=LONG), row(2, expert_solution="abc"), row(3))
    data = {"path": path, "expert_tokens": 2, "over_expert_tokens": "leave_out"}
    with pytest.raises(DataError, match=r"\(2 were left out by data\.expert_tokens\)"):
        training_problems(config(data, method=method))
    assert len(training_problems(config(data | {"expert_tokens": 3}, method=method))) == 3
    assert len(training_problems(config(data, method="grpo"))) == 3  # brings none in


def test_the_manifest_counts_what_was_cut_and_left_out(rows, tmp_path):
    path = rows(*[row(i, expert_solution=LONG) for i in range(3)], row(4, expert_solution="ab"))
    data = {"path": path, "expert_tokens": 7, "over_expert_tokens": "cut"}
    resolved = resolve_config(config(data))
    with pytest.warns(UserWarning, match="3 were cut"):
        problems = training_problems(resolved)
    arguments = SimpleNamespace(bf16=False, fp16=False, world_size=1)
    request = RunRequest(resolved, tmp_path / "run", ["test"])
    assert run_manifest(request, arguments, problems, {})["expert_budget"] == {"cut": 3}
    assert "expert_budget" not in run_manifest(request, arguments, problems[3:], {})


def test_training_takes_the_part_that_is_chosen(rows):
    path = rows(row(1, expert_solution="<think>a</think>b"))
    (problem,) = training_problems(config({"path": path, "expert_part": "after_think"}))
    assert problem.expert_solution == "b"


THOUGHT = "<think>abcdef</think>xyz"


def test_the_parts_of_thoughts_are_measured_whichever_is_chosen(rows):
    path = rows(row(1, expert_solution=THOUGHT), row(2, expert_solution="plain"), row(3))
    for chosen in ("whole", "after_think"):
        report = check_data(config({"path": path, "expert_part": chosen})).report
        # Characters: 24 and 5; 3 and 5; 6, and a fault for want of a </think>.
        assert [p.part for p in report.parts] == ["whole", "after_think", "think"]
        assert [p.tokens.longest for p in report.parts] == [24, 5, 6]
        assert [(p.tokens.count, p.without) for p in report.parts] == [(2, 0), (2, 0), (1, 1)]


def test_parts_keep_to_the_limits_of_the_run(rows):
    path = rows(row(1, expert_solution=THOUGHT), row(2, expert_solution="plain"))
    data, short = {"path": path}, {"prompts": {"rephrase": "lab-rephrase-v1"}}
    views = [v for v in check_data(config(data, **short)).prompts if v.purpose == "rephrase"]
    (around,) = {
        len(view.tokens) - len(k) for view, k in zip(views, [THOUGHT, "plain"], strict=True)
    }
    limits = {
        **short,
        "guidance": {"source": {"kind": "rephrase", "max_prompt_tokens": around + 10}},
        "trainer": {"max_completion_length": 6},
    }
    whole, after, think = check_data(config(data, **limits)).report.parts
    assert (whole.prompt_fit.fitting, after.prompt_fit.fitting, think.prompt_fit.count) == (1, 2, 1)
    assert (whole.completion_fit.fitting, think.completion_fit.fitting) == (1, 0)
    assert (whole.budget_fit.limit, whole.budget_fit.fitting) == (10, 1)
    data["expert_tokens"], data["over_expert_tokens"] = 4, "leave_out"
    whole, after, _ = check_data(config(data, **limits)).report.parts
    assert [(p.budget_fit.limit, p.budget_fit.fitting) for p in (whole, after)] == [(4, 0), (4, 1)]


def test_texts_without_thoughts_have_one_part(rows):
    assert check_data(config({"path": rows(row(1, expert_solution="k"))})).report.parts == ()
    blind = CheckOptions(with_tokenizer=False)
    thoughtful = config({"path": rows(row(1, expert_solution=THOUGHT))})
    assert check_data(thoughtful, options=blind).report.parts == ()


# --- mappings of a configuration ----------------------------------------------------------------


def test_a_mapping_by_columns_goes_on_from_the_one_it_is_like():
    data = config(
        {
            "path": "x.tsv",
            "strip_think": True,
            "mapping": {"like": "ecqa", "question": ["a", "b"], "table": {"quoted": True}},
        }
    ).data[0]
    mapping = column_mapping(data)
    assert mapping.question == ("a", "b")
    assert (mapping.reference_answer, mapping.options_in_question) == ("answer", True)
    assert mapping.table.quoted
    assert mapping.table.header == ("question", "answer", "explanation")
    assert (mapping.strip_think, mapping.expert_part) == (True, "whole")


def test_every_column_that_a_mapping_names_is_required_but_those_of_the_question():
    named = {
        "question": ["q", "r"], "reference_answer": "a", "expert_solution": "k", "context": ["t"],
        "problem_id": "n",
    }  # fmt: skip
    mapping = column_mapping(config({"path": "x", "mapping": named}).data[0])
    assert set(mapping.required) == {"a", "k", "t", "n"}
    assert column_mapping(config({"path": "x", "mapping": "verl"}).data[0]).required == ()


def test_faults_of_a_mapping_by_columns_come_together():
    with pytest.raises(ConfigError) as caught:
        config({"path": "x", "mapping": {"qestion": "q", "expert_form": "prose", "unit": ""}})
    faults = caught.value.faults
    assert [fault.split(":")[0] for fault in sorted(faults)] == [
        "data.mapping.expert_form", "data.mapping.qestion", "data.mapping.unit",
    ]  # fmt: skip
    assert any("did you mean `question`?" in fault for fault in faults)
    with pytest.raises(ConfigError, match=r"data\.mapping: found 5; required: a mapping"):
        config({"path": "x", "mapping": 5})


def test_an_unknown_or_contradictory_mapping_is_refused_before_a_row_is_read():
    for mapping in ("gsm", {"like": "gsm"}):
        with pytest.raises(DataError, match="found mapping 'gsm'"):
            load_data(config({"path": "no-such-file.jsonl", "mapping": mapping}).data[0])
    with pytest.raises(DataError, match="mapping of data"):
        column_mapping(
            config({"path": "x", "mapping": {"options": "o", "worked_answer": "w"}}).data[0]
        )


def test_config_and_data_know_the_same_choices():
    from typing import get_args

    from rephrase_rl.config import DataConfig, MappingConfig
    from rephrase_rl.data import ColumnMapping
    from rephrase_rl.data.choices import ANSWER_FORMS
    from rephrase_rl.data.experts import EXPERT_FORMS, EXPERT_PARTS

    def choices(model, field):
        (literal, *_) = get_args(model.model_fields[field].annotation)
        return get_args(literal) or get_args(model.model_fields[field].annotation)

    assert choices(MappingConfig, "expert_form") == tuple(EXPERT_FORMS)
    assert choices(MappingConfig, "answer_form") == ANSWER_FORMS
    assert choices(DataConfig, "expert_part") == EXPERT_PARTS
    handled_by_data = {"name", "expert_part", "strip_think", "metadata", "required"}
    fields = set(ColumnMapping.__dataclass_fields__) - handled_by_data
    assert set(MappingConfig.model_fields) == fields | {"like"}


def test_a_tokenizer_without_chat_template_is_refused(tmp_path):
    tokenizer = load_model_tokenizer(config(LAB).model)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    changed = parse_config({"method": "repo", "model": {"path": str(tmp_path)}, "data": LAB})
    with pytest.raises(EngineError, match="no chat template"):
        check_data(changed)


def test_a_tokenizer_that_is_not_there(tmp_path):
    changed = parse_config({"method": "repo", "model": {"path": str(tmp_path / "no")}, "data": LAB})
    with pytest.raises(EngineError, match="cannot load"):
        check_data(changed)


REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"
FILES = [
    ("gsm8k/test.jsonl", "gsm8k", 1319, "math"),
    ("math/math500_test.jsonl", "math", 500, "math"),
    ("math/math_test5000.jsonl", "math", 5000, "math"),
    ("math/aime24_test.jsonl", "math", 30, "math"),
    ("math/amc23_test.jsonl", "math", 40, "math"),
    ("mwp/mwp_train_steps.jsonl", "mwp", 3132, "math"),
    ("choice/aqua_dev.jsonl", "aqua", 254, "choice"),
    ("choice/aqua_test.jsonl", "aqua", 254, "choice"),
    ("choice/ecqa_train.tsv", "ecqa", 7112, "choice"),
    ("choice/arc_challenge_test.jsonl", "arc", 1172, "choice"),
    ("choice/verl_schema_arc_c.parquet", "verl", 1172, "math"),
    ("choice/pubmedqa_pqal.json", "pubmedqa", 1000, "choice"),
    ("choice/pubmedqa_pqal.json", "pubmedqa_text", 1000, "text"),
    ("finance/tatqa_dev_arithmetic.jsonl.gz", "tatqa", 750, "finance"),
]


@pytest.mark.parametrize(
    ("name", "mapping", "count", "kind"), FILES, ids=[f"{f[0]}-{f[1]}" for f in FILES]
)
def test_the_real_files(name, mapping, count, kind):
    path = REAL / name
    if not path.is_file():
        pytest.skip(f"{path} is not there (a shared folder beside the repository)")
    problems = load_data(config({"path": str(path), "mapping": mapping}).data[0])
    assert len(problems) == count
    assert {problem.task_kind for problem in problems} == {kind}
    if kind == "choice":
        for problem in problems:
            options = problem.metadata["options"]
            assert problem.reference_answer in "ABCDEFGHIJ"[: len(options)]
            assert problem.question.endswith(f"{'ABCDEFGHIJ'[len(options) - 1]}. {options[-1]}")


def test_the_math_files_overlap_as_their_manifest_says():
    """MATH-500 is a part of the 5,000: all 500 are found, word by word."""
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there (a shared folder beside the repository)")
    data = {"path": str(REAL / "math/math_test5000.jsonl"), "mapping": "math"}
    test = TestDataConfig(path=str(REAL / "math/math500_test.jsonl"), mapping="math", name="m")
    options = CheckOptions(with_tokenizer=False, judge_experts=False, shown_rows=0)
    (found,) = check_data(config(data), [test], options).report.contamination
    assert found.touched_evaluation_problems == found.evaluation_problems == 500
    assert found.equal_questions >= 500
