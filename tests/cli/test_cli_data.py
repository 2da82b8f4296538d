"""``data check``: what reaches the check, and how its outcome is told."""

from __future__ import annotations

import dataclasses
import json

import pytest

from rephrase_rl.data.faults import RowFault
from rephrase_rl.data.lengths import Fit, LengthSummary
from rephrase_rl.data.part_fits import PartFit


def call_of(assembly):
    ((name, call),) = assembly.calls
    assert name == "check_data"
    return call


def test_a_file_is_checked_as_its_options_say(cli, assembly) -> None:
    outcome = cli(
        "data", "check", "train.jsonl", "--mapping", "gsm8k", "--model", "m", "--limit", "5",
        "--split", "dev", "--rows", "3", "--words", "8", "--no-judge",
        "--against", "test.jsonl", "--against", "math:x/y.jsonl", "--against", "lab:hard",
        "--set", "data.0.expert_part=think",
    )  # fmt: skip
    assert outcome.status == 0
    call = call_of(assembly)
    data = call.config.data[0]
    assert (data.path, data.mapping, data.limit, data.split) == ("train.jsonl", "gsm8k", 5, "dev")
    assert (call.config.model.path, data.expert_part) == ("m", "think")
    assert vars(call.options) == {
        "shown_rows": 3, "with_tokenizer": True, "judge_experts": False, "num_words": 8,
    }  # fmt: skip
    assert [(d.path, d.mapping, d.name, d.split) for d in call.evaluation_data] == [
        ("test.jsonl", "gsm8k", "test.jsonl", "test"),
        ("x/y.jsonl", "math", "x-y.jsonl", "test"),
        ("lab:hard", "gsm8k", "lab-hard", "test"),
    ]


def test_a_file_without_model_and_mapping(cli, assembly) -> None:
    cli("data", "check", "train.jsonl", "--set", "data.0.mapping.question=q")
    call = call_of(assembly)
    assert not call.options.with_tokenizer
    assert call.config.data[0].mapping.question == ("q",)
    assert call.evaluation_data == []


@pytest.fixture
def exercises(tmp_path, monkeypatch):
    """A file whose question has a name that means nothing."""
    monkeypatch.chdir(tmp_path)
    rows = [{"Frage": f"What is {i} + 1?", "Result": i + 1} for i in range(3)]
    (tmp_path / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "odd.jsonl"


def test_columns_are_named_as_for_a_first_configuration(cli, assembly, exercises) -> None:
    outcome = cli(
        "data", "check", exercises, "--column", "question=Frage", "--against", "test.jsonl",
    )  # fmt: skip
    call = call_of(assembly)
    mapping = call.config.data[0].mapping
    assert (mapping.question, mapping.reference_answer) == (("Frage",), "Result")
    assert call.evaluation_data[0].mapping.question == ("Frage",)
    assert "columns: question is 'Frage': you said so" in outcome.err
    assert "columns: reference_answer is 'Result': its name" in outcome.err


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--column", "question"], "PART=COLUMN"),
        (["--column", "question=Frage", "--mapping", "gsm8k"], "both --mapping and --column"),
        (["--column", "question=Nope"], "no column 'Nope'"),
    ],
)
def test_columns_that_cannot_be_are_refused(cli, assembly, exercises, options, fault) -> None:
    outcome = cli("data", "check", exercises, *options)
    assert outcome.status == 2
    assert fault in outcome.err
    assert not assembly.calls


def test_a_run_configuration_says_the_rest(cli, assembly, config_file) -> None:
    cli("data", "check", config_file, "--limit", "7", "--set", "data.0.expert_tokens=5")
    call = call_of(assembly)
    assert call.options.with_tokenizer
    data = call.config.data[0]
    assert (data.path, data.limit, data.expert_tokens) == ("lab:mixed", 7, 5)
    outcome = cli(
        "data", "check", config_file, "--mapping", "gsm8k", "--column", "q=x", "--model", "m"
    )
    assert outcome.status == 2
    assert "--mapping, --column, --model" in outcome.err


def test_everything_is_told(cli, assembly) -> None:
    out = cli("data", "check", "train.jsonl", "--model", "m").out
    for line in (
        "--- problem p0: solve prompt, 2 tokens\nSOLVE [bold]x[/bold]\n",  # no markup in texts
        "rows: 2, every row valid\n",
        "problems: 2 (math: 2)\n",
        "answers missing: 0\n",
        "experts: 1 of 2 (50.0 %) of the problems have one\n",
        "repeated questions: 2, with another answer: 1\n  repeated: p1 = p0\n",
        "q within the context = 3840: 2 of 2 (100.0 %)\n"
        "P(q, k) within what limits it = 2048: 1 of 2 (50.0 %)\n"
        "  over it, with tokens: p1 (2050)\n",
        "k with an end token within trainer.max_completion_length = 256: 3 of 4 (75.0 %)\n",
        "experts judged by math (math): accepted 3 of 4 (75.0 %), rejected 1, unscorable 0\n"
        "  p0: rejected: differs from '2'\n",
        "overlap with gsm8k (13 words in a row): 1 of 2 (50.0 %) of the problems touch 2 of 8 "
        "(25.0 %) of its questions; equal questions: 0\n  p1 (question) ~ e7: a shared run\n",
    ):
        assert line in out
    (row,) = [line.split() for line in out.splitlines() if "solve prompt q" in line]
    assert row == ["solve", "prompt", "q", "2", "10", "14", "14", "15"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"tokens": None}, "tokens: no figures without a model's tokenizer"),
        ({"tokens": None, "problems": 0}, "tokens: no figures, since there is no valid row\n"),
        ({"with_thoughts": 4, "thoughts_left_out": 3}, "<think> part: 4; taken in part: 3"),
        ({"prompts_stripped": 6}, "prompts that lost <think> blocks or such a system turn: 6"),
        ({"expert_budget": {"cut": 2, "fits": 1}}, "under expert_tokens: cut: 2, fits: 1"),
        ({"not_judged": {"text": "why"}}, "experts not judged (text): why"),
        ({"without_prompt": {"text": "why"}}, "no prompts (text): why"),
    ],
)
def test_what_is_told_only_where_there_is_something(cli, assembly, change, line) -> None:
    assert line not in cli("data", "check", "train.jsonl").out
    assembly.checked = dataclasses.replace(
        assembly.checked, report=dataclasses.replace(assembly.checked.report, **change)
    )
    assert line in cli("data", "check", "train.jsonl").out


PARTS = (
    PartFit("whole", 0, LengthSummary(4, 7, 9, 9, 9), Fit(20, 1, 4), Fit(8, 2, 4), Fit(5, 1, 4)),
    PartFit("think", 4, None, None, None, None),
)
TOLD = [
    "what k can be, before any expert_tokens:",
    "  expert_part: whole: 4 rows have it, 50 % up to 7 tokens; P(q, k) fits in 1 of 4 (25.0 %); "
    "k with its end fits in 2 of 4 (50.0 %)",
    "  expert_part: think: 4 lack it, which would be a fault",
]


@pytest.mark.parametrize(
    ("budget", "which"),
    [(None, "the most that lets every P(q, k) fit"), ({"cut": 1}, "as set")],
)
def test_each_part_of_thoughts_is_told(cli, assembly, budget, which) -> None:
    changed = dataclasses.replace(assembly.checked.report, parts=PARTS, expert_budget=budget)
    assembly.checked = dataclasses.replace(assembly.checked, report=changed)
    lines = cli("data", "check", "train.jsonl", "--model", "m").out.splitlines()
    start = lines.index(TOLD[0])
    assert lines[start : start + 4] == [
        *TOLD,
        f"  expert_tokens: 5 ({which}) is kept to by whole 1 of 4 (25.0 %)",
    ]


def test_every_fault_is_listed_and_the_status_is_a_users_error(cli, assembly) -> None:
    faults = tuple(RowFault(i, "column 'a'", "nothing", "give it") for i in range(1, 201))
    faults += (RowFault(7, "column 'b'", "nothing", "give it"),)
    report = dataclasses.replace(assembly.checked.report, rows=202, faults=faults)
    assembly.checked = dataclasses.replace(assembly.checked, report=report)
    outcome = cli("data", "check", "train.jsonl")
    assert outcome.status == 2
    assert "fault: rows 1-200, column 'a': nothing; give it\n" in outcome.out
    assert "fault: row 7, column 'b': nothing; give it\n" in outcome.out
    assert "rows: 202, 200 rows with faults" in outcome.out
    assert "found 201 fault(s) in 200 of 202 rows" in outcome.err


def test_no_rows_are_a_users_error(cli, assembly) -> None:
    report = dataclasses.replace(assembly.checked.report, rows=0, problems=0)
    assembly.checked = dataclasses.replace(assembly.checked, report=report)
    assert cli("data", "check", "train.jsonl").status == 2


def test_json_is_complete(cli, assembly) -> None:
    found = json.loads(cli("data", "check", "train.jsonl", "--json").out)
    assert found["report"]["contamination"][0]["examples"][0]["evaluation_id"] == "e7"
    assert found["prompts"][0]["tokens"] == ["SO", "LVE"]


def test_a_wrong_override_is_told(cli, assembly) -> None:
    outcome = cli("data", "check", "train.jsonl", "--set", "data.0.expert_part=half")
    assert outcome.status == 2
    assert "one of whole, after_think, think" in outcome.err
    assert not assembly.calls
