"""Small stand-ins that many test files share: a byte tokenizer, a tiny Llama, scripted parts.

Everything is built offline in milliseconds. The tokenizer and the model are real transformers
objects, so whatever accepts Qwen3 accepts them; the scripted engine and verifier have the package's
interfaces and no model behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rephrase_rl.records import Completion, Message, Problem, Verdict

if TYPE_CHECKING:
    from rephrase_rl.rollout import SamplingSettings

PAD_TOKEN, PAD_ID = "<pad>", 256
EOS_TOKEN, EOS_ID = "<eos>", 257
ROLE_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>")
VOCABULARY_SIZE = 256 + 2 + len(ROLE_TOKENS)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<eos>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def ByteTokenizer() -> Any:
    """Return a ``PreTrainedTokenizerFast`` with one token per UTF-8 byte and a chat template.

    Any text survives encode and decode. Ids 0..255 are the byte values, then come pad, eos and the
    three role markers (258..260).
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # The byte-level alphabet shows printable bytes as themselves and the others, in order, as the
    # characters from 256 on.
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    others = iter(range(256, 512))
    symbols = [chr(b) if chr(b) in alphabet else chr(next(others)) for b in range(256)]
    vocabulary = {symbol: byte for byte, symbol in enumerate(symbols)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([PAD_TOKEN, EOS_TOKEN, *ROLE_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD_TOKEN,
        eos_token=EOS_TOKEN,
        additional_special_tokens=list(ROLE_TOKENS),
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def tiny_model(seed: int = 0, **config_overrides: Any) -> Any:
    """Return a random float32 Llama (2 layers, width 32, 261 tokens) in eval mode.

    The weights depend on ``seed`` only; the global random state is left as it was. Weights are
    drawn with a large spread, so the next-token distribution is far from uniform.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    from rephrase_rl.seeding import forked_rng

    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY_SIZE,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "initializer_range": 0.3,
        "pad_token_id": PAD_ID,
        "bos_token_id": None,
        "eos_token_id": EOS_ID,
    }
    with forked_rng(seed):
        return LlamaForCausalLM(LlamaConfig(**(settings | config_overrides))).eval()


def problem(
    problem_id: str = "p0",
    question: str = "1+1",
    reference_answer: str = "2",
    expert_solution: str | None = "1+1=2",
    **fields: Any,
) -> Problem:
    """Return a one-turn problem."""
    return Problem(
        problem_id=problem_id,
        messages=({"role": "user", "content": question},),
        reference_answer=reference_answer,
        expert_solution=expert_solution,
        **fields,
    )


def completion(text: str, *, finished: bool = True, logp: float | None = None) -> Completion:
    """Return a completion with one token per UTF-8 byte, and eos at the end if finished.

    Args:
        text: What the model is said to have written.
        finished: Whether it ended by itself.
        logp: The log-probability every token is given; None: none are kept.
    """
    byte_ids = tuple(text.encode())
    token_ids = (*byte_ids, EOS_ID) if finished else byte_ids
    logps = None if logp is None else (logp,) * len(token_ids)
    return Completion(text, token_ids, finished, logps)


class ScriptedEngine:
    """An ``Engine`` that replays completions instead of sampling.

    Args:
        script: Either completions (texts or ``Completion``s) handed out in the order of the
            requests, n per prompt, or a function from (prompt messages, sample index) to one.

    ``calls`` keeps every request as (prompts, settings). Asking for more than the script holds is
    an ``AssertionError``, so a test notices a request that should not have been sent.
    """

    def __init__(
        self,
        script: Iterable[str | Completion]
        | Callable[[tuple[Message, ...], int], str | Completion] = (),
    ) -> None:
        self._function = script if callable(script) else None
        self._remaining: Iterator[str | Completion] = iter(() if callable(script) else script)
        self.calls: list[tuple[tuple[tuple[Message, ...], ...], SamplingSettings]] = []

    def sample(
        self,
        prompts: Sequence[tuple[Message, ...]],
        settings: SamplingSettings,
        *,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[list[Completion]]:
        """Hand out the next ``len(prompts) * settings.n`` completions."""
        self.calls.append((tuple(prompts), settings))
        result = []
        for index, prompt in enumerate(prompts):
            result.append([self._next(prompt, sample) for sample in range(settings.n)])
            if on_progress is not None:
                on_progress((index + 1) * settings.n, len(prompts) * settings.n)
        return result

    def _next(self, prompt: tuple[Message, ...], sample: int) -> Completion:
        if self._function is not None:
            item = self._function(prompt, sample)
        else:
            found = next(self._remaining, None)
            assert found is not None, f"the script is used up; asked again for {prompt!r}"
            item = found
        return item if isinstance(item, Completion) else completion(item)


class ScriptedVerifier:
    """A ``Verifier`` that looks verdicts up.

    Args:
        verdicts: From completion text to a ``Verdict``, a reward, or None (unscorable); or a
            function (completion, reference answer) giving one of these. A text that is not in the
            mapping gets ``default``. Without ``verdicts`` the text must equal the reference answer.
        default: What a text outside the mapping gets.
        name: The verifier's name.

    ``calls`` keeps every (completion, reference answer) pair that was judged, in order.
    """

    def __init__(
        self,
        verdicts: Mapping[str, Verdict | float | None]
        | Callable[[str, str], Verdict | float | None]
        | None = None,
        *,
        default: Verdict | float | None = 0.0,
        name: str = "scripted",
    ) -> None:
        self.name = name
        self._verdicts = verdicts
        self._default = default
        self.calls: list[tuple[str, str]] = []
        self.closed = False

    def verify(self, completions: Sequence[str], reference_answers: Sequence[str]) -> list[Verdict]:
        """Judge each completion by the script."""
        assert len(completions) == len(reference_answers)
        pairs = list(zip(completions, reference_answers, strict=True))
        self.calls.extend(pairs)
        return [self._verdict(text, answer) for text, answer in pairs]

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def _verdict(self, text: str, answer: str) -> Verdict:
        found: Verdict | float | None
        if self._verdicts is None:
            found = float(text == answer)
        elif callable(self._verdicts):
            found = self._verdicts(text, answer)
        else:
            found = self._verdicts.get(text, self._default)
        if isinstance(found, Verdict):
            return found
        if found is None:
            return Verdict("unscorable", None, detail="scripted")
        return Verdict("scored", float(found), answer=text)
