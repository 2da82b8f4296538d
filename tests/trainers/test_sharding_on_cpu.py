"""FSDP on CPUs, which accelerate leaves out without a word, is refused."""

from __future__ import annotations

from typing import Any

import pytest

from rephrase_rl.errors import ConfigError
from rephrase_rl.trainers.trl.arguments import grpo_arguments
from rephrase_rl.trainers.trl.supervised_arguments import supervised_arguments

CPU = {"use_cpu": True, "bf16": False}


def rl(tmp_path: Any, **fields: Any) -> Any:
    return grpo_arguments(
        CPU | fields,
        output_dir=str(tmp_path),
        seed=0,
        scale_rewards="group",
        reward_weights=[1.0],
    )


def test_fsdp_by_configuration_or_launcher_is_refused(tmp_path, monkeypatch) -> None:
    assert not rl(tmp_path).fsdp
    with pytest.raises(ConfigError, match="not divide weights"):
        rl(tmp_path, fsdp=True)
    with pytest.raises(ConfigError, match="not divide weights"):
        supervised_arguments(CPU | {"fsdp": True}, output_dir=str(tmp_path), seed=0)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match="not divide weights"):
        rl(tmp_path)


@pytest.mark.contract
def test_accelerate_does_still_not_divide_weights_on_cpus() -> None:
    """If this fails, accelerate has learned it, and the refusal can go."""
    import inspect

    from accelerate.state import AcceleratorState

    source = inspect.getsource(AcceleratorState.__init__)
    before_fsdp = source.split("DistributedType.FSDP")[0]
    assert "DistributedType.MULTI_GPU" in before_fsdp
    assert "DistributedType.MULTI_CPU" not in before_fsdp
