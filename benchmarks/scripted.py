"""Groups and a guidance engine without a model, so that only the guidance step itself is timed."""

from __future__ import annotations

from collections.abc import Sequence

from rephrase_rl.guidance.blocks import Measurement, Score, TokenLogps
from rephrase_rl.records import Completion, Message, Problem, Rollout, RolloutGroup

GROUP, TOKENS = 8, 512
"""Rollouts of a group, tokens of a completion."""
TEXT = "First we add the numbers, then we divide by two. " * (TOKENS // 12)
IDS = tuple(range(TOKENS))
COMPLETION = Completion(TEXT, IDS, True)
QUESTION_IDS, PROMPT_IDS = tuple(range(128)), tuple(range(256))
LOGPS = TokenLogps((-1.0,) * TOKENS, (-0.5,) * TOKENS)


class ScriptedEngine:
    """Answers at once, with the same finished and correct completion for every prompt."""

    end_id = 0
    max_completion_tokens = TOKENS

    def question_ids(self, group: int) -> tuple[int, ...]:
        """A question of fixed length."""
        return QUESTION_IDS

    def encode_prompt(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        """A prompt of fixed length."""
        return PROMPT_IDS

    def encode_completion(self, text: str) -> tuple[int, ...]:
        """A completion of fixed length, its end token left out."""
        return IDS[:-1] if text else ()

    def decode_completion(self, token_ids: Sequence[int]) -> str:
        """The one text."""
        return TEXT

    def anticipated(self, prompt: tuple[int, ...]) -> bool:
        """Nothing is sampled ahead."""
        return False

    def sample(self, prompts: Sequence[tuple[int, ...]]) -> list[Completion]:
        """One finished completion per prompt."""
        return [COMPLETION] * len(prompts)

    def score(self, groups: Sequence[int], completions: Sequence[Completion]) -> list[Score]:
        """Every completion is right."""
        return [Score(1.0, 1.0)] * len(completions)

    def measure(self, wanted: Sequence[Measurement]) -> list[TokenLogps]:
        """Every token has the same log-prob."""
        return [LOGPS] * len(wanted)


def rollout_groups(count: int, failed_share: float) -> list[RolloutGroup]:
    """Groups of which a share, spread evenly, failed completely; in the others half has passed."""
    mixed = tuple(Rollout(COMPLETION, r, r) for r in (1.0, 0.0) * (GROUP // 2))
    failed = (Rollout(COMPLETION, 0.0, 0.0),) * GROUP
    messages = ({"role": "user", "content": "1+1?"},)
    return [
        RolloutGroup(
            Problem(f"p{p}", messages, "2", expert_solution="1+1=2"),
            failed if int((p + 1) * failed_share) > int(p * failed_share) else mixed,
        )
        for p in range(count)
    ]
