"""Append-only JSON lines: torn tails, numbers without a value, readers beside a writer."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from rephrase_rl.errors import CheckpointError
from rephrase_rl.records import StepRecord
from rephrase_rl.runs import jsonl


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "steps.jsonl"


def test_lines_come_back_in_order(path):
    jsonl.append_lines(path, [{"step": 0}, {"step": 1}])
    jsonl.append_lines(path, [{"step": 2}])

    assert [row["step"] for row in jsonl.read_lines(path)] == [0, 1, 2]
    assert path.read_bytes().endswith(b"\n")


def test_a_missing_file_has_no_lines(path):
    assert list(jsonl.read_lines(path)) == []


def test_nothing_to_append_makes_no_file(path):
    jsonl.append_lines(path, [])

    assert not path.exists()


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_a_torn_last_line_is_passed_over_then_cut_off(path, cut, caplog):
    whole = b'{"step": 0}\n'
    torn = b'{"step": 1, "metrics": {}}'[:-cut]
    path.write_bytes(whole + torn)

    assert [row["step"] for row in jsonl.read_lines(path)] == [0]
    assert path.read_bytes() == whole + torn, "reading must not change the file"

    jsonl.append_lines(path, [{"step": 9}])

    assert [row["step"] for row in jsonl.read_lines(path)] == [0, 9]
    assert "cut off an unfinished last line" in caplog.text


def test_a_torn_character_is_passed_over(path):
    path.write_bytes(b'{"step": 0}\n' + '{"text": "ü'.encode()[:-1])

    assert list(jsonl.read_lines(path)) == [{"step": 0}]


def test_a_file_that_is_one_torn_line_becomes_empty(path):
    path.write_bytes(b'{"st')

    assert jsonl.repair_tail(path) == 4
    assert path.read_bytes() == b""


def test_a_torn_line_longer_than_a_block_is_cut_off_whole(path):
    path.write_bytes(b'{"step": 0}\n' + b'{"text": "' + b"x" * (3 * jsonl.TAIL_BLOCK))

    jsonl.append_lines(path, [{"step": 1}])

    assert [row["step"] for row in jsonl.read_lines(path)] == [0, 1]


def test_a_whole_last_line_without_newline_is_kept(path):
    path.write_bytes(b'{"step": 0}\n{"step": 1}')

    assert jsonl.repair_tail(path) == 0
    jsonl.append_lines(path, [{"step": 2}])

    assert [row["step"] for row in jsonl.read_lines(path)] == [0, 1, 2]


@pytest.mark.parametrize("bad", [b'{"step": 1', b"\xff\xfe", b""])
def test_a_damaged_line_before_the_end_is_an_error_with_its_number(path, bad):
    path.write_bytes(b'{"step": 0}\n' + bad + b'\n{"step": 2}\n')

    with pytest.raises(CheckpointError, match="line 2 is not JSON"):
        list(jsonl.read_lines(path))


def test_a_reader_beside_a_writer_sees_whole_lines_only(path):
    """Every state of the file during an append is a prefix of the final one."""
    lines = [{"step": step, "text": "é" * step} for step in range(4)]
    content = b"".join(jsonl.encode(line) + b"\n" for line in lines)

    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        seen = list(jsonl.read_lines(path))
        assert seen == lines[: len(seen)]
        assert content[:size].count(b"\n") <= len(seen) <= content[:size].count(b"\n") + 1


def test_a_reader_that_started_before_an_append_is_not_disturbed(path):
    jsonl.append_lines(path, [{"step": 0}])
    reader = jsonl.read_lines(path)

    assert next(reader) == {"step": 0}
    jsonl.append_lines(path, [{"step": 1}])
    assert list(reader) in ([], [{"step": 1}])


def test_nan_and_infinity_become_null(path):
    record = StepRecord(0, {"loss": math.nan, "reward": math.inf, "kl": -0.5})
    jsonl.append_lines(path, [record])

    assert "NaN" not in path.read_text()
    assert list(jsonl.read_lines(path)) == [
        {"step": 0, "metrics": {"loss": None, "reward": None, "kl": -0.5}}
    ]


def test_constants_of_other_writers_are_read_as_null():
    assert jsonl.decode(b'{"a": NaN, "b": [-Infinity]}') == {"a": None, "b": [None]}


def test_numpy_scalars_and_paths_are_encoded():
    value = {"a": np.float32(0.5), "b": np.int64(3), "c": np.float32("nan"), "d": Path("x/y")}

    assert json.loads(jsonl.encode(value)) == {"a": 0.5, "b": 3, "c": None, "d": "x/y"}


def test_half_a_surrogate_pair_survives():
    assert jsonl.decode(jsonl.encode({"text": "a\ud800b ü"})) == {"text": "a\ud800b ü"}


def test_a_value_without_json_form_changes_nothing(path):
    jsonl.append_lines(path, [{"step": 0}])

    with pytest.raises(TypeError, match="found a object"):
        jsonl.append_lines(path, [{"step": 1}, {"step": object()}])

    assert list(jsonl.read_lines(path)) == [{"step": 0}]
