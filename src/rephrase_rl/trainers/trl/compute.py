"""How the same step is computed: choices that change its cost and not what is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

SamplerChoice: TypeAlias = Literal["auto", "shared_prefix", "generate"]
ForwardChoice: TypeAlias = Literal["auto", "packed", "plain"]


@dataclass(frozen=True, slots=True)
class Compute:
    """Ways of computing a step. ``Compute("generate", "plain", None, False)`` is TRL's own."""

    sampler: SamplerChoice = "auto"
    """``shared_prefix``: one pass over each prompt for all its completions, finished rows leave.
    ``auto``: that, where the model allows and it was measured to be faster, on CPUs; otherwise
    ``generate`` (or vLLM, where TRL is told to use it)."""
    forward: ForwardChoice = "auto"
    """``packed``: log-probs from one pass over each prompt for all its completions. ``auto``: that,
    where the model allows and it was measured to be faster, on CPUs; otherwise ``plain``."""
    tokens_per_pass: int | Literal["auto"] | None = "auto"  # noqa: S105  (no key)
    """Most tokens of a forward and backward pass, prompts and padding included: a micro-batch of
    more rows is computed in parts, longest first, whose gradients add up to the same. ``auto``:
    4,096 on CPUs, where it was measured to be faster, if the loss allows it; None: never."""
    skip_untrained: bool = True
    """Leave rows of advantage 0 out of the forward pass where nothing else gives them a gradient.
    TRL's figures of the forward pass (entropy, clip shares) are then of the other rows."""
