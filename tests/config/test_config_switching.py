"""Another method on the command line than in the file: its own blocks, or a word about it."""

from __future__ import annotations

import warnings

import pytest

from rephrase_rl.config import load_config, parse_config
from rephrase_rl.errors import ConfigError
from rephrase_rl.methods import PRESETS, resolve_config, resolve_guidance

BASE = {"method": "repo", "model": {"path": "m"}, "data": {"path": "d"}}
SPELT_OUT = {
    "gate": {"kind": "failed_share", "gate_failure_fraction": 1.0},
    "source": {"kind": "rephrase", "temperature": 1.0},
    "accept": ["reward_above_replaced", "finished", "no_meta_text"],
    "slot": {"kind": "replace_worst"},
    "train": {"kind": "clipped_ratio"},
    "advantages": {"scale": "group"},
}


def switched(to: str, *overrides: str, **sections):
    return parse_config(BASE | sections, overrides=[f"method={to}", *overrides])


def refusal(to: str, *overrides: str, **sections) -> str:
    with pytest.raises(ConfigError) as caught:
        switched(to, *overrides, **sections)
    (fault,) = caught.value.faults
    return fault


@pytest.mark.parametrize("name", PRESETS)
def test_a_file_without_blocks_becomes_any_method(name) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = resolve_config(switched(name))
    assert config.method == name
    assert config == resolve_config(parse_config(BASE | {"method": name}))


@pytest.mark.parametrize("name", ["grpo", "sft", "rewrite_sft", "luffy", "relift"])
def test_blocks_of_another_method_are_refused(name) -> None:
    fault = refusal(name, guidance=SPELT_OUT)
    assert f"--set method={name}: found blocks in the file that are not those of {name}" in fault
    assert "--set 'guidance={}'" in fault
    ours = resolve_guidance(name, {})
    for block in ("gate", "source", "slot", "train"):
        kind = getattr(ours, block).kind
        assert (f"({name}: {kind})" in fault) == (kind != SPELT_OUT[block]["kind"])
    assert ("advantages.scale group (luffy: none)" in fault) == (name == "luffy")


def test_every_block_alone_is_reason_enough() -> None:
    assert "accept finished (luffy: anything)" in refusal(
        "luffy", guidance={"accept": ["finished"]}
    )
    assert "advantages.scale group (luffy: none)" in refusal(
        "luffy", guidance={"advantages": {"scale": "group"}}
    )
    assert "train clipped_ratio (sft: nll)" in refusal(
        "sft", guidance={"train": {"kind": "clipped_ratio"}}
    )


def test_what_both_methods_have_alike_is_a_change_of_either() -> None:
    own_gate = {"gate": {"kind": "success_rate"}, "accept": ["finished"]}
    config = resolve_config(switched("guide", guidance=own_gate))
    assert config.guidance["gate"]["kind"] == "success_rate"
    assert [rule["kind"] for rule in config.guidance["accept"]] == ["finished"]
    assert config.guidance["train"]["kind"] == "context_ratio"


def test_the_user_can_combine_them_all_the_same() -> None:
    combined = resolve_config(parse_config(BASE | {"method": "luffy", "guidance": SPELT_OUT}))
    assert combined.guidance["source"]["kind"] == "rephrase"
    plain = resolve_config(switched("sft", "guidance={}", guidance=SPELT_OUT))
    assert plain.guidance["slot"]["kind"] == "dataset"
    gate = {"gate": {"kind": "always"}}
    said = switched("grpo", "guidance.gate={kind: always}", "guidance.source={kind: rephrase}",
                    guidance=gate)  # fmt: skip
    assert said.guidance["gate"] == {"kind": "always"}
    assert "gate always (grpo: never)" in refusal("grpo", guidance=gate)


def test_settings_that_the_other_kind_has_not_are_left_out_and_told() -> None:
    settings = {
        "source": {"max_prompt_tokens": 4096, "sampling": "eager"},
        "gate": {"gate_failure_fraction": 0.5},
    }
    with pytest.warns(UserWarning, match="method=luffy") as told:
        config = resolve_config(switched("luffy", guidance=settings))
    assert config.guidance == resolve_guidance("luffy", {}).model_dump(mode="json")
    assert len(told) == 1
    for field in ("source.max_prompt_tokens", "source.sampling", "gate.gate_failure_fraction"):
        assert f"guidance.{field}" in str(told[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guide = resolve_config(switched("guide", guidance=settings))
    assert guide.guidance["source"]["max_prompt_tokens"] == 4096
    # STaR's source samples too, so what it shares stays.
    star = resolve_config(switched("star", guidance={"source": {"sampling": "eager"}}))
    assert star.guidance["source"]["sampling"] == "eager"


def test_a_mistyped_setting_is_still_a_fault() -> None:
    with pytest.raises(ConfigError, match="max_promt_tokens"):
        resolve_config(switched("luffy", guidance={"source": {"max_promt_tokens": 1}}))


def test_trainer_fields_that_stand_against_the_preset_are_told() -> None:
    trainer = {"learning_rate": 1e-6, "epsilon": 0.2, "max_steps": 3}
    with pytest.warns(UserWarning, match=r"learning_rate 1e-06 \(sft: 1e-05\)") as told:
        switched("sft", trainer=trainer)
    assert "epsilon" not in str(told[0].message)
    with pytest.warns(UserWarning, match=r"epsilon 0.2 \(luffy: 1000000000.0\)"):
        switched("luffy", trainer=trainer)
    with pytest.warns(UserWarning, match=r"epsilon 1000000000.0 \(repo: the default\)"):
        parse_config(
            BASE | {"method": "luffy", "trainer": {"epsilon": 1e9}}, overrides=["method=repo"]
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        switched("sft", "trainer.learning_rate=2e-5", trainer=trainer)
        switched("grpo", trainer=trainer)


def test_a_file_without_a_method_was_written_for_none() -> None:
    raw = {key: value for key, value in BASE.items() if key != "method"}
    config = parse_config(raw | {"guidance": SPELT_OUT}, overrides=["method=luffy"])
    assert config.guidance == SPELT_OUT


def test_the_same_method_again_and_unknown_ones_change_nothing() -> None:
    config = switched("repo", guidance=SPELT_OUT)
    assert config.guidance == SPELT_OUT
    with pytest.raises(ConfigError, match="found 'rpo'"):
        resolve_config(switched("rpo", guidance=SPELT_OUT))


def test_the_whole_configuration_of_a_run_is_refused(tmp_path) -> None:
    from rephrase_rl.config import dump_config

    path = tmp_path / "config.yaml"
    path.write_text(dump_config(resolve_config(parse_config(BASE))))
    with pytest.raises(ConfigError, match="method=luffy: found blocks"):
        load_config(path, ["method=luffy"])
    assert load_config(path, ["seed=3"]).seed == 3
