"""``eval``: which benchmarks are meant, with which changes, and that nothing stored is replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def run_folder(tmp_path: Path, config_file: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    (folder / "config.yaml").write_text(config_file.read_text() + "seed: 9\n")
    return folder


def benchmarks_of(assembly) -> list:
    ((name, call),) = assembly.calls
    assert name == "evaluate_policy"
    return list(call.benchmarks)


def test_model_on_a_file_and_on_the_lab(cli, assembly) -> None:
    outcome = cli("eval", "some/model", "--benchmark", "folder/test.jsonl", "--benchmark",
                  "lab:hard", "-k", "8", "--set", "temperature=0.6", "--set",
                  "data.mapping=gsm8k")  # fmt: skip
    assert outcome.status == 0
    first, second = benchmarks_of(assembly)
    assert (first.name, first.data.path) == ("folder-test.jsonl", "folder/test.jsonl")
    assert (second.name, second.data.path) == ("lab-hard", "lab:hard")
    assert {b.samples_per_problem for b in (first, second)} == {8}
    assert {b.temperature for b in (first, second)} == {0.6}
    assert first.data.mapping == "gsm8k"
    assert assembly.calls[0][1].run_path is None
    assert "0.500 (0.45 to 0.55)" in outcome.out
    assert "pass@1" in outcome.out


def test_run_brings_its_own_benchmarks_and_seed(cli, assembly, run_folder: Path) -> None:
    assert cli("eval", run_folder).status == 0
    (hard,) = benchmarks_of(assembly)
    assert (hard.name, hard.temperature) == ("hard", 0.5)
    assert assembly.calls[0][1].seed == 9


def test_benchmark_of_a_run_by_name_with_a_change(cli, assembly, run_folder: Path) -> None:
    cli("eval", run_folder, "--benchmark", "hard", "-k", "16", "--seed", "1")
    (hard,) = benchmarks_of(assembly)
    assert (hard.samples_per_problem, hard.temperature, hard.data.path) == (16, 0.5, "lab:hard")
    assert assembly.calls[0][1].seed == 1


def test_a_checkpoint_is_asked_as_its_run_is(cli, assembly, run_folder: Path, monkeypatch) -> None:
    text = (run_folder / "config.yaml").read_text() + "prompts: {style: think}\n"
    (run_folder / "config.yaml").write_text(text)
    best = run_folder / "checkpoints" / "best"
    best.mkdir(parents=True)
    monkeypatch.chdir(best)
    for target in (best, "../best", "."):
        assert cli("eval", target).status == 0
        _, call = assembly.calls.pop()
        assert call.setting.prompts.style == "think"
        assert ([b.name for b in call.benchmarks], call.seed) == (["hard"], 9)
        assert call.model == str(target)


def test_another_model_is_asked_as_a_run_is(cli, assembly, run_folder: Path, config_file) -> None:
    text = (run_folder / "config.yaml").read_text() + "prompts: {style: think}\n"
    (run_folder / "config.yaml").write_text(text)
    (run_folder / "checkpoints" / "final").mkdir(parents=True)
    for like in (run_folder, run_folder / "checkpoints" / "final"):
        assert cli("eval", "some/model", "--like", like).status == 0
        _, call = assembly.calls.pop()
        assert call.setting.prompts.style == "think"
        assert ([b.name for b in call.benchmarks], call.seed) == (["hard"], 9)
    assert cli("eval", "some/model", "--like", config_file, "--seed", "3").status == 0
    _, call = assembly.calls.pop()
    assert (call.setting.prompts.style, call.seed) == ("plain", 3)
    outcome = cli("eval", "some/model", "--like", run_folder / "checkpoints")
    assert (outcome.status, "--like: found no run at" in outcome.err) == (2, True)
    outcome = cli("eval", "some/model", "--like", run_folder, "--lm-eval", "arc_challenge")
    assert (outcome.status, "--lm-eval with --like;" in outcome.err) == (2, True)
    assert not assembly.calls


def test_code_of_a_strangers_run_needs_a_word_for_its_checkpoints_too(
    cli, assembly, run_folder: Path
) -> None:
    text = (run_folder / "config.yaml").read_text() + "rewards: [{verifier: 'own.py:name'}]\n"
    (run_folder / "config.yaml").write_text(text)
    best = run_folder / "checkpoints" / "best"
    best.mkdir(parents=True)
    for words in ((best,), ("some/model", "--like", run_folder)):
        outcome = cli("eval", *words)
        assert (outcome.status, "add --trust" in outcome.err) == (2, True)
        assert cli("eval", *words, "--trust").status == 0


def test_model_without_benchmark_is_the_users_error(cli, assembly) -> None:
    outcome = cli("eval", "lab:base")
    assert (outcome.status, "--benchmark lab:hard" in outcome.err) == (2, True)


def test_faulty_changes_are_told_together(cli, assembly) -> None:
    outcome = cli("eval", "lab:base", "--benchmark", "lab:hard", "--set", "temprature=1", "--set",
                  "top_p=2")  # fmt: skip
    assert outcome.status == 2
    assert "did you mean `temperature`?" in outcome.err
    assert "top_p: found 2" in outcome.err
    assert assembly.calls == []


def test_stored_results_are_not_replaced(cli, assembly, run_folder: Path) -> None:
    stored = run_folder / "evals" / "10" / "hard"
    stored.mkdir(parents=True)
    (stored / "result.json").write_text("{}")
    outcome = cli("eval", run_folder, "--out", run_folder)
    assert (outcome.status, "--set name=" in outcome.err) == (2, True)
    assert cli("eval", run_folder, "--out", run_folder, "--set", "name=hard-again").status == 0
    assert assembly.calls[0][1].run_path == run_folder


def test_json_leaves_out_the_samples(cli, assembly, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import dataclass

    @dataclass
    class Result:
        mean: float
        samples: tuple[str, ...]

    monkeypatch.setattr(
        assembly, "evaluate_policy", lambda *a, **k: {"b": Result(float("nan"), ("x",))}
    )
    outcome = cli("eval", "lab:base", "--benchmark", "lab:hard", "--json")
    assert json.loads(outcome.out) == {"b": {"mean": None}}


def test_a_declared_benchmark_by_name_and_one_of_ones_own(cli, assembly, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("name: own\ndata: {path: x.jsonl}\ntemperature: 0.25\n")
    outcome = cli("eval", "some/model", "--benchmark", "math500", "--benchmark", own, "--set",
                  "data.path=copy.jsonl", "--set", "subset=true")  # fmt: skip
    assert outcome.status == 0
    declared, mine = benchmarks_of(assembly)
    assert (declared.name, declared.expected_rows, declared.subset) == ("math500", 500, True)
    assert (mine.name, mine.temperature) == ("own", 0.25)
    assert {b.data.path for b in (declared, mine)} == {"copy.jsonl"}


def test_a_benchmark_of_the_run_comes_before_a_declared_one_of_its_name(
    cli, assembly, run_folder: Path
) -> None:
    text = (run_folder / "config.yaml").read_text().replace("name: hard", "name: math500")
    (run_folder / "config.yaml").write_text(text)
    cli("eval", run_folder, "--benchmark", "math500")
    assert benchmarks_of(assembly)[0].data.path == "lab:hard"


def test_the_declared_benchmarks_are_listed_without_a_model(cli, assembly) -> None:
    outcome = cli("eval", "--list")
    assert outcome.status == 0
    for part in ("math500", "12032", "gpqa_diamond", "first_of", "lab:hard"):
        assert part in outcome.out
    plain = json.loads(cli("eval", "--list", "--json").out)
    assert plain["aime24"]["samples_per_problem"] == 4
    assert plain["aime24"]["licence"].startswith("none stated")
    assert assembly.calls == []


def test_without_a_model_it_says_so(cli, assembly) -> None:
    outcome = cli("eval", "--benchmark", "lab_hard")
    assert (outcome.status, "found no model" in outcome.err) == (2, True)


def test_going_on_needs_a_directory_and_may_find_results_there(
    cli, assembly, run_folder: Path
) -> None:
    outcome = cli("eval", run_folder, "--resume")
    assert (outcome.status, "--resume: found no --out" in outcome.err) == (2, True)
    stored = run_folder / "evals" / "10" / "hard"
    stored.mkdir(parents=True)
    (stored / "result.json").write_text("{}")
    assert cli("eval", run_folder, "--out", run_folder, "--resume").status == 0
    assert assembly.calls[0][1].options.resume is True


def test_the_engine_is_handed_on(cli, assembly) -> None:
    cli("eval", "m", "--benchmark", "lab_hard", "--engine", "vllm")
    cli("eval", "m", "--benchmark", "lab_hard")
    assert [call.options.engine for _, call in assembly.calls] == ["vllm", "transformers"]
    assert [call.options.resume for _, call in assembly.calls] == [False, False]


def test_every_measure_and_part_is_printed(cli, assembly, monkeypatch) -> None:
    from types import SimpleNamespace

    from rephrase_rl.statistics import Interval

    interval = Interval(0.25, 0.2, 0.3, 12)
    found = SimpleNamespace(
        protocol=SimpleNamespace(samples_per_problem=4),
        num_problems=12,
        avg_at_k=interval,
        pass_at_k={1: interval, 4: interval},
        pass_hat_k={4: interval},
        maj_at_k={4: interval},
        by_label={"subject": {"Algebra\x1b[2J": interval}},
    )
    monkeypatch.setattr(assembly, "evaluate_policy", lambda *a, **k: {"b": found})
    out = cli("eval", "m", "--benchmark", "lab_hard").out
    for part in ("avg@4", "pass@4", "pass^4", "maj@4", "Algebra[U+001B][2J"):
        assert part in out


def test_tasks_of_the_harness_are_asked_in_place_of_benchmarks(cli, assembly, tmp_path) -> None:
    outcome = cli("eval", "some/model", "--lm-eval", "arc_challenge, t.yaml", "--set", "limit=5",
                  "--out", tmp_path / "run")  # fmt: skip
    assert outcome.status == 0, outcome.err
    ((name, call),) = assembly.calls
    assert name == "evaluate_with_harness"
    assert list(call.tasks) == ["arc_challenge", "t.yaml"]
    assert (call.options.limit, call.run_path) == (5, tmp_path / "run")


def test_the_harness_asks_in_its_own_way(cli, assembly) -> None:
    words = ("eval", "some/model", "--lm-eval", "arc_challenge")
    for more in (("--benchmark", "lab:hard"), ("-k", "4"), ("--engine", "vllm")):
        outcome = cli(*words, *more)
        assert (outcome.status, f"--lm-eval with {more[0]};" in outcome.err) == (2, True)
    assert cli("eval", "some/model", "--lm-eval", " , ").status == 2
    assert not assembly.calls


def test_a_declared_name_with_a_slip_is_told_at_once(cli, assembly) -> None:
    outcome = cli("eval", "some/model", "--benchmark", "math5000")
    assert (outcome.status, "do this: did you mean math500?" in outcome.err) == (2, True)
    assert cli("eval", "some/model", "--benchmark", "owner/math5000").status == 0
