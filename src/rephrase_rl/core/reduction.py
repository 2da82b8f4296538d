"""Losses of tokens to one number, so that micro-batches and ranks add up to the whole batch.

The count that is divided by must be that of the whole optimiser step. Taken from each micro-batch,
long and short completions get other weights whenever the batch is cut differently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from rephrase_rl.core.shapes import check_token_values
from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

Reduction: TypeAlias = Literal["token_mean", "sequence_mean", "fixed_length"]


def reduce_loss(
    loss_BT: Tensor,
    loss_mask_BT: Tensor,
    *,
    reduction: Reduction = "token_mean",
    total_tokens: Tensor | float | None = None,
    total_rows: float | None = None,
    fixed_length: int | None = None,
) -> Tensor:
    """Reduce the losses of tokens to the loss of a batch, or of this part of it.

    ``token_mean``: sum over b, t of loss[b, t] / total_tokens

    ``sequence_mean``: sum over b of (mean over t of loss[b, t]) / total_rows

    ``fixed_length``: sum over b, t of loss[b, t] / (total_rows fixed_length)

    Source: ``token_mean`` is DAPO (arXiv:2503.14476, section 3.3), ``sequence_mean`` GRPO
    (arXiv:2402.03300, section 4.1), ``fixed_length`` Dr. GRPO (arXiv:2503.20783).
    Conventions: TRL calls them dapo, grpo and dr_grpo, verl token-mean, seq-mean-token-mean and
    seq-mean-token-sum-norm. TRL's bnpo is ``token_mean`` with the counts of the micro-batch.

    Args:
        loss_BT: Loss per token, floating, shape (B, T).
        loss_mask_BT: Tokens that count, bool or 0/1, shape (B, T).
        reduction: Which of the three forms.
        total_tokens: Tokens that count in the whole step, over all micro-batches and ranks.
            None: those of this tensor. An engine that averages gradients over R ranks wants the
            total divided by R; the same holds for ``total_rows``.
        total_rows: Rows of the whole step. None: those of this tensor. Rows without tokens count.
        fixed_length: Length that every row is taken to have, tokens, > 0; usually the limit of
            completion tokens. Required by ``fixed_length`` alone.

    Returns:
        Scalar, same dtype as ``loss_BT``. Parts of a batch add up to the whole if the totals were
        given. 0 if no token counts.

    Raises:
        ShapeError: Shapes or dtypes do not fit.
        ConfigError: ``reduction`` is unknown, or ``fixed_length`` is missing, not positive or
            given to another form.

    Example:
        >>> loss_BT = torch.tensor([[1.0, 1.0, 0.0, 0.0], [3.0, 3.0, 3.0, 3.0]])
        >>> mask_BT = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
        >>> reduce_loss(loss_BT, mask_BT)  # 14 / 6
        tensor(2.3333)
        >>> reduce_loss(loss_BT, mask_BT, reduction="sequence_mean")
        tensor(2.)
        >>> reduce_loss(loss_BT, mask_BT, reduction="fixed_length", fixed_length=8)  # 14 / 16
        tensor(0.8750)
    """
    mask_BT = check_token_values(loss_mask_BT, loss_BT=loss_BT)
    wants_length = reduction == "fixed_length"
    if wants_length != (fixed_length is not None) or (
        fixed_length is not None and fixed_length < 1
    ):
        raise ConfigError(
            f"fixed_length: found {fixed_length} with reduction {reduction!r}, required a positive "
            "number of tokens with 'fixed_length' and None with any other"
        )
    loss_BT = loss_BT.masked_fill(~mask_BT, 0.0)
    num_tokens_B = mask_BT.sum(dim=1)
    rows = loss_BT.shape[0] if total_rows is None else total_rows
    if reduction == "token_mean":
        tokens = num_tokens_B.sum() if total_tokens is None else total_tokens
        # A step without any token has loss 0, not 0/0. Totals between 0 and 1 are those of few
        # tokens over many ranks.
        return loss_BT.sum() / (tokens + (tokens == 0))
    if reduction == "sequence_mean":
        return (loss_BT.sum(dim=1) / num_tokens_B.clamp(min=1)).sum() / rows
    if reduction == "fixed_length" and fixed_length is not None:
        return loss_BT.sum() / (rows * fixed_length)
    raise ConfigError(
        f"reduction: found {reduction!r}, required 'token_mean', 'sequence_mean' or 'fixed_length'"
    )
