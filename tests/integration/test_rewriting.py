"""Rewriting of expert solutions before training: what is asked, judged, accepted and counted."""

from __future__ import annotations

import math
from typing import Any

import pytest

from fakes import EOS_ID, ByteTokenizer, ScriptedEngine, ScriptedVerifier, completion, problem
from rephrase_rl.assembly import rewriting
from rephrase_rl.assembly.rewriting import (
    FAILED_ROLLOUT,
    Rewriter,
    count_outcomes,
    judge_with,
    rewrite_problems,
)
from rephrase_rl.guidance.blocks import CleanedCompletion
from rephrase_rl.records import from_json, to_json
from rephrase_rl.rewards import get_verifier
from rephrase_rl.rollout import SamplingSettings


class RenderingEngine(ScriptedEngine):
    """A scripted engine with the tokenizer that rewriting needs besides."""

    tokenizer = ByteTokenizer()

    def render(self, prompt: Any) -> list[int]:
        return list("".join(message["content"] for message in prompt).encode())


class Rule:
    """Accepts texts without a bad letter; keeps what it was called with."""

    name = "no_bad"

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, candidate, replaced, problem) -> bool:
        self.calls.append((candidate.completion.text, replaced, problem.problem_id))
        return "bad" not in candidate.completion.text


def ask(item: Any) -> Any:
    if item.expert_solution is None:
        return None
    return ({"role": "user", "content": f"{item.question}|{item.expert_solution}"},)


def clean(text: str) -> CleanedCompletion:
    removed = ("As shown, ",) if text.startswith("As shown, ") else ()
    return CleanedCompletion(text.removeprefix("As shown, "), removed, ())


def rewrite(problems: list[Any], script: Any, *, n: int = 1, limit: int = 30, **parts: Any):
    verifier = parts.pop("verifier", None) or ScriptedVerifier(default=1.0, verdicts={})
    rewriter = Rewriter(
        ask=ask,
        clean=clean,
        accept=parts.pop("accept", (Rule(),)),
        judge=judge_with([(verifier, 1.0)]),
        max_prompt_tokens=parts.pop("max_prompt_tokens", 100),
    )
    settings = SamplingSettings(n=n, max_new_tokens=limit, seed=5)
    return rewrite_problems(problems, rewriter, RenderingEngine(script), settings, **parts)


def test_first_accepted_candidate_counts_and_all_are_recorded() -> None:
    rule = Rule()
    (record,) = rewrite([problem("a")], ["bad one", "good", "better"], n=3, accept=(rule,))
    assert record.outcome == "accepted"
    assert record.token_ids == (*b"good", EOS_ID)
    assert [c.refusals for c in record.candidates] == [("no_bad",), (), ("not_chosen",)]
    assert [c.accepted for c in record.candidates] == [False, True, False]
    assert record.num_sampled_tokens == 8 + 5 + 7
    assert rule.calls[0] == ("bad one", FAILED_ROLLOUT, "a")
    assert (FAILED_ROLLOUT.reward, FAILED_ROLLOUT.correctness) == (0.0, 0.0)


def test_record_survives_its_file() -> None:
    records = rewrite([problem("a"), problem("b", expert_solution=None)], ["fine"])
    assert [from_json(rewriting.RewriteRecord, to_json(r)) for r in records] == records


def test_tokens_are_kept_unless_meta_text_was_removed() -> None:
    first, second = rewrite([problem("a"), problem("b")], ["plain", "As shown, it is"])
    assert first.token_ids == (*b"plain", EOS_ID)
    assert second.token_ids == (*b"it is", EOS_ID)
    assert second.candidates[0].raw_text == "As shown, it is"
    assert second.candidates[0].num_sampled_tokens == len("As shown, it is") + 1


def test_necessities_come_before_rules() -> None:
    verifier = ScriptedVerifier({"?": None}, default=1.0)
    script = [completion("  "), completion("?"), completion("x" * 40)]
    records = rewrite([problem(name) for name in "abc"], script, verifier=verifier)
    assert [r.candidates[0].refusals for r in records] == [
        ("empty",),
        ("unscorable",),
        ("over_length",),
    ]
    assert "  " not in [text for text, _ in verifier.calls]


def test_problems_without_a_prompt_are_not_sampled_for() -> None:
    problems = [
        problem("a", expert_solution=None),
        problem("b", expert_solution="k" * 200),
        problem("c"),
    ]
    records = rewrite(problems, ["only c"])
    assert [r.problem_id for r in records] == ["a", "b", "c"]
    assert [r.outcome for r in records] == ["no_expert", "over_length", "accepted"]


def test_outcomes_and_refusals_are_counted() -> None:
    problems = [problem("a"), problem("b"), problem("c", expert_solution=None)]
    records = rewrite(problems, ["bad", "good"])
    assert count_outcomes(records) == {
        "accepted": 1,
        "no_expert": 1,
        "refused": 1,
        "refused/no_bad": 1,
    }


def test_requests_have_seeds_of_their_own_and_progress_is_told(monkeypatch) -> None:
    monkeypatch.setattr(rewriting, "PROBLEMS_PER_REQUEST", 2)
    told: list[tuple[int, int]] = []
    engine = RenderingEngine(["x"] * 3)
    rewriter = Rewriter(ask, clean, (), judge_with([(ScriptedVerifier({}, default=1.0), 1.0)]), 100)
    settings = SamplingSettings(max_new_tokens=9, seed=5)
    problems = [problem(name) for name in "abc"]
    rewrite_problems(problems, rewriter, engine, settings, on_progress=lambda *x: told.append(x))
    assert len({asked.seed for _, asked in engine.calls}) == 2
    assert told == [(2, 3), (3, 3)]


def test_judge_adds_weighted_rewards_and_names_correctness() -> None:
    first = ScriptedVerifier({"a": 1.0, "b": None, "c": None})
    second = ScriptedVerifier({"a": 0.5, "b": 0.5, "c": None})
    problems = [problem(name) for name in "abc"]
    scores = judge_with([(first, 1.0), (second, 2.0)], 1)(["a", "b", "c"], problems)
    assert [score.reward for score in scores[:2]] == pytest.approx([2.0, 1.0])
    assert [score.correctness for score in scores[:2]] == [0.5, 0.5]
    assert math.isnan(scores[2].reward)
    assert judge_with([(first, 1.0)])([], []) == []


def test_judge_gives_verifiers_the_options_of_each_problem() -> None:
    problems = [
        problem("a", reference_answer="B", metadata={"options": ["cat", "dog"]}),
        problem("b", reference_answer="B", metadata={"options": ["dog", "cat"]}),
    ]
    scores = judge_with([(get_verifier("choice"), 1.0)])(["dog", "dog"], problems)
    assert [score.reward for score in scores] == [1.0, 0.0]
