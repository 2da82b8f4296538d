"""``RePOTrainer``: TRL's ``GRPOTrainer`` with guidance between sampling and the update.

Three overrides of private methods attach it. ``_generate`` runs the guidance step on the sampled
groups and swaps injected rows in before TRL builds any tensor, so padding, masks, old and reference
log-probs, importance sampling and logs are TRL's own and see q alone as the context.
``_calculate_rewards`` hands out the rewards already known, so each completion is judged once.
``_generate_and_score_completions`` keeps the dataset rows at hand and puts core's advantages in
place of TRL's.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from accelerate.utils import gather, gather_object
from trl import GRPOTrainer

from rephrase_rl.core.advantages import multi_reward_advantages
from rephrase_rl.errors import CompatibilityError
from rephrase_rl.guidance.blocks import Guidance, Score, StepContext
from rephrase_rl.guidance.recording import group_record, step_metrics
from rephrase_rl.guidance.step import GuidedGroup, guide
from rephrase_rl.records import Completion, Rollout, RolloutGroup
from rephrase_rl.trainers.trl.checks import correctness_index, refuse_unsupported
from rephrase_rl.trainers.trl.compatibility import check_trl_version
from rephrase_rl.trainers.trl.engine import TrlGuidanceEngine
from rephrase_rl.trainers.trl.rows import completion_text, merge_extra_fields, problem_of_row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rephrase_rl.records import GroupRecord
    from rephrase_rl.trainers.trl.engine import LogpPair


class GenerationOutput(NamedTuple):
    """What ``GRPOTrainer._generate`` returns in TRL 1.16, by name; lists over the B local rows."""

    prompt_ids: list[list[int]]
    completion_ids: list[list[int]]
    tool_mask: list[list[int]] | None
    completions: list[Any]
    logprobs: list[list[float]] | None
    extra_fields: dict[str, Any]
    images: Any
    tool_images: Any


class GuidedBatch(NamedTuple):
    """One generation batch after guidance, waiting for its advantages."""

    groups: list[GuidedGroup]
    logps: list[list[LogpPair]]
    """Per group, per candidate: mean log-probs on q and on P(q, k)."""
    rewards_per_func: torch.Tensor
    """Local rewards of the final rows, float32, shape (B, number of reward functions)."""


class RePOTrainer(GRPOTrainer):
    """``GRPOTrainer`` plus ``guidance=``; everything else is TRL's, unchanged.

    The dataset has TRL's ``prompt`` column (chat or plain) and may have ``expert_solution`` (the
    text k; None or absent: trained like GRPO), ``question`` (the question without the solve
    template, default: content of the prompt's last turn), ``problem_id``, ``reference_answer`` and
    ``task_kind``.

    Args:
        *args: As for ``GRPOTrainer``.
        guidance: The method. None never intervenes and is GRPO.
        on_groups: Called on the main process once per generation batch with the records of all
            groups of all ranks, in rank order.
        **kwargs: As for ``GRPOTrainer``.

    Raises:
        CompatibilityError: TRL is outside the tested range.
        ConfigError: The combination of settings cannot give RePO's groups; all faults at once.

    Example:
        >>> trainer = RePOTrainer(
        ...     model, reward_funcs=[reward], args=GRPOConfig("out"), train_dataset=dataset,
        ...     guidance=Guidance(FailedShareGate(), RephraseSource(), slot=ReplaceWorst()),
        ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        *args: Any,
        guidance: Guidance | None = None,
        on_groups: Callable[[Sequence[GroupRecord]], None] | None = None,
        **kwargs: Any,
    ) -> None:
        # The signature is passed on as it is: it belongs to TRL and grows with its versions.
        check_trl_version()
        super().__init__(*args, **kwargs)
        self.guidance = guidance or Guidance()
        self._on_groups = on_groups
        self._rows: list[dict[str, Any]] | None = None
        self._guided: GuidedBatch | None = None
        self._final_rewards: torch.Tensor | None = None
        self._draws = (-1, -1)
        self._step_records: list[GroupRecord] = []
        self._correctness_index = correctness_index(self.guidance, self.reward_func_names)
        refuse_unsupported(self)

    # --- the three overrides

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        if not self.model.training:  # evaluation is scored as sampled and never injects
            return super()._generate_and_score_completions(inputs)
        self._rows = inputs
        try:
            output = super()._generate_and_score_completions(inputs)
            assert self._guided is not None
            output["advantages"] = self._core_advantages(len(inputs))
            self._record(self._guided, output["advantages"])
        finally:
            self._rows = self._guided = self._final_rewards = None
        return output

    def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
        generated = super()._generate(prompts)
        if self._rows is None:
            return generated
        if len(generated) != len(GenerationOutput._fields):
            raise CompatibilityError(
                f"GRPOTrainer._generate returned {len(generated)} values, expected "
                f"{len(GenerationOutput._fields)} ({', '.join(GenerationOutput._fields)}); this "
                "TRL has changed inside its version range: install the one in constraints.txt"
            )
        return self._guide_batch(GenerationOutput(*generated), prompts)

    def _calculate_rewards(
        self,
        inputs: list[dict[str, Any]],
        prompts: list[Any],
        completions: list[Any],
        completion_ids_list: list[list[int]],
    ) -> torch.Tensor:
        if self._rows is None:
            self._log_completion_extra("origin", ["rollout"] * len(prompts))
            rewards: torch.Tensor = super()._calculate_rewards(
                inputs, prompts, completions, completion_ids_list
            )
            return rewards
        assert self._guided is not None
        self._log_completion_extra(
            "origin", [r.origin for g in self._guided.groups for r in g.group.rollouts]
        )
        self._final_rewards = gather(self._guided.rewards_per_func)
        return self._final_rewards

    # --- guidance of one batch

    def score_rows(
        self,
        rows: list[dict[str, Any]],
        prompts: list[Any],
        completions: list[Any],
        completion_ids: list[list[int]],
    ) -> torch.Tensor:
        """TRL's reward call for given rows, float32, shape (world * rows, number of functions)."""
        rewards: torch.Tensor = super()._calculate_rewards(
            rows, prompts, completions, completion_ids
        )
        return rewards

    def scores(self, rewards_per_func: torch.Tensor) -> list[Score]:
        """Weighted total and correctness of rows; a row that no function scored is NaN."""
        weights = self.reward_weights.to(rewards_per_func.device)
        totals = (rewards_per_func * weights).nansum(dim=1)
        totals[torch.isnan(rewards_per_func).all(dim=1)] = torch.nan
        correctness = rewards_per_func[:, self._correctness_index]
        return [Score(*pair) for pair in zip(totals.tolist(), correctness.tolist(), strict=True)]

    def _guide_batch(self, generated: GenerationOutput, prompts: list[Any]) -> tuple[Any, ...]:
        assert self._rows is not None
        started = time.perf_counter()
        rows = merge_extra_fields(self._rows, generated.extra_fields)
        local = slice(
            self.accelerator.process_index * len(rows),
            (self.accelerator.process_index + 1) * len(rows),
        )
        rewards = self.score_rows(rows, prompts, generated.completions, generated.completion_ids)[
            local
        ].clone()
        groups = self._rollout_groups(rows, generated, self.scores(rewards))
        context = StepContext(
            self.state.global_step, self.accelerator.process_index, self.args.seed
        )
        filler = groups[0].rollouts[0].completion
        engine = TrlGuidanceEngine(self, self.guidance, rows, prompts, filler, self._next_draw())
        guided = guide(groups, self.guidance, engine, context)
        logps = self._candidate_logps(engine, guided, generated.prompt_ids)
        self._put_in_place(guided, generated, rewards, engine)
        self._guided = GuidedBatch(guided, logps, rewards)
        self._metrics["train"]["time/guidance_s"].append(time.perf_counter() - started)
        return tuple(generated)

    def _rollout_groups(
        self,
        rows: list[dict[str, Any]],
        generated: GenerationOutput,
        scores: list[Score],
    ) -> list[RolloutGroup]:
        size = self.num_generations
        ends = set(self.eos_token_ids)
        rollouts = [
            Rollout(
                Completion(completion_text(completion), tuple(ids), bool(ids) and ids[-1] in ends),
                score.reward,
                score.correctness,
            )
            for completion, ids, score in zip(
                generated.completions, generated.completion_ids, scores, strict=True
            )
        ]
        return [
            RolloutGroup(problem_of_row(rows[start]), tuple(rollouts[start : start + size]))
            for start in range(0, len(rows), size)
        ]

    def _candidate_logps(
        self,
        engine: TrlGuidanceEngine,
        guided: list[GuidedGroup],
        prompt_ids: list[list[int]],
    ) -> list[list[LogpPair]]:
        if not self.guidance.active:
            return [[] for _ in guided]
        wanted = [
            (i, (tuple(prompt_ids[i * self.num_generations]), group.context_ids, tokens))
            for i, group in enumerate(guided)
            for candidate in group.candidates
            if group.context_ids and (tokens := candidate.completion.token_ids)
        ]
        measured = iter(engine.measure([context for _, context in wanted]))
        logps: list[list[LogpPair]] = [[] for _ in guided]
        for (i, _), pair in zip(wanted, measured, strict=True):
            logps[i].append(pair)
        return logps

    def _put_in_place(
        self,
        guided: list[GuidedGroup],
        generated: GenerationOutput,
        rewards: torch.Tensor,
        engine: TrlGuidanceEngine,
    ) -> None:
        """Swap injected rows into TRL's lists; ``prompt_ids`` stay q's: that is the method."""
        scored = -1
        for i, group in enumerate(guided):
            # Candidates were scored in group order; an empty one was not scored.
            scored += sum(bool(c.completion.text.strip()) for c in group.candidates)
            if group.slot is None:
                continue
            row = i * self.num_generations + group.slot
            completion = group.group.rollouts[group.slot].completion
            generated.completion_ids[row] = list(completion.token_ids)
            generated.completions[row] = (
                [{"role": "assistant", "content": completion.text}]
                if not isinstance(generated.completions[row], str)
                else completion.text
            )
            if generated.logprobs is not None:
                # The sampler's log-probs belong to P(q, k). NaN tells TRL "unknown": the vLLM
                # importance ratio becomes exactly 1 instead of suppressing the row.
                generated.logprobs[row] = [float("nan")] * len(completion.token_ids)
            if generated.tool_mask is not None:
                generated.tool_mask[row] = [1] * len(completion.token_ids)
            rewards[row] = torch.tensor(engine.rewards_per_func[scored], dtype=rewards.dtype)
            for column, value in engine.extra_columns[scored].items():
                if row < len(self._pending_extra_logs.get(column, ())):
                    self._pending_extra_logs[column][row] = value

    # --- advantages and records

    def _core_advantages(self, local_rows: int) -> torch.Tensor:
        """Advantages of the local rows after injection, by ``core``, float32, shape (B,)."""
        assert self._final_rewards is not None
        functions = self._final_rewards.size(1)
        advantages_PG = multi_reward_advantages(
            self._final_rewards.view(-1, self.num_generations, functions),
            self.reward_weights.to(self._final_rewards.device),
            aggregation=self.multi_objective_aggregation,
            scale=self.scale_rewards,
            std_ddof=self.guidance.std_ddof,
            eps=self.guidance.advantage_eps,
        )
        advantages = advantages_PG.flatten()
        logged = self._logs["advantages"]
        for _ in range(min(len(logged), advantages.numel())):
            logged.pop()
        logged.extend(advantages.tolist())
        start = self.accelerator.process_index * local_rows
        return advantages[start : start + local_rows]

    def _record(self, batch: GuidedBatch, advantages: torch.Tensor) -> None:
        context = StepContext(
            self.state.global_step, self.accelerator.process_index, self.args.seed
        )
        values = advantages.view(-1, self.num_generations).tolist()
        local = [
            group_record(group, values[i], batch.logps[i], context)
            for i, group in enumerate(batch.groups)
        ]
        records: list[GroupRecord] = gather_object(local)
        self._step_records.extend(records)
        if self._on_groups is not None and self.accelerator.is_main_process:
            self._on_groups(records)

    def log(self, logs: dict[str, float | None], start_time: float | None = None) -> None:
        """Add the figures of the step's groups; TRL's own would average counts over batches."""
        if self.model.training and self._step_records:
            metrics = step_metrics(self._step_records, self.guidance.failure_reward_threshold)
            logs.update({k: None if math.isnan(v) else v for k, v in metrics.items()})
            self._step_records = []
        super().log(logs, start_time)

    def _next_draw(self) -> tuple[int, int]:
        """(optimiser step, index of the generation batch within that step), for seeds."""
        step, index = self._draws
        now = self.state.global_step
        self._draws = (now, index + 1 if step == now else 0)
        return self._draws
