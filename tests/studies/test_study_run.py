"""A tiny study from end to end: runs, tests, summaries, and what a second call does."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.lab.pretrain import base_stages
from rephrase_rl.studies import study as study_module
from rephrase_rl.studies.cells import ANY, Cell, base_cell
from rephrase_rl.studies.conduct import CpuClock, conduct_cell
from rephrase_rl.studies.data import is_hard, rotated, training_problems
from rephrase_rl.studies.policies import is_there, starting_policy
from rephrase_rl.studies.runs import plan_run
from rephrase_rl.studies.store import read_summaries, write_summary
from rephrase_rl.studies.study import SUMMARIES, run_study
from study_fakes import swept, tiny_study

STUDY = tiny_study()
COMMAND = ["rephrase-rl", "study", "tiny"]


@pytest.fixture
def clean_tree(monkeypatch) -> None:
    """Tests run from trees with changes, which a study refuses."""
    monkeypatch.setattr(study_module, "refuse_changed_tree", lambda: None)


def test_supervised_arms_get_the_same_other_problems() -> None:
    mix = STUDY.protocols["mixed"]
    hard_only = training_problems(mix, 16, 3, "alien", "hard")
    everything = training_problems(mix, 16, 3, "alien", "all")
    near = training_problems(mix, 16, 3, "near", "all")
    assert [p.question for p in hard_only] == [p.question for p in everything]
    assert [p.question for p in hard_only] == [p.question for p in near]
    assert [p.expert_solution is not None for p in hard_only] == list(map(is_hard, hard_only))
    for problem in everything:
        assert problem.expert_solution.endswith(f"#{problem.reference_answer}")
    assert sum(map(is_hard, hard_only)) == 8


def test_the_second_stage_goes_on_where_the_first_one_ended(tmp_path) -> None:
    cell = Cell("sft_then_rl", "mixed", "near", "good", 0, 1e-4)
    policy = starting_policy(tmp_path, "good", 0)
    planned = plan_run(STUDY, cell, policy, tmp_path / "run", 3e-4)
    first, second = (
        [json.loads(row)["question"] for row in Path(config.data[0].path).read_text().splitlines()]
        for config in (planned.first, planned.config)
    )
    assert second == rotated(first, 4)  # one step of 8 / 2 problems
    assert planned.first.trainer["learning_rate"] == 3e-4
    assert planned.first.trainer["max_steps"] == 1
    assert planned.config.init_from == str(tmp_path / "run.first")
    assert planned.first.method == "sft"


def test_a_starting_policy_that_is_shipped_is_not_made(tmp_path) -> None:
    good = starting_policy(tmp_path, "good", 0)
    poor = starting_policy(tmp_path, "poor", 0)
    assert (good.name, poor.name) == ("base", "poor_rewriter")
    assert good.sha256 != poor.sha256
    assert not list(tmp_path.iterdir())
    assert is_there(tmp_path, "poor", 0)
    assert not is_there(tmp_path, "good", 1)


def test_runs_from_two_policies_of_one_name_are_not_mixed(tmp_path) -> None:
    cell = base_cell("good", 0)
    earlier = {"id": "good-base-s0", "policy": {"name": "base", "sha256": "0" * 64}}
    with pytest.raises(DataError, match="required: the same weights"):
        conduct_cell(STUDY, cell, tmp_path, {"good-base-s0": earlier}, COMMAND)


def test_a_policy_of_other_settings_or_half_made_is_not_there(tmp_path) -> None:
    folder = tmp_path / "base-1"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    stages = [{"settings": dataclasses.asdict(stage)} for stage in base_stages(1)]
    for records, expected in ((stages, True), (stages[:2], False)):
        (folder / "pretrain.json").write_text(json.dumps(records))
        assert is_there(tmp_path, "good", 1) is expected
        assert not is_there(tmp_path, "good", 2)
    assert not is_there(tmp_path, "poor", 1)


def test_time_of_evaluations_is_not_time_of_training(monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.process_time", lambda: now[0])
    clock = CpuClock()
    for seconds, name in ((1, "rewriting"), (10, "hard"), (2, None), (10, "hard"), (3, None)):
        now[0] += seconds
        if name is None:
            clock.on_step(None)
        else:
            clock.on_progress(name, 1, 1)
    assert clock.seconds == [3.0, 3.0]


@pytest.mark.integration
def test_a_run_of_repo_is_tested_at_the_end_and_at_its_earlier_step(tmp_path) -> None:
    cell = Cell("repo", "mixed", "near", "good", 0, 1e-4)
    summary = conduct_cell(STUDY, cell, tmp_path, {}, COMMAND)
    assert sorted(summary["test"]) == ["1", "2"]
    assert [point["step"] for point in summary["curve"]] == [0, 1, 2]
    hard = summary["test"]["2"]["hard"]
    assert (len(hard["first"]), len(hard["all"]), hard["samples"]) == (5, 5, 8)
    assert sorted(summary["test"]["2"]["general"]) == [
        "dedupe", "reverse", "samples", "shift", "sort", "swap",
    ]  # fmt: skip
    assert len(summary["test"]["2"]["trained"]["all"]) == 2
    assert len(summary["own_hard"]) == 2
    assert summary["rewrites"]["accepted"] > 0
    assert 0 < summary["rewrites"]["steps_valid"] <= summary["rewrites"]["steps_found"]
    assert summary["tokens"] == summary["tokens_by_step"][-1] > 0
    assert len(summary["series"]["grad_norm"]) == 2
    assert min(summary["cpu_s_by_step"]) > 0
    assert not (tmp_path / "runs" / cell.cell_id / "checkpoints").exists()
    assert str(tmp_path) not in json.dumps(summary)


@pytest.mark.integration
def test_two_stages_count_together(tmp_path) -> None:
    cells = [Cell("sft", "mixed", "near", "good", 60, r, sweep=True) for r in (1e-4, 2e-4)]
    found = {cell.cell_id: swept(cell, 0.0) for cell in cells}
    cell = Cell("sft_then_rl", "mixed", "near", "good", 0, 1e-4)
    summary = conduct_cell(STUDY, cell, tmp_path, found, COMMAND)
    assert (summary["first_steps"], summary["steps"]) == (1, 2)
    assert sorted(summary["test"]) == ["1", "2"]
    assert len(summary["tokens_by_step"]) == 2
    rewritten = Cell("rewrite_sft", "mixed", "near", "good", 0, 1e-4)
    again = conduct_cell(STUDY, rewritten, tmp_path, found, COMMAND)
    assert again["tokens"] > 0
    assert again["rewrites"]["accepted"] > 0


@pytest.mark.integration
def test_a_study_goes_on_where_it_stopped(tmp_path, clean_tree) -> None:
    order = [{"kind": "main", "protocols": "mixed", "experts": "near", "arms": "base", "seeds": 1}]
    study = tiny_study(order=order)
    begun: list[str] = []
    done = run_study(study, tmp_path, on_cell=lambda name, _: begun.append(name))
    assert (done, begun) == (1, ["good-base-s0"])
    assert run_study(study, tmp_path) == 0
    assert run_study(study, tmp_path / "elsewhere", [tmp_path / SUMMARIES]) == 0
    (summary,) = read_summaries([tmp_path / SUMMARIES]).values()
    assert summary["bars"]["policy"] == "base"
    assert summary["cell"] == base_cell("good", 0).to_json()
    assert summary["cell"]["protocol"] == ANY


def test_no_cell_is_begun_after_the_last_hour(tmp_path, clean_tree) -> None:
    assert run_study(STUDY, tmp_path, hours=0.0) == 0
    assert not (tmp_path / SUMMARIES).exists()


def test_a_folder_of_another_study_is_refused(tmp_path, clean_tree) -> None:
    run_study(STUDY, tmp_path, hours=0.0)
    other = STUDY.model_copy(update={"problems": STUDY.problems + 1})
    with pytest.raises(ConfigError, match="other settings of problems"):
        run_study(other, tmp_path, hours=0.0)


def test_runs_are_recorded_from_a_clean_tree_only(tmp_path, monkeypatch) -> None:
    dirty = {"commit": "0" * 40, "dirty": True, "reason": None}
    monkeypatch.setattr(study_module, "describe_commit", lambda _: dirty)
    with pytest.raises(ConfigError, match="has changes"):
        run_study(STUDY, tmp_path)


def test_two_processes_do_not_share_a_study(tmp_path, clean_tree) -> None:
    with study_module._alone(tmp_path), pytest.raises(ConfigError, match="another process"):
        run_study(STUDY, tmp_path, hours=0.0)


def test_a_file_that_is_no_summary_is_refused(tmp_path) -> None:
    cell = base_cell("good", 0)
    path = write_summary(tmp_path, {"format_version": 1, "id": cell.cell_id, "cell": {}})
    assert read_summaries([tmp_path]).keys() == {"good-base-s0"}
    for text in ("no json", "[]", '{"format_version": 0, "id": "good-base-s0"}'):
        path.write_text(text)
        with pytest.raises(DataError, match="take it away"):
            read_summaries([tmp_path])
