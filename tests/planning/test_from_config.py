"""From a configuration to a plan's input: TRL's arithmetic of batches, and origins of figures."""

from __future__ import annotations

import pytest
from trl import GRPOConfig

from rephrase_rl.config import config_hash, parse_config
from rephrase_rl.errors import ConfigError
from rephrase_rl.methods import resolve_config
from rephrase_rl.planning.from_config import (
    SPLITTABLE_LOSSES,
    DataLengths,
    computing_of,
    steps_of,
    workload_of,
)
from rephrase_rl.trainers.trl import trained_rows

LENGTHS = DataLengths(100.0, 300.0, 150.0, None, 512, "a test")


def config(method: str = "repo", **sections):
    raw = {"method": method, "model": {"path": "m"}, "data": {"path": "d"}}
    return resolve_config(parse_config(raw | sections))


def work_of(lengths: DataLengths = LENGTHS, **sections):
    return workload_of(config(**sections), lengths)[0]


def test_the_trainers_list_of_losses() -> None:
    assert SPLITTABLE_LOSSES == trained_rows.SPLITTABLE_LOSSES


def test_batches_are_counted_as_trl_counts_them() -> None:
    trainer = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 4}
    work = work_of(trainer=trainer)
    assert (work.problems, work.rows_per_step, work.micro_batch_rows) == (4, 32, 8)
    assert (work.generations_per_step, work.old_logps) == (1.0, False)
    # One generation for two optimiser steps: its second half is off-policy.
    work = work_of(trainer=trainer | {"steps_per_generation": 8})
    assert (work.problems, work.rows_per_step) == (8, 32)
    assert (work.generations_per_step, work.old_logps) == (0.5, True)
    work = work_of(trainer=trainer | {"num_iterations": 2})
    assert (work.problems, work.generations_per_step, work.old_logps) == (4, 0.5, True)
    work = work_of(trainer=trainer | {"generation_batch_size": 16})
    assert (work.problems, work.generations_per_step, work.old_logps) == (2, 2.0, False)


def test_trainer_fields_are_those_of_one_process() -> None:
    trainer = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 4}
    work = work_of(trainer=trainer, plan={"devices": 8})
    assert (work.problems, work.rows_per_step, work.micro_batch_rows) == (32, 256, 8)
    # TRL has this one field for all processes together.
    work = work_of(trainer=trainer | {"generation_batch_size": 128}, plan={"devices": 8})
    assert (work.problems, work.generations_per_step) == (16, 2.0)


def test_adapters_are_those_of_the_run_or_of_the_plan() -> None:
    model = {"path": "m", "lora": {"r": 4, "target_modules": ["q_proj"]}, "load_in_4bit": True}
    how = computing_of(config(model=model))
    assert (how.lora_rank, how.lora_layers, how.four_bits) == (4, ("q_proj",), True)
    tried = computing_of(config(model=model, plan={"lora_rank": 64}))
    assert (tried.lora_rank, tried.lora_layers, tried.four_bits) == (64, (), False)
    assert computing_of(config()).lora_rank is None
    assert computing_of(config(model={"path": "m", "lora": {}})).lora_layers == ()


def test_adapters_on_layers_of_unknown_size_cannot_be_planned() -> None:
    model = {"path": "m", "lora": {"target_modules": ["W_pack"]}}
    with pytest.raises(ConfigError, match=r"found W_pack.*set plan\.lora_rank"):
        computing_of(config(model=model))


def test_lengths_are_the_configurations_then_the_datas() -> None:
    work = work_of()
    assert (work.prompt_tokens, work.context_tokens) == (100.0, 300.0)
    assert (work.completion_tokens, work.longest_completion_tokens) == (150.0, 256.0)
    assert work.rewrite_tokens == 150.0
    plan = {"prompt_tokens": 7, "completion_tokens": 9, "rewrite_tokens": 5}
    work = work_of(plan=plan)
    assert (work.prompt_tokens, work.completion_tokens, work.rewrite_tokens) == (7, 9, 5)
    assert work_of(trainer={"max_completion_length": 64}).completion_tokens == 64


def test_origins_are_told() -> None:
    _, facts = workload_of(config(plan={"completion_tokens": 9}), LENGTHS)
    origin = {fact.name: fact.origin for fact in facts}
    assert origin["prompt tokens"] == "measured"
    assert origin["completion tokens"] == "configured"
    assert origin["rewrite tokens"] == "assumed"
    assert origin["expected open share"] == "assumed"


def test_verdicts_cost_what_was_measured() -> None:
    judged = DataLengths(1.0, 1.0, 1.0, verifiers=("math",))
    known = {"math": 0.004, "exact": 1e-6}
    assert workload_of(config(), judged, known)[0].verify_s == 0.004
    assert workload_of(config(plan={"verify_s": 0.5}), judged, known)[0].verify_s == 0.5
    work, facts = workload_of(config(), DataLengths(1.0, 1.0, 1.0, verifiers=("own",)), known)
    assert work.verify_s == 0.0
    assert any(f.name == "verify s" and "own" in f.source for f in facts)


def test_open_share_comes_from_pass_rates_and_gates() -> None:
    assert work_of(DataLengths(1.0, 1.0, 1.0, 0.42)).open_share == 0.42
    assert work_of(guidance={"gate": {"kind": "always"}}).open_share == 1.0
    assert work_of(plan={"expected_open_share": 0.1}).open_share == 0.1
    assert work_of(plan={"expected_open_share": 0.1}).trained_share == pytest.approx(0.9)


def test_modes_of_methods() -> None:
    assert work_of(method="grpo").mode == "none"
    assert work_of().mode == "lazy"
    assert work_of(guidance={"source": {"sampling": "eager"}}).mode == "eager"
    luffy = work_of(method="luffy")
    assert (luffy.samples_candidates, luffy.open_share) == (False, 1.0)


def test_all_faults_at_once() -> None:
    nothing = DataLengths(source="the data cannot be read: no such file")
    with pytest.raises(ConfigError) as raised:
        work_of(nothing, trainer={"per_device_train_batch_size": 6})
    assert len(raised.value.faults) == 2
    assert "plan.prompt_tokens" in str(raised.value)
    assert "num_generations" in str(raised.value)
    with pytest.raises(ConfigError, match="samples no rollouts"):
        work_of(method="sft")


def test_how_a_step_is_computed_follows_the_device() -> None:
    here = computing_of(config())
    assert (here.sampler, here.packed, here.arithmetic) == ("shared_prefix", True, "float32")
    assert not here.checkpointing
    there = computing_of(config(plan={"device": "h100-sxm"}))
    assert (there.sampler, there.packed, there.arithmetic) == ("generate", False, "bfloat16")
    assert there.checkpointing
    served = computing_of(config(plan={"device": "h100-sxm"}, trainer={"use_vllm": True}))
    assert served.sampler == "vllm"
    assert served.vllm_memory_share == GRPOConfig.vllm_gpu_memory_utilization
    less = {"use_vllm": True, "vllm_gpu_memory_utilization": 0.2}
    assert computing_of(config(plan={"device": "h100-sxm"}, trainer=less)).vllm_memory_share == 0.2
    assert work_of(plan={"device": "h100-sxm"}, trainer={"use_vllm": True}).old_logps
    assert computing_of(config(trainer={"bf16": True})).arithmetic == "bfloat16"
    assert not computing_of(config(trainer={"beta": 0.04})).skips_untrained
    assert work_of(trainer={"beta": 0.04}).reference_logps


def test_samplers_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="vLLM is planned for on GPUs only"):
        computing_of(config(trainer={"use_vllm": True}))
    with pytest.raises(ConfigError, match="split weights"):
        computing_of(config(plan={"sharding": "fsdp"}, compute={"sampler": "shared_prefix"}))


def test_steps_are_given_or_follow_from_the_data() -> None:
    run = config(trainer={"per_device_train_batch_size": 32, "max_steps": 7})
    work, _ = workload_of(run, LENGTHS)
    assert steps_of(run, work, 512) == 7
    run = config(trainer={"per_device_train_batch_size": 32, "num_train_epochs": 2.0})
    assert steps_of(run, work, 512) == 256  # 512 problems, 4 a step, twice
    assert steps_of(run, work, None) is None
    assert steps_of(run, work, 515) == 256  # 3 problems do not fill a batch and are left out


def test_plans_do_not_change_the_hash_of_a_run() -> None:
    assert config_hash(config()) == config_hash(config(plan={"device": "l40s"}))
