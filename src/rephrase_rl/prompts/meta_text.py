"""Removal of meta text: what betrays, in a rewrite, that a reference solution was shown.

Cuts only where the sentence around it stays whole: headings, remarks about the text, the words
before a sentence's first comma, brackets and clauses. What stands in the middle of reasoning is
reported as left over, so that an acceptance rule can refuse the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rephrase_rl.prompts import meta_patterns as patterns
from rephrase_rl.prompts.think_patterns import THINK_MARKER, thinking_spans

_FIRST_WORD = re.compile(r"[*_(]*([a-z][a-z'’-]+)(?![\w(^=])")
_FUNCTION_NAMES = frozenset({"sin", "cos", "tan", "log", "ln", "exp", "lim", "max", "min", "gcd"})


@dataclass(frozen=True, slots=True)
class CleanedText:
    """A text without the meta text that could be cut out."""

    text: str
    removed: tuple[str, ...]
    """What was cut, in the order of cutting."""
    leftover: tuple[str, ...]
    """Meta phrases that are still in ``text``, since cutting them would damage a sentence."""


@dataclass(frozen=True, slots=True)
class _Cut:
    start: int
    end: int
    capitalise: bool = False
    """Whether what follows becomes the start of its sentence."""


def remove_meta_text(text: str) -> CleanedText:
    """Cut out phrases that betray that a solution was shown.

    Idempotent: cleaning the result again changes nothing. A text without such phrases comes back
    as it is, to the last blank. A cut never contains a box, and a remark that contains figures or
    formulae is not cut but left over. Nothing is ever cut inside ``<think>``: thinking that speaks
    of what was shown is left over as a whole.

    Example:
        >>> remove_meta_text("Based on the reference solution, we add 2 and 3.").text
        'We add 2 and 3.'
        >>> remove_meta_text("The expert solution shows that x = 2.").leftover
        ('The expert solution',)
        >>> remove_meta_text("<think>The given solution adds.</think>5").leftover
        ('The given solution',)
    """
    spans = thinking_spans(text)
    if not spans:
        return _clean_answer(text)
    pieces: list[str] = []
    removed: list[str] = []
    leftover: list[str] = []
    position = 0
    for start, end in [*spans, (len(text), len(text))]:
        cleaned = _clean_answer(text[position:start])
        thinking = text[start:end]
        pieces += [cleaned.text, thinking]
        removed += cleaned.removed
        leftover += [*cleaned.leftover, *_meta_thinking(thinking)]
        position = end
    return CleanedText("".join(pieces), tuple(removed), tuple(leftover))


def _clean_answer(text: str) -> CleanedText:
    """Clean a text without thinking."""
    if not patterns.may_match(text):
        return CleanedText(text, (), ())
    removed: list[str] = []
    markers = _markers(text)
    # One cut may lay open the next; each round shortens the text, so the rounds end.
    while cuts := _merged(_find_cuts(text, bool(markers))):
        removed.extend(text[cut.start : cut.end].strip() for cut in cuts)
        for cut in reversed(cuts):
            text = _apply(text, cut)
        markers = _markers(text)
    return CleanedText(text, tuple(removed), markers)


def _meta_thinking(thinking: str) -> list[str]:
    """Phrases of thinking that speak of what was shown, in order."""
    found = [*patterns.MARKER.finditer(thinking), *THINK_MARKER.finditer(thinking)]
    found += patterns.HEADING.finditer(thinking)
    phrases: list[str] = []
    reached = -1
    for match in sorted(found, key=lambda match: (match.start(), -match.end())):
        if match.start() >= reached:
            phrases.append(match.group().strip())
            reached = match.end()
    return phrases


def _markers(text: str) -> tuple[str, ...]:
    return tuple(match.group().strip() for match in patterns.MARKER.finditer(text))


def _find_cuts(text: str, is_marked: bool) -> Iterator[_Cut]:
    for match in patterns.HEADING.finditer(text):
        yield _Cut(match.start(), match.end())
    for match in patterns.FRAME.finditer(text):
        yield _Cut(match.start("cut"), match.end("cut"), capitalise=True)
    if not is_marked:  # whatever follows needs a marker
        return
    for match in patterns.ASIDE.finditer(text):
        if not patterns.MATHEMATICS.search(match.group("cut")):
            yield _Cut(match.start("cut"), match.end("cut"))
    for match in patterns.SENTENCE.finditer(text):
        if _is_remark(match.group()):
            yield _Cut(match.start(), match.end())


def _is_remark(sentence: str) -> bool:
    """Whether a sentence only speaks about the text or the solution shown."""
    if patterns.MARKER.search(sentence) is None:
        return False
    if patterns.TALK.match(sentence) is None and patterns.AGREEMENT.match(sentence) is None:
        return False
    content = re.sub(r"^(?:#{1,6}|\d{1,3}[.)])[ \t]+", "", sentence)
    return patterns.MATHEMATICS.search(content) is None


def _merged(cuts: Iterator[_Cut]) -> list[_Cut]:
    """Cuts in order; where two overlap, the one that begins first (the longer one) counts."""
    kept: list[_Cut] = []
    for cut in sorted(cuts, key=lambda cut: (cut.start, -cut.end)):
        if cut.end > cut.start and (not kept or cut.start >= kept[-1].end):
            kept.append(cut)
    return kept


def _apply(text: str, cut: _Cut) -> str:
    before, after = text[: cut.start], text[cut.end :]
    if cut.capitalise:
        return before + _capitalised(after)
    at_line_start = before == "" or before.endswith("\n")
    after = after.lstrip(" \t") if at_line_start or before.endswith((" ", "\t")) else after
    at_line_end = after == "" or after.startswith("\n")
    if at_line_start and at_line_end:
        after = after.lstrip("\n") if before == "" or before.endswith("\n\n") else after[1:]
    if at_line_end:
        before = before.rstrip(" \t")
    if after == "":
        before = before.rstrip()
    return before + after


def _capitalised(text: str) -> str:
    """Make the first word start a sentence, unless it is the name of something mathematical."""
    match = _FIRST_WORD.match(text)
    if match is None or match.group(1) in _FUNCTION_NAMES:
        return text
    index = match.start(1)
    return text[:index] + text[index].upper() + text[index + 1 :]
