r"""Which option a completion chooses: a box, a sentence that says what the answer is, a last line.

The last statement counts. One that names several options, or that is taken back, leaves no choice.
What only mentions an option (a quoted list of them, "if the answer is B", the article "A") is no
statement. Every look around a cue is bounded, so time is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from rephrase_rl.rewards.boxed import before_open_box, boxed_answer, find_boxes
from rephrase_rl.rewards.plain_text import after_thinking, squeezed, undecorated

if TYPE_CHECKING:
    from rephrase_rl.rewards.option_texts import Options

AHEAD_CHARS = 300
"""How far a statement is read after its cue."""
BACK_CHARS = 120
"""How far its sentence is read before the cue."""

_KIND = r"(?:(?:option|choice|answer|letter)\b:? ?)?"
_FILLERS = (
    r"(?:(?:option|choice|letter|answer|correct|the|is|therefore|thus|hence|clearly|indeed|just"
    r"|actually|definitely|probably|likely|most|simply|still|again|obviously|then)\b[ :,]{0,2})"
    r"{0,5}"
)
_IS = r"(?:(?:is|are|(?:would|should|must|will|has to)(?: \w+)? be)\b|[:=→–—-])"
_SAYS = re.compile(
    r"\b(?:answers?|ans|choice|option|solution)\b\)? ?(?:(?:to|for|of|in) (?:this|the|our) \w+ )?"
    rf"{_IS} ?(?P<verbatim>)(?:{_IS} ?)?(?P<denied>not\b ?|n't\b ?)?"
    rf"[\s\"'#>:]{{0,4}}{_FILLERS}",
    re.IGNORECASE,
)
_PICKS = re.compile(
    rf"\bI(?: would| will| must|'d|'ll)? (?:choose|pick|select|go (?:with|for)) (?P<verbatim>)"
    rf"(?P<denied>not\b ?)?{_FILLERS}",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(
    r"\b(?:so|hence|thus|therefore|but|it is|it's|answer|ans)\b[,.:]? ?" + _FILLERS, re.IGNORECASE
)
_JUDGES = re.compile(
    r" (?:is|must be|would be|seems)(?P<denied> not|n't)? "
    r"(?:(?:the|therefore|thus|also|indeed|clearly|a|an|our|my|only|single|most likely) ){0,3}"
    r"(?P<judged>incorrect|wrong|false|ruled out|eliminated|correct|right|best|true|answer)\b",
    re.IGNORECASE,
)
_BAD = ("incorrect", "wrong", "false", "ruled out", "eliminated")
_JUDGED_LETTER = re.compile(
    r"(?:^|[.!?,;:\n(] ?|\b(?:so|thus|hence|therefore|that|and|but|is|option|choice|answer) )"
    r"(?:[(\[]([A-Ja-j])[)\]]|([A-J]))$",
    re.IGNORECASE,
)
_DENIES = re.compile(rf"\b(?:not|rather than|instead of) {_KIND}", re.IGNORECASE)
_UNMEANT = re.compile(
    r"\b(?:if|suppose|supposing|assume|assuming|whether|unless|imagine|pretend|why|not true"
    r"|n't true|(?:might|may|could|would)(?: \w+)? (?:think|say|guess|believe))\b"
    r"|\b(?:wrong|incorrect|false|tempting|first|previous|initial|earlier)(?: \w+)? $",
    re.IGNORECASE,
)
_LETTER = re.compile(r"[(\[] ?(?:[Oo]ption |[Cc]hoice )?([A-Ja-j]) ?[)\]]|([A-J])(?![\w'+#&]|-\w)")
_GOES_ON = re.compile(
    r" ?(?:$|[.,;:!)\]}\"*/=<>–—(]|- |\d)| (?:because|since|as|which|so|due|for|given|with|is|was"
    r"|by|from|where|that|in|if|and|or|but|not|thus|therefore|based|only|rather|instead)\b"
)
_ALSO = re.compile(r" ?(?:,? ?(?:and/or|and|or)\b|[,/&+]) ?(?:option |choice )?| ?(?=[(\[])")
_SEPARATOR = re.compile(r"[ .:,)]*(?:[-–—] )?")
_STANDS_APART = re.compile(r" (?:is|was|does|has|can|cannot|would|could)\b")
_LABEL = re.compile(r"(?<![^\s,;])(?:\(([A-J])\)|([A-J])[).:])(?= ?\S)")
_LONE = re.compile(rf"\W*{_KIND}(?:is )?[(\[]? ?([A-J]) ?[)\]]?[^\w+#&]*", re.IGNORECASE)
_LABELLED = re.compile(
    r"(?:option |choice )?(?:[(\[]([A-J])[)\]]|([A-J])([).:])) ?(\S.*)", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.!?](?= |$)|\n", re.MULTILINE)


class Choice(NamedTuple):
    """What a completion chooses."""

    letter: str | None
    """None: no choice, or no single one."""
    said: str | None = None
    """The statement that counts, as far as it was read."""
    why_none: str = ""
    """Why there is no letter, in words."""


class _Statement(NamedTuple):
    """A place that names options: as the answer, or as not the answer."""

    position: int
    letters: tuple[str, ...]
    said: str
    denies: bool = False


def read_choice(completion: str, options: Options) -> Choice:
    """Find the option that a completion chooses in the end.

    Args:
        completion: The text.
        options: The texts of the question's options, where they are known.
    """
    text = after_thinking(completion)
    statements: list[_Statement] = []
    boxed = boxed_answer(text)
    if boxed is not None:
        content = squeezed(undecorated(boxed))[:AHEAD_CHARS]
        letters = _whole(content, options) or _target(content, options)
        if letters:
            statements.append(_Statement(-1, letters, content))
            text = text[find_boxes(text)[-1].end :]
    text = before_open_box(text)
    text = squeezed(undecorated(text))
    found = [*_sentences(text, options), *_last_line(text, options)]
    statements.extend(sorted(found, key=lambda one: one.position))
    return _last_word(statements)


def _last_word(statements: list[_Statement]) -> Choice:
    """What stands when all has been said."""
    standing: _Statement | None = None
    for statement in statements:
        if not statement.denies:
            standing = statement
        elif standing is not None and statement.letters == standing.letters:
            standing = statement._replace(letters=())
    if standing is None:
        return Choice(None, why_none="the completion names no option as its answer")
    if len(standing.letters) == 1:
        return Choice(standing.letters[0], standing.said)
    why = f"names {', '.join(standing.letters)}" if standing.letters else "takes the choice back"
    return Choice(None, standing.said, f"the last statement {why}")


def _sentences(text: str, options: Options) -> list[_Statement]:
    """The last sentence that says what the answer is, and the denials behind it, last one first."""
    cues = [(cue, read) for pattern, read in _READERS for cue in pattern.finditer(text)]
    found = []
    for cue, read in sorted(cues, key=lambda pair: pair[0].start(), reverse=True):
        statement = read(cue, options)
        if statement is not None and statement.letters:
            found.append(statement)
            if not statement.denies:
                break
    return found


def _said(cue: re.Match[str], options: Options) -> _Statement | None:
    denies = cue["denied"] is not None
    said = _line(cue.string, cue.end())
    letters = _target(said, options)
    # An option's own text may begin with what is skipped: "not fat", "-20%", "most people".
    verbatim = _line(cue.string, cue.start("verbatim"))
    by_text = None if _LONE.fullmatch(_sentence(verbatim)) else _option_in(verbatim, options)
    if by_text is not None:
        said, letters, denies = verbatim, (by_text,), False
    if not letters or _is_asked(said) or not _is_meant(cue.string, cue.start()):
        return None
    return _Statement(cue.start(), letters, said, denies)


def _concluded(cue: re.Match[str], options: Options) -> _Statement | None:
    """As in "so B": the letter, perhaps with its option's text, must be all there is."""
    said = _sentence(_line(cue.string, cue.end()))
    labelled = _LABELLED.fullmatch(said)
    if not _LONE.fullmatch(said) and (labelled is None or not _matches(labelled, options)):
        return None
    if not _is_meant(cue.string, cue.start()):
        return None
    return _Statement(cue.start(), _target(said, options), said)


def _judged(cue: re.Match[str], options: Options) -> _Statement | None:
    """As in "B is correct" and "option (B) is not the answer"."""
    start = max(0, cue.start() - BACK_CHARS)
    letter = _JUDGED_LETTER.search(cue.string, start, cue.start())
    if letter is None or not _is_meant(cue.string, letter.start()):
        return None
    denies = bool(cue["denied"]) != (cue["judged"].lower() in _BAD)
    return _Statement(cue.start(), (_upper(letter),), letter.group().strip(), denies)


def _denied(cue: re.Match[str], options: Options) -> _Statement | None:
    letter = _LETTER.match(cue.string, cue.end())
    if letter is None:
        return None
    return _Statement(cue.start(), (_upper(letter),), cue.group(), denies=True)


_READERS = (
    (_SAYS, _said),
    (_PICKS, _said),
    (_CONCLUDES, _concluded),
    (_JUDGES, _judged),
    (_DENIES, _denied),
)
"""Kinds of cue, and what reads the statement around one."""


def _line(text: str, start: int) -> str:
    return text[start : start + AHEAD_CHARS].lstrip(" \n\"'#>:").partition("\n")[0]


def _last_line(text: str, options: Options) -> Iterator[_Statement]:
    """The last line, if it is nothing but an option and no part of a quoted list of them."""
    before, _, line = text.rstrip().rpartition("\n")
    if not line or len(line) > AHEAD_CHARS:
        return
    position = len(before)
    previous = before.rpartition("\n")[2][:AHEAD_CHARS].strip()
    lone = _LONE.fullmatch(line)
    if lone is not None:
        yield _Statement(position, (_upper(lone),), line)
        return
    by_text = options.letter_of(line)
    if by_text is not None:
        if options.letter_of(previous) in (None, by_text):
            yield _Statement(position, (by_text,), line)
        return
    labelled = _LABELLED.fullmatch(line)
    if labelled is None or _is_list(labelled, previous):
        return
    letters = _target(line[labelled.start(1) - 1 if labelled[1] else labelled.start(2) :], options)
    is_bracketed = labelled[2] is None or labelled[3] == ")"
    if letters and (is_bracketed or not options.texts or _matches(labelled, options)):
        yield _Statement(position, letters, line)


def _is_list(labelled: re.Match[str], previous: str) -> bool:
    """Whether a labelled line is one of several: on lines of their own, or in one line."""
    above = _LABELLED.fullmatch(previous)
    return (above is not None and _upper(above) != _upper(labelled)) or any(
        _upper(label) != _upper(labelled) for label in _LABEL.finditer(labelled.string)
    )


def _matches(labelled: re.Match[str], options: Options) -> bool:
    return _option_in(labelled[4], options) == _upper(labelled)


def _whole(content: str, options: Options) -> tuple[str, ...]:
    """The option that a short text, all of it, stands for; in a box a small letter counts too."""
    lone = _LONE.fullmatch(content)
    letter = _upper(lone) if lone is not None else options.letter_of(content)
    return () if letter is None else (letter,)


def _target(said: str, options: Options) -> tuple[str, ...]:
    """The options that a statement names at its start, () if it names none."""
    sentence = _sentence(said)
    match = _LETTER.match(said)
    for text in (said, sentence):
        by_text = None if _LONE.fullmatch(text) else options.letter_of(text)
        if by_text is not None:
            return (by_text,)
    if match is None or not _is_letter(match, options):
        by_start = options.letter_at_start(said)
        return () if by_start is None else (by_start,)
    letters = {_upper(match): None}
    rest = said[match.end() :]
    if _quotes_options(letters, rest, options):
        return ()
    other = _option_in(_SEPARATOR.sub("", rest, count=1), options)
    if other is not None:
        letters[other] = None
    while (also := _ALSO.match(said, match.end())) is not None:
        match = _LETTER.match(said, also.end())
        if match is None or not _is_letter(match, options):
            break
        if not _STANDS_APART.match(said, match.end()):
            letters[_upper(match)] = None
    return tuple(letters)


def _option_in(text: str, options: Options) -> str | None:
    """The option that a text is, or begins with."""
    return (
        options.letter_of(text)
        or options.letter_of(_sentence(text))
        or options.letter_at_start(text)
    )


def _is_letter(match: re.Match[str], options: Options) -> bool:
    """Whether a letter is an option and not a word, such as the article "A"."""
    if match[1] is not None or _GOES_ON.match(match.string, match.end()):
        return True
    return _option_in(match.string[match.end() :], options) == _upper(match)


def _quotes_options(letters: dict[str, None], rest: str, options: Options) -> bool:
    """Whether a letter begins a list of the options, as in "(A) 5 (B) 6 (C) 7"."""
    (first,) = letters
    labels = [_upper(label) for label in _LABEL.finditer(rest)]
    following = [chr(ord(first) + i) for i in range(1, 3)]
    if len(options.texts) == 2:
        following = following[:1]
    return labels[: len(following)] == following


def _is_meant(text: str, start: int) -> bool:
    """Whether a sentence up to its cue says what it says: no "if", no "wrong answer"."""
    before = text[max(0, start - BACK_CHARS) : start]
    ends = [end.end() for end in _SENTENCE_END.finditer(before)]
    return _UNMEANT.search(before[ends[-1] if ends else 0 :]) is None


def _is_asked(said: str) -> bool:
    match = _LETTER.match(said)
    return match is not None and said[match.end() :].lstrip().startswith("?")


def _sentence(said: str) -> str:
    end = _SENTENCE_END.search(said)
    return said if end is None else said[: end.end()]


def _upper(match: re.Match[str]) -> str:
    """The letter of a match, whichever form it has."""
    return next(group for group in match.groups()[:2] if group is not None).upper()
