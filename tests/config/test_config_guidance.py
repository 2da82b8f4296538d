"""The blocks of guidance: closed unions, faults that name the field, merging of presets."""

from __future__ import annotations

import pytest

from rephrase_rl.config import (
    FailedShareGate,
    GuidanceConfig,
    NeverGate,
    RephraseSource,
    config_to_plain,
    merge_blocks,
    parse_guidance,
)
from rephrase_rl.errors import ConfigError


def faults_of(raw: dict) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_guidance(raw)
    return list(caught.value.faults)


def test_defaults_are_those_of_repo() -> None:
    # method.md's table of open points: delta 0.5, rho 1, accepted only if better, lazy.
    guidance = GuidanceConfig()
    assert guidance.failure_reward_threshold == 0.5
    assert guidance.gate == FailedShareGate(gate_failure_fraction=1.0)
    assert guidance.source == RephraseSource(temperature=None, sampling="lazy")
    assert "reward_above_replaced" in [rule.kind for rule in guidance.accept]
    assert (guidance.advantages.std_ddof, guidance.advantages.eps) == (1, 1e-6)


def test_kind_chooses_the_model_of_a_block() -> None:
    guidance = parse_guidance({"gate": {"kind": "never"}, "source": {"kind": "none"}})
    assert guidance.gate == NeverGate()
    assert guidance.source.kind == "none"


def test_fields_of_another_kind_are_refused_and_the_place_has_no_tag() -> None:
    (fault,) = faults_of({"gate": {"kind": "never", "gate_failure_fraction": 0.5}})
    assert fault.startswith("guidance.gate.gate_failure_fraction: found unknown field")
    assert "one of kind;" in fault


def test_faults_of_several_blocks_come_together_with_suggestions() -> None:
    faults = faults_of(
        {
            "gate": {"kind": "failed_share", "gate_failure_fraction": -0.5, "gate_failure_frac": 1},
            "source": {"kind": "rephras"},
            "accept": ["finish", "finished"],
            "advantages": {"sclae": "group", "std_ddof": 2},
            "train": None,
        }
    )
    text = "\n".join(faults)
    assert [fault.split(": ")[0] for fault in faults] == [
        "guidance.gate.gate_failure_fraction",
        "guidance.gate.gate_failure_frac",
        "guidance.source",
        "guidance.accept.0",
        "guidance.train",
        "guidance.advantages.std_ddof",
        "guidance.advantages.sclae",
    ]
    assert "did you mean `gate_failure_fraction`?" in text
    assert "did you mean rephrase?" in text
    assert "did you mean finished?" in text
    assert "did you mean `scale`?" in text
    assert "required: greater than or equal to 0" in text


def test_block_without_kind_lists_the_kinds() -> None:
    (fault,) = faults_of({"gate": {}})
    assert "never, always, failed_share" in fault


def test_open_gates_need_a_source() -> None:
    (fault,) = faults_of({"source": {"kind": "none"}})
    assert "opens gates for nothing" in fault


def test_accept_rules_occur_once() -> None:
    (fault,) = faults_of({"accept": ["finished", "finished"]})
    assert "more than once; required: every rule at most once; do this: remove" in fault


def test_plain_form_is_valid_input() -> None:
    guidance = GuidanceConfig(gate=NeverGate(), correctness="math")
    assert parse_guidance(config_to_plain(guidance)) == guidance


def test_merge_keeps_what_is_not_named_and_replaces_a_block_of_another_kind() -> None:
    base = config_to_plain(GuidanceConfig())
    cooler = merge_blocks(base, {"source": {"temperature": 0.7}, "accept": ["finished"]})
    assert cooler["source"] == {**base["source"], "temperature": 0.7}
    assert cooler["accept"] == ["finished"]
    assert cooler["gate"] == base["gate"]
    closed = merge_blocks(base, {"gate": {"kind": "never"}})
    assert closed["gate"] == {"kind": "never"}
    same_kind = {"gate": {"kind": "failed_share", "gate_failure_fraction": 0.5}}
    assert merge_blocks(base, same_kind)["gate"] == same_kind["gate"]
    assert base == config_to_plain(GuidanceConfig())  # not changed in place
