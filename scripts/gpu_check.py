"""What only a GPU can show, in at most ten minutes on one: ``make gpu-check``.

Builds a small Llama with the lab's tokenizer on the spot and looks at four things: log-probs on the
GPU against the CPU; 20 RePO steps with vLLM beside training in bfloat16; the same trainer with
LoRA; and with QLoRA. Writes ``results/gpu_check/card.json``. Without a GPU it says so and ends with
status 3.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
NO_GPU = 3
LIMITS = {"float32": 1e-3, "bfloat16": 0.1}
"""Largest difference of a token's log-prob (nats) from the CPU's in float32."""


def main() -> int:
    """Run the checks; 0 if all passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu_check")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "gpu_check")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu-check: not run, since torch finds no GPU here")
        return NO_GPU
    arguments.work.mkdir(parents=True, exist_ok=True)
    model = small_model(arguments.work / "model")
    checks: dict[str, Callable[[], dict[str, Any]]] = {
        "logps": lambda: compare_logps(model),
        "vllm_steps": lambda: train_with_vllm(model, arguments.work / "vllm"),
        "lora_steps": lambda: train_adapter(model, arguments.work / "lora", four_bits=False),
        "qlora_steps": lambda: train_adapter(model, arguments.work / "qlora", four_bits=True),
    }
    card: dict[str, Any] = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    for name, check in checks.items():
        started = time.perf_counter()
        try:
            card[name] = {"passed": True, **check()}
        except Exception as error:  # the other checks still have something to say
            card[name] = {"passed": False, "error": f"{type(error).__name__}: {error}"}
        card[name]["seconds"] = round(time.perf_counter() - started, 1)
        print(f"{name}: {card[name]}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    return 0 if all(card[name]["passed"] for name in checks) else 1


def small_model(folder: Path) -> Path:
    """A random Llama whose heads are of a size that every attention kernel has."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from rephrase_rl.lab.tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=128,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def compare_logps(folder: Path) -> dict[str, Any]:
    """Log-probs of fixed rows on the GPU, in two number formats, against the CPU's."""
    from transformers import AutoModelForCausalLM

    ids = torch.randint(0, 100, (8, 200), generator=torch.Generator().manual_seed(1))

    def logps(device: str, dtype: torch.dtype) -> torch.Tensor:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
        with torch.no_grad():
            scores = model(ids.to(device)).logits[:, :-1].float().log_softmax(-1)
        return scores.gather(-1, ids[:, 1:, None].to(device)).squeeze(-1).cpu()

    expected = logps("cpu", torch.float32)
    found = {
        name: float((logps("cuda", getattr(torch, name)) - expected).abs().max()) for name in LIMITS
    }
    too_far = {name: value for name, value in found.items() if value > LIMITS[name]}
    if too_far:
        raise RuntimeError(f"log-probs differ from the CPU's by {too_far}, limits {LIMITS}")
    return {"largest_difference": found}


def train_with_vllm(model: Path, run: Path) -> dict[str, Any]:
    """Twenty RePO steps by the command line, rollouts and rewrites from vLLM beside training."""
    vllm = {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": 0.3,
        "vllm_max_model_length": 512,
    }
    train(run, {"path": str(model)}, {"max_steps": 20, **vllm})
    return steps_of(run, 20)


def train_adapter(model: Path, run: Path, *, four_bits: bool) -> dict[str, Any]:
    """Five RePO steps of an adapter, on weights in bfloat16 or in four bits; then it is merged."""
    policy = {
        "path": str(model),
        "dtype": "bfloat16",
        "lora": {"r": 8},
        "load_in_4bit": four_bits,
    }
    train(run, policy, {"max_steps": 5, "learning_rate": 1e-4})
    merged = run.with_name(f"{run.name}-merged")
    shutil.rmtree(merged, ignore_errors=True)
    command_line("export", "merged", str(run), str(merged))
    return steps_of(run, 5)


def train(run: Path, model: dict[str, Any], trainer: dict[str, Any]) -> None:
    """RePO on the lab by the command line, four rollouts of four problems a step."""
    config = run.with_suffix(".yaml")
    raw = {
        "method": "repo",
        "model": model,
        "data": [{"name": "lab", "path": "lab:hard", "limit": 64}],
        "output_dir": str(run),
        "trainer": {
            "num_generations": 4,
            "per_device_train_batch_size": 16,
            "max_completion_length": 64,
            "bf16": True,
            **trainer,
        },
    }
    config.write_text(json.dumps(raw))
    command_line("train", str(config), "--overwrite")


def command_line(*words: str) -> None:
    """``rephrase-rl`` in a process of its own, which gives the GPU's memory back."""
    subprocess.run([sys.executable, "-m", "rephrase_rl.cli.main", *words], check=True)


def steps_of(run: Path, count: int) -> dict[str, Any]:
    """What a run directory says of its steps; refused where one is missing or not finite."""
    from rephrase_rl.runs import RunDirectory

    steps = list(RunDirectory.open(run).steps())
    finite = [s for s in steps if s.metrics.get("loss") is not None]
    if len(steps) != count or len(finite) != count:
        raise RuntimeError(
            f"found {len(steps)} steps, {len(finite)} with a finite loss, of {count}"
        )
    opened = [step.metrics.get("gate/open_fraction") for step in steps]
    return {"steps": count, "gate_open_first": opened[0], "gate_open_last": opened[-1]}


if __name__ == "__main__":
    sys.exit(main())
