"""``dry_run`` on the lab: its steps are the trainer's, nothing is loaded, faults come out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trl import GRPOConfig

from rephrase_rl.assembly import dry_run, train_run
from rephrase_rl.assembly.objects import model_path
from rephrase_rl.config import ModelConfig, parse_config
from rephrase_rl.errors import ConfigError, DataError, EngineError, PromptError, VerifierError
from rephrase_rl.trainers.trl.steps import grpo_steps
from trl_fakes import rows


def config(**more):
    raw = {
        "method": "repo",
        "model": {"path": "lab:base"},
        "data": {"path": "lab:hard", "limit": 20},
        "trainer": {"per_device_train_batch_size": 16, "max_completion_length": 48},
    }
    return parse_config(raw | more)


def test_what_a_run_would_be() -> None:
    found = dry_run(
        config(
            data={"path": "lab:hard", "limit": 20, "evaluate": {"limit": 5, "max_new_tokens": 48}}
        )
    )
    assert (found.method, found.model) == ("repo", "lab:base")
    assert (found.problems_per_step, found.rollouts_per_problem, found.steps) == (2, 8, 10)
    assert found.benchmarks == (("data", 5, 1),)
    assert dict(found.blocks)["accept"] == "reward_above_replaced, finished, no_meta_text"
    assert [view.purpose for view in found.check.prompts] == ["solve", "rephrase", "evaluation"]


@pytest.mark.parametrize("method", ["repo", "rewrite_sft"])
def test_the_prompts_that_fit_are_the_same_in_the_warning_and_in_the_figures(
    tmp_path, method
) -> None:
    data = tmp_path / "data.jsonl"
    row = {"question": "1+1=", "reference_answer": "2", "task_kind": "lab"}
    data.write_text(
        "".join(json.dumps({**row, "expert_solution": "k" * n}) + "\n" for n in (20, 30, 300))
    )
    with pytest.warns(UserWarning, match=r"leaves 208 .*: 1 of 3 P\(q, k\)"):
        found = dry_run(config(method=method, data={"path": str(data)}))
    fit = found.check.report.prompt_fit
    assert (fit.limit, fit.fitting, fit.count) == (208, 2, 3)


def test_what_is_trained_is_said_and_what_does_not_go_with_it_refused() -> None:
    assert dry_run(config()).trained == "all weights, rate 1e-06"
    model = {"path": "lab:base", "lora": {"r": 4}, "load_in_4bit": True}
    assert "rank 4 on all-linear on weights in 4 bits" in dry_run(config(model=model)).trained
    with pytest.raises(ConfigError, match=r"trl#4973"):
        dry_run(config(model=model, trainer={"use_vllm": True}))


def test_adapters_at_the_rate_of_all_weights_are_warned_of_unless_that_was_asked_for(
    recwarn,
) -> None:
    model = {"path": "lab:base", "lora": {"r": 4}}
    dry_run(config(model=model, trainer={"learning_rate": 1e-6, "max_completion_length": 48}))
    dry_run(config())
    assert not [w for w in recwarn if "model.lora" in str(w.message)]
    with pytest.warns(UserWarning, match="five to ten times as much"):
        dry_run(config(model=model))


def test_a_run_from_an_adapter_is_looked_at_by_its_models_sizes(tmp_path) -> None:
    base = model_path(ModelConfig(path="lab:base"))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if Path(base, name).is_file():
            (tmp_path / name).write_bytes(Path(base, name).read_bytes())
    named = json.dumps({"base_model_name_or_path": base})
    (tmp_path / "adapter_config.json").write_text(named)
    assert dry_run(config(init_from=str(tmp_path))).steps == 10


def test_no_weights_are_read(tmp_path) -> None:
    """The tokenizer's and the model's small files alone will do."""
    source = Path(model_path(ModelConfig(path="lab:base")))
    for path in source.iterdir():
        if path.suffix in (".json", ".jinja"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    assert dry_run(config(model={"path": str(tmp_path)})).steps == 10


@pytest.mark.parametrize(
    ("problems", "changes"),
    [
        (20, {}),
        (21, {"gradient_accumulation_steps": 3}),
        (21, {"gradient_accumulation_steps": 3, "num_train_epochs": 2.5}),
        (20, {"gradient_accumulation_steps": 2, "steps_per_generation": 4}),
        (20, {"num_iterations": 2}),
        (20, {"max_steps": 3}),
    ],
)
def test_steps_are_those_that_the_trainer_sets_out_for(problems, changes, monkeypatch) -> None:
    """Asked of the trainer itself, which counts them from its own data loader."""
    from datasets import Dataset

    from fakes import ByteTokenizer, tiny_model
    from trl_fakes import CountingReward, ScriptedTrainer

    arguments = GRPOConfig(
        "unused", per_device_train_batch_size=2, num_generations=2, use_cpu=True, bf16=False,
        max_completion_length=4, report_to="none",
        **{"gradient_accumulation_steps": 1, "num_train_epochs": 1.0} | changes,
    )  # fmt: skip
    data = Dataset.from_list([{**rows()[0], "problem_id": str(i)} for i in range(problems)])
    trainer = ScriptedTrainer(
        model=tiny_model(), reward_funcs=CountingReward(), args=arguments, train_dataset=data,
        processing_class=ByteTokenizer(), guidance=None,
    )  # fmt: skip
    expected = trainer.set_initial_training_values(arguments, trainer.get_train_dataloader())[-1]
    assert grpo_steps(arguments, problems, 1) == expected


@pytest.mark.parametrize(("rollouts", "expected"), [(24, 3), (128, 1)])
def test_steps_of_a_supervised_run_are_those_it_takes(rollouts, expected, tmp_path) -> None:
    """10 texts in threes, one of them left out; and fewer than a step holds."""
    small = config(
        method="sft",
        data={"path": "lab:hard", "limit": 10},
        trainer={"per_device_train_batch_size": rollouts, "max_completion_length": 48},
    )
    found = dry_run(small)
    assert (found.problems_per_step, found.rollouts_per_problem) == (rollouts / 8, 0)
    taken = train_run(small, run_path=tmp_path / "run", command=[])
    steps = (taken.run_path / "steps.jsonl").read_text().splitlines()
    assert found.steps == len(steps) == expected


def test_processes_of_the_plan_multiply_the_rows() -> None:
    found = dry_run(config(plan={"device": "h100-sxm", "devices": 4}))
    assert (found.processes, found.problems_per_step, found.steps) == (4, 8, 2)
    # TRL counts this one field over all processes: 16 problems for two steps of 8.
    of_all = {"gradient_accumulation_steps": 2, "generation_batch_size": 128}
    of_all |= {"per_device_train_batch_size": 8, "max_completion_length": 48}
    found = dry_run(config(plan={"device": "h100-sxm", "devices": 4}, trainer=of_all))
    assert (found.problems_per_step, found.steps) == (8, 2)


def test_too_few_problems_for_a_step_are_told() -> None:
    with pytest.raises(DataError, match="found 20 problems, and 16 processes take 32"):
        dry_run(config(plan={"device": "h100-sxm", "devices": 16}))


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"trainer": {"nonsense": 1}}, ConfigError, "trainer.nonsense"),
        ({"rewards": [{"verifier": "nonsense"}]}, VerifierError, "nonsense"),
        ({"model": {"path": "/nowhere"}}, EngineError, "/nowhere"),
        ({"data": {"path": "/nowhere.jsonl"}}, DataError, "/nowhere.jsonl"),
        (
            {
                "data": {"path": "lab:hard", "limit": 20, "evaluate": {"limit": 5}},
                "plan": {"device": "h100-sxm", "sharding": "fsdp"},
            },
            ConfigError,
            "cannot evaluate alone",
        ),
    ],
)
def test_faults_come_out_as_in_training(more, error, said) -> None:
    with pytest.raises(error, match=said):
        dry_run(config(**more))


def test_a_question_longer_than_what_vllm_takes_is_refused(tmp_path) -> None:
    """It would end the run in the middle."""
    path = tmp_path / "long.jsonl"
    row = {"question": "x" * 80, "reference_answer": "1", "task_kind": "lab"}
    row["expert_solution"] = "1"
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "question": "1+1="}) + "\n")
    batch = {"per_device_train_batch_size": 4, "num_generations": 4, "max_completion_length": 20}
    vllm = {"use_vllm": True, "vllm_max_model_length": 64}
    data = {"path": str(path)}
    assert dry_run(config(method="grpo", data=data, trainer=batch))
    with pytest.raises(DataError, match=r"1 of 2 questions are longer .* of 64 tokens"):
        dry_run(config(method="grpo", data=data, trainer={**batch, **vllm}))


def test_a_question_longer_than_the_context_is_refused(tmp_path) -> None:
    path = tmp_path / "long.jsonl"
    row = {"question": "x" * 300, "reference_answer": "1", "task_kind": "lab"}
    row["expert_solution"] = "1"
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "question": "1+1="}) + "\n")
    with pytest.raises(DataError, match="1 of 2 questions are longer"):
        dry_run(config(data={"path": str(path)}))


def test_prompts_of_ones_own_are_those_that_are_asked() -> None:
    own = {"solve": "Q {question} A", "rephrase": "Q {question} K {expert_solution} A"}
    prompts = {view.purpose: view.text for view in dry_run(config(prompts=own)).check.prompts}
    assert prompts["solve"].startswith("<|user|>Q ")
    assert " K " in prompts["rephrase"]
    with pytest.raises(PromptError, match="required here is one for 'rephrase'"):
        dry_run(config(prompts={"rephrase": own["solve"]}))
