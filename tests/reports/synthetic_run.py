"""A run directory with known content, for the tests of reports; the same bytes every time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rephrase_rl.records import CandidateRecord, GroupRecord, MemberRecord, StepRecord
from rephrase_rl.runs import RunDirectory

BIDI = "safe \u202egnp.exe"
SCRIPT = "<script>alert('q')</script><img src=x onerror=alert(1)> & \"quotes\""
LONG = "a very long line of reasoning " * 4000

MANIFEST: dict[str, Any] = {
    "format_version": 1,
    "command": ["rephrase-rl", "train", "lab.yaml", "--set", "seed=3"],
    "seed": 3,
    "started_at": "2026-02-03T04:05:06+00:00",
    "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False, "reason": None},
    "versions": {"python": "3.11.9", "rephrase-rl": "0.1.0", "torch": "2.13.0", "trl": "1.16.0"},
    "hardware": {"cpu": "Test CPU", "cores": 2, "memory_bytes": 2**34, "gpus": [], "system": "X"},
    "method": "repo",
    "model": "lab base",
    "data": {"hard": {"fingerprint": "ab" * 32, "num_problems": 1000}},
    "templates": {"lab-solve-v1": "cd" * 32, "lab-rephrase-v1": "ef" * 32},
    "environment": {
        "installed_sha256": "12" * 32,
        "packages": 90,
        "constraints_sha256": "34" * 32,
        "differing": [],
    },
    "policy": {
        "path": "lab:base",
        "kind": "lab",
        "class": "Qwen2ForCausalLM",
        "parameters": 700000,
        "dtype": "float32",
        "commit": None,
        "weights_sha256": "56" * 32,
        "tokenizer_sha256": "78" * 32,
        "chat_template_sha256": "9a" * 32,
    },
    "datasets": {
        "train/hard": {
            "path": "lab:hard",
            "kind": "lab",
            "split": "train",
            "rows": 1000,
            "ids_sha256": "bc" * 32,
            "sha256": "ab" * 32,
        }
    },
    "contamination": {"hard": {"equal_questions": 0, "of": 200}},
    "num_processes": 1,
    "precision": {"bf16": False, "fp16": False},
    "config_hash": "de" * 32,
    "deviations": ["The batch is mixed: half hard problems.", "A rewrite must beat the replaced."],
}

CONFIG = "method: repo\nseed: 3\ntrainer:\n  learning_rate: 0.0002\n  num_generations: 4\n"


def estimate(mean: float | None, half: float = 0.05) -> dict[str, Any]:
    if mean is None:
        return {"mean": None, "low": None, "high": None, "n_clusters": 0}
    return {
        "mean": mean,
        "low": max(0.0, mean - half),
        "high": min(1.0, mean + half),
        "n_clusters": 200,
    }


def result(benchmark: str, mean: float | None, **changes: Any) -> dict[str, Any]:
    return {
        "benchmark": benchmark,
        "num_problems": 200,
        "samples_per_problem": 4,
        "avg_at_k": estimate(mean),
        "pass_at_k": {"1": estimate(mean), "4": estimate(mean if mean is None else mean**0.5)},
        "protocol": {"name": benchmark, "temperature": 1.0, "verifier": "exact", "seed": 7},
        "unscorable": {"unscorable": 1, "timeout": 1, "error": 0},
        "truncated_fraction": 0.00625,
        "generated_tokens": 12345,
    } | changes


def member(text: str, reward: float, advantage: float, **changes: Any) -> MemberRecord:
    values: dict[str, Any] = {"origin": "rollout", "num_tokens": len(text), "finished": True}
    return MemberRecord(
        text=text, reward=reward, correctness=reward, advantage=advantage, **(values | changes)
    )


def candidate(text: str, **changes: Any) -> CandidateRecord:
    values: dict[str, Any] = {
        "raw_text": text,
        "origin": "rephrase",
        "reward": 1.0,
        "correctness": 1.0,
        "num_tokens": len(text),
        "num_sampled_tokens": len(text),
        "finished": True,
        "accepted": True,
        "refusals": (),
        "removed_meta": (),
        "logp_on_q": -0.75,
        "logp_on_context": -0.125,
    }
    return CandidateRecord(text=text, **(values | changes))


def group(step: int, name: str, **changes: Any) -> GroupRecord:
    """A closed-gate group in which half of the members passed."""
    values: dict[str, Any] = {
        "rank": 0,
        "question": "7+5-3+2=",
        "reference_answer": "291",
        "expert_solution": "seven plus five gives two; two minus three gives nine; then one",
        "failure_fraction": 0.5,
        "gate_open": False,
        "gate_reason": "closed",
        "members": (
            member("7+5=2-3=9+2=1#291", 1.0, 0.866),
            member("7+5=2-3=8+2=0#280", 0.0, -0.866),
            member("7+5=2-3=9+2=1#291", 1.0, 0.866),
            member("7+5=1", 0.0, -0.866, finished=False),
        ),
    }
    return GroupRecord(step=step, problem_id=name, **(values | changes))


def rescued(step: int, name: str, **changes: Any) -> GroupRecord:
    """All failed; a rewrite took the first place."""
    rewrite = "7+5=2-3=9+2=1#291"
    failed = tuple(member(f"7+5=2-3=9+2={n}#29{n}", 0.0, -0.5) for n in (2, 3, 4))
    values: dict[str, Any] = {
        "failure_fraction": 1.0,
        "gate_open": True,
        "gate_reason": "open",
        "members": (member(rewrite, 1.0, 1.5, origin="rephrase"), *failed),
        "candidates": (
            candidate(
                rewrite,
                raw_text=f"As the reference says, {rewrite}",
                removed_meta=("As the reference says, ",),
            ),
        ),
        "slot": 0,
        "replaced": member("7+5=3#3", 0.0, math.nan),
        "rescued": True,
    }
    return group(step, name, **(values | changes))


def refused(step: int, name: str, **changes: Any) -> GroupRecord:
    """All failed, and so did the rewrite."""
    values: dict[str, Any] = {
        "failure_fraction": 1.0,
        "gate_open": True,
        "gate_reason": "open",
        "members": tuple(member(f"7+5=2-3=9+2={n}#29{n}", 0.0, 0.0) for n in (2, 3, 4, 5)),
        "candidates": (
            candidate(
                "7+5=2-3=0",
                reward=0.0,
                correctness=0.0,
                accepted=False,
                refusals=("better_than_replaced", "finished"),
                finished=False,
            ),
        ),
    }
    return group(step, name, **(values | changes))


def hostile(step: int) -> GroupRecord:
    """Text that would take over a page or hide its meaning, and one that cannot be scored."""
    return rescued(
        step,
        "<b>evil</b>",
        question=SCRIPT,
        expert_solution=BIDI,
        replaced=member(LONG, 0.0, math.nan),
        members=(
            member("\n\n</pre></details><script>x</script>", 1.0, 1.5, origin="rephrase"),
            member("", math.nan, 0.0),
            member(LONG, 0.0, -0.5),
            member("الحل هو 42", 0.0, -0.5),
        ),
    )


def metrics(step: int, num_steps: int) -> dict[str, float | None]:
    """Smooth made-up curves with one missing figure."""
    done = step / max(1, num_steps - 1)
    wave = 0.04 * math.sin(2.4 * step)
    return {
        "loss": 0.02 + 0.3 * wave,
        "reward": 0.4 + 0.5 * done**2 + wave,
        "groups/all_failed_fraction": 0.5 * (1 - done**3) + abs(wave),
        "groups/all_passed_fraction": 0.3 + 0.4 * done + wave,
        "gate/open_fraction": 0.5 * (1 - done**3) + abs(wave),
        "injection/accept_fraction": None if step == 1 else 0.9 + wave,
        "injection/rescued_fraction": 0.45 * (1 - done**3) + abs(wave),
        "injection/logp_on_q": -0.9 + 0.7 * done + wave,
        "injection/logp_on_context": -0.15 + 0.05 * done + wave / 2,
        "tokens/rollout": 2000.0 + 10 * step,
        "tokens/rephrase": 300.0 * (1 - done),
    }


def make_run(path: Path, *, num_steps: int = 4, summary: bool = True) -> RunDirectory:
    """Write a small whole run."""
    run = RunDirectory.create(path, MANIFEST, CONFIG)
    for name, mean in (("hard", 0.0), ("easy", 0.995)):
        run.write_evaluation(0, name, result(name, mean), [{"problem_id": "p0"}])
    for step in range(num_steps):
        run.append_step(StepRecord(step, metrics(step, num_steps)))
        run.append_timing(step, {"time/step_s": 1.5})
        run.append_groups([rescued(step, f"hard-{step}"), group(step, f"easy-{step}")])
    run.append_groups([refused(num_steps - 1, "hard-r")])
    for name, mean in (("hard", 0.875), ("easy", 0.99)):
        run.write_evaluation(num_steps, name, result(name, mean), [{"problem_id": "p0"}])
    if summary:
        run.write_summary({"wall_s": 238.4})
    return run
