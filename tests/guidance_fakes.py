"""A guidance engine without a model, and short ways to write groups and blocks in tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from fakes import completion, problem
from rephrase_rl.guidance.acceptance import Finished, NoMetaText, RewardAboveReplaced
from rephrase_rl.guidance.blocks import Guidance, Score
from rephrase_rl.guidance.gates import FailedShareGate
from rephrase_rl.guidance.slots import ReplaceWorst
from rephrase_rl.guidance.sources import RephraseSource
from rephrase_rl.records import Completion, Message, Problem, Rollout, RolloutGroup

NAN = math.nan


def group(*rewards: float, of: Problem | None = None) -> RolloutGroup:
    """A group whose members have these rewards and texts r0, r1, ..."""
    rollouts = [Rollout(completion(f"r{i}"), reward, reward) for i, reward in enumerate(rewards)]
    return RolloutGroup(of or problem(task_kind="lab"), tuple(rollouts))


def repo(**changes: object) -> Guidance:
    """The preset ``repo`` as objects."""
    blocks = {
        "gate": FailedShareGate(1.0),
        "source": RephraseSource(),
        "accept": (RewardAboveReplaced(), Finished(), NoMetaText()),
        "slot": ReplaceWorst(),
    }
    return Guidance(**(blocks | changes))  # type: ignore[arg-type]


class ScriptedGuidanceEngine:
    """Replays candidates and rewards; remembers every request."""

    def __init__(
        self,
        candidates: Sequence[str | Completion] = (),
        reward: Callable[[str], float] = lambda text: 1.0,
        correctness: Callable[[str], float] | None = None,
    ) -> None:
        self._candidates = list(candidates)
        self._reward = reward
        self._correctness = correctness or reward
        self.sampled: list[list[tuple[int, ...]]] = []
        self.scored: list[list[tuple[int, str]]] = []

    def encode_prompt(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        return tuple("".join(m["content"] for m in messages).encode())

    def encode_completion(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def sample(self, prompts: Sequence[tuple[int, ...]]) -> list[Completion]:
        self.sampled.append(list(prompts))
        assert len(prompts) <= len(self._candidates), (
            "a candidate was asked for that is not scripted"
        )
        taken, self._candidates = (
            self._candidates[: len(prompts)],
            self._candidates[len(prompts) :],
        )
        return [c if isinstance(c, Completion) else completion(c) for c in taken]

    def score(self, groups: Sequence[int], completions: Sequence[Completion]) -> list[Score]:
        self.scored.append([(g, c.text) for g, c in zip(groups, completions, strict=True)])
        return [Score(self._reward(c.text), self._correctness(c.text)) for c in completions]
