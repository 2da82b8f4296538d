"""These tests need verl; and a worker that answers to a script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from verl_environment import pytest_pycollect_makemodule

__all__ = ["pytest_pycollect_makemodule"]


class Stage(NamedTuple):
    """A worker, what it publishes into, and the server that it asks."""

    worker: Any
    queue: Any
    server: Any
    run: Any

    @property
    def sampled(self) -> list[tuple[str, dict[str, Any]]]:
        """Requests for which the server sampled, and did not read."""
        return [asked for asked in self.server.requests if "prompt_logprobs" not in asked[1]]

    def play(
        self, problems: Sequence[Any], *, validate: bool = False, temperature: float = 1.0
    ) -> None:
        """Lead groups through the worker, all at once."""
        from verl_fakes import row_of

        async def all_groups() -> None:
            # Agent loops tokenise in threads; with one of them members ask in their own order.
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
            trajectory = {"step": 1, "sample_index": 0, "rollout_n": 0, "validate": validate}
            params = {"temperature": temperature, "top_p": 1.0, "top_k": -1, "logprobs": True}
            await asyncio.gather(
                *(
                    self.worker._run_prompt(row_of(p, self.run), dict(params), dict(trajectory))
                    for p in problems
                )
            )

        asyncio.run(all_groups())


@pytest.fixture
def stage(tmp_path, monkeypatch) -> Callable[..., Stage]:
    """Set up a worker for a run and a script."""
    from verl.trainer.ppo.v1 import agent_loop_tq, replay_buffer, trainer_base
    from verl.workers.rollout.llm_server import FullyAsyncLLMServerClient

    from rephrase_rl.trainers.verl import trainer as trainer_module
    from rephrase_rl.trainers.verl import worker as worker_module
    from rephrase_rl.trainers.verl.reward import VerifierRewardManager
    from verl_fakes import (
        Balancer,
        FakeQueue,
        InterruptedServer,
        LocalRewards,
        ScriptedServer,
        run_config,
        verl_config,
    )

    def set_up(
        script: Any,
        run: Any = None,
        *,
        overrides: Sequence[str] = (),
        interrupted: bool = False,
        **server: Any,
    ) -> Stage:
        queue = FakeQueue()
        for module in (agent_loop_tq, replay_buffer, trainer_base, worker_module, trainer_module):
            monkeypatch.setattr(module, "tq", queue)
        run = run or run_config()
        config = verl_config(run, tmp_path, overrides=overrides)
        worker = worker_module.GuidedWorker(config, None, None, None)
        rewards = LocalRewards(VerifierRewardManager(config, worker.tokenizer, None))
        worker.reward_loop_worker_handles = [rewards]
        kind = InterruptedServer if interrupted else ScriptedServer
        scripted = kind(worker.tokenizer, script, **server)
        worker.llm_client = scripted
        if interrupted:  # verl's own client of the asynchronous modes stands before it
            client = FullyAsyncLLMServerClient(config, load_balancer_handle=Balancer(scripted))
            worker.llm_client = client
        return Stage(worker, queue, scripted, run)

    return set_up
