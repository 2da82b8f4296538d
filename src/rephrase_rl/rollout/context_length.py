"""How many tokens a model takes."""

from __future__ import annotations

from typing import Any


def context_of(model_config: Any) -> int | None:
    """Tokens of a model's context, by its ``config.json``; None where it does not say."""
    context: int | None = getattr(model_config.get_text_config(), "max_position_embeddings", None)
    return context
