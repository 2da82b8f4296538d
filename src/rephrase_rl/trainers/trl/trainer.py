"""``RePOTrainer``: TRL's ``GRPOTrainer`` with guidance between sampling and the update.

Six overrides of private methods attach it. ``_generate`` runs the guidance step on the sampled
groups and swaps injected rows in before TRL builds any tensor, so padding, masks, old and reference
log-probs, importance sampling and logs are TRL's own and see q alone as the context.
``_calculate_rewards`` hands out the rewards already known, so each completion is judged once.
``_generate_and_score_completions`` keeps the dataset rows at hand, puts core's advantages in
place of TRL's and marks the injected tokens. ``_compute_loss`` adds the loss of a train rule that
has one of its own, from the log-probs of TRL's forward pass, which
``_get_per_token_logps_and_entropies`` hands out. That one and ``_generate_single_turn`` also let
a prompt be computed once for its whole group (``Compute``).
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather, gather_object
from trl import GRPOTrainer

from rephrase_rl.errors import CompatibilityError
from rephrase_rl.guidance.blocks import Guidance, Score, StepContext
from rephrase_rl.guidance.ledger import Ledger
from rephrase_rl.guidance.recording import step_metrics
from rephrase_rl.guidance.step import guide
from rephrase_rl.guidance.token_records import Kept, TokenRecorder
from rephrase_rl.trainers.trl.advantages import core_advantages
from rephrase_rl.trainers.trl.anticipation import Anticipation, anticipate, can_anticipate
from rephrase_rl.trainers.trl.batch import (
    GenerationOutput,
    GuidedBatch,
    leave_out,
    mark_injected,
    put_in_place,
    rows_left_out,
)
from rephrase_rl.trainers.trl.checkpoints import EpochOrder, WholeCheckpoints
from rephrase_rl.trainers.trl.checks import CorrectnessColumns, refuse_unsupported
from rephrase_rl.trainers.trl.compact_head import compact_head
from rephrase_rl.trainers.trl.compatibility import check_trl_version
from rephrase_rl.trainers.trl.compute import Compute
from rephrase_rl.trainers.trl.engine import TrlGuidanceEngine, completions_of
from rephrase_rl.trainers.trl.forward import packs_rows, token_scores
from rephrase_rl.trainers.trl.guards import GuardedTrainer
from rephrase_rl.trainers.trl.honesty import measure_experts, record_honesty
from rephrase_rl.trainers.trl.loss import injected_loss
from rephrase_rl.trainers.trl.memory import UnloggedLoss, load_memory, save_memory
from rephrase_rl.trainers.trl.micro_batches import loss_in_parts, tokens_of_a_part
from rephrase_rl.trainers.trl.order import RepeatedOrder, repeated_order
from rephrase_rl.trainers.trl.printed_texts import show_hidden_characters
from rephrase_rl.trainers.trl.prompt_room import leave_room
from rephrase_rl.trainers.trl.resampling import resample
from rephrase_rl.trainers.trl.rows import merge_extra_fields, rollout_groups
from rephrase_rl.trainers.trl.sampling import sample_ids, seed_colocated, shares_prefixes
from rephrase_rl.trainers.trl.sharding import keep_float32
from rephrase_rl.trainers.trl.stream import (
    BufferedStream,
    JointStream,
    StreamSteps,
    send_to_stream,
)
from rephrase_rl.trainers.trl.trained_rows import TrainedRows, trained_rows
from rephrase_rl.trainers.trl.verification import judging_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rephrase_rl.records import GroupRecord


class RePOTrainer(GuardedTrainer, WholeCheckpoints, GRPOTrainer):
    """``GRPOTrainer`` plus ``guidance=``; everything else is TRL's, unchanged.

    The dataset has TRL's ``prompt`` column (chat or plain) and may have ``expert_solution`` (the
    text k; None: trained like GRPO; a source that needs k refuses a set without any), ``question``
    (the question without the solve template, default: content of the prompt's last turn),
    ``problem_id``, ``reference_answer``, ``task_kind`` and ``dataset`` (name of the row's set in a
    mixture).

    Args:
        *args: As for ``GRPOTrainer``.
        guidance: The method. None never intervenes and is GRPO.
        stream: What becomes of candidates whose slot has the placement ``stream``.
        compute: How the step is computed; the result is the same up to rounding.
        token_logps: Candidates whose records have their tokens with log-probs.
        on_groups: Called on the main process once per generation batch with the records of all
            groups of all ranks, in rank order.
        **kwargs: As for ``GRPOTrainer``; ``guards=Guards(...)`` for steps that are not finite.

    Raises:
        CompatibilityError: TRL is outside the tested range.
        ConfigError: The combination of settings cannot give RePO's groups; all faults at once.

    Example:
        >>> trainer = RePOTrainer(
        ...     model, reward_funcs=[reward], args=GRPOConfig("out"), train_dataset=dataset,
        ...     guidance=Guidance(FailedShareGate(), RephraseSource(), slot=ReplaceWorst()),
        ... )  # doctest: +SKIP
    """

    beta: float
    """TRL's weight of the KL term."""
    _order: RepeatedOrder | None = None

    def __init__(
        self,
        *args: Any,
        guidance: Guidance | None = None,
        stream: JointStream | BufferedStream | None = None,
        compute: Compute | None = None,
        token_logps: Kept = "none",  # noqa: S107  (no key)
        on_groups: Callable[[Sequence[GroupRecord]], None] | None = None,
        **kwargs: Any,
    ) -> None:
        # The signature is passed on as it is: it belongs to TRL and grows with its versions.
        check_trl_version()
        super().__init__(*args, **kwargs)
        keep_float32(self)
        seed_colocated(self)
        self.guidance = guidance or Guidance()
        self.stream = stream
        self.ledger = Ledger()
        self._on_groups = on_groups
        self._tokens = TokenRecorder(token_logps, self.processing_class)
        self._rows: list[dict[str, Any]] | None = None
        self._batch: GuidedBatch | None = None
        self._final_rewards: torch.Tensor | None = None
        self._captured: list[torch.Tensor] | None = None
        self._draws = (-1, -1)
        self._ahead: Anticipation | None = None
        self.keeps_logps = False
        self._step_records: list[GroupRecord] = []
        self._correctness = CorrectnessColumns(self.guidance, self.reward_func_names)
        refuse_unsupported(self)
        self.guidance = leave_room(self)
        self.compute = compute or Compute()
        self._shares_prefixes = shares_prefixes(self, self.compute.sampler)
        self._anticipates = can_anticipate(self, self._shares_prefixes)
        self.packs_rows = packs_rows(self, self.compute.forward)
        self._tokens_of_a_part = tokens_of_a_part(self, self.compute.tokens_per_pass)
        if isinstance(stream, BufferedStream):
            self.add_callback(StreamSteps(self, stream))
        self.unlogged_loss = UnloggedLoss(self)
        self.add_callback(self.unlogged_loss)
        self.add_callback(EpochOrder(lambda: self._order))

    def keep_state(self, folder: Path) -> None:
        """Write what this process remembers: guidance, and the generation batch at hand."""
        save_memory(self, folder)

    def take_up_state(self, folder: Path) -> None:
        """Take up what ``keep_state`` wrote."""
        load_memory(self, folder)

    # --- the overrides

    def _get_train_sampler(self, dataset: Any = None) -> RepeatedOrder:
        self._order = repeated_order(super()._get_train_sampler(dataset))
        return self._order

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        if not self.model.training:  # evaluation is scored as sampled and never injects
            return super()._generate_and_score_completions(inputs)
        self._rows = inputs
        try:
            output = super()._generate_and_score_completions(inputs)
            assert self._batch is not None  # noqa: S101  (narrows the type)
            assert self._final_rewards is not None  # noqa: S101  (narrows the type)
            output["advantages"] = core_advantages(self, self._final_rewards, len(inputs))
            self._record(self._batch, output["advantages"])
            self._prepare_loss(self._batch, output)
        finally:
            self._rows = self._batch = self._final_rewards = None
        return output

    def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
        if self._rows is not None and self._anticipates:
            self._ahead = anticipate(self, self._rows, self._context())
        ahead = self._ahead
        generated = super()._generate(prompts)
        if self._rows is None:
            return generated
        if len(generated) != len(GenerationOutput._fields):
            raise CompatibilityError(
                f"GRPOTrainer._generate returned {len(generated)} values, expected "
                f"{len(GenerationOutput._fields)} ({', '.join(GenerationOutput._fields)}); this "
                "TRL has changed inside its version range: install the one in constraints.txt"
            )
        started = time.perf_counter()
        whole = GenerationOutput(*generated)
        self._batch = self.guide_batch(whole, self._rows, prompts, ahead)
        if self.guidance.no_spread == "resample":
            resample(self, whole, prompts, self._batch)
        self._metrics["train"]["time/guidance_s"].append(time.perf_counter() - started)
        return tuple(whole)

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], *args: Any, **kwargs: Any
    ) -> tuple[Any, ...]:
        if not self._shares_prefixes:
            turn: tuple[Any, ...] = super()._generate_single_turn(prompt_ids, *args, **kwargs)
            return turn
        # Only the first call of a batch is that of its rollouts.
        ahead, self._ahead = self._ahead or Anticipation(), None
        # Candidates and resampled groups come later and are not the rows at hand.
        rollouts = self._rows is not None and self._batch is None and not self.keeps_logps
        sampled = sample_ids(
            self,
            [*prompt_ids, *map(list, ahead.prompts)],
            judging_ahead(self, self._rows or []) if rollouts else None,
        )
        ids, logps = sampled.completion_ids, sampled.logps
        own = len(prompt_ids)
        if ahead.prompts:
            ahead.keep(completions_of(self, ids[own:], logps[own:]))
        # TRL takes log-probs of rollouts for vLLM's; with its own `generate` it has none.
        return ids[:own], logps[:own] if self.keeps_logps else None

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
        assert self._batch is not None  # noqa: S101  (narrows the type)
        self._log_completion_extra(
            "origin", [r.origin for g in self._batch.groups for r in g.group.rollouts]
        )
        self._final_rewards = gather(self._batch.rewards_per_func)
        return self._final_rewards

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Any, attention_mask: Any, logits_to_keep: int, **more: Any
    ) -> Any:
        result = token_scores(self, model, input_ids, attention_mask, logits_to_keep, more)
        if result is None:
            with compact_head(self.accelerator.device):
                result = super()._get_per_token_logps_and_entropies(
                    model, input_ids, attention_mask, logits_to_keep, **more
                )
        if self._captured is not None:
            self._captured.append(result[0])
        return result

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        if not self.model.training:
            return self.loss_of_rows(model, inputs)[0]
        trained = TrainedRows(inputs, 1.0)
        if self.compute.skip_untrained:
            trained = trained_rows(self, inputs)
        loss, logps_BT = loss_in_parts(self, model, trained, self._tokens_of_a_part)
        if "injected_mask" in inputs and logps_BT is not None:
            record_honesty(self, trained.inputs, logps_BT)
        if isinstance(self.stream, JointStream):
            loss = self.stream.join(self, model, inputs, loss)
        return loss

    def loss_of_rows(self, model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, Any]:
        """TRL's loss, with that of injected tokens; and the log-probs it is made of, (B, T).

        None in their place where a subclass has them from elsewhere, which is enough for GRPO.
        """
        beta: float = self.beta
        self._captured = []
        # Where rows are left out of a mean over rows, the others' KL weighs more, as advantages do.
        self.beta = beta * float(inputs.get("row_factor", 1.0))
        try:
            loss: torch.Tensor = super()._compute_loss(model, inputs)
            captured = self._captured
        finally:
            self._captured, self.beta = None, beta
        if "injected_advantages" in inputs:
            loss = loss + injected_loss(self, inputs, captured[0])
        return loss, captured[0] if captured else None

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

    def scores(self, rewards_per_func: torch.Tensor, rows: Sequence[dict[str, Any]]) -> list[Score]:
        """Weighted total and correctness of rows; a row that no function scored is NaN."""
        totals = (rewards_per_func * self.reward_weights.to(rewards_per_func.device)).nansum(dim=1)
        totals[torch.isnan(rewards_per_func).all(dim=1)] = torch.nan
        scored = zip(
            totals.tolist(), rewards_per_func.tolist(), self._correctness.of_rows(rows), strict=True
        )
        return [Score(total, rewards[column]) for total, rewards, column in scored]

    @property
    def rows_of_batch(self) -> list[dict[str, Any]]:
        """Dataset rows of the generation batch in hand, one per member, as TRL holds them."""
        assert self._rows is not None  # noqa: S101  (narrows the type)
        return self._rows

    def generate_rows(self, prompts: list[Any]) -> GenerationOutput:
        """TRL's generation for further prompts of this rank; all ranks together."""
        return GenerationOutput(*super()._generate(prompts))

    def guide_batch(
        self,
        generated: GenerationOutput,
        rows: list[dict[str, Any]],
        prompts: list[Any],
        ahead: Anticipation | None = None,
    ) -> GuidedBatch:
        """Score rollouts, run the guidance step and swap injected rows into TRL's lists."""
        rows = merge_extra_fields(rows, generated.extra_fields)
        start = self.accelerator.process_index * len(rows)
        local = slice(start, start + len(rows))
        rewards = self.score_rows(rows, prompts, generated.completions, generated.completion_ids)[
            local
        ].clone()
        groups = rollout_groups(self, rows, generated, self.scores(rewards, rows))
        filler = groups[0].rollouts[0].completion
        engine = TrlGuidanceEngine(
            self, self.guidance, rows, generated, prompts, filler, self._next_draw(), ahead
        )
        guided = guide(groups, self.guidance, engine, self._context())
        measure_experts(self, groups, engine)
        batch = GuidedBatch(
            guided,
            rewards,
            self.num_generations,
            self.reward_weights,
            total_decides=self.multi_objective_aggregation == "sum_then_normalize",
        )
        put_in_place(batch, generated, engine, self._pending_extra_logs)
        return batch

    def _context(self) -> StepContext:
        return StepContext(
            self.state.global_step,
            self.accelerator.process_index,
            self.args.seed,
            self.ledger.history,
        )

    # --- advantages and records

    def _prepare_loss(self, batch: GuidedBatch, output: dict[str, Any]) -> None:
        """Mark what the loss has to treat apart; nothing is added for plain GRPO."""
        factor = 1.0
        rows = rows_left_out(batch, self.guidance)
        if rows is not None:
            factor = leave_out(output, rows, self)
            output["row_factor"] = torch.tensor(factor)
        if self.guidance.active:
            mark_injected(output, batch, self, factor)
            if self.stream is not None:
                send_to_stream(self.stream, output, batch)
        else:
            output["advantages"] = output["advantages"] * factor

    def _record(self, batch: GuidedBatch, advantages: torch.Tensor) -> None:
        values = advantages.view(-1, self.num_generations).tolist()
        local = batch.records(values, self._context(), self._tokens)
        records: list[GroupRecord] = gather_object(local)
        self._step_records.extend(records)
        self.ledger.observe(records)
        if self._on_groups is not None and self.accelerator.is_main_process:
            self._on_groups(records)

    def log(self, logs: dict[str, float | None], start_time: float | None = None) -> None:
        """Add the figures of the step's groups; TRL's own would average counts over batches."""
        if self.model.training and self._step_records:
            metrics = step_metrics(self._step_records, self.guidance.failure_reward_threshold)
            logs.update({k: None if math.isnan(v) else v for k, v in metrics.items()})
            self._step_records = []
        if self.log_completions:
            show_hidden_characters(self._logs)
        super().log(logs, start_time)

    def _next_draw(self) -> tuple[int, int]:
        """(optimiser step, index of the generation batch within that step), for seeds."""
        step, index = self._draws
        now = self.state.global_step
        self._draws = (now, index + 1 if step == now else 0)
        return self._draws
