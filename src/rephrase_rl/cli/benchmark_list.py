"""``rephrase-rl eval --list``: the benchmarks that are declared, with their protocols."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from rephrase_rl.cli.console import output, print_json


def print_declared(as_json: bool) -> None:
    """Print the declared benchmarks as a table, or all their fields as JSON."""
    from rephrase_rl.config import benchmark_names, config_to_plain, parse_benchmarks

    benchmarks = parse_benchmarks(list(benchmark_names()))
    if as_json:
        print_json({b.name: config_to_plain(b) for b in benchmarks})
        return
    table = Table("benchmark", "problems", "k", "T", "tokens", "verifier", "data")
    for b in benchmarks:
        cells: list[Any] = [b.name, b.expected_rows, b.samples_per_problem, b.temperature]
        cells += [b.max_new_tokens, b.judge.verifier if b.judge else "-", b.data.path]
        table.add_row(*map(str, cells))
    output.print(table, soft_wrap=False)
