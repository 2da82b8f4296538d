"""What a run on verl needs to know beyond the run itself; nothing but that engine reads it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rephrase_rl.config.base import ConfigModel, PlainMapping

Positive = Annotated[int, Field(gt=0)]


class VerlConfig(ConfigModel):
    """Where and how verl trains (``--engine verl``)."""

    nodes: Positive = 1
    """Machines of the Ray cluster that train."""
    gpus_per_node: Positive = 8
    """GPUs of each machine."""
    mode: Literal["sync", "colocate_async", "separate_async"] = "sync"
    """verl's trainer mode. In the asynchronous ones rollouts and rewrites may come from weights
    that are a few steps old."""
    rollout_nodes: Positive | None = None
    """Machines that sample and do not train, of ``gpus_per_node`` GPUs each; for
    ``separate_async`` alone, which needs it."""
    rollout: Literal["vllm", "sglang"] = "vllm"
    """What samples."""
    tensor_parallel: Positive = 1
    """GPUs that one copy of the model is split over in sampling."""
    gpu_memory_utilization: Annotated[float, Field(gt=0.0, le=1.0)] = 0.6
    """Share of a GPU's memory that sampling may take."""
    prompts_per_step: Positive = 512
    """Problems of a step, each with ``trainer.num_generations`` rollouts; the paper has 512."""
    prompts_per_update: Positive | None = None
    """Problems of an optimiser update. null: all of the step, one update."""
    max_prompt_length: Positive = 1024
    """Longest question in tokens; a longer one is refused before the start."""
    tokens_per_gpu: Positive = 16384
    """Most tokens of a micro-batch on a GPU."""
    agent_workers: Positive = 8
    """Processes that lead groups through sampling, guidance and publication."""
    reward_workers: Positive = 8
    """Processes that judge; each has worker processes of its own."""
    offload: bool = False
    """Keep weights and moments in main memory while they are not needed."""
    ray_address: str | None = None
    """Address of a running Ray cluster, as ``RAY_ADDRESS``. null: that variable, or a local one."""
    overrides: PlainMapping = Field(default_factory=dict)
    """Further settings of verl by their full path, such as ``trainer.project_name: mine``; they
    have the last word, and what the method rests on is checked at the start."""

    @property
    def prompts_of_an_update(self) -> int:
        """``prompts_per_update``, or all of a step."""
        return self.prompts_per_update or self.prompts_per_step
