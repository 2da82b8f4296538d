"""Readers: every kind of file and data set gives the same rows."""

import gzip
import json
import subprocess
import sys

import pyarrow as pa
import pytest
from pyarrow import parquet

from rephrase_rl.data import load_problems, read_rows, source_name
from rephrase_rl.errors import DataError

ROWS = [
    {"question": "1+1?", "reference_answer": "2", "level": 1},
    {"question": "1+2? ü", "reference_answer": "3", "level": 2},
    {"question": "1+3?", "reference_answer": "4", "level": 3},
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
NUMBERED = list(enumerate(ROWS, start=1))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def write_jsonl(folder):
    (folder / "rows.jsonl").write_text(LINES)
    return folder / "rows.jsonl"


def write_jsonl_gz(folder):
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(LINES.encode()))
    return folder / "rows.jsonl.gz"


def write_json_array(folder):
    (folder / "rows.json").write_text(json.dumps(ROWS, indent=2))
    return folder / "rows.json"


def write_json_lines(folder):
    (folder / "rows.json").write_text(LINES)
    return folder / "rows.json"


def write_json_gz(folder):
    (folder / "rows.json.gz").write_bytes(gzip.compress(json.dumps(ROWS).encode()))
    return folder / "rows.json.gz"


CELLS = [("question", "reference_answer", "level"), *[tuple(r.values()) for r in ROWS]]
TEXT_ROWS = [(i, {k: str(v) for k, v in row.items()}) for i, row in NUMBERED]


def write_csv(folder):
    (folder / "rows.csv").write_text("".join(",".join(map(str, c)) + "\n" for c in CELLS))
    return folder / "rows.csv"


def write_tsv_gz(folder):
    text = "\ufeff" + "".join("\t".join(map(str, c)) + "\r\n" for c in CELLS)
    (folder / "rows.tsv.gz").write_bytes(gzip.compress(text.encode()))
    return folder / "rows.tsv.gz"


def write_parquet(folder):
    parquet.write_table(pa.Table.from_pylist(ROWS), folder / "rows.parquet", row_group_size=2)
    return folder / "rows.parquet"


def write_saved_dataset(folder):
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def write_saved_splits(folder):
    import datasets

    train = datasets.Dataset.from_list(ROWS)
    splits = datasets.DatasetDict({"train": train, "test": train.select([0])})
    splits.save_to_disk(str(folder / "splits"))
    return folder / "splits"


def write_plain_folder(folder):
    (folder / "plain").mkdir()
    (folder / "plain" / "train.jsonl").write_text(LINES)
    (folder / "plain" / "test.jsonl").write_text(LINES.split("\n")[0] + "\n")
    return folder / "plain"


WRITERS = [
    write_jsonl, write_jsonl_gz, write_json_array, write_json_lines, write_json_gz, write_parquet,
    write_saved_dataset, write_saved_splits, write_plain_folder,
]  # fmt: skip


@pytest.mark.parametrize("write", WRITERS)
def test_rows(write, tmp_path):
    path = write(tmp_path)
    assert list(read_rows(path)) == NUMBERED
    assert list(read_rows(str(path), limit=2)) == NUMBERED[:2]


@pytest.mark.parametrize("write", [write_csv, write_tsv_gz])
def test_rows_of_tables_are_texts(write, tmp_path):
    path = write(tmp_path)
    assert list(read_rows(path)) == TEXT_ROWS
    assert list(read_rows(path, limit=2)) == TEXT_ROWS[:2]


@pytest.mark.parametrize("write", [write_saved_splits, write_plain_folder])
def test_splits(write, tmp_path):
    assert list(read_rows(write(tmp_path), split="test")) == NUMBERED[:1]


@pytest.mark.parametrize("write", [write_saved_splits, write_plain_folder])
def test_an_unknown_split(write, tmp_path):
    with pytest.raises(DataError, match="split 'dev'"):
        list(read_rows(write(tmp_path), split="dev"))


def test_arguments_reach_the_hub_loader(monkeypatch):
    import datasets

    seen = []

    def load_dataset(*args, **kwargs):
        seen.append((args, kwargs))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    problems = load_problems("openai/gsm8k", split="test", config_name="main", revision="abc")
    assert seen == [(("openai/gsm8k", "main"), {"split": "test", "revision": "abc"})]
    assert next(p.problem_id for p in problems) == "openai/gsm8k/test-1"
    # A limit streams: no more of a large data set is fetched than is read.
    load_problems("openai/gsm8k", limit=1)
    assert seen[1][1] == {"split": "train", "revision": None, "streaming": True}


@pytest.mark.parametrize("error", [ValueError("no config"), ConnectionError("offline")])
def test_a_hub_data_set_that_cannot_be_loaded(monkeypatch, error):
    import datasets

    def load_dataset(*args, **kwargs):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match=r"'openai/gsm8k'.*configuration None, split 'train'"):
        list(read_rows("openai/gsm8k"))


def test_blank_lines_keep_line_numbers(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\ufeff" + LINES.replace("\n", "\n\n"), encoding="utf-8")
    assert [number for number, _ in read_rows(path)] == [1, 3, 5]


def test_unreadable_lines_are_all_named_after_the_good_ones(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": \n[1]\n{"a": 2}\n')
    reader = read_rows(path)
    assert [next(reader), next(reader)] == [(1, {"a": 1}), (4, {"a": 2})]
    with pytest.raises(DataError) as caught:
        next(reader)
    assert [fault.split(":")[0] for fault in caught.value.faults] == [
        "row 2, whole line",
        "row 3, whole row",
    ]


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a": ' + "1" * 5000 + "}"])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_deep_nesting_and_endless_numbers_are_faults_and_no_crash(tmp_path, name, line):
    (tmp_path / name).write_text(line + "\n")
    with pytest.raises(DataError):
        list(read_rows(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"[1, 2", "no valid JSON"),
        ("a.jsonl.gz", b"not gzip", "cannot be read"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 999, mtime=0)[:-20], "cannot be read"),
        ("a.jsonl", b'{"a": "\xff"}', r"as UTF-8 text \(line 1: byte 0xff after 7 "),
        ("a.csv", b"a,b\n" * 5000 + b"1,\xfc\n", r"as UTF-8 .* \(line 5001: byte 0xfc .*iconv"),
        ("a.csv.gz", gzip.compress(b"a,b\n1,\xfc\n", mtime=0), r"\(line 2: byte 0xfc"),
        ("a.parquet", b"not parquet", "cannot be read as Parquet"),
        ("a.txt", b"a,b", "required: one of .jsonl"),
        ("a.csv", b"a,a\n1,2\n", "a name for every column, each once"),
        ("a.csv", b"a;b\n1;2\n", r"found one column, 'a;b'; .* separated by ';'"),
        ("a.tsv", b"\n", "a name for every column"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_rows(tmp_path / name))


def test_a_damaged_stream_inside_gzip_is_told_and_no_crash(tmp_path):
    content = bytearray(gzip.compress(LINES.encode() * 50))
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "a.jsonl.gz").write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"cannot be read|fault"):
        list(read_rows(tmp_path / "a.jsonl.gz"))


def test_what_is_not_there():
    for path in ("missing.jsonl", "no/such/folder/x", "/no/such/file.parquet"):
        with pytest.raises(DataError, match="found no file or folder"):
            list(read_rows(path))


def test_a_hub_data_set_that_breaks_off_while_it_is_read(monkeypatch):
    import datasets

    def rows():
        yield ROWS[0]
        raise ConnectionError("lost")

    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: rows())
    reader = read_rows("openai/gsm8k")
    assert next(reader) == NUMBERED[0]
    with pytest.raises(DataError, match="ConnectionError: lost"):
        next(reader)


def test_a_json_object_of_rows_gives_each_its_name(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"a": ROWS[0], "b": ROWS[1]}, indent=1))
    assert list(read_rows(path)) == [(1, {"key": "a", **ROWS[0]}), (2, {"key": "b", **ROWS[1]})]
    path.write_text(json.dumps({"a": {"key": 1}}))
    with pytest.raises(DataError, match="where the row's name goes"):
        list(read_rows(path))
    path.write_text(json.dumps(ROWS[0], indent=2))  # one row over several lines
    assert list(read_rows(path)) == NUMBERED[:1]


def test_limit_below_one(tmp_path):
    with pytest.raises(DataError, match="limit=0"):
        list(read_rows(write_jsonl(tmp_path), limit=0))


def test_source_names(tmp_path):
    (tmp_path / "plain").mkdir()
    assert source_name("gsm8k/train.jsonl") == "gsm8k/train"
    assert source_name("/a/b/gsm8k/train.jsonl.gz") == "gsm8k/train"
    assert source_name(tmp_path / "plain", "test") == "plain/test"
    assert source_name("openai/gsm8k", "test") == "openai/gsm8k/test"


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, rephrase_rl.data, rephrase_rl.prompts; "
        "print(sorted({'torch', 'datasets', 'pyarrow', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
