"""Checks at the door of every core function, and the one way to read a mask.

A tensor of the wrong shape often broadcasts into a plausible number; these few lines turn that into
a ``ShapeError``. Only shapes, dtypes and slot numbers are looked at, never the values of rewards or
log-probabilities: those may hold NaN where it means something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.errors import ShapeError

if TYPE_CHECKING:
    from torch import Tensor


def check_axes(name: str, tensor: Tensor, axes: str, sizes: dict[str, int] | None = None) -> None:
    """Require one dimension per letter of ``axes``, none empty, with the sizes known so far.

    Args:
        name: The argument's name, for the message.
        tensor: The argument.
        axes: Axis letters, such as ``"PG"``.
        sizes: Size of the axes whose size another argument has fixed. Others may have any size.

    Raises:
        ShapeError: Wrong number of dimensions, an empty one, or one of another size.

    Example:
        >>> check_axes("rewards_PG", torch.zeros(2, 4), "PG", {"P": 2})
        >>> check_axes("slot_P", torch.zeros(3), "P", {"P": 2})
        Traceback (most recent call last):
            ...
        rephrase_rl.errors.ShapeError: slot_P: expected shape (P=2), found shape (3)
    """
    known = sizes or {}
    found = tensor.shape
    if len(found) == len(axes) and all(
        size > 0 and size == known.get(axis, size) for axis, size in zip(axes, found, strict=True)
    ):
        return
    expected = ", ".join(
        f"{axis}={known[axis]}" if axis in known else f"{axis}>=1" for axis in axes
    )
    raise ShapeError(name, f"shape ({expected})", f"shape ({', '.join(map(str, found))})")


def check_floating(name: str, tensor: Tensor) -> None:
    """Require a floating dtype: NaN has to be representable, and gradients have to exist.

    Args:
        name: The argument's name, for the message.
        tensor: The argument.

    Raises:
        ShapeError: The dtype is an integer, bool or complex one.

    Example:
        >>> check_floating("rewards_PG", torch.tensor([[1, 0]]))
        Traceback (most recent call last):
            ...
        rephrase_rl.errors.ShapeError: rewards_PG: expected a floating dtype, found torch.int64
    """
    if not tensor.is_floating_point():
        raise ShapeError(name, "a floating dtype", str(tensor.dtype))


def check_group_values(name: str, values_PG: Tensor) -> None:
    """Require a floating (P, G) tensor, as rewards are.

    Args:
        name: The argument's name, for the message.
        values_PG: The argument.

    Raises:
        ShapeError: Not 2-D, empty, or not floating.

    Example:
        >>> check_group_values("rewards_PG", torch.zeros(2, 4))
    """
    check_axes(name, values_PG, "PG")
    check_floating(name, values_PG)


def check_token_values(loss_mask_BT: Tensor, /, **tensors_BT: Tensor) -> Tensor:
    """Require floating (B, T) tensors of one shape and give back their mask as bool.

    Args:
        loss_mask_BT: Tokens that count, bool or integer (0 or 1), shape (B, T).
        **tensors_BT: The tensors under the mask, by the name of their argument.

    Returns:
        The mask, bool, shape (B, T).

    Raises:
        ShapeError: A tensor is not 2-D, not floating, of another shape than the mask, or the mask
            is floating (weights are not a mask).

    Example:
        >>> check_token_values(torch.tensor([[1, 0]]), logps_BT=torch.zeros(1, 2))
        tensor([[ True, False]])
    """
    check_axes("loss_mask_BT", loss_mask_BT, "BT")
    if loss_mask_BT.is_floating_point() or loss_mask_BT.is_complex():
        raise ShapeError("loss_mask_BT", "bool or integer dtype", str(loss_mask_BT.dtype))
    sizes = dict(zip("BT", loss_mask_BT.shape, strict=True))
    for name, tensor in tensors_BT.items():
        check_axes(name, tensor, "BT", sizes)
        check_floating(name, tensor)
    return loss_mask_BT.bool()
