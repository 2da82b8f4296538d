"""What meta text looks like: phrases that betray that somebody else's solution was shown.

Wording that problems use by themselves ("reference frame", "the original solution contains 20%
salt", "rewrite the equation") must not match; where a word is ambiguous, the pattern asks for more
of the phrase. Patterns only; what is cut and what is left is decided in ``meta_text``.
"""

from __future__ import annotations

import re

_SOMEBODY = r"(?:expert(?:['’]s)?|reference|teacher(?:['’]s)?|someone[ ]else['’]s)"
_GIVEN = r"(?:provided|given|supplied|sample|official|original|above)"
_WORK = (
    r"(?:(?:worked|sample)[ ]+)?(?:solution|answer|approach|explanation|reasoning|derivation|proof"
    r"|method|steps|text|response|write-?up)s?"
)
_ARTICLE = r"(?:(?:the|an?|this|that|your)[ ]+)?"
_OTHERS_WORK = rf"{_ARTICLE}{_SOMEBODY}[ ]+{_WORK}\b"
_SAYS = (
    r"(?:shows?|showed|shown|states?|stated|says?|said|explains?|explained|notes?|noted|points?[ ]"
    r"out|concludes?|concluded|derives?|derived|demonstrates?|demonstrated|does|did|suggests?)"
)
_OWN_WORDS = r"in[ ](?:my|our|your)[ ]own[ ](?:words|style|way|voice|wording)"
_SHOWN_WORK = (
    r"(?:solution|explanation|answer|derivation)[ ]+(?:(?:that|which)[ ](?:was|is|i[ ]was)[ ])?"
    r"(?:provided|given|shown|supplied)[ ]+(?:above|below|to[ ](?:me|us)|in[ ]the[ ]prompt"
    r"|by[ ]the[ ](?:expert|teacher))"
)
_REWORDED = r"(?:rewritten|rephrased|reworded|paraphrased|restated)"

_MARKER = (
    rf"(?:\b{_OTHERS_WORK}"
    rf"|\bthe[ ]expert[ ]+(?:also[ ]+)?{_SAYS}\b"
    rf"|\b{_GIVEN}[ ]+(?:solution|explanation|derivation)[ ]+(?:shows|states|says|explains|uses"
    r"|concludes|notes|demonstrates)\b"
    rf"|\b(?:the[ ]+)?{_SHOWN_WORK}\b"
    rf"|\b{_OWN_WORDS}\b"
    rf"|\b{_REWORDED}[ ]+(?:version[ ]+of[ ]+the[ ]+)?(?:solution|answer|explanation|proof"
    r"|derivation|text)\b"
    r"|\b(?:let[ ]me|i(?:['’]ll|[ ]will))[ ](?:now[ ])?(?:rewrite|rephrase|paraphrase|reword)[ ]"
    r"(?:the|this|that|your)[ ](?:solution|explanation)(?=[ ]*(?:[.:!]|$)))"
)
MARKER = re.compile(_MARKER, re.IGNORECASE | re.MULTILINE)
"""Any phrase that only makes sense if a solution was shown."""

_TELLING = (
    "expert",
    "reference",
    "teacher",
    "someone else",
    *(f"own {word}" for word in ("words", "style", "way", "voice", "wording", "solution")),
    "rephras",
    "reword",
    "paraphras",
)
"""One of these stands in every phrase, or else one word of each of the next two lists."""
_SHOWN = (
    *("provided", "given", "supplied", "sample", "official", "original", "above", "shown"),
    *("rewrit", "restat"),
)
_SHOWABLE = (
    *("solution", "answer", "explanation", "derivation", "reasoning", "proof", "text", "version"),
)


def may_match(text: str) -> bool:
    """Cheap test: a text for which it is false has none of the phrases that are looked for here.

    Words are looked for as plain text, twenty times as fast as a pattern without regard to case.
    """
    # Case as in patterns without regard to case, for which both Turkish letters equal an i.
    folded = text.replace("İ", "i").replace("ı", "i").casefold()
    return any(word in folded for word in _TELLING) or (
        any(word in folded for word in _SHOWN) and any(word in folded for word in _SHOWABLE)
    )


MATHEMATICS = re.compile(r"[\d=$\\^<>≤≥+]|(?<![A-Za-z'’])[b-hj-zB-HJ-Z](?![A-Za-z'’])")
"""Content that must not get lost with a remark: figures, formulae, single-letter names."""

SENTENCE = re.compile(
    r"(?:(?:sure|okay|ok|certainly|of[ ]course|alright|great|note|remark)[,.:!]+\s+)?"
    r"[^\s][^\n]*?(?:[.!?:]+[\"'”’)\]*_]*(?=\s|\Z)|(?=\n)|\Z)",
    re.IGNORECASE,
)
"""One sentence, or the rest of its line; an exclamation before it belongs to it."""

_LINE_MARK = r"(?:(?:[-*>]|\#{1,6}|\d{1,3}[.)])[ \t]+)?(?:\*{1,2}|_{1,2})?\(?"
_INTERJECTION = (
    r"(?:(?:sure|okay|ok|certainly|of[ ]course|alright|great|now|first|next|finally|then|so|thus"
    r"|note(?:[ ]that)?|remark)\b[,:!.*\s]*)*"
)
TALK = re.compile(
    rf"{_LINE_MARK}{_INTERJECTION}"
    r"(?:here(?:['’]s|[ ]is|[ ]are)\b|below[ ]is\b|let[ ]me\b|let['’]s\b|let[ ]us\b"
    r"|i(?:['’](?:ll|ve|m)|[ ](?:will|have|am|can|need|should|hope|was|tried|wrote|rewrote"
    r"|rephrased|followed|understand|understood|think))\b"
    r"|we[ ](?:will|now)[ ](?:rewrite|rephrase|restate)\b"
    r"|(?:this|the[ ]above|the[ ]following|my)[ ](?:is|was|solution|approach|explanation|task"
    r"|version|text|rewrite|derivation)\b"
    r"|(?:understand|comprehend|read|review|restat|rephras|rewrit|paraphras|reword)\w*\b"
    r"|(?:the|my|a)?[ ]?(?:rewritten|rephrased|reworded|paraphrased|restated|own)\b"
    r"|(?:my[ ])?(?:solution|answer|explanation)[ ]in\b"
    rf"|to[ ](?:rewrite|rephrase)\b|{_OWN_WORDS}\b|(?:thanks|thank[ ]you)\b)",
    re.IGNORECASE,
)
"""Start of a sentence that speaks about the text itself."""

_AGREES = (
    r"(?:match(?:es)?|agrees?[ ](?:with|exactly[ ]with)|(?:is|are)[ ](?:consistent[ ]with"
    r"|the[ ]same[ ]as|identical[ ]to|in[ ](?:line|agreement)[ ]with|confirmed[ ]by)"
    r"|coincides?[ ]with|confirms?|is[ ]exactly)"
)
AGREEMENT = re.compile(
    rf"{_LINE_MARK}{_INTERJECTION}(?:this|it|that|(?:the|my|our|this)[ ](?:final[ ])?(?:result"
    rf"|answer|solution|value))[ ](?:also[ ]|indeed[ ])?{_AGREES}\b",
    re.IGNORECASE,
)
"""Start of a sentence that checks the own answer against the one shown."""

HEADING = re.compile(
    rf"^[ \t]*(?:\#{{1,6}}[ \t]*|\*\*|__)(?:(?:my|the)[ ])?(?:{_REWORDED}[ ](?:solution|answer"
    rf"|explanation|version)|(?:solution|answer|explanation)[ ]{_OWN_WORDS}|own[ ]solution"
    rf"|{_OWN_WORDS}|expert(?:['’]s)?[ ]solution|(?:understanding|comprehending)[ ]the[ ]"
    r"(?:expert['’]?s?|reference|given|provided)[ ]solution)[ \t]*:?[ \t]*(?:\*\*|__)?:?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
"""A line that is only a heading."""

_VIA = (
    r"(?:based[ ]on|according[ ]to|following|guided[ ]by|referring[ ]to|after[ ](?:reading"
    r"|reviewing|studying|understanding|comprehending)|having[ ](?:read|reviewed|studied|understood"
    r"|comprehended)|in[ ]line[ ]with|drawing[ ]on|inspired[ ]by|as[ ](?:shown|stated|explained"
    r"|described|seen|indicated|demonstrated|given|outlined|noted|mentioned)[ ](?:in|by))"
)
_VIA_SOMEBODY = rf"(?:{_VIA}|using|from|in|per|with|like|as[ ]in|similar[ ]to|looking[ ]at)"
_FRAME = (
    rf"(?:{_VIA_SOMEBODY}[ ]+{_OTHERS_WORK}(?:[ ]+(?:above|below))?"
    rf"|{_VIA}[ ]+{_ARTICLE}{_GIVEN}[ ]+(?:solution|explanation|derivation|reasoning)"
    rf"|{_VIA}[ ]+{_ARTICLE}(?:solution|explanation|derivation)[ ]+(?:provided|given|shown)"
    r"(?:[ ]+(?:above|below|to[ ](?:me|us)|by[ ]the[ ]expert))?"
    rf"|as[ ](?:the[ ]expert|{_OTHERS_WORK})[ ]+{_SAYS}"
    rf"|(?:to[ ]put[ ]it[ ]|put[ ]|restated[ ]|rephrased[ ]|explained[ ]|stated[ ])?{_OWN_WORDS}"
    rf"|(?:rephrasing|rewriting|restating|paraphrasing)[ ]+(?:{_OTHERS_WORK}|(?:the|this)[ ]"
    rf"solution)(?:[ ]{_OWN_WORDS})?)"
)
FRAME = re.compile(
    r"(?:\A|(?<=\n)|(?<=[.!?:][ \n]))[ \t]*(?:(?:[-*>]|\#{1,6}|\d{1,3}[.)])[ \t]+)?"
    rf"(?P<cut>(?P<bold>\*\*|__)?{_FRAME}[ ]*(?:[,:](?(bold)(?P=bold))|(?(bold)(?P=bold)|(?!))[,:])"
    r"[ \t]*)",
    re.IGNORECASE,
)
"""Words before the first comma or colon of a sentence that say where it comes from."""

ASIDE = re.compile(
    rf"(?P<cut>[ ]*\((?=[^()\n]{{0,200}}?{_MARKER})[^()\n]{{0,300}}\)"
    rf"|,?[ ]+(?:just[ ])?as[ ](?:(?:is|was)[ ])?(?:shown|stated|explained|described|seen|indicated"
    r"|demonstrated|given|outlined|noted|mentioned)"
    rf"[ ](?:in|by)[ ]+{_OTHERS_WORK}(?=[.,;:!)\n]|\Z),?"
    rf"|,[ ]+(?:which|and[ ]this|and[ ]it)[ ]{_AGREES}[ ]+{_OTHERS_WORK}(?=[.!\n]|\Z))",
    re.IGNORECASE,
)
"""A clause or bracket that can be taken out of its sentence."""
