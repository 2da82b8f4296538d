"""verl's V1 trainers with the method's arithmetic between log-probs and update.

Methods of ``PPOTrainer`` are extended, the same in its three modes. What was injected carries no
log-probs of its own: after ``_compute_old_log_prob`` those of the policy on q stand in all places,
so any rollout correction gives such a row the ratio 1. ``_compute_advantage`` puts core's
advantages in the place of verl's. ``_setup`` hands our loss to the training workers, and
``_update_actor`` takes its figures out. ``_compute_metrics`` adds those of the groups and records
them. Whoever waits for groups asks now and then whether those who make them live
(``_build_replay_buffer``).
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

import torch
import transfer_queue as tq
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl import DataProto
from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY, get_trainer_cls, register_trainer
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.debug.metrics import calculate_debug_metrics

from rephrase_rl.trainers.verl.attachment import attachment_of
from rephrase_rl.trainers.verl.batch import BatchRow, batch_fields
from rephrase_rl.trainers.verl.checks import GUIDED, refuse_unsupported
from rephrase_rl.trainers.verl.liveness import Liveness
from rephrase_rl.trainers.verl.loss import ADVANTAGE, SCALE, guided_loss, take_shares
from rephrase_rl.trainers.verl.notes import INJECTED
from rephrase_rl.trainers.verl.recording import StepRecorder, filled_record, step_figures
from rephrase_rl.trainers.verl.rows import NOTES

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from verl.trainer.ppo.v1.trainer_base import PPOTrainer
    from verl.utils.transferqueue_utils import KVBatchMeta

logger = logging.getLogger(__name__)

PREFIX = "rephrase_rl_"
"""Of the names under which guided trainers are registered beside verl's own."""


class GuidedTrainer:
    """Put before one of verl's trainer classes by ``guided_mode``."""

    guided_mode: str
    config: DictConfig
    actor_rollout_wg: Any
    agent_loop_manager: Any
    reward_loop_manager: Any

    def __init__(self, config: DictConfig) -> None:
        # verl asks the mode's name for what the mode does: it has to be the mode's own again.
        config.trainer.v1.trainer_mode = self.guided_mode
        OmegaConf.update(config, GUIDED, True, force_add=True)
        refuse_unsupported(config)
        attachment = attachment_of(config)
        parts = attachment.parts()
        self.guidance = parts.guidance()
        self._scale = parts.scale
        self._recorder = StepRecorder(attachment.run_path, parts.keep_groups)
        self._liveness = Liveness()
        self._advantages: dict[str, float] = {}
        super().__init__(config=config)  # type: ignore[call-arg]  # of the trainer class behind

    # --- the overrides

    def _build_replay_buffer(self) -> Any:
        buffer = super()._build_replay_buffer()  # type: ignore[misc]
        wait = getattr(buffer, "_wait_for_next_poll", None)
        if wait is not None:  # a sampler of the user's own may wait in its own way

            def watchful(*args: Any, **kwargs: Any) -> Any:
                self._liveness.require(self._makers_of_groups())
                return wait(*args, **kwargs)

            buffer._wait_for_next_poll = watchful
        return buffer

    def _makers_of_groups(self) -> list[tuple[str, Any]]:
        kinds = {
            "agent-loop worker": self.agent_loop_manager.agent_loop_workers,
            "reward worker": self.reward_loop_manager.reward_loop_worker_handles or (),
        }
        return [(f"{kind} {i}", one) for kind, own in kinds.items() for i, one in enumerate(own)]

    def _setup(self) -> None:
        super()._setup()  # type: ignore[misc]
        actor = omega_conf_to_dataclass(self.config.actor_rollout_ref.actor)
        rule = self.guidance.train if self._has_own_loss else None
        self.actor_rollout_wg.set_loss_fn(functools.partial(guided_loss, actor, rule=rule))

    @property
    def _has_own_loss(self) -> bool:
        return self.guidance.active and self.guidance.train.has_own_loss

    def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        batch = super()._compute_old_log_prob(batch, metrics)  # type: ignore[misc]
        if self.config.actor_rollout_ref.rollout.calculate_log_probs:
            metrics.update(_with_own_log_probs(batch))
        return batch

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        batch = super()._compute_advantage(batch, metrics)  # type: ignore[misc]
        rows = _rows_of(batch)
        fields = batch_fields(
            rows,
            self.guidance,
            scale=self._scale,
            loss_agg_mode=self.config.actor_rollout_ref.actor.loss_agg_mode,
        )
        self._advantages |= dict(zip(batch.keys, fields.advantages_B.tolist(), strict=True))
        data = _fetch(batch, ["responses", "loss_mask"])
        lengths = data["responses"].offsets().diff().tolist()
        nested = functools.partial(_nested, lengths=lengths)
        counted = data["loss_mask"].unbind()
        values: dict[str, Any] = {
            "advantages": nested(fields.advantages_BT),
            "response_mask": nested(fields.loss_mask_BT.long()),
            # verl counts the tokens of a mini-batch in this one.
            "loss_mask": torch.nested.as_nested_tensor(
                [
                    torch.zeros_like(mask) if left_out else mask.clone()
                    for mask, left_out in zip(counted, fields.left_out_B.tolist(), strict=True)
                ],
                layout=torch.jagged,
            ),
        }
        if self._has_own_loss:
            values[ADVANTAGE] = fields.advantages_B
            values[SCALE] = torch.full((len(lengths),), fields.injected_scale)
        _store(batch, values)
        return batch

    def _update_actor(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        batch = super()._update_actor(batch, metrics)  # type: ignore[misc]
        shares = take_shares(metrics)
        if self.guidance.active:  # as under TRL, where nothing is marked otherwise
            metrics.update(shares)
        return batch

    def _compute_metrics(
        self,
        batch: KVBatchMeta,
        metrics: dict[str, Any],
        timing_raw: dict[str, float],
        global_steps: int,
        epoch: int,
    ) -> None:
        super()._compute_metrics(  # type: ignore[misc]
            batch, metrics, timing_raw, global_steps=global_steps, epoch=epoch
        )
        rows, step = _rows_of(batch), global_steps - 1
        # A step of the mode separate_async is made of several batches, each with its advantages.
        advantages = [self._advantages.pop(key) for key in batch.keys]
        records = [
            filled_record(rows, advantages, members, step) for members in _groups_of(batch, rows)
        ]
        known = [record for record in records if record is not None]
        metrics.update(
            step_figures(
                known,
                rows,
                num_prompts=self.config.data.train_batch_size,
                failure_reward_threshold=self.guidance.failure_reward_threshold,
            )
        )
        self._recorder.keep(step, known, metrics, timing_raw)


def register_guided_trainers() -> None:
    """Register a guided class beside each of verl's three; done once in a process."""
    import verl.trainer.ppo.v1  # noqa: F401  (registers verl's own)

    for mode in ("sync", "colocate_async", "separate_async"):
        if PREFIX + mode not in TRAINER_REGISTRY:
            register_trainer(PREFIX + mode)(guided_class(get_trainer_cls(mode), mode))


def guided_class(base: type[PPOTrainer], mode: str) -> type[PPOTrainer]:
    """The guided form of one of verl's trainer classes."""
    name = f"Guided{base.__name__}"
    return type(name, (GuidedTrainer, base), {"guided_mode": mode, "__doc__": base.__doc__})


def _with_own_log_probs(batch: KVBatchMeta) -> dict[str, Any]:
    """Give injected rows the policy's own log-probs on q as those they were sampled with.

    Returns:
        verl's figures of how sampling and training differ, of rows that were sampled.
    """
    data = _fetch(
        batch, ["responses", "response_mask", "rollout_log_probs", "old_log_probs", INJECTED]
    )
    injected_B = data[INJECTED].reshape(-1) > 0
    if not bool(injected_B.any()):
        return {}
    own, sampled = data["old_log_probs"].unbind(), data["rollout_log_probs"].unbind()
    mended = [own[i] if injected_B[i] else sampled[i] for i in range(len(own))]
    data["rollout_log_probs"] = torch.nested.as_nested_tensor(mended, layout=torch.jagged)
    _store(batch, {"rollout_log_probs": data["rollout_log_probs"]})
    figures: dict[str, Any] = calculate_debug_metrics(
        DataProto(
            batch=data.select(
                "responses", "response_mask", "rollout_log_probs", "old_log_probs"
            ).to_padded_tensor()
        )
    )
    return figures


def _rows_of(batch: KVBatchMeta) -> list[BatchRow]:
    """The batch in our own terms, in verl's order."""
    data = _fetch(batch, ["uid", "rm_scores", "response_mask", "old_log_probs", "extra_fields"])
    scores, masks = data["rm_scores"].unbind(), data["response_mask"].unbind()
    logps = data["old_log_probs"].unbind()
    rows = []
    for i, (uid, extra, tag) in enumerate(
        zip(_plain(data["uid"]), _plain(data["extra_fields"]), batch.tags, strict=True)
    ):
        notes = {} if tag.get("is_padding", False) else extra[NOTES]
        rows.append(BatchRow(uid, float(scores[i].sum()), logps[i], masks[i], notes))
    return rows


def _groups_of(batch: KVBatchMeta, rows: list[BatchRow]) -> list[list[int]]:
    """Positions of the rows of each group, by session."""
    groups: dict[str, list[tuple[int, int]]] = {}
    for i, (key, row) in enumerate(zip(batch.keys, rows, strict=True)):
        if not row.is_padding:
            session = int(key.rsplit("_", 2)[1])
            groups.setdefault(row.uid, []).append((session, i))
    return [[i for _, i in sorted(members)] for members in groups.values()]


def _plain(column: Any) -> list[Any]:
    """Values of a column that is no tensor; TransferQueue's backends wrap them differently."""
    found = column.tolist() if hasattr(column, "tolist") else list(column)
    return [getattr(value, "data", value) for value in found]


def _fetch(batch: KVBatchMeta, fields: list[str]) -> TensorDict:
    return tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)


def _store(batch: KVBatchMeta, values: dict[str, Any]) -> None:
    fields = TensorDict(values, batch_size=len(batch.keys))
    tq.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=fields)


def _nested(values_BT: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    rows = [values_BT[i, :length] for i, length in enumerate(lengths)]
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)
