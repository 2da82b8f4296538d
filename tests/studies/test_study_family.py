"""A study of the second task family: its policies, its problems, its numbers."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from rephrase_rl.config.study import TaskFamily
from rephrase_rl.lab.families import AB, FAMILIES, is_hard
from rephrase_rl.lab.pretrain import base_stages, shortened
from rephrase_rl.studies import policies as policies_module
from rephrase_rl.studies import study as study_module
from rephrase_rl.studies.data import training_problems
from rephrase_rl.studies.forgetting import easy_levels_of
from rephrase_rl.studies.order import remaining
from rephrase_rl.studies.outcomes import runs_of
from rephrase_rl.studies.policies import POLICIES, is_there
from rephrase_rl.studies.shipped import shipped_study
from rephrase_rl.studies.store import read_summaries
from rephrase_rl.studies.study import SUMMARIES, run_study
from study_fakes import PLAIN, tiny_study

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.lab.pretrain import PretrainSettings


def of_the_family(benchmarks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**one, "data": {**one["data"], "path": f"lab:ab-{one['name']}"}}
        if one["name"] != "general"
        else one
        for one in benchmarks
    ]


CHANGES: dict[str, Any] = {
    "family": "ab",
    "pretraining_seeds": [0, 1],
    "run": {
        **PLAIN["run"],
        "trainer": {**PLAIN["run"]["trainer"], "max_completion_length": 16},
        "evaluation": {"every_steps": 2},
    },
    "validation": of_the_family(PLAIN["validation"]),
    "test": of_the_family(PLAIN["test"]),
    "sweep": None,
    "baseline": "repo",
    "arms": {"repo": {"method": "repo", "rate": 1e-4, "texts": "all"}},
    "order": [
        {
            "kind": "main",
            "protocols": "mixed",
            "experts": "near",
            "arms": ["base", "repo"],
            "seeds": 1,
        }
    ],
}


@pytest.fixture
def short_pretraining(monkeypatch) -> None:
    """Policies after some steps, and tests from a tree with changes."""
    monkeypatch.setattr(study_module, "refuse_changed_tree", lambda: None)

    def few(seed: int, family: str) -> tuple[PretrainSettings, ...]:
        stages = shortened(base_stages(seed, family), 3)
        return tuple(dataclasses.replace(stage, batch=8) for stage in stages)

    monkeypatch.setattr(policies_module, "base_stages", few)
    monkeypatch.setattr(policies_module, "_measure", write_bars)


def write_bars(path: Path, rewriter: str, family: str) -> None:
    """In place of the lab's bars, of which the full measurement takes minutes."""
    (path / "bars.json").write_text(json.dumps({"policy": path.name, "family": family}))


@pytest.mark.integration
def test_a_study_of_the_family_makes_its_policy_and_is_summarised(
    tmp_path, short_pretraining
) -> None:
    study = tiny_study(**CHANGES)
    assert not is_there(tmp_path / POLICIES, "good", 0, "ab")
    assert run_study(study, tmp_path) == 2
    assert is_there(tmp_path / POLICIES, "good", 0, "ab")
    record = json.loads((tmp_path / POLICIES / "ab-base-0" / "pretrain.json").read_text())
    assert {stage["settings"]["family"] for stage in record} == {"ab"}
    summaries = read_summaries([tmp_path / SUMMARIES])
    base, trained = (summaries[n] for n in ("good-base-s0", "mixed-near-good-repo-lr1.00e-04-s0"))
    assert base["policy"]["name"] == trained["policy"]["name"] == "ab-base-0"
    assert base["bars"]["family"] == "ab"
    assert set(base["test"]["0"]["easy"]) == {"ab", "samples"}
    assert len(trained["own_hard"]) == 2  # fresh hard problems of the family in every step
    assert [len(run.tests[2].hard) for run in runs_of(summaries.values())] == [5]
    assert sorted(set(easy_levels_of(study))) == [3, 4]
    assert next(remaining(study, summaries), None) is None


def test_a_policy_of_the_family_is_never_the_shipped_one(tmp_path) -> None:
    assert not is_there(tmp_path, "good", 0, "ab")
    folder = tmp_path / "ab-base-0"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    for family, expected in (("ab", True), ("chain", False)):
        stages = [{"settings": dataclasses.asdict(stage)} for stage in base_stages(0, family)]
        (folder / "pretrain.json").write_text(json.dumps(stages))
        assert is_there(tmp_path, "good", 0, "ab") is expected


def test_a_record_from_before_there_were_families_is_of_chains(tmp_path) -> None:
    folder = tmp_path / "base-1"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    settings = [dataclasses.asdict(stage) for stage in base_stages(1)]
    for stage in settings:
        del stage["family"]
    (folder / "pretrain.json").write_text(json.dumps([{"settings": stage} for stage in settings]))
    assert is_there(tmp_path, "good", 1)
    settings[-1]["mixture"]["rewrite"] = 0.13
    (folder / "pretrain.json").write_text(json.dumps([{"settings": stage} for stage in settings]))
    assert not is_there(tmp_path, "good", 1)


def test_training_problems_of_the_family() -> None:
    mix = tiny_study(**CHANGES).protocols["mixed"]
    problems = training_problems(mix, 16, 3, "alien", "all", "ab")
    kinds = [problem.metadata["kind"] for problem in problems]
    assert kinds.count("ab") == 12
    assert "chain" not in kinds
    hard = [p for p in problems if is_hard(p.metadata["kind"], p.question)]
    assert len(hard) == 8
    assert {p.metadata["level"] for p in hard} == set(AB.hard_levels)
    assert all(p.expert_solution.endswith(f"#{p.reference_answer}") for p in problems)


def test_studies_know_the_families_of_the_lab() -> None:
    assert TaskFamily.__args__ == tuple(FAMILIES)
    assert {shipped_study(name).family for name in ("claims", "ablations")} == {"chain"}


@pytest.mark.parametrize(
    ("changes", "required"),
    [
        ({"family": "ab"}, "required: lab:ab-hard"),
        ({"test": CHANGES["test"]}, "required: lab:hard"),
        ({"family": "sums"}, "family"),
    ],
)
def test_benchmarks_of_another_family_are_refused(changes, required) -> None:
    with pytest.raises(ValidationError, match=required):
        tiny_study(**changes)
