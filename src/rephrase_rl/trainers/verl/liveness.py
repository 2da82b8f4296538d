"""Whether the actors that a trainer waits for are still there.

verl's replay buffer waits for groups until they are whole. An agent-loop worker that has died
leaves its prompts ``running``, and the buffer would wait for them for ever; a reward worker that
has died fails every group that happens to ask it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayActorError

from rephrase_rl.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterable

ASK_EVERY_S = 30.0


class Liveness:
    """Asks actors without waiting for their answers: one that is busy answers later."""

    def __init__(self, every_s: float = ASK_EVERY_S) -> None:
        """Args: seconds between questions."""
        self._every_s = every_s
        self._asked_at = -every_s
        self._open: dict[str, Any] = {}

    def require(self, actors: Iterable[tuple[str, Any]]) -> None:
        """Raise if one of the actors has died.

        Args:
            actors: What each is called, and its handle.

        Raises:
            TrainingError: One has died.
        """
        for name, answer in list(self._open.items()):
            if ray.wait([answer], timeout=0)[0]:
                del self._open[name]
                self._check(answer, name)
        now = time.monotonic()
        if now - self._asked_at < self._every_s:
            return
        self._asked_at = now
        for name, actor in actors:
            if name not in self._open:
                self._open[name] = actor.__ray_ready__.remote()

    @staticmethod
    def _check(answer: Any, name: str) -> None:
        try:
            ray.get(answer)
        except RayActorError as error:
            reason = str(error).splitlines()[0]
            raise TrainingError(
                f"{name} has died, and the groups that it held will never be whole ({reason}); "
                "look for its end in Ray's logs, most often memory, and go on with --resume"
            ) from error
