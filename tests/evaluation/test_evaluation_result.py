"""Aggregates of judged samples against numbers worked out by hand."""

from __future__ import annotations

import dataclasses
import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rephrase_rl.errors import EvaluationError
from rephrase_rl.evaluation import EvaluationProtocol, EvaluationSample, summarize_samples
from rephrase_rl.evaluation.samples import tallies
from rephrase_rl.records import from_json, to_json
from rephrase_rl.statistics import clustered_mean_interval
from rephrase_rl.statistics.share_interval import wilson_ends

PROTOCOL = EvaluationProtocol(
    "hard", 4, 1.0, 1.0, 64, "exact", "s-v1", 0, pass_at_k=(1, 2, 4), max_unscorable_fraction=0.6
)


def samples_of(*rows: list[float | str | None]) -> list[EvaluationSample]:
    """One row per problem; a number is a reward, a text a status without one."""
    samples = []
    for problem, row in enumerate(rows):
        for index, cell in enumerate(row):
            scored = not isinstance(cell, str)
            samples.append(
                EvaluationSample(
                    problem_id=f"p{problem}",
                    sample=index,
                    text="text",
                    status="scored" if scored else cell,  # type: ignore[arg-type]
                    value=float(cell) if scored else math.nan,  # type: ignore[arg-type]
                    answer=None,
                    reference_answer="7",
                    num_tokens=10,
                    finished=index != 3,
                    detail="" if scored else "gold not readable",
                )
            )
    return samples


def test_means_and_counts() -> None:
    result = summarize_samples(
        samples_of([1, 1, 0, 0], [0, 0, 0, 0], [1, "timeout", "error", 1], ["unscorable"] * 4),
        PROTOCOL,
    )
    # Means of problems 1/2, 0 and 2/2; the last problem has none.
    assert result.avg_at_k.mean == pytest.approx(0.5)
    assert result.avg_at_k.n_clusters == 3
    assert result.unscorable == {"unscorable": 4, "timeout": 1, "error": 1}
    assert result.unscored_problems == 1
    # pass@2: 1 - C(2,2)/C(4,2) = 5/6, 0, 1. pass@4: 1 and 0 from the two with four scored samples.
    assert result.pass_at_k[1].mean == pytest.approx(0.5)
    assert result.pass_at_k[2].mean == pytest.approx((5 / 6 + 0 + 1) / 3)
    assert result.pass_at_k[4].mean == pytest.approx(0.5)
    assert result.pass_at_k_left_out == {1: 1, 2: 1, 4: 2}
    assert (result.num_problems, result.num_samples) == (4, 16)
    assert result.truncated_fraction == 4 / 16
    assert result.generated_tokens == 160


def test_a_sample_without_a_score_is_never_a_zero() -> None:
    result = summarize_samples(samples_of([1, "unscorable", 1, 1], [1, 1, 1, "timeout"]), PROTOCOL)
    assert result.avg_at_k.mean == 1.0
    assert result.pass_at_k[2].mean == 1.0


def test_a_value_beside_another_status_does_not_count() -> None:
    broken = dataclasses.replace(samples_of(["error"])[0], value=0.0)
    result = summarize_samples([*samples_of([1, 1]), broken], PROTOCOL)
    # The broken sample belongs to p0, whose other samples passed.
    assert result.avg_at_k.mean == 1.0


def test_the_interval_is_over_problems() -> None:
    result = summarize_samples(samples_of(*[[1] * 4] * 3, *[[0] * 4] * 7), PROTOCOL)
    expected = stats.binomtest(3, 10).proportion_ci(0.95, method="wilson")
    for interval in (result.avg_at_k, result.pass_at_k[4]):
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert result.avg_at_k.method == "score"


def test_nothing_solved_leaves_room_for_doubt() -> None:
    result = summarize_samples(samples_of(*[[0] * 4] * 50), PROTOCOL)
    assert result.avg_at_k.low == 0
    assert 0.05 < result.avg_at_k.high < 0.1


def test_rewards_outside_the_unit_interval_get_a_t_interval() -> None:
    result = summarize_samples(samples_of([2.0, 2.0], [-1.0, 0.0]), PROTOCOL)
    assert result.avg_at_k.mean == 0.75
    assert result.avg_at_k.method == "t"


def test_partial_rewards_pass_from_the_threshold_on() -> None:
    result = summarize_samples(samples_of([0.5], [0.49]), PROTOCOL)
    assert result.pass_at_k[1].mean == 0.5
    assert result.avg_at_k.mean == pytest.approx(0.495)


def test_too_many_unscorable_samples_are_an_error_that_says_why() -> None:
    strict = dataclasses.replace(PROTOCOL, max_unscorable_fraction=0.25)
    summarize_samples(samples_of([1, 1, 1, "unscorable"]), strict)
    with pytest.raises(EvaluationError) as caught:
        summarize_samples(samples_of([1, 1, "unscorable", "timeout"]), strict)
    text = str(caught.value)
    for part in ("2 of 4", "1 timeout, 1 unscorable", "at most 25%", "'p0'", "gold not readable"):
        assert part in text


def test_no_samples_are_an_error() -> None:
    with pytest.raises(EvaluationError, match="no samples"):
        summarize_samples([], PROTOCOL)


@given(
    rows=st.lists(
        st.lists(st.sampled_from([0.0, 0.5, 1.0, "timeout"]), min_size=4, max_size=4),
        min_size=1,
        max_size=6,
    ),
    seed=st.integers(0, 100),
)
@settings(derandomize=True, deadline=None, max_examples=40)
def test_the_order_of_samples_does_not_matter(rows: list[list[float | str]], seed: int) -> None:
    lenient = dataclasses.replace(PROTOCOL, max_unscorable_fraction=0.999)
    samples = samples_of([1.0, 0.0, 1.0, 1.0], *rows)  # type: ignore[arg-type]
    shuffled = random.Random(seed).sample(samples, len(samples))
    first, second = summarize_samples(samples, lenient), summarize_samples(shuffled, lenient)
    assert second.avg_at_k.mean == pytest.approx(first.avg_at_k.mean)
    assert second.avg_at_k.high == pytest.approx(first.avg_at_k.high)
    for k in lenient.pass_at_k:
        assert second.pass_at_k[k].mean == pytest.approx(first.pass_at_k[k].mean)
    assert first.pass_at_k[1].mean <= first.pass_at_k[2].mean + 1e-12 or (
        first.pass_at_k_left_out[1] != first.pass_at_k_left_out[2]
    )


def answered(problem: str, *answers: tuple[str | None, float]) -> list[EvaluationSample]:
    """One problem whose samples gave these answers with these rewards."""
    rows = samples_of([value for _, value in answers])
    return [
        dataclasses.replace(row, problem_id=problem, answer=answer)
        for row, (answer, _) in zip(rows, answers, strict=True)
    ]


def test_majority_and_all_passing_beside_pass_at_k() -> None:
    result = summarize_samples(
        [
            # Right in two ways of writing it: one answer all the same. Two wrong ones apart.
            *answered("a", ("1/2", 1), ("0.5", 1), ("3", 0), ("4", 0)),
            # The wrong answer has most votes, blanks do not make two of it.
            *answered("b", ("7", 1), ("8 9", 0), (" 8  9", 0), (None, 0)),
        ],
        dataclasses.replace(PROTOCOL, pass_at_k=(1, 2, 4)),
    )
    assert result.maj_at_k[4].mean == 0.5
    # pass^2: C(2,2)/C(4,2) = 1/6 and 0.
    assert result.pass_hat_k[2].mean == pytest.approx(1 / 12)
    assert result.pass_hat_k[4].mean == 0
    assert set(result.maj_at_k) == set(result.pass_hat_k) == {2, 4}
    assert 0 < result.maj_at_k[4].low < result.maj_at_k[4].high < 1


def test_without_answers_there_is_no_majority() -> None:
    assert summarize_samples(samples_of([1, 0, 1, 1]), PROTOCOL).maj_at_k == {}
    # An answer that could not be judged is no vote.
    (unjudged,) = samples_of(["error"])
    samples = [*samples_of([1, 0, 1, 1]), dataclasses.replace(unjudged, answer="7")]
    assert summarize_samples(samples, PROTOCOL).maj_at_k == {}


def test_a_blank_answer_is_no_vote() -> None:
    found = tallies(answered("a", ("7", 1), (" ", 0), ("", 0), ("8", 0)), 0.5)
    assert found == {"a": (4, 1, (1,))}


def test_every_interval_has_the_protocols_confidence_and_seed() -> None:
    protocol = dataclasses.replace(PROTOCOL, confidence=0.8, seed=7)
    generator = random.Random(0)
    rows = [[generator.random() for _ in range(4)] for _ in range(9)]
    samples = [dataclasses.replace(s, answer=str(s.value)) for s in samples_of(*rows)]
    result = summarize_samples(samples, protocol, prompts_sha256="abc")
    found = [result.avg_at_k, *result.pass_at_k.values(), *result.pass_hat_k.values()]
    found += [*result.maj_at_k.values(), *result.avg_at_k_by.values()]
    assert len(found) == 1 + 3 + 2 + 2 + 2
    assert {interval.confidence for interval in found} == {0.8}
    graded = summarize_samples(samples_of([2.0, 0.0], [-1.0, 1.0]), protocol)
    assert graded.avg_at_k.confidence == 0.8
    bootstrap = clustered_mean_interval(rows, confidence=0.8, method="bootstrap", seed=7)
    assert result.avg_at_k_by["bootstrap"] == bootstrap
    assert result.prompts_sha256 == "abc"


def test_a_pass_at_k_rests_on_all_samples_of_its_problems() -> None:
    """Ten problems that pass in 2 of 4 samples: no spread, so 40 trials and not ten."""
    result = summarize_samples(samples_of(*[[1.0, 0.0, 1.0, 0.0]] * 10), PROTOCOL)
    ends = wilson_ends(0.5, 40, 0.95)
    assert (result.pass_at_k[1].low, result.pass_at_k[1].high) == pytest.approx(ends)
    ends = wilson_ends(5 / 6, 40, 0.95)
    assert (result.pass_at_k[2].low, result.pass_at_k[2].high) == pytest.approx(ends)


@pytest.mark.parametrize(
    ("rewards", "method"), [([1.5, 0], "t"), ([-0.5, 1], "t"), ([1, "error"], "score")]
)
def test_the_score_interval_is_for_rewards_from_0_to_1(rewards, method) -> None:
    assert summarize_samples(samples_of(rewards, [0.0, 1.0]), PROTOCOL).avg_at_k.method == method


def test_the_other_intervals_are_beside_the_main_one() -> None:
    rows = [[1.0, 0.0, 1.0, 1.0], [0.0] * 4, [1.0] * 4, [0.0, 0.0, 1.0, 0.0]]
    result = summarize_samples(samples_of(*rows), PROTOCOL)
    means = [0.75, 0, 1, 0.25]
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert result.avg_at_k_by["t"].low == pytest.approx(expected.low)
    assert result.avg_at_k_by["bootstrap"].method == "bootstrap"
    assert result.avg_at_k_by["bootstrap"].mean == result.avg_at_k.mean


def test_parts_are_told_apart_by_their_labels() -> None:
    labels = [{"subject": "Algebra", "level": "1"}, {"subject": "Geometry", "level": "1"}]
    samples = [
        dataclasses.replace(sample, labels=labels[sample.problem_id == "p2"])
        for sample in samples_of([1] * 4, [0] * 4, [1] * 4)
    ]
    result = summarize_samples(samples, PROTOCOL)
    assert list(result.by_label) == ["level", "subject"]
    turned = summarize_samples(samples[::-1], PROTOCOL)
    assert list(turned.by_label["subject"]) == ["Algebra", "Geometry"]
    assert result.by_label["subject"]["Algebra"].mean == 0.5
    assert result.by_label["subject"]["Algebra"].n_clusters == 2
    assert result.by_label["subject"]["Geometry"].mean == 1.0
    assert result.by_label["level"]["1"] == result.avg_at_k


def test_json_has_numbers_where_there_are_some_and_null_elsewhere() -> None:
    result = summarize_samples(samples_of([1, "timeout"], [0, 0]), PROTOCOL)
    data = json.loads(json.dumps(to_json(result), allow_nan=False))
    assert data["avg_at_k"]["mean"] == 0.5
    assert data["pass_at_k"]["1"]["mean"] == 0.5
    assert data["pass_at_k"]["4"]["mean"] is None
    assert data["protocol"]["name"] == "hard"
    timed_out = data["samples"][1]
    assert (timed_out["status"], timed_out["value"]) == ("timeout", None)
    assert math.isnan(from_json(EvaluationSample, timed_out).value)
    assert from_json(EvaluationSample, data["samples"][0]) == result.samples[0]
