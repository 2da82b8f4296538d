"""Problems of benchmarks, checked against what their declarations expect."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.objects import LAB_PREFIX, column_mapping, load_data, solve_template
from rephrase_rl.data import data_fingerprint, load_problems
from rephrase_rl.data.columns import has_place
from rephrase_rl.errors import DataError
from rephrase_rl.prompts import PromptTemplate, get_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.config import BenchmarkConfig, PromptsConfig
    from rephrase_rl.data import ColumnMapping
    from rephrase_rl.records import JSON, Problem


@dataclass(frozen=True, slots=True)
class LoadedBenchmark:
    """A benchmark with its problems."""

    config: BenchmarkConfig
    problems: list[Problem]
    data: Mapping[str, JSON] = field(default_factory=dict)
    """What was read: path, split, revision, hash, rows, columns, and whether it is a part."""


def load_benchmarks(benchmarks: Sequence[BenchmarkConfig]) -> list[LoadedBenchmark]:
    """Read the problems of benchmarks, before hours are spent on a run that needs them.

    Raises:
        DataError: A source is missing, holds no problem, or has other columns or another number of
            problems than the benchmark declares.
    """
    return [_load(benchmark) for benchmark in benchmarks]


def benchmark_template(
    benchmark: BenchmarkConfig, problem: Problem, prompts: PromptsConfig
) -> PromptTemplate:
    """The template that asks: the benchmark's own, else the run's, else the task kind's.

    Raises:
        PromptError: The template is unknown, or is not for solving.
    """
    prompt = benchmark.prompt
    if prompt is None:
        return solve_template(problem, prompts)
    if prompt.template is not None:
        return get_template(prompt.template, "solve")
    content = f"{prompt.text}\x1f{prompt.system or ''}"
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    return PromptTemplate(f"{benchmark.name}-solve-{digest}", str(prompt.text), prompt.system)


def _load(benchmark: BenchmarkConfig) -> LoadedBenchmark:
    data = benchmark.data
    columns: list[str] = []

    def choose(row: Mapping[str, Any]) -> ColumnMapping:
        columns.extend(sorted(map(str, row)))
        return _mapping(benchmark, row)

    try:
        if data.path.startswith(LAB_PREFIX):
            problems = load_data(data)
        else:
            problems = load_problems(
                data.path,
                mapping=choose,
                split=data.split,
                config_name=data.config_name,
                revision=data.revision,
                limit=data.limit,
            )
    except DataError as error:
        if benchmark.source is not None:
            error.message = f"benchmark {benchmark.name}, from {benchmark.source}: {error.message}"
        raise
    subset = _subset(benchmark, len(problems))
    chosen = problems[: benchmark.limit]
    if not chosen:
        raise DataError(
            f"benchmark {benchmark.name}: {data.path} holds no problem; at least one is required: "
            "check path, split and limit"
        )
    return LoadedBenchmark(
        benchmark,
        chosen,
        {
            "path": data.path,
            "split": data.split,
            "config_name": data.config_name,
            "revision": data.revision,
            "sha256": data_fingerprint(chosen),
            "rows": len(problems),
            "expected_rows": benchmark.expected_rows,
            "subset": subset,
            "columns": columns,
        },
    )


def _mapping(benchmark: BenchmarkConfig, row: Mapping[str, Any]) -> ColumnMapping:
    """The mapping of the first layout whose columns are there.

    Raises:
        DataError: None fits; with the columns that each layout lacks.
    """
    data = benchmark.data
    if not benchmark.layouts or data.mapping != "canonical":
        return column_mapping(data)
    lacking = []
    for layout in benchmark.layouts:
        missing = [column for column in layout.columns if not has_place(row, column)]
        if not missing:
            changed = data.model_copy(update={"mapping": layout.mapping})
            return column_mapping(changed)
        lacking.append(f"{', '.join(layout.columns)}: no {', '.join(missing)}")
    raise DataError(
        f"benchmark {benchmark.name}: {data.path} has the columns "
        f"{', '.join(sorted(map(str, row))) or '(none)'}; required: those of one of its layouts; "
        "take a copy that has them, or say which column is what with data.mapping",
        lacking,
    )


def _subset(benchmark: BenchmarkConfig, rows: int) -> str | None:
    """What part of the benchmark is evaluated, in words; None: all of it, or nobody knows.

    Raises:
        DataError: The number of problems is another one than declared, and no part is meant.
    """
    expected, data = benchmark.expected_rows, benchmark.data
    is_start = data.limit is not None and expected is not None and data.limit < expected
    if expected is not None and rows != expected and not benchmark.subset and not is_start:
        raise DataError(
            f"benchmark {benchmark.name}: {data.path} holds {rows} problems; required: {expected}"
            f"{f' ({benchmark.source})' if benchmark.source else ''}; do this: take the whole "
            "benchmark, or say that another number is meant with subset=true, which results "
            "then state"
        )
    taken = rows if benchmark.limit is None else min(rows, benchmark.limit)
    whole = expected if expected is not None else rows
    if taken == whole:
        return None
    return f"{taken} of {whole} problems" + ("" if rows == whole else f" (the source has {rows})")
