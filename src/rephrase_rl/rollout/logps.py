"""Log-probabilities of sampled tokens, kept while ``generate`` runs.

``generate(output_logits=True)`` would keep all logits of all steps: rows x tokens x vocabulary
floats, tens of gigabytes for a batch of a real model. Here one step's logits are alive at a time.
"""

from __future__ import annotations

import torch


class LogpRecorder:
    """A logits processor that changes nothing and remembers what the sampled tokens' odds were.

    ``generate`` runs processors of the caller before temperature, top-k and top-p, so what is seen
    here are the model's own logits, in float32. A step's token is known one call later.

    Args:
        prompt_width: Number of prompt columns, padding included.
    """

    def __init__(self, prompt_width: int) -> None:
        self._prompt_width = prompt_width
        self._pending_BV: torch.Tensor | None = None
        self._logps_B: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Record the previous step's token and keep this step's logits.

        Args:
            input_ids: (B, S) long, prompt and the tokens sampled so far.
            scores: (B, V) float32 logits of the next token.

        Returns:
            ``scores`` as given.
        """
        self._settle(input_ids)
        self._pending_BV = scores
        return scores

    def finish(self, output_ids: torch.Tensor) -> torch.Tensor:
        """Return the log-probability of every sampled token.

        Args:
            output_ids: (B, S + T) long, what ``generate`` returned.

        Returns:
            (B, T) float32, nats. Meaningless behind a row's end token, where there is padding.
        """
        self._settle(output_ids)
        self._pending_BV = None
        return torch.stack(self._logps_B, dim=1)

    def _settle(self, input_ids: torch.Tensor) -> None:
        """Read off the pending logits at the token that was drawn from them."""
        if self._pending_BV is None:
            return
        token_B = input_ids[:, self._prompt_width + len(self._logps_B)]
        logit_B = self._pending_BV.gather(1, token_B[:, None]).squeeze(1)
        self._logps_B.append(logit_B - self._pending_BV.logsumexp(dim=1))
