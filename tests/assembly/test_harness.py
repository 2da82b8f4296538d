"""General ability by lm-evaluation-harness: a local task, into a run directory, read by reports."""

from __future__ import annotations

import json
import textwrap

import pytest

from rephrase_rl.assembly import evaluate_with_harness
from rephrase_rl.config import parse_harness
from rephrase_rl.errors import ConfigError, EvaluationError
from rephrase_rl.runs import RunDirectory

pytest.importorskip("lm_eval", reason="lm-eval is not installed (extra eval)")
pytestmark = pytest.mark.integration

# What the lab's policy writes after a question, and something that it never writes.
DOCUMENTS = [
    {"question": "abc>", "choices": ["#cba", "#xyz"], "label": 1},
    {"question": "3+4=", "choices": ["3+4=7#7", "3+4=8#8"], "label": 0},
    {"question": "5-2=", "choices": ["5-2=3#3", "5-2=9#9"], "label": 0},
]


@pytest.fixture(scope="module")
def task_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    data = folder / "documents.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in DOCUMENTS))
    file = folder / "lab_choices.yaml"
    file.write_text(
        textwrap.dedent(
            f"""
            task: lab_choices
            dataset_path: json
            dataset_kwargs: {{data_files: {{test: {data}}}}}
            output_type: multiple_choice
            test_split: test
            doc_to_text: "{{{{question}}}}"
            doc_to_choice: "{{{{choices}}}}"
            doc_to_target: label
            target_delimiter: ""
            metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
            metadata: {{version: 3}}
            """
        )
    )
    return file


def test_documents_become_problems_of_a_stored_benchmark(task_file, tmp_path) -> None:
    out = tmp_path / "run"
    results = evaluate_with_harness("lab:base", [str(task_file)], seed=0, run_path=out)
    result = results["lab_choices"]
    assert [sample.value for sample in result.samples] == [0.0, 1.0, 1.0]
    assert [sample.text for sample in result.samples] == ["#cba", "3+4=7#7", "5-2=3#3"]
    assert result.avg_at_k.mean == pytest.approx(2 / 3)
    assert result.protocol.verifier == "lm-eval:acc"
    folder = RunDirectory.open(out).evaluation_folder(0, "lab_choices")
    stored = json.loads((folder / "result.json").read_text())
    assert stored["provenance"]["task_version"] == 3
    assert stored["provenance"]["measures"]["acc,none"] == pytest.approx(2 / 3)
    assert len((folder / "samples.jsonl").read_text().splitlines()) == len(DOCUMENTS)


def test_a_limit_is_kept_to_and_told(task_file) -> None:
    options = parse_harness(["limit=2"])
    result = evaluate_with_harness("lab:base", [str(task_file)], seed=0, options=options)
    assert (result["lab_choices"].num_problems, result["lab_choices"].protocol.limit) == (2, 2)


def test_unknown_tasks_and_files_are_told_before_a_policy_is_loaded(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"found no_such_task; required: tasks or groups"):
        evaluate_with_harness("no/such/model", ["no_such_task"], seed=0)
    with pytest.raises(ConfigError, match="no readable file"):
        evaluate_with_harness("no/such/model", [str(tmp_path / "t.yaml")], seed=0)
    nameless = tmp_path / "nameless.yaml"
    for text, lines in (("dataset_path: json\n", 0), ("task: [a\n", 1), ("task: 2024-13-45\n", 1)):
        nameless.write_text(text)
        with pytest.raises(ConfigError, match=f"found {lines} lines with `task:`"):
            evaluate_with_harness("no/such/model", [str(nameless)], seed=0)


def test_a_task_whose_data_cannot_be_read_is_told(tmp_path) -> None:
    file = tmp_path / "lost.yaml"
    file.write_text(
        "task: lost\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path}/nothing.jsonl}}}}\n"
        "output_type: multiple_choice\ntest_split: test\ndoc_to_text: q\ndoc_to_choice: [a, b]\n"
        "doc_to_target: 0\nmetric_list: [{metric: acc}]\n"
    )
    with pytest.raises(EvaluationError, match="whose data can be read here"):
        evaluate_with_harness("lab:base", [str(file)], seed=0)


def test_options_are_checked() -> None:
    assert parse_harness(["num_fewshot=0", "chat_template=true"]).chat_template
    with pytest.raises(ConfigError) as caught:
        parse_harness(["limit=0", "batches=3"])
    assert len(caught.value.faults) == 2
