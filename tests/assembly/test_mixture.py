"""Sets are drawn in proportion, and each has its own gate and verifiers."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

from fakes import problem
from rephrase_rl.assembly.blocks import build_guidance
from rephrase_rl.assembly.mixture import (
    gates_of_sets,
    mix_sets,
    mixture_entry,
    refuse_gates_of_sets,
)
from rephrase_rl.assembly.rewards_of_sets import build_rewards
from rephrase_rl.config import PromptsConfig, parse_config, parse_guidance
from rephrase_rl.data import data_fingerprint
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.guidance.gate_by_dataset import GateByDataset
from rephrase_rl.guidance.gates import AlwaysGate, FailedShareGate
from rephrase_rl.methods import resolve_config

NAMES = ("hard", "easy", "kept")


def config(*sets: dict[str, Any], method: str = "repo", **changes: Any):
    data = [
        {"name": name, "path": "unused"} | item for name, item in zip(NAMES, sets, strict=False)
    ]
    raw = {"method": method, "model": {"path": "m"}, "data": data} | changes
    return resolve_config(parse_config(raw))


def problems(count: int, prefix: str, task_kind: str = "lab"):
    return [problem(f"{prefix}{i}", f"q{prefix}{i}", task_kind=task_kind) for i in range(count)]


SETS = [problems(400, "h"), problems(40, "e"), problems(100, "k")]
WEIGHTS = ({"weight": 4}, {"weight": 1}, {"weight": 3})


def test_without_weights_the_sets_follow_one_another_with_the_same_fingerprint() -> None:
    mixed = mix_sets(config({}, {}, {}), SETS)
    plain = [p for of_set in SETS for p in of_set]
    assert [p.problem_id for p in mixed] == [p.problem_id for p in plain]
    assert data_fingerprint(mixed) == data_fingerprint(plain)
    assert [mixed[0].dataset, mixed[400].dataset, mixed[-1].dataset] == list(NAMES)


def test_a_lone_set_has_no_name_and_no_entry() -> None:
    lone = mix_sets(config({"weight": 3}), SETS[:1])
    assert lone == SETS[0]
    assert mixture_entry(config({}), lone) == {}


def test_sets_are_drawn_in_proportion_to_their_weights_and_none_is_left_out() -> None:
    mixed = mix_sets(config(*WEIGHTS), SETS)
    drawn = Counter(p.dataset for p in mixed)
    for name, share in zip(NAMES, (4 / 8, 1 / 8, 3 / 8), strict=True):
        # Four standard deviations of a binomial share.
        margin = 4 * math.sqrt(share * (1 - share) / len(mixed))
        assert drawn[name] / len(mixed) == pytest.approx(share, abs=margin), name
    assert len({p.problem_id for p in mixed}) == 540
    # The largest set for its weight ends the draw, and only it was drawn once.
    assert drawn["hard"] == 400
    assert mixed[-1].problem_id == "h399"
    kept = [p.problem_id for p in mixed if p.dataset == "kept"]
    assert kept == [f"k{i % 100}" for i in range(len(kept))], "in its own order, then again"
    entry = mixture_entry(config(*WEIGHTS), mixed)["mixture"]
    assert entry["easy"] == {
        "weight": 1.0,
        "problems": 40,
        "rows": drawn["easy"],
        "share": drawn["easy"] / len(mixed),
    }


def test_the_runs_seed_decides_the_draw() -> None:
    def ids(seed):
        return [p.problem_id for p in mix_sets(config(*WEIGHTS, seed=seed), SETS)]

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)


def test_ids_that_two_sets_share_are_refused() -> None:
    with pytest.raises(DataError, match=r"2 problem ids occur in several sets") as caught:
        mix_sets(config({}, {}), [problems(3, "h"), problems(2, "h")])
    assert "'h1': hard, easy" in str(caught.value)


def guidance_of(run):
    blocks = parse_guidance(run.guidance)
    return build_guidance(blocks, PromptsConfig(), None, gates_of_sets(run, blocks))


def test_gates_of_sets_stand_beside_the_runs() -> None:
    run = config({}, {"gate": {"kind": "never"}}, {"gate": {"kind": "always"}})
    assert guidance_of(run).gate == GateByDataset(
        {"easy": None, "kept": AlwaysGate()}, FailedShareGate(1.0, 0.5)
    )
    assert guidance_of(config({}, {})).gate == FailedShareGate(1.0, 0.5)
    closed = config({"gate": {"kind": "never"}}, {}, guidance={"gate": {"kind": "never"}})
    assert not guidance_of(closed).active
    only = config({"gate": {"kind": "always"}}, {}, guidance={"gate": {"kind": "never"}})
    assert guidance_of(only).gate == GateByDataset({"hard": AlwaysGate()}, None)
    lone = guidance_of(config({"gate": {"kind": "always"}})).gate
    assert lone.gate_of(problem()) == AlwaysGate()


def test_a_gate_without_a_source_or_rollouts_is_refused() -> None:
    run = config({"gate": {"kind": "always"}}, method="grpo")
    with pytest.raises(ConfigError, match=r"gate of hard.*source.kind 'none'"):
        guidance_of(run)
    assert not guidance_of(config({"gate": {"kind": "never"}}, method="grpo")).active
    with pytest.raises(ConfigError, match=r"gate of hard.*'sft'"):
        refuse_gates_of_sets(config({"gate": {"kind": "never"}}, method="sft"))


def rewards_of(run, *kinds: str):
    sets = [problems(2, name[0], kind) for name, kind in zip(NAMES, kinds, strict=False)]
    mixed = mix_sets(run, sets)
    return build_rewards(run, mixed), mixed


def scored(functions, rows, text: str):
    columns = {
        "dataset": [p.dataset for p in rows],
        "reference_answer": [p.reference_answer for p in rows],
    }
    return [f(["q"] * len(rows), [text] * len(rows), **columns) for f in functions]


def test_several_task_kinds_have_their_own_verifiers_in_one_run() -> None:
    rewards, mixed = rewards_of(config({}, {}, {}), "lab", "math", "lab")
    try:
        assert [r.name for r in rewards.rewards] == ["exact", "math"]
        assert rewards.correctness_of == {"hard": "exact", "easy": "math", "kept": "exact"}
        lab = scored(rewards.functions[:1], mixed[::2], "#2")
        assert lab == [[1.0, None, 1.0]]
        # A box says nothing to the verifier of the lab.
        boxed = scored(rewards.functions, mixed[::2], r"\boxed{2}")
        assert boxed[1] == [None, 1.0, None]
        assert boxed[0] == [0.0, None, 0.0]
        scores = rewards.judge([r"\boxed{2}"] * 3, mixed[::2])
        assert [score.correctness for score in scores] == [0.0, 1.0, 0.0]
    finally:
        rewards.close()


def half(completion: str, reference_answer: str) -> float:
    return 0.5


def test_rewards_of_a_set_keep_weights_options_and_names_apart() -> None:
    exact = {"verifier": "exact"}
    other = exact | {"options": {"answer_marker": "=>"}}
    mine = {"verifier": f"{__name__}:half", "weight": 3.0}
    run = config(
        {"rewards": [other, mine], "correctness": "exact"}, {}, {"rewards": exact}, rewards=exact
    )
    rewards, mixed = rewards_of(run, "lab", "lab", "lab")
    assert [r.name for r in rewards.rewards] == ["exact@hard", "half", "exact@easy+kept"]
    assert rewards.weights == [1.0, 3.0, 1.0]
    assert rewards.correctness_of == {
        "hard": "exact@hard",
        "easy": "exact@easy+kept",
        "kept": "exact@easy+kept",
    }
    assert scored(rewards.functions, mixed[::2], "=> 2") == [
        [1.0, None, None],
        [0.5, None, None],
        [None, 0.0, 0.0],
    ]
    (first, second, _) = rewards.judge(["=> 2"] * 3, mixed[::2])
    assert (first.reward, first.correctness) == (1.0 + 3.0 * 0.5, 1.0)
    assert (second.reward, second.correctness) == (0.0, 0.0)


def test_one_list_for_all_sets_is_what_it_was() -> None:
    rewards, _ = rewards_of(config({}, {}), "lab", "lab")
    assert [(r.name, r.sets, r.weight) for r in rewards.rewards] == [("exact", [], 1.0)]
    assert rewards.correctness_of == {}
    assert type(rewards.functions[0]).__name__ == "VerifierReward"
    with pytest.raises(ConfigError, match="2 task kinds"):
        build_rewards(config({}), [problem("a", task_kind="lab"), problem("b", task_kind="math")])
