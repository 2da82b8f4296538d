"""Whatever a file holds: problems come out, or the library's own error, and nothing is lost."""

import contextlib
import gzip
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from rephrase_rl.data import BadRow, mapping_names, scan_problems
from rephrase_rl.errors import RephraseError
from rephrase_rl.records import Problem, to_json

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".jsonl.gz", ".csv.gz", ".parquet")
COLUMNS = st.sampled_from(
    ["question", "prompt", "problem", "QUESTION", "messages", "reference_answer", "answer",
     "solution", "options", "correct", "steps", "generations", "correctness_math_verify",
     "reward_model", "target", "CONTEXTS", "final_decision", "scale", "problem_id", "uuid",
     "metadata", "key", "x"]
)  # fmt: skip
TEXTS = st.text(max_size=8) | st.sampled_from(
    ["#### 5", "a\n#### 5", "A", "Which?\nA) x\nB) y", r"\boxed{5}", "<think>", "</think>k", "yes",
     "\ud800", "1" * 30]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "ground_truth", "A", "B"]) | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(COLUMNS, VALUES, max_size=6), max_size=3)


def as_text(rows, suffix):
    if suffix.startswith(".jsonl"):
        return "".join(json.dumps(row) + "\n" for row in rows)
    if suffix == ".json":
        return json.dumps(rows)
    mark = "," if suffix.startswith(".csv") else "\t"
    names = sorted({name for row in rows for name in row})
    lines = [mark.join(names), *[mark.join(str(row.get(n, "")) for n in names) for row in rows]]
    return "\n".join(lines)


FILES = st.one_of(
    st.tuples(st.sampled_from(SUFFIXES), st.binary(max_size=60)),
    st.tuples(st.sampled_from(SUFFIXES), st.text(max_size=60).map(str.encode)),
    st.tuples(st.sampled_from(SUFFIXES[:6]), ROWS).map(
        lambda item: (item[0], as_text(item[1], item[0]).encode("utf-8", "surrogatepass"))
    ),
)


def check(folder, suffix, content, name):
    """Read one file in one mapping."""
    path = folder / f"f{suffix}"
    is_packed = suffix.endswith(".gz") and not content.startswith(b"\0")  # some stay damaged
    path.write_bytes(gzip.compress(content, 1) if is_packed else content)
    with contextlib.suppress(RephraseError):
        for item in scan_problems(path, mapping=name):
            if isinstance(item, BadRow):
                assert item.faults
                "\n".join(map(str, item.faults))
            else:
                assert isinstance(item, Problem)
                json.dumps(to_json(item))
                for text in (item.question, item.reference_answer, item.expert_solution or ""):
                    text.encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@settings(derandomize=True, deadline=None, max_examples=200)
@given(FILES, st.sampled_from(mapping_names()))
def test_any_file_gives_problems_or_our_error(folder, file, name):
    check(folder, *file, name)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=2000)
@given(FILES, st.sampled_from(mapping_names()))
def test_any_file_gives_problems_or_our_error_at_length(folder, file, name):
    check(folder, *file, name)


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_a_parquet_file_that_breaks_off_is_told(tmp_path, compression):
    path = tmp_path / "a.parquet"
    rows = [{"question": f"q{i}", "reference_answer": "1"} for i in range(50)]
    parquet.write_table(pa.Table.from_pylist(rows), path, compression=compression)
    content = path.read_bytes()
    for end in range(0, len(content), max(1, len(content) // 40)):
        check(tmp_path, ".parquet", content[:end], "canonical")


@settings(derandomize=True, deadline=None, max_examples=100)
@given(ROWS.filter(bool), st.sampled_from(mapping_names()))
def test_rows_of_one_file_are_all_accounted_for(folder, rows, name):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(list(scan_problems(path, mapping=name))) == len(rows)
