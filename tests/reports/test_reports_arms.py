"""Runs become arms by all but their seed; labels and the baseline follow."""

from __future__ import annotations

from pathlib import Path

import pytest
from arm_runs import arm_run
from synthetic_run import CONFIG

from rephrase_rl.errors import CheckpointError
from rephrase_rl.reports.arms import (
    arm_warnings,
    choose_baseline,
    group_into_arms,
    label_runs,
    read_runs,
)

BARE = "method: repo\nseed: 3\n"


def arms_of(*runs):
    return group_into_arms(read_runs([run.path for run in runs]))


def test_seeds_of_one_configuration_are_one_arm(tmp_path):
    runs = [
        arm_run(tmp_path / "b", "repo", 2),
        arm_run(tmp_path / "a", "grpo", 1),
        arm_run(tmp_path / "c", "repo", 1, config=CONFIG + "output_dir: c\nlog: {groups: open}\n"),
    ]
    arms = arms_of(*runs)
    assert [arm.label for arm in arms] == ["repo", "grpo"]
    assert [[run.seed for run in arm.runs] for arm in arms] == [[1, 2], [1]]
    assert arm_warnings(arms) == []


def test_another_setting_is_another_arm_and_named_by_it(tmp_path):
    faster = CONFIG.replace("0.0002", "0.001")
    arms = arms_of(
        arm_run(tmp_path / "a", "repo", 1),
        arm_run(tmp_path / "b", "repo", 1, config=faster),
        arm_run(tmp_path / "c", "grpo", 1),
    )
    labels = [arm.label for arm in arms]
    assert labels == ["repo learning_rate=0.0002", "repo learning_rate=0.001", "grpo"]


def test_arms_whose_settings_are_too_long_are_numbered(tmp_path):
    other = CONFIG + f"prompts: {'x' * 60}\n"
    arms = arms_of(
        arm_run(tmp_path / "a", "repo", 1, config=other),
        arm_run(tmp_path / "b", "repo", 1, config=other + "note: y\n"),
    )
    assert [arm.label for arm in arms] == ["repo (1)", "repo (2)"] or len(
        {arm.label for arm in arms}
    ) == 2


def test_a_method_with_a_block_of_ones_own_is_not_called_by_the_presets_name(tmp_path):
    own = (
        "guidance: {gate: {kind: custom, target: 'mine.blocks:HalfGate', options: {share: 0.5}}}\n"
    )
    plain = "guidance: {gate: {kind: failed_share, gate_failure_fraction: 1.0}}\n"
    (alone,) = arms_of(*(arm_run(tmp_path / f"o{i}", "repo", i, config=BARE + own) for i in (1, 2)))
    assert alone.label == "repo + HalfGate"
    arms = arms_of(
        arm_run(tmp_path / "a", "repo", 1, config=BARE + own),
        arm_run(tmp_path / "b", "repo", 1, config=BARE + plain),
        arm_run(tmp_path / "c", "repo", 1, config=BARE + own.replace("0.5", "0.75")),
    )
    labels = [arm.label for arm in arms]
    assert labels == ["repo + HalfGate share=0.5", "repo", "repo + HalfGate share=0.75"]


def test_many_blocks_of_ones_own_are_counted_and_no_name_is_cut(tmp_path):
    rule = "{kind: custom, target: 'mine:MuchShorterThanTheExpert'}"
    own = f"guidance: {{gate: {{kind: custom, target: 'mine:MostOfThemFail'}}, accept: [{rule}]}}\n"
    (arm,) = arms_of(*(arm_run(tmp_path / f"o{i}", "repo", i, config=BARE + own) for i in (1, 2)))
    assert arm.label == "repo + MostOfThemFail + 1 of its own"


def test_another_draw_from_the_same_sets_is_no_other_data(tmp_path):
    def run(seed, drawn, content):
        sets = {"train/a": {"sha256": content}, "train/b": {"sha256": "b"}}
        return arm_run(
            tmp_path / f"{seed}{content}", "repo", seed, data={"train": drawn}, datasets=sets
        )

    assert arm_warnings(arms_of(run(1, "x", "same"), run(2, "y", "same"))) == []
    broken = [arm_run(tmp_path / f"l{i}", "repo", i, datasets=["train/a"]) for i in (1, 2)]
    assert arm_warnings(arms_of(*broken)) == []
    (told,) = arm_warnings(arms_of(run(1, "x", "one"), run(2, "x", "other")))
    assert "its runs differ in data" in told


def test_arms_with_other_blocks_are_named_by_them_and_not_by_their_fields(tmp_path):
    always = "guidance: {gate: {kind: always}}\n"
    share = "guidance: {gate: {kind: failed_share, gate_failure_fraction: 1.0}}\n"
    arms = arms_of(
        arm_run(tmp_path / "a", "repo", 1, config=BARE + always),
        arm_run(tmp_path / "b", "repo", 1, config=BARE + share),
    )
    assert [arm.label for arm in arms] == ["repo gate=always", "repo gate=failed_share"]


def test_other_code_under_the_same_name_is_told(tmp_path):
    first = arm_run(tmp_path / "a", "repo", 1, own_code={"mine.blocks": "1" * 64})
    other = arm_run(tmp_path / "b", "repo", 2, own_code={"mine.blocks": "2" * 64})
    found = arm_warnings(arms_of(first, other))
    assert found == ["repo: its runs differ in own_code, not only in the seed"]


def test_another_model_is_another_arm_without_any_configuration(tmp_path):
    arms = arms_of(
        arm_run(tmp_path / "a", "evaluation", 1, config="{}\n", model="first"),
        arm_run(tmp_path / "b", "evaluation", 1, config="{}\n", model="second"),
    )
    assert len(arms) == 2


def test_the_baseline_is_grpo_or_the_first_or_what_is_asked(tmp_path):
    arms = arms_of(
        arm_run(tmp_path / "repo-1", "repo", 1),
        arm_run(tmp_path / "grpo-1", "grpo", 1),
        arm_run(tmp_path / "sft-1", "sft", 1),
    )
    assert choose_baseline(arms, None).label == "grpo"
    assert choose_baseline(arms[::2], None).label == "repo"
    assert choose_baseline(arms, "sft").label == "sft"
    assert choose_baseline(arms, "repo-1").label == "repo"
    assert choose_baseline(arms, str(tmp_path / "sft-1")).label == "sft"
    with pytest.raises(CheckpointError, match="one of 'repo', 'grpo', 'sft'"):
        choose_baseline(arms, "nonsense")


def test_what_a_reader_must_know_of_an_arm_is_said(tmp_path):
    first = arm_run(tmp_path / "a", "repo", 1)
    again = arm_run(tmp_path / "b", "repo", 1, data={"train": "other"})
    (again.path / "summary.json").unlink()
    found = arm_warnings(arms_of(first, again))
    assert any("several runs have seed 1" in sentence for sentence in found)
    assert any("its runs differ in data" in sentence for sentence in found)
    assert any(sentence.startswith("b has no summary") for sentence in found)


@pytest.mark.parametrize("names", [[], ["a"], ["a", "a"], ["a", "a/../a"]])
def test_fewer_than_two_different_runs_are_refused(tmp_path, names):
    with pytest.raises(CheckpointError, match="at least two different run directories"):
        read_runs([tmp_path / name for name in names])


def test_labels_tell_runs_apart():
    paths = [Path("/x/seed1/repo"), Path("/x/seed2/repo"), Path("/x/seed1/grpo")]
    assert label_runs(paths) == ["seed1/repo", "seed2/repo", "seed1/grpo"]
