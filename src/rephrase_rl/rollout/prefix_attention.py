"""Attention of many continuations to one shared prompt, and the cache that goes with it.

G continuations of a prompt need the prompt's keys and values once, not G times. While decoding, the
queries of all continuations of a prompt meet its keys in one matrix product and their own new keys
in another, and one softmax covers both. Nothing is repeated per row or concatenated per step. It
plugs into transformers as one more attention implementation. May import torch and transformers.

Axes here: P prompts, C slots for continuations of each, B rows, H query and K key heads, Q = H / K
query heads per key head, S columns of the prefix, T of a continuation, D numbers per head.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from rephrase_rl.errors import EngineError

IMPLEMENTATION = "rephrase_rl_shared_prefix"
"""Name under which the attention function is registered with transformers."""

FIRST_CAPACITY = 32
"""Tokens that a continuation has room for at first; the room doubles whenever it is used up."""

_NEEDED_ARGUMENTS = ("attention_mask", "position_ids", "past_key_values", "logits_to_keep")
_REFUSED_KEYWORDS = (
    "sliding_window",
    "softcap",
    "s_aux",
    "sinks",
    "position_bias",
    "indices",
    "block_indices",
)
"""What a layer may hand to its attention function that changes the result, and is not done here."""


def why_not_shared_prefix(model: Any) -> str | None:
    """Return why a model cannot be sampled with shared prefixes, in one line; None if it can.

    What only shows inside a layer (a mask, a bias or a cap of its own that it hands to its
    attention function) raises ``EngineError`` in the first decoding step instead.

    Args:
        model: A causal language model of transformers, or a PEFT model around one.
    """
    inner = inner_model(model)
    name = type(inner).__name__
    if not isinstance(inner, PreTrainedModel):
        return f"{name} is not a PreTrainedModel of transformers"
    if inner is not model and any(part.is_prompt_learning for part in model.peft_config.values()):
        return "the PEFT adapter puts virtual tokens before the prompt"
    return _why_not_its_interface(inner, name) or _why_not_its_attention(inner.config, name)


def _why_not_its_interface(inner: Any, name: str) -> str | None:
    if inner.config.is_encoder_decoder:
        return f"{name} is an encoder-decoder"
    if inner.config.get_text_config(decoder=True) is not inner.config:
        return f"{name} is made of several models"
    if not inner._supports_attention_backend:
        return f"{name} does not use transformers' attention interface"
    if inner._is_stateful:
        return f"{name} keeps a recurrent state"
    parameters = inspect.signature(inner.forward).parameters
    missing = [argument for argument in _NEEDED_ARGUMENTS if argument not in parameters]
    if missing:
        return f"{name}.forward does not take {', '.join(missing)}"
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return f"{name}.forward does not hand keywords on to its attention"
    return None


def _why_not_its_attention(config: Any, name: str) -> str | None:
    others = {type(layer) for layer in DynamicCache(config=config).layers} - {DynamicLayer}
    if others:
        kinds = ", ".join(sorted(kind.__name__ for kind in others))
        return f"{name} does not attend to all of the past in every layer ({kinds})"
    if getattr(config, "attn_logit_softcapping", None) is not None:
        return f"{name} caps its attention scores"
    if getattr(config, "alibi", False):
        return f"{name} adds ALiBi biases to its attention scores"
    if getattr(config, "kv_lora_rank", None) is not None:
        return f"{name} caches compressed keys and values"
    return None


def inner_model(model: Any) -> Any:
    """Return the transformers model inside a PEFT model, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def shared_prefix_attention(model: Any) -> Iterator[None]:
    """Let a model attend through a ``SharedPrefixCache`` inside the block.

    The switch is in the model's configuration: no other thread may use the model meanwhile.
    """
    config = inner_model(model).config
    before = config._attn_implementation
    config._attn_implementation = IMPLEMENTATION
    try:
        yield
    finally:
        config._attn_implementation = before


def _attention_function(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **keywords: Any,
) -> tuple[torch.Tensor, None]:
    """Attend through the cache that came along as the keyword ``shared_prefix``.

    No mask is registered for this implementation, so transformers prepares none; one that arrives
    all the same is the layer's own.
    """
    refused = [name for name in _REFUSED_KEYWORDS if keywords.get(name) is not None]
    if attention_mask is not None:
        refused.append("attention_mask")
    cache = keywords.get("shared_prefix")
    if refused or cache is None:
        raise EngineError(
            f"{type(module).__name__} calls its attention with "
            f"{', '.join(refused) or 'the keywords of the model left out'}, required: plain "
            "attention over all of the past; sample this model with `generate`"
        )
    scaling = keywords.get("scaling")
    if scaling is None:
        scaling = query.shape[-1] ** -0.5
    device = query.device.type
    if not torch.is_autocast_enabled(device):
        return cache.attend(module.layer_idx, query, key, value, scaling), None
    # Autocast would round the products of keys that were widened on purpose.
    with torch.autocast(device, enabled=False):
        return cache.attend(module.layer_idx, query, key, value, scaling), None


AttentionInterface.register(IMPLEMENTATION, _attention_function)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where rows are kept. Slot ``prompt * copies + copy`` belongs to a prompt."""

    row_prompts: list[int]
    """Prompt of each row, ascending from 0 without gaps."""
    prompts: int
    copies: int
    """Slots per prompt: the most rows that any prompt has."""
    row_slots: list[int]
    """Slot of each row."""
    slot_rows: list[int]
    """Row of each slot; a spare slot repeats a row of its prompt."""

    @classmethod
    def of(cls, row_prompts: Sequence[int]) -> _Layout:
        """Lay rows out, given the prompt of each, ascending; prompts are renumbered."""
        rows_of: dict[int, list[int]] = {}
        for row, prompt in enumerate(row_prompts):
            rows_of.setdefault(prompt, []).append(row)
        copies = max(map(len, rows_of.values()))
        number = {prompt: index for index, prompt in enumerate(rows_of)}
        return cls(
            row_prompts=[number[prompt] for prompt in row_prompts],
            prompts=len(rows_of),
            copies=copies,
            row_slots=[
                number[prompt] * copies + copy
                for prompt, rows in rows_of.items()
                for copy in range(len(rows))
            ],
            slot_rows=[
                row for rows in rows_of.values() for row in rows + rows[:1] * (copies - len(rows))
            ],
        )


@dataclass(slots=True)
class _LayerStates:
    """Keys and values of one layer; the last prefix columns and the first suffix columns count."""

    prefix_keys: torch.Tensor
    """(P * K, S, D)."""
    prefix_values: torch.Tensor
    """(P * K, S, D)."""
    suffix_keys: torch.Tensor
    """(P * K * C, T, D)."""
    suffix_values: torch.Tensor
    """(P * K * C, T, D)."""


class SharedPrefixCache(Cache):  # type: ignore[misc]  # transformers is untyped
    """Keys and values of P prompts and of the continuations of each.

    Matrix products want equally many continuations of every prompt, hence slots. Where rows and
    slots coincide nothing is rearranged; otherwise each layer copies its rows to slots and back.

    Keys and values are kept in float32 on the CPU, where products of bfloat16 would round the
    scores, and in the model's own dtype elsewhere.

    Args:
        prefilled: The ``DynamicCache`` after a forward pass of the prompts, padded on the left. Its
            layers are emptied one by one, so that the prompts are not held twice.
        padding_PS: (P, S) bool, True where there is padding; None if there is none.
        row_prompts: Index of the prompt of each row, ascending; each of 0..P-1 occurs.
        max_tokens: Tokens of a continuation that have to fit.
    """

    def __init__(
        self,
        prefilled: Any,
        padding_PS: torch.Tensor | None,
        row_prompts: Sequence[int],
        max_tokens: int,
    ) -> None:
        super().__init__(layers=[])
        values_PKSD = prefilled.layers[0].values
        self._device = values_PKSD.device
        self._dtype = values_PKSD.dtype
        if self._device.type == "cpu":
            self._dtype = torch.promote_types(self._dtype, torch.float32)
        self._kv_heads, self._prefix_length = values_PKSD.shape[1:3]
        self._arrived = (values_PKSD, values_PKSD)
        self._tokens = 0
        self._max_tokens = max_tokens
        self._set_layout(_Layout.of(row_prompts))
        self._no_mask = values_PKSD.new_empty((1, 1, 1), dtype=self._dtype)
        self._mask_PK1S: torch.Tensor | None = None
        if padding_PS is not None:
            mask_PS = torch.zeros(padding_PS.shape, dtype=self._dtype, device=self._device)
            mask_PS.masked_fill_(padding_PS, float("-inf"))
            self._mask_PK1S = mask_PS.repeat_interleave(self._kv_heads, dim=0)[:, None]
        self._states = [self._take_over(layer) for layer in prefilled.layers]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the columns held, padding included; the same for every layer."""
        return int(self._prefix_length + self._tokens)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what came in; ``attend`` keeps it."""
        self._arrived = (key_states, value_states)
        return key_states, value_states

    def begin_step(self) -> None:
        """Make room for one more token in every row; to be called before each forward pass."""
        self._tokens += 1
        capacity = self._states[0].suffix_keys.shape[1]
        if self._tokens > capacity:
            more = (0, 0, 0, min(capacity, self._max_tokens - capacity))
            for state in self._states:
                state.suffix_keys = torch.nn.functional.pad(state.suffix_keys, more)
                state.suffix_values = torch.nn.functional.pad(state.suffix_values, more)

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        """Keep the new token's key and value of each row; attend to prompt and continuation.

        Args:
            layer: Index of the layer.
            query: (B, H, 1, D); the query heads of one key head are neighbours.
            key: (B, K, 1, D).
            value: (B, K, 1, D).
            scaling: Factor of the scores.

        Returns:
            (B, 1, H, D), dtype of ``value``.
        """
        require_unchanged(self._arrived, (key, value))
        state, end, prefix = self._states[layer], self._tokens, self._prefix_length
        query_PKCQD, key_PKCQD, value_PKCQD = map(self._to_slots, (query, key, value))
        _store(state.suffix_keys, end - 1, key_PKCQD)
        _store(state.suffix_values, end - 1, value_PKCQD)

        # One copy in the order that both products want: slots of a prompt are rows of one matrix.
        prompts, heads, copies, queries, _ = query_PKCQD.shape
        by_prompt = (prompts * heads, copies * queries, -1)
        by_slot = (prompts * heads * copies, queries, -1)
        query_by_prompt = query_PKCQD.to(self._dtype).reshape(by_prompt)
        prefix_scores = torch.baddbmm(
            self._no_mask if self._mask_PK1S is None else self._mask_PK1S,
            query_by_prompt,
            state.prefix_keys.transpose(1, 2),
            beta=0 if self._mask_PK1S is None else 1,
            alpha=scaling,
        )
        suffix_scores = torch.baddbmm(
            self._no_mask,
            query_by_prompt.reshape(by_slot),
            state.suffix_keys[:, :end].transpose(1, 2),
            beta=0,
            alpha=scaling,
        )
        scores = torch.cat((prefix_scores, suffix_scores.view(by_prompt)), dim=-1)
        weights = scores.softmax(-1, dtype=torch.promote_types(self._dtype, torch.float32))
        weights = weights.to(self._dtype)
        output = torch.bmm(weights[..., :prefix], state.prefix_values)
        output.view(by_slot).baddbmm_(
            weights.view(by_slot)[..., prefix:], state.suffix_values[:, :end]
        )
        return self._to_rows(output.view(prompts, heads, copies, queries, -1)).to(value.dtype)

    def select_rows(self, kept: Sequence[int]) -> None:
        """Forget all rows but these, and prompts that have none left.

        Costs about as much memory traffic as attending once.

        Args:
            kept: Indices of rows, ascending, at least one. They become rows 0, 1, ...
        """
        before = self._layout
        prompts = sorted({before.row_prompts[row] for row in kept})
        self._set_layout(_Layout.of([before.row_prompts[row] for row in kept]))
        sources = [before.row_slots[kept[row]] for row in self._layout.slot_rows]
        heads = torch.arange(self._kv_heads, device=self._device)
        prompt_P = self._index(prompts)
        slot_PC = self._index(sources).view(len(prompts), -1)
        copy_P1C = (slot_PC % before.copies)[:, None]
        prefix_PK = prompt_P[:, None] * self._kv_heads + heads
        suffix_PKC = prefix_PK[..., None] * before.copies + copy_P1C
        prefix, suffix = prefix_PK.flatten(), suffix_PKC.flatten()
        if len(prompts) < before.prompts:
            if self._mask_PK1S is not None:
                self._mask_PK1S = self._mask_PK1S.index_select(0, prefix)
            for state in self._states:
                state.prefix_keys = state.prefix_keys.index_select(0, prefix)
                state.prefix_values = state.prefix_values.index_select(0, prefix)
        for state in self._states:
            state.suffix_keys = state.suffix_keys.index_select(0, suffix)
            state.suffix_values = state.suffix_values.index_select(0, suffix)

    def _set_layout(self, layout: _Layout) -> None:
        self._layout = layout
        aligned = layout.row_slots == layout.slot_rows
        self._slot_rows = None if aligned else self._index(layout.slot_rows)
        self._row_slots = None if aligned else self._index(layout.row_slots)

    def _index(self, numbers: Sequence[int]) -> torch.Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=self._device)

    def _take_over(self, layer: Any) -> _LayerStates:
        """Move a prefilled layer into matrices and give its continuations some room."""
        keys_PKSD, values_PKSD = layer.keys.to(self._dtype), layer.values.to(self._dtype)
        layer.keys = layer.values = None
        rows = self._layout.prompts * self._layout.copies * self._kv_heads
        room = max(1, min(FIRST_CAPACITY, self._max_tokens))
        return _LayerStates(
            prefix_keys=keys_PKSD.flatten(0, 1).contiguous(),
            prefix_values=values_PKSD.flatten(0, 1).contiguous(),
            suffix_keys=keys_PKSD.new_empty((rows, room, keys_PKSD.shape[-1])),
            suffix_values=values_PKSD.new_empty((rows, room, values_PKSD.shape[-1])),
        )

    def _to_slots(self, states: torch.Tensor) -> torch.Tensor:
        """(B, H, 1, D) by row to (P, K, C, Q, D) by slot."""
        if self._slot_rows is not None:
            states = states.index_select(0, self._slot_rows)
        queries = states.shape[1] // self._kv_heads
        shape = (self._layout.prompts, self._layout.copies, self._kv_heads, queries, -1)
        return states.reshape(shape).transpose(1, 2)

    def _to_rows(self, states_PKCQD: torch.Tensor) -> torch.Tensor:
        """(P, K, C, Q, D) by slot to (B, 1, H, D) by row."""
        prompts, heads, copies, queries, _ = states_PKCQD.shape
        states = states_PKCQD.transpose(1, 2).reshape(prompts * copies, 1, heads * queries, -1)
        return states if self._row_slots is None else states.index_select(0, self._row_slots)


def require_unchanged(arrived: Sequence[torch.Tensor], attended: Sequence[torch.Tensor]) -> None:
    """Raise ``EngineError`` where a layer attends to other keys and values than it cached."""
    if any(before is not now for before, now in zip(arrived, attended, strict=True)):
        raise EngineError(
            "the model changes cached keys or values before it attends, required: that it "
            "attends to them as they are; sample this model with `generate`"
        )


def _store(states_NTD: torch.Tensor, column: int, new_PKC1D: torch.Tensor) -> None:
    """Write one token's keys or values of all slots."""
    states_NTD[:, column].view(*new_PKC1D.shape[:3], -1).copy_(new_PKC1D.squeeze(3))
