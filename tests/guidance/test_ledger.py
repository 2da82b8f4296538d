"""The ledger: what is told of each problem from its groups, and what is counted over problems."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rephrase_rl
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.guidance.ledger import (
    Ledger,
    UnguidedSolve,
    bare_record,
    longest_unsolved,
    summarise,
)
from rephrase_rl.records import CandidateRecord, GroupRecord, TokenRecord, to_json
from rephrase_rl.runs import RunDirectory

NAN = math.nan


def candidate(accepted: bool) -> CandidateRecord:
    return CandidateRecord(
        text="t",
        raw_text="t",
        origin="rephrase",
        reward=1.0,
        correctness=1.0,
        num_tokens=1,
        num_sampled_tokens=1,
        finished=True,
        accepted=accepted,
        refusals=() if accepted else ("finished",),
        removed_meta=(),
    )


def group(
    step: int, name: str, failed: float, injected: bool | None = None, **changes: Any
) -> GroupRecord:
    """A group of own rollouts; ``injected`` is None where no candidate was asked for."""
    values: dict[str, Any] = {
        "rank": 0,
        "question": "q",
        "reference_answer": "1",
        "expert_solution": "k",
        "gate_open": injected is not None,
        "gate_reason": "closed" if injected is None else "open",
        "members": (),
        "candidates": () if injected is None else (candidate(injected),),
        "slot": 0 if injected else None,
    }
    return GroupRecord(step=step, problem_id=name, failure_fraction=failed, **(values | changes))


RECORDS = [
    group(0, "learned", 1.0, injected=True),
    group(0, "easy", 0.0),
    group(0, "stuck", 1.0, injected=False),
    group(1, "learned", 1.0, injected=True),
    group(1, "unscored", NAN),
    group(1, "once", 1.0, injected=True),
    group(2, "learned", 0.75),
    group(2, "lost", 0.5),
    group(3, "lost", 1.0, injected=True),
    group(3, "lucky", 1.0, injected=False),
    group(4, "stuck", 1.0, injected=True),
    group(4, "lucky", 0.75),
    group(5, "stuck", 1.0, injected=True),
    group(6, "learned", 1.0, injected=True),
]


def test_a_history_tells_what_happened_at_each_visit() -> None:
    learned = Ledger.from_records(RECORDS).problem("learned")
    first = learned.visits[0]
    assert (first.step, first.pass_fraction, first.gate_open) == (0, 0.0, True)
    assert (first.candidates, first.accepted, first.injected) == (1, 1, True)
    assert [visit.gate_open for visit in learned.visits] == [True, True, False, True]
    assert learned.interventions == 3
    assert learned.first_own_success == 2
    # The injection of step 6 came after the solve and cannot have caused it.
    assert learned.first_unguided_solve == UnguidedSolve(2, visits_before=2, injections_before=2)


def test_history_is_the_own_pass_fraction_before_injection() -> None:
    ledger = Ledger.from_records(RECORDS)
    assert ledger.history("learned") == (0.0, 0.0, 0.25, 0.0)
    assert math.isnan(ledger.history("unscored")[0])
    assert ledger.history("never seen") == ()
    assert ledger.problem("never seen").visits == ()


def test_a_problem_that_was_solved_at_first_is_not_hard_whatever_comes_later() -> None:
    lost = Ledger.from_records(RECORDS).problem("lost")
    assert lost.initially_all_failed is False
    assert lost.first_own_success == 2
    assert lost.first_unguided_solve is None


def test_an_unscored_visit_is_neither_a_failure_nor_a_first_visit() -> None:
    ledger = Ledger.from_records(
        [group(0, "a", NAN), group(1, "a", 1.0), group(2, "a", NAN), group(3, "a", 0.5)]
    )
    assert ledger.problem("a").initially_all_failed is True
    assert ledger.problem("a").first_unguided_solve == UnguidedSolve(3, 1, 0)


def test_an_injection_of_the_same_step_did_not_help_the_solve() -> None:
    ledger = Ledger.from_records([group(0, "a", 1.0, injected=True), group(0, "a", 0.5)])
    assert ledger.problem("a").first_unguided_solve == UnguidedSolve(0, 1, injections_before=0)


def test_a_group_that_was_not_trained_on_is_a_visit_without_intervention() -> None:
    ledger = Ledger.from_records([group(0, "a", 1.0, injected=True, used=False)])
    assert ledger.problem("a").interventions == 0
    assert ledger.problem("a").visits[0].accepted == 1


def test_the_summary_counts_problems_once() -> None:
    summary = summarise(Ledger.from_records(RECORDS))
    assert to_json(summary) == {
        "problems": 7,
        "unscored": 1,
        "initially_all_failed": 4,  # learned, stuck, once, lucky
        "intervened": 3,
        "solved_unguided": 2,
        "solved_without_injection": 1,
        "never_solved": 2,
        "not_seen_again": 1,
        "median_visits_until_solve": 1.5,  # 2 and 1
        "median_injections_until_solve": 1.0,  # 2 and 0
        "censored": 2,
    }


def test_counts_of_a_part_are_not_those_of_the_rest() -> None:
    """Of three solves one came without an injection; of three unsolved one was seen once."""
    records = [group(0, name, 1.0, injected=name != "luck") for name in ("luck", "a", "b")]
    records += [group(0, name, 1.0) for name in ("once", "c", "d")]
    records += [group(1, name, 0.5) for name in ("luck", "a", "b")]
    records += [group(1, name, 1.0) for name in ("c", "d")]
    ledger = Ledger.from_records(records)
    summary = summarise(iter(ledger))
    assert (summary.solved_unguided, summary.solved_without_injection) == (3, 1)
    assert (summary.never_solved, summary.not_seen_again) == (3, 1)
    assert summary == summarise(ledger)


def test_a_history_that_was_taken_does_not_grow() -> None:
    ledger = Ledger.from_records(RECORDS)
    assert (len(ledger), repr(ledger)) == (7, "Ledger(7 problems, up to step 6)")
    before = ledger.problem("stuck")
    ledger.observe([group(7, "stuck", 1.0)])
    assert (len(before.visits), len(ledger.problem("stuck").visits)) == (3, 4)


def test_medians_over_nothing_are_nan() -> None:
    summary = summarise(Ledger.from_records([group(0, "a", 1.0)]))
    assert math.isnan(summary.median_visits_until_solve)
    assert math.isnan(summary.median_injections_until_solve)
    assert summary.censored == 1


def test_the_longest_unsolved_come_first() -> None:
    hard = longest_unsolved(Ledger.from_records(RECORDS), 3)
    assert [(h.problem_id, h.visits_unsolved) for h in hard] == [
        ("stuck", 3),
        ("learned", 2),
        ("once", 1),
    ]
    everything = longest_unsolved(Ledger.from_records(RECORDS), 99)
    assert [h.problem_id for h in everything] == ["stuck", "learned", "once", "lucky"]


def test_observing_step_by_step_is_the_same_as_at_once() -> None:
    at_once, by_step = Ledger.from_records(RECORDS), Ledger()
    for step in range(7):
        by_step.observe([record for record in RECORDS if record.step == step])
    assert by_step.to_json() == at_once.to_json()


def test_a_ledger_goes_on_from_its_json() -> None:
    whole = Ledger.from_records(RECORDS)
    early = [record for record in RECORDS if record.step < 3]
    resumed = Ledger.from_json(json.loads(json.dumps(Ledger.from_records(early).to_json())))
    assert math.isnan(resumed.history("unscored")[0])
    resumed.observe([record for record in RECORDS if record.step >= 3])
    assert resumed.to_json() == whole.to_json()
    assert [history.problem_id for history in resumed] == [h.problem_id for h in whole]
    with pytest.raises(DataError, match="unknown keys"):
        Ledger.from_json([{"problem_id": "a", "visits": [], "more": 1}])


def test_steps_must_not_go_backwards() -> None:
    ledger = Ledger.from_records([group(3, "a", 1.0)])
    with pytest.raises(DataError, match=r"step 2 .*after step 3"):
        ledger.observe([group(2, "a", 1.0)])
    again = Ledger.from_json(ledger.to_json())
    with pytest.raises(DataError, match=r"step 2 .*after step 3"):
        again.observe([group(2, "a", 1.0)])


def test_the_ledger_of_a_run_is_that_of_its_records(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", {}, "method: repo\n")
    run.append_groups(RECORDS)
    assert Ledger.of_run(run).to_json() == Ledger.from_records(RECORDS).to_json()


def test_the_ledger_of_a_run_reads_no_tokens(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", {}, "log: {tokens: all}\n")
    with_tokens = dataclasses.replace(candidate(True), tokens=TokenRecord(("t",), (-1.0,), None))
    record = dataclasses.replace(RECORDS[0], candidates=(with_tokens,))
    run.append_groups([record])
    (row,) = run.group_rows()
    assert bare_record(row).candidates == (candidate(True),)
    assert Ledger.of_run(run).problem("learned").interventions == 1


@pytest.mark.parametrize("candidates", ["accepted", {"accepted": True}, ["accepted"], 5])
def test_damaged_candidates_are_named(candidates: Any) -> None:
    row = {**to_json(RECORDS[0]), "candidates": candidates}  # type: ignore[dict-item]
    with pytest.raises(DataError, match="candidates"):
        bare_record(row)


@pytest.mark.parametrize("config", ["- a list\n", "log: words\n", "log: {tokens: all}\n"])
def test_a_run_that_does_not_say_what_it_kept_has_kept_all(tmp_path: Path, config: str) -> None:
    run = RunDirectory.create(tmp_path / "run", {}, config)
    run.append_groups(RECORDS)
    assert len(Ledger.of_run(run)) == 7


@pytest.mark.parametrize("kept", ["open", "none"])
def test_a_run_that_did_not_keep_all_groups_has_no_ledger(tmp_path: Path, kept: str) -> None:
    run = RunDirectory.create(tmp_path / "run", {}, f"log: {{groups: {kept}}}\n")
    run.append_groups(RECORDS)
    with pytest.raises(ConfigError, match=r"train with log\.groups: all"):
        Ledger.of_run(run)


def test_the_ledger_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import rephrase_rl.guidance.ledger"
    source = str(Path(rephrase_rl.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": source}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
