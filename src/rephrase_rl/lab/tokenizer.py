"""The lab's character-level tokenizer.

One token per printable ASCII character, so that no text is out of reach and token counts are
character counts. The control tokens ``<rewrite>`` and ``<expert>`` are ordinary added tokens: a
completion that contains them shows them when decoded.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD_TOKEN = "<|pad|>"  # noqa: S105  (no key)
END_TOKEN = "<|end|>"  # noqa: S105  (no key)
USER_TOKEN = "<|user|>"  # noqa: S105  (no key)
ASSISTANT_TOKEN = "<|assistant|>"  # noqa: S105  (no key)
UNKNOWN_TOKEN = "<|unknown|>"  # noqa: S105  (no key)
REWRITE_TOKEN = "<rewrite>"  # noqa: S105  (no key)
EXPERT_TOKEN = "<expert>"  # noqa: S105  (no key)
SPECIAL_TOKENS = (PAD_TOKEN, END_TOKEN, USER_TOKEN, ASSISTANT_TOKEN, UNKNOWN_TOKEN)
CONTROL_TOKENS = (REWRITE_TOKEN, EXPERT_TOKEN)
CHARACTERS = "\n " + string.digits + string.ascii_letters + string.punctuation

MAX_LENGTH = 256
"""Longest sequence in tokens, and the number of positions of the policies."""

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{% generation %}{{ message['content'] + '" + END_TOKEN + "' }}{% endgeneration %}"
    "{%- else -%}"
    "{{ '" + USER_TOKEN + "' + message['content'] }}"
    "{%- if not loop.last or add_generation_prompt -%}{{ '" + ASSISTANT_TOKEN + "' }}{%- endif -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Builds the tokenizer; it is a constant, nothing is learnt."""
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    tokens = (*SPECIAL_TOKENS, *CONTROL_TOKENS, *CHARACTERS)
    vocabulary = {token: index for index, token in enumerate(tokens)}
    # BPE without merges splits into single characters; Fuse joins them again without spaces.
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN_TOKEN))
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL_TOKENS])
    backend.add_tokens([AddedToken(token, normalized=False) for token in CONTROL_TOKENS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD_TOKEN,
        eos_token=END_TOKEN,
        unk_token=UNKNOWN_TOKEN,
        additional_special_tokens=[USER_TOKEN, ASSISTANT_TOKEN],
        padding_side="left",
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def rewrite_prompt(question: str, expert_solution: str) -> str:
    """Content of the user message that asks for a rewriting of the expert's solution."""
    return f"{REWRITE_TOKEN}{question}{EXPERT_TOKEN}{expert_solution}"


def templated(content: str) -> str:
    """A user message in the chat template, with the generation prompt."""
    return f"{USER_TOKEN}{content}{ASSISTANT_TOKEN}"
