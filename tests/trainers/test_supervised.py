"""Supervised training sees the tokens that RL sees, and its step is one mean over its tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from trl.trainer.utils import RepeatSampler

import trl_fakes
from fakes import CHAT_TEMPLATE, EOS_ID, ByteTokenizer, tiny_model
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.trainers.trl.callbacks import StepReporter
from rephrase_rl.trainers.trl.supervised import (
    IGNORED,
    ProblemOrder,
    SupervisedText,
    SupervisedTrainer,
    encode_text,
    supervised_dataset,
)
from rephrase_rl.trainers.trl.supervised_arguments import supervised_arguments

ANSWERS = ("a", "bcd", "ef", "ghijkl", "m", "nopq", "rs", "tuvwxyz")
THINKING_TEMPLATE = CHAT_TEMPLATE.replace(
    "{{ '<|assistant|>' }}",
    "{{ '<|assistant|>' }}{% if not enable_thinking %}{{ '[no thoughts]' }}{% endif %}",
)
"""Opens an answer with text that no finished conversation has, as Qwen3's template does."""


def texts(count: int = 8) -> list[SupervisedText]:
    return [
        SupervisedText(
            ({"role": "user", "content": f"q{i}"},), encode_text(ByteTokenizer(), answer)
        )
        for i, answer in enumerate(ANSWERS[:count])
    ]


def make(tmp_path: Any, rows: Any = None, **options: Any) -> SupervisedTrainer:
    section: dict[str, Any] = {
        "max_steps": 1,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "save_strategy": "no",
        "num_generations": 2,
        "per_device_train_batch_size": 16,
        "shuffle_dataset": False,
    }
    arguments = supervised_arguments(
        section | options.pop("section", {}), output_dir=str(tmp_path), seed=7
    )
    tokenizer = options.pop("tokenizer", None) or ByteTokenizer()
    data = supervised_dataset(rows or texts(), tokenizer, arguments.chat_template_kwargs)
    model = options.pop("model", None) or tiny_model()
    return SupervisedTrainer(model, arguments, data, tokenizer, **options)


def weights(trainer: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


@pytest.mark.parametrize("form", ["chat", "thinking", "plain"])
def test_rows_are_the_tokens_of_rl_then_the_text_and_its_end(tmp_path, form) -> None:
    tokenizer, kwargs = ByteTokenizer(), {}
    if form == "thinking":
        tokenizer.chat_template, kwargs = THINKING_TEMPLATE, {"enable_thinking": False}
    prompts: list[Any] = [[{"role": "user", "content": question}] for question in ("ab", "cde")]
    if form == "plain":
        prompts = ["ab", "cde"]
    rl = trl_fakes.trainer(
        tmp_path, None, args={"chat_template_kwargs": kwargs}, data=trl_fakes.rows()
    )
    rl.processing_class.chat_template = tokenizer.chat_template
    prompt_ids, _, _ = rl._tokenize_prompts(prompts)

    completions = [[*b"xy", EOS_ID], [*b"z", EOS_ID]]
    rows = [
        SupervisedText(prompt if form == "plain" else tuple(prompt), encode_text(tokenizer, answer))
        for prompt, answer in zip(prompts, ("xy", "z"), strict=True)
    ]
    section = {"chat_template_kwargs": kwargs, "per_device_train_batch_size": 4}
    trainer = make(tmp_path, rows, section=section, tokenizer=tokenizer)
    batch = next(iter(trainer.get_train_dataloader()))
    for i, (question, answer) in enumerate(zip(prompt_ids, completions, strict=True)):
        length = len(question) + len(answer)
        assert batch["input_ids"][i, :length].tolist() == [*question, *answer]
        assert batch["attention_mask"][i].sum() == length
        assert batch["labels"][i, :length].tolist() == [IGNORED] * len(question) + answer
        assert batch["labels"][i, length:].eq(IGNORED).all()


def test_loss_is_the_mean_over_trained_tokens(tmp_path) -> None:
    records = []
    model = tiny_model()
    trainer = make(
        tmp_path,
        model=model,
        sampled_tokens=50,
        callbacks=[StepReporter(lambda record, times, total: records.append(record))],
        section={"max_steps": 2},
    )
    expected = []
    for row in trainer.train_dataset:
        ids, labels = torch.tensor(row["input_ids"]), torch.tensor(row["labels"])
        with torch.no_grad():
            logps = tiny_model()(ids[None]).logits[0].double().log_softmax(-1)
        at = labels[1:].ne(IGNORED).nonzero().flatten()
        expected += logps[at, ids[at + 1]].tolist()
    trainer.train()
    first, second = records
    num_tokens = sum(len(answer) + 1 for answer in ANSWERS)
    assert first.metrics["tokens/trained"] == num_tokens == len(expected)
    assert first.metrics["loss"] == pytest.approx(-sum(expected) / num_tokens, abs=1e-5)
    assert first.metrics["injection/logp_on_q"] == -first.metrics["loss"]
    assert (first.metrics["tokens/rephrase"], second.metrics["tokens/rephrase"]) == (50, 0)
    assert first.metrics["tokens/rollout"] == 0
    assert {"learning_rate", "grad_norm"} <= set(first.metrics)


@pytest.mark.parametrize("accepts_loss_kwargs", [True, False])
def test_accumulation_does_not_change_the_step(tmp_path, accepts_loss_kwargs) -> None:
    after = []
    for rollouts, accumulation in ((16, 1), (4, 4), (2, 8)):
        section = {
            "per_device_train_batch_size": rollouts,
            "gradient_accumulation_steps": accumulation,
            "optim": "sgd",
            "max_grad_norm": 0.0,
        }
        model = tiny_model()
        model.accepts_loss_kwargs = accepts_loss_kwargs
        trainer = make(tmp_path, section=section, model=model)
        assert trainer.args.per_device_train_batch_size * accumulation == 8
        start = weights(trainer).clone()
        trainer.train()
        after.append(weights(trainer))
    assert (after[0] - start).abs().max() > 1e-3
    for other in after[1:]:
        assert (after[0] - other).abs().max() < 1e-6


def test_step_holds_the_problems_of_an_rl_step() -> None:
    def problems(rollouts: int, accumulation: int, generations: int) -> tuple[int, int]:
        section = {
            "per_device_train_batch_size": rollouts,
            "gradient_accumulation_steps": accumulation,
            "num_generations": generations,
        }
        sft = supervised_arguments(section, output_dir="x", seed=0).sft
        return sft.per_device_train_batch_size, sft.gradient_accumulation_steps

    assert problems(64, 2, 8) == (8, 2)
    assert problems(4, 2, 8) == (1, 1)  # one group spread over two passes
    assert problems(12, 2, 8) == (1, 3)  # 24 rollouts, never more than 12 of them in a pass
    assert problems(4, 1, 8) == (1, 1)


def test_order_is_that_of_trl_in_every_epoch() -> None:
    theirs = RepeatSampler(range(10), mini_repeat_count=1, batch_size=4, shuffle=True, seed=5)
    ours = ProblemOrder(10, 4, shuffle=True, seed=5)
    epochs = [list(theirs) for _ in range(3)]
    for epoch in (2, 0, 1):
        ours.set_epoch(epoch)
        assert list(ours) == epochs[epoch]
    assert len(ours) == len(epochs[0]) == 8
    assert list(ProblemOrder(5, 2, shuffle=False, seed=5)) == [0, 1, 2, 3]
    assert list(ProblemOrder(3, 8, shuffle=False, seed=5)) == [0, 1, 2]


def test_dropout_is_off_as_in_rl(tmp_path) -> None:
    for wanted, probability in ((True, 0.0), (False, 0.5)):
        model = tiny_model()
        model.add_module("extra", torch.nn.Dropout(0.5))
        make(tmp_path, model=model, section={"disable_dropout": wanted})
        assert model.extra.p == probability


def test_rl_fields_are_named_and_unknown_ones_refused() -> None:
    section = {"beta": 0.1, "loss_type": "dapo", "temperature": 1.0, "learning_rate": 1e-3}
    arguments = supervised_arguments(section, output_dir="x", seed=0)
    assert arguments.unused == ("beta", "loss_type", "temperature")
    assert arguments.sft.loss_type == "nll"
    assert arguments.sft.learning_rate == 1e-3
    assert arguments.sft.max_length is None
    with pytest.raises(ConfigError, match=r"did you mean trainer\.learning_rate"):
        supervised_arguments({"learning_rates": 1}, output_dir="x", seed=0)
    with pytest.raises(ConfigError, match="max_completion_length"):
        supervised_arguments({"max_length": 10}, output_dir="x", seed=0)
    with pytest.raises(ConfigError, match="top level"):
        supervised_arguments({"seed": 1}, output_dir="x", seed=0)


def test_no_text_is_refused() -> None:
    with pytest.raises(DataError, match="no text"):
        supervised_dataset([], ByteTokenizer())
