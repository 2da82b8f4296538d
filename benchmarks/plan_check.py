"""Steps that ``rephrase-rl plan`` predicts, beside the same steps as they are measured.

Every setting trains a few steps in a process of its own on this machine's CPU. The lengths in
tokens that occur are given to the plan, so that what is checked is seconds. ``FIT`` settings fit
what the trainer takes beyond the model (four figures: factors of sampling, forward and backward
pass, seconds of a step and of a row); the others are not used for anything but the comparison.

    python benchmarks/plan_constants.py --out src/rephrase_rl/planning/measured
    python benchmarks/plan_check.py run              # or some of the settings; 30 s each
    python benchmarks/plan_check.py report           # fits, compares, writes, prints

After a change of the trainer, the last two lines bring everything up to date; after one of the
sampler or of the packed pass, all three.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpo_step import GROUP, lab, mark_steps

from rephrase_rl.assembly.plan_measure import llama_shape, random_model
from rephrase_rl.planning import Computing, ModelShape, Setting, Workload
from rephrase_rl.planning.devices import TrainerOverhead
from rephrase_rl.planning.measured import (
    SHIPPED,
    file_name,
    measured_device,
    read_constants,
    write_constants,
)
from rephrase_rl.planning.memory import device_memory
from rephrase_rl.planning.phases import step_phases
from rephrase_rl.planning.published import Assumptions
from rephrase_rl.runs import collect_manifest
from rephrase_rl.runs.hardware import describe_hardware

RESULTS = Path(__file__).parents[1] / "results" / "plan_check"
TRAINER_SEED = 0
LAB = ModelShape("lab:base", 4, 128, 4, 4, 32, 288, 103, tied=True)
SMOLLM2 = llama_shape("SmolLM2-135M's sizes", (30, 576, 9, 3, 1536, 49152))
NARROW = llama_shape("8 layers of 256", (8, 256, 4, 2, 704, 4096))
MIDDLE = llama_shape("12 layers of 384", (12, 384, 6, 2, 1024, 8192))
DEEP = llama_shape("16 layers of 256", (16, 256, 4, 2, 704, 4096))
WIDE = llama_shape("4 layers of 768", (4, 768, 12, 4, 2048, 16384))


@dataclass(frozen=True, slots=True)
class Case:
    """One setting that is trained."""

    shape: ModelShape
    rows: int
    prompt_tokens: int = 0
    new_tokens: int = 60
    mode: str = "none"
    """When rewrites are sampled; none: GRPO."""
    open_share: float = 0.0
    micro_batches: int = 1
    bfloat16: bool = False
    steps: int = 3
    fitted: bool = False


CASES: dict[str, Case] = {
    "lab_256": Case(LAB, 256, steps=5, fitted=True),
    "smollm2_16x32": Case(SMOLLM2, 16, 128, 32, steps=2, fitted=True),
    "narrow_lazy": Case(NARROW, 32, 96, 48, "lazy", 1.0, fitted=True),
    "lab_64": Case(LAB, 64, steps=6),
    "smollm2_16x64_lazy": Case(SMOLLM2, 16, 128, 64, "lazy", 1.0, micro_batches=2, steps=2),
    "middle_64": Case(MIDDLE, 64, 64, 48),
    "deep_anticipated": Case(DEEP, 32, 128, 32, "anticipated", 1.0),
    "wide_eager": Case(WIDE, 32, 48, 40, "eager", 0.5, micro_batches=2),
    "smollm2_16x32_bfloat16": Case(SMOLLM2, 16, 128, 32, bfloat16=True, steps=2),
}
"""Name -> setting. Models with random weights never draw an end token, so lengths are exact."""

MEASURED = {
    "sampling": ("prompts", "rollouts"),
    "rewrites": ("rewrite prompts", "rewrites"),
    "candidate log-probs": ("candidate log-probs",),
    "loss, forward": ("loss, forward",),
    "loss, backward": ("loss, backward",),
    "optimiser": ("optimiser",),
    "trainer": ("trainer",),
}
"""Phase as it is timed -> phases of the plan."""


def main() -> None:
    """Train settings, or report on those that were."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("run", "report", "one"))
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="none: all")
    options = parser.parse_args()
    names = options.cases or list(CASES)
    if options.action == "one":
        print(json.dumps(train(CASES[names[0]])))
    elif options.action == "run":
        about = collect_manifest("benchmarks/plan_check.py", seed=TRAINER_SEED)
        for name in names:
            run(name, about)
    else:
        report()


def run(name: str, about: dict[str, Any]) -> None:
    """Train one setting in a process of its own and write what was measured."""
    command = [sys.executable, "-W", "ignore", __file__, "one", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} broke off:\n{done.stderr[-3000:]}")
    measured = json.loads(done.stdout.splitlines()[-1])
    RESULTS.mkdir(parents=True, exist_ok=True)
    record = {"about": about, "case": dataclasses.asdict(CASES[name]), **measured}
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"{name:<24} {measured['step_s']:7.2f} s a step", flush=True)


# --- training


def train(case: Case) -> dict[str, Any]:
    """Train timed steps after one that warms up.

    The fastest counts, as for the constants: what else runs on the machine can only slow it down.
    """
    import torch

    torch.manual_seed(TRAINER_SEED)
    with tempfile.TemporaryDirectory() as folder:
        trainer = build(case, folder)
        clock = Clock()
        clock.attach(trainer)
        marks: list[dict[str, float]] = []
        trainer.add_callback(mark_steps(marks, clock.seconds))
        trainer.train()
    steps = [
        {name: after[name] - before[name] for name in after}
        for before, after in itertools.pairwise(marks)
    ]
    seconds = [step["at"] for step in steps]
    phases = min(steps, key=lambda step: step["at"])
    step_s = phases.pop("at")
    phases["trainer"] = step_s - sum(phases.values())
    return {
        "step_s": step_s,
        "step_s_of_all": seconds,
        "phases": phases,
        "tokens": clock.lengths(),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


class Clock:
    """Seconds of phases that do not overlap, and the lengths of what is sampled."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys([name for name in MEASURED if name != "trainer"], 0.0)
        self.sampled: list[tuple[str, list[int], list[int]]] = []
        self._inner = [0.0]

    def attach(self, trainer: Any) -> None:
        """Time the methods that the phases consist of."""
        import torch

        generate = trainer._generate_single_turn

        def sample(prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
            kind = "rewrites" if trainer.keeps_logps else "sampling"
            ahead = [] if trainer._ahead is None else list(trainer._ahead.prompts)
            result = self._timed(kind, generate, prompt_ids, *args, **kwargs)
            self._note(kind, prompt_ids, result[0], ahead)
            return result

        trainer._generate_single_turn = sample
        score = trainer._get_per_token_logps_and_entropies

        def logps(*args: Any, **kwargs: Any) -> Any:
            if torch.is_grad_enabled():  # part of the loss
                return score(*args, **kwargs)
            return self._timed("candidate log-probs", score, *args, **kwargs)

        trainer._get_per_token_logps_and_entropies = logps
        self._wrap(trainer, "_compute_loss", "loss, forward")
        self._wrap(trainer.accelerator, "backward", "loss, backward")
        self._wrap(trainer.accelerator, "clip_grad_norm_", "optimiser")
        create = trainer.create_optimizer

        def create_and_time(*args: Any, **kwargs: Any) -> Any:
            created = create(*args, **kwargs)
            self._wrap(trainer.optimizer, "step", "optimiser")
            return created

        trainer.create_optimizer = create_and_time

    def _wrap(self, owner: Any, attribute: str, phase: str) -> None:
        inner = getattr(owner, attribute)
        setattr(owner, attribute, lambda *a, **k: self._timed(phase, inner, *a, **k))

    def _timed(self, phase: str, inner: Any, *args: Any, **kwargs: Any) -> Any:
        # A loss in parts calls backward for all but the last: what is inside counts there alone.
        self._inner.append(0.0)
        started = time.perf_counter()
        try:
            return inner(*args, **kwargs)
        finally:
            spent = time.perf_counter() - started
            self.seconds[phase] += spent - self._inner.pop()
            self._inner[-1] += spent

    def _note(self, kind: str, prompts: Any, completions: Any, ahead: Any) -> None:
        self.sampled.append((kind, [len(p) for p in prompts], [len(c) for c in completions]))
        if ahead:
            self.sampled.append(("rewrites", [len(p) for p in ahead], []))

    def lengths(self) -> dict[str, float]:
        """Mean lengths over all steps, in tokens."""
        own = [entry for entry in self.sampled if entry[0] == "sampling"]
        rewrites = [entry for entry in self.sampled if entry[0] == "rewrites"]
        prompts = [length for _, lengths, _ in own for length in lengths]
        contexts = [length for _, lengths, _ in rewrites for length in lengths]
        return {
            "prompt": statistics.fmean(prompts),
            "longest_prompt": statistics.fmean(max(lengths) for _, lengths, _ in own),
            "completion": statistics.fmean(n for _, _, lengths in own for n in lengths),
            "longest_completion": statistics.fmean(max(lengths) for _, _, lengths in own),
            "context": statistics.fmean(contexts) if contexts else 0.0,
        }


def build(case: Case, folder: str) -> Any:
    """The trainer of one setting."""
    from datasets import Dataset
    from trl import GRPOConfig

    from rephrase_rl import RePOTrainer, preset_guidance
    from rephrase_rl.methods import TRAINER_DEFAULTS

    if case.shape is LAB:
        model, tokenizer, rows = lab()
    else:
        model, tokenizer, rows = random_policy(case)
    fields: dict[str, Any] = dict(TRAINER_DEFAULTS) | {
        "num_generations": GROUP,
        "per_device_train_batch_size": case.rows // case.micro_batches,
        "gradient_accumulation_steps": case.micro_batches,
        "max_completion_length": case.new_tokens,
        "max_steps": case.steps + 1,
        "bf16": case.bfloat16,
        "gradient_checkpointing": False,
        "shuffle_dataset": False,
    }
    args = GRPOConfig(
        folder, use_cpu=True, report_to="none", disable_tqdm=True, logging_steps=1, **fields
    )
    guidance = preset_guidance("grpo")
    if case.mode != "none":
        # Accepted whatever they are: random weights rewrite nothing.
        source = {"sampling": case.mode, "max_prompt_tokens": 4096}
        changes = {"accept": [], "source": source, "expert_logp_every": 0}
        guidance = preset_guidance("repo", changes)
    return RePOTrainer(
        model,
        args=args,
        train_dataset=Dataset.from_list(rows * (1 + case.rows * (case.steps + 1) // len(rows))),
        processing_class=tokenizer,
        reward_funcs=[reward_of(case)],
        guidance=guidance,
    )


def reward_of(case: Case) -> Any:
    """Every group has spread, but those whose gate shall open fail as a whole."""
    failing = round(case.open_share * case.rows / GROUP)

    def reward(completion_ids: list[list[int]], **columns: Any) -> list[float]:
        if len(completion_ids) != case.rows:  # rewrites
            return [1.0] * len(completion_ids)
        return [float(i // GROUP >= failing and i % 2) for i in range(case.rows)]

    return reward


def random_policy(case: Case) -> tuple[Any, Any, list[dict[str, Any]]]:
    """A model with random weights, a tokenizer with a word for each token, and random problems.

    There are as many problems as a step takes, so that each step visits all of them again.
    """
    import random

    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = {"<pad>": 0, "<end>": 1, "<unknown>": 2}
    vocabulary = special | {f"t{i}": i for i in range(len(special), case.shape.vocab)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))  # noqa: S106  (no key)
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",  # noqa: S106  (no key)
        eos_token="<end>",  # noqa: S106  (no key)
        unk_token="<unknown>",  # noqa: S106  (no key)
    )
    draw = random.Random(TRAINER_SEED)

    def text(tokens: int) -> str:
        return " ".join(f"t{draw.randrange(3, case.shape.vocab)}" for _ in range(tokens))

    rows = [
        {
            "prompt": text(case.prompt_tokens),
            "expert_solution": text(case.new_tokens),
            "problem_id": f"p{i}",
            "pass_rate": 0.0,
        }
        for i in range(case.rows // GROUP)
    ]
    ids = {"eos_token_id": 1, "pad_token_id": 0, "bos_token_id": None}
    return random_model(case.shape, **ids), tokenizer, rows


# --- comparison


def setting_of(record: dict[str, Any], device: Any) -> Setting:
    """The plan's input for a setting that was trained."""
    case = CASES[record["name"]]
    tokens = record["tokens"]
    work = Workload(
        problems=case.rows / GROUP,
        group_size=GROUP,
        rows_per_step=case.rows,
        micro_batch_rows=case.rows // case.micro_batches,
        prompt_tokens=tokens["prompt"],
        completion_tokens=tokens["completion"],
        longest_completion_tokens=tokens["longest_completion"],
        context_tokens=tokens["context"],
        rewrite_tokens=tokens["completion"],
        mode=case.mode,
        open_share=case.open_share,
        trained_share=1.0 - case.open_share,
    )
    number = "bfloat16" if case.bfloat16 else "float32"
    how = Computing("shared_prefix", True, True, number, "float32")
    return Setting(case.shape, work, how, device)


def predicted(setting: Setting) -> dict[str, float]:
    """Seconds of each phase as it is timed."""
    by_name = {phase.name: phase.seconds for phase in step_phases(setting)}
    return {name: sum(by_name[part] for part in parts) for name, parts in MEASURED.items()}


def fit_trainer(records: list[dict[str, Any]], device: Any) -> TrainerOverhead:
    """What the trainer takes beyond the model, from the settings meant for it."""
    import numpy as np
    from scipy.optimize import nnls

    pairs = [(predicted(setting_of(r, device)), r["phases"], CASES[r["name"]]) for r in records]

    def factor(*phases: str) -> float:
        ratios = [
            sum(measured[p] for p in phases) / sum(plan[p] for p in phases)
            for plan, measured, _ in pairs
        ]
        return statistics.geometric_mean(ratios)

    left = np.array([measured["trainer"] for _, measured, _ in pairs])
    terms = np.array([[1.0, case.rows] for _, _, case in pairs])
    (step_s, row_s), _ = nnls(terms / left[:, None], np.ones(len(left)))
    return TrainerOverhead(
        generate=factor("sampling", "rewrites"),
        forward=factor("loss, forward"),
        backward=factor("loss, backward"),
        step_s=float(step_s),
        row_s=float(row_s),
    )


def report() -> None:
    """Fit, compare, and write constants, figures and the table of docs/plan.md."""
    hardware = describe_hardware()
    path = SHIPPED / file_name(str(hardware["cpu"]), int(hardware["cores"]))
    constants = read_constants(path)
    records = [
        {"name": name, **json.loads((RESULTS / f"{name}.json").read_text())} for name in CASES
    ]
    fitted = [record for record in records if CASES[record["name"]].fitted]
    bare = {key: value for key, value in constants.items() if key != "trainer"}
    overhead = fit_trainer(fitted, measured_device(bare, "float32", Assumptions()))
    constants["trainer"] = dataclasses.asdict(overhead)
    constants["trainer_fitted_to"] = [record["name"] for record in fitted]
    write_constants(constants, path)
    comparisons = [compare(record, constants) for record in records]
    summary = {
        "about": collect_manifest("benchmarks/plan_check.py report", seed=TRAINER_SEED),
        "constants": path.name,
        "trainer": constants["trainer"],
        "comparisons": comparisons,
    }
    (RESULTS / "check.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(table(comparisons))


def compare(record: dict[str, Any], constants: dict[str, Any]) -> dict[str, Any]:
    """Predicted and measured of one setting."""
    case = CASES[record["name"]]
    number = "bfloat16" if case.bfloat16 else "float32"
    setting = setting_of(record, measured_device(constants, number, Assumptions()))
    plan = predicted(setting)
    return {
        "name": record["name"],
        "fitted": case.fitted,
        "predicted_s": sum(plan.values()),
        "measured_s": record["step_s"],
        "error": sum(plan.values()) / record["step_s"] - 1.0,
        "phases": {
            name: {"predicted_s": plan[name], "measured_s": record["phases"][name]} for name in plan
        },
        "predicted_peak_bytes": device_memory(setting).peak,
        "measured_peak_bytes": record["peak_bytes"],
    }


def table(comparisons: list[dict[str, Any]]) -> str:
    """Markdown: predicted over measured seconds of each phase and of the step."""
    names = list(MEASURED)
    lines = [
        "| setting | " + " | ".join(names) + " | step | off by | peak GB |",
        "|" + "---|" * (len(names) + 4),
    ]
    for row in comparisons:
        cells = [
            f"{phase['predicted_s']:.2f} / {phase['measured_s']:.2f}"
            for phase in row["phases"].values()
        ]
        step = f"{row['predicted_s']:.2f} / {row['measured_s']:.2f}"
        peak = f"{row['predicted_peak_bytes'] / 1e9:.1f} / {row['measured_peak_bytes'] / 1e9:.1f}"
        name = f"`{row['name']}`" + (" (fitted)" if row["fitted"] else "")
        lines.append(f"| {name} | {' | '.join(cells)} | {step} | {row['error']:+.0%} | {peak} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
