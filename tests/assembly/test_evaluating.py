"""Evaluations of policies on disk: stored with their provenance, killed, gone on with, refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fakes import ByteTokenizer, ScriptedEngine, tiny_model
from rephrase_rl.assembly import (
    EvaluationOptions,
    EvaluationSetting,
    evaluate_policy,
    evaluating,
)
from rephrase_rl.assembly.policies import step_within, weights_fingerprint
from rephrase_rl.config import PromptsConfig, parse_benchmarks
from rephrase_rl.errors import CheckpointError, ConfigError
from rephrase_rl.rollout import TransformersEngine
from rephrase_rl.runs import RunDirectory

RESUME = EvaluationOptions(resume=True)


def benchmarks(*names: str, **changes: Any):
    raw = [{"like": "lab_general", "name": name, "data": {"limit": 6}, **changes} for name in names]
    return parse_benchmarks(raw, ["samples_per_problem=2", "max_new_tokens=6"])


class Killed(Exception):
    pass


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch):
    """A tiny model in batches of four rows, whose requests can be broken off."""
    real = TransformersEngine(tiny_model(), ByteTokenizer(), batch_size=4)
    state = {"batches_left": 10**6, "sampled": 0}
    sample = TransformersEngine.sample

    def limited(self, prompts, settings, *, on_progress=None, journal=None):
        if journal is not None:
            keep = journal.keep

            def counted(sampled):
                if state["batches_left"] == 0:
                    raise Killed
                state["batches_left"] -= 1
                state["sampled"] += len(sampled)
                keep(sampled)

            journal.keep = counted
        return sample(self, prompts, settings, on_progress=on_progress, journal=journal)

    monkeypatch.setattr(TransformersEngine, "sample", limited)
    monkeypatch.setattr(evaluating, "load_engine", lambda path, name, kwargs: real)
    return state


def files(folder, name: str = "a") -> dict[str, Any]:
    result = json.loads((folder / "evals/0" / name / "result.json").read_text())
    result["provenance"].pop("stored_at")
    return {"result": result, "samples": (folder / "evals/0" / name / "samples.jsonl").read_text()}


@pytest.mark.integration
@pytest.mark.parametrize("batches", [0, 1, 4])
def test_a_killed_evaluation_gone_on_with_is_the_one_left_alone(tmp_path, engine, batches) -> None:
    both = benchmarks("a", "b")
    whole = evaluate_policy("m", both, seed=1, run_path=tmp_path / "whole")
    everything = engine["sampled"]
    engine.update(batches_left=batches, sampled=0)
    with pytest.raises(Killed):
        evaluate_policy("m", both, seed=1, run_path=tmp_path / "killed")
    partial = list((tmp_path / "killed").rglob("partial.jsonl"))
    assert len(partial) == 1
    with pytest.raises(CheckpointError, match="go on with --resume"):
        evaluate_policy("m", both[-1:] if batches == 4 else both, seed=1,
                        run_path=tmp_path / "killed")  # fmt: skip
    engine["batches_left"] = 10**6
    resumed = evaluate_policy("m", both, seed=1, run_path=tmp_path / "killed", options=RESUME)
    assert engine["sampled"] == everything
    assert resumed == whole
    for name in ("a", "b"):
        assert files(tmp_path / "killed", name) == files(tmp_path / "whole", name)
    assert not list((tmp_path / "killed").rglob("partial.jsonl"))
    assert not list((tmp_path / "whole").rglob("partial.jsonl"))


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch):
    """Every completion is the right answer's form; no model is loaded."""
    made: list[tuple[str, str]] = []

    class Engine(ScriptedEngine):
        def sample(self, prompts, settings, *, on_progress=None, journal=None):
            return super().sample(prompts, settings)

    def load(path, name, kwargs):
        made.append((path, name))
        return Engine(lambda prompt, sample: "x#1")

    monkeypatch.setattr(evaluating, "load_engine", load)
    return made


def test_a_result_says_what_made_it(tmp_path, scripted) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"123")
    model = str(tmp_path / "model")
    evaluate_policy(model, benchmarks("a", limit=4), seed=7, run_path=tmp_path / "out")
    result = files(tmp_path / "out")["result"]
    made_by = result["provenance"]
    assert (made_by["model"], made_by["engine"], made_by["seed"]) == (model, "transformers", 7)
    assert made_by["weights"] == weights_fingerprint(model)
    assert made_by["data"]["path"] == "lab:general"
    assert made_by["data"]["rows"] == 6
    assert made_by["data"]["subset"] == "4 of 200 problems (the source has 6)"
    assert made_by["benchmark"]["licence"] == "Apache-2.0"
    assert made_by["versions"]["rephrase-rl"]
    assert set(made_by["git"]) == {"commit", "dirty", "reason"}
    assert len(result["prompts_sha256"]) == len(made_by["data"]["sha256"]) == 64
    protocol = result["protocol"]
    assert (protocol["solve_template"], protocol["verifier"]) == ("lab-solve-v1", "exact")
    assert len(protocol["solve_template_sha256"]) == 64
    assert protocol["pass_at_k"] == [1, 2]
    assert set(result["by_label"]) == {"subject", "difficulty"}
    lines = files(tmp_path / "out")["samples"].splitlines()
    assert len(lines) == 8
    assert json.loads(lines[0])["text"] == "x#1"
    manifest = RunDirectory.open(tmp_path / "out").manifest
    assert (manifest["method"], manifest["model"]) == ("evaluation", model)


@pytest.mark.filterwarnings("error")
def test_a_prompt_of_its_own_beside_that_of_the_run_is_told(scripted) -> None:
    def ask(prompts: dict[str, str], **changes: Any) -> str:
        setting = EvaluationSetting(PromptsConfig(**prompts))
        made = evaluate_policy("m", benchmarks("a", **changes), seed=0, setting=setting)
        return made["a"].protocol.solve_template

    with pytest.warns(UserWarning, match=r"benchmark a asks with.*lab-solve-v1.*math-solve-think"):
        assert ask({"solve": "math-solve-think-v1"}) == "lab-solve-v1"
    assert ask({"solve": "math-solve-think-v1"}, prompt=None) == "math-solve-think-v1"
    assert ask({"solve": "lab-solve-v1"}) == "lab-solve-v1"
    assert ask({"style": "think"}) == "lab-solve-v1"  # of which the lab has no template
    assert ask({}) == "lab-solve-v1"


def test_finished_benchmarks_are_not_asked_again_and_others_are_added(tmp_path, scripted) -> None:
    out = tmp_path / "out"
    first = evaluate_policy("m", benchmarks("a"), seed=0, run_path=out)
    before = files(out)
    both = evaluate_policy("m", benchmarks("a", "b"), seed=0, run_path=out, options=RESUME)
    assert both["a"] == first["a"]
    assert files(out) == before
    assert (out / "evals/0/b/result.json").is_file()


@pytest.mark.parametrize(
    ("seed", "changes", "fault"),
    [
        (1, {}, "seed"),
        (0, {"temperature": 0.5}, "protocol"),
        (0, {"data": {"limit": 6, "seed": 3}}, "data"),
        (0, {"prompt": {"text": "{question} ?"}}, "protocol"),
    ],
)
def test_a_result_of_other_settings_is_refused(tmp_path, scripted, seed, changes, fault) -> None:
    evaluate_policy("m", benchmarks("a"), seed=0, run_path=tmp_path / "out")
    raw = [{"like": "lab_general", "name": "a", "data": {"limit": 6}, **changes}]
    other = parse_benchmarks(raw, ["samples_per_problem=2", "max_new_tokens=6"])
    with pytest.raises(ConfigError) as caught:
        evaluate_policy("m", other, seed=seed, run_path=tmp_path / "out", options=RESUME)
    assert fault in [text.split(":")[0] for text in caught.value.faults]


def test_a_damaged_result_is_told(tmp_path, scripted) -> None:
    out = tmp_path / "out"
    evaluate_policy("m", benchmarks("a"), seed=0, run_path=out)
    file = out / "evals/0/a/samples.jsonl"
    file.write_text('{"problem_id": 3}\n')
    with pytest.raises(CheckpointError, match="no result that can be read"):
        evaluate_policy("m", benchmarks("a"), seed=0, run_path=out, options=RESUME)


def test_another_models_directory_is_not_written_to(tmp_path, scripted) -> None:
    evaluate_policy("m", benchmarks("a"), seed=0, run_path=tmp_path / "out")
    with pytest.raises(ConfigError, match="another policy's run"):
        evaluate_policy("n", benchmarks("b"), seed=0, run_path=tmp_path / "out")


def test_the_engine_is_the_one_asked_for(tmp_path, scripted) -> None:
    evaluate_policy("m", benchmarks("a"), seed=0, options=EvaluationOptions(engine="vllm"))
    assert scripted == [("m", "vllm")]


def test_a_run_may_have_an_adapter_as_its_final_policy(tmp_path, scripted) -> None:
    run = RunDirectory.create(tmp_path / "run", {"method": "repo"}, "{}\n")
    with pytest.raises(CheckpointError, match=r"without a final policy .*run/config.yaml --resume"):
        evaluate_policy(str(run.path), benchmarks("a"), seed=0)
    final = run.checkpoints / "final"
    final.mkdir()
    (final / "adapter_config.json").write_text("{}")
    evaluate_policy(str(run.path), benchmarks("a"), seed=0)
    assert scripted == [(str(final), "transformers")]
    assert step_within(run.path, str(run.checkpoints / "checkpoint-30")) == 30


def test_the_fingerprint_of_weights_sees_other_files(tmp_path) -> None:
    assert weights_fingerprint("hub/id") is None
    (tmp_path / "model.safetensors").write_bytes(b"123")
    (tmp_path / "config.json").write_text("{}")
    first = weights_fingerprint(str(tmp_path))
    (tmp_path / "config.json").write_text("{ }")
    assert weights_fingerprint(str(tmp_path)) == first
    (tmp_path / "model.safetensors").write_bytes(b"1234")
    assert weights_fingerprint(str(tmp_path)) != first


def test_the_fingerprint_of_weights_sees_a_policy_trained_into_the_same_folder(tmp_path) -> None:
    weights = tmp_path / "model.safetensors"
    size = 3 * 2**20  # more than is read of it
    seen = set()
    for fill in (b"\0", b"\1"):
        weights.write_bytes(b"header" + fill * size)
        seen.add(weights_fingerprint(str(tmp_path)))
    assert len(seen) == 2
