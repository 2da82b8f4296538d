"""The same scripted rollouts through TRL and verl: groups, advantages, losses, gradients."""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from pathlib import Path

import pytest

from engine_parity import played_with, with_trl, with_verl
from verl_fakes import lab_problem, run_config

pytestmark = pytest.mark.contract

PRESETS = ("grpo", "repo", "naive", "luffy", "luffy_grpo", "guide", "star", "hpt")
LIMIT = 1e-5
CARD = Path(__file__).parents[3] / "results" / "engine_parity" / "card.json"


def script(prompt: str, number: int) -> str:
    """Problem a is solved by one of four, b by none, c by all; rewrites are right."""
    name = next(name for name in "abc" if f"say {name}" in prompt)
    if "the expert says" in prompt or "<expert>" in prompt or name.upper() in prompt:
        return f"so {name.upper()}"
    right = {"a": number == 1, "b": False, "c": True}[name]
    return name.upper() if right else f"no {number} of {name}"


PROBLEMS = [lab_problem(name) for name in "abc"]


@pytest.fixture
def outcomes(stage, tmp_path):
    def both(method: str, **changes):
        run = run_config(method, **changes)
        verl = with_verl(played_with(stage, run, PROBLEMS, script), PROBLEMS)
        return with_trl(run, PROBLEMS, script, tmp_path / "trl"), verl

    return both


def largest_difference(ours: dict, theirs: dict) -> float:
    assert ours.keys() == theirs.keys()
    return max(abs(a - b) for key in ours for a, b in zip(ours[key], theirs[key], strict=True))


@pytest.mark.parametrize("method", PRESETS)
def test_both_engines_train_on_the_same(outcomes, method) -> None:
    trl, verl = outcomes(method)
    assert trl.tokens == verl.tokens
    figures = {
        "advantages": largest_difference(trl.advantages, verl.advantages),
        "loss": abs(trl.loss - verl.loss),
        "gradient": largest_difference(trl.gradient, verl.gradient),
    }
    assert trl.figures == pytest.approx(verl.figures, abs=LIMIT)
    assert trl.figures.keys() == verl.figures.keys()
    print(f"{method}: " + ", ".join(f"{name} {value:.1e}" for name, value in figures.items()))
    _keep(method, {**figures, "loss_value": trl.loss})
    assert abs(trl.loss) > 1e-3, "a loss of nothing is equal to anything"
    assert max(figures.values()) <= LIMIT


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "dr_grpo"])
@pytest.mark.parametrize("normalisation", ["joint", "separate"])
def test_reductions_agree(outcomes, loss_type, normalisation) -> None:
    trl, verl = outcomes(
        "luffy",
        trainer={"loss_type": loss_type},
        guidance={"train": {"kind": "shaped", "normalisation": normalisation}},
    )
    assert trl.tokens == verl.tokens
    assert abs(trl.loss - verl.loss) <= LIMIT
    assert largest_difference(trl.gradient, verl.gradient) <= LIMIT


def test_groups_without_spread_can_be_left_out(outcomes) -> None:
    trl, verl = outcomes("repo", guidance={"no_spread": {"policy": "drop"}})
    assert abs(trl.loss - verl.loss) <= LIMIT
    assert set(map(abs, verl.advantages["c", 0])) == {0.0}


def test_core_and_verls_own_grpo_agree_on_a_group_with_spread(outcomes) -> None:
    _, verl = outcomes("repo")
    for key, stock in verl.plain.items():
        assert verl.advantages[key][0] == pytest.approx(stock, abs=LIMIT)


def _keep(method: str, figures: dict[str, float]) -> None:
    """Write the card of docs/scaling.md where that was asked for."""
    if not os.environ.get("WRITE_PARITY_CARD"):
        return
    found = json.loads(CARD.read_text()) if CARD.exists() else {"presets": {}}
    names = ("torch", "transformers", "trl", "verl")
    card = {
        "command": 'WRITE_PARITY_CARD=1 make test-verl PYTEST_ARGS="-k parity"',
        "versions": {name: version(name) for name in names},
        "limit": LIMIT,
        "presets": found["presets"] | {method: figures},
    }
    CARD.parent.mkdir(exist_ok=True)
    CARD.write_text(json.dumps(card, indent=2) + "\n")
