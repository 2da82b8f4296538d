"""verl's agent-loop worker with guidance between sampling and publication of a group.

verl samples the members of a group apart and publishes each as it ends. Here all of them are held
back until the group is whole, guided by ``guidance.step.guide`` (the same code as under TRL), and
published as G rows under the keys that verl expects, so batch sizes, balancing and advantages need
no change. Validation is verl's own and never injects.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import ray
import torch
import transfer_queue as tq
from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput
from verl.trainer.ppo.v1.agent_loop_tq import (
    AgentLoopManagerTQ,
    AgentLoopWorkerTQ,
    _settle_session_tasks,
    apply_greedy_sampling_params,
)
from verl.utils.tokenizer.continuous_token_wiring import create_continuous_token_builder
from verl.workers.rollout.llm_server import FullyAsyncLLMServerClient, LLMServerClient

from rephrase_rl.errors import TrainingError
from rephrase_rl.guidance.blocks import Score, StepContext
from rephrase_rl.guidance.step import guide
from rephrase_rl.guidance.token_records import TokenRecorder
from rephrase_rl.records import Rollout, RolloutGroup
from rephrase_rl.trainers.verl.attachment import attachment_of
from rephrase_rl.trainers.verl.checks import refuse_unsupported
from rephrase_rl.trainers.verl.engine import GroupEngine, request_id
from rephrase_rl.trainers.verl.notes import INJECTED, notes_of_group, notes_of_row
from rephrase_rl.trainers.verl.rows import (
    NOTES,
    completion_of,
    problem_of_row,
    replacement,
    score_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rephrase_rl.guidance.step import GuidedGroup
    from rephrase_rl.records import Completion, Message

logger = logging.getLogger(__name__)

READING = {"max_tokens": 1, "temperature": 1.0, "prompt_logprobs": 0}
"""Sampling parameters of a request whose prompt is to be read."""
ABORTED = ("abort", "aborted")
"""Stop reasons of a request that was broken off for new weights."""
READ_AGAIN_S = 1.0
"""Seconds until a reading that was broken off is asked for again; verl's own pause."""
MAX_GROUPS = 512
"""Groups of a worker that are guided at once."""

_held_back: ContextVar[bool] = ContextVar("held_back", default=False)
"""Whether outputs of this task go back to the group instead of to the trainer."""


class GuidedWorker(AgentLoopWorkerTQ.__ray_actor_class__):
    """Agent-loop worker that publishes guided groups."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # The signature is passed on as it is: it belongs to verl.
        super().__init__(*args, **kwargs)
        parts = attachment_of(self.config).parts()
        self._seed = parts.seed
        # Threads that mostly wait for the event loop; the loop's own few are for its own work.
        self._threads = ThreadPoolExecutor(MAX_GROUPS, thread_name_prefix="guide")
        self._guidance = parts.guidance()
        self._tokens = TokenRecorder(parts.token_logps, self.tokenizer)
        self._chat = create_continuous_token_builder(
            self.tokenizer,
            hf_model_type=self.hf_model_type,
            chat_template_kwargs=self.config.data.get("apply_chat_template_kwargs", {}),
            processor=self.processor,
        )

    # --- the overrides

    async def _run_prompt(
        self,
        prompt: dict[str, Any],
        sampling_params: dict[str, Any],
        trajectory: dict[str, Any],
        trace: bool = False,
    ) -> None:
        if trajectory["validate"]:
            await super()._run_prompt(prompt, sampling_params, trajectory, trace)
            return
        uid = prompt["uid"]
        await _set_status(uid, "running")
        try:
            count = prompt.pop("__rollout_n__", self.rollout_config.n)
            params = dict(sampling_params)
            if not prompt.pop("__do_sample__", True):
                apply_greedy_sampling_params(params)
            outputs, errors = await self._sample(prompt, params, trajectory, trace, count)
            for error in errors:
                logger.error(
                    "a rollout of %s failed",
                    uid,
                    exc_info=(type(error), error, error.__traceback__),
                )
            # As verl does: what is there of a broken group is trained on, without guidance.
            rows = _as_sampled(outputs)
            if not errors:
                rows = await self._guided(prompt, outputs, params, trajectory)
            await self._publish(prompt, rows)
            await _set_status(uid, "failure" if errors else "finished")
        except Exception:
            logger.exception("the group of %s failed", uid)
            await _set_status(uid, "failure")

    async def _agent_loop_postprocess(
        self, output: AgentLoopOutput | list[AgentLoopOutput], validate: bool, **kwargs: Any
    ) -> Any:
        if _held_back.get():
            return output
        return await super()._agent_loop_postprocess(output, validate, **kwargs)

    # --- one group

    async def _sample(
        self,
        prompt: Mapping[str, Any],
        params: Mapping[str, Any],
        trajectory: dict[str, Any],
        trace: bool,
        count: int,
    ) -> tuple[dict[int, AgentLoopOutput], list[BaseException]]:
        """Sample and score all members; by session, those that came about."""

        async def member(session: int) -> AgentLoopOutput:
            _held_back.set(True)  # in this task alone: a task has a context of its own
            output = await self._run_agent_loop(
                dict(params), trajectory=trajectory, trace=trace, session_id=session, **prompt
            )
            if isinstance(output, list) or not isinstance(output, AgentLoopOutput):
                raise TrainingError(
                    f"agent loop {prompt.get('agent_name')!r} gave {type(output).__name__}; "
                    "required: one AgentLoopOutput for each rollout, since a group is replaced row "
                    "by row: use single_turn_agent"
                )
            if not output.response_ids:
                raise TrainingError(
                    "a rollout has no token, as where a server was stopped, and its group is not "
                    "guided; look into the server's log if there are more"
                )
            await self._compute_score([output], _published_fields(prompt, session))
            return output

        tasks = [asyncio.create_task(member(session)) for session in range(count)]
        errors = await _settle_session_tasks(tasks)
        outputs = {
            session: task.result()
            for session, task in enumerate(tasks)
            if not task.cancelled() and task.exception() is None
        }
        return outputs, errors

    async def _guided(
        self,
        prompt: Mapping[str, Any],
        outputs: Mapping[int, AgentLoopOutput],
        params: Mapping[str, Any],
        trajectory: Mapping[str, Any],
    ) -> list[tuple[int, AgentLoopOutput]]:
        """The rows of a whole group after the guidance step, with notes for the trainer."""
        members = [outputs[session] for session in sorted(outputs)]
        group = RolloutGroup(
            problem_of_row(prompt), tuple(self._rollout(output) for output in members)
        )
        loop = asyncio.get_running_loop()
        engine = GroupEngine(
            _GroupPolicy(self, prompt),
            self._guidance,
            members[0].prompt_ids,
            params,
            loop,
            measures_all=self._tokens.kept == "all",
        )
        # verl counts steps from 1.
        context = StepContext(int(trajectory["step"]) - 1, 0, self._seed)
        guided, notes = await loop.run_in_executor(
            self._threads, self._guide, group, engine, context
        )
        rows = list(members)
        if guided.slot is not None:
            rows[guided.slot] = self._injected(members, guided, engine)
        for row, own in zip(rows, notes, strict=True):
            row.extra_fields[NOTES] = own
        return list(enumerate(rows))

    def _guide(
        self, group: RolloutGroup, engine: GroupEngine, context: StepContext
    ) -> tuple[GuidedGroup, list[dict[str, Any]]]:
        """The guidance step and what is noted of it, in a thread beside the event loop."""
        (guided,) = guide([group], self._guidance, engine, context)
        every, solution = self._guidance.expert_logp_every, group.problem.expert_solution
        expert = None
        if solution and self._guidance.active and every and context.step % every == 0:
            expert = engine.expert_logps(solution)
        notes = notes_of_group(guided, self._guidance, context, tokens=self._tokens, expert=expert)
        return guided, notes

    def _rollout(self, output: AgentLoopOutput) -> Rollout:
        score = score_of(output)
        completion = completion_of(output, self._decode, self._end_ids)
        return Rollout(completion, score.reward, score.correctness)

    def _injected(
        self, members: Sequence[AgentLoopOutput], guided: GuidedGroup, engine: GroupEngine
    ) -> AgentLoopOutput:
        assert guided.slot is not None  # noqa: S101  (narrows the type)
        rollout = guided.group.rollouts[guided.slot]
        return replacement(
            members[guided.slot],
            rollout.completion,
            Score(rollout.reward, rollout.correctness),
            engine.versions,
        )

    async def _publish(
        self, prompt: Mapping[str, Any], rows: Sequence[tuple[int, AgentLoopOutput]]
    ) -> None:
        """Hand rows to the trainer under verl's own keys."""
        for session, output in rows:
            fields = _published_fields(prompt, session)
            fields[INJECTED] = torch.tensor(output.extra_fields[NOTES][INJECTED])
            await self._agent_loop_postprocess(output, False, **fields)

    # --- the model, for ``_GroupPolicy``

    @functools.cached_property
    def _end_ids(self) -> tuple[int, ...]:
        """The tokenizer's end token, then further ones of the model's generation settings."""
        found = getattr(self.model_config.generation_config, "eos_token_id", None)
        more = found if isinstance(found, list | tuple) else [found]
        ids = [self.tokenizer.eos_token_id, *more]
        return tuple(dict.fromkeys(int(i) for i in ids if i is not None))

    def _decode(self, token_ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(token_ids), skip_special_tokens=True)
        return text


class _GroupPolicy:
    """A worker's model and servers, and the rewards of one problem, for ``GroupEngine``."""

    def __init__(self, worker: GuidedWorker, prompt: Mapping[str, Any]) -> None:
        self._worker = worker
        self._prompt = prompt

    @property
    def end_ids(self) -> tuple[int, ...]:
        ids: tuple[int, ...] = self._worker._end_ids
        return ids

    @property
    def max_completion_tokens(self) -> int:
        return int(self._worker.rollout_config.response_length)

    def encode_chat(self, messages: Sequence[Message]) -> tuple[int, ...]:
        return tuple(self._worker._chat.build_initial_tokens([dict(m) for m in messages]))

    def encode_text(self, text: str) -> tuple[int, ...]:
        return tuple(self._worker.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, token_ids: Sequence[int]) -> str:
        return self._worker._decode(token_ids)

    async def generate(self, prompt_ids: Sequence[int], params: dict[str, Any]) -> Any:
        return await self._worker.llm_client.generate(
            request_id(), prompt_ids=list(prompt_ids), sampling_params=params
        )

    async def read(self, token_ids: Sequence[int]) -> Sequence[Sequence[float]]:
        client, generate = self._worker.llm_client, self._worker.llm_client.generate
        if isinstance(client, FullyAsyncLLMServerClient):
            # It puts outputs together out of parts, and leaves the log-probs of prompts out.
            generate = functools.partial(LLMServerClient.generate, client)
        while True:
            output = await generate(
                request_id(), prompt_ids=list(token_ids), sampling_params=dict(READING)
            )
            found: Sequence[Sequence[float]] | None = output.extra_fields.get("prompt_logprobs")
            if found is not None:
                return found
            if output.stop_reason not in ABORTED:
                raise TrainingError(
                    "a server gave no log-probs of a prompt, which choice 'most_likely', the "
                    "context ratio, guidance.expert_logp_every and log.token_logps 'all' ask for; "
                    "required: vLLM or SGLang as verl 0.9.1 starts them"
                )
            await asyncio.sleep(READ_AGAIN_S)

    async def score(self, question_ids: Sequence[int], completion: Completion) -> Score:
        output = AgentLoopOutput(
            prompt_ids=list(question_ids),
            response_ids=list(completion.token_ids),
            response_mask=[1] * len(completion.token_ids),
            num_turns=2,
            metrics=AgentLoopMetrics(),
            extra_fields={"turn_scores": [], "tool_rewards": []},
        )
        await self._worker._compute_score([output], _published_fields(self._prompt, 0))
        return score_of(output)


class GuidedManager(AgentLoopManagerTQ):
    """verl's manager with guided workers; the value of ``agent.agent_loop_manager_class``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        refuse_unsupported(self.config)
        self.agent_loop_workers_class = ray.remote(GuidedWorker)


async def _set_status(uid: str, status: str) -> None:
    await tq.async_kv_put(key=uid, partition_id="train", tag={"status": status})


def _as_sampled(outputs: Mapping[int, AgentLoopOutput]) -> list[tuple[int, AgentLoopOutput]]:
    rows = sorted(outputs.items())
    for _, output in rows:
        output.extra_fields[NOTES] = notes_of_row(score_of(output))
    return rows


def _published_fields(prompt: Mapping[str, Any], session: int) -> dict[str, Any]:
    """What verl's ``_run_agent_loop`` hands to ``_agent_loop_postprocess``."""
    return {name: value for name, value in prompt.items() if name != "agent_name"} | {
        "session_id": session
    }
