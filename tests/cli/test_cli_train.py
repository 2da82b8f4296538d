"""``train``: what reaches the run, and what the screen shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rephrase_rl.cli.step_line import SHOWN_METRICS, step_line

ROOT = Path(__file__).parents[2]
FULL = {
    "reward": 0.5123,
    "groups/all_failed_fraction": 0.25,
    "groups/all_passed_fraction": 0.125,
    "gate/open_fraction": 0.24,
    "injection/accept_fraction": 0.875,
    "injection/rescued_fraction": 0.21,
    "injection/logp_on_q": -3.126,
    "tokens/rollout": 4000.0,
    "tokens/rephrase": 213.0,
}


def test_configuration_flags_and_place_reach_the_run(cli, assembly, config_file: Path) -> None:
    outcome = cli("train", config_file, "--set", "trainer.max_steps=3", "--set", "seed=7",
                  "--overwrite")  # fmt: skip
    assert outcome.status == 0
    ((name, call),) = assembly.calls
    assert name == "train_run"
    assert call.config.trainer == {"max_steps": 3}
    assert call.config.seed == 7
    assert call.run_path == Path("runs/small")  # named after the file
    assert (call.resume, call.overwrite) == (False, True)
    assert call.command


def test_an_early_end_is_told_with_its_reason(cli, assembly, config_file: Path) -> None:
    assembly.ended_early = "early stop: hard not better in 2 evaluations"
    assert "training ended early; early stop: hard" in cli("train", config_file).out


def test_output_dir_of_the_configuration_wins(cli, assembly, config_file: Path) -> None:
    cli("train", config_file, "--set", "output_dir=elsewhere/run", "--resume")
    ((_, call),) = assembly.calls
    assert (call.run_path, call.resume) == (Path("elsewhere/run"), True)
    assert call.resume_from is None


def test_the_configuration_of_a_run_goes_on_with_that_run(cli, assembly, config_file: Path) -> None:
    run = config_file.parent / "own"
    run.mkdir()
    config = config_file.rename(run / "config.yaml")
    for manifest, expected in ((False, Path("runs/config")), (True, run)):
        if manifest:
            (run / "manifest.json").write_text("{}")
        assert cli("train", config, "--resume").status == 0
        assert assembly.calls.pop()[1].run_path == expected


def test_checkpoint_of_a_step_can_be_asked_for(cli, assembly, config_file: Path) -> None:
    cli("train", config_file, "--resume-from", "40")
    ((_, call),) = assembly.calls
    assert call.resume_from == "40"


def test_one_line_per_step_and_the_final_scores(cli, assembly, config_file: Path) -> None:
    out = cli("train", config_file).out
    assert [line.split("  ")[0] for line in out.splitlines() if line.startswith("step")] == [
        "step 1/2",
        "step 2/2",
    ]
    assert "0.900 (0.85 to 0.95)" in out
    assert "2,000 tokens" in out


def test_step_line_has_the_numbers_that_matter() -> None:
    assert step_line(3, 240, FULL, 1.24) == (
        "step   3/240  reward 0.512  failed 0.25  passed 0.12  gate 0.24  accepted 0.88  "
        "rescued 0.21  logp_q -3.13  tokens 4,213  1.2 s"
    )


def test_every_word_of_the_step_line_is_explained() -> None:
    page = (ROOT / "docs/tutorials/read-the-report.md").read_text(encoding="utf-8")
    table = page.partition("## While it trains")[2].partition("## 1.")[0]
    words = {label for label, _, _ in SHOWN_METRICS} - {"loss"}
    assert words | {"tokens"} == set(re.findall(r"`([a-z_]+)`(?=[^|]*\|)", table))


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_step_line_shows_a_missing_number_as_a_dash(nothing: float | None) -> None:
    line = step_line(1, 1, {**FULL, "injection/logp_on_q": nothing}, 0.1)
    assert "logp_q -  tokens" in line
    assert "nan" not in line


def test_step_line_without_any_metric_claims_no_zero() -> None:
    assert "0" not in step_line(1, 1, {}, 1.5).replace("step 1/1", "").replace("1.5 s", "")


def test_dry_run_says_what_a_run_would_be_and_trains_nothing(
    cli, assembly, config_file: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = cli("train", config_file, "--dry-run", "--set", "seed=7")
    assert outcome.status == 0
    ((name, call),) = assembly.calls
    assert (name, call.config.seed) == ("dry_run", 7)
    assert "steps: 21 of 512 problems x 8 rollouts, over 8 processes, epochs 1" in outcome.out
    assert "set d: 11,000 problems, drawn 12,000 times, 9,000 with an expert" in outcome.out
    assert "benchmark math500: 500 problems x 4" in outcome.out
    assert "  trained: adapters of rank 8 on all-linear, rate 1e-05" in outcome.out
    assert "  accept: finished" in outcome.out
    assert "SOLVE [bold]x[/bold]" in outcome.out  # prompts as they are
    assert "nothing was written" in outcome.out
    assert not (tmp_path / "runs").exists()
