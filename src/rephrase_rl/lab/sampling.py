"""A policy for measuring: batched sampling at temperature 1, and likelihoods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rephrase_rl.lab.families import CHAIN
from rephrase_rl.lab.tokenizer import templated
from rephrase_rl.seeding import derive_seed, forked_rng

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.lab.family import Family

BATCH = 512


class Policy:
    """A policy on the CPU with its tokenizer, and a seeded stream of samples."""

    def __init__(self, folder: Path | str, seed: int, family: Family = CHAIN) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self._seed = seed
        self._max_new_tokens = family.longest
        self._calls = 0

    def sample(self, contents: Sequence[str]) -> list[str]:
        """One completion at temperature 1 for each content of a user message."""
        texts: list[str] = []
        for first in range(0, len(contents), BATCH):
            texts += self._sample_batch(contents[first : first + BATCH])
        return texts

    def _sample_batch(self, contents: Sequence[str]) -> list[str]:
        import torch

        inputs = self._tokenizer(
            [templated(content) for content in contents],
            add_special_tokens=False,
            padding=True,
            return_tensors="pt",
        )
        self._calls += 1
        with torch.inference_mode(), forked_rng(derive_seed(self._seed, "bars", self._calls)):
            output = self._model.generate(
                input_ids=inputs.input_ids,
                attention_mask=inputs.attention_mask,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_new_tokens=self._max_new_tokens,
                eos_token_id=self._tokenizer.eos_token_id,
                pad_token_id=self._tokenizer.pad_token_id,
            )
        completions = output[:, inputs.input_ids.shape[1] :]
        return list(self._tokenizer.batch_decode(completions, skip_special_tokens=True))

    def mean_nll(self, pairs: Sequence[tuple[str, str]]) -> float:
        """Mean over all tokens of the negative log-likelihood of completions.

        Args:
            pairs: Content of the user message, and the completion.

        Returns:
            Nats per token, the end token included.
        """
        total, tokens = 0.0, 0
        for first in range(0, len(pairs), BATCH):
            losses = self.token_nlls(pairs[first : first + BATCH])
            total += sum(map(sum, losses))
            tokens += sum(map(len, losses))
        return total / tokens

    def token_nlls(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Negative log-likelihood in nats of every token of each completion."""
        import torch

        prompts = [templated(content) for content, _ in pairs]
        texts = [completion for _, completion in pairs]
        prompt_ids = self._tokenizer(prompts, add_special_tokens=False).input_ids
        text_ids = self._tokenizer(texts, add_special_tokens=False).input_ids
        end, pad = self._tokenizer.eos_token_id, self._tokenizer.pad_token_id
        rows = [[*prompt, *text, end] for prompt, text in zip(prompt_ids, text_ids, strict=True)]
        longest = max(map(len, rows))
        # Padding is on the right and attention is causal, so no mask is needed.
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
        with torch.inference_mode():
            logps = self._model(input_ids=ids[:, :-1]).logits.log_softmax(-1)
        chosen = -logps.gather(-1, ids[:, 1:, None]).squeeze(-1)
        return [
            chosen[index, len(prompt) - 1 : len(row) - 1].tolist()
            for index, (prompt, row) in enumerate(zip(prompt_ids, rows, strict=True))
        ]
