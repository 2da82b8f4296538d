"""``rephrase-rl experts``: from the command line to a data set."""

from __future__ import annotations

import json

import pytest

from endpoint_fakes import chat, serving


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "problems.jsonl"
    row = {"problem_id": "p0", "question": "q", "reference_answer": "0", "task_kind": "lab"}
    path.write_text(
        json.dumps(row) + "\n" + json.dumps({**row, "problem_id": "p1", "question": "r"}) + "\n"
    )
    return path


def test_from_an_endpoint_to_a_dataset(cli, problems, tmp_path) -> None:
    out = tmp_path / "out.jsonl"
    with serving([chat("a #0"), chat("b #9")]) as server:
        words = [
            "experts", problems, "--teacher", server.url, "--teacher-model", "big", "-k", 1,
            "--out", out, "--keep-unsolved", "--set", "teacher.concurrency=1",
            "--set", "teacher.budget={input_price: 1.0, output_price: 1.0}",
        ]  # fmt: skip
        shown = cli(*words)
        plain = cli(*words, "--json")
        assert len(server.bodies) == 1 + 1
    assert (shown.status, plain.status) == (0, 0)
    assert "1 of 2" in shown.out
    assert "samples incorrect" in shown.out
    summary = json.loads(plain.out)
    assert (summary["solved"], summary["unsolved"], summary["written"]) == (1, 1, 2)
    assert (summary["now_requests"], summary["cost"]) == (0, pytest.approx(30e-6))
    assert len(out.read_text().splitlines()) == 2


def test_from_a_yaml_file(cli, problems, tmp_path) -> None:
    with serving([chat("a #0")]) as server:
        config = tmp_path / "experts.yaml"
        config.write_text(
            f"data: {{path: {problems}, limit: 1}}\n"
            f"teacher: {{kind: endpoint, base_url: '{server.url}', model: small}}\n"
            f"output: {tmp_path / 'o.jsonl'}\nsamples_per_problem: 3\n"
        )
        outcome = cli("experts", config, "-k", 2, "--teacher-model", "big", "--json")
        assert [body["model"] for body in server.bodies] == ["big", "big"]
    assert json.loads(outcome.out)["problems"] == 1
    assert (tmp_path / "o.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "teacher: found nothing"),
        (["--teacher", "http://h/v1", "--out", "o.jsonl"], "teacher.model: found nothing"),
        (["--teacher", "./m", "--teacher-model", "x"], "belongs to an endpoint"),
        (["--teacher", "http://h/v1", "--teacher-model", "x", "--out", "o.txt"], "found output"),
        (["--teacher", "lab:base", "--out", "o.jsonl", "--set", "chose=first"], "did you mean"),
    ],
)
def test_faults_are_the_users(cli, problems, words, message) -> None:
    outcome = cli("experts", problems, *words)
    assert outcome.status == 2
    assert message in outcome.err


def test_a_key_in_the_wrong_place_is_not_repeated(cli, problems) -> None:
    for field in ("api_key_env", "api_key"):
        outcome = cli(
            "experts", problems, "--teacher", "http://h/v1", "--teacher-model", "x", "--out",
            "o.jsonl", "--set", f"teacher.{field}=sk-planted", "--debug",
        )  # fmt: skip
        assert outcome.status == 2
        assert "planted" not in outcome.err + outcome.out
