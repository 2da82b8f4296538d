"""What a history of evaluations decides, against cases worked out by hand."""

from __future__ import annotations

import math

import pytest

from rephrase_rl.assembly.watch_rules import decide
from rephrase_rl.config import EvaluationConfig, parse_benchmarks

NAN = math.nan


def rules(**changes) -> EvaluationConfig:
    benchmarks = tuple(parse_benchmarks(["lab_hard", "lab_general"]))
    return EvaluationConfig.model_validate(
        {"every_steps": 1, "before": True, "benchmarks": benchmarks, **changes}
    )


def history(hard: list[float], general: list[float] | None = None, every: int = 10):
    general = general or [0.9] * len(hard)
    return {
        index * every: {"lab_hard": h, "lab_general": g}
        for index, (h, g) in enumerate(zip(hard, general, strict=True))
    }


def stopping(patience: int, min_gain: float = 0.0):
    return rules(early_stop={"benchmark": "lab_hard", "patience": patience, "min_gain": min_gain})


@pytest.mark.parametrize(
    ("means", "patience", "min_gain", "since", "ends"),
    [
        ([0.1, 0.2, 0.3], 1, 0.0, 0, False),
        ([0.1, 0.3, 0.2], 2, 0.0, 1, False),
        ([0.1, 0.3, 0.2, 0.3], 2, 0.0, 2, True),  # equal is no gain
        ([0.1, 0.3, 0.2, 0.31], 2, 0.0, 0, False),
        ([0.1, 0.12, 0.14, 0.16], 2, 0.05, 0, False),  # slow gains add up: 0.16 against 0.1
        ([0.1, 0.12, 0.14], 2, 0.05, 2, True),
        ([0.1, NAN, NAN], 2, 0.0, 2, True),  # what cannot be judged is no gain
        ([NAN, NAN, 0.0], 3, 0.0, 0, False),
        ([0.0, 0.0], 1, 0.0, 1, True),
    ],
)
def test_early_stop_counts_evaluations_without_a_gain(
    means, patience, min_gain, since, ends
) -> None:
    found = decide(history(means), stopping(patience, min_gain))
    assert found.since_best == since
    assert (found.end is not None) == ends
    if ends:
        assert found.end.startswith("early stop: lab_hard not better in")


@pytest.mark.parametrize(
    ("means", "best"),
    [
        ([0.9, 0.2, 0.3], 20),  # the starting policy is not kept
        ([0.0, 0.3, 0.3], 10),  # the first of equals
        ([0.0, 0.3, 0.1], 10),
        ([0.0, NAN, NAN], None),
        ([0.0], None),
    ],
)
def test_the_best_policy_is_the_first_with_the_highest_mean(means, best) -> None:
    found = decide(history(means), rules(keep_best="lab_hard"))
    assert found.best_step == best
    assert found.is_best == (best == max(history(means)))


def test_a_policy_that_has_forgotten_is_not_kept() -> None:
    watched = rules(keep_best="lab_hard", retention={"benchmarks": "lab_general", "max_drop": 0.05})
    past = history([0.0, 0.2, 0.9, 0.5], [0.9, 0.9, 0.8, 0.86])
    assert decide(past, watched).best_step == 30
    assert decide({s: m for s, m in past.items() if s < 30}, watched).best_step == 10


@pytest.mark.parametrize(
    ("general", "drop", "alarm"),
    [
        ([0.9, 0.86], 0.04, False),
        ([0.9, 0.85], 0.05, False),  # by more than the limit, not by it
        ([0.9, 0.84], 0.06, True),
        ([0.9, 0.84, 0.95], -0.05, False),
        ([0.9, NAN], NAN, True),
    ],
)
def test_retention_compares_with_the_starting_policy(general, drop, alarm) -> None:
    watched = rules(retention={"benchmarks": ["lab_general"], "max_drop": 0.0501})
    found = decide(history([0.0] * len(general), general), watched)
    assert found.drops["lab_general"] == pytest.approx(drop, nan_ok=True)
    assert found.alarms == (("lab_general",) if alarm else ())
    assert found.end is None


def test_an_alarm_ends_training_where_that_is_wanted() -> None:
    watched = rules(
        retention={"benchmarks": ["lab_general", "lab_hard"], "max_drop": 0.1, "stop": True}
    )
    found = decide(history([0.5, 0.5], [0.9, 0.7]), watched)
    assert found.end == "retention: lab_general by 0.200, more than 0.1"
    assert found.alarms == ("lab_general",)


def test_without_rules_nothing_is_decided() -> None:
    found = decide(history([0.1, 0.0]), rules())
    assert (found.best_step, found.since_best, found.drops, found.end) == (None, None, {}, None)
