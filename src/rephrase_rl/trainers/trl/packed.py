"""Log-probs and entropies with each distinct prompt of a micro-batch computed once, not per member.

TRL's micro-batch has rows [left-padded prompt | right-padded completion] of S tokens, in which the
members of a group repeat their prompt. Here they become packed rows of L tokens, one prompt each:

    [prompt without its last token; last + o_1; last + o_2; ...; last + o_m]

"last + o_i" is the segment of member i: the prompt's last token and the completion without *its*
last token, so that every position of a segment predicts one completion token and no other position
predicts any. A token sees the prompt and its own segment up to itself. It keeps the position id it
has in TRL's row, so values are TRL's for rotary and for learned positions alike.

Axes beside the package's: ``_N`` packed rows, ``_L`` tokens of a packed row. Only ``trainers.trl``
imports it.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from accelerate.utils import extract_model_from_parallel, is_peft_model

from rephrase_rl.trainers.trl.compact_head import compact_head
from rephrase_rl.trainers.trl.packing import PackedRow, Span, balance_length, least_cost_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

NO_LABEL = -100
"""TRL's and torch's label of a position that is not scored."""
PADDING = -1
"""Segment number of a packed row's padding. 0 is the prompt, from 1 on come the members."""


class TokenScores(NamedTuple):
    """What TRL's ``_get_per_token_logps_and_entropies`` returns, less the loss of a router."""

    logps: Tensor
    """Log-prob of each completion token, shape (B, T); 0 where it is masked out."""
    entropies: Tensor | None
    """Entropy of the distribution it was drawn from, nats, shape (B, T); 0 where masked out."""


class Layout(NamedTuple):
    """From where in the micro-batch each packed token comes; int64, shape (N, L)."""

    rows_NL: Tensor
    columns_NL: Tensor
    segments_NL: Tensor


def packed_logps_and_entropies(
    model: Any,
    input_ids_BS: Tensor,
    attention_mask_BS: Tensor,
    logits_to_keep: int,
    *,
    batch_size: int | None = None,
    compute_entropy: bool = False,
) -> TokenScores:
    """Log-probs and entropies of completion tokens, from one pass over each distinct prompt.

    Values and gradients are those of TRL's ``_get_per_token_logps_and_entropies`` up to rounding.
    With dropout they are so in distribution only, and members share the draws of their prompt.
    Autocast is the caller's (TRL: ``accelerator.autocast()``), and so is asking ``why_not_packed``.

    Args:
        model: With TRL's fused head, wrapped or not.
        input_ids_BS: Prompts, left-padded, and completions, right-padded, int64, shape (B, S).
        attention_mask_BS: 1 at real tokens, shape (B, S). Rows with no completion token at all cost
            nothing and get zeros without gradient.
        logits_to_keep: Width T of the completions.
        batch_size: Rows of the micro-batch to a forward pass; None: all in one.
        compute_entropy: Return entropies, or None in their place.

    Returns:
        Float32, in the order of the rows.
    """
    size = batch_size or len(input_ids_BS)
    chunks = [
        _one_pass(model, *chunk, logits_to_keep)
        for chunk in zip(
            torch.split(input_ids_BS, size), torch.split(attention_mask_BS, size), strict=True
        )
    ]
    logps_BT = torch.cat([chunk.logps for chunk in chunks])
    entropies = [chunk.entropies for chunk in chunks if chunk.entropies is not None]
    return TokenScores(logps_BT, torch.cat(entropies) if compute_entropy else None)


def why_not_packed(model: Any) -> str | None:
    """Why the model cannot be given packed rows; None if it can.

    Args:
        model: Wrapped or not.

    Returns:
        One reason, to follow "because".
    """
    model = extract_model_from_parallel(model)
    if is_peft_model(model):
        if model.active_peft_config.is_prompt_learning:
            return "prompt learning puts virtual tokens before each row"
        model = model.get_base_model()
    return next((reason for reason, found in _obstacles(model) if found), None)


def _obstacles(model: Any) -> Iterator[tuple[str, bool]]:
    config = model.config
    text = config.get_text_config()
    layers = set(getattr(text, "layer_types", None) or ())
    window = getattr(text, "sliding_window", None)
    attention = text._attn_implementation
    yield "the model takes other inputs than text", text is not config
    yield "it is an encoder-decoder", bool(config.is_encoder_decoder)
    yield "its layers carry a state along the row", bool(model._is_stateful)
    yield (
        f"it has layers of type {', '.join(sorted(layers - {'full_attention'}))}, whose reach is "
        "counted along the row",
        bool(layers - {"full_attention"}),
    )
    yield f"its attention slides over {window} tokens of the row", not layers and window is not None
    yield "its attention is not causal", not getattr(text, "is_causal", True)
    yield (
        f"attention implementation {attention!r} takes no mask of its own for each pair of tokens; "
        "'sdpa' does",
        attention not in ("sdpa", "eager"),
    )
    yield "it builds its attention mask itself", not model._supports_attention_backend
    yield (
        "it takes no position ids",
        "position_ids" not in inspect.signature(type(model.base_model).forward).parameters,
    )
    # Given none, it counts positions from the mask and not along the row, unlike all others.
    yield "it derives positions from the mask", text.model_type == "opt"
    yield (
        "its rotary frequencies depend on the row's length",
        not ROPE_BY_LENGTH.isdisjoint(rope_types(text)),
    )
    yield (
        "the loss of its router counts every token of the row",
        bool(getattr(text, "output_router_logits", False)),
    )


ROPE_BY_LENGTH = frozenset({"dynamic", "longrope"})


def rope_types(config: Any) -> set[str]:
    """The kinds of rotary positions that a text model's configuration names."""
    settings = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in settings.values() if isinstance(value, dict)]
    return {str(each.get("rope_type")) for each in (settings, *nested)}


# --- one forward pass


def _one_pass(
    model: Any, input_ids_BS: Tensor, attention_mask_BS: Tensor, num_columns: int
) -> TokenScores:
    """Log-probs and entropies of one chunk, float32, shape (B, T) both."""
    groups = members_by_prompt(input_ids_BS, attention_mask_BS, num_columns)
    with compact_head(input_ids_BS.device):
        if len(groups) == len(input_ids_BS):
            # Nothing to share, and attention without a mask for each pair of tokens is faster.
            return _plain_pass(model, input_ids_BS, attention_mask_BS, num_columns)
        balance = balance_length(extract_model_from_parallel(model).config)
        return _packed_pass(
            model, least_cost_rows(groups, balance), input_ids_BS, attention_mask_BS, num_columns
        )


def _plain_pass(
    model: Any, input_ids_BS: Tensor, attention_mask_BS: Tensor, num_columns: int
) -> TokenScores:
    labels_BS = input_ids_BS.masked_fill(attention_mask_BS == 0, NO_LABEL)
    labels_BS[:, :-num_columns] = NO_LABEL
    outputs = model(
        input_ids=input_ids_BS,
        attention_mask=attention_mask_BS,
        labels=labels_BS,
        fused_lm_head=True,
    )
    return _scores(outputs, lambda values: values[:, -num_columns:])


def _packed_pass(
    model: Any,
    rows: Sequence[PackedRow],
    input_ids_BS: Tensor,
    attention_mask_BS: Tensor,
    num_columns: int,
) -> TokenScores:
    first = input_ids_BS.size(1) - num_columns
    layout = lay_out(rows, first, input_ids_BS.device)
    real_BS = attention_mask_BS.bool()
    here = (layout.rows_NL, layout.columns_NL)
    after = (layout.rows_NL, layout.columns_NL + 1)
    scored_NL = (layout.segments_NL > 0) & real_BS[after]
    outputs = model(
        input_ids=input_ids_BS[here],
        attention_mask=attention_bias(layout.segments_NL, real_BS[here], model),
        position_ids=layout.columns_NL,
        shift_labels=input_ids_BS[after].masked_fill(~scored_NL, NO_LABEL),
        fused_lm_head=True,
    )
    # Number of each scored completion token in the flattened (B, T).
    targets = (layout.rows_NL * num_columns + layout.columns_NL + 1 - first)[scored_NL]

    def scatter_back(values_NL: Tensor) -> Tensor:
        # Also with nothing scored, the result stays connected to the model: a wrapper for several
        # devices waits for its backward pass.
        zeros = values_NL.new_zeros(len(input_ids_BS) * num_columns)
        return zeros.scatter(0, targets, values_NL[scored_NL]).view(-1, num_columns)

    return _scores(outputs, scatter_back)


def _scores(outputs: Any, in_place: Callable[[Tensor], Tensor]) -> TokenScores:
    """A reference policy's head computes no entropy."""
    entropies = outputs.entropy
    return TokenScores(
        in_place(outputs.log_probs), None if entropies is None else in_place(entropies)
    )


def attends(segments_NL: Tensor, real_NL: Tensor) -> Tensor:
    """Which token (axis 1) sees which (axis 2): the prompt and its own segment, up to itself.

    Args:
        segments_NL: As in ``Layout``.
        real_NL: False at tokens that TRL's attention mask hides, bool, shape (N, L).

    Returns:
        Bool, shape (N, L, L). What would see nothing sees itself: an empty softmax is NaN.
    """
    length = segments_NL.size(1)
    causal_LL = torch.ones(length, length, dtype=torch.bool, device=segments_NL.device).tril()
    keys_N1L, queries_NL1 = segments_NL.unsqueeze(1), segments_NL.unsqueeze(2)
    seen_NLL = (keys_N1L == 0) | (keys_N1L == queries_NL1)
    seen_NLL = seen_NLL & real_NL.unsqueeze(1) & causal_LL
    empty_NL1 = ~seen_NLL.any(dim=2, keepdim=True)
    return seen_NLL | (empty_NL1 & torch.eye(length, dtype=torch.bool, device=segments_NL.device))


def attention_bias(segments_NL: Tensor, real_NL: Tensor, model: Any) -> Tensor:
    """``attends`` as a term of the attention scores, 0 or -inf, shape (N, 1, L, L).

    Scaled-dot-product attention would turn a bool mask into this in each layer anew and keep each
    layer's copy for its backward pass; eager attention takes no other form. One tensor, in the
    type that queries have, serves all layers.

    Args:
        segments_NL: As in ``Layout``.
        real_NL: As for ``attends``.
        model: For the type of its activations outside autocast.
    """
    device = segments_NL.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    else:
        dtype = extract_model_from_parallel(model).get_input_embeddings().weight.dtype
    seen_NLL = attends(segments_NL, real_NL)
    return torch.zeros_like(seen_NLL, dtype=dtype).masked_fill_(~seen_NLL, -torch.inf).unsqueeze(1)


def lay_out(rows: Sequence[PackedRow], first: int, device: torch.device) -> Layout:
    """Write packed rows out token by token, each padded to the longest.

    Args:
        rows: The packed rows.
        first: Column of the first completion token in the micro-batch, at least 1.
        device: Where the result goes.

    Returns:
        A layout in which padding repeats the micro-batch's first token.
    """
    length = max(row.num_tokens for row in rows)
    table = torch.zeros(3, len(rows), length, dtype=torch.long)
    table[2] = PADDING
    for n, row in enumerate(rows):
        source, num_shared, _ = row.members[0]
        stretches = [(source, first - 1 - num_shared, num_shared)]
        stretches += [(member.row, first - 1, member.length) for member in row.members]
        place = 0
        for segment, (source, column, count) in enumerate(stretches):
            here = slice(place, place + count)
            table[0, n, here] = source
            table[1, n, here] = torch.arange(column, column + count)
            table[2, n, here] = segment
            place += count
    return Layout(*table.to(device))


# --- members of each prompt


def members_by_prompt(
    input_ids_BS: Tensor, attention_mask_BS: Tensor, num_columns: int
) -> list[list[Span]]:
    """The rows that have a completion token, by prompt; row 0 alone if there is none at all.

    Args:
        input_ids_BS: As for ``packed_logps_and_entropies``.
        attention_mask_BS: Likewise.
        num_columns: T.
    """
    real_BS = attention_mask_BS.bool()
    first = input_ids_BS.size(1) - num_columns
    # Hidden tokens differ from real ones, so a prompt's padding is part of what makes it distinct.
    prompts = input_ids_BS.masked_fill(~real_BS, -1)[:, :first]
    _, prompt_B = torch.unique(prompts, dim=0, return_inverse=True)
    counts = torch.arange(1, num_columns + 1, device=real_BS.device)
    lengths_B = (real_BS[:, first:] * counts).amax(dim=1)
    shared_B = first - 1 - real_BS[:, :first].int().argmax(dim=1)
    groups: dict[int, list[Span]] = defaultdict(list)
    table = torch.stack([prompt_B, shared_B, lengths_B], dim=1).tolist()
    for row, (prompt, num_shared, length) in enumerate(table):
        if length:
            groups[prompt].append(Span(row, num_shared, length))
    if not groups:
        return [[Span(0, table[0][1], 1)]]
    return list(groups.values())
