"""Pass rates and hard subsets: what is counted, what is written, and what a killed job keeps."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from fakes import ScriptedEngine, ScriptedVerifier, completion
from rephrase_rl.assembly import mining, offline
from rephrase_rl.assembly.mining import mine
from rephrase_rl.assembly.objects import load_data
from rephrase_rl.assembly.rewriting import judge_with
from rephrase_rl.assembly.training import training_dataset
from rephrase_rl.config import DataConfig, parse_config
from rephrase_rl.errors import CheckpointError, ConfigError, DataError
from rephrase_rl.records import Problem
from rephrase_rl.runs.jsonl import read_lines
from rephrase_rl.trainers.trl.anticipation import _expected_pass_fraction

VERDICTS = {"right": 1.0, "wrong": 0.0, "odd": None, "cut": 0.0}
# Problem -> what it is answered with; rates 2/4, none, 0/4, 1/3, 1.
ANSWERS = {
    "a": ["right", "wrong", "right", "wrong"],
    "b": ["odd", "odd", "odd", "odd"],
    "c": ["cut", "wrong", "wrong", "cut"],
    "d": ["odd", "right", "wrong", "wrong"],
    "e": ["right", "right", "right", "right"],
}
RATES = {"a": 0.5, "b": math.nan, "c": 0.0, "d": 1 / 3, "e": 1.0}


class Killed(BaseException):
    """Stands for a signal: nothing in the program may catch it."""


class MiningEngine(ScriptedEngine):
    """Answers by the script; dies after so many requests."""

    def __init__(self, requests: int | None = None) -> None:
        super().__init__(self._answer)
        self.requests = requests
        self.checked: list[Any] = []

    def _answer(self, prompt, sample):
        text = ANSWERS[prompt[-1]["content"].split("\n")[0]][sample]
        return completion(text, finished=text != "cut")

    def sample(self, prompts, settings, *, on_progress=None):
        if self.requests is not None and len(self.calls) >= self.requests:
            raise Killed
        return super().sample(prompts, settings, on_progress=on_progress)

    def refuse_long(self, prompts, max_new_tokens) -> None:
        self.checked.append((len(prompts), max_new_tokens))


@pytest.fixture
def data(tmp_path) -> Path:
    path = tmp_path / "five.jsonl"
    rows = [
        {
            "problem_id": name,
            "question": name,
            "reference_answer": "7",
            "expert_solution": f"k of {name}",
            "level": i,
        }
        for i, name in enumerate(ANSWERS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def job(monkeypatch, tmp_path, data):
    """Runs a mining job of the five problems; two problems share a request."""
    monkeypatch.setattr(mining, "ROWS_PER_REQUEST", {"transformers": 8, "vllm": 16})

    class Rewards:
        judge = staticmethod(judge_with([(ScriptedVerifier(VERDICTS), 1.0)]))

        def close(self) -> None:
            closed.append(self)

    closed: list[Rewards] = []
    monkeypatch.setattr(mining, "build_rewards", lambda config, problems: Rewards())

    def run(engine: Any = None, /, *, out: str = "out", data: Path = data, changes=(), **options):
        def load_engine(config, job):
            assert engine is not None, "a policy was loaded though nothing is to be sampled"
            job.settle("weights", "w")
            return engine

        used, other = ("load_engine", "load_vllm")[:: -1 if options.get("engine") else 1]
        monkeypatch.setattr(mining, used, load_engine)
        monkeypatch.setattr(mining, other, None)
        config = parse_config(
            {"method": "grpo", "model": {"path": "lab:base"}, "data": {"path": str(data)}},
            overrides=changes,
        )
        return mine(config, tmp_path / out, **{"samples": 4, **options})

    run.closed = closed
    return run


def lines(tmp_path, out="out") -> list[dict[str, Any]]:
    return list(read_lines(tmp_path / out / "problems.jsonl"))


def test_rates_are_of_scored_samples(job, tmp_path) -> None:
    job(MiningEngine())
    assert len(job.closed) == 1, "the verifiers were left open"
    found = {line["problem_id"]: line for line in lines(tmp_path)}
    assert {k: v["pass_rate"] for k, v in found.items()} == pytest.approx(
        {k: None if math.isnan(v) else v for k, v in RATES.items()}
    )
    assert [found[k]["unscorable"] for k in "abcde"] == [0, 4, 0, 1, 0]
    assert [found[k]["truncated"] for k in "abcde"] == [0, 0, 2, 0, 0]
    assert [found[k]["samples"] for k in "abcde"] == [4] * 5
    # "cut" twice without end token, "wrong" twice with one.
    assert found["c"]["tokens"] == 2 * 3 + 2 * 6
    assert found["b"]["low"] is None


def test_tables_hold_all_and_the_chosen_range(job, tmp_path) -> None:
    summary = job(MiningEngine(), pass_range=(0.0, 0.34))
    everything = parquet.read_table(tmp_path / "out" / "pass_rates.parquet").to_pylist()
    assert [row["problem_id"] for row in everything] == list("abcde")
    assert [row["chosen"] for row in everything] == [False, False, True, True, False]
    assert everything[1]["pass_rate"] is None
    assert [row["scored"] for row in everything] == [4, 0, 4, 3, 4]
    hard = parquet.read_table(tmp_path / "out" / "hard.parquet").to_pylist()
    assert [(row["problem_id"], row["pass_rate"]) for row in hard] == [
        ("c", 0.0),
        ("d", pytest.approx(1 / 3)),
    ]
    assert hard[0]["question"] == "c"
    assert hard[0]["expert_solution"] == "k of c"
    assert hard[0]["metadata"] == {"level": 2}
    counts = (summary.problems, summary.chosen, summary.never_passed, summary.always_passed)
    assert counts == (5, 2, 1, 1)
    assert (summary.without_rate, summary.unscorable_samples, summary.truncated_samples) == (
        1,
        5,
        2,
    )
    assert summary.pass_rate.mean == pytest.approx((0.5 + 0 + 1 / 3 + 1) / 4)
    stored = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert stored["pass_rate"]["mean"] == pytest.approx(summary.pass_rate.mean)


def test_hard_problems_train_and_their_rate_reaches_the_row(job, tmp_path) -> None:
    job(MiningEngine(), pass_range=(0.0, 0.34))
    hard = tmp_path / "out" / "hard.parquet"
    problems = load_data(DataConfig(path=str(hard)))
    config = parse_config(
        {"method": "repo", "model": {"path": "lab:base"}, "data": {"path": str(hard)}}
    )
    rows = list(training_dataset(problems, config))
    assert [(row["problem_id"], row["pass_rate"]) for row in rows] == [
        ("c", 0.0),
        ("d", pytest.approx(1 / 3)),
    ]
    assert rows[0]["expert_solution"] == "k of c"
    assert [_expected_pass_fraction(row, ()) for row in rows] == pytest.approx([0.0, 1 / 3])


def test_a_mined_file_can_be_mined_again(job, tmp_path) -> None:
    job(MiningEngine(), pass_range=(0.0, 0.5))
    summary = job(MiningEngine(), out="again", data=tmp_path / "out" / "hard.parquet")
    assert summary.problems == 3
    again = load_data(DataConfig(path=str(tmp_path / "again" / "hard.parquet")))
    assert [(p.problem_id, p.metadata) for p in again] == [("c", {"level": 2, "pass_rate": 0.0})]


def test_an_empty_range_writes_no_hard_subset_and_removes_an_old_one(job, tmp_path) -> None:
    job(MiningEngine())
    assert (tmp_path / "out" / "hard.parquet").is_file()
    assert job(pass_range=(0.6, 0.9)).chosen == 0
    assert not (tmp_path / "out" / "hard.parquet").exists()


def test_a_killed_job_goes_on_and_ends_like_one_that_was_not(job, tmp_path) -> None:
    job(MiningEngine(), out="whole")
    with pytest.raises(Killed):
        job(MiningEngine(requests=1))
    assert [line["problem_id"] for line in lines(tmp_path)] == ["a", "b"]
    engine = MiningEngine()
    told: list[tuple[int, int]] = []
    job(engine, on_progress=lambda *counts: told.append(counts))
    assert [len(prompts) for prompts, _ in engine.calls] == [2, 1], "a and b were asked again"
    assert lines(tmp_path) == lines(tmp_path, "whole")
    for name in ("pass_rates.parquet", "hard.parquet"):
        whole, resumed = (parquet.read_table(tmp_path / f / name) for f in ("whole", "out"))
        assert whole.equals(resumed)
    assert told[0] == (12, 20)
    assert told[-1] == (20, 20)


def test_seeds_of_requests_do_not_depend_on_where_a_job_stopped(job, tmp_path) -> None:
    whole, rest = MiningEngine(), MiningEngine()
    job(whole, out="whole")
    with pytest.raises(Killed):
        job(MiningEngine(requests=1))
    job(rest)
    seeds = [settings.seed for _, settings in whole.calls]
    assert len(set(seeds)) == 3
    assert [settings.seed for _, settings in rest.calls] == seeds[1:]


def test_a_request_that_was_half_written_is_completed(job, tmp_path) -> None:
    job(MiningEngine(), out="whole")
    job(MiningEngine())
    file = tmp_path / "out" / "problems.jsonl"
    content = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(content[:3]) + content[3][:20])  # c is whole, d is torn
    engine = MiningEngine()
    job(engine)
    assert lines(tmp_path) == lines(tmp_path, "whole")
    assert [len(prompts) for prompts, _ in engine.calls] == [2, 1]


def test_another_range_samples_nothing(job) -> None:
    assert job(MiningEngine()).chosen == 1
    assert job(pass_range=(0.3, 0.5)).chosen == 2


@pytest.mark.parametrize(
    ("changes", "options", "named"),
    [
        (["trainer.temperature=0.5"], {}, "temperature"),
        (["seed=3"], {}, "seed"),
        (["trainer.max_completion_length=99"], {}, "max_new_tokens"),
        (["data.limit=4"], {}, "num_problems"),
        ([], {"samples": 3}, "samples"),
        ([], {"engine": "vllm"}, "engine"),
    ],
)
def test_other_settings_are_refused(job, tmp_path, changes, options, named) -> None:
    job(MiningEngine())
    before = lines(tmp_path)
    with pytest.raises(ConfigError, match=named):
        job(MiningEngine(), changes=changes, **options)
    assert lines(tmp_path) == before


def test_other_weights_are_refused(job, tmp_path, monkeypatch) -> None:
    with pytest.raises(Killed):
        job(MiningEngine(requests=1))
    manifest = tmp_path / "out" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"weights": "w"', '"weights": "other"'))
    with pytest.raises(ConfigError, match="weights"):
        job(MiningEngine())


def test_vllm_is_given_many_at_once(job) -> None:
    engine = MiningEngine()
    job(engine, engine="vllm")
    assert [len(prompts) for prompts, _ in engine.calls] == [4, 1]


@pytest.fixture
def vllm_options(monkeypatch) -> dict[str, Any]:
    """What vLLM is made with."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(offline, "VllmEngine", lambda path, **more: found.update(more, path=path))
    return found


class Settled:
    """The part of a job that an engine is loaded with."""

    def __init__(self) -> None:
        self.weights: Any = None

    def settle(self, name: str, value: Any) -> None:
        self.weights = (name, value)


def test_vllm_computes_in_the_models_dtype_and_in_the_length_for_it(vllm_options) -> None:
    config = parse_config(
        {
            "method": "grpo",
            "model": {"path": "lab:base", "dtype": "bfloat16", "revision": "abc"},
            "data": {"path": "lab:hard"},
            "trainer": {"vllm_max_model_length": 512, "vllm_gpu_memory_utilization": 0.3},
        }
    )
    job = Settled()
    offline.load_vllm(config, job)
    assert Path(vllm_options.pop("path")).is_dir()
    assert vllm_options == {
        "chat_template_kwargs": None,
        "dtype": "bfloat16",
        "trust_remote_code": False,
        "revision": "abc",
        "max_model_len": 512,
    }
    assert job.weights[0] == "weights"
    assert len(job.weights[1]) == 64


def test_a_model_on_the_hub_is_known_by_its_commit(vllm_options) -> None:
    model = {"path": "some/model", "revision": "abc"}
    job = Settled()
    config = parse_config({"method": "grpo", "model": model, "data": {"path": "lab:hard"}})
    offline.load_vllm(config, job)
    assert job.weights == ("weights", "some/model abc")
    assert vllm_options["path"] == "some/model"


def test_vllm_is_not_asked_to_load_gguf(vllm_options) -> None:
    model = {"path": "some/model", "gguf_file": "q4.gguf"}
    config = parse_config({"method": "grpo", "model": model, "data": {"path": "lab:hard"}})
    with pytest.raises(ConfigError, match=r"model\.gguf_file with the engine vllm"):
        offline.load_vllm(config, Settled())
    assert not vllm_options


def test_weights_are_told_apart() -> None:
    from fakes import tiny_model

    first, same, other = tiny_model(0), tiny_model(0), tiny_model(1)
    assert offline.weights_fingerprint(first) == offline.weights_fingerprint(same)
    assert offline.weights_fingerprint(first) != offline.weights_fingerprint(other)


def test_prompts_are_checked_before_anything_is_sampled(job) -> None:
    engine = MiningEngine()
    job(engine)
    assert engine.checked == [(5, 256)]


def test_what_cannot_be_a_job_is_refused(job, tmp_path, data) -> None:
    with pytest.raises(ConfigError, match="range"):
        job(MiningEngine(), pass_range=(0.5, 0.2))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="no manifest"):
        job(MiningEngine())
    rows = data.read_text().splitlines()
    (tmp_path / "more.jsonl").write_text(rows[0])
    both = [f"data=[{{path: {data}, name: x}}, {{path: {tmp_path / 'more.jsonl'}, name: y}}]"]
    with pytest.raises(DataError, match="more than once"):
        job(MiningEngine(), out="other", changes=both)


@pytest.mark.parametrize("rate", ["high", 37.5, True, -0.1])
def test_a_pass_rate_that_is_none_does_not_reach_training(rate) -> None:
    problem = Problem("p", ({"role": "user", "content": "q"},), "1", metadata={"pass_rate": rate})
    config = parse_config({"method": "repo", "model": {"path": "m"}, "data": {"path": "d"}})
    with pytest.raises(DataError, match="pass_rate"):
        training_dataset([problem], config)


@pytest.mark.integration
def test_the_lab_is_mined_with_its_policy(tmp_path) -> None:
    config = parse_config(
        {
            "method": "grpo",
            "model": {"path": "lab:base"},
            "data": [
                {"path": "lab:hard", "name": "hard", "limit": 12},
                {"path": "lab:easy", "name": "easy", "limit": 12},
            ],
            "trainer": {"max_completion_length": 48},
        }
    )
    summary = mine(config, tmp_path / "out", samples=4)
    hard = load_data(DataConfig(path=str(tmp_path / "out" / "hard.parquet")))
    # The shipped policy solves the easy levels and never the hard ones.
    assert summary.pass_rate.n_clusters == 24
    assert {p.metadata["level"] for p in hard} == {6}
    assert len(hard) == 12
    assert {p.metadata["pass_rate"] for p in hard} == {0.0}
    assert summary.always_passed >= 10
