"""Expert solutions from a teacher: sampling, verdicts, best of n, provenance, going on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from endpoint_fakes import Answer, chat, serving
from rephrase_rl.assembly import expert_sampling, sample_experts, teachers
from rephrase_rl.assembly import experts as experts_module
from rephrase_rl.config import config_to_plain, parse_experts
from rephrase_rl.data import load_problems
from rephrase_rl.errors import BudgetError, ConfigError, DataError, EndpointError
from rephrase_rl.prompts import get_template
from rephrase_rl.records import Verdict

KEY = "sk-planted-0123456789"


def problems_file(folder: Path, count: int = 2, **columns: Any) -> Path:
    """Problems q0, q1, ... of the kind whose answer stands after a #; the answer to qi is i."""
    path = folder / "problems.jsonl"
    rows = [
        {"problem_id": f"p{i}", "question": f"q{i}", "reference_answer": str(i), "task_kind": "lab"}
        | columns
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config_for(server: Any, folder: Path, **changes: Any) -> Any:
    endpoint = {"max_retries": 0, "concurrency": 1} | changes.pop("endpoint", {})
    plain = {
        "data": {"path": str(folder / "problems.jsonl")},
        "teacher": {"kind": "endpoint", "base_url": server.url, "model": "big", **endpoint},
        "output": str(folder / "experts.jsonl"),
        "samples_per_problem": 2,
    }
    return parse_experts(plain, changes)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def replies(*texts: str | dict | Answer) -> list[Any]:
    return [chat(text) if isinstance(text, str) else text for text in texts]


def test_correct_samples_become_a_dataset_with_provenance(tmp_path) -> None:
    problems_file(tmp_path, metadata={"level": 3})
    with serving(replies("wrong #7", "right #0", "also #1", "no answer")) as server:
        config = config_for(server, tmp_path, temperature=0.7)
        summary = sample_experts(config, command=["rephrase-rl", "experts"])
    assert (summary.problems, summary.solved, summary.unsolved, summary.written) == (2, 2, 0, 2)
    assert summary.outcomes == {"incorrect": 2, "correct": 2}
    assert (summary.prompt_tokens, summary.completion_tokens) == (40, 20)
    assert (summary.now_requests, summary.now_cached, summary.cost) == (4, 0, None)
    first, second = rows_of(tmp_path / "experts.jsonl")
    assert list(first) == [
        "problem_id", "question", "reference_answer", "expert_solution", "task_kind", "metadata",
    ]  # fmt: skip
    assert (first["expert_solution"], second["expert_solution"]) == ("right #0", "also #1")
    assert first["metadata"]["level"] == 3
    told = first["metadata"]["expert"]
    assert told["teacher"] == {
        "kind": "endpoint", "model": "big", "base_url": server.url, "extra_body": None,
    }  # fmt: skip
    assert (told["temperature"], told["samples_per_problem"], told["sample"]) == (0.7, 2, 1)
    assert told["template_sha256"] == get_template(told["template"]).sha256
    assert told["outcomes"] == ["incorrect", "correct"]
    assert (told["verifier"], told["reward"], told["answer"]) == ("exact", 1.0, "0")
    assert told["text_sha256"] == hashlib.sha256(b"right #0").hexdigest()
    assert told["sampled_at"].startswith("20")
    written = json.loads((tmp_path / "experts.summary.json").read_text())
    assert written["summary"]["outcomes"] == {"incorrect": 2, "correct": 2}
    assert written["command"] == ["rephrase-rl", "experts"]


def test_the_dataset_is_training_data(tmp_path) -> None:
    turns = [{"role": "system", "content": "S"}, {"role": "user", "content": "chat"}]
    problems_file(tmp_path, 1, question=None, messages=turns)
    with serving(replies("right #0")) as server:
        sample_experts(config_for(server, tmp_path))
        assert server.bodies[0]["messages"] == turns
    (problem,) = load_problems(tmp_path / "experts.jsonl")
    assert problem.messages == tuple(turns)
    assert (problem.expert_solution, problem.reference_answer) == ("right #0", "0")
    assert problem.task_kind == "lab"
    assert problem.metadata["expert"]["sample"] == 0


@pytest.mark.parametrize(
    ("rule", "kept"), [("first", "long #0"), ("shortest", "short #0"), ("most_likely", "sure #0")]
)
def test_the_best_of_n_by_each_rule(tmp_path, rule, kept) -> None:
    problems_file(tmp_path, 1)
    script = [
        chat("tiny #9", completion_tokens=1, logps=[-0.01]),  # wrong
        chat("long #0", completion_tokens=9, logps=[-1.0]),
        chat("short #0", completion_tokens=3, logps=[-2.0]),
        chat("sure #0", completion_tokens=5, logps=[-0.5, -0.1]),
    ]
    with serving(script) as server:
        sample_experts(config_for(server, tmp_path, samples_per_problem=4, choose=rule))
    (row,) = rows_of(tmp_path / "experts.jsonl")
    assert row["expert_solution"] == kept


def test_another_rule_or_threshold_chooses_from_the_same_samples(tmp_path) -> None:
    problems_file(tmp_path, 1)
    script = [chat("long #0", completion_tokens=9), chat("short #0", completion_tokens=3)]
    with serving(script) as server:
        sample_experts(config_for(server, tmp_path))
        sample_experts(config_for(server, tmp_path, choose="shortest"))
        assert len(server.bodies) == 2
    assert rows_of(tmp_path / "experts.jsonl")[0]["expert_solution"] == "short #0"


@pytest.mark.parametrize("keep", [False, True])
def test_unsolved_problems_are_counted_and_kept_if_asked(tmp_path, keep) -> None:
    problems_file(tmp_path, 3)
    texts = ["#9", "#9", "right #1", "#1", "#9", "#9"]
    with serving(replies(*texts)) as server:
        summary = sample_experts(config_for(server, tmp_path, keep_unsolved=keep))
    assert (summary.solved, summary.unsolved, summary.written) == (1, 2, 3 if keep else 1)
    rows = rows_of(tmp_path / "experts.jsonl")
    kept = {row["problem_id"]: row["expert_solution"] for row in rows}
    assert kept == ({"p0": None, "p1": "right #1", "p2": None} if keep else {"p1": "right #1"})
    if keep:
        assert [row["problem_id"] for row in rows] == ["p0", "p1", "p2"]
        told = rows[0]["metadata"]["expert"]
        assert (told["sample"], told["outcomes"]) == (None, ["incorrect", "incorrect"])
        assert len(load_problems(tmp_path / "experts.jsonl")) == 3


def test_what_is_not_a_whole_right_solution_is_not_kept(tmp_path) -> None:
    problems_file(tmp_path, 1)
    script = [
        chat("cut off #0", finish_reason="length"),
        chat(" "),
        chat(None),
        Answer("{}", status=500),
        "no JSON",
        chat("right #0"),
    ]
    with serving(script) as server:
        summary = sample_experts(config_for(server, tmp_path, samples_per_problem=6))
    assert summary.outcomes == {
        "truncated": 1, "empty": 2, "teacher_error": 1, "teacher_malformed": 1, "correct": 1,
    }  # fmt: skip
    assert rows_of(tmp_path / "experts.jsonl")[0]["metadata"]["expert"]["sample"] == 5


def test_thinking_that_is_sent_apart_belongs_to_the_solution(tmp_path) -> None:
    problems_file(tmp_path, 1)
    script = [chat("So #0", reasoning_content="Hm. ")]
    with serving(script) as server:
        sample_experts(config_for(server, tmp_path, prompts={"solve": "math-solve-think-v1"}))
        assert "<think>" in server.bodies[0]["messages"][-1]["content"]
    text = rows_of(tmp_path / "experts.jsonl")[0]["expert_solution"]
    assert text == "<think>\nHm.\n</think>\n\nSo #0"


def small_requests(monkeypatch: pytest.MonkeyPatch, size: int = 2) -> None:
    monkeypatch.setattr(expert_sampling, "PROBLEMS_PER_REQUEST", size)


def test_a_budget_stops_and_the_same_command_goes_on(tmp_path, monkeypatch) -> None:
    small_requests(monkeypatch)
    problems_file(tmp_path, 5)

    def solve(body: dict) -> dict:
        return chat(f"#{body['messages'][-1]['content'][1:]}")

    with serving(solve) as server:
        limited = {"budget": {"requests": 5}}
        with pytest.raises(BudgetError, match=r"Samples of 2 of 5 problems are kept.*go on"):
            sample_experts(config_for(server, tmp_path, endpoint=limited))
        assert not (tmp_path / "experts.jsonl").exists()
        kept = (tmp_path / "experts.samples.jsonl").read_text()
        summary = sample_experts(config_for(server, tmp_path, endpoint=limited))
        # 4 for two whole problems, 1 of the next: all five were kept and none is asked for again.
        assert len(server.bodies) == 10
    assert (summary.solved, summary.now_requests, summary.now_cached) == (5, 5, 1)
    assert (tmp_path / "experts.samples.jsonl").read_text().startswith(kept)
    rows = rows_of(tmp_path / "experts.jsonl")
    assert [row["expert_solution"] for row in rows] == [f"#{i}" for i in range(5)]


def test_a_torn_line_costs_the_problems_of_that_line(tmp_path) -> None:
    problems_file(tmp_path, 2)
    with serving(replies("#0", "#0", "#1", "#1")) as server:
        sample_experts(config_for(server, tmp_path))
        path = tmp_path / "experts.samples.jsonl"
        path.write_bytes(path.read_bytes()[:-40])
        summary = sample_experts(config_for(server, tmp_path))
        assert len(server.bodies) == 4  # its replies were recorded
    assert (summary.solved, summary.now_requests, summary.now_cached) == (2, 0, 2)


def test_a_teacher_that_failed_is_asked_again_and_only_for_that(tmp_path) -> None:
    problems_file(tmp_path, 2)
    script = replies("#0", Answer("{}", status=500), "#1", "#1", "late #0")
    with serving(script) as server:
        summary = sample_experts(config_for(server, tmp_path))
        assert summary.outcomes == {"correct": 3, "teacher_error": 1}
        summary = sample_experts(config_for(server, tmp_path))
        assert len(server.bodies) == 5
    assert summary.outcomes == {"correct": 4}


def test_a_verifier_that_failed_is_asked_again_without_the_teacher(tmp_path, monkeypatch) -> None:
    problems_file(tmp_path, 1)
    verdicts = [Verdict("error", None, detail="down"), Verdict("scored", 1.0)]

    class Verifier:
        name = "flaky"
        closed = 0

        def verify(self, completions, reference_answers):
            verdict = verdicts.pop(0)
            return [verdict] * len(completions)

        def close(self):
            Verifier.closed += 1

    monkeypatch.setattr(experts_module, "build_verifiers", lambda *_: [(Verifier(), 1.0)])
    with serving(replies("a", "b")) as server:
        config = config_for(server, tmp_path, keep_unsolved=True)
        assert sample_experts(config).outcomes == {"judging_error": 2}
        assert sample_experts(config).outcomes == {"correct": 2}
        assert len(server.bodies) == 2
    assert Verifier.closed == 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"temperature": 0.5}, "temperature changed"),
        ({"samples_per_problem": 3}, "samples_per_problem changed"),
        ({"max_new_tokens": 5}, "max_new_tokens changed"),
        ({"endpoint": {"model": "other"}}, "teacher changed"),
        ({"endpoint": {"extra_body": {"top_k": 1}}}, "teacher changed"),
        ({"prompts": {"solve": "math-solve-v1"}}, "template, template_sha256 changed"),
        ({"verifier": "exact", "verifier_options": {"answer_marker": "="}}, "verifier_options"),
    ],
)
def test_samples_made_differently_are_not_mixed(tmp_path, changes, named) -> None:
    problems_file(tmp_path)
    with serving(replies("#0", "#0", "#1", "#1")) as server:
        sample_experts(config_for(server, tmp_path))
        before = (tmp_path / "experts.jsonl").read_text()
        with pytest.raises(ConfigError, match=named):
            sample_experts(config_for(server, tmp_path, **changes))
        assert len(server.bodies) == 4
    assert (tmp_path / "experts.jsonl").read_text() == before


def judged(server: Any, **endpoint: Any) -> dict[str, Any]:
    """Fields that make a model at the same address the judge."""
    described = {"base_url": server.url, "model": "judge", "max_retries": 0, **endpoint}
    return {"verifier": "judge", "verifier_options": {"endpoint": described}}


def test_a_judge_as_verifier_may_be_reached_and_paid_differently_later(tmp_path) -> None:
    problems_file(tmp_path, 2)

    def answer(body: dict) -> dict:
        return chat("Score: 1" if body["model"] == "judge" else "my answer")

    with serving(answer) as server:
        poor = judged(server, budget={"requests": 1})
        with pytest.raises(BudgetError, match=r"judge: budget of requests.*Samples of 0 of 2"):
            sample_experts(config_for(server, tmp_path, **poor))
        summary = sample_experts(config_for(server, tmp_path, **judged(server, budget={})))
        assert (summary.solved, summary.now_requests) == (2, 0)
        faster = judged(server, concurrency=2, base_url="http://127.0.0.1:1/v1")
        assert sample_experts(config_for(server, tmp_path, **faster)).solved == 2
        with pytest.raises(ConfigError, match="verifier_options changed"):
            sample_experts(config_for(server, tmp_path, **judged(server, model="other")))
    told = rows_of(tmp_path / "experts.jsonl")[0]["metadata"]["expert"]
    assert told["verifier_options"] == {"endpoint": {"model": "judge"}}


def test_another_question_under_the_same_id_is_not_mixed_and_more_problems_are(tmp_path) -> None:
    problems_file(tmp_path, 1)
    with serving(lambda body: chat(f"#{body['messages'][-1]['content'][-1]}")) as server:
        sample_experts(config_for(server, tmp_path))
        problems_file(tmp_path, 3)
        assert sample_experts(config_for(server, tmp_path)).now_requests == 4
        problems_file(tmp_path, 1, question="other 0")
        with pytest.raises(ConfigError, match="the question or the reference answer changed"):
            sample_experts(config_for(server, tmp_path))


def test_a_file_of_somebody_else_is_left_alone(tmp_path) -> None:
    problems_file(tmp_path)
    (tmp_path / "experts.jsonl").write_text("mine\n")
    with serving(replies("#0")) as server:
        with pytest.raises(ConfigError, match="was not written by this command"):
            sample_experts(config_for(server, tmp_path))
        assert server.bodies == []
    assert (tmp_path / "experts.jsonl").read_text() == "mine\n"


def test_no_solution_at_all_is_an_error_that_keeps_the_samples(tmp_path) -> None:
    problems_file(tmp_path)
    with serving(replies("#9")) as server:
        with pytest.raises(
            DataError, match=r"none of 2 problems has a correct sample \(4 incorrect"
        ):
            sample_experts(config_for(server, tmp_path))
        assert len(rows_of(tmp_path / "experts.samples.jsonl")) == 2
        summary = sample_experts(config_for(server, tmp_path, keep_unsolved=True))
        assert len(server.bodies) == 4
    assert (summary.solved, summary.written) == (0, 2)


def test_a_teacher_that_answers_nothing_stops_at_once(tmp_path, monkeypatch) -> None:
    small_requests(monkeypatch)
    problems_file(tmp_path, 10)
    with serving([Answer({"error": {"message": "bad key"}}, status=401)]) as server:
        with pytest.raises(EndpointError, match=r"answered none of 4 requests.*bad key"):
            sample_experts(config_for(server, tmp_path))
        assert len(server.bodies) == 4
    assert not (tmp_path / "experts.samples.jsonl").exists()


def test_log_probs_that_are_missing_stop_at_once(tmp_path, monkeypatch) -> None:
    small_requests(monkeypatch)
    problems_file(tmp_path, 10)
    with serving(replies("#0")) as server:
        with pytest.raises(EndpointError, match="no log-probs with 4 of 4 answers"):
            sample_experts(config_for(server, tmp_path, choose="most_likely"))
        assert server.bodies[0]["logprobs"] is True
    with serving(replies("#0", "#0")) as server:
        problems_file(tmp_path, 1)
        sample_experts(config_for(server, tmp_path, output=str(tmp_path / "b.jsonl")))
        with pytest.raises(ConfigError, match="samples without log-probs"):
            sample_experts(
                config_for(server, tmp_path, output=str(tmp_path / "b.jsonl"), choose="most_likely")
            )


def test_each_task_kind_has_its_own_template_and_verifier(tmp_path) -> None:
    path = problems_file(tmp_path, 1)
    math = {"problem_id": "m", "question": "1+1?", "reference_answer": "2", "task_kind": "math"}
    path.write_text(path.read_text() + json.dumps(math) + "\n")
    with serving(replies("lab #0", "#9", r"so \boxed{2.0}", "#2")) as server:
        sample_experts(config_for(server, tmp_path))
        assert r"\boxed{}" in server.bodies[2]["messages"][-1]["content"]
    lab, maths = rows_of(tmp_path / "experts.jsonl")
    assert (lab["metadata"]["expert"]["verifier"], lab["expert_solution"]) == ("exact", "lab #0")
    assert maths["metadata"]["expert"]["verifier"] == "math"
    assert maths["expert_solution"] == r"so \boxed{2.0}"


def test_a_kind_without_a_verifier_and_doubled_ids_are_errors(tmp_path) -> None:
    path = problems_file(tmp_path, 1, task_kind="poetry")
    with serving(replies("#0")) as server:
        with pytest.raises(ConfigError, match="task kind poetry, which has no verifier"):
            sample_experts(config_for(server, tmp_path))
        data = [{"path": str(path), "name": "a"}, {"path": str(path), "name": "b"}]
        with pytest.raises(DataError, match="occur more than once, such as 'p0'"):
            sample_experts(config_for(server, tmp_path, data=data))


def test_parquet_holds_the_same_problems(tmp_path) -> None:
    problems_file(tmp_path, 3, metadata={"level": 1})
    with serving(replies("#0", "#0", "#9", "#9", "#2", "#2")) as server:
        config = config_for(server, tmp_path, keep_unsolved=True)
        sample_experts(config)
        as_parquet = parse_experts(
            config_to_plain(config), {"output": str(tmp_path / "experts.parquet")}
        )
        sample_experts(as_parquet)
        assert len(server.bodies) == 6  # one set of samples serves both files
    table, lines = (load_problems(tmp_path / f"experts.{end}") for end in ("parquet", "jsonl"))
    assert [p.expert_solution for p in table] == ["#0", None, "#2"]
    assert [p.question for p in table] == [p.question for p in lines]
    assert table[2].metadata["expert"]["text_sha256"] == hashlib.sha256(b"#2").hexdigest()


def test_metadata_that_parquet_cannot_hold_is_told(tmp_path) -> None:
    path = problems_file(tmp_path, 1, metadata={"level": 1})
    text = path.read_text()
    path.write_text(text + text.replace("p0", "p1").replace('"level": 1', '"level": "one"'))
    with serving(replies("#0")) as server:
        config = config_for(server, tmp_path, output=str(tmp_path / "e.parquet"))
        with pytest.raises(DataError, match=r"choose an output that ends in \.jsonl"):
            sample_experts(config)
    assert not (tmp_path / "e.parquet").exists()


def test_cost_is_that_of_all_tokens_at_the_prices(tmp_path) -> None:
    problems_file(tmp_path, 1)
    prices = {"budget": {"input_price": 1.0, "output_price": 4.0}}
    with serving(replies("#0")) as server:
        summary = sample_experts(config_for(server, tmp_path, endpoint=prices))
    # 2 samples of 10 prompt tokens and 5 of the reply: (20 * 1 + 10 * 4) / 1e6
    assert summary.cost == pytest.approx(60e-6)


def test_the_key_is_in_no_file(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TEACHER_API_KEY", KEY)
    problems_file(tmp_path, 1)
    with serving(replies(f"{KEY} #0", "#0")) as server:
        endpoint = {"api_key_env": "TEACHER_API_KEY"}
        sample_experts(config_for(server, tmp_path, endpoint=endpoint, keep_unsolved=True))
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert len(files) == 5
    assert not [path.name for path in files if "planted" in path.read_text()]


def local_config(folder: Path, name: str = "local", limit: int = 6, **changes: Any) -> Any:
    plain = {
        "data": {"path": "lab:easy", "limit": limit},
        "teacher": {"kind": "model", "path": "lab:base"},
        "output": str(folder / f"{name}.jsonl"),
        "samples_per_problem": 2,
        "max_new_tokens": 48,
    }
    return parse_experts(plain, changes)


def test_a_teacher_on_this_machine_goes_on_with_the_same_samples(tmp_path, monkeypatch) -> None:
    small_requests(monkeypatch, 4)
    whole = sample_experts(local_config(tmp_path, keep_unsolved=True))
    assert whole.samples == 12
    assert whole.completion_tokens > 0
    assert whole.outcomes["correct"] >= 6  # the shipped policy solves nearly all easy problems

    path = tmp_path / "part.samples.jsonl"
    lines = (tmp_path / "local.samples.jsonl").read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[2]]))  # of the first request two problems are missing
    sample_experts(local_config(tmp_path, "part", keep_unsolved=True))
    texts = [
        [[judged["sample"]["text"] for judged in line["samples"]] for line in sorted_lines(file)]
        for file in (tmp_path / "local.samples.jsonl", path)
    ]
    assert texts[0] == texts[1]
    other = local_config(tmp_path, "other", seed=1, limit=4, keep_unsolved=True)
    sample_experts(other)
    assert rows_of(tmp_path / "other.jsonl") != rows_of(tmp_path / "local.jsonl")[:4]
    with_logps = sample_experts(local_config(tmp_path, choose="most_likely"))
    assert with_logps.solved == whole.solved


def sorted_lines(path: Path) -> list[dict[str, Any]]:
    return sorted(rows_of(path), key=lambda line: line["problem_id"])


def test_a_local_teacher_is_named_without_its_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(teachers, "load_model_to_sample", lambda _: _Loaded())
    monkeypatch.setattr(teachers, "TransformersEngine", lambda *_, **__: None)
    folder = tmp_path / "my-model"
    folder.mkdir()
    config = local_config(tmp_path, teacher={"path": str(folder)})
    assert teachers.LocalTeacher(config.teacher, config).describe()["model"] == "my-model"


class _Loaded:
    model = tokenizer = None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"output": "x.csv"}, "found output 'x.csv'; required: a file that ends in .jsonl"),
        ({"temperature": None}, "found temperature or top_p null with a teacher on this machine"),
        ({"temperature": 0.0}, "found 2 samples per problem at temperature 0"),
        ({"verifier_options": {"a": 1}}, "found verifier_options without a verifier"),
        (
            {"teacher": {"kind": "oracle"}},
            "teacher: found kind 'oracle'; required: one of",
        ),
        ({"choose": "best"}, "choose: found 'best'; required: one of first, shortest, most_likely"),
    ],
)
def test_faulty_configurations(tmp_path, changes, fault) -> None:
    with pytest.raises(ConfigError) as caught:
        local_config(tmp_path, **changes)
    assert fault in str(caught.value)
