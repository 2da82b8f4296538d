"""Our loss and advantages against TRL's own code, run on the same tensors.

The loss is TRL's ``GRPOTrainer._compute_loss``, called with a stand-in for the trainer that hands
out given log-probabilities instead of running a model. The advantages are the lines of
``_generate_and_score_completions`` between two landmarks, cut out and run.
"""

import inspect
import textwrap
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from rephrase_rl.core.advantages import group_advantages, multi_reward_advantages
from rephrase_rl.core.diagnostics import clip_fractions
from rephrase_rl.core.kl import k3
from rephrase_rl.core.objectives import clipped_surrogate
from rephrase_rl.core.ratios import importance_ratio
from rephrase_rl.core.reduction import reduce_loss

pytestmark = pytest.mark.contract

GRPOTrainer = pytest.importorskip("trl.trainer.grpo_trainer").GRPOTrainer
nanstd = pytest.importorskip("trl.trainer.utils").nanstd

NAN = float("nan")
MAX_COMPLETION_LENGTH = 9
TRL_EPS = 1e-4
"""What TRL adds to a standard deviation; a literal in its code."""


class OneProcess:
    """An accelerator of one process."""

    num_processes = 1
    device = torch.device("cpu")

    def gather(self, tensor):
        return tensor

    def reduce(self, tensor, reduction):
        return tensor


def trl_loss(batch, *, loss_type, level="token", high=0.2, beta=0.0, delta=None):
    """Give loss, gradient of the log-probabilities and metrics, as TRL computes them."""
    logps_BT = batch["logps"].clone().requires_grad_()
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *a, **k: (
            logps_BT,
            torch.zeros_like(logps_BT),
            None,
        ),
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level=level,
        beta=beta,
        args=SimpleNamespace(delta=delta, use_bias_correction_kl=False, steps_per_generation=1),
        loss_type=loss_type,
        epsilon_low=0.2,
        epsilon_high=high,
        use_vllm=False,
        vllm_importance_sampling_correction=False,
        model=SimpleNamespace(training=True),
        current_gradient_accumulation_steps=1,
        max_completion_length=MAX_COMPLETION_LENGTH,
        accelerator=OneProcess(),
        _entropy_bonus_enabled=False,
        _metrics={"train": defaultdict(list)},
    )
    mask_BT = batch["mask"]
    inputs = {
        "prompt_ids": torch.zeros(len(mask_BT), 2, dtype=torch.long),
        "prompt_mask": torch.ones(len(mask_BT), 2, dtype=torch.long),
        "completion_ids": torch.zeros_like(mask_BT),
        "completion_mask": mask_BT,
        "advantages": batch["advantages"],
        "old_per_token_logps": batch["old_logps"],
        "ref_per_token_logps": batch["ref_logps"],
        "num_items_in_batch": mask_BT.sum(),
    }
    loss = GRPOTrainer._compute_loss(trainer, None, inputs)
    (gradient_BT,) = torch.autograd.grad(loss, logps_BT)
    return loss.detach(), gradient_BT, trainer._metrics["train"]


def our_loss(batch, *, loss_type, level="token", high=0.2, beta=0.0, delta=None):
    """Give loss and gradient of the same update, composed of core's functions."""
    logps_BT = batch["logps"].clone().requires_grad_()
    ratio_BT = importance_ratio(logps_BT, batch["old_logps"], batch["mask"], level=level)
    loss_BT = clipped_surrogate(
        ratio_BT, batch["advantages"], batch["mask"], clip_high=high, dual_clip=delta
    )
    loss_BT = loss_BT + beta * k3(logps_BT, batch["ref_logps"], batch["mask"])
    form = {
        "grpo": {"reduction": "sequence_mean"},
        "dapo": {"reduction": "token_mean"},
        "bnpo": {"reduction": "token_mean"},  # a single micro-batch: local and global counts agree
        "dr_grpo": {"reduction": "fixed_length", "fixed_length": MAX_COMPLETION_LENGTH},
    }[loss_type]
    loss = reduce_loss(loss_BT, batch["mask"], **form)
    (gradient_BT,) = torch.autograd.grad(loss, logps_BT)
    return loss.detach(), gradient_BT


@pytest.fixture
def batch():
    """Eight rows in float64, far enough from the old policy for every branch to be taken."""
    generator = torch.Generator().manual_seed(7)

    def draw(scale):
        return torch.randn(8, 6, generator=generator, dtype=torch.float64) * scale

    old_logps_BT = -draw(1.0).abs()
    lengths_B = torch.tensor([6, 1, 3, 5, 2, 6, 4, 1])
    return {
        "logps": old_logps_BT + draw(0.5),
        "old_logps": old_logps_BT,
        "ref_logps": old_logps_BT + draw(0.3),
        "mask": (torch.arange(6) < lengths_B.unsqueeze(1)).long(),
        "advantages": torch.tensor(
            [2.5, -0.35, -0.35, 0.0, 1.0, -1.0, 0.5, -2.0], dtype=torch.float64
        ),
    }


@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo", "bnpo"])
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"high": 0.28}, {"beta": 0.04}, {"delta": 1.5}],
    ids=["plain", "clip_higher", "kl", "dual_clip"],
)
def test_loss_and_gradient_are_those_of_trl(batch, loss_type, level, settings):
    loss, gradient_BT, _ = trl_loss(batch, loss_type=loss_type, level=level, **settings)
    our, our_gradient_BT = our_loss(batch, loss_type=loss_type, level=level, **settings)
    torch.testing.assert_close(our, loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(our_gradient_BT, gradient_BT, rtol=1e-12, atol=1e-12)
    assert loss.abs() > 1e-3
    assert gradient_BT.abs().max() > 1e-3


def test_clip_fractions_are_those_of_trl(batch):
    _, _, metrics = trl_loss(batch, loss_type="dapo")
    ratio_BT = importance_ratio(batch["logps"], batch["old_logps"], batch["mask"])
    found = clip_fractions(ratio_BT, batch["advantages"], batch["mask"])
    assert found.low.item() == pytest.approx(metrics["clip_ratio/low_mean"][0])
    assert found.high.item() == pytest.approx(metrics["clip_ratio/high_mean"][0])
    assert found.low > 0
    assert found.high > 0


REWARDS = [
    [[1.0, 0.2], [0.0, 0.3], [0.0, NAN]],
    [[1.0, 0.5], [0.0, 0.5], [NAN, NAN]],
    [[0.5, 0.1], [0.5, 0.1], [0.5, 0.1]],
    [[NAN, 0.7], [0.0, 0.1], [NAN, NAN]],
    [[NAN, NAN], [NAN, NAN], [NAN, NAN]],
]
WEIGHTS = [1.0, 0.5]


def trl_advantages(rewards_PGK, weights_K, aggregation, scale):
    """Run TRL's lines from rewards per function to advantages."""
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    first = "unscorable_mask = torch.isnan(rewards_per_func).all(dim=1)"
    last = "advantages = torch.nan_to_num(advantages, nan=0.0)"
    lines = source.splitlines()
    start = [i for i, line in enumerate(lines) if line.strip() == first]
    end = [i for i, line in enumerate(lines) if line.strip() == last]
    assert len(start) == len(end) == 1, (
        "TRL's computation of advantages has moved: look at GRPOTrainer."
        "_generate_and_score_completions, then at core/advantages.py and this test"
    )
    _, num_members, num_functions = rewards_PGK.shape
    names = {
        "torch": torch,
        "nanstd": nanstd,
        "device": torch.device("cpu"),
        "num_generations": num_members,
        "rewards_per_func": rewards_PGK.reshape(-1, num_functions).clone(),
        "self": SimpleNamespace(
            multi_objective_aggregation=aggregation,
            reward_weights=weights_K,
            scale_rewards=scale,
            reward_funcs=[None] * num_functions,
        ),
    }
    exec(textwrap.dedent("\n".join(lines[start[0] : end[0] + 1])), names)  # noqa: S102  (our own example)
    return names["advantages"].reshape(-1, num_members)


@pytest.mark.parametrize(
    ("aggregation", "scale"),
    [
        ("sum_then_normalize", "group"),
        ("sum_then_normalize", "batch"),
        ("sum_then_normalize", "none"),
        ("normalize_then_sum", "group"),
    ],
)
def test_advantages_of_several_rewards_are_those_of_trl(aggregation, scale):
    rewards_PGK = torch.tensor(REWARDS, dtype=torch.float64)
    weights_K = torch.tensor(WEIGHTS, dtype=torch.float64)
    expected_PG = trl_advantages(rewards_PGK, weights_K, aggregation, scale)
    found_PG = multi_reward_advantages(
        rewards_PGK, weights_K, aggregation=aggregation, scale=scale, eps=TRL_EPS
    )
    # TRL's nanstd divides two whole numbers, count / (count - 1), which torch does in float32: its
    # spread is off by up to 6e-8 even for float64 rewards.
    torch.testing.assert_close(found_PG, expected_PG, rtol=1e-7, atol=1e-12)
    assert found_PG.abs().max() > 0.1


def test_spread_is_trl_s_nanstd():
    # 1 / A = std for a centred reward of 1: read our divisor back out of the advantages.
    rewards_PG = torch.tensor([[1.0, 0.0, 0.25, NAN], [0.1, 0.4, 0.35, 0.9]], dtype=torch.float64)
    centred_PG = rewards_PG - rewards_PG.nanmean(dim=1, keepdim=True)
    scored_PG = ~rewards_PG.isnan()
    for scale, std in (
        ("group", nanstd(rewards_PG, dim=1, keepdim=True)),
        ("batch", nanstd(rewards_PG)),
    ):
        found_PG = group_advantages(rewards_PG, scale=scale, eps=0.0)
        divisor_PG = centred_PG / found_PG
        torch.testing.assert_close(divisor_PG[scored_PG], std.expand(2, 4)[scored_PG])


def test_trl_gives_an_equal_group_an_advantage_where_we_give_exactly_zero():
    """The deviation that core makes on purpose; if TRL fixes it, say so in docs/algorithm.md."""
    rewards_PGK = torch.full((1, 16, 1), 0.98)
    ours_PG = multi_reward_advantages(rewards_PGK, torch.ones(1))
    assert ours_PG.abs().max() == 0
    theirs_PG = trl_advantages(rewards_PGK, torch.ones(1), "sum_then_normalize", "group")
    assert theirs_PG.abs().max() < 1e-2  # rounding over 1e-4: small, yet need not be 0
