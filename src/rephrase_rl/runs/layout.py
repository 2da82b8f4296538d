"""Names of what a run directory holds; ``directory`` says what each is."""

from __future__ import annotations

FILES = (
    "manifest.json",
    "config.yaml",
    "steps.jsonl",
    "timings.jsonl",
    "groups.jsonl",
    "rewrites.jsonl",
    "watch.jsonl",
    "summary.json",
)
RECORDS = ("steps.jsonl", "timings.jsonl", "groups.jsonl", "watch.jsonl")
FOLDERS = ("evals", "checkpoints", "report", "refused", "tensorboard")
