"""Files larger than memory: what is held at once stays far below the size of the file."""

import csv
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from rephrase_rl.data import scan_problems
from rephrase_rl.data.contamination import EvaluationIndex
from rephrase_rl.data.inspection import DataInspector
from rephrase_rl.records import Problem

NUM_ROWS, EXPERT_CHARS = 400, 20_000  # 8 MB: a stand-in for a file that does not fit


def rows(count=NUM_ROWS):
    for number in range(count):
        question = {"question": f"What is {number}?", "reference_answer": str(number)}
        # Long words: runs of words are not what is measured here.
        yield {**question, "expert_solution": f"{number:0>99} " * (EXPERT_CHARS // 100)}


def write_jsonl(path):
    with path.open("w") as file:
        for row in rows():
            file.write(json.dumps(row) + "\n")


def write_csv(path):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["question", "reference_answer", "expert_solution"])
        writer.writeheader()
        writer.writerows(rows())


def inspect(path):
    """What ``data check`` does with each row, but for tokens and verdicts."""
    index = EvaluationIndex("test")
    index.add(Problem("e", ({"role": "user", "content": f"{7:0>99} " * 13},), "7"))
    inspector = DataInspector([index])
    for item in scan_problems(path):
        inspector.add(item)
    return inspector.report()


@pytest.mark.parametrize(("suffix", "write"), [(".jsonl", write_jsonl), (".csv", write_csv)])
def test_peak_memory_is_a_small_part_of_the_file(tmp_path, suffix, write):
    path = tmp_path / f"big{suffix}"
    write(path)
    tracemalloc.start()
    try:
        report = inspect(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert report.problems == report.with_expert == NUM_ROWS
    assert report.contamination[0].touched_training_problems == 1
    assert path.stat().st_size > 7_000_000
    # One row is 20 kB, its copies and words some 100 kB; all rows would be 8 MB as text alone.
    assert peak < 1_500_000


def test_parquet_is_read_in_pieces_even_of_one_row_group(tmp_path):
    path = tmp_path / "big.parquet"
    table = pa.Table.from_pylist(list(rows(4000)))
    parquet.write_table(table, path, compression="none", use_dictionary=False, data_page_size=2**16)
    whole = table.nbytes
    assert whole > 75_000_000
    assert parquet.ParquetFile(path).num_row_groups == 1
    del table
    before = pa.total_allocated_bytes()
    peak = 0
    for number, _ in enumerate(scan_problems(path)):
        if number % 50 == 0:
            peak = max(peak, pa.total_allocated_bytes() - before)
    # pyarrow holds some 25 MB of pages and batches, of a file of 80 MB as of one of 320 MB.
    assert peak < whole / 2


MEMORY_BYTES = 2 * 2**30
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]),) * 2)
from rephrase_rl.cli.main import main
sys.exit(main(["data", "check", sys.argv[2], "--rows", "0"]))
"""


def write_a_million(path):
    """10^6 lines, about 2.4 kB each, which no verifier needs a worker for."""
    with path.open("w") as file:
        for number in range(10**6):
            filler = f"{number:0>99} " * 22
            file.write(
                f'{{"question": "What is {number} + 1?", "reference_answer": "{number + 1}", '
                f'"expert_solution": "{filler}It is \\\\boxed{{{number + 1}}}."}}\n'
            )


@pytest.mark.slow
def test_a_million_lines_that_exceed_the_memory_limit_pass_data_check(tmp_path):
    path = tmp_path / "million.jsonl"
    write_a_million(path)
    try:
        assert path.stat().st_size > 1.05 * MEMORY_BYTES
        # One thread: every further one takes memory of its own, whatever the data.
        source = str(Path(__file__).resolve().parents[2] / "src")
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, str(MEMORY_BYTES), str(path)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": source},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "rows: 1000000, every row valid" in done.stdout
        assert "accepted 1000000 of 1000000 (100.0 %)" in done.stdout
    finally:
        path.unlink()
