"""A protocol that contradicts itself is refused as a whole, before anything is sampled."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from rephrase_rl.errors import ConfigError
from rephrase_rl.evaluation import EvaluationProtocol
from rephrase_rl.records import from_json, to_json
from rephrase_rl.rollout import SamplingSettings

PROTOCOL = EvaluationProtocol("hard", 4, 0.7, 0.9, 64, "exact", "lab-solve-v1", 3)


def test_it_asks_the_engine_for_what_it_says() -> None:
    assert PROTOCOL.sampling_settings() == SamplingSettings(
        n=4, temperature=0.7, top_p=0.9, max_new_tokens=64, seed=3
    )


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        dataclasses.replace(
            PROTOCOL, temperature=-1, top_p=2, limit=0, pass_at_k=(1, 5), confidence=95.0
        )
    assert len(caught.value.faults) == 5


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"temperature": 0.0}, "greedy samples are all the same"),
        ({"pass_at_k": (0,)}, "pass_at_k"),
        ({"samples_per_problem": 0, "pass_at_k": ()}, "n is 0"),
        ({"max_unscorable_fraction": 1.0}, "max_unscorable_fraction"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        dataclasses.replace(PROTOCOL, **changes)


def test_it_survives_json() -> None:
    assert from_json(EvaluationProtocol, to_json(PROTOCOL)) == PROTOCOL
