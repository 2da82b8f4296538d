"""Whatever data and models write, the terminal shows it as text and is not driven by it."""

from __future__ import annotations

import io
import json

import pytest
from rich.table import Table

from rephrase_rl.cli import console
from rephrase_rl.cli.main import main
from rephrase_rl.visible_text import HIDDEN

HOSTILE = {
    "colours": "\x1b[31mred\x1b[0m",
    "clears the screen": "\x1b[2J\x1b[H",
    "sets the title": "\x1b]0;owned\x07",
    "OSC 8 link": "\x1b]8;;https://evil.example\x07the answer\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "C1 codes": "\x9b31m\x90q\x9c",
    "overwrites the line": "wrong\rright",
    "erases": "wrong\b\b\b\b\bright",
    "bidirectional": "safe \u202egnp.exe\u202c \u2066x\u2069",
    "zero width": "an\u200bswer\ufeff",
    "delete": "a\x7fb",
    "half a pair": "\ud800",
}
MARKUP = "[bold red]not markup[/] :smile: :100:"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_shown_and_not_obeyed(monkeypatch, text) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(console.output, "_file", stream)
    console.output.print(f"verdict: {text}", text)
    table = Table("problem", title=text)
    table.add_row(text)
    console.output.print(table)
    shown = stream.getvalue()

    # The stream is no terminal, so rich styles nothing: any control code would be the text's.
    assert not HIDDEN.search(shown)
    code = f"[U+{ord(HIDDEN.search(text).group()):04X}]"
    assert shown.count(code) >= 4


def test_markup_and_emoji_codes_are_text(monkeypatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(console.output, "_file", stream)
    console.output.print(MARKUP)
    assert stream.getvalue() == MARKUP + "\n"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_json_is_printed_in_ascii_and_says_the_same(monkeypatch, text) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(console.output, "_file", stream)
    console.print_json({"text": text + MARKUP})
    assert json.loads(stream.getvalue()) == {"text": text + MARKUP}
    assert stream.getvalue().isascii()
    assert not HIDDEN.search(stream.getvalue())


ROWS = [
    {"question": f"{text} What is 1+1?", "reference_answer": "2", "problem_id": f"p{i}{text}"}
    for i, text in enumerate(list(HOSTILE.values())[:-1])
]
BAD = [{"question": "x\x1b[2J", "reference_answer": {"\x1b]0;t\x07": 1}, "\x1b[31m": "\x9b"}]


@pytest.mark.parametrize("flag", [[], ["--json"]])
def test_data_check_shows_hostile_rows_harmlessly(tmp_path, capfd, flag) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, *BAD, ROWS[0]]))
    status = main(["data", "check", str(file), "--rows", "20", "--against", str(file), *flag])
    printed = "".join(capfd.readouterr())
    assert status == 2, "one row is bad"
    assert "p0" in printed
    assert not HIDDEN.search(printed)


def test_errors_and_tracebacks_show_hostile_names_harmlessly(tmp_path, capfd) -> None:
    file = tmp_path / "c.yaml"
    file.write_text('method: repo\n"\\e[2Jmodel": 1\ndata: "\\e]0;x\\a"\n')
    for flags in ([], ["--debug"]):
        assert main([*flags, "config", "check", str(file)]) == 2
        printed = "".join(capfd.readouterr())
        assert "[U+001B]" in printed
        assert not HIDDEN.search(printed)
