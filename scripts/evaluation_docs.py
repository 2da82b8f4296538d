"""Writes the table of declared benchmarks in docs/evaluation.md from their files."""

from __future__ import annotations

from pathlib import Path

from rephrase_rl.config import BenchmarkConfig, benchmark_names, parse_benchmarks

PAGE = Path(__file__).parents[1] / "docs" / "evaluation.md"
BEGIN, END = "<!-- benchmarks -->\n", "\n<!-- /benchmarks -->"


def table() -> str:
    """One row for each declared benchmark."""
    lines = [
        "| name | benchmark | problems | k | T | tokens | prompt | verifier | licence |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(cells(b))} |" for b in parse_benchmarks(list(benchmark_names()))]
    return "\n".join(lines)


def cells(benchmark: BenchmarkConfig) -> list[str]:
    """The cells of one row."""
    source = benchmark.source or ""
    title = benchmark.title or ""
    url = source.split()[0]
    prompt = benchmark.prompt
    assert prompt is not None  # noqa: S101  (narrows the type)
    assert benchmark.judge is not None  # noqa: S101  (narrows the type)
    return [
        f"`{benchmark.name}`",
        f"[{title}]({url})" if url.startswith("https://") else title,
        f"{benchmark.expected_rows:,}",
        str(benchmark.samples_per_problem),
        f"{benchmark.temperature:g}",
        f"{benchmark.max_new_tokens:,}",
        f"`{prompt.template}`" if prompt.template else "its own",
        benchmark.judge.verifier,
        benchmark.licence or "",
    ]


def main() -> None:
    """Rewrite the table."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(before + BEGIN + table() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
