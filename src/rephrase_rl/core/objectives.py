"""Advantages and ratios to the loss of each token.

Losses, not objectives: smaller is better, so the sign of the papers' formulae is turned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from rephrase_rl.core.shapes import check_axes, check_floating, check_token_values
from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


def clipped_surrogate(
    ratio_BT: Tensor,
    advantages_B: Tensor,
    loss_mask_BT: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
) -> Tensor:
    """Give each token's clipped policy-gradient loss.

    loss[b, t] = max(-A[b] ratio[b, t], -A[b] clip(ratio[b, t], 1 - clip_low, 1 + clip_high))

    and with ``dual_clip``, where A[b] < 0: loss[b, t] = min(loss[b, t], -A[b] dual_clip).

    Source: PPO (arXiv:1707.06347, section 3), as in GRPO (arXiv:2402.03300, section 4.1) and RePO
    (arXiv:2602.10819); different bounds are DAPO's clip-higher (arXiv:2503.14476, section 3.1);
    dual clip is arXiv:1912.09729.
    Conventions: TRL clips at 0.2 without dual clip (its ``delta`` bounds the ratio from above for
    either sign of A, which is the same for A < 0), verl has dual clip 3.0 on.

    Args:
        ratio_BT: pi_theta/pi_old, floating, shape (B, T). Gradients flow through it.
        advantages_B: Advantage of each row, floating, shape (B,). No gradient flows through it.
        loss_mask_BT: Tokens that count, bool or 0/1, shape (B, T).
        clip_low: The ratio has no effect below 1 - clip_low where A < 0, in [0, 1].
        clip_high: The ratio has no effect above 1 + clip_high where A > 0, >= 0.
        dual_clip: Largest ratio that still has an effect where A < 0, > 1 + clip_high. None: no
            limit.

    Returns:
        Loss per token, shape (B, T), not reduced. 0 without gradient at masked positions, whatever
        they held.

    Raises:
        ShapeError: Shapes or dtypes do not fit.
        ConfigError: ``dual_clip`` lies inside the ordinary clip range.

    Example:
        >>> ratio_BT = torch.tensor([[1.0, 5.0], [1.0, 5.0]])
        >>> mask_BT = torch.ones(2, 2, dtype=torch.bool)
        >>> clipped_surrogate(ratio_BT, torch.tensor([1.0, -1.0]), mask_BT)
        tensor([[-1.0000, -1.2000],
                [ 1.0000,  5.0000]])
        >>> clipped_surrogate(ratio_BT, torch.tensor([1.0, -1.0]), mask_BT, dual_clip=3.0)
        tensor([[-1.0000, -1.2000],
                [ 1.0000,  3.0000]])
    """
    mask_BT = check_token_values(loss_mask_BT, ratio_BT=ratio_BT)
    check_axes("advantages_B", advantages_B, "B", {"B": ratio_BT.shape[0]})
    check_floating("advantages_B", advantages_B)
    if dual_clip is not None and dual_clip <= 1 + clip_high:
        raise ConfigError(
            f"dual_clip: found {dual_clip}, required more than 1 + clip_high = {1 + clip_high}, "
            "or None to switch it off"
        )
    # Filled on entry as well as on return: whatever is computed between, a NaN under the mask then
    # reaches neither value nor gradient.
    ratio_BT = ratio_BT.masked_fill(~mask_BT, 1.0)
    minus_advantages_B1 = -advantages_B.detach().unsqueeze(1)
    loss_BT = torch.maximum(
        minus_advantages_B1 * ratio_BT,
        minus_advantages_B1 * ratio_BT.clamp(1 - clip_low, 1 + clip_high),
    )
    if dual_clip is not None:
        # For A < 0 the loss above grows with the ratio without bound.
        bounded_BT = torch.minimum(loss_BT, minus_advantages_B1 * dual_clip)
        loss_BT = torch.where(minus_advantages_B1 > 0, bounded_BT, loss_BT)
    return loss_BT.masked_fill(~mask_BT, 0.0)
