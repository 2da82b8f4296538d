"""A guidance engine without a model, and short ways to write groups and blocks in tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from fakes import EOS_ID, completion, problem
from rephrase_rl.guidance.acceptance import Finished, NoMetaText, RewardAboveReplaced
from rephrase_rl.guidance.blocks import Guidance, Measurement, Score, TokenLogps
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
        self.max_completion_tokens = 256
        self.end_id = EOS_ID
        self.ahead: set[tuple[int, ...]] = set()
        """Prompts whose candidates count as sampled together with the rollouts."""
        self.logp_on_q: dict[str, float] = {}
        """Text -> log-prob of each of its tokens given q; -1 where nothing is said."""
        self.sampled: list[list[tuple[int, ...]]] = []
        self.measured: list[list[Measurement]] = []
        self.scored: list[list[tuple[int, str]]] = []

    def question_ids(self, group: int) -> tuple[int, ...]:
        return (group, group)

    def decode_completion(self, token_ids: Sequence[int]) -> str:
        return bytes(i for i in token_ids if i < 256).decode(errors="replace")

    def encode_prompt(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        return tuple("".join(m["content"] for m in messages).encode())

    def encode_completion(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def anticipated(self, prompt: tuple[int, ...]) -> bool:
        return prompt in self.ahead

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

    def measure(self, wanted: Sequence[Measurement]) -> list[TokenLogps]:
        self.measured.append(list(wanted))
        measured = []
        for one in wanted:
            logp = self.logp_on_q.get(self.decode_completion(one.token_ids), -1.0)
            on_q = (logp,) * len(one.token_ids)
            measured.append(
                TokenLogps(on_q, on_q if one.context_ids is None else (-0.5,) * len(on_q))
            )
        return measured
