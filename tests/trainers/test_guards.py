"""A step that is not finite changes nothing, is written down, and stops the run if it repeats."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import test_supervised
import torch
from transformers import TrainerCallback

from fakes import tiny_model
from rephrase_rl.assembly.blocks import build_guidance
from rephrase_rl.config import PromptsConfig
from rephrase_rl.errors import TrainingError
from rephrase_rl.methods import resolve_guidance
from rephrase_rl.trainers.trl.guards import Guards
from rephrase_rl.trainers.trl.stream import BufferedStream, StreamRow
from trl_fakes import trainer


def weights(made: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in made.model.parameters()])


class Spoiled(TrainerCallback):
    """Puts a value into the loss of given steps; keeps the weights after every step."""

    def __init__(self, made: Any, steps: set[int], value: float = math.nan) -> None:
        self.after: list[torch.Tensor] = []
        original = made._compute_loss

        def compute(model: Any, inputs: Any) -> torch.Tensor:
            loss = original(model, inputs)
            return loss * value if made.state.global_step in steps else loss

        made._compute_loss = compute
        made.add_callback(self)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        model = kwargs["model"]
        self.after.append(torch.cat([p.detach().flatten().clone() for p in model.parameters()]))


def script(prompts: Any, call: int) -> list[str]:
    return ["ba" if index % 2 else "x" for index in range(len(prompts))]


def rl_trainer(tmp_path: Any, steps: int, **options: Any) -> Any:
    return trainer(tmp_path, None, script=script, args={"max_steps": steps}, **options)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_step_that_is_not_finite_changes_no_weight_and_the_next_one_does(tmp_path, value) -> None:
    made = rl_trainer(tmp_path, 3)
    spoiled = Spoiled(made, {1}, value)
    made.train()
    first, second, third = spoiled.after
    assert torch.equal(first, second), "step 1 is refused"
    assert torch.isfinite(third).all()
    assert not torch.equal(second, third)
    # AdamW's own count: two steps were taken, not three.
    state = next(iter(made.optimizer.state.values()))
    assert int(state["step"]) == 2


def test_what_was_refused_is_written_down_and_marked_in_the_record(tmp_path) -> None:
    made = rl_trainer(tmp_path, 2)
    Spoiled(made, {1})
    made.train()
    good, bad = made.state.log_history[:2]
    assert "guard/refused" not in good
    assert math.isfinite(good["loss"])
    assert bad["guard/refused"] == 1.0
    assert math.isnan(bad["loss"]), "transformers would log 0"
    (file,) = (tmp_path / "refused").iterdir()
    assert file.name == "step-1-process-0.json"
    record = json.loads(file.read_text())
    assert record["found"].startswith("loss nan and gradients that are not finite in")
    (batch,) = record["micro_batches"]
    assert batch["loss"] == "nan"
    assert sorted(batch["texts"]["completion_ids"])[0].startswith("ba")
    assert len(batch["inputs"]["advantages"]) == 4


def test_a_gradient_alone_is_enough(tmp_path) -> None:
    made = rl_trainer(tmp_path, 1)
    parameter = next(p for p in made.model.parameters() if p.requires_grad)
    parameter.register_hook(lambda gradient: gradient * math.nan)
    before = weights(made)
    made.train()
    assert torch.equal(before, weights(made))
    assert made.state.log_history[0]["guard/refused"] == 1.0


def test_the_run_stops_after_so_many_in_a_row(tmp_path) -> None:
    made = rl_trainer(tmp_path, 9, guards=Guards(2, tmp_path / "here"))
    Spoiled(made, {1, 3, 4, 5})
    with pytest.raises(TrainingError, match="2 refused in a row") as raised:
        made.train()
    assert made.state.global_step == 4, "step 2 was fine, so 1 and 3 are not in a row"
    assert str(tmp_path / "here" / "step-4-process-0.json") in str(raised.value)


def test_supervised_steps_are_guarded_too(tmp_path) -> None:
    made = test_supervised.make(tmp_path, section={"max_steps": 2})
    before = weights(made)
    original = made.compute_loss

    def compute(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            next(model.parameters()).register_hook(lambda gradient: gradient * math.inf)
        return original(model, inputs, *args, **kwargs)

    made.compute_loss = compute
    made.train()
    assert torch.equal(before, weights(made))
    log = made.state.log_history[0]
    assert log["guard/refused"] == 1.0
    assert math.isnan(log["loss"])
    assert log["injection/logp_on_q"] is None


def test_a_step_of_the_separate_stream_is_refused_as_well(tmp_path) -> None:
    stream = BufferedStream(size=1, learning_rate=1e-2)
    guidance = build_guidance(resolve_guidance("relift", {}), PromptsConfig())
    made = trainer(tmp_path, guidance, stream=stream, script=script)
    stream.rows = [StreamRow((1, 2), (3, 4)), StreamRow((1, 2), (3, 5))]
    handle = next(made.model.parameters()).register_hook(lambda gradient: gradient * math.nan)
    before = weights(made)
    stream.rows, later = stream.rows[:1], stream.rows[1:]
    stream.step_if_full(made)
    assert torch.equal(before, weights(made))
    assert [f.name for f in (tmp_path / "refused").iterdir()] == [
        "stream-after-step-0-process-0.json"
    ]
    handle.remove()
    stream.rows = later
    stream.step_if_full(made)
    assert not torch.equal(before, weights(made)), "nothing of the refused step is left over"
    assert torch.isfinite(weights(made)).all()


def test_finite_steps_are_those_of_an_unguarded_trainer(tmp_path) -> None:
    """The guard only looks: weights are bit for bit those without it."""
    results = []
    for guarded in (True, False):
        made = rl_trainer(tmp_path / str(guarded), 2, model=tiny_model(3))
        if not guarded:
            made.remove_callback(made.guard)
        made.train()
        results.append(weights(made))
    assert torch.equal(*results)
