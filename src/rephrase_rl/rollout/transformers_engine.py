"""Sampling with a transformers model in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, LogitsProcessorList

from rephrase_rl.errors import EngineError
from rephrase_rl.records import Completion
from rephrase_rl.rollout.context_length import context_of
from rephrase_rl.rollout.logps import LogpRecorder
from rephrase_rl.rollout.prompt_ids import prompt_token_ids
from rephrase_rl.rollout.shared_prefix import (
    TokenSampling,
    sample_shared_prefix,
    why_not_shared_prefix,
)
from rephrase_rl.seeding import derive_seed, forked_rng

if TYPE_CHECKING:
    from rephrase_rl.records import JSON, Message
    from rephrase_rl.rollout.engine import Journal, ProgressCallback
    from rephrase_rl.rollout.settings import SamplingSettings


FEWEST_ROWS, MOST_ROWS = 64, 512
"""Rows sampled at once, where the caller does not say."""
CACHE_BYTES = 2**29
"""Room for keys and values of the rows sampled at once."""


class TransformersEngine:
    """An ``Engine`` over a causal language model and its tokenizer.

    A request is ``len(prompts) * n`` rows, sorted by prompt length, longest first (so a batch that
    does not fit in memory fails at once) and cut into batches. On a CPU they are sampled by
    ``sample_shared_prefix`` where the model allows it, otherwise padded on the left and sampled by
    ``model.generate`` under a forked random stream; the distribution is the same. The model
    samples in eval mode without gradients; every module's mode is restored afterwards.

    The model's own ``generation_config`` has no say in sampling: a shipped ``top_k`` or
    ``repetition_penalty`` would change the distribution that is trained or measured. Only its
    end-of-sequence ids are used, together with the tokenizer's.

    ``Completion.sampling_logps`` are log-probabilities of the model itself, before ``temperature``
    and ``top_p`` are applied. At temperature 1 and top_p 1 that is the distribution that was
    sampled from; otherwise it is what a later forward pass will find, not the probability of
    drawing the token.

    Args:
        model: A causal language model, on whatever device it lives; PEFT models work.
        tokenizer: Its tokenizer, with a chat template.
        batch_size: Rows sampled at once. None, with shared prefixes, is as many of up to 512 as
            have room for keys and values in ``CACHE_BYTES``, but at least 64; otherwise 64.
        chat_template_kwargs: Variables for the template, such as ``{"enable_thinking": False}``.

    Raises:
        EngineError: The tokenizer has no chat template, there is no end-of-sequence token, or
            ``batch_size`` is not positive.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        batch_size: int | None = None,
        chat_template_kwargs: Mapping[str, JSON] | None = None,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise EngineError(f"batch_size is {batch_size}, required: at least 1 row")
        if not tokenizer.chat_template:
            raise EngineError(
                "the tokenizer has no chat template, required: one, since prompts are "
                "conversations; use an instruct model or set tokenizer.chat_template"
            )
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.chat_template_kwargs = dict(chat_template_kwargs or {})
        self.eos_token_ids = _eos_token_ids(model, tokenizer)

    def render(self, prompt: Sequence[Message]) -> list[int]:
        """Return the token ids that a conversation becomes, the assistant's turn opened."""
        return prompt_token_ids(self.tokenizer, prompt, self.chat_template_kwargs)

    def sample(
        self,
        prompts: Sequence[tuple[Message, ...]],
        settings: SamplingSettings,
        *,
        on_progress: ProgressCallback | None = None,
        journal: Journal | None = None,
    ) -> list[list[Completion]]:
        """Sample ``settings.n`` completions of every prompt; see ``Engine.sample``.

        Bitwise repeatable for the same weights, prompts, settings, batch size and machine, whether
        in one go or gone on with from a journal. Which prompts share a request matters: they are
        batched together.

        Raises:
            EngineError: A prompt is empty, or with ``max_new_tokens`` exceeds the model's context.
        """
        prompt_ids = [self.render(prompt) for prompt in prompts]
        self._check_lengths(prompt_ids, settings.max_new_tokens)
        sampled = _Sampled(len(prompts), settings.n, on_progress, journal)
        with torch.inference_mode(), _ready_to_sample(self.model):
            if self._shares_prefixes:
                self._sample_shared(prompt_ids, settings, sampled)
            else:
                self._sample_padded(prompt_ids, settings, sampled)
        return sampled.in_order()

    @property
    def _shares_prefixes(self) -> bool:
        return self.model.device.type == "cpu" and why_not_shared_prefix(self.model) is None

    def _sample_shared(
        self, prompt_ids: list[list[int]], settings: SamplingSettings, sampled: _Sampled
    ) -> None:
        """Sample all rows with one pass over each prompt."""
        sampling = TokenSampling(
            max_new_tokens=settings.max_new_tokens,
            eos_ids=self.eos_token_ids,
            temperature=settings.temperature,
            top_p=settings.top_p,
        )
        rows = sample_shared_prefix(
            self.model,
            prompt_ids,
            [0 if index in sampled.known else settings.n for index in range(len(prompt_ids))],
            sampling,
            seed=settings.seed,
            max_rows=self.batch_size or self._rows_with_room(prompt_ids, settings),
            on_progress=lambda done, total: sampled.end_batch(),
            on_finished=lambda prompt, copy, ids: sampled.add(prompt, self._completion(ids), copy),
        )
        # Log-probabilities are known at the end only.
        for index, of_prompt in enumerate(rows):
            if of_prompt:
                sampled.replace(index, [self._completion(*row) for row in of_prompt])

    def _rows_with_room(self, prompt_ids: list[list[int]], settings: SamplingSettings) -> int:
        """Small models decode many rows at once: a step costs them more than a row of it."""
        config = self.model.config.get_text_config()
        heads = config.num_attention_heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        longest = max(map(len, prompt_ids), default=0) + settings.max_new_tokens
        # Keys and values are in float32 on a CPU, whatever the model's dtype.
        of_row = 2 * config.num_hidden_layers * kv_heads * head_dim * longest * 4
        return min(MOST_ROWS, max(FEWEST_ROWS, CACHE_BYTES // of_row))

    def _sample_padded(
        self, prompt_ids: list[list[int]], settings: SamplingSettings, sampled: _Sampled
    ) -> None:
        """Sample rows with ``generate``, each batch with a seed of its own."""
        size = self.batch_size or FEWEST_ROWS
        for batch in _batches(prompt_ids, settings.n, size, sampled.known):
            first, copy = batch[0]
            with forked_rng(derive_seed(settings.seed, "batch", first, copy)):
                found = self._sample_batch([prompt_ids[index] for index, _ in batch], settings)
            for (index, copy), completion in zip(batch, found, strict=True):
                sampled.add(index, completion, copy)
            sampled.end_batch()

    def _completion(
        self, token_ids: tuple[int, ...], logps: tuple[float, ...] | None = None
    ) -> Completion:
        text = self.tokenizer.decode(token_ids, skip_special_tokens=True)
        return Completion(text, token_ids, token_ids[-1] in self.eos_token_ids, logps)

    def _sample_batch(
        self, prompt_ids: list[list[int]], settings: SamplingSettings
    ) -> list[Completion]:
        """Sample one completion for each row of token ids."""
        width = max(map(len, prompt_ids))
        pad = self._pad_token_id
        input_ids = torch.tensor([[pad] * (width - len(ids)) + ids for ids in prompt_ids])
        mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompt_ids])
        recorder = LogpRecorder(width)
        output = self.model.generate(
            input_ids=input_ids.to(self.model.device),
            attention_mask=mask.to(self.model.device),
            generation_config=self._generation_config(settings),
            logits_processor=LogitsProcessorList([recorder]),
        )
        logps = recorder.finish(output).tolist()
        rows = output[:, width:].tolist()
        texts = []
        kept = []
        for row in rows:
            length, finished = self._length(row)
            kept.append((row[:length], finished))
            texts.append(row[:length])
        decoded = self.tokenizer.batch_decode(texts, skip_special_tokens=True)
        return [
            Completion(text, tuple(ids), finished, tuple(row_logps[: len(ids)]))
            for text, (ids, finished), row_logps in zip(decoded, kept, logps, strict=True)
        ]

    def _length(self, row: list[int]) -> tuple[int, bool]:
        """Return how many tokens of a row were sampled, its end token included, and if it has one.

        What follows the end token is padding; a row without one has no padding.
        """
        for position, token in enumerate(row):
            if token in self.eos_token_ids:
                return position + 1, True
        return len(row), False

    @property
    def _pad_token_id(self) -> int:
        # Masked in prompts and cut off behind the end token, so any id will do.
        pad = self.tokenizer.pad_token_id
        return int(pad) if pad is not None else self.eos_token_ids[0]

    def _generation_config(self, settings: SamplingSettings) -> GenerationConfig:
        sampling: dict[str, Any] = {"do_sample": False}
        if settings.temperature > 0:
            sampling = {
                "do_sample": True,
                "temperature": settings.temperature,
                "top_p": settings.top_p,
                # generate falls back to 50 when this is not set.
                "top_k": 0,
            }
        return GenerationConfig(
            **sampling,
            max_new_tokens=settings.max_new_tokens,
            eos_token_id=list(self.eos_token_ids),
            pad_token_id=self._pad_token_id,
            use_cache=True,
        )

    def refuse_long(self, prompts: Sequence[tuple[Message, ...]], max_new_tokens: int) -> None:
        """Refuse prompts that could not be sampled, before hours are spent on those before them.

        Raises:
            EngineError: A prompt is empty, or with ``max_new_tokens`` exceeds the model's context.
        """
        self._check_lengths([self.render(prompt) for prompt in prompts], max_new_tokens)

    def _check_lengths(self, prompt_ids: list[list[int]], max_new_tokens: int) -> None:
        if any(not ids for ids in prompt_ids):
            empty = [index for index, ids in enumerate(prompt_ids) if not ids]
            raise EngineError(
                f"prompts {empty} have no tokens after the chat template, required: at least one; "
                "look at the template with `rephrase-rl data check`"
            )
        context = context_of(self.model.config)
        longest = max(map(len, prompt_ids), default=0)
        if context is not None and longest >= context:
            raise EngineError(
                f"the longest prompt has {longest} tokens; required: fewer than {context} (the "
                "model's context); do this: leave long prompts out, or take a model with a longer "
                "context"
            )
        if context is not None and longest + max_new_tokens > context:
            raise EngineError(
                f"the longest prompt has {longest} tokens and {max_new_tokens} may be sampled; "
                f"required: at most {context} together (the model's context); lower the length "
                f"limit to {context - longest} (trainer.max_completion_length; "
                "max_new_tokens of a benchmark or of expert sampling) or leave long prompts out"
            )


class _Sampled:
    """Completions of a request as they come in, those that a journal knows included."""

    def __init__(
        self,
        num_prompts: int,
        copies: int,
        on_progress: ProgressCallback | None,
        journal: Journal | None,
    ) -> None:
        self.known = {} if journal is None else dict(journal.known)
        self._found: dict[int, dict[int, Completion]] = {
            index: dict(enumerate(of_prompt)) for index, of_prompt in self.known.items()
        }
        self._asked = num_prompts * copies
        self._copies = copies
        self._num_prompts = num_prompts
        self._kept = set(self.known)
        self._on_progress = on_progress
        self._journal = journal

    def add(self, prompt: int, completion: Completion, copy: int) -> None:
        self._found.setdefault(prompt, {})[copy] = completion

    def replace(self, prompt: int, completions: Sequence[Completion]) -> None:
        self._found[prompt] = dict(enumerate(completions))

    def end_batch(self) -> None:
        """Tell of the progress, and store the prompts that have all their completions."""
        if self._journal is not None:
            whole = {i for i, f in self._found.items() if len(f) == self._copies} - self._kept
            self._journal.keep({index: self._of_prompt(index) for index in sorted(whole)})
            self._kept |= whole
        if self._on_progress is not None:
            self._on_progress(sum(map(len, self._found.values())), self._asked)

    def in_order(self) -> list[list[Completion]]:
        return [self._of_prompt(index) for index in range(self._num_prompts)]

    def _of_prompt(self, index: int) -> list[Completion]:
        found = self._found.get(index, {})
        return [found[copy] for copy in sorted(found)]


def _batches(
    prompt_ids: Sequence[Sequence[int]], copies: int, size: int, known: Mapping[int, Any]
) -> Iterator[list[tuple[int, int]]]:
    """Cut (prompt, copy) rows, longest prompts first, into batches of whole prompts if they fit.

    A request without its first batches is cut as it was with them.
    """
    batch: list[tuple[int, int]] = []
    order = sorted(range(len(prompt_ids)), key=lambda index: -len(prompt_ids[index]))
    for index in (index for index in order if index not in known):
        if batch and len(batch) + copies > size:
            yield batch
            batch = []
        for copy in range(copies):
            if len(batch) == size:
                yield batch
                batch = []
            batch.append((index, copy))
    if batch:
        yield batch


def _eos_token_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Return the ids that end a completion: the tokenizer's, then the model's own."""
    own = model.generation_config.eos_token_id
    candidates = [tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
    found = tuple(dict.fromkeys(int(token) for token in candidates if token is not None))
    if not found:
        raise EngineError(
            "neither the tokenizer nor the model's generation_config has an end-of-sequence "
            "token, required: one, or no completion could ever finish; set tokenizer.eos_token"
        )
    return found


@contextmanager
def _ready_to_sample(model: Any) -> Iterator[None]:
    """Put a model in eval mode with neutral generation defaults; restore all of it afterwards.

    ``generate`` fills whatever a given GenerationConfig leaves at None from the model's own, so the
    model's is swapped for an empty one. Wrappers such as PEFT's hand theirs down to the model
    inside, hence every module is looked at. Modes are kept module by module: a frozen part that was
    in eval mode stays there.
    """
    modes = [(module, module.training) for module in model.modules()]
    configs = [
        (module, module.__dict__["generation_config"])
        for module in model.modules()
        if "generation_config" in module.__dict__
    ]
    try:
        model.eval()
        for module, _ in configs:
            module.generation_config = GenerationConfig()
        yield
    finally:
        for module, config in configs:
            module.generation_config = config
        for module, mode in modes:
            module.training = mode
