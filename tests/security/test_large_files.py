"""A small packed file cannot unpack to more than one row may have."""

from __future__ import annotations

import gzip
import json

import pytest

from rephrase_rl.data import files, load_problems
from rephrase_rl.errors import DataError

ROW = {"question": "q", "reference_answer": "1"}


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.json.gz"])
def test_a_row_beyond_the_limit_is_told(tmp_path, monkeypatch, name) -> None:
    monkeypatch.setattr(files, "MAX_LINE_CHARS", 200)
    monkeypatch.setattr(files, "MAX_JSON_CHARS", 200)
    file = tmp_path / name
    for question, fits in (("q" * 150, True), ("q" * 300, False)):
        row = json.dumps(ROW | {"question": question})
        text = (row if "jsonl" in name else f"[{row}]").encode()
        file.write_bytes(gzip.compress(text) if name.endswith("gz") else text)
        if fits:
            assert load_problems(file)[0].question == question
        else:
            with pytest.raises(DataError, match="of more than 200 characters"):
                load_problems(file)
