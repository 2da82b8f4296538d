"""How much likelier a completion is under one model or context than under another.

Two different questions with one arithmetic: ``importance_ratio`` compares the policy with itself
before the update, ``context_ratio`` the plain question with the prompt that showed the expert's
solution. RePO trains with the first alone; the second is the correction that it leaves out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias

from rephrase_rl.core.shapes import check_token_values
from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

Level: TypeAlias = Literal["token", "sequence"]


def importance_ratio(
    logps_BT: Tensor,
    old_logps_BT: Tensor,
    loss_mask_BT: Tensor,
    *,
    level: Level = "token",
    log_ratio_clamp: float | None = None,
) -> Tensor:
    """Compare the policy with the one that the batch was made with.

    ``token``: ratio[b, t] = exp(logps[b, t] - old_logps[b, t])

    ``sequence``: ratio[b, t] = exp(mean over t of (logps[b, t] - old_logps[b, t])), the same for
    every token of the row.

    Source: token level PPO (arXiv:1707.06347, section 3) and GRPO (arXiv:2402.03300, section 4.1);
    sequence level GSPO (arXiv:2507.18071, section 4.1), a geometric mean over the row.
    RePO (arXiv:2602.10819): for injected rows both log-probabilities are taken on q.
    Conventions: verl clamps the log-ratio to +-20, TRL does not.

    Args:
        logps_BT: Log-probability of each token under the policy, nats, floating, shape (B, T).
        old_logps_BT: The same before the update, shape (B, T). No gradient is stopped here.
        loss_mask_BT: Tokens that count, bool or 0/1, shape (B, T).
        level: One ratio per token, or one per row.
        log_ratio_clamp: Largest absolute value of the logarithm; beyond it the ratio is constant
            and has no gradient. None: not clamped.

    Returns:
        Ratios, shape (B, T), same dtype as ``logps_BT``. 1 at masked positions, whatever they held.

    Raises:
        ShapeError: Shapes or dtypes do not fit.
        ConfigError: ``level`` is unknown.

    Example:
        >>> logps_BT = torch.tensor([[0.5, 0.25, 0.9]]).log()
        >>> old_logps_BT = torch.tensor([[0.25, 0.5, 0.1]]).log()
        >>> loss_mask_BT = torch.tensor([[1, 1, 0]])
        >>> importance_ratio(logps_BT, old_logps_BT, loss_mask_BT)
        tensor([[2.0000, 0.5000, 1.0000]])
        >>> importance_ratio(logps_BT, old_logps_BT, loss_mask_BT, level="sequence")
        tensor([[1., 1., 1.]])
    """
    mask_BT = check_token_values(loss_mask_BT, logps_BT=logps_BT, old_logps_BT=old_logps_BT)
    log_ratio_BT = _masked_difference(logps_BT, old_logps_BT, mask_BT)
    if level == "sequence":
        # A row without tokens has nothing to average: its ratio is exp(0 / 1).
        num_tokens_B1 = mask_BT.sum(dim=1, keepdim=True).clamp(min=1)
        mean_B1 = log_ratio_BT.sum(dim=1, keepdim=True) / num_tokens_B1
        log_ratio_BT = mean_B1.expand_as(log_ratio_BT).masked_fill(~mask_BT, 0.0)
    elif level != "token":
        raise ConfigError(f"level: found {level!r}, required 'token' or 'sequence'")
    if log_ratio_clamp is not None:
        log_ratio_BT = log_ratio_BT.clamp(-log_ratio_clamp, log_ratio_clamp)
    return log_ratio_BT.exp()


def context_ratio(
    logps_on_q_BT: Tensor,
    logps_on_context_BT: Tensor,
    loss_mask_BT: Tensor,
    *,
    level: Level = "token",
    cap: float = math.inf,
    length_normalized: bool = False,
) -> Tensor:
    """Compare the plain question with the prompt that a completion was really sampled from.

    ``token``: context_ratio[b, t] = min(cap, pi(o_t given q) / pi(o_t given q, k))

    ``sequence``: context_ratio[b, t] = min(cap, product over t of the above, not capped), the same
    for every token of the row; with ``length_normalized`` the geometric mean, not the product.

    Source: importance ratio to the unguided policy of Guide-GRPO (arXiv:2506.13923), capped
    reweighting of ICRL (arXiv:2605.15224). Not part of RePO (arXiv:2602.10819).
    Conventions: the product is the true weight of a sequence and vanishes for long ones; the
    geometric mean is what GSPO's ratio is, biased but of order 1.

    Args:
        logps_on_q_BT: Log-probability of each token given the question alone, nats, floating,
            shape (B, T).
        logps_on_context_BT: The same given P(q, k), shape (B, T).
        loss_mask_BT: Tokens that count, bool or 0/1, shape (B, T).
        level: One ratio per token, or one per row.
        cap: Largest ratio, > 0. ``math.inf``: not capped.
        length_normalized: For ``sequence``: geometric mean instead of product.

    Returns:
        Ratios, shape (B, T), same dtype as ``logps_on_q_BT``. 1 at masked positions, 1 if ``cap``
        is below it as well. A weight, not a path for gradients: the result is detached.

    Raises:
        ShapeError: Shapes or dtypes do not fit.
        ConfigError: ``level`` is unknown, ``cap`` is not positive, or ``length_normalized`` comes
            with the token level.

    Example:
        >>> on_q_BT = torch.tensor([[0.5, 0.25]]).log()
        >>> on_context_BT = torch.tensor([[0.25, 0.5]]).log()
        >>> mask_BT = torch.tensor([[True, True]])
        >>> context_ratio(on_q_BT, on_context_BT, mask_BT, cap=1.5)
        tensor([[1.5000, 0.5000]])
        >>> context_ratio(on_q_BT, on_context_BT, mask_BT, level="sequence")
        tensor([[1., 1.]])
    """
    mask_BT = check_token_values(
        loss_mask_BT, logps_on_q_BT=logps_on_q_BT, logps_on_context_BT=logps_on_context_BT
    )
    if not cap > 0:
        raise ConfigError(f"cap: found {cap}, required a positive number; math.inf for no cap")
    log_ratio_BT = _masked_difference(logps_on_q_BT, logps_on_context_BT, mask_BT).detach()
    if level == "sequence":
        log_ratio_B1 = log_ratio_BT.sum(dim=1, keepdim=True)
        if length_normalized:
            log_ratio_B1 = log_ratio_B1 / mask_BT.sum(dim=1, keepdim=True).clamp(min=1)
        log_ratio_BT = log_ratio_B1.expand_as(log_ratio_BT)
    elif level != "token":
        raise ConfigError(f"level: found {level!r}, required 'token' or 'sequence'")
    elif length_normalized:
        raise ConfigError("length_normalized: found True with level 'token', required 'sequence'")
    # Capped before the exponential: 12 nats in favour of q overflow float16, 89 float32.
    return log_ratio_BT.clamp(max=math.log(cap)).exp().masked_fill(~mask_BT, 1.0)


def _masked_difference(logps_BT: Tensor, other_logps_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Subtract where the mask is set, 0 elsewhere.

    Filled before anybody takes the exponential: filled after it, a NaN or inf at a masked position
    would be gone from the value and still reach the gradient, as 0 * NaN.
    """
    return (logps_BT - other_logps_BT).masked_fill(~mask_BT, 0.0)
