"""Sampling with vLLM in this process. Imports vLLM when an engine is made.

Contract-tested against vLLM's documented interface with a stand-in; vLLM itself was not run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import EngineError
from rephrase_rl.records import Completion
from rephrase_rl.rollout.adapters import adapter_base
from rephrase_rl.rollout.prompt_ids import prompt_token_ids
from rephrase_rl.seeding import derive_seed

if TYPE_CHECKING:
    from rephrase_rl.records import JSON, Message
    from rephrase_rl.rollout.engine import Journal, ProgressCallback
    from rephrase_rl.rollout.settings import SamplingSettings

LORA_RANKS = (64, 128, 256, 320, 512)
"""Ranks that vLLM can be asked to make room for, of those it knows from 64 on."""


class VllmEngine:
    """An ``Engine`` over vLLM's offline interface.

    vLLM batches by itself; requests are handed over ``chunk`` prompts at a time, longest first, so
    that progress is seen and a journal can be kept. Each prompt has a seed of its own, from the
    request's seed and the prompt's position, so a part of a request gives what the whole gives as
    far as vLLM itself repeats itself. The model's own ``generation_config`` has no say in sampling.

    Completions carry no log-probabilities.

    Args:
        path: Local folder of a model or adapter, or a hub id.
        chunk: Prompts handed over at once.
        chat_template_kwargs: Variables for the template, such as ``{"enable_thinking": False}``.
        **vllm_options: Further arguments of ``vllm.LLM``, such as ``tensor_parallel_size``.

    Raises:
        EngineError: vLLM is not installed, cannot load the model, or its tokenizer has no chat
            template.
    """

    def __init__(
        self,
        path: str,
        chunk: int = 256,
        chat_template_kwargs: Mapping[str, JSON] | None = None,
        **vllm_options: Any,
    ) -> None:
        try:
            import vllm
        except ImportError as error:
            raise EngineError(
                f"the engine vllm needs a package that is not installed ({error}); required: the "
                "extra for vLLM; do `pip install -c constraints-vllm.txt '.[vllm]'` in the clone, "
                "or use the engine transformers"
            ) from error
        base = adapter_base(path)
        arguments: dict[str, Any] = {
            "model": path if base is None else base.path,
            "generation_config": "vllm",
            "trust_remote_code": False,
            **vllm_options,
        }
        self._lora = None
        if base is not None:
            from vllm.lora.request import LoRARequest

            if base.revision is not None:
                arguments["revision"] = base.revision
            arguments |= {"enable_lora": True, "max_lora_rank": _room_for(base.rank)}
            self._lora = LoRARequest("policy", 1, path)
        try:
            self._llm = vllm.LLM(**arguments)
            self.tokenizer = self._llm.get_tokenizer()
        # vLLM raises whatever its parts raise.
        except Exception as error:
            raise EngineError(
                f"vLLM cannot load {path}: {type(error).__name__}: {error}; required: a model that "
                "it supports and memory for it; or use the engine transformers"
            ) from error
        if not self.tokenizer.chat_template:
            raise EngineError(
                f"the tokenizer of {path} has no chat template, required: one, since prompts are "
                "conversations; use an instruct model"
            )
        self._sampling_params = vllm.SamplingParams
        self._chunk = chunk
        self._template_kwargs = dict(chat_template_kwargs or {})

    def sample(
        self,
        prompts: Sequence[tuple[Message, ...]],
        settings: SamplingSettings,
        *,
        on_progress: ProgressCallback | None = None,
        journal: Journal | None = None,
    ) -> list[list[Completion]]:
        """Sample ``settings.n`` completions of every prompt; see ``Engine.sample``.

        Raises:
            EngineError: A prompt with ``max_new_tokens`` exceeds the model's context.
        """
        found = {} if journal is None else dict(journal.known)
        ids = [prompt_token_ids(self.tokenizer, p, self._template_kwargs) for p in prompts]
        self._check_lengths(ids, settings.max_new_tokens)
        order = sorted(range(len(ids)), key=lambda index: -len(ids[index]))
        left = [index for index in order if index not in found]
        for start in range(0, len(left), self._chunk):
            batch = left[start : start + self._chunk]
            outputs = self._llm.generate(
                [{"prompt_token_ids": ids[index]} for index in batch],
                [self._parameters(settings, index) for index in batch],
                use_tqdm=False,
                lora_request=self._lora,
            )
            sampled = {
                index: [_completion(item) for item in output.outputs]
                for index, output in zip(batch, outputs, strict=True)
            }
            found |= sampled
            if journal is not None:
                journal.keep(sampled)
            if on_progress is not None:
                on_progress(len(found) * settings.n, len(prompts) * settings.n)
        return [found[index] for index in range(len(prompts))]

    def refuse_long(self, prompts: Sequence[tuple[Message, ...]], max_new_tokens: int) -> None:
        """Refuse prompts that could not be sampled, before hours are spent on those before them.

        Raises:
            EngineError: A prompt with ``max_new_tokens`` exceeds the model's context.
        """
        ids = [prompt_token_ids(self.tokenizer, p, self._template_kwargs) for p in prompts]
        self._check_lengths(ids, max_new_tokens)

    def _parameters(self, settings: SamplingSettings, index: int) -> Any:
        return self._sampling_params(
            n=settings.n,
            temperature=settings.temperature,
            top_p=settings.top_p if settings.temperature > 0 else 1.0,
            top_k=-1,
            max_tokens=settings.max_new_tokens,
            seed=derive_seed(settings.seed, "prompt", index) % 2**32,
            stop_token_ids=[self.tokenizer.eos_token_id],
            skip_special_tokens=True,
        )

    def _check_lengths(self, prompt_ids: Sequence[Sequence[int]], max_new_tokens: int) -> None:
        context = getattr(self._llm.llm_engine.model_config, "max_model_len", None)
        longest = max(map(len, prompt_ids), default=0)
        if context is not None and longest + max_new_tokens > context:
            raise EngineError(
                f"the longest prompt has {longest} tokens and {max_new_tokens} may be sampled; "
                f"required: at most {context} together (the model's context, or "
                "trainer.vllm_max_model_length); lower max_new_tokens of the benchmark or "
                "trainer.max_completion_length"
            )


def _room_for(rank: int | None) -> int:
    """The smallest that vLLM knows and that holds an adapter of this rank; None: not known."""
    return next((room for room in LORA_RANKS if room >= (rank or 0)), LORA_RANKS[-1])


def _completion(output: Any) -> Completion:
    return Completion(
        text=output.text,
        token_ids=tuple(output.token_ids),
        # vLLM says "length" where it cut off, and "stop" at an end token or stop string.
        finished=output.finish_reason == "stop",
    )
