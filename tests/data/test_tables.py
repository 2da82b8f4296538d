"""CSV and TSV: headers, quotes, escapes, and every broken record told with its number."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.data import ColumnMapping, TableFormat, load_problems, read_rows
from rephrase_rl.errors import DataError


def rows_of(tmp_path, text, name="t.csv", **table):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    return [values for _, values in read_rows(tmp_path / name, table=TableFormat(**table))]


def faults_of(tmp_path, text, **table):
    with pytest.raises(DataError) as caught:
        rows_of(tmp_path, text, **table)
    return [fault.split(": ")[0] for fault in caught.value.faults]


def test_quotes_newlines_and_empty_cells(tmp_path):
    text = 'q,a,k\n"a, ""b""\r\nc",1,\n\n"",2,x\n'
    assert rows_of(tmp_path, text) == [
        {"q": 'a, "b"\r\nc', "a": "1", "k": None},
        {"q": None, "a": "2", "k": "x"},
    ]


def test_row_numbers_count_records_after_the_header(tmp_path):
    (tmp_path / "t.csv").write_text('q\n"two\nlines"\n\nlast\n')
    assert list(read_rows(tmp_path / "t.csv")) == [(1, {"q": "two\nlines"}), (3, {"q": "last"})]


def test_a_file_without_header_takes_its_names_from_the_format(tmp_path):
    found = rows_of(tmp_path, "1+1?\t2\n", "t.tsv", header=("q", "a"))
    assert found == [{"q": "1+1?", "a": "2"}]


def test_quotes_may_be_part_of_the_text(tmp_path):
    text = '"so" he said\tb\n'
    assert rows_of(tmp_path, text, "t.tsv", header=("q", "a"), quoted=False) == [
        {"q": '"so" he said', "a": "b"}
    ]


def test_escapes_are_undone_and_other_backslashes_stay(tmp_path):
    text = "one\\ntwo\\tthree \\\\n \\frac{1}{2}\n"
    assert rows_of(tmp_path, text, header=("q",), escapes=True) == [
        {"q": "one\ntwo\tthree \\n \\frac{1}{2}"}
    ]
    assert rows_of(tmp_path, text, header=("q",)) == [{"q": text.strip()}]


def test_another_delimiter(tmp_path):
    assert rows_of(tmp_path, "q;a\n1,5;2\n", delimiter=";") == [{"q": "1,5", "a": "2"}]


def test_broken_records_are_told_and_the_rest_is_read(tmp_path):
    text = 'q,a\n1,2\n1,2,3\n"x"y,2\n5,6\n"never closed,7\n'
    assert faults_of(tmp_path, text) == [
        "row 2, whole row", "row 3, up to line 4", "row 5, up to line 6"
    ]  # fmt: skip
    reader = read_rows(tmp_path / "t.csv")
    assert next(reader) == (1, {"q": "1", "a": "2"})
    assert next(reader) == (4, {"q": "5", "a": "6"})


@pytest.mark.parametrize("header", [("a", "a"), ("a", "")])
def test_a_mapping_refuses_headers_that_do_not_name_every_column(header):
    with pytest.raises(DataError, match="its own name"):
        ColumnMapping("x", table=TableFormat(header=header))


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "ü"])
def test_a_mapping_refuses_other_delimiters(delimiter):
    with pytest.raises(DataError, match="give one character"):
        ColumnMapping("x", table=TableFormat(delimiter=delimiter))


def test_an_expert_longer_than_the_csv_modules_limit(tmp_path):
    expert = "x" * 200_000
    (tmp_path / "t.csv").write_text(f"question,reference_answer,expert_solution\nq,1,{expert}\n")
    assert load_problems(tmp_path / "t.csv")[0].expert_solution == expert


cells = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1)


@given(st.lists(st.tuples(cells, cells), max_size=4), st.sampled_from([",", ";", "\t"]))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, records, delimiter):
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows([("q", "a"), *records])
    path = tmp_path_factory.mktemp("csv")
    found = rows_of(path, buffer.getvalue(), delimiter=delimiter)
    assert [(row["q"], row["a"]) for row in found] == records
