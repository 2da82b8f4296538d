"""Whatever a file holds: problems come out, or the library's own error, and nothing is lost."""

import contextlib
import csv
import gzip
import io
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from rephrase_rl.assembly.objects import column_mapping
from rephrase_rl.config import MappingConfig, parse_config
from rephrase_rl.data import BadRow, mapping_names, scan_problems
from rephrase_rl.data.choices import ANSWER_FORMS
from rephrase_rl.data.experts import EXPERT_FORMS, EXPERT_PARTS
from rephrase_rl.errors import RephraseError
from rephrase_rl.records import Problem, to_json

TEXT_SUFFIXES = (
    ".jsonl", ".json", ".csv", ".tsv", ".jsonl.gz", ".json.gz", ".csv.gz", ".tsv.gz"
)  # fmt: skip
SUFFIXES = (*TEXT_SUFFIXES, ".parquet")
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
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "ground_truth", "A", "B", "text", "label"])
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(COLUMNS, VALUES, max_size=6), max_size=3)


def as_file(rows, suffix):
    """The rows in a format; None where it has no form for them."""
    if suffix == ".parquet":
        return as_parquet(rows)
    if suffix.startswith(".jsonl"):
        text = "".join(json.dumps(row) + "\n" for row in rows)
    elif suffix.startswith(".json"):
        text = json.dumps(rows)
    else:
        text = as_table(rows, "," if suffix.startswith(".csv") else "\t")
    return text.encode("utf-8", "surrogatepass")


def as_table(rows, delimiter):
    names = sorted({name for row in rows for name in row})
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(names)
    writer.writerows([str(row.get(name, "")) for name in names] for row in rows)
    return file.getvalue()


def as_parquet(rows):
    """Arrow has one type for each column, and no surrogates: most rows fit, some do not."""
    try:
        table = pa.Table.from_pylist(rows)
        file = io.BytesIO()
        parquet.write_table(table, file)
    except (pa.ArrowException, TypeError, UnicodeEncodeError, OverflowError):
        return None
    return file.getvalue()


FILES = st.one_of(
    st.tuples(st.sampled_from(SUFFIXES), st.binary(max_size=60)),
    st.tuples(st.sampled_from(SUFFIXES), st.text(max_size=60).map(str.encode)),
    st.tuples(st.sampled_from(SUFFIXES), ROWS)
    .map(lambda item: (item[0], as_file(item[1], item[0])))
    .filter(lambda item: item[1] is not None),
)

PLACES = COLUMNS | st.sampled_from(["reward_model.ground_truth", "target.0.content", "x.-1", "."])
LISTED = st.lists(PLACES, max_size=3)
FIELDS = {
    "like": st.sampled_from(mapping_names()),
    "question": LISTED | PLACES,
    "context": LISTED,
    "options": PLACES,
    "fixed_options": st.lists(TEXTS, max_size=3) | st.just([str(i) for i in range(30)]),
    "wrong_options": LISTED,
    "options_in_question": st.booleans(),
    "reference_answer": PLACES,
    "answer_form": st.sampled_from(ANSWER_FORMS),
    "list_answer": st.just("; "),
    "unit": PLACES,
    "boxed_answer": PLACES,
    "worked_answer": PLACES,
    "expert_solution": PLACES,
    "expert_form": st.sampled_from(list(EXPERT_FORMS)),
    "expert_flags": LISTED,
    "append_answer": st.booleans(),
    "rows_in": PLACES,
    "problem_id": PLACES,
    "task_kind": PLACES,
    "default_task_kind": TEXTS,
    "ignored": LISTED,
    "table": st.fixed_dictionaries(
        {},
        optional={
            "header": LISTED | st.lists(TEXTS, max_size=3),
            "delimiter": st.text(max_size=2) | st.sampled_from(',;|\t \0"'),
            "quoted": st.booleans(),
            "escapes": st.booleans(),
        },
    ),
}
DESCRIBED = st.fixed_dictionaries({}, optional=FIELDS)
THOUGHTS = st.fixed_dictionaries(
    {"expert_part": st.sampled_from(EXPERT_PARTS), "strip_think": st.booleans()}
)


def test_every_field_of_a_mapping_is_tried():
    assert set(FIELDS) == set(MappingConfig.model_fields)


def check(folder, suffix, content, mapping):
    """Read one file in one mapping, which has a name or is described as in a configuration."""
    path = folder / f"f{suffix}"
    is_packed = suffix.endswith(".gz") and not content.startswith(b"\0")  # some stay damaged
    path.write_bytes(gzip.compress(content, 1) if is_packed else content)
    with contextlib.suppress(RephraseError):
        for item in scan_problems(path, mapping=mapping):
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


def check_described(folder, file, described, thoughts):
    """As ``data check`` does with a mapping by configuration."""
    raw = {"path": "f", "mapping": described, **thoughts}
    with contextlib.suppress(RephraseError):
        config = parse_config({"method": "repo", "model": {"path": "m"}, "data": raw})
        check(folder, *file, column_mapping(config.data[0]))


@settings(derandomize=True, deadline=None, max_examples=200)
@given(FILES, DESCRIBED, THOUGHTS)
def test_any_mapping_by_configuration_gives_problems_or_our_error(
    folder, file, described, thoughts
):
    check_described(folder, file, described, thoughts)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=2000)
@given(FILES, DESCRIBED, THOUGHTS)
def test_any_mapping_by_configuration_gives_problems_or_our_error_at_length(
    folder, file, described, thoughts
):
    check_described(folder, file, described, thoughts)


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
