"""What lm-evaluation-harness is told besides its tasks."""

from __future__ import annotations

from pydantic import Field

from rephrase_rl.config.base import ConfigModel


class HarnessConfig(ConfigModel):
    """Options of ``rephrase-rl eval --lm-eval``, changed with ``--set``."""

    limit: int | None = Field(default=None, ge=1)
    """Only the first so many documents of each task. None: all."""
    num_fewshot: int | None = Field(default=None, ge=0)
    """Examples before each question. None: the task's own number."""
    batch_size: int = Field(default=8, ge=1)
    """Requests computed at once."""
    chat_template: bool = False
    """Put each question into the model's chat template."""
