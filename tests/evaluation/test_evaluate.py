"""The run of an evaluation with scripted parts, and once with a real tiny model."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fakes import (
    ByteTokenizer,
    ScriptedEngine,
    ScriptedVerifier,
    completion,
    problem,
    tiny_model,
)
from rephrase_rl.errors import EvaluationError, VerifierError
from rephrase_rl.evaluation import EvaluationProtocol, evaluate
from rephrase_rl.prompts import get_template
from rephrase_rl.records import Completion, Message
from rephrase_rl.rewards import get_verifier
from rephrase_rl.rollout import TransformersEngine

TEMPLATE = get_template("lab-solve-v1")
PROTOCOL = EvaluationProtocol("toy", 2, 1.0, 1.0, 8, "scripted", "lab-solve-v1", 5)
PROBLEMS = [
    problem("a", "1+1", "2", expert_solution="the expert says 2"),
    problem("b", "2+2", "4", expert_solution="the expert says 4"),
    problem("c", "3+3", "6", expert_solution="the expert says 6"),
]


def test_completions_are_scored_against_their_own_problem() -> None:
    engine = ScriptedEngine(["2", "4", "4", "4", "2", completion("6", finished=False)])
    verifier = ScriptedVerifier()
    result = evaluate(engine, PROBLEMS, verifier, TEMPLATE, PROTOCOL)
    assert [(s.problem_id, s.sample, s.value) for s in result.samples] == [
        ("a", 0, 1.0),
        ("a", 1, 0.0),
        ("b", 0, 1.0),
        ("b", 1, 1.0),
        ("c", 0, 0.0),
        ("c", 1, 1.0),
    ]
    assert result.avg_at_k.mean == pytest.approx(4 / 6)
    assert result.truncated_fraction == pytest.approx(1 / 6)
    # One byte and the end token, except for the one that was cut off.
    assert result.generated_tokens == 11
    assert not verifier.closed


def test_the_engine_is_asked_once_with_the_protocols_settings_and_plain_questions() -> None:
    engine = ScriptedEngine(["x"] * 6)
    evaluate(engine, PROBLEMS, ScriptedVerifier(), TEMPLATE, PROTOCOL)
    ((prompts, settings),) = engine.calls
    assert settings == PROTOCOL.sampling_settings()
    assert [prompt[-1]["content"] for prompt in prompts] == ["1+1", "2+2", "3+3"]
    assert "expert" not in repr(prompts)


def test_only_the_first_problems_are_taken_under_a_limit() -> None:
    engine = ScriptedEngine(["2", "2", "4", "4"])
    limited = dataclasses.replace(PROTOCOL, limit=2)
    result = evaluate(engine, PROBLEMS, ScriptedVerifier(), TEMPLATE, limited)
    assert result.num_problems == 2
    assert result.protocol.limit == 2


def test_unscorable_verdicts_are_kept_apart() -> None:
    engine = ScriptedEngine(["good", "odd", *["good"] * 4])
    lenient = dataclasses.replace(PROTOCOL, max_unscorable_fraction=0.2)
    verifier = ScriptedVerifier({"good": 1.0, "odd": None})
    result = evaluate(engine, PROBLEMS, verifier, TEMPLATE, lenient)
    assert result.avg_at_k.mean == 1.0
    assert result.unscorable["unscorable"] == 1
    engine = ScriptedEngine(["good", "odd", *["good"] * 4])
    with pytest.raises(EvaluationError, match="1 of 6 samples could not be scored"):
        evaluate(engine, PROBLEMS, verifier, TEMPLATE, PROTOCOL)


def test_progress_is_passed_on() -> None:
    seen: list[tuple[int, int]] = []
    evaluate(
        ScriptedEngine(["x"] * 6),
        PROBLEMS,
        ScriptedVerifier(),
        TEMPLATE,
        PROTOCOL,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (6, 6)


def test_a_result_is_never_made_under_another_protocol_than_it_states() -> None:
    other = ScriptedVerifier(name="other")
    with pytest.raises(EvaluationError) as caught:
        evaluate(
            ScriptedEngine(),
            [PROBLEMS[0], PROBLEMS[0]],
            other,
            get_template("math-solve-v1"),
            PROTOCOL,
        )
    for part in ("'a'", "'other'", "'scripted'", "'math-solve-v1'", "'lab-solve-v1'"):
        assert part in str(caught.value)


def test_no_problems_are_an_error() -> None:
    with pytest.raises(EvaluationError, match="found no problems"):
        evaluate(ScriptedEngine(), [], ScriptedVerifier(), TEMPLATE, PROTOCOL)


def test_an_engine_that_returns_too_little_is_an_error() -> None:
    class ShortEngine(ScriptedEngine):
        def sample(
            self, prompts: Any, settings: Any, *, on_progress: Any = None
        ) -> list[list[Completion]]:
            return super().sample(prompts, settings)[:-1]

    with pytest.raises(EvaluationError, match="2 groups"):
        evaluate(ShortEngine(["x"] * 6), PROBLEMS, ScriptedVerifier(), TEMPLATE, PROTOCOL)


def test_a_verifier_that_returns_too_little_is_an_error() -> None:
    class ShortVerifier(ScriptedVerifier):
        def verify(self, completions: Any, reference_answers: Any) -> Any:
            return super().verify(completions, reference_answers)[:-1]

    with pytest.raises(VerifierError, match="6 completions and returned 5 values"):
        evaluate(ScriptedEngine(["x"] * 6), PROBLEMS, ShortVerifier(), TEMPLATE, PROTOCOL)


def test_a_function_as_script_sees_the_prompt() -> None:
    def solve(prompt: tuple[Message, ...], sample: int) -> str:
        return str(eval(prompt[-1]["content"])) if sample == 0 else "?"  # noqa: S307  (of our own problems)

    result = evaluate(ScriptedEngine(solve), PROBLEMS, ScriptedVerifier(), TEMPLATE, PROTOCOL)
    assert result.avg_at_k.mean == 0.5
    assert (result.avg_at_k.low, result.avg_at_k.high) != (0.5, 0.5)


@pytest.mark.integration
def test_a_real_engine_gives_the_same_result_twice() -> None:
    engine = TransformersEngine(tiny_model(), ByteTokenizer())
    verifier = ScriptedVerifier(lambda text, _: float(len(text) % 2))
    first = evaluate(engine, PROBLEMS, verifier, TEMPLATE, PROTOCOL)
    assert evaluate(engine, PROBLEMS, verifier, TEMPLATE, PROTOCOL) == first
    assert first.num_samples == 6
    assert 6 <= first.generated_tokens <= 48


def test_a_verifier_gets_what_it_asks_for_of_its_own_problem_and_completion() -> None:
    """Options come from the problem's metadata, tokens from the completion."""
    options = [
        problem("a", "?", "B", metadata={"options": ["cat", "dog"]}),
        problem("b", "?", "B", metadata={"options": ["dog", "cat"]}),
        problem("c", "?", "B"),
    ]
    engine = ScriptedEngine(["dog"] * 6)
    choice = dataclasses.replace(PROTOCOL, verifier="choice")
    result = evaluate(engine, options, get_verifier("choice"), TEMPLATE, choice)
    assert [s.value for s in result.samples] == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    # "dog" is three bytes and the end token.
    short = dataclasses.replace(PROTOCOL, verifier="length")
    for limit, value in ((5, 1.0), (4, 1.0), (3, 0.0)):
        verifier = get_verifier("length", limit=limit)
        result = evaluate(ScriptedEngine(["dog"] * 6), options, verifier, TEMPLATE, short)
        assert {s.value for s in result.samples} == {value}


def test_labels_come_from_the_metadata_and_those_without_one_are_named_so() -> None:
    labelled = [
        problem("a", "1+1", "2", metadata={"type": "sum", "level": 3}),
        problem("b", "2+2", "4", metadata={"type": "sum"}),
    ]
    result = evaluate(
        ScriptedEngine(["2", "0", "4", "4"]),
        labelled,
        ScriptedVerifier(),
        TEMPLATE,
        PROTOCOL,
        label_keys={"subject": "type", "difficulty": "level"},
    )
    assert [s.labels for s in result.samples][::2] == [
        {"subject": "sum", "difficulty": "3"},
        {"subject": "sum", "difficulty": "(none)"},
    ]
    assert {n: i.mean for n, i in result.by_label["difficulty"].items()} == {"3": 0.5, "(none)": 1}


def test_the_hash_of_prompts_is_that_of_what_was_asked() -> None:
    def hash_of(problems, template=TEMPLATE, **changes: Any) -> str:
        protocol = dataclasses.replace(PROTOCOL, solve_template=template.template_id, **changes)
        engine = ScriptedEngine(["x"] * 99)
        return evaluate(engine, problems, ScriptedVerifier(), template, protocol).prompts_sha256

    first = hash_of(PROBLEMS)
    assert len(first) == 64
    assert hash_of(PROBLEMS, temperature=0.5) == first
    others = [
        hash_of(PROBLEMS, limit=2),
        hash_of(PROBLEMS[::-1]),
        hash_of(PROBLEMS, get_template("math-solve-v1")),
    ]
    assert len({first, *others}) == 4


def test_a_journal_is_handed_to_the_engine() -> None:
    class Journalled(ScriptedEngine):
        def sample(self, prompts: Any, settings: Any, *, on_progress: Any = None, journal: Any):
            assert journal == "the journal"
            return super().sample(prompts, settings)

    engine = Journalled(["x"] * 6)
    evaluate(engine, PROBLEMS, ScriptedVerifier(), TEMPLATE, PROTOCOL, journal="the journal")
    assert len(engine.calls) == 1
