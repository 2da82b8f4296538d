"""Rewrites without training: what a line says, what is added up, what a killed job keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes import ByteTokenizer, ScriptedEngine, tiny_model
from rephrase_rl.assembly import rephrasing
from rephrase_rl.assembly.offline_rewrites import RewrittenProblem, summarise_rewrites
from rephrase_rl.assembly.rephrasing import rephrase
from rephrase_rl.config import parse_config
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.records import from_json
from rephrase_rl.rollout.likelihoods import GivenCompletion, completion_logps
from rephrase_rl.runs.jsonl import read_lines

EXPERT = "7+5=2-3=9+2=1#291"
QUESTION = "7+5-3+2="
# The problem's own expert, from the lab's verifier's point of view: what follows # has to be 291.
REWRITES = {
    "good": "7+5=2-3=9+2=1#291",
    "copied answer": "7+5=3-3=4+2=7#291",
    "wrong": "7+5=2-3=9+2=2#292",
    "meta": "Based on the reference solution, add. #291",
    "left": "The expert solution shows it. #291",
    "empty": "  ",
}


class Killed(BaseException):
    """Stands for a signal."""


class RewritingEngine(ScriptedEngine):
    """Hands out texts by the question; a tiny model measures them."""

    tokenizer = ByteTokenizer()
    model = tiny_model(0)

    def __init__(self, requests: int | None = None) -> None:
        super().__init__(lambda prompt, sample: self.texts[prompt[-1]["content"]][sample])
        self.texts: dict[str, list[str]] = {}
        self.requests = requests

    def render(self, prompt) -> list[int]:
        return list("".join(message["content"] for message in prompt).encode())

    def sample(self, prompts, settings, *, on_progress=None):
        if self.requests is not None and len(self.calls) >= self.requests:
            raise Killed
        return super().sample(prompts, settings, on_progress=on_progress)


def prompt_of(number: int) -> str:
    return f"<rewrite>{QUESTION}<expert>{EXPERT}{'!' * number}"


@pytest.fixture
def job(monkeypatch, tmp_path):
    """Runs a job over one problem per text; the expert's marks tell the problems apart."""
    monkeypatch.setattr(rephrasing, "PROBLEMS_PER_REQUEST", 2)

    def run(texts: list[list[str]], engine: Any = None, *, extra=(), changes=(), **options):
        rows = [
            {
                "problem_id": f"p{i}",
                "question": QUESTION,
                "reference_answer": "291",
                "expert_solution": f"{EXPERT}{'!' * i}",
                "task_kind": "lab",
            }
            for i in range(len(texts))
        ]
        data = tmp_path / "data.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *extra]))
        made = engine or RewritingEngine()
        made.texts = {prompt_of(i): texts[i] for i in range(len(texts))}

        def load_engine(config, job):
            job.settle("weights", "w")
            return made

        monkeypatch.setattr(rephrasing, "load_engine", load_engine)
        config = parse_config(
            {"method": "repo", "model": {"path": "lab:base"}, "data": {"path": str(data)}},
            overrides=changes,
        )
        return rephrase(config, tmp_path / "out", samples=len(texts[0]), **options)

    return run


def lines(tmp_path: Path) -> list[RewrittenProblem]:
    return [from_json(RewrittenProblem, row) for row in read_lines(tmp_path / "out/rewrites.jsonl")]


def test_a_line_says_everything_of_a_rewrite(job, tmp_path) -> None:
    job([[text] for text in REWRITES.values()])
    found = dict(zip(REWRITES, (line.rewrites[0] for line in lines(tmp_path)), strict=True))
    assert {name: rewrite.verdict for name, rewrite in found.items()} == {
        "good": "right",
        "copied answer": "right",
        "wrong": "wrong",
        "meta": "right",
        "left": "right",
        "empty": "empty",
    }
    assert {name: rewrite.candidate.refusals for name, rewrite in found.items()} == {
        "good": (),
        "copied answer": (),
        "wrong": ("reward_above_replaced",),
        "meta": (),
        "left": ("no_meta_text",),
        "empty": ("empty",),
    }
    assert found["meta"].candidate.text == "Add. #291"
    assert found["meta"].candidate.removed_meta == ("Based on the reference solution,",)
    assert found["left"].leftover_meta == ("The expert solution",)
    assert (found["good"].steps_right, found["good"].steps_found) == (3, 3)
    assert (found["copied answer"].steps_right, found["copied answer"].steps_found) == (0, 3)
    assert found["good"].copied_share == 1.0
    assert found["wrong"].copied_share == pytest.approx(12 / 15)  # all but 2 # 292 of 15


def test_log_probs_are_of_the_final_text_given_q_and_given_the_rewrite_prompt(
    job, tmp_path
) -> None:
    job([[REWRITES["meta"]]], changes=["trainer.temperature=0.5"])
    candidate = lines(tmp_path)[0].rewrites[0].candidate
    trained = (*b"Add. #291", 257)

    def mean(prompt: str) -> float:
        row = GivenCompletion(tuple(prompt.encode()), trained)
        (logps,) = completion_logps(RewritingEngine.model, [row], temperature=0.5)
        return sum(logps) / len(logps)

    assert candidate.num_tokens == len(trained)
    assert candidate.logp_on_q == pytest.approx(mean(QUESTION), abs=1e-4)
    assert candidate.logp_on_context == pytest.approx(mean(prompt_of(0)), abs=1e-4)
    assert candidate.context_ratio_quantiles is not None


def test_every_sample_is_judged_by_itself(job, tmp_path) -> None:
    summary = job([[REWRITES["good"], REWRITES["good"], REWRITES["wrong"]]])
    (line,) = lines(tmp_path)
    assert [rewrite.candidate.accepted for rewrite in line.rewrites] == [True, True, False]
    assert (summary.rewrites, summary.accepted.mean) == (3, pytest.approx(2 / 3))
    assert summary.accepted.n_clusters == 1


def test_the_summary_adds_up(job, tmp_path) -> None:
    without = {
        "problem_id": "none",
        "question": QUESTION,
        "reference_answer": "291",
        "task_kind": "lab",
    }
    long = {**without, "problem_id": "long", "expert_solution": "k" * 300}
    summary = job(
        [[text] for text in REWRITES.values()],
        extra=[without, long],
        changes=["guidance.source.max_prompt_tokens=100"],
    )
    assert (summary.problems, summary.rewrites) == (8, 6)
    assert summary.not_asked == {"no_expert": 1, "over_length": 1}
    assert summary.verdicts == {"right": 4, "empty": 1, "wrong": 1}
    assert summary.right.mean == pytest.approx(4 / 5)
    assert summary.accepted.mean == pytest.approx(3 / 6)
    assert summary.refusals == {"empty": 1, "no_meta_text": 1, "reward_above_replaced": 1}
    assert (summary.removed_meta, summary.leftover_meta) == (1, 1)
    # Accepted: good (3 of 3 steps), copied answer (0 of 3), meta (none).
    assert (summary.steps_right, summary.steps_found) == (3, 6)
    assert summary.accepted_with_wrong_step == 1
    assert summary.tokens == sum(len(text) + 1 for text in REWRITES.values())
    accepted = [r for line in lines(tmp_path) for r in line.rewrites if r.candidate.accepted]
    assert summary.median_copied_share == sorted(r.copied_share for r in accepted)[1]
    stored = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert stored["verdicts"] == summary.verdicts
    assert summary == summarise_rewrites(lines(tmp_path))


def test_the_rule_on_steps_refuses_the_copied_answer(job) -> None:
    rules = "guidance.accept=[correct, steps_valid]"
    summary = job([[text] for text in REWRITES.values()], changes=[rules])
    # Wrong both in its last step and in its answer, and copied in the answer alone.
    assert summary.refusals == {"steps_valid": 2, "correct": 1, "empty": 1}
    assert summary.accepted_with_wrong_step == 0


def test_a_prompt_without_room_for_a_completion_is_counted_and_the_rest_rewritten(
    job, tmp_path
) -> None:
    """The engine's model has a context of 1,024 tokens."""
    long = {
        "problem_id": "long",
        "question": QUESTION,
        "reference_answer": "291",
        "expert_solution": "k" * 1100,
        "task_kind": "lab",
    }
    good = [[REWRITES["good"]], [REWRITES["wrong"]]]
    with pytest.warns(UserWarning, match=r"leaves 768 for P\(q, k\).*: 1 of 3 .* over_length"):
        summary = job(good, extra=[long])
    assert (summary.problems, summary.rewrites) == (3, 2)
    assert summary.not_asked == {"over_length": 1}
    assert {line.problem_id: line.not_asked for line in lines(tmp_path)} == {
        "p0": None,
        "p1": None,
        "long": "over_length",
    }


def test_a_job_of_which_no_prompt_fits_is_refused_before_anything_is_sampled(job) -> None:
    engine = RewritingEngine()
    with pytest.raises(DataError, match=r"leaves 4 for .* none of 1 fits"):
        job([[REWRITES["good"]]], engine, changes=["trainer.max_completion_length=1020"])
    assert engine.calls == []


def test_a_killed_job_goes_on_and_samples_nothing_twice(job, tmp_path) -> None:
    texts = [[REWRITES["good"]], [REWRITES["wrong"]], [REWRITES["meta"]], [REWRITES["left"]]]
    with pytest.raises(Killed):
        job(texts, RewritingEngine(requests=1))
    assert [line.problem_id for line in lines(tmp_path)] == ["p0", "p1"]
    engine = RewritingEngine()
    told: list[tuple[int, int]] = []
    summary = job(texts, engine, on_progress=lambda *counts: told.append(counts))
    assert [len(prompts) for prompts, _ in engine.calls] == [2]
    assert [line.problem_id for line in lines(tmp_path)] == ["p0", "p1", "p2", "p3"]
    assert summary.problems == 4
    assert told == [(2, 4), (4, 4)]


def test_other_rules_are_another_job(job) -> None:
    job([[REWRITES["good"]]])
    with pytest.raises(ConfigError, match="accept"):
        job([[REWRITES["good"]]], changes=["guidance.accept=[correct]"])


def test_a_source_that_does_not_rewrite_is_refused(job) -> None:
    with pytest.raises(ConfigError, match="rephrase"):
        job([["x"]], changes=["guidance.source.kind=expert_text"])


def test_problems_without_any_expert_are_refused_before_a_model_is_loaded(
    monkeypatch, tmp_path
) -> None:
    row = {"question": QUESTION, "reference_answer": "291", "task_kind": "lab"}
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps(row) + "\n")
    monkeypatch.setattr(rephrasing, "load_engine", None)
    config = parse_config(
        {"method": "repo", "model": {"path": "lab:base"}, "data": {"path": str(data)}}
    )
    with pytest.raises(DataError, match="none of the 1 problems has an expert solution"):
        rephrase(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.integration
def test_the_labs_policies_rewrite(tmp_path) -> None:
    def run(policy):
        config = parse_config(
            {
                "method": "repo",
                "model": {"path": f"lab:{policy}"},
                "data": {"path": "lab:hard", "limit": 24},
                "trainer": {"max_completion_length": 48},
            }
        )
        return rephrase(config, tmp_path / policy, samples=2)

    base, poor = run("base"), run("poor_rewriter")
    assert base.rewrites == poor.rewrites == 48
    # The shipped policy can rewrite what it cannot solve; the poor one mostly cannot.
    assert base.right.mean > 0.6 > poor.right.mean
    assert base.logp_on_q < base.logp_on_context < 0
    assert base.steps_right / base.steps_found > 0.9
