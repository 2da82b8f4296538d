"""Every row goes to the verifier of its own set, in one call, and to no other."""

from __future__ import annotations

import pytest

from fakes import ScriptedVerifier
from rephrase_rl.errors import VerifierError
from rephrase_rl.rewards.dataset_reward import DatasetReward

SETS = ["hard", "easy", "hard", "other"]
TEXTS = ["a", "b", "c", "d"]
ANSWERS = ["A", "B", "C", "D"]


def test_only_the_rows_of_its_sets_are_judged() -> None:
    verifier = ScriptedVerifier({"a": 1.0, "b": 0.5, "c": None, "d": 0.25}, name="v")
    reward = DatasetReward(verifier, ["hard", "other"], name="v@hard+other")
    columns = {"reference_answer": ANSWERS, "dataset": SETS}
    assert reward(["q"] * 4, TEXTS, **columns) == [1.0, None, None, 0.25]
    assert verifier.calls == [("a", "A"), ("c", "C"), ("d", "D")]
    assert reward.__name__ == "v@hard+other"


def test_a_batch_without_its_rows_asks_nobody() -> None:
    verifier = ScriptedVerifier()
    reward = DatasetReward(verifier, ["x"], name="v")
    assert reward(["q"] * 4, TEXTS, reference_answer=ANSWERS, dataset=SETS) == [None] * 4
    assert verifier.calls == []


def test_columns_are_passed_on_for_its_rows_and_other_arguments_whole() -> None:
    asked: list = []
    reward = DatasetReward(ScriptedVerifier(), ["hard"], name="v")

    def keep(prompts, completions, **columns):
        asked.append((prompts, completions, columns))
        return [0.0] * len(completions)

    reward._judge = keep
    reward(
        ["p0", "p1", "p2", "p3"],
        TEXTS,
        dataset=SETS,
        reference_answer=ANSWERS,
        options=[["x"], ["y"], None, ["z"]],
        completion_ids=[[0], [1], [2], [3]],
        trainer_state="state",
    )
    ((prompts, completions, columns),) = asked
    assert (prompts, completions) == (["p0", "p2"], ["a", "c"])
    assert columns == {
        "dataset": ["hard", "hard"],
        "reference_answer": ["A", "C"],
        "options": [["x"], None],
        "completion_ids": [[0], [2]],
        "trainer_state": "state",
    }


def test_rows_without_a_set_are_refused() -> None:
    reward = DatasetReward(ScriptedVerifier(), ["hard"], name="v")
    with pytest.raises(VerifierError, match=r"no column 'dataset'.*hard"):
        reward(["q"], ["a"], reference_answer=["A"])
