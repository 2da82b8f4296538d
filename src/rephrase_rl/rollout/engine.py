"""What the rest of the package knows of generation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from rephrase_rl.records import Completion, Message
    from rephrase_rl.rollout.settings import SamplingSettings

ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called with (completions done, completions asked for) while an engine works."""


class Journal(Protocol):
    """Keeps what was sampled of a long request, so that a killed one can be gone on with."""

    @property
    def known(self) -> Mapping[int, list[Completion]]:
        """Completions by position of their prompt, from an earlier part of the same request."""
        ...

    def keep(self, sampled: Mapping[int, Sequence[Completion]]) -> None:
        """Store whole prompts, by position; called after every batch."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Turns conversations into completions of the policy."""

    def sample(
        self,
        prompts: Sequence[tuple[Message, ...]],
        settings: SamplingSettings,
        *,
        on_progress: ProgressCallback | None = None,
        journal: Journal | None = None,
    ) -> list[list[Completion]]:
        """Sample ``settings.n`` completions of every prompt.

        Args:
            prompts: Conversations whose last turn is the user's; the engine applies the chat
                template and opens the assistant's turn.
            settings: How to sample; nothing else decides it.
            on_progress: Called now and then, the last time with done equal to asked for.
            journal: What it knows is not sampled again, and every batch is given to it.

        Returns:
            One list of n completions per prompt, in the order of ``prompts``. The same request to
            the same weights gives the same result.

        Raises:
            EngineError: The request cannot be carried out; nothing is truncated in silence.
        """
        ...
