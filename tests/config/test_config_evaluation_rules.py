"""Rules about evaluations in training: what they need, and that old configurations keep a hash."""

from __future__ import annotations

import pytest

from rephrase_rl.config import config_hash, parse_config
from rephrase_rl.errors import ConfigError


def config(**evaluation):
    raw = {"every_steps": 5, "before": True, "benchmarks": ["lab_hard", "lab_general"]}
    data = {"path": "lab:mixed", "name": "mixed"}
    return parse_config(
        {
            "method": "grpo",
            "model": {"path": "lab:base"},
            "data": data,
            "evaluation": {**raw, **evaluation},
        }
    )


def faults(**evaluation) -> str:
    with pytest.raises(ConfigError) as caught:
        config(**evaluation)
    return str(caught.value)


HASH_OF_BEFORE = "f541e60fcfee3a12ba966ea5ac0706c83ee4313659a4fec7cf36aad0b2117c5c"
RETENTION = {"benchmarks": "lab_general", "max_drop": 0.02}


def test_rules_name_benchmarks_that_are_evaluated() -> None:
    assert "keep_best names hard, which is not evaluated; write one of: lab_hard, lab_general" in (
        faults(keep_best="hard")
    )
    assert "early_stop.benchmark names x" in faults(early_stop={"benchmark": "x"})
    assert "retention.benchmarks names x" in faults(
        retention={"benchmarks": ["lab_hard", "x"], "max_drop": 0.1}
    )
    watched = config(keep_best="lab_hard", retention=RETENTION).evaluation.watched
    assert watched == {"keep_best": ("lab_hard",), "retention.benchmarks": ("lab_general",)}


def test_rules_need_evaluations_during_training() -> None:
    assert "keep_best need evaluations during training" in faults(
        keep_best="lab_hard", every_steps=None
    )
    assert "set evaluation.before to true" in faults(retention=RETENTION, before=False)


@pytest.mark.parametrize("rule", [{"max_drop": 0}, {"max_drop": -0.1}, {}, {"stop": "yes"}])
def test_limits_are_limits(rule) -> None:
    assert "retention" in faults(retention={"benchmarks": "lab_general", **rule})


def test_a_configuration_without_rules_has_the_hash_of_before() -> None:
    # Made by the version before there were rules.
    assert config_hash(config()) == HASH_OF_BEFORE
    assert config_hash(config(keep_best="lab_hard")) != HASH_OF_BEFORE
    assert config_hash(config(retention=RETENTION)) != HASH_OF_BEFORE
