"""Changes are compared with the baseline seed by seed, each with its own batches."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from rephrase_rl.config import StudyConfig
from rephrase_rl.records import Problem
from rephrase_rl.studies.ablation import compare_to_baseline
from rephrase_rl.studies.ablation_pages import card_json, card_lines, overview_table
from rephrase_rl.studies.cells import Cell, base_cell
from rephrase_rl.studies.data import REWRITING, training_problems
from rephrase_rl.studies.order import remaining
from rephrase_rl.studies.outcomes import runs_of
from rephrase_rl.studies.shipped import shipped_study
from study_fakes import PLAIN, finished, tiny_study

CHANGES: dict[str, Any] = {
    "baseline": "repo",
    "sweep": None,
    "protocols": {
        "hard": {"hard": 1.0},
        "with_rewriting": {"hard": 1.0, "rewriting": 0.25, "against": "hard"},
    },
    "arms": {
        "repo": {"method": "repo", "rate": 2e-4},
        "nll": {"method": "repo", "rate": 2e-4, "guidance": {"train": {"kind": "nll"}}},
        "gated": {"method": "repo", "rate_of": "repo", "guidance": {"gate": {"kind": "always"}}},
    },
    "order": [
        {
            "kind": "main",
            "protocols": "hard",
            "experts": "alien",
            "arms": ["repo", "nll", "gated"],
            "seeds": 3,
            "first_seed": 10,
        },
    ],
}
STUDY = tiny_study(**CHANGES)


def cell(arm: str, seed: int, protocol: str = "hard") -> Cell:
    return Cell(arm, protocol, "alien", "good", seed, 2e-4)


def run(of: Cell, hard: float, kept: float, tokens: int) -> dict[str, Any]:
    spent = {"tokens": 40 * tokens, "tokens_by_step": [tokens * (i + 1) for i in range(40)]}
    return finished(of, hard, kept, **spent)


def summaries() -> dict[str, dict[str, Any]]:
    rows = [finished(base_cell("good", seed)) for seed in range(3)]
    for seed, repo, nll in ((10, 0.5, 0.8), (11, 0.55, 0.9), (12, 0.65, 1.0)):
        rows.append(run(cell("repo", seed), repo, 0.9, 100))
        rows.append(run(cell("nll", seed), nll, 0.9, 200))
        rows.append(run(cell("repo", seed, "with_rewriting"), repo, 1.0, 100))
    rows.append(run(cell("nll", 17), 0.0, 0.0, 100))  # without a partner
    return {row["id"]: row for row in rows}


def with_both() -> dict[str, dict[str, Any]]:
    """And another arm on the other batches."""
    rows = [run(cell("nll", seed, "with_rewriting"), 0.9, 1.0, 100) for seed in (10, 11)]
    return summaries() | {row["id"]: row for row in rows}


def test_differences_are_of_the_same_seed_and_of_equal_tokens() -> None:
    (found,) = compare_to_baseline(STUDY, runs_of(summaries().values()))
    assert (found.protocol, found.seeds) == ("hard", 3)
    assert found.hard == pytest.approx(1.7 / 3)
    variants = {(v.arm, v.protocol): v for v in found.variants}
    nll = variants["nll", "hard"]
    assert nll.pairs == 3
    assert nll.hard_at_end.mean == pytest.approx(1 / 3)
    width = nll.hard_at_end.high - nll.hard_at_end.low
    assert width == pytest.approx(2 * 4.3027 * (0.05 / 3**0.5) / 3**0.5, rel=1e-4)
    # Twice the tokens: at the baseline's budget its straight curve is half way up.
    assert nll.hard_at_tokens.mean == pytest.approx((0.8 + 0.9 + 1.0) / 6 - 1.7 / 3)
    assert nll.tokens == 2.0
    assert nll.area.mean == pytest.approx(1 / 6)
    # Up to the baseline's budget its line climbs to half of its end.
    assert nll.area_by_tokens.mean == pytest.approx((0.8 + 0.9 + 1.0) / 12 - 1.7 / 6)
    # All differences alike: no test, whatever their size.
    assert nll.retention.mean == 0.0
    assert nll.retention.p_value is None


def test_a_protocol_against_another_is_the_baseline_on_other_batches() -> None:
    (found,) = compare_to_baseline(STUDY, runs_of(summaries().values()))
    (cure,) = [v for v in found.variants if v.protocol == "with_rewriting"]
    assert cure.arm == "repo"
    assert cure.retention.mean == pytest.approx(0.1)
    (both,) = [
        v
        for v in compare_to_baseline(STUDY, runs_of(with_both().values()))[0].variants
        if v.pairs == 2
    ]
    assert (both.arm, both.protocol) == ("nll", "with_rewriting")
    # Against `repo` on hard problems alone, as its own batches are.
    assert both.hard_at_end.mean == pytest.approx(((0.9 - 0.5) + (0.9 - 0.55)) / 2)
    overview = overview_table(STUDY, compare_to_baseline(STUDY, runs_of(with_both().values())))
    assert any(line.startswith("| `nll`, batches `with_rewriting` |") for line in overview)
    text = "\n".join(card_lines(STUDY, summaries(), [found]))
    assert "| batches `with_rewriting` | 3 |" in text
    assert "`repo`: 3 runs, hard 0.567, retention 0.900." in text
    data = json.loads(json.dumps(card_json(STUDY, summaries(), [found])))
    assert data["conditions"][0]["variants"][0]["arm"] == "repo"


def test_p_values_are_corrected_over_the_changes_of_a_condition() -> None:
    rows = summaries()
    for seed, hard in ((10, 0.7), (11, 0.751), (12, 0.85)):
        of = cell("gated", seed)
        rows[of.cell_id] = run(of, hard, 0.9, 100)
    alone = {k: row for k, row in rows.items() if row["cell"]["arm"] != "nll"}
    p_alone, p_both = (
        next(
            v.hard_at_tokens.p_value
            for v in compare_to_baseline(STUDY, runs_of(some.values()))[0].variants
            if v.arm == "gated"
        )
        for some in (alone, rows)
    )
    assert 0.0 < p_alone < p_both
    assert p_both == pytest.approx(2 * p_alone)


def test_arms_with_a_rate_wait_for_no_sweep_and_seeds_start_where_they_are_told_to() -> None:
    cells = list(remaining(STUDY, {}))
    assert [(c.arm, c.seed) for c in cells[:3]] == [("repo", 10), ("nll", 10), ("gated", 10)]
    assert {c.rate for c in cells} == {2e-4}
    assert len(cells) == 9


def test_rewriting_is_asked_evenly_and_has_no_expert_to_rewrite() -> None:
    mix = STUDY.protocols["with_rewriting"]
    problems = training_problems(mix, 16, 3, "alien", "hard")
    asked = [i for i, p in enumerate(problems) if p.metadata["kind"] == REWRITING]
    assert asked == [3, 7, 11, 15]
    plain = training_problems(STUDY.protocols["hard"], 16, 3, "alien", "hard")
    for index in asked:
        question, expert = plain[index].question, str(plain[index].expert_solution)
        assert problems[index].question == f"<rewrite>{question}<expert>{expert}"
        assert problems[index].reference_answer == plain[index].reference_answer
        assert problems[index].expert_solution is None
    with_texts: list[Problem] = training_problems(mix, 16, 3, "alien", "all")
    assert str(with_texts[3].expert_solution).endswith(f"#{with_texts[3].reference_answer}")


def test_wrong_experts_leave_the_questions_as_they_are() -> None:
    wrong = tiny_study(protocols={"hard": {"hard": 1.0, "wrong_experts": 0.5}}, **WITHOUT)
    made = training_problems(wrong.protocols["hard"], 40, 3, "alien", "hard")
    plain = training_problems(STUDY.protocols["hard"], 40, 3, "alien", "hard")
    assert [p.question for p in made] == [p.question for p in plain]
    share = sum(not p.metadata["expert_is_right"] for p in made) / 40
    assert 0.25 < share < 0.75


WITHOUT = {name: CHANGES[name] for name in ("sweep", "baseline", "arms", "order")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"arms": {**CHANGES["arms"], "repo": {"method": "repo"}}},
            "repo have no rate and the study no sweep",
        ),
        (
            {"arms": {"repo": {"method": "repo", "rate": 1e-4, "rate_of": "repo"}}},
            "give it one of them",
        ),
        ({"baseline": None}, "with_rewriting are against another and the study has no baseline"),
        ({"baseline": "grpo"}, r"grpo \(arms\), not described here"),
        ({"protocols": {"hard": {"hard": 1.0, "against": "easy"}}}, r"easy \(protocols\)"),
        (
            {
                "sweep": PLAIN["sweep"],
                "order": [
                    {"kind": "sweep", "protocols": "hard", "experts": "alien", "arms": ["repo"]}
                ],
            },
            "the order sweeps repo, whose rate is given",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        StudyConfig.model_validate({**PLAIN, **CHANGES, **changes})


def test_every_arm_of_the_shipped_ablations_is_a_valid_configuration(tmp_path) -> None:
    from rephrase_rl.studies.policies import starting_policy
    from rephrase_rl.studies.runs import plan_run

    study = shipped_study("ablations").model_copy(update={"problems": 40})
    policy = starting_policy(tmp_path, "good", 0)
    seen = set()
    for entry in study.order:
        for arm in entry.arms:
            if arm != "base" and arm not in seen:
                seen.add(arm)
                planned = plan_run(study, cell(arm, 0, "mixed"), policy, tmp_path / arm)
                assert planned.config.trainer["learning_rate"] == 2e-4
    assert seen == {*study.arms}


def test_the_overview_has_a_row_for_each_change_that_has_pairs() -> None:
    lines = overview_table(STUDY, compare_to_baseline(STUDY, runs_of(summaries().values())))
    assert lines[0] == "| change | hard, alien expert, good rewriter |"
    # Behind in all three pairs, bold; the same is kept in each, and there is nothing to test.
    assert lines[2] == "| `nll` | hard **-0.117**<br>kept +0.000 |"
    assert lines[3].startswith("| batches `with_rewriting` | hard +0.000<br>kept +0.100 |")
    assert len(lines) == 4
