"""From a teacher's samples to a data set of expert solutions with their provenance."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.runs.atomic import replacing, write_bytes
from rephrase_rl.runs.jsonl import encode

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.assembly.expert_samples import ProblemSamples
    from rephrase_rl.assembly.teachers import TeacherSample
    from rephrase_rl.config import ExpertsConfig
    from rephrase_rl.records import JSON, Problem

PROVENANCE = "expert"
"""Key of the metadata under which a row says where its expert solution comes from."""


def dataset_rows(
    problems: Sequence[Problem],
    samples: Callable[[str], ProblemSamples | None],
    config: ExpertsConfig,
) -> list[dict[str, JSON]]:
    """Rows in the canonical columns, in the order of the problems.

    Args:
        problems: All of them.
        samples: Problem id -> its samples; every problem has some.
        config: The rule of choice, the threshold, and whether unsolved problems are kept.

    Raises:
        ConfigError: The most likely sample is asked for and the teacher gave no log-probs.
    """
    rows = []
    for problem in problems:
        found = samples(problem.problem_id)
        if found is None:
            raise DataError(
                f"problem {problem.problem_id!r} has no samples; sample it before the data set is "
                "written"
            )
        chosen = chosen_sample(found, config)
        if chosen is not None or config.keep_unsolved:
            rows.append(_row(problem, found, chosen, config))
    return rows


def chosen_sample(found: ProblemSamples, config: ExpertsConfig) -> int | None:
    """Index of the correct sample that is kept; None if none is correct."""
    threshold = config.failure_reward_threshold
    correct = [i for i, s in enumerate(found.samples) if s.outcome(threshold) == "correct"]
    if not correct:
        return None
    if config.choose == "first":
        return correct[0]
    worth = _shortness if config.choose == "shortest" else _likelihood
    return max(correct, key=lambda i: worth(found.samples[i].sample))  # the first of equals


def _shortness(sample: TeacherSample) -> tuple[float, int]:
    """Fewer tokens are better; fewer characters decide between equals and unknown counts."""
    return -(sample.num_tokens or 0), -len(sample.text)


def _likelihood(sample: TeacherSample) -> float:
    if sample.mean_logp is None:
        raise ConfigError(
            "choose: found most_likely, and samples without log-probs; required: a teacher that "
            "gives them; do this: choose first or shortest"
        )
    return sample.mean_logp


def _row(
    problem: Problem, found: ProblemSamples, chosen: int | None, config: ExpertsConfig
) -> dict[str, JSON]:
    turns = [dict(turn) for turn in problem.messages]
    asked = {"question": problem.question} if len(turns) == 1 else {"messages": turns}
    text = None if chosen is None else found.samples[chosen].sample.text
    return {
        "problem_id": problem.problem_id,
        **asked,
        "reference_answer": problem.reference_answer,
        "expert_solution": text,
        "task_kind": problem.task_kind,
        "metadata": {**problem.metadata, PROVENANCE: _provenance(found, chosen, config)},
    }


def _provenance(
    found: ProblemSamples, chosen: int | None, config: ExpertsConfig
) -> dict[str, JSON]:
    """Where a row's expert solution comes from, or what became of the attempts at one."""
    told: dict[str, Any] = {
        **found.settings,
        "key": found.key,
        "choose": config.choose,
        "outcomes": [sample.outcome(config.failure_reward_threshold) for sample in found.samples],
        "sample": chosen,
    }
    if chosen is None:
        return told
    judged = found.samples[chosen]
    sample, verdict = judged.sample, judged.verdict
    return {
        **told,
        "reward": None if verdict is None or math.isnan(verdict.reward) else verdict.reward,
        "answer": None if verdict is None else verdict.answer,
        "num_tokens": sample.num_tokens,
        "mean_logp": sample.mean_logp,
        "sampled_at": sample.at,
        "text_sha256": hashlib.sha256(sample.text.encode("utf-8", "replace")).hexdigest(),
    }


def write_dataset(path: Path, rows: Sequence[Mapping[str, JSON]]) -> None:
    """Write rows as JSON lines or Parquet, whichever the name says; an old file is replaced.

    Raises:
        DataError: The rows' metadata cannot be stored as one Parquet table.
    """
    if path.suffix == ".jsonl":
        write_bytes(path, b"".join(encode(row) + b"\n" for row in rows))
        return
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = pa.Table.from_pylist([dict(row) for row in rows])
        with replacing(path) as file:
            parquet.write_table(table, file)
    except (pa.ArrowException, TypeError) as error:
        raise DataError(
            f"{path} cannot be written as Parquet ({error}); the rows' metadata must have one type "
            "for each key there; choose an output that ends in .jsonl"
        ) from error
