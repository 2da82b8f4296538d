"""A verifier as a reward function of TRL.

Turns verdicts into numbers at the last moment, and stops the run when too many completions could
not be judged. Imports neither trl nor torch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import VerifierError
from rephrase_rl.rewards.context import verify_in_context

if TYPE_CHECKING:
    from rephrase_rl.records import Verdict
    from rephrase_rl.rewards.protocol import Verifier

MIN_WINDOW = 64
"""Fewest verdicts a share is taken of; below, one bad group would stop a run."""


class VerifierReward:
    """Callable with TRL's reward-function signature around a verifier.

    Returns None for a completion that could not be judged, which TRL leaves out of the sum.
    ``last_verdicts`` keeps the verdicts of the last call, in order.
    """

    def __init__(
        self, verifier: Verifier, *, unscorable_limit: float = 0.5, window: int = 256
    ) -> None:
        """Wrap a verifier.

        Args:
            verifier: Judges the completions; its name becomes the reward's name.
            unscorable_limit: Largest share in [0, 1] of verdicts that are not ``scored`` among the
                last ``window``; above it the run stops. 1 never stops.
            window: Number of verdicts looked back on, >= 64. The share is taken once 64 are there.

        Raises:
            VerifierError: A setting is out of range.
        """
        if not 0.0 <= unscorable_limit <= 1.0 or window < MIN_WINDOW:
            raise VerifierError(
                f"found unscorable_limit={unscorable_limit} and window={window}; required are a "
                f"share in [0, 1] and a window of at least {MIN_WINDOW} verdicts"
            )
        self.verifier = verifier
        self.__name__ = verifier.name
        self.last_verdicts: tuple[Verdict, ...] = ()
        self._unscorable_limit = unscorable_limit
        self._recent: deque[Verdict] = deque(maxlen=window)

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[str | Sequence[Mapping[str, Any]]],
        reference_answer: Sequence[str],
        **kwargs: Any,
    ) -> list[float | None]:
        """Score the completions of one batch.

        Args:
            prompts: Column ``prompt`` for a verifier that asks for it.
            completions: Texts, or conversations whose last turn is the completion.
            reference_answer: The dataset's column, one per completion.
            **kwargs: The dataset's other columns and whatever TRL passes; a verifier that asks for
                columns gets them from here.

        Returns:
            Reward per completion, None where it could not be judged.

        Raises:
            VerifierError: A completion is neither text nor conversation, or too many of the last
                verdicts are not scored.
        """
        texts = [_text_of(completion, index) for index, completion in enumerate(completions)]
        columns = {**kwargs, "prompt": prompts}
        verdicts = verify_in_context(self.verifier, texts, list(reference_answer), columns)
        self.last_verdicts = tuple(verdicts)
        self._recent.extend(verdicts)
        self._stop_if_blind()
        return [verdict.value if verdict.status == "scored" else None for verdict in verdicts]

    def _stop_if_blind(self) -> None:
        missing = [verdict for verdict in self._recent if verdict.status != "scored"]
        if len(self._recent) < MIN_WINDOW:
            return
        share = len(missing) / len(self._recent)
        if share > self._unscorable_limit:
            last = missing[-1]
            raise VerifierError(
                f"verifier {self.verifier.name!r} could not judge {len(missing)} of the last "
                f"{len(self._recent)} completions (limit {self._unscorable_limit:.0%}); the last "
                f"one ended as {last.status}: {last.detail or 'no detail'}. Rewards would mean "
                "nothing: check the reference answers and the verifier's time limit"
            )


def _text_of(completion: str | Sequence[Mapping[str, Any]], index: int) -> str:
    if isinstance(completion, str):
        return completion
    content = completion[-1].get("content") if completion else None
    if not isinstance(content, str):
        raise VerifierError(
            f"completion {index} is {type(completion).__name__} without a text in its last turn; "
            "required: a string, or a list of {'role': ..., 'content': text}"
        )
    return content
