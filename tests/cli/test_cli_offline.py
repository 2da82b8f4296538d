"""``mine`` and ``rephrase`` from the command line, with the lab's policy."""

from __future__ import annotations

import json

import pytest

from rephrase_rl.cli.mine import bar_length
from rephrase_rl.cli.targets import config_of_target
from rephrase_rl.errors import CheckpointError

pytestmark = pytest.mark.integration

SMALL = ["--set", "trainer.max_completion_length=48", "--set", "data.limit=6"]


def test_mine_prints_rates_and_leaves_what_training_reads(cli, tmp_path) -> None:
    out = tmp_path / "mined"
    line = ["mine", "lab:hard", "--model", "lab:base", "-k", 2, "--out", out, *SMALL]
    done = cli(*line)
    assert done.status == 0, done.err
    assert "pass rates of 6 problems" in done.out
    assert "█" in done.out
    assert str(out / "hard.parquet") in done.out.replace("\n", "")
    assert {path.name for path in out.iterdir()} == {
        "manifest.json",
        "problems.jsonl",
        "pass_rates.parquet",
        "pass_rates.svg",
        "hard.parquet",
        "summary.json",
    }
    again = cli(*line, "--low", 0.5, "--high", 1, "--json")
    assert json.loads(again.out)["chosen"] == 0
    assert not (out / "hard.parquet").exists()
    refused = cli(*line, "--set", "seed=5")
    assert refused.status == 2
    assert "seed" in refused.err


def test_mine_asks_as_a_configuration_does(cli, config_file, tmp_path) -> None:
    line = ["mine", config_file, "-k", 1, "--out", tmp_path / "out", "--set", "data.limit=4"]
    done = cli(*line, "--json", *SMALL[:2])
    assert done.status == 0, done.err
    assert json.loads(done.out)["problems"] == 4
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["method"] == "repo"
    assert manifest["settings"]["model"]["path"] == "lab:base"
    assert manifest["settings"]["max_new_tokens"] == 48


@pytest.mark.parametrize(
    "row", ['{"question": "1 + 1?", "answer": "2"}', '{"problem": "1 + 1?", "reference_answer": 2}']
)
def test_columns_with_other_names_are_told_of_mappings(cli, tmp_path, row) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text(row + "\n")
    refused = cli("mine", data, "--model", "lab:base", "--out", tmp_path / "out")
    assert refused.status == 2
    assert "data.mapping" in refused.err.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_mine_needs_a_model_and_a_range(cli, tmp_path) -> None:
    alone = cli("mine", "lab:hard", "--out", tmp_path / "a")
    assert (alone.status, "--model" in alone.err) == (2, True)
    turned = cli(
        *("mine", "lab:hard", "--model", "lab:base", "--out", tmp_path / "b"),
        *("--low", 0.5, "--high", 0.1),
    )
    assert (turned.status, "--high" in turned.err) == (2, True)
    assert not (tmp_path / "b").exists()


def test_rephrase_prints_rates_and_writes_a_page(cli, tmp_path) -> None:
    out = tmp_path / "rewrites"
    done = cli("rephrase", "lab:base", "lab:hard", "--out", out, *SMALL)
    assert done.status == 0, done.err
    assert "6 rewrites of 6 problems" in done.out
    assert "log-prob per token given q" in done.out
    assert (out / "rewrites.md").read_text().startswith("# Rewrites")
    again = cli("rephrase", "lab:base", "lab:hard", "--out", out, *SMALL, "--json")
    assert json.loads(again.out)["rewrites"] == 6


def test_a_job_whose_rewrites_are_all_refused_shows_dashes(cli, tmp_path) -> None:
    # Six operations need more than eight tokens: every rewrite is cut off.
    done = cli(
        *("rephrase", "lab:base", "lab:hard", "--out", tmp_path / "out"),
        *("--set", "trainer.max_completion_length=8", "--set", "data.limit=4"),
    )
    assert done.status == 0, done.err
    assert "refused by finished" in done.out
    assert "nan" not in done.out


@pytest.mark.parametrize("command", ["mine", "rephrase"])
def test_an_interrupted_job_says_that_it_can_be_gone_on_with(
    cli, monkeypatch, tmp_path, command
) -> None:
    from rephrase_rl.rollout import TransformersEngine

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    line = {
        "mine": ["mine", "lab:hard", "--model", "lab:base"],
        "rephrase": ["rephrase", "lab:base", "lab:hard"],
    }[command]
    monkeypatch.setattr(TransformersEngine, "sample", interrupted)
    stopped = cli(*line, "--out", out, *SMALL)
    assert stopped.status == 130
    assert f"kept in {out}; the same command goes on" in stopped.err.replace("\n", "")
    monkeypatch.undo()
    assert cli(*line, "--out", out, *SMALL).status == 0


def test_rephrase_takes_the_rules_of_a_configuration_and_its_own_model(
    cli, config_file, tmp_path
) -> None:
    done = cli(
        *("rephrase", "lab:poor_rewriter", config_file, "--out", tmp_path / "out"),
        *("--set", "guidance.accept=[correct, steps_valid]", "--set", "data.limit=6"),
        *("--json", *SMALL[:2]),
    )
    assert done.status == 0, done.err
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["model"] == "lab:poor_rewriter"
    assert [rule["kind"] for rule in manifest["settings"]["accept"]] == ["correct", "steps_valid"]
    assert set(json.loads(done.out)["refusals"]) <= {"correct", "steps_valid"}


def test_a_run_stands_for_its_final_policy(tmp_path) -> None:
    run = tmp_path / "run"
    final = run / "checkpoints" / "final"
    final.mkdir(parents=True)
    (run / "manifest.json").write_text("{}")
    with pytest.raises(CheckpointError, match="without a final policy"):
        config_of_target("lab:hard", str(run), (), method="repo")
    (final / "config.json").write_text("{}")
    named = config_of_target("lab:hard", str(run), (), method="repo")
    assert named.model.path == str(final)
    (tmp_path / "run.yaml").write_text("method: repo\nmodel: {path: a}\ndata: {path: 'lab:hard'}\n")
    of_config = config_of_target(str(tmp_path / "run.yaml"), str(run), (), method="repo")
    assert of_config.model.path == str(final)


def test_bars_grow_with_the_count() -> None:
    lengths = [bar_length(count, 50) for count in (0, 1, 25, 50)]
    assert lengths == [0, 1, 20, 40]
