"""How injected tokens are trained: train rules.

A rule either leaves the tokens to the engine's own clipped surrogate, with weights on their
advantages, or gives a loss of its own that takes the surrogate's place on them. Everything else
(own rollouts, KL, entropy bonus) is the engine's, whatever the rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from rephrase_rl.core.injected import nll_loss, phi_weighted_nll_loss, shaped_loss
from rephrase_rl.core.ratios import context_ratio
from rephrase_rl.errors import BlockError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

Normalisation: TypeAlias = Literal["joint", "separate"]
"""``joint``: injected tokens are counted with the own ones. ``separate``: averages of their own."""


class InjectedTokens(NamedTuple):
    """What a rule with a loss of its own looks at."""

    logps_BT: Tensor
    """Log-prob of each token on q under the policy, nats, floating. Gradients flow through it."""
    advantages_B: Tensor
    """Advantage of each row."""
    mask_BT: Tensor
    """The injected tokens that count, bool."""


@dataclass(frozen=True, slots=True)
class TrainRule:
    """What all rules share. As it is: trained like any rollout, with log-probs on q."""

    weight: float = 1.0
    """Factor of the loss of injected tokens."""
    normalisation: Normalisation = "joint"

    @property
    def has_own_loss(self) -> bool:
        """Whether the rule takes the place of the clipped surrogate."""
        return False

    @property
    def weighs_tokens(self) -> bool:
        """Whether the clipped surrogate gets weights other than 1."""
        return self.weight != 1.0 or self.normalisation != "joint"

    def token_weights(self, on_q_BT: Tensor, on_context_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Factors of the advantages of injected tokens in the clipped surrogate.

        Args:
            on_q_BT: Log-probs (nats) on q when the tokens were sampled, shape (B, T).
            on_context_BT: The same under the prompt that they were sampled from.
            mask_BT: The injected tokens that count, bool.

        Returns:
            Weights, shape (B, T), without gradient.
        """
        return on_q_BT.new_ones(on_q_BT.shape)

    def token_losses(self, tokens: InjectedTokens) -> Tensor:
        """Loss of each injected token, shape (B, T); only of a rule that ``has_own_loss``."""
        raise NotImplementedError(f"{type(self).__name__} is trained by the engine's surrogate")


@dataclass(frozen=True, slots=True)
class ClippedRatio(TrainRule):
    """Trained like a rollout: clipped surrogate, ratio on q (RePO, arXiv:2602.10819, section 3)."""


@dataclass(frozen=True, slots=True)
class ContextRatio(TrainRule):
    """Clipped surrogate, weighted by pi_old(o given q) / pi_old(o given q, k).

    Source: Guide-GRPO (arXiv:2506.13923), ICRL (arXiv:2605.15224).
    Deviation: a weight beside the clipped surrogate, not a factor inside the clip.
    """

    level: Literal["token", "sequence"] = "token"
    cap: float = 2.0
    """Largest weight, > 0."""
    length_normalized: bool = False
    """For ``sequence``: the geometric mean of the tokens' ratios, not their product."""

    @property
    def weighs_tokens(self) -> bool:
        """True."""
        return True

    def token_weights(self, on_q_BT: Tensor, on_context_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """The capped ratio; 1 where the mask is not set."""
        return context_ratio(
            on_q_BT,
            on_context_BT,
            mask_BT,
            level=self.level,
            cap=self.cap,
            length_normalized=self.length_normalized,
        )


@dataclass(frozen=True, slots=True)
class ShapedProbability(TrainRule):
    """-A p / (p + gamma), p the token's probability on q (LUFFY, arXiv:2504.14945)."""

    gamma: float = 0.1

    @property
    def has_own_loss(self) -> bool:
        """True."""
        return True

    def token_losses(self, tokens: InjectedTokens) -> Tensor:
        """See ``core.injected.shaped_loss``."""
        return shaped_loss(tokens.logps_BT, tokens.advantages_B, tokens.mask_BT, gamma=self.gamma)


@dataclass(frozen=True, slots=True)
class NegativeLogLikelihood(TrainRule):
    """-log p, whatever the advantage: supervised fine-tuning on the injected text."""

    @property
    def has_own_loss(self) -> bool:
        """True."""
        return True

    def token_losses(self, tokens: InjectedTokens) -> Tensor:
        """See ``core.injected.nll_loss``."""
        return nll_loss(tokens.logps_BT, tokens.mask_BT)


@dataclass(frozen=True, slots=True)
class PhiWeightedNll(TrainRule):
    """-p (1 - p) log p, the weight without gradient (CHORD, arXiv:2508.11408)."""

    @property
    def has_own_loss(self) -> bool:
        """True."""
        return True

    def token_losses(self, tokens: InjectedTokens) -> Tensor:
        """See ``core.injected.phi_weighted_nll_loss``."""
        return phi_weighted_nll_loss(tokens.logps_BT, tokens.mask_BT)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLoss(TrainRule):
    """A loss of the user's own in the place of the clipped surrogate."""

    losses: Callable[[InjectedTokens], Tensor]
    """Loss of each token, shape (B, T); what it gives for tokens that do not count is not used."""

    @property
    def has_own_loss(self) -> bool:
        """True."""
        return True

    def token_losses(self, tokens: InjectedTokens) -> Tensor:
        """What the function gives, 0 where the mask is not set.

        Raises:
            BlockError: It is no tensor of that shape, or has no gradient.
        """
        found = self.losses(tokens)
        wanted = tuple(tokens.mask_BT.shape)
        shape = getattr(found, "shape", None)
        name = getattr(self.losses, "__name__", type(self.losses).__name__)
        if shape is None or tuple(shape) != wanted:
            what = type(found).__name__ if shape is None else f"a tensor of shape {tuple(shape)}"
            raise BlockError(
                f"train rule {name} gave {what}; required: the loss of each token, shape {wanted} "
                "as tokens.logps_BT; do this: leave sums and means to the trainer"
            )
        if tokens.logps_BT.requires_grad and not found.requires_grad:
            raise BlockError(
                f"train rule {name} gave losses without a gradient, so nothing would be learned "
                "from injected texts; required: losses made from tokens.logps_BT; do this: leave "
                "out detach() and no_grad on the way from one to the other"
            )
        return found.masked_fill(~tokens.mask_BT, 0.0)
