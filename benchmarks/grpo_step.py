"""One optimiser step of ours beside stock TRL's: the same model, prompts, group size and lengths.

Arms run in turn, A B A B, each in a process of its own (so that peak memory is its own), and are
compared as ratios pair by pair:

* ``trl``: TRL's ``GRPOTrainer`` tuned for a CPU (bf16 autocast where the CPU has it, no
  checkpointing).
* ``trl-small``: the same in micro-batches of 8 rows, whose gradients TRL accumulates.
* ``trl-default``: the same with TRL's defaults (gradient checkpointing).
* ``grpo``: ``RePOTrainer`` without guidance.
* ``repo-closed``: ``RePOTrainer`` with RePO, whose gates stay closed.
* ``repo-open``: the same with every gate open and every rewrite accepted; rewrites are sampled
  after the gate (lazy).
* ``repo-anticipated``: as ``repo-open``, but rewrites are sampled together with the rollouts.

``smollm2`` is SmolLM2-135M's architecture with random weights (its cost does not depend on their
values, and no end token is ever drawn, so every completion has full length); ``lab`` is the lab's
policy on its own problems, whose completions end by themselves.

    python benchmarks/grpo_step.py --model smollm2 --rows 64 --arms trl grpo --pairs 5 --json OUT
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ARMS = ("trl", "trl-small", "trl-default", "grpo", "repo-closed", "repo-open", "repo-anticipated")
GROUP = 8
PHASES = (
    "generate",
    "verify",
    "guidance",
    "rewrite",
    "log_probs",
    "records",
    "loss",
    "backward",
    "optimiser",
)
SHAPES = {"smollm2": (128, 64), "lab": (0, 60)}
"""Model -> tokens of a prompt (0: those of the lab's problems), most new tokens."""


def main() -> None:
    """Run one arm (``--worker``), or all arms in turn and compare them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=SHAPES, default="smollm2")
    parser.add_argument("--rows", type=int, default=64, help="rollouts of one step")
    parser.add_argument("--steps", type=int, default=2, help="timed steps of a process")
    parser.add_argument("--warm-up", type=int, default=1, help="steps before, not counted")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["trl", "grpo"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write all figures here too")
    parser.add_argument("--worker", choices=ARMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(options)))
        return
    runs: dict[str, list[dict[str, Any]]] = {arm: [] for arm in options.arms}
    for _ in range(options.pairs):
        for arm in options.arms:
            runs[arm].append(run_worker(arm))
    report(options, runs)


def run_worker(arm: str) -> dict[str, Any]:
    """One arm in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, *sys.argv[1:], "--worker", arm]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{arm} broke off:\n{done.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{arm:<12} {figures['step_s']:7.2f} s a step, {figures['peak_gib']:.2f} GiB", flush=True)
    return figures


def report(options: argparse.Namespace, runs: dict[str, list[dict[str, Any]]]) -> None:
    """Print medians with smallest and largest, phases, and ratios to the first arm."""
    from rephrase_rl.runs import collect_manifest

    about = collect_manifest("benchmarks/grpo_step.py", seed=0)
    print(f"\n{about['hardware']['cpu']}, {options.threads} threads, torch ", end="")
    print(f"{about['versions']['torch']}, trl {about['versions']['trl']}, commit ", end="")
    print(f"{about['git']['commit']}{' with changes' if about['git']['dirty'] else ''}")
    print(f"{options.model}, {options.rows} rows; median (smallest to largest) of {options.pairs}")
    names = ("step_s", *PHASES, "peak_gib")
    print("\n| arm | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1))
    for arm, figures in runs.items():
        cells = [spread([f[name] for f in figures]) for name in names]
        print(f"| {arm} | {' | '.join(cells)} |")
    first = options.arms[0]
    ratios: dict[str, Any] = {}
    for arm in options.arms[1:]:
        pairs = list(zip(runs[arm], runs[first], strict=True))
        ratios[arm] = {
            name: [a[name] / b[name] for a, b in pairs] for name in ("step_s", "peak_gib")
        }
        for name, values in ratios[arm].items():
            print(f"{name}, {arm} / {first}: {spread(values)}")
    if options.json:
        settings = {k: v for k, v in vars(options).items() if k not in ("json", "worker")}
        record = {"about": about, "settings": settings, "runs": runs, "ratios": ratios}
        options.json.write_text(json.dumps(record, indent=2) + "\n")


def spread(values: list[float]) -> str:
    """Median with smallest and largest."""
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def work(options: argparse.Namespace) -> dict[str, Any]:
    """Train ``steps`` timed steps after those that warm up."""
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = build(options, Path(folder))
        seconds = instrument(trainer)
        marks: list[dict[str, float]] = []
        trainer.add_callback(mark_steps(marks, seconds))
        trainer.train()
    phases = steps_between(marks)[options.warm_up :]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    middle = {name: statistics.median(p[name] for p in phases) for name in phases[0]}
    return {"step_s": middle.pop("at"), **middle, "peak_gib": peak}


def steps_between(marks: list[dict[str, float]]) -> list[dict[str, float]]:
    """Seconds of each step, whole (``at``) and by phase."""
    return [
        {name: after[name] - before[name] for name in after}
        for before, after in itertools.pairwise(marks)
    ]


def mark_steps(marks: list[dict[str, float]], seconds: dict[str, float]) -> Any:
    """A callback that reads the clocks at the start of training and at the end of each step."""
    from transformers import TrainerCallback

    class Marks(TrainerCallback):
        """Reads the clocks."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Before the first step."""
            marks.append({"at": time.perf_counter(), **seconds})

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Each step."""
            marks.append({"at": time.perf_counter(), **seconds})

    return Marks()


def instrument(trainer: Any) -> dict[str, float]:
    """Add up the seconds of each phase; what a phase calls of another counts for the other.

    All of a rewrite counts as ``rewrite``, its sampling too.
    """
    seconds = dict.fromkeys(PHASES, 0.0)
    running: list[list[float]] = []
    whole: list[str] = []

    def timed(owner: Any, attribute: str, phase: str) -> None:
        inner: Callable[..., Any] = getattr(owner, attribute)

        def call(*args: Any, **kwargs: Any) -> Any:
            if whole:
                return inner(*args, **kwargs)
            running.append([0.0])
            if phase == "rewrite":
                whole.append(phase)
            started = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                spent = time.perf_counter() - started
                seconds[phase] += spent - running.pop()[0]
                if phase == "rewrite":
                    whole.pop()
                if running:
                    running[-1][0] += spent

        setattr(owner, attribute, call)

    timed(trainer, "_generate_single_turn", "generate")
    timed(trainer, "_calculate_rewards", "verify")
    timed(trainer, "_compute_loss", "loss")
    timed(trainer.accelerator, "backward", "backward")
    if hasattr(trainer, "guide_batch"):
        from rephrase_rl.trainers.trl.engine import TrlGuidanceEngine

        timed(trainer, "score_rows", "verify")
        timed(trainer, "guide_batch", "guidance")
        timed(trainer, "_record", "records")
        # Once for all trainers of the process: an engine is made anew for each batch.
        timed(TrlGuidanceEngine, "_sample_now", "rewrite")
        timed(TrlGuidanceEngine, "_padded_logps", "log_probs")
    create = trainer.create_optimizer

    def create_and_time(*args: Any, **kwargs: Any) -> Any:
        created = create(*args, **kwargs)
        timed(trainer.optimizer, "step", "optimiser")
        return created

    trainer.create_optimizer = create_and_time
    return seconds


def build(options: argparse.Namespace, folder: Path) -> Any:
    """The trainer of one arm."""
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import GRPOConfig, GRPOTrainer

    from rephrase_rl import RePOTrainer
    from rephrase_rl.methods import TRAINER_DEFAULTS

    prompt_tokens, new_tokens = SHAPES[options.model]
    model, tokenizer, rows = lab() if options.model == "lab" else smollm2(prompt_tokens)
    arm = options.worker
    rows_at_once = GROUP if arm == "trl-small" else options.rows
    fields: dict[str, Any] = dict(TRAINER_DEFAULTS) | {
        "num_generations": GROUP,
        "per_device_train_batch_size": rows_at_once,
        "gradient_accumulation_steps": options.rows // rows_at_once,
        "max_completion_length": new_tokens,
        "max_steps": options.steps + options.warm_up,
        "bf16": bool(torch.cpu._is_avx512_bf16_supported()) and options.model != "lab",
        "gradient_checkpointing": arm == "trl-default",
        "shuffle_dataset": False,
    }
    args = GRPOConfig(
        str(folder), use_cpu=True, report_to="none", disable_tqdm=True, logging_steps=1, **fields
    )
    data = Dataset.from_list(
        (rows * (1 + options.rows * (options.steps + options.warm_up) // len(rows)))[:4096]
    )
    common = {
        "model": model,
        "args": args,
        "train_dataset": data,
        "processing_class": tokenizer,
        "reward_funcs": [reward_of(arm, options.rows)],
    }
    if arm.startswith("trl"):
        trainer = GRPOTrainer(**common)
    else:
        trainer = RePOTrainer(guidance=guidance_of(arm), **common)
    trainer.remove_callback(PrinterCallback)
    return trainer


def guidance_of(arm: str) -> Any:
    """The guidance of one of our arms."""
    from rephrase_rl import preset_guidance

    if arm == "grpo":
        return preset_guidance("grpo")
    if arm == "repo-closed":
        return preset_guidance("repo")
    sampling = "anticipated" if arm == "repo-anticipated" else "lazy"
    # Random weights never end a text, which acceptance rules would refuse.
    return preset_guidance("repo", {"source": {"sampling": sampling}, "accept": []})


def reward_of(arm: str, rows: int) -> Any:
    """A reward with spread in every group; nothing but rewrites is right where gates shall open."""

    def reward(completion_ids: list[list[int]], **columns: Any) -> list[float]:
        if arm in ("repo-open", "repo-anticipated"):
            return [float(len(completion_ids) != rows)] * len(completion_ids)
        return [float(i % 2) for i in range(len(completion_ids))]

    return reward


def smollm2(prompt_tokens: int) -> tuple[Any, Any, list[dict[str, Any]]]:
    """SmolLM2-135M's architecture, random weights, prompts of random letters."""
    import random

    from transformers import LlamaConfig, LlamaForCausalLM

    from rephrase_rl.lab.policies import policy_path
    from rephrase_rl.rollout import load_policy

    tokenizer = load_policy(policy_path("base")).tokenizer
    # Every token needs a text: a rewrite that decodes to nothing is refused.
    tokenizer.add_tokens([f"<{i}>" for i in range(len(tokenizer), 49152)])
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    rng = random.Random(0)

    def text(tokens: int) -> str:
        return "".join(rng.choice("0123456789") for _ in range(tokens))

    # Of the lab's kind, whose P(q, k) is q, k and two tokens; a template of words has 100 more.
    rows = [
        {
            "prompt": text(prompt_tokens),
            "expert_solution": text(64),
            "problem_id": f"p{i}",
            "task_kind": "lab",
            "pass_rate": 0.0,
        }
        for i in range(256)
    ]
    return LlamaForCausalLM(config), tokenizer, rows


def lab() -> tuple[Any, Any, list[dict[str, Any]]]:
    """The lab's policy and its mixed problems."""
    from rephrase_rl.assembly.objects import load_data
    from rephrase_rl.assembly.training import training_dataset
    from rephrase_rl.config import parse_config
    from rephrase_rl.lab.policies import policy_path
    from rephrase_rl.rollout import load_policy

    policy = load_policy(policy_path("base"))
    config = parse_config(
        {"method": "grpo", "model": {"path": "lab:base"}, "data": {"path": "lab:mixed"}}
    )
    problems = [problem for data in config.data for problem in load_data(data)]
    return policy.model, policy.tokenizer, list(training_dataset(problems[:1024], config))


if __name__ == "__main__":
    main()
