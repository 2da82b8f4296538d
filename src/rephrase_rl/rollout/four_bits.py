"""Weights held in 4 bits (NF4 of bitsandbytes), as QLoRA trains adapters on them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from accelerate import PartialState
from transformers import BitsAndBytesConfig

from rephrase_rl.errors import EngineError


def four_bit_loading() -> dict[str, Any]:
    """Arguments of ``from_pretrained`` for weights in 4 bits on this process's GPU.

    NF4 with quantised constants and products in bfloat16, as in QLoRA (arXiv:2305.14314, section
    3). Embeddings, norms and the output projection keep their own number format.

    Raises:
        EngineError: There is no NVIDIA GPU, or bitsandbytes is not installed.
    """
    if not torch.cuda.is_available():
        raise EngineError(
            f"model.load_in_4bit is set, and torch {torch.__version__} finds no NVIDIA GPU here; "
            "required: one, since training beside weights in 4 bits needs CUDA kernels; do this: "
            "set model.load_in_4bit to false (model.lora trains adapters on a CPU too), or run on "
            "a machine with a GPU (`rephrase-rl doctor` shows what is found)"
        )
    if find_spec("bitsandbytes") is None:
        raise EngineError(
            "model.load_in_4bit is set, and the package bitsandbytes is not installed; required: "
            "the extra for QLoRA; do `pip install '.[qlora]'` in the clone"
        )
    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        ),
        # Each process holds the whole model on its own GPU; "auto" would split one over several.
        "device_map": {"": PartialState().local_process_index},
    }
