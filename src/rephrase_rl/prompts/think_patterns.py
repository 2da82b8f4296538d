"""What betrays, inside ``<think>``, that something was shown besides the question.

Thinking is meant to be somebody's own, so nothing is cut out of it: whoever thinks about a given
solution, a told answer or an attempt leaves meta text behind. More wordings count here than in an
answer, since thinking speaks of its material by the way ("the given solution uses ..."); wording
that problems and honest thinking use by themselves ("the given information", "the solution contains
20 g of salt", "my first attempt") must not match.
"""

from __future__ import annotations

import re

_WORK = r"(?:solution|answer|explanation|derivation|rationale|proof|write-?up|reasoning)"
_FULL_WORK = rf"(?:(?:worked|sample|full|complete|correct)[ ])?{_WORK}"
_GIVEN = r"(?:given|provided|supplied|shown|quoted|expert(?:['’]s)?|reference|teacher(?:['’]s)?)"
# A chemist's solution is followed by what is in it or happens to it; answers have choices, sets.
_IN_A_GLASS = (
    r"(?![ ](?:of[ ](?!the[ ](?:problem|question|exercise)\b)|with[ ]|contain|consist|has\b"
    r"|is[ ](?:mixed|diluted|heated|added|poured|made|\d)"
    r"|(?:choice|option|set|space|curve|sheet|box)))"
)
_GIVEN_WORK = rf"{_GIVEN}[ ]{_FULL_WORK}s?\b{_IN_A_GLASS}"
_TELLS = (
    r"(?:says?|said|states?|stated|mentions?|mentioned|notes?|claims?|explains?|explained|tells?"
    r"|goes[ ]on|(?:starts|started|begins|began)[ ]by|proceeds|proceeded|concludes|concluded"
    r"|does|did|uses|used|writes|wrote|skips|skipped|jumps|gets|got|arrives)"
)
_RIGHT = r"(?:(?:correct|right|final)[ ])?"
_OWN = r"(?:my|our|your)[ ]own"

_PHRASES = (
    # the given solution
    rf"(?:the|this|that|an?|their|his|my)[ ]{_GIVEN_WORK}",
    # this solution uses ...
    r"(?:the|this|that)[ ](?:(?:worked|sample|above)[ ])?(?:solution|explanation|derivation"
    rf"|rationale|write-?up)[ ](?:also[ ]|then[ ])?{_TELLS}\b",
    # the solution I was given, the explanation above
    rf"(?:the|this|that)[ ]{_FULL_WORK}[ ](?:(?:that|which)[ ](?:was|is|i[ ]was|we[ ]were)[ ])?"
    r"(?:provided|given|shown|supplied|above|below|they[ ]gave|i[ ](?:was|am)[ ](?:given|shown))\b"
    r"(?![ ](?:by[ ](?!the[ ](?:expert|teacher))|in[ ]terms))",
    # the steps described in the solution
    r"(?:steps?|method|approach|way|idea|calculations?)[ ](?:(?:that|which)[ ](?:is|are)[ ]|as[ ])?"
    r"(?:described|given|shown|used|outlined|explained|mentioned|stated|presented)[ ](?:in|by)[ ]"
    rf"(?:the|this|that)[ ](?:{_GIVEN}[ ])?(?:solution|explanation|derivation|rationale)\b",
    # I was shown the answer
    r"(?:i|we)(?:['’]m|['’]re|['’]ve[ ]been|[ ](?:am|are|was|were|have[ ]been))[ ]"
    r"(?:given|shown|told|provided[ ]with|handed|presented[ ]with)[ ](?:(?:with|that)[ ])?"
    rf"(?:the|an?|this|their|some)[ ](?:{_GIVEN}[ ])?{_RIGHT}{_FULL_WORK}\b",
    # the answer is known to be
    rf"the[ ]{_RIGHT}(?:answer|result|option)[ ](?:is|was)[ ](?:already[ ])?"
    r"(?:known[ ]to[ ]be|told|given[ ]as|provided[ ]as|stated[ ]to[ ]be)\b",
    # I know the answer should be
    rf"(?:i|we)[ ](?:already[ ])?know[ ](?:that[ ])?the[ ]{_RIGHT}(?:answer|option)\b"
    r"(?=[ ](?:is|should|must|has|will|already|from|to[ ]be))",
    # the expected answer
    rf"the[ ](?:known|told|target|expected|stated)[ ](?:final[ ])?(?:answer|option)\b{_IN_A_GLASS}",
    # rewrite this solution, rephrase it in my own words
    r"(?:rewrit|rephras|reword|paraphras|restat)\w*[ ](?:of[ ])?(?:the|this|that|it|their|your|my)"
    rf"(?:[ ]{_GIVEN})?(?:[ ](?:{_WORK}s?|attempt)\b|[ ]in[ ]{_OWN}\b|[ ]as[ ]if\b)",
    rf"in[ ]{_OWN}[ ](?:words|style|way|voice|wording)\b",
    # without mentioning the solution; I must not mention that
    r"without[ ](?:mentioning|referring[ ]to|revealing|referencing|copying|quoting|citing"
    rf"|acknowledging)[ ](?:(?:that|it|having)\b|the[ ](?:{_GIVEN}|{_WORK}|attempt)"
    rf"|this[ ]{_WORK})",
    r"(?:must|should|can|may|do|need[ ]to)(?:n['’]t|not|[ ]not|[ ]never)[ ]"
    rf"(?:mention|reveal|refer[ ]to|reference|acknowledge)[ ](?:that\b|the[ ](?:{_GIVEN}|{_WORK}"
    r"|attempt)|it\b)",
    # as if I had found it; pretending that I have not seen
    r"(?:as[ ]if|as[ ]though|pretend(?:ing)?(?:[ ]that)?)[ ](?:i|we)[ ](?:had[ ]|have[ ]|did[ ]"
    r"|do[ ]|(?:do|did|had|have)n['’]t[ ])(?:not[ ]|never[ ])?(?:seen?|found|discovered|come[ ]up"
    r"|know|known|been)\b",
    # the user gave a solution, the prompt wants me to rewrite
    r"the[ ](?:user|prompt|instructions?|task)[ ](?:has[ ]|have[ ]|also[ ])?(?:gave|gives|given"
    r"|provide[sd]?|share[sd]?|show(?:s|ed|n)?|include[sd]?|supplie[sd]|wants[ ]me|ask(?:s|ed)[ ]me"
    r"|says[ ](?:to|not))\b[^.\n]{0,80}?\b(?:solution|explanation|derivation|rationale|answer[ ]key"
    r"|own[ ]words|rewrit\w*|rephras\w*|attempt)\b",
    # checking against the answer key
    r"the[ ]answer[ ]key\b",
    r"the[ ]reference[ ](?:says|gives|states|uses|shows|claims|has|text)\b",
    r"the[ ]expert[ ](?:also[ ])?(?:says|said|shows|showed|uses|used|writes|wrote|does|did|gets|got"
    r"|takes|took|notes|explains|explained|claims|states|derives|concludes)\b",
    # the failed attempt, the attempt above
    r"(?:the|this|that)[ ](?:given|failed|wrong|shown|provided|quoted|student['’]s|incorrect)[ ]"
    r"attempt\b",
    r"the[ ]attempt[ ](?:above|shown|given|went|goes|makes|made|says|gets|got|fails|failed"
    r"|(?:is|was)[ ](?:wrong|right|correct|incorrect))\b",
)
THINK_MARKER = re.compile(rf"\b(?:{'|'.join(_PHRASES)})", re.IGNORECASE)
"""Any phrase of thinking that speaks of a solution, answer or attempt that was shown."""

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"


def thinking_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each stretch of thinking, tags excluded, in order.

    A block that is never closed goes to the end (a truncated text). A text that closes a block
    which it never opened begins with thinking: chat templates may write the opening tag themselves.

    Example:
        >>> thinking_spans("<think>a</think>b"), thinking_spans("a</think>b")
        ([(7, 8)], [(0, 1)])
    """
    spans: list[tuple[int, int]] = []
    first_open, first_close = text.find(THINK_OPEN), text.find(THINK_CLOSE)
    position = 0
    if first_close >= 0 and (first_open < 0 or first_close < first_open):
        spans.append((0, first_close))
        position = first_close + len(THINK_CLOSE)
    while (start := text.find(THINK_OPEN, position)) >= 0:
        start += len(THINK_OPEN)
        end = text.find(THINK_CLOSE, start)
        if end < 0:
            spans.append((start, len(text)))
            break
        spans.append((start, end))
        position = end + len(THINK_CLOSE)
    return spans
