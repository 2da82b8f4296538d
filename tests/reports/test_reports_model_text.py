"""Model text on a page: escaped, truthful, whole."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.reports import model_text


class TextOnly(HTMLParser):
    """Collects tags and text as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def parse(markup: str) -> TextOnly:
    parser = TextOnly()
    parser.feed(markup)
    parser.close()
    return parser


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "</pre></details><img src=x onerror=alert(1)>",
        '" onmouseover="alert(1)',
        "&lt;b&gt; is not &amp;",
        "{{ 7 * 7 }} {% raw %}",
        "<!-- --> <![CDATA[ ]]>",
    ],
)
def test_markup_in_a_text_is_shown_as_text(text):
    seen = parse(str(model_text.show_text(text)))

    assert seen.tags == []
    assert seen.text == text


@pytest.mark.parametrize(
    ("character", "code"),
    [
        ("\u202e", "U+202E"),
        ("\u2066", "U+2066"),
        ("\u200b", "U+200B"),
        ("\ufeff", "U+FEFF"),
        ("\x00", "U+0000"),
        ("\x1b", "U+001B"),
        ("\r", "U+000D"),
        ("\ud800", "U+D800"),
        ("\U000e0041", "U+E0041"),
    ],
)
def test_characters_that_cannot_be_seen_are_labelled(character, code):
    shown = str(model_text.show_text(f"a{character}b"))

    assert character not in shown
    assert parse(shown).text == f"a{code}b"


def test_newline_tab_and_other_scripts_stay_as_they_are():
    text = "a\n\tb الحل 解 é 😀"

    assert str(model_text.show_text(text)) == text


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text())
def test_no_text_makes_a_tag_other_than_the_label(text):
    seen = parse(str(model_text.show_text(text)))

    assert set(seen.tags) <= {"span"}
    assert len(seen.tags) == len(model_text.HIDDEN.findall(text))


def test_removed_phrases_are_struck_through_in_order():
    shown = model_text.show_removed("As told, x=1. As told, y=2.", ("As told, ", "As told, "))

    assert str(shown) == "<del>As told, </del>x=1. <del>As told, </del>y=2."


def test_a_removed_phrase_that_is_not_found_is_not_lost():
    shown = model_text.show_removed("x=1", ("the <b> hint", ""))

    assert str(shown).startswith("x=1\n[removed: <del>the &lt;b&gt; hint</del>]")


def test_long_texts_are_folded():
    assert model_text.is_long("x" * 701)
    assert model_text.is_long("x\n" * 14)
    assert not model_text.is_long("x" * 700)


def test_a_preview_is_one_short_line():
    assert model_text.preview("a\n  b") == "a b"
    assert model_text.preview("ab " * 1000) == ("ab " * 40) + "…"
