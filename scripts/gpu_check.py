"""What only a GPU can show, in at most ten minutes on one: ``make gpu-check``.

Builds a small Llama on the spot and looks at five things:

- ``logps``: log-probs of fixed rows on the GPU against the CPU's, in two number formats;
- ``steps``: 20 RePO steps on the CPU, and the same rollouts and rewrites trained on on the GPU, in
  float32 and in bfloat16: rewards, gates, losses, gradients, log-probs and entropies side by side;
- ``vllm``: 20 steps by the command line with vLLM beside training in bfloat16;
- ``lora``: the second check with an adapter, in bfloat16;
- ``qlora``: an adapter on weights in four bits.

The model has learned nothing, so a verifier that a third of all texts satisfy makes groups of
every kind: without rewrites that enter, a check fails. Writes ``results/gpu_check/card.json``.
Without a GPU it says so and ends with status 3. ``--cpu`` runs the same code without one, smaller
and without vLLM and four bits, and writes to ``build/`` alone: it shows that the script works, and
nothing about GPUs. On a GPU it wants vLLM and bitsandbytes beside this package.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
NO_GPU = 3
STEPS = 20
LIMITS = {"float32": 2e-3, "bfloat16": 0.1}
"""Largest difference from the CPU in float32, of a token's log-prob (nats), or of a figure, there
beside 1 + its size."""
FIGURES = (
    "reward",
    "gate/open_fraction",
    "injection/accepted",
    "loss",
    "grad_norm",
    "entropy",
    "rollouts/policy_logp",
    "injection/policy_logp",
)
"""Figures of a step that have to be the same."""


@dataclass(frozen=True)
class Setting:
    """Where the checks run, and how large they are."""

    device: str
    work: Path
    hidden: int = 256

    @property
    def is_cpu(self) -> bool:
        """Whether this is the form without a GPU."""
        return self.device == "cpu"


@dataclass
class Samples:
    """What was sampled in one run, to be trained on again in another."""

    calls: list[list[list[int]]] = field(default_factory=list)


def main() -> int:
    """Run the checks; 0 if all passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", action="store_true", help="the same code without a GPU, smaller")
    parser.add_argument("--out", type=Path, help="folder of the card")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "gpu_check")
    arguments = parser.parse_args()
    if not (arguments.cpu or torch.cuda.is_available()):
        print("gpu-check: not run, since torch finds no GPU here")
        return NO_GPU
    at = Setting("cuda", arguments.work)
    if arguments.cpu:
        at = Setting("cpu", arguments.work, hidden=64)
    at.work.mkdir(parents=True, exist_ok=True)
    out = arguments.out or (at.work if at.is_cpu else ROOT / "results" / "gpu_check")
    name = "cpu" if at.is_cpu else torch.cuda.get_device_name()
    card: dict[str, Any] = {"device": name, "torch": torch.__version__, "limits": LIMITS}
    checks = checks_of(at)
    for title, check in checks.items():
        card[title] = outcome_of(check)
        print(f"{title}: {json.dumps(card[title])}", flush=True)
    card["seconds"] = round(sum(card[title]["seconds"] for title in checks), 1)
    out.mkdir(parents=True, exist_ok=True)
    (out / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    return 0 if all(card[title]["passed"] for title in checks) else 1


def checks_of(at: Setting) -> dict[str, Callable[[], dict[str, Any]]]:
    """The checks by name."""
    model = small_model(at)
    return {
        "logps": lambda: compare_logps(at, model),
        "steps": lambda: compare_steps(at, model, ("float32", "bfloat16")),
        "vllm": lambda: train_with_vllm(at, model),
        "lora": lambda: compare_steps(at, model, ("bfloat16",), adapter=True),
        "qlora": lambda: train_quantised(at, model),
    }


def outcome_of(check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a check found and how long it took; an error is an outcome too."""
    started = time.perf_counter()
    try:
        outcome = {"passed": True, **check()}
    except Exception as error:  # the other checks still have something to say
        outcome = {"passed": False, "error": f"{type(error).__name__}: {error}"}
    return {**outcome, "seconds": round(time.perf_counter() - started, 1)}


def right_for_a_third(completion: str, reference_answer: str) -> float:
    """A reward that texts of a model without any training earn one time in three."""
    return float(sum(map(ord, completion)) % 3 == 0)


def small_model(at: Setting) -> Path:
    """A random Llama, on a GPU with heads of a size that every attention kernel has."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from rephrase_rl.lab.tokenizer import build_tokenizer

    folder, tokenizer = at.work / "model", build_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=128,
        hidden_size=at.hidden,
        intermediate_size=2 * at.hidden,
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


def compare_logps(at: Setting, folder: Path) -> dict[str, Any]:
    """Log-probs of fixed rows on the device, in two number formats, against the CPU's."""
    from transformers import AutoModelForCausalLM

    ids = torch.randint(0, 100, (8, 200), generator=torch.Generator().manual_seed(1))

    def logps(device: str, dtype: torch.dtype) -> torch.Tensor:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
        with torch.no_grad():
            scores = model(ids.to(device)).logits[:, :-1].float().log_softmax(-1)
        return scores.gather(-1, ids[:, 1:, None].to(device)).squeeze(-1).cpu()

    expected = logps("cpu", torch.float32)
    found = {
        name: float((logps(at.device, getattr(torch, name)) - expected).abs().max())
        for name in LIMITS
    }
    too_far = {name: value for name, value in found.items() if value > LIMITS[name]}
    if too_far:
        raise RuntimeError(f"log-probs differ from the CPU's by {too_far}, limits {LIMITS}")
    return {"largest_difference": found}


def compare_steps(
    at: Setting, model: Path, formats: Sequence[str], *, adapter: bool = False
) -> dict[str, Any]:
    """RePO steps on the CPU, and the same samples trained on on the device."""
    samples = Samples()
    expected = train_steps(at, model, "cpu", "float32", samples, adapter=adapter)
    injected = sum(step["injection/accepted"] for step in expected)
    if not injected or not any(step["grad_norm"] for step in expected):
        raise RuntimeError("no rewrite has entered a group, so the comparison shows nothing")
    largest = {}
    for name in formats:
        found = train_steps(at, model, at.device, name, samples, adapter=adapter, again=True)
        largest[name] = largest_difference(expected, found)
        figure, difference = largest[name]
        if not difference <= LIMITS[name]:
            raise RuntimeError(
                f"{figure} differs from the CPU's by {difference} in {name}, limit {LIMITS[name]}"
            )
    return {
        "steps": len(expected),
        "injected": injected,
        "largest_difference": {name: dict([pair]) for name, pair in largest.items()},
    }


def largest_difference(
    expected: Sequence[dict[str, float]], found: Sequence[dict[str, float]]
) -> tuple[str, float]:
    """The figure that is furthest from what it should be, and how far beside 1 + its size."""
    if len(found) != len(expected):
        raise RuntimeError(f"found {len(found)} steps, required {len(expected)}")
    worst = ("", -1.0)
    for before, after in zip(expected, found, strict=True):
        for name in FIGURES:
            if (name in before) != (name in after):
                raise RuntimeError(f"{name} is there on one device alone")
            if name in before:
                far = abs(after[name] - before[name]) / (1 + abs(before[name]))
                # NaN is larger than any limit.
                worst = max(worst, (name, far if far == far else float("inf")), key=lambda w: w[1])
    return worst


def train_steps(
    at: Setting,
    model: Path,
    device: str,
    number_format: str,
    samples: Samples,
    *,
    adapter: bool = False,
    again: bool = False,
) -> list[dict[str, float]]:
    """The figures of each of 20 RePO steps; samples are kept, or trained on again."""
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM

    trainer = trainer_of(
        # On the CPU at first: an adapter then begins with the same random numbers everywhere.
        AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        model,
        at.work / "steps",
        use_cpu=device == "cpu",
        bf16=number_format == "bfloat16",
        adapter=LoraConfig(r=8, target_modules="all-linear") if adapter else None,
    )
    with_samples(trainer, samples, again)
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
    return [
        {name: entry[name] for name in FIGURES if entry.get(name) is not None} for entry in logged
    ]


def with_samples(trainer: Any, samples: Samples, again: bool) -> None:
    """Keep what the trainer samples, or give it what was kept."""
    sample, kept = trainer._generate_single_turn, iter(samples.calls)

    def keeping(*args: Any, **kwargs: Any) -> Any:
        ids, *_ = sample(*args, **kwargs)
        samples.calls.append([list(row) for row in ids])
        return ids, None

    def giving(prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        ids = next(kept)
        if len(ids) != len(prompt_ids):
            raise RuntimeError(f"{len(prompt_ids)} rows were asked for, and {len(ids)} were kept")
        return [list(row) for row in ids], None

    trainer._generate_single_turn = giving if again else keeping


def trainer_of(
    loaded: Any,
    model: Path,
    folder: Path,
    *,
    use_cpu: bool,
    bf16: bool,
    adapter: Any,
    steps: int = STEPS,
) -> Any:
    """A RePO trainer on hard problems of the lab."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import GRPOConfig

    from rephrase_rl import RePOTrainer, preset_guidance
    from rephrase_rl.lab.problems import hard_problems

    def third(completions: Sequence[Any], **_: Any) -> list[float]:
        return [right_for_a_third(turns[-1]["content"], "") for turns in completions]

    rows = [
        {
            "prompt": [{"role": "user", "content": problem.question}],
            "expert_solution": problem.expert_solution,
            "reference_answer": problem.reference_answer,
            "problem_id": problem.problem_id,
            "task_kind": problem.task_kind,
        }
        for problem in hard_problems(4 * STEPS, split="train", seed=0)
    ]
    return RePOTrainer(
        model=loaded,
        reward_funcs=[third],
        args=GRPOConfig(
            str(folder),
            max_steps=steps,
            num_generations=4,
            per_device_train_batch_size=16,
            max_completion_length=64,
            learning_rate=1e-5,
            lr_scheduler_type="constant",
            use_cpu=use_cpu,
            bf16=bf16,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
            logging_steps=1,
            disable_tqdm=True,
            seed=0,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(model),
        peft_config=adapter,
        # Most texts of such a model do not end by themselves.
        guidance=preset_guidance("repo", {"accept": ["reward_above_replaced"]}),
    )


def train_with_vllm(at: Setting, model: Path) -> dict[str, Any]:
    """Twenty RePO steps by the command line, rollouts and rewrites from vLLM beside training."""
    run = at.work / "vllm"
    trainer: dict[str, Any] = {
        "max_steps": STEPS,
        "num_generations": 4,
        "per_device_train_batch_size": 16,
        "max_completion_length": 64,
        "bf16": True,
    }
    if not at.is_cpu:
        trainer |= {
            "use_vllm": True,
            "vllm_mode": "colocate",
            "vllm_gpu_memory_utilization": 0.3,
            "vllm_max_model_length": 512,
        }
    config = run.with_suffix(".yaml")
    settings = {
        "method": "repo",
        "model": {"path": str(model)},
        "data": [{"name": "lab", "path": "lab:hard", "limit": 4 * STEPS}],
        "rewards": [{"verifier": f"{Path(__file__).resolve()}:right_for_a_third"}],
        "guidance": {"accept": ["reward_above_replaced"]},
        "output_dir": str(run),
        "trainer": trainer,
    }
    config.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "rephrase_rl.cli.main", "train", str(config), "--overwrite"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {"vllm": not at.is_cpu, **steps_of(run)}


def steps_of(run: Path) -> dict[str, Any]:
    """What a run directory says of its steps; refused where one is missing or not finite."""
    from rephrase_rl.runs import RunDirectory

    steps = list(RunDirectory.open(run).steps())
    finite = [s for s in steps if s.metrics.get("loss") is not None]
    if len(steps) != STEPS or len(finite) != STEPS:
        raise RuntimeError(
            f"found {len(steps)} steps, {len(finite)} with a finite loss, of {STEPS}"
        )
    injected = sum(step.metrics["injection/accepted"] or 0 for step in steps)
    if not injected:
        raise RuntimeError("no rewrite has entered a group")
    return {"steps": STEPS, "injected": injected}


def train_quantised(at: Setting, model: Path) -> dict[str, Any]:
    """Five RePO steps of an adapter on weights in four bits; without a GPU in bfloat16."""
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    loading: dict[str, Any] = {"dtype": torch.bfloat16}
    if not at.is_cpu:
        loading["device_map"] = at.device
        loading["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
    loaded = AutoModelForCausalLM.from_pretrained(model, **loading)
    trainer = trainer_of(
        loaded,
        model,
        at.work / "qlora",
        use_cpu=at.is_cpu,
        bf16=True,
        adapter=LoraConfig(r=8, target_modules="all-linear"),
        steps=5,
    )
    trainer.train()
    norms = [entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry]
    if len(norms) != 5 or not all(norm == norm for norm in norms) or not any(norms):
        raise RuntimeError(f"found gradients of norm {norms}, required five numbers, not all 0")
    return {"four_bits": not at.is_cpu, "grad_norms": norms}


if __name__ == "__main__":
    sys.exit(main())
