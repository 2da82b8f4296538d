"""``train --engine verl`` and ``export verl`` on the command line, without verl."""

from __future__ import annotations

from pathlib import Path

import pytest

from rephrase_rl.cli.main import main

RECIPES = Path(__file__).parents[2] / "recipes"
RECIPE = RECIPES / "openr1_hard_qwen2.5_math_7b_repo.yaml"
RUNS = sorted(path for path in RECIPES.glob("*.yaml") if "method:" in path.read_text())


def test_a_dry_run_prints_the_full_launch_from_the_configuration_alone(capsys) -> None:
    assert main(["train", str(RECIPE), "--engine", "verl", "--dry-run"]) == 0
    printed = capsys.readouterr()
    lines = [line.strip().removesuffix(" \\") for line in printed.out.splitlines()]
    assert "rephrase_rl.trainers.verl.launch" in lines[0]
    for override in (
        "data.train_batch_size=512",
        "actor_rollout_ref.rollout.n=8",
        "actor_rollout_ref.actor.optim.lr=1e-06",
        "actor_rollout_ref.model.path=Elliott/Qwen2.5-Math-7B-16k-think",
        "actor_rollout_ref.rollout.max_model_len=12289",
        "+actor_rollout_ref.rollout.agent.agent_loop_manager_class="
        "rephrase_rl.trainers.verl.worker.GuidedManager",
    ):
        assert override in lines
    # What was set for TRL and has no meaning here is named.
    assert "trainer.vllm_mode" in printed.err


@pytest.mark.parametrize("recipe", RUNS, ids=lambda path: path.stem)
def test_every_recipe_has_a_launch(recipe, capsys) -> None:
    """What of it verl takes, `make test-verl` asks Hydra."""
    assert main(["train", str(recipe), "--engine", "verl", "--dry-run"]) == 0
    assert "algorithm.adv_estimator=grpo" in capsys.readouterr().out


def test_a_run_that_verl_cannot_do_is_the_users_error(tmp_path, capsys) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(
        "method: chord\nmodel: {path: 'lab:base'}\ndata: [{name: a, path: 'lab:hard'}]\n"
    )
    assert main(["train", str(config), "--engine", "verl", "--dry-run"]) == 2
    assert "slot.kind" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--resume-from=3"])
def test_checkpoints_of_verl_are_not_chosen_by_step(flag, capsys) -> None:
    assert main(["train", str(RECIPE), "--engine", "verl", flag]) == 2
    assert "--resume" in capsys.readouterr().err


def test_an_export_names_what_it_wrote(tmp_path, capsys) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(
        "method: repo\nmodel: {path: 'lab:base'}\ndata: [{name: a, path: 'lab:hard', limit: 2}]\n"
        "verl: {prompts_per_step: 2}\n"
    )
    out = tmp_path / "out"
    assert main(["export", "verl", str(config), str(out)]) == 0
    assert (out / "launch.sh").exists()
    assert "launch.sh" in capsys.readouterr().out
    # A run directory holds the same configuration.
    assert main(["export", "verl", str(out / "run"), str(tmp_path / "again")]) == 0
    before, after = (folder / "launch.sh" for folder in (out, tmp_path / "again"))
    assert before.read_text() == after.read_text()
