"""Losses, log-probs, gradients and weights that are not finite; tokenizers with gaps."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from world import ENDS, GOES_ON, Outcome, Ran, ended, fault, lab, patched, refused, train, went_on

from rephrase_rl.lab.policies import policy_path
from rephrase_rl.trainers.trl.supervised import SupervisedTrainer
from rephrase_rl.trainers.trl.trainer import RePOTrainer

REFUSED_STEP = "goes on; the step is refused, recorded with its inputs, and changes no weight"
STOPS = "ends after guards.refused_in_a_row refused steps; goes on once the fault is gone"


class Spoiled:
    """Training in which the loss of given steps is multiplied by a value."""

    def __init__(self, steps: set[int], change: Callable[[Any], Any], owner: Any = RePOTrainer):
        self.injected = 0
        name = "_compute_loss" if owner is RePOTrainer else "compute_loss"
        original = getattr(owner, name)

        def compute(trainer: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            if not steps or trainer.state.global_step in steps:
                self.injected += 1
                return change(lambda: original(trainer, model, inputs, *args, **kwargs), model)
            return original(trainer, model, inputs, *args, **kwargs)

        self.patch = patched(owner, name, compute)

    def train(self, folder: Path, config: Any) -> Ran:
        with self.patch:
            return train(folder / "run", config)


def loss_times(value: float) -> Callable[..., Any]:
    return lambda compute, model: compute() * value


def nan_logits(compute: Any, model: Any) -> Any:
    """The last layer's output has one NaN, so log-probs are not finite."""
    norm = next(m for n, m in model.named_modules() if n.endswith("norm") and n.count(".") == 1)

    def spoil(module: Any, arguments: Any, output: Any) -> Any:
        spoiled = output.clone()
        spoiled[0] = math.nan
        return spoiled

    handle = norm.register_forward_hook(spoil)
    try:
        return compute()
    finally:
        handle.remove()


def nan_gradient(compute: Any, model: Any) -> Any:
    loss = compute()
    loss.register_hook(lambda gradient: gradient * math.nan)
    return loss


def once(change: Any, **changes: Any) -> Callable[[Path], Outcome]:
    def body(folder: Path) -> Outcome:
        owner = SupervisedTrainer if changes.get("method") == "sft" else RePOTrainer
        spoiled = Spoiled({1}, change, owner)
        ran = spoiled.train(folder, lab(**changes))
        if ran.error is not None:
            return went_on(ran)
        kept = list((ran.path / "refused").glob("*.json"))
        outcome = went_on(ran, "step-1: found", spoiled.injected)
        marked = [s.step for s in ran.steps if s.metrics.get("guard/refused")]
        inputs = bool(kept) and json.loads(kept[0].read_text())["micro_batches"]
        if marked != [1] or not inputs:
            return Outcome(False, f"refused: {marked}, written: {kept}; {outcome.message}")
        return outcome

    return body


def for_ever(change: Any) -> Callable[[Path], Outcome]:
    def body(folder: Path) -> Outcome:
        spoiled = Spoiled(set(), change)
        config = lab(trainer={"save_steps": 1})
        return ended(spoiled.train(folder, config), "3 refused in a row", config, spoiled.injected)

    return body


fault("model", "loss is NaN in one step", REFUSED_STEP)(once(loss_times(math.nan)))
fault("model", "loss is infinite in one step", REFUSED_STEP)(once(loss_times(math.inf)))
fault("model", "a log-prob is NaN in one step", REFUSED_STEP)(once(nan_logits))
fault("model", "a gradient is NaN in one step", REFUSED_STEP)(once(nan_gradient))
fault("model", "loss is NaN in one supervised step", REFUSED_STEP)(
    once(loss_times(math.nan), method="sft", trainer={"max_completion_length": 60})
)
fault("model", "loss is NaN for ever", STOPS)(for_ever(loss_times(math.nan)))


@fault("model", "learning rate of 1e38", "ends with its own message, weights stay finite")
def diverges(folder: Path) -> Outcome:
    config = lab(trainer={"learning_rate": 1e38, "max_grad_norm": 1.0, "max_steps": 8})
    ran = train(folder / "run", config)
    message = ran.said("refused in a row|not finite|finite")
    return Outcome(
        bool(message), message or f"{type(ran.error).__name__}: {ran.error}", 1, ran.lost()
    )


def policy_with(folder: Path, change: Callable[[Path], None]) -> Any:
    target = folder / "policy"
    shutil.copytree(policy_path("base"), target)
    change(target)
    return {"path": str(target)}


def edit_tokenizer(**fields: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "tokenizer_config.json"
        content = {**json.loads(file.read_text()), **fields}
        file.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))

    return change


def edit_weights(change: Callable[[Any], None]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        file = folder / "model.safetensors"
        weights = load_file(file)
        change(weights)
        save_file(weights, file, metadata={"format": "pt"})

    return edit


@fault("model", "weights of the policy are NaN", "is told with its own message")
def nan_weights(folder: Path) -> Outcome:
    def spoil(weights: Any) -> None:
        name = next(n for n in weights if "norm" in n)
        weights[name] = torch.full_like(weights[name], math.nan)

    ran = train(folder / "run", lab(model=policy_with(folder, edit_weights(spoil))))
    return refused(ran, "not finite|NaN|nan")


@fault("model", "weights file is cut off", "is told with its own message")
def cut_weights(folder: Path) -> Outcome:
    def cut(policy: Path) -> None:
        file = policy / "model.safetensors"
        file.write_bytes(file.read_bytes()[:50_000])

    return refused(train(folder / "run", lab(model=policy_with(folder, cut))), "cannot load")


@fault("model", "tokenizer without a padding token", GOES_ON)
def no_pad(folder: Path) -> Outcome:
    model = policy_with(folder, edit_tokenizer(pad_token=None))
    return went_on(train(folder / "run", lab(model=model)), counted="the end token pads")


@fault("model", "tokenizer without an end token", "is told with its own message")
def no_eos(folder: Path) -> Outcome:
    model = policy_with(folder, edit_tokenizer(eos_token=None))
    return refused(train(folder / "run", lab(model=model)), "no end-of-sequence token")


@fault("model", "tokenizer without padding and end token", "is told with its own message")
def no_special(folder: Path) -> Outcome:
    model = policy_with(folder, edit_tokenizer(eos_token=None, pad_token=None))
    return refused(train(folder / "run", lab(model=model)), "end-of-sequence|eos|pad")


@fault("model", "tokenizer without a chat template", "is told with its own message")
def no_template(folder: Path) -> Outcome:
    model = policy_with(folder, lambda policy: (policy / "chat_template.jinja").unlink())
    return refused(train(folder / "run", lab(model=model)), "chat template|chat_template")


@fault("model", "policy ends every text at once", GOES_ON)
def ends_at_once(folder: Path) -> Outcome:
    from rephrase_rl.trainers.trl import trainer as module

    end = 0
    original = module.sample_ids

    def sample(made: Any, prompts: Any, *rest: Any) -> Any:
        nonlocal end
        end = made.eos_token_ids[0]
        sampled = original(made, prompts, *rest)
        return sampled._replace(
            completion_ids=[[end] for _ in prompts], logps=[[-0.1] for _ in prompts]
        )

    with patched(module, "sample_ids", sample):
        ran = train(folder / "run", lab(guards={"constant_reward_steps": 2}))
    return went_on(ran, "CONSTANT REWARD")


@fault("model", "policy never ends a text", GOES_ON)
def never_ends(folder: Path) -> Outcome:
    ran = train(folder / "run", lab(trainer={"max_completion_length": 2}))
    return went_on(ran, counted="rollouts are recorded as unfinished")


@fault("model", "out of memory in a backward pass", ENDS)
def out_of_memory(folder: Path) -> Outcome:
    def fail(compute: Any, model: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    spoiled = Spoiled({3}, fail)
    config = lab()
    return ended(spoiled.train(folder, config), "out of memory", config, 1, own=False)
