"""Echoes of the rewriting prompt, as small models write them: they carry out its orders aloud.

"First read the given solution", "I didn't copy sentences", "please share the solution": whoever
sees the question alone neither reads a solution nor avoids copying one. Collected by reading what
SmolLM2-135M-Instruct makes of the templates (``tests/prompts/cases/real_rewrites.jsonl``);
``docs/rewrites.md`` says how much they find of wordings that nobody had read before.
"""

from __future__ import annotations

_KIND = r"(?:whole|entire|full|given|correct|actual|original|previous|provided|same)"
_TEXT = r"(?:solution|answer|explanation)s?"
# Answers have choices, equations have solution sets, graphs are read off.
_OTHER_SENSE = (
    r"(?![ ](?:choice|option|set|sheet|key|box|space|off|from|on[ ]the|of[ ]the[ ](?:eq|sy|in)))"
)

_PHRASES = (
    # read the solution; looking at the answer; read the last step of the solution
    r"\b(?:re-?)?(?:read|reading|look(?:ed|ing)?[ ](?:at|into))[ ](?:out[ ])?"
    r"(?:(?:the|each|last|first|next|every)[ ]){1,2}(?:(?:steps?|parts?)[ ]of[ ]the[ ])?"
    rf"(?:{_KIND}[ ])?{_TEXT}\b{_OTHER_SENSE}",
    rf"\b(?:read|reading)[ ](?:this|that|your)[ ](?:{_KIND}[ ])?{_TEXT}\b",
    rf"\b(?:read|reading)[ ]the[ ](?:{_KIND}[ ])?(?:question|problem)[ ]and[ ]the[ ](?:{_KIND}[ ])?"
    rf"{_TEXT}\b{_OTHER_SENSE}",
    # following the explanation; the given steps
    r"\bfollow(?:s|ed|ing)?[ ](?:the|your)[ ](?:(?:given|provided|original|above)[ ]"
    rf"(?:steps|{_TEXT})|explanation|answer)\b",
    r"\bpreviously[ ](?:given|provided|shown)[ ](?:solution|answer|explanation)\b",
    # I didn't copy sentences; instead of copying your steps; the steps are copied
    r"\brather[ ]than[ ](?:being[ ]copied|copying)\b",
    r"(?:\b(?:without|not|never|avoid|instead[ ]of)|n['’]t)[ ](?:have[ ]to[ ])?(?:just[ ])?"
    r"cop(?:y|ying|ied)[ ](?:(?:the|any|your|my|their|whole)[ ])?"
    r"(?:sentence|step|word|text|them\b|solution|answer|wording)s?\b",
    r"\b(?:steps|sentences)[ ](?:are|were)[ ](?:just[ ])?copied\b",
    r"\bother[ ]people['’]s[ ](?:sentences|solutions?|words|steps)\b",
    r"\bwritten[ ]by[ ](?:someone|somebody)[ ](?:else|other)\b",
    r"\b(?:solution|answer|explanation|description|it)(?:['’]s|[ ]is|[ ]was)?[ ]written[ ]by[ ]"
    r"(?:someone|somebody|myself|me)\b",
    # in my own writing style; with your own words
    r"\b(?:with|use|using)[ ](?:only[ ])?(?:my|our|your)[ ]own[ ](?:writing[ ])?(?:words|style|way"
    r"|voice|wording)\b",
    r"\b(?:my|our|your)[ ]own[ ]writing[ ]style\b",
    # answered in a different way; a different explanation
    r"\b(?:explain(?:ed)?|answer(?:ed)?)[ ](?:it|this|it[ ]to[ ]you|each[ ]step|every[ ]step"
    r"|the[ ]question|the[ ]steps)[ ]in[ ]a[ ]different[ ](?:way|format|style|manner)\b",
    r"\b(?:solution|answer|explanation)[^.\n]{0,40}[ ](?:is|was)[ ](?:written|explained)[ ]in[ ]a"
    r"[ ]different[ ](?:way|format|style|manner)\b",
    r"\bfollow[ ]a[ ]different[ ]explanation\b",
    # please share the solution; the solution you have; as you wrote it
    r"\bas[ ]you[ ](?:wrote|gave|described|explained|solved)[ ]it\b",
    r"\bplease[ ](?:go[ ]ahead[ ]and[ ])?(?:provide|share|give|send)[ ](?:me[ ])?(?:the|your)[ ]"
    r"solution\b",
    r"\b(?:solution|explanation|reasoning|step[ ]by[ ]step)[ ](?:that[ ])?you(?:['’]ve|[ ]have)?[ ]"
    r"(?:gave|given|have|provided|shared|presented|showed|shown|wrote|written|described)\b",
    r"\bthe[ ](?:text|steps?)[ ](?:that[ ])?you(?:['’]ve|[ ]have)?[ ](?:just[ ]|already[ ])?(?:sent"
    r"|gave|given|done|provided|shared|presented|shown|wrote|written)\b",
    r"\b(?:wording|words|style)[ ](?:that[ ]|as[ ])?you[ ](?:have[ ])?used\b",
    r"\bthe[ ]solution[ ](?:is|was)[ ]not[ ]shown\b",
    # your solution is correct; you have explained the answer
    r"\byour[ ](?:solution|explanation|reasoning)[ ](?:is|was|looks|seems)[ ](?:in)?(?:correct"
    r"|right|wrong|good|clear|complete|fine|valid)\b",
    r"(?:^|(?<=[.!?][ ]))[*_ ]*your[ ]answer[ ]is[ ](?:in)?(?:correct|right|wrong)\b",
    r"\b(?:in|from|of|copy(?:ing)?|to)[ ]your[ ](?:own[ ]|original[ ]|previous[ ]|given[ ])?"
    r"(?:explanation|solution|reasoning)\b",
    r"\byou(?:['’]ve|[ ]have)[ ](?:already[ ])?(?:explained|presented|outlined)[ ](?:the|each"
    r"|every)[ ](?:answer|solution|steps?)\b",
    r"\bas[ ]you(?:['’]ve|[ ]have)[ ](?:done|been[ ]doing|shown|explained|written|described)\b",
    r"\byou[ ]just[ ](?:presented|explained|showed|described)\b",
    # within the solution provided; in the given solution, I subtracted; original reasoning
    r"\bin[ ]the[ ](?:given|provided|original|above)[ ]solution,?[ ](?:i|you|he|she|they)\b",
    r"\b(?:in|within|from|per|following)[ ]the[ ](?:solution|explanation)[ ](?:provided|shown)\b"
    r"(?![ ]by)",
    rf"\bthe[ ](?:given|provided)[ ]answer\b{_OTHER_SENSE}",
    r"\b(?:explain|describe|tell(?:[ ]you)?)[ ]what[ ]the[ ](?:solution|answer)[ ](?:means|says"
    r"|does)\b",
    r"\b(?:answer|steps?)[ ](?:that[ ](?:is|are)[ ])?(?:given|shown|provided)[ ]"
    r"(?:in|by)[ ]the[ ](?:solution|explanation)\b",
    r"\bthe[ ](?:original|provided)[ ](?:reasoning|explanation|order[ ]of[ ]steps|steps)\b",
    r"^[#* \t]*(?:original|reference)[ ](?:answer|explanation|reasoning)[* \t]*:",
    r"^[#* \t]*(?:rewrite|rephrase|reword)[ ](?:the|this|your)[ ](?:answer|solution|explanation)"
    r"[* \t]*:",
    # as if you had found the way by yourself
    r"\bas[ ]if[ ](?:you|i|we)(?:['’]d|[ ]had)[ ](?:actually[ ])?(?:found|computed|solved"
    r"|discovered)\b",
)
ECHO = "|".join(_PHRASES)
"""For use in a larger pattern without regard to case, with ``^`` at the start of each line."""

TELLING = (
    *("previously ", "copied", "copy", "other people", "by someone", "by somebody", "own writing"),
    *("in a different ", "different explanation", "please ", "not shown", "as if ", "you just "),
    *("you have ", "you've ", "you’ve ", "your solution", "your explanation", "your reasoning"),
    *("solution you", "explanation you", "reasoning you", "step by step you", " that you"),
    *("provided order", "provided steps", "original order", "original steps", "given steps"),
    *("above steps", "the explanation", "your answer", "text you", "step you", "steps you"),
    *("words you", "wording you", "style you", "as you ", "written by m", "own explanation"),
    *("own reasoning", "previous solution", "previous explanation", "previous reasoning"),
    *("what the solution", "what the answer"),
)
"""One of these stands in every echo, or one of the words that ``meta_patterns`` looks for, or the
two below."""
READING = ("read", "look", "follow")
READABLE = ("solution", "answer", "explanation")
