"""Which groups a page shows, and that it says what it leaves out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_run import CONFIG, MANIFEST, group, refused, rescued

from rephrase_rl.errors import CheckpointError
from rephrase_rl.reports.group_selection import select_groups, share_places
from rephrase_rl.reports.group_view import view_groups
from rephrase_rl.reports.series import evenly_spaced
from rephrase_rl.runs import RunDirectory

COUNTS = st.integers(0, 60)


@pytest.fixture
def run(tmp_path):
    run = RunDirectory.create(tmp_path / "run", MANIFEST, CONFIG)
    for step in range(10):
        run.append_groups([group(step, f"plain-{step}"), rescued(step, f"rescued-{step}")])
    run.append_groups([refused(9, "refused-9")])
    return run


def test_everything_is_shown_if_it_fits(run):
    selection = select_groups(run, 21)

    assert len(selection.groups) == 21
    assert selection.rule == "All 21 recorded groups are shown."


def test_refused_and_rescued_groups_come_first(run):
    selection = select_groups(run, 14)

    names = [record.problem_id for record in selection.groups]
    assert selection.shown == {"refused": 1, "rescued": 10, "other": 3}
    # The order of the run, and the plain ones from its beginning, middle and end.
    assert [name for name in names if name.startswith("plain")] == ["plain-0", "plain-4", "plain-9"]
    assert [record.step for record in selection.groups] == sorted(r.step for r in selection.groups)


def test_the_rule_says_what_is_not_shown(run):
    rule = select_groups(run, 5).rule

    assert rule.startswith("5 of 21 recorded groups are shown: 1 of 1 groups with a refused")
    assert "3 of 10 other rescued groups" in rule
    assert "1 of 10 remaining groups" in rule
    assert "The other 16 groups are not on this page" in rule


def test_counts_are_over_all_groups_not_over_those_shown(run):
    tally = select_groups(run, 2).tally

    assert tally.to_json() == {
        "groups": 21,
        "gate_reasons": {"open": 11, "closed": 10},
        "injected": 10,
        "rescued": 10,
        "candidates": 11,
        "accepted": 10,
        "refusals": {"better_than_replaced": 1, "finished": 1},
        "members": 84,
        "members_truncated": 10,
        "members_unscorable": 0,
    }


def test_a_limit_below_one_is_refused(run):
    with pytest.raises(CheckpointError, match="limit of 0 groups"):
        select_groups(run, 0)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(refused=COUNTS, rescued=COUNTS, other=COUNTS, limit=st.integers(1, 100))
def test_places_are_all_used_and_never_exceeded(refused, rescued, other, limit):
    available = {"refused": refused, "rescued": rescued, "other": other}

    shown = share_places(available, limit)

    assert sum(shown.values()) == min(limit, refused + rescued + other)
    assert all(0 <= shown[kind] <= available[kind] for kind in available)
    if refused + rescued <= limit:
        assert (shown["refused"], shown["rescued"]) == (refused, rescued)


@given(length=st.integers(1, 50), count=st.integers(0, 50))
def test_evenly_spaced_items_are_distinct_and_in_order(length, count):
    count = min(count, length)

    chosen = evenly_spaced(list(range(length)), count)

    assert len(chosen) == count
    assert chosen == sorted(set(chosen))
    if count > 1:
        assert (chosen[0], chosen[-1]) == (0, length - 1)


def test_the_replaced_rollout_is_back_in_its_place_in_the_row_of_marks(run):
    selection = select_groups(run, 21)
    view = next(v for v in view_groups(selection) if v.record.problem_id == "rescued-0")

    assert [mark.reward for mark in view.before] == ["0", "0", "0", "0"]
    assert [mark.reward for mark in view.after] == ["1", "0", "0", "0"]
    assert [mark.is_slot for mark in view.after] == [True, False, False, False]
    assert view.verdict == (
        "All of the scored rollouts failed; a rephrase took place 0, and the group, which had no "
        "spread, has one now."
    )


def test_verdicts_of_the_other_kinds(run):
    views = {v.record.problem_id: v.verdict for v in view_groups(select_groups(run, 21))}

    assert views["plain-0"] == (
        "50% of the scored rollouts failed; nothing was brought in (gate closed)."
    )
    assert views["refused-9"] == (
        "All of the scored rollouts failed; the candidate was refused and the group stayed as "
        "sampled."
    )
