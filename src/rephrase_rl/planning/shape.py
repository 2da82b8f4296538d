"""The sizes of a dense decoder-only model, and what follows from them by counting.

Pure arithmetic on the fields of a transformers ``config.json``; nothing is loaded. Parameter counts
are exact (tests compare them with transformers), floating-point operations count a multiplication
and an addition each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rephrase_rl.errors import ConfigError

QueryKeyNorm = Literal["none", "head", "width"]


@dataclass(frozen=True, slots=True)
class Family:
    """What a model type of transformers has beside its configuration's fields."""

    qkv_bias: bool = False
    query_key_norm: QueryKeyNorm = "none"
    """``head``: one norm over a head, shared by all heads; ``width``: over all heads together."""
    norms_per_layer: int = 2


FAMILIES: Mapping[str, Family] = {
    "llama": Family(),
    "mistral": Family(),
    "ministral3": Family(),
    "smollm3": Family(),
    "phi3": Family(),
    "granite": Family(),
    "gemma": Family(),
    "gemma2": Family(norms_per_layer=4),
    "gemma3_text": Family(query_key_norm="head", norms_per_layer=4),
    "qwen2": Family(qkv_bias=True),
    "qwen3": Family(query_key_norm="head"),
    "olmo2": Family(query_key_norm="width"),
}
"""Model types with a gated MLP (three matrices) and RMS norms, whose parameters are counted."""

_EXPERT_FIELDS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a decoder with grouped-query attention and a gated MLP."""

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool
    """Whether the output projection is the embedding."""
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    query_key_norm: QueryKeyNorm = "none"
    norms_per_layer: int = 2

    @property
    def query_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all key heads together; values have the same."""
        return self.kv_heads * self.head_dim

    @property
    def layer_matrix_parameters(self) -> int:
        """Parameters of one layer that take part in matrix products."""
        attention = self.hidden * (2 * self.query_width + 2 * self.kv_width)
        return attention + 3 * self.hidden * self.intermediate

    @property
    def layer_parameters(self) -> int:
        """All parameters of one layer."""
        biases = self.qkv_bias * (self.query_width + 2 * self.kv_width)
        biases += self.output_bias * self.hidden
        biases += self.mlp_bias * (2 * self.intermediate + self.hidden)
        norms = self.norms_per_layer * self.hidden
        if self.query_key_norm == "head":
            norms += 2 * self.head_dim
        elif self.query_key_norm == "width":
            norms += self.query_width + self.kv_width
        return self.layer_matrix_parameters + biases + norms

    @property
    def head_parameters(self) -> int:
        """Parameters of the output projection, tied or not."""
        return self.hidden * self.vocab

    @property
    def parameters(self) -> int:
        """All parameters; a tied embedding is counted once."""
        embeddings = self.head_parameters * (1 if self.tied else 2)
        return embeddings + self.layers * self.layer_parameters + self.hidden

    @property
    def matrix_parameters(self) -> int:
        """Parameters that are read to compute one token: all matrices, the projection included."""
        return self.layers * self.layer_matrix_parameters + self.head_parameters

    def forward_flops(self, context: float) -> float:
        """Floating-point operations to compute one token that sees ``context`` tokens."""
        attention = 4.0 * self.layers * self.query_width * context
        return 2.0 * self.matrix_parameters + attention

    def kv_bytes_per_token(self, bytes_per_number: int) -> int:
        """Bytes of keys and values that one token leaves in the cache."""
        return 2 * self.layers * self.kv_width * bytes_per_number

    def lora_parameters(self, rank: int, layers: Collection[str] = ()) -> int:
        """Parameters of adapters of this rank in every layer.

        Args:
            rank: Of the adapters.
            layers: Names of the matrices that have one, of those in ``matrices``; empty: all seven.
        """
        ends = [a + b for name, (a, b) in self.matrices.items() if name in (layers or SEVEN)]
        return self.layers * rank * sum(ends)

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of a layer's matrices, by transformers' names; two also as fused."""
        h, q, k, i = self.hidden, self.query_width, self.kv_width, self.intermediate
        return {
            "q_proj": (h, q),
            "k_proj": (h, k),
            "v_proj": (h, k),
            "o_proj": (q, h),
            "gate_proj": (h, i),
            "up_proj": (h, i),
            "down_proj": (i, h),
            "qkv_proj": (h, q + 2 * k),
            "gate_up_proj": (h, 2 * i),
        }


SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The matrices of a layer, none of them fused."""
FUSED = ("qkv_proj", "gate_up_proj")
"""Names of several in one."""


def shape_from_config(config: Mapping[str, Any], name: str) -> ModelShape:
    """Read the sizes out of a transformers configuration.

    Args:
        config: The text model's configuration as plain data (``config.json``).
        name: How reports call the model.

    Raises:
        ConfigError: It is not a dense decoder of a known family, or sizes are missing.
    """
    kind = str(config.get("model_type"))
    faults = _unsupported(config, kind)
    needed = (
        "num_hidden_layers",
        "hidden_size",
        "num_attention_heads",
        "intermediate_size",
        "vocab_size",
    )
    faults += [f"{field} is missing" for field in needed if not config.get(field)]
    if faults:
        raise ConfigError(
            f"found a configuration of {name} that cannot be planned for; required: a dense "
            f"decoder of a known type; do this: write its sizes under plan.shape",
            faults,
        )
    family = FAMILIES[kind]
    heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
    bias = bool(config.get("attention_bias"))
    return ModelShape(
        name=name,
        layers=int(config["num_hidden_layers"]),
        hidden=hidden,
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or hidden // heads),
        intermediate=int(config["intermediate_size"]),
        vocab=int(config["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings")),
        qkv_bias=bias or family.qkv_bias,
        output_bias=bias,
        mlp_bias=bool(config.get("mlp_bias")),
        query_key_norm=family.query_key_norm,
        norms_per_layer=family.norms_per_layer,
    )


def _unsupported(config: Mapping[str, Any], kind: str) -> list[str]:
    faults = []
    if any(int(config.get(field) or 0) > 1 for field in _EXPERT_FIELDS):
        faults.append("it has experts of which each token uses a few (a mixture of experts)")
    if config.get("is_encoder_decoder"):
        faults.append("it is an encoder-decoder")
    if kind not in FAMILIES:
        faults.append(f"model_type is {kind!r}; known are {', '.join(FAMILIES)}")
    return faults
