"""scripts/recipe_data.py: every row of the sources is in a file, or the script says why not."""

from __future__ import annotations

import json
import sys

import made_up_rows as made
import pytest
import recipe_scripts

from rephrase_rl.errors import DataError

recipe_data = recipe_scripts.load("recipe_data")


def run(monkeypatch, *words) -> None:
    monkeypatch.setattr(sys, "argv", ["recipe_data.py", *map(str, words)])
    recipe_data.main()


def test_supergpqa_is_drawn_in_two_disjoint_parts(tmp_path, monkeypatch, capsys) -> None:
    source = made.lines(tmp_path / "all.jsonl", made.super_gpqa(12))
    out = tmp_path / "out"
    run(monkeypatch, "supergpqa", source, "--out", out, "--train", 7, "--held-out", 4)
    parts = {
        name: [json.loads(line) for line in (out / name).read_text().splitlines()]
        for name in ("train.jsonl", "held_out.jsonl")
    }
    ids = [row["uuid"] for rows in parts.values() for row in rows]
    assert (len(parts["train.jsonl"]), len(ids), len(set(ids))) == (7, 11, 11)
    by_id = {row["uuid"]: row for row in made.super_gpqa(12)}
    assert all(row == by_id[row["uuid"]] for rows in parts.values() for row in rows)
    assert [row["uuid"] for row in parts["train.jsonl"]] != sorted(ids)[:7]  # drawn, not cut off
    assert "train.jsonl: 7 rows" in capsys.readouterr().out


def test_too_few_rows_are_told(tmp_path) -> None:
    source = made.lines(tmp_path / "all.jsonl", made.super_gpqa(5))
    with pytest.raises(DataError, match="found 5 rows"):
        recipe_data.drawn_rows(str(source), 5, 1, 0)


def test_finqa_is_split_by_its_answers(tmp_path, monkeypatch) -> None:
    source = tmp_path / "train.json"
    source.write_text(json.dumps(made.finqa()))
    run(monkeypatch, "finqa", source, "--out", tmp_path / "out")
    numbers, yes_no = (
        [json.loads(line) for line in (tmp_path / "out" / name).read_text().splitlines()]
        for name in ("numbers.jsonl", "yes_no.jsonl")
    )
    assert sorted([*numbers, *yes_no], key=lambda row: row["id"]) == made.finqa()
    assert {row["qa"]["exe_ans"] for row in yes_no} == {"yes"}


def test_an_answer_of_no_known_kind_is_a_fault() -> None:
    rows = made.finqa()
    rows[1]["qa"]["exe_ans"] = "maybe"
    with pytest.raises(DataError, match=r"page_1.*'maybe'"):
        recipe_data.finqa_files(rows)


def test_tatqa_becomes_one_row_a_question() -> None:
    rows = recipe_data.tatqa_files(made.tatqa_raw())["all.jsonl"]
    assert len(rows) == 8
    by_kind = {row["answer_type"]: row["answer"] for row in rows}
    assert by_kind == {
        "arithmetic": -12.6, "span": "the board", "multi-span": "wages; overhead", "count": 2,
    }  # fmt: skip
    assert all(row["paragraphs"] == ["First paragraph.", "Second paragraph."] for row in rows)
    assert rows[0]["table"][1] == ["Other", "44.1", "56.7"]
    assert rows[0]["scale"] == "million"
