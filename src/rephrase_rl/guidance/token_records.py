"""Per-token log-probs of candidates, with the tokens spelled out, for the heat map of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from rephrase_rl.records import TokenRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.records import Candidate

Kept: TypeAlias = Literal["accepted", "all", "none"]
"""Which candidates keep their tokens."""

UNFINISHED = "\ufffd"
"""What a decoder writes for the beginning of a character."""
DECIMALS = 4


class Decoder(Protocol):
    """The part of a tokenizer that is needed."""

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """Text of tokens."""
        ...


class TokenRecorder:
    """Writes down the tokens of the candidates that are to keep them."""

    def __init__(self, kept: Kept, decoder: Decoder) -> None:
        """Args: which candidates, and the tokenizer that spells their tokens."""
        self.kept = kept
        self.decoder = decoder

    def __call__(self, candidate: Candidate) -> TokenRecord | None:
        """The candidate's tokens; None where they are not kept or were not measured."""
        if self.kept == "none" or (self.kept == "accepted" and not candidate.accepted):
            return None
        if candidate.logps_on_q is None:
            return None
        # A text that was not written from a prompt of its own has no second log-prob to speak of.
        on_context = None if candidate.context_ids is None else candidate.logps_on_context
        return TokenRecord(
            pieces=spell(candidate.completion.token_ids, self.decoder),
            logps_on_q=rounded(candidate.logps_on_q),
            logps_on_context=None if on_context is None else rounded(on_context),
        )


def spell(token_ids: Sequence[int], decoder: Decoder) -> tuple[str, ...]:
    """The text that each token adds to those before it; joined, they are the whole text.

    A token alone may decode differently: blanks at its start are dropped, and a character of
    several tokens is not there before its last one, which then has all of it.

    Args:
        token_ids: Shape (T,).
        decoder: Special tokens add nothing.

    Returns:
        Length T.
    """
    pieces = []
    # Text of [known, read) has been given out; decoding from there keeps one token of context.
    known = read = 0
    for i in range(len(token_ids)):
        before = decoder.decode(token_ids[known:read], skip_special_tokens=True)
        now = decoder.decode(token_ids[known : i + 1], skip_special_tokens=True)
        if now.endswith(UNFINISHED) and i + 1 < len(token_ids):
            pieces.append("")
            continue
        pieces.append(now[len(before) :])
        known, read = read, i + 1
    return tuple(pieces)


def rounded(logps: Sequence[float]) -> tuple[float, ...]:
    """Log-probs as they are written down."""
    return tuple(round(value, DECIMALS) for value in logps)
