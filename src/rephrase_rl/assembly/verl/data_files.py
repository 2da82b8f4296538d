"""Problems as Parquet files in verl's schema, with what its rows have no column for.

``data_source``, ``prompt``, ``ability``, ``reward_model`` and ``extra_info`` are verl's columns;
``extra_info.problem`` is the problem as JSON text, expert solution included, so that a worker has
it whole and verl's readers have nothing to guess.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from rephrase_rl.assembly.benchmarks import benchmark_template
from rephrase_rl.assembly.objects import load_model_tokenizer, solve_template
from rephrase_rl.assembly.run_parts import starting_model
from rephrase_rl.assembly.verl.parts import EVALUATION, TRAINING
from rephrase_rl.errors import DataError
from rephrase_rl.prompts import render_prompt
from rephrase_rl.records import to_json
from rephrase_rl.rollout.prompt_ids import prompt_token_ids
from rephrase_rl.runs.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rephrase_rl.assembly.benchmarks import LoadedBenchmark
    from rephrase_rl.config import RunConfig
    from rephrase_rl.prompts import PromptTemplate
    from rephrase_rl.records import JSON, Problem

_TEXT = pa.string()
SCHEMA = pa.schema(
    {
        "data_source": _TEXT,
        "prompt": pa.list_(pa.struct({"role": _TEXT, "content": _TEXT})),
        "ability": _TEXT,
        "reward_model": pa.struct({"style": _TEXT, "ground_truth": _TEXT}),
        "extra_info": pa.struct({"index": pa.int64(), "split": _TEXT, "problem": _TEXT}),
    }
)
PLACE_HOLDERS = 1
"""Rows of an evaluation file that nothing reads: verl wants one that is not empty."""


def write_data(
    config: RunConfig,
    problems: Sequence[Problem],
    benchmarks: Sequence[LoadedBenchmark],
    train: Path,
    evaluation: Path,
) -> None:
    """Write the training and the validation file.

    Args:
        config: Names templates and the longest prompt.
        problems: Of training.
        benchmarks: Evaluations; without any a problem of training stands in for them.
        train: Where training rows go.
        evaluation: Where validation rows go.

    Raises:
        DataError: Prompts are longer than ``verl.max_prompt_length``, which verl would cut on the
            left; every such problem is listed.
    """
    rows = [
        _row(i, p, solve_template(p, config.prompts), TRAINING, "train")
        for i, p in enumerate(problems)
    ]
    validation = [
        _row(
            i,
            problem,
            benchmark_template(benchmark.config, problem, config.prompts),
            EVALUATION + benchmark.config.name,
            "test",
        )
        for benchmark in benchmarks
        for i, problem in enumerate(benchmark.problems)
    ] or rows[:PLACE_HOLDERS]
    _refuse_long(config, [*rows, *validation])
    for path, content in ((train, rows), (evaluation, validation)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            pq.write_table(pa.Table.from_pylist(content, schema=SCHEMA), file)


def _row(
    index: int, problem: Problem, template: PromptTemplate, source: str, split: str
) -> dict[str, JSON]:
    messages = render_prompt(problem, template)
    return {
        "data_source": source,
        "prompt": [{"role": m["role"], "content": m["content"]} for m in messages],
        "ability": problem.task_kind,
        "reward_model": {"style": "rule", "ground_truth": problem.reference_answer},
        "extra_info": {"index": index, "split": split, "problem": json.dumps(to_json(problem))},
    }


def _refuse_long(config: RunConfig, rows: Iterable[dict[str, Any]]) -> None:
    """A token holds at least one byte, so only prompts with more bytes than room are tokenised."""
    limit = config.verl.max_prompt_length
    kwargs = config.trainer.get("chat_template_kwargs") or {}
    tokenizer = load_model_tokenizer(starting_model(config))
    overhead = len(prompt_token_ids(tokenizer, [{"role": "user", "content": ""}], kwargs))
    faults = []
    for row in rows:
        size = sum(len(m["content"].encode("utf-8", "replace")) for m in row["prompt"])
        if size + overhead * len(row["prompt"]) <= limit:
            continue
        count = len(prompt_token_ids(tokenizer, row["prompt"], kwargs))
        if count > limit:
            problem_id = json.loads(row["extra_info"]["problem"])["problem_id"]
            faults.append(f"{row['data_source']}: problem {problem_id!r}: {count} tokens")
    if faults:
        raise DataError(
            f"{len(faults)} prompts are longer than verl.max_prompt_length = {limit}, and verl "
            "would cut them on the left; raise it, or leave these problems out",
            faults,
        )
