"""Run directories: written by training, read by reports. Imports no torch."""

from rephrase_rl.runs.directory import EvaluationEntry, RewindReport, RunDirectory, TimingRecord
from rephrase_rl.runs.manifest import collect_manifest, package_versions
from rephrase_rl.runs.owner import run_of

__all__ = [
    "EvaluationEntry",
    "RewindReport",
    "RunDirectory",
    "TimingRecord",
    "collect_manifest",
    "package_versions",
    "run_of",
]
