"""Evaluations during a run of several processes."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from rephrase_rl.assembly import in_training, processes
from rephrase_rl.assembly.in_training import PolicyEvaluations


def test_processes_wait_for_an_evaluation_outside_of_collectives(monkeypatch) -> None:
    """Any length of it: a collective would give up after ``trainer.ddp_timeout``."""
    store = torch.distributed.HashStore()
    monkeypatch.setattr(processes, "_store", lambda: store)
    setting = SimpleNamespace(chat_template_kwargs=None)
    monkeypatch.setattr(in_training, "EvaluationSetting", SimpleNamespace(of_run=lambda _: setting))
    monkeypatch.setattr(in_training, "TransformersEngine", lambda *_, **__: None)
    monkeypatch.setattr(in_training, "store_result", lambda *_: None)
    monkeypatch.setattr(in_training, "run_benchmarks", lambda *_, **__: {"easy": "result"})

    def of_process(run):
        trainer = SimpleNamespace(
            is_fsdp_enabled=False,
            is_deepspeed_enabled=False,
            model=torch.nn.Linear(1, 1),
            accelerator=SimpleNamespace(unwrap_model=lambda model: model),
        )
        benchmark = SimpleNamespace(config=SimpleNamespace(name="easy"))
        return PolicyEvaluations(SimpleNamespace(seed=0), trainer, None, [benchmark], run)

    first, second = of_process(SimpleNamespace()), of_process(None)
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        assert len(looks) < 5, "it waits for ever"
        if len(looks) == 2:
            assert first(5) == {"easy": "result"}

    monkeypatch.setattr("time.sleep", sleep)
    assert second(5) == {}
    assert len(looks) == 2, "it waited"
    assert second(5) == {}, "each step is evaluated once"
    assert len(looks) == 2
