"""The ``trainer`` section as people write it."""

from __future__ import annotations

import pytest

from rephrase_rl.config import parse_config
from rephrase_rl.errors import ConfigError
from rephrase_rl.trainers.trl.arguments import grpo_arguments
from rephrase_rl.trainers.trl.supervised_arguments import supervised_arguments


def section(*overrides: str):
    raw = {"method": "grpo", "model": {"path": "m"}, "data": {"path": "d"}}
    return parse_config(raw, overrides=overrides).trainer


def arguments(tmp_path, *overrides: str):
    return grpo_arguments(
        section(*overrides),
        output_dir=str(tmp_path),
        seed=0,
        scale_rewards="group",
        reward_weights=[1.0],
    )


@pytest.mark.parametrize("no", ["no", "'no'", "false"])
def test_no_without_quotes_is_the_word_and_not_false(tmp_path, no) -> None:
    override = f"trainer.save_strategy={no}"
    assert arguments(tmp_path, override).save_strategy == "no"
    made = supervised_arguments(section(override), output_dir=str(tmp_path), seed=0)
    assert made.sft.save_strategy == "no"


def test_false_stays_false_where_there_is_no_such_word(tmp_path) -> None:
    assert arguments(tmp_path, "trainer.bf16=no").bf16 is False
    with pytest.raises(ConfigError, match="SaveStrategy"):
        arguments(tmp_path, "trainer.save_strategy=yes")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainer.max_steps=many", r"trainer\.max_steps: found 'many'; required: a whole number"),
        ("trainer.learning_rate=fast", r"learning_rate: found 'fast'; required: a number"),
        ("trainer.bf16=perhaps", r"bf16: found 'perhaps'; required: true or false"),
    ],
)
def test_text_in_the_place_of_a_number_is_refused(tmp_path, override, said) -> None:
    with pytest.raises(ConfigError, match=said):
        arguments(tmp_path, override)
    with pytest.raises(ConfigError, match=said):
        supervised_arguments(section(override), output_dir=str(tmp_path), seed=0)


def test_a_number_in_scientific_form_is_a_number(tmp_path) -> None:
    assert arguments(tmp_path, "trainer.learning_rate=3e-5").learning_rate == 3e-5


def test_what_vllm_rounds_differently_is_corrected_token_by_token(tmp_path) -> None:
    mode = "trainer.vllm_importance_sampling_mode"
    vllm = "trainer.use_vllm=true"
    assert arguments(tmp_path, vllm).vllm_importance_sampling_mode == "token_truncate"
    asked = arguments(tmp_path, vllm, f"{mode}=sequence_mask")
    assert asked.vllm_importance_sampling_mode == "sequence_mask"
