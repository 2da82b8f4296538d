"""TRL 1.16 held to what ``trainers/trl`` relies on; a failure names the file that would break."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap

import pytest
import torch
import trl.trainer.utils
from trl import GRPOConfig, GRPOTrainer
from trl.trainer import utils as trl_utils

from rephrase_rl.methods import TRAINER_DEFAULTS

pytestmark = pytest.mark.contract

TRAINER = "src/rephrase_rl/trainers/trl/trainer.py"
ENGINE = "src/rephrase_rl/trainers/trl/engine.py"


@pytest.mark.parametrize(
    ("name", "parameters", "file"),
    [
        ("_generate", ["self", "prompts"], TRAINER),
        ("_generate_and_score_completions", ["self", "inputs"], TRAINER),
        (
            "_calculate_rewards",
            ["self", "inputs", "prompts", "completions", "completion_ids_list"],
            TRAINER,
        ),
        ("_log_completion_extra", ["self", "column", "values"], TRAINER),
        ("_tokenize_prompts", ["self", "prompts"], ENGINE),
    ],
)
def test_signatures(name, parameters, file) -> None:
    found = list(inspect.signature(getattr(GRPOTrainer, name)).parameters)
    assert found == parameters, f"trl's GRPOTrainer.{name} changed; {file} depends on it"


@pytest.mark.parametrize(
    ("name", "leading"),
    [
        (
            "_generate_single_turn",
            ["self", "prompt_ids", "images", "multimodal_fields", "num_generations"],
        ),
        (
            "_get_per_token_logps_and_entropies",
            ["self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size"],
        ),
    ],
)
def test_leading_parameters(name, leading) -> None:
    found = list(inspect.signature(getattr(GRPOTrainer, name)).parameters)
    assert found[: len(leading)] == leading, f"GRPOTrainer.{name} changed; {ENGINE} depends on it"


def _returned_names(method) -> list[str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
    last = [node for node in ast.walk(tree) if isinstance(node, ast.Return)][-1]
    return [element.id for element in last.value.elts]


def test_generate_returns_the_eight_values_in_order() -> None:
    from rephrase_rl.trainers.trl.trainer import GenerationOutput

    assert _returned_names(GRPOTrainer._generate) == list(GenerationOutput._fields)


def test_log_probs_come_as_three() -> None:
    found = _returned_names(GRPOTrainer._get_per_token_logps_and_entropies)
    assert found == ["logps", "entropies", "aux_loss"]


@pytest.mark.parametrize(
    "name",
    [
        "num_generations",
        "eos_token_ids",
        "reward_weights",
        "_tokenizer",
        "_pending_extra_logs",
        "_pending_metrics",
        "_metrics",
        "_logs",
        "_is_vlm",
        "generation_config",
        "generation_kwargs",
        "multi_objective_aggregation",
        "scale_rewards",
        "reward_func_names",
        "environment_factories",
        "tools",
        "use_vllm",
        "use_transformers_continuous_batching",
        "aux_loss_enabled",
        "_entropy_bonus_enabled",
        "top_entropy_quantile",
        "off_policy_mask_threshold",
        "is_deepspeed_enabled",
        "is_fsdp_enabled",
    ],
)
def test_private_attributes_exist(name, tmp_path_factory, shared_trainer) -> None:
    assert hasattr(shared_trainer, name), f"{TRAINER} or {ENGINE} reads GRPOTrainer.{name}"


@pytest.fixture(scope="module")
def shared_trainer(tmp_path_factory):
    from trl_fakes import trainer

    return trainer(tmp_path_factory.mktemp("contract"), None)


def test_fused_head_takes_labels_in_place_and_asks_by_this_name_for_compactness() -> None:
    source = inspect.getsource(trl.trainer.utils.add_fused_lm_head)
    for part in ("compact = _use_triton(", "shift_labels", "fused_lm_head"):
        assert part in source, (
            f"trl's fused head lost {part!r}; packed.py and compact_head.py use it"
        )


def test_generation_settings_are_those_that_the_sampler_knows(shared_trainer) -> None:
    from rephrase_rl.trainers.trl.sampling import _KNOWN_FIELDS

    assert set(shared_trainer.generation_kwargs) <= _KNOWN_FIELDS, (
        "TRL samples with a new setting: sampling.py has to know it or leave it to generate"
    )


def test_group_members_are_adjacent() -> None:
    sampler = trl_utils.RepeatSampler(list(range(4)), mini_repeat_count=3, batch_size=2, seed=1)
    order = list(sampler)
    for start in range(0, len(order), 3):
        assert len(set(order[start : start + 3])) == 1


def test_trl_still_takes_every_default_that_we_set() -> None:
    known = {field.name for field in dataclasses.fields(GRPOConfig)}
    assert set(TRAINER_DEFAULTS) <= known


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss_type", "dapo"),
        ("epsilon", 0.2),
        ("beta", 0.0),
        ("scale_rewards", "group"),
        ("num_iterations", 1),
        ("importance_sampling_level", "token"),
        ("multi_objective_aggregation", "sum_then_normalize"),
        ("mask_truncated_completions", False),
        ("top_k", 0),
        ("vllm_importance_sampling_mode", "sequence_mask"),
    ],
)
def test_upstream_defaults_that_the_documentation_quotes(name, value) -> None:
    found = {field.name: field.default for field in dataclasses.fields(GRPOConfig)}[name]
    assert found == value


def test_vllm_backend_keeps_its_sampling_settings_in_attributes() -> None:
    """Candidates get their own temperature by setting them for one call."""
    from trl.generation.vllm_generation import VLLMGeneration

    source = inspect.getsource(VLLMGeneration)
    for name in ("temperature", "top_p"):
        assert f"self.{name} = {name}" in source, f"{ENGINE} sets VLLMGeneration.{name}"
        assert f"{name} = self.{name}" in source, f"VLLMGeneration no longer reads self.{name}"


def test_pad_takes_a_side() -> None:
    padded = trl_utils.pad([torch.tensor([1]), torch.tensor([2, 3])], 0, padding_side="left")
    assert padded.tolist() == [[0, 1], [2, 3]]


ADAPTERS = "src/rephrase_rl/assembly/adapters.py"


def test_adapters_are_given_as_a_peft_config_and_none_may_be_on_the_head(tmp_path) -> None:
    from peft import LoraConfig
    from trl import SFTTrainer

    from trl_fakes import trainer

    for owner in (GRPOTrainer, SFTTrainer):
        assert "peft_config" in inspect.signature(owner.__init__).parameters, ADAPTERS
    with pytest.raises(ValueError, match="lm_head"):
        trainer(tmp_path, None, peft_config=LoraConfig(target_modules=["lm_head"]))


def test_vllm_is_sent_merged_weights_whatever_their_shape() -> None:
    """If this fails, TRL may have learned to send adapters, and 4 bits with vLLM may be allowed."""
    from trl.generation.vllm_generation import VLLMGeneration

    source = inspect.getsource(VLLMGeneration._iter_named_params)
    assert "model.merge_adapter()" in source, ADAPTERS
    assert "Linear4bit" not in source, ADAPTERS
