"""The same scripted rollouts through TRL's trainer and verl's, with the same log-probs.

Neither engine computes a forward pass: log-probs are a function of prompt and tokens, one for the
policy before the update and one for the policy in the loss, so ratios differ from 1 and every
branch of the losses is taken. Everything between the script and the scalar loss is the engines' own
code and ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from tensordict import TensorDict
from trl import GRPOConfig
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage
from verl.trainer.ppo.metric_utils import RolloutMoELoadBalanceMetricsAccumulator
from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY
from verl.utils import tensordict_utils as tu
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.metric import reduce_metrics
from verl.utils.py_functional import append_to_dict

from rephrase_rl.assembly.objects import load_model
from rephrase_rl.assembly.training import training_dataset
from rephrase_rl.assembly.verl.parts import facts_of, run_parts
from rephrase_rl.config import RunConfig
from rephrase_rl.records import Problem
from rephrase_rl.trainers.trl.arguments import grpo_arguments
from rephrase_rl.trainers.trl.honesty import record_honesty
from rephrase_rl.trainers.trl.trainer import RePOTrainer
from rephrase_rl.trainers.verl.liveness import Liveness
from rephrase_rl.trainers.verl.loss import guided_loss, take_shares
from rephrase_rl.trainers.verl.recording import StepRecorder
from rephrase_rl.trainers.verl.trainer import PREFIX, register_guided_trainers

Script = Callable[[str, int], str]


def old_logps(prompt: Sequence[int], completion: Sequence[int]) -> list[float]:
    """Log-probs before the update; another prompt gives others."""
    salt = sum(prompt) % 7
    return [-(1 + (7 * token + 3 * t + salt) % 11) / 6 for t, token in enumerate(completion)]


def new_logps(prompt: Sequence[int], completion: Sequence[int]) -> list[float]:
    """Log-probs in the loss: ratios from 0.4 to 2.4."""
    old = old_logps(prompt, completion)
    return [
        logp + ((5 * token + t) % 9 - 4) / 4.5
        for logp, token, t in zip(old, completion, range(len(completion)), strict=True)
    ]


@dataclass(frozen=True)
class Outcome:
    """What an engine made of a step: by (problem, member) so that orders do not matter."""

    tokens: dict[tuple[str, int], tuple[int, ...]]
    advantages: dict[tuple[str, int], list[float]]
    """Per token, as the surrogate sees them."""
    loss: float
    gradient: dict[tuple[str, int], list[float]]
    """Of the loss by each token's log-prob."""
    plain: dict[tuple[str, int], float]
    """verl's own GRPO advantage of each row; empty for TRL."""
    figures: dict[str, float]
    """Of the loss's forward pass, of rewards and of lengths, by the names of metrics.md."""


class ParityTrainer(RePOTrainer):
    """``RePOTrainer`` with scripted samples and log-probs."""

    script: Script
    in_loss = False
    logps: torch.Tensor | None = None

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, **more):
        ids = []
        for prompt in map(tuple, prompt_ids):
            number = self.times.get(prompt, 0)
            self.times[prompt] = number + 1
            text = self.script(self._tokenizer.decode(prompt), number)
            ids.append(
                [
                    *self._tokenizer.encode(text, add_special_tokens=False),
                    self._tokenizer.eos_token_id,
                ]
            )
        return ids, None

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, **more
    ):
        width = input_ids.size(1) - logits_to_keep
        rows = []
        for ids, mask in zip(input_ids, attention_mask, strict=True):
            prompt = ids[:width][mask[:width].bool()].tolist()
            completion = ids[width:].tolist()
            rows.append((new_logps if self.in_loss else old_logps)(prompt, completion))
        logps = torch.tensor(rows)
        if self.in_loss:
            logps.requires_grad_()
            self.logps = logps
        if self._captured is not None:
            self._captured.append(logps)
        return logps, torch.zeros_like(logps).detach(), None


def with_trl(run: RunConfig, problems: Sequence[Problem], script: Script, folder: Any) -> Outcome:
    """One step of TRL's trainer."""
    from rephrase_rl.assembly.blocks import build_guidance
    from rephrase_rl.assembly.rewards_of_sets import build_rewards
    from rephrase_rl.config import parse_guidance

    guidance = parse_guidance(run.guidance)
    rewards = build_rewards(run, list(problems))
    policy = load_model(run.model)
    group = run.trainer["num_generations"]
    arguments: GRPOConfig = grpo_arguments(
        {
            **run.trainer,
            "per_device_train_batch_size": len(problems) * group,
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
        },
        output_dir=str(folder),
        seed=run.seed,
        scale_rewards=guidance.advantages.scale,
        reward_weights=rewards.weights,
    )
    data: Dataset = training_dataset(problems, run)
    trainer = ParityTrainer(
        model=policy.model,
        reward_funcs=rewards.functions,
        args=arguments,
        train_dataset=data,
        processing_class=policy.tokenizer,
        guidance=build_guidance(guidance, run.prompts),
    )
    trainer.script, trainer.times = script, {}
    trainer.model.train()
    inputs = [dict(row) for row in data for _ in range(group)]
    output = trainer._generate_and_score_completions(inputs)
    mask = output["completion_mask"].bool()
    keys = [(p.problem_id, g) for p in problems for g in range(group)]
    prompts = [
        ids[own.bool()].tolist()
        for ids, own in zip(output["prompt_ids"], output["prompt_mask"], strict=True)
    ]
    real = [ids.tolist() for ids in output["completion_ids"]]
    lengths = [len(_untrimmed(ids, policy.tokenizer)) for ids in real]
    output["old_per_token_logps"] = torch.tensor(
        [old_logps(prompt, ids) for prompt, ids in zip(prompts, real, strict=True)]
    )
    trainer.current_gradient_accumulation_steps = 1
    trainer.compute = type(trainer.compute)(skip_untrained=False, tokens_per_pass=None)
    trainer.in_loss = True
    loss, _ = trainer.loss_of_rows(trainer.model, output)
    if "injected_mask" in output:
        record_honesty(trainer, output, trainer.logps)
    (gradient,) = torch.autograd.grad(loss, trainer.logps)
    advantages = output["advantages"]
    if advantages.dim() == 1:
        advantages = advantages.unsqueeze(1).expand(-1, mask.size(1))
    advantages = advantages * mask
    return Outcome(
        {key: tuple(real[i][: lengths[i]]) for i, key in enumerate(keys)},
        {key: advantages[i, : lengths[i]].tolist() for i, key in enumerate(keys)},
        float(loss.detach()),
        {key: gradient[i, : lengths[i]].tolist() for i, key in enumerate(keys)},
        {},
        {name: values[-1] for name, values in trainer._metrics["train"].items() if named(name)},
    )


def named(figure: str) -> bool:
    """Whether a figure is one that is made apart for each engine, and not from records."""
    of_loss = figure.endswith(("/policy_logp", "/clip_fraction")) and "expert" not in figure
    of_batch = ("reward", "reward_std", "frac_reward_zero_std")
    return of_loss or figure in of_batch or figure.startswith("completions/")


def _untrimmed(ids: Sequence[int], tokenizer: Any) -> list[int]:
    """A padded row up to its end token."""
    end = list(ids).index(tokenizer.eos_token_id)
    return list(ids[: end + 1])


class ScriptedActor:
    """verl's group of training workers: writes old log-probs, keeps the loss function."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self.loss_fn: Any = None
        self.calls: list[tuple[str, int]] = []
        """What was asked for, in order."""

    def set_loss_fn(self, loss_fn: Any) -> None:
        self.loss_fn = loss_fn

    def save_model_to_cpu(self, number: int) -> None:
        self.calls.append(("save", number))

    def restore_model_from_cpu(self, number: int) -> None:
        self.calls.append(("restore", number))

    def clear_cpu_model(self, number: int) -> None:
        self.calls.append(("clear", number))

    def update_actor(self, batch: Any) -> Any:
        """The loss over two micro-batches, and figures in the form of verl's training workers."""
        metrics: dict[str, Any] = {}
        half = len(batch.keys) // 2
        for keys in (batch.keys[:half], batch.keys[half:]):
            data = self._queue.kv_batch_get(keys, "train")
            rows = [self._queue.rows["train"][key] for key in keys]
            _, found, _ = loss_of(self.loss_fn, data, rows)
            append_to_dict(metrics, found)
        metrics |= {"grad_norm": [0.5], "lr": [1e-6], "mfu": [0.1], "loss": [0.0]}
        return {"metrics": metrics}

    def compute_log_prob(self, batch: Any) -> Any:
        self.calls.append(("compute", len(batch.keys)))
        logps, entropies = [], []
        for key in batch.keys:
            row = self._queue.rows["train"][key]
            prompt, response = row["prompts"].tolist(), row["responses"].tolist()
            # Position i of a model's output predicts token i + 1.
            own = [0.0] * (len(prompt) - 1) + old_logps(prompt, response) + [0.0]
            logps.append(torch.tensor(own))
            entropies.append(torch.ones(len(own)))
        fields = {
            "log_probs": torch.nested.as_nested_tensor(logps, layout=torch.jagged),
            "entropy": torch.nested.as_nested_tensor(entropies, layout=torch.jagged),
        }
        self._queue.kv_batch_put(batch.keys, "train", TensorDict(fields, [len(batch.keys)]))
        return batch


def verl_trainer(
    run: RunConfig, config: Any, queue: Any, problems: Sequence[Problem], mode: str = "sync"
) -> Any:
    """A guided trainer of verl without workers, ready for the steps between sampling and update."""
    register_guided_trainers()
    parts = run_parts(facts_of(run, problems))
    trainer = object.__new__(TRAINER_REGISTRY[PREFIX + mode])
    trainer.config, trainer.trainer_mode = config, mode
    trainer.guidance, trainer._scale = parts.guidance(), parts.scale
    trainer._recorder, trainer._liveness = StepRecorder(None, "all"), Liveness()
    trainer._advantages, trainer.local_trigger_step = {}, 0
    # What verl's own figures ask of a trainer.
    trainer.use_critic, trainer._get_n_gpus_for_throughput = False, lambda: 1
    trainer._rollout_moe_lb_metrics_accumulator = RolloutMoELoadBalanceMetricsAccumulator(
        model_config=config.actor_rollout_ref.model
    )
    trainer.actor_rollout_wg = ScriptedActor(queue)
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    rule = trainer.guidance.train if trainer._has_own_loss else None
    trainer.actor_rollout_wg.set_loss_fn(partial(guided_loss, actor, rule=rule))
    return trainer


def with_verl(played: Any, problems: Sequence[Problem]) -> Outcome:
    """One step of verl's trainer after a stage has played (see ``tests/trainers/verl``)."""
    run, queue = played.run, played.queue
    trainer = verl_trainer(run, played.worker.config, queue, problems)
    batch = queue.batch()
    metrics: dict[str, Any] = {}
    trainer._compute_old_log_prob(batch, metrics)
    plain = _stock_advantages(queue, batch)
    trainer._compute_advantage(batch, metrics)
    rows = [queue.rows["train"][key] for key in batch.keys]
    keys = [(key.split("_")[0].removeprefix("uid"), int(key.split("_")[1])) for key in batch.keys]
    data = queue.kv_batch_get(batch.keys, "train")
    loss, figures, gradients = loss_of(trainer.actor_rollout_wg.loss_fn, data, rows)
    shares = take_shares(reduce_metrics(figures))
    figures |= shares if trainer.guidance.active else {}
    timings = {"step": 1.0, "gen": 1.0}
    trainer._compute_metrics(batch, figures, timings, global_steps=1, epoch=0)
    return Outcome(
        {key: tuple(row["responses"].tolist()) for key, row in zip(keys, rows, strict=True)},
        {key: row["advantages"].tolist() for key, row in zip(keys, rows, strict=True)},
        loss,
        dict(zip(keys, gradients, strict=True)),
        dict(zip(keys, plain, strict=True)),
        {name: value for name, value in figures.items() if named(name)},
    )


def _stock_advantages(queue: Any, batch: Any) -> list[float]:
    """What verl's own GRPO makes of the rewards after injection."""
    rows = [queue.rows["train"][key] for key in batch.keys]
    rewards = torch.tensor([[float(row["rm_scores"].sum())] for row in rows])
    import numpy as np

    uids = np.array([row["uid"] for row in rows], dtype=object)
    values, _ = compute_grpo_outcome_advantage(rewards, torch.ones_like(rewards), uids)
    return values[:, 0].tolist()


def loss_of(
    function: Any, data: TensorDict, rows: Sequence[Any]
) -> tuple[float, dict[str, Any], list[list[float]]]:
    """Loss of rows in one micro-batch, its metrics, and its gradient by each row's log-probs."""
    whole, leaves = [], []
    for row in rows:
        prompt, response = row["prompts"].tolist(), row["responses"].tolist()
        leaf = torch.tensor(new_logps(prompt, response), requires_grad=True)
        leaves.append(leaf)
        whole.append(torch.cat([torch.zeros(len(prompt) - 1), leaf, torch.zeros(1)]))
    tu.assign_non_tensor(
        data,
        dp_size=1,
        # As verl's training engines count (workers/engine/fsdp/transformer_impl.py).
        batch_num_tokens=int(sum(int(row["loss_mask"].sum()) for row in rows)),
        global_batch_size=len(rows),
    )
    output = {"log_probs": torch.nested.as_nested_tensor(whole, layout=torch.jagged)}
    loss, metrics = function(output, data)
    gradients = torch.autograd.grad(loss, leaves)
    return float(loss.detach()), metrics, [gradient.tolist() for gradient in gradients]


def played_with(stage: Any, run: RunConfig, problems: Sequence[Problem], script: Script) -> Any:
    """A stage on which the groups of these problems were led to publication."""
    played = stage(script, run)
    server = played.server
    original = server.generate

    async def generate(
        request_id: str, *, prompt_ids: Any, sampling_params: Any, **more: Any
    ) -> Any:
        output = await original(
            request_id, prompt_ids=prompt_ids, sampling_params=sampling_params, **more
        )
        if "prompt_logprobs" in sampling_params:  # of the expert's text, a figure alone
            return output
        output.log_probs = old_logps(prompt_ids, output.token_ids)
        return output

    server.generate = generate
    played.play(problems)
    return played


__all__ = ["Outcome", "played_with", "with_trl", "with_verl"]
