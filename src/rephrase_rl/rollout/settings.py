"""How completions are sampled: the whole of it, nothing is taken from the model's own defaults."""

from __future__ import annotations

from dataclasses import dataclass

from rephrase_rl.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """One request for completions, the same for all its prompts.

    Raises:
        ConfigError: A value is out of range; every fault is listed.
    """

    n: int = 1
    """Completions per prompt."""
    temperature: float = 1.0
    """Divides the logits; 0 is greedy decoding (``top_p`` and ``seed`` then have no effect)."""
    top_p: float = 1.0
    """Nucleus sampling: the smallest set of tokens that holds this probability; 1 keeps all."""
    max_new_tokens: int = 256
    """Tokens after which a completion is cut off and marked as not finished."""
    seed: int = 0
    """Seed of the request; the global random state is neither read nor moved."""

    def __post_init__(self) -> None:
        faults = []
        if self.n < 1:
            faults.append(f"n is {self.n}, required: at least 1 completion per prompt")
        if not 0 <= self.temperature < float("inf"):
            faults.append(f"temperature is {self.temperature}, required: 0 (greedy) or positive")
        if not 0 < self.top_p <= 1:
            faults.append(f"top_p is {self.top_p}, required: in (0, 1]; 1 switches it off")
        if self.max_new_tokens < 1:
            faults.append(f"max_new_tokens is {self.max_new_tokens}, required: at least 1")
        if not 0 <= self.seed < 2**64:
            faults.append(f"seed is {self.seed}, required: in [0, 2^64); see seeding.derive_seed")
        if faults:
            raise ConfigError("sampling settings are not valid; correct these:", faults)
