r"""The judgement of one mathematical answer; runs inside worker processes.

The only module that imports math-verify and sympy. math-verify's own time-outs are off (they need
SIGALRM in a main thread); the pool that calls this has the clock. Deliberate leniency, inherited
from math-verify: units are ignored, ``50\%`` equals 50 and 0.5, ``x=5`` equals 5, decimals agree
if they agree after rounding to 6 places.
"""

from __future__ import annotations

import logging
import re
import sys
from contextlib import suppress
from functools import lru_cache
from typing import Any

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

from rephrase_rl.records import Verdict
from rephrase_rl.rewards.boxed import boxed_answer

MEMORY_LIMIT_BYTES = 4 * 2**30
"""Address space of a worker: a tower of powers ends as an error, not as a full machine."""

MAX_ANSWER_CHARS = 1000
"""An answer longer than the reference answer by more than this is no answer; parsing it would only
burn the time limit."""

_DOLLARS = re.compile(r"^\s*(?:\$+|\\\(|\\\[)(.*?)(?:\$+|\\\)|\\\])\s*\.?\s*$", re.DOTALL)
_TEXT_WRAPPER = re.compile(r"^\\(?:text|textbf|textit|mathrm|mathbf|mbox)\s*\{([^{}]*)\}$")
_WORDS = re.compile(
    r"^[^\W\d_]{4,}$|^[^\W\d_]{2,}(?:[ '-]+[^\W\d_]{2,})+$|^(?:yes|no|odd)$", re.IGNORECASE
)
_DIGIT_GROUPS = re.compile(r"(?<=\d)(?:\\[,!;: ]|\{,\}|\\,)(?=\d{3}(?!\d))")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_UNIT = re.compile(
    r"^(-?(?:\\?\$)?\d[\d,]*(?:\.\d+)?)\s*"
    r"(?:(?!sqrt|sin|cos|tan|log|exp|mod|cdot)[A-Za-z]{3,}|cm|mm|km|kg|mg|ml|mL|ft|in|lb|oz|hr|am|pm)"
    r"(?:[ /][A-Za-z]+)*\.?$"
)


def prepare_worker() -> None:
    """Make a new worker ready: limit its memory, quiet the parsers, compile their patterns."""
    with suppress(ImportError, ValueError, OSError):  # no such limit on this platform
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    logging.getLogger("latex2sympy2_extended").setLevel(logging.ERROR)
    # Larger ints in an answer would raise in int(); 0 would allow quadratic-time conversions.
    sys.set_int_max_str_digits(20_000)
    judge_math(r"\frac{1}{2}", True, "0.5")


def judge_math(found: str, is_boxed: bool, reference_answer: str) -> Verdict:
    r"""Compare what was found in a completion with the reference answer.

    Args:
        found: Content of the final box, or the text in which to look for an unboxed answer.
        is_boxed: Which of the two it is.
        reference_answer: LaTeX, a number or a word; dollars and a box around it are taken off.

    Returns:
        ``unscorable`` if the reference answer cannot be read as mathematics; otherwise a reward of
        1 or 0. An answer of the completion that cannot be read is the completion's fault: 0.

    Raises:
        Exception: The comparison failed inside math-verify; the pool turns it into ``error``.
    """
    reference = clean_answer(reference_answer)
    reference_values = parse_answer(reference)
    if not reference_values:
        return Verdict(
            "unscorable", None, detail=f"reference answer {reference_answer!r} is no mathematics"
        )
    if is_boxed:
        answer: str | None = clean_answer(found)
        values = None
    else:
        answer, values = find_unboxed_answer(found)
    if not answer:
        return Verdict("scored", 0.0, detail="no answer in the completion")
    if len(answer) > MAX_ANSWER_CHARS + len(reference):
        return Verdict("scored", 0.0, answer, "too long to be an answer")
    if _squeezed(answer) == _squeezed(reference):
        return Verdict("scored", 1.0, answer)
    values = parse_answer(answer) if values is None else values
    if not values:
        return Verdict("scored", 0.0, answer, "the answer cannot be read as mathematics")
    # math-verify compares every pair of two lists; any other sequence counts as one value.
    if verify(list(reference_values), list(values), timeout_seconds=None, raise_on_error=True):
        return Verdict("scored", 1.0, answer)
    return Verdict("scored", 0.0, answer, f"differs from {reference!r}")


def clean_answer(text: str) -> str:
    r"""Take dollars, a box, a wrapper such as ``\text{}``, digit groups, a unit off an answer."""
    boxed = boxed_answer(text)
    text = (text if boxed is None else boxed).strip()
    in_dollars = _DOLLARS.match(text)
    if in_dollars is not None and "$" not in in_dollars.group(1).replace(r"\$", ""):
        text = in_dollars.group(1).strip()
    wrapper = _TEXT_WRAPPER.match(text)
    # A wrapped word stays wrapped for the parser, or it becomes a product of its letters.
    if wrapper is not None and not is_words(text):
        text = wrapper.group(1).strip()
    text = _DIGIT_GROUPS.sub("", without_outer_braces(text))
    unit = _UNIT.match(text)
    return unit.group(1) if unit is not None else text


def without_outer_braces(text: str) -> str:
    """Take off braces around a whole answer: math-verify's time doubles with every second pair."""
    pairs = min(len(text) - len(text.lstrip("{")), len(text) - len(text.rstrip("}")))
    depth = lowest = pairs
    for token in _BRACE.finditer(text, pairs, len(text) - pairs):
        depth += {"{": 1, "}": -1}.get(token.group(), 0)
        lowest = min(lowest, depth)
    return text[lowest : len(text) - lowest].strip() if depth == pairs and lowest > 0 else text


def is_words(text: str) -> bool:
    """Whether an answer is words, to be compared as words and not as a product of letters."""
    wrapper = _TEXT_WRAPPER.match(text)
    return _WORDS.match(text if wrapper is None else wrapper.group(1).strip()) is not None


def _squeezed(answer: str) -> str:
    wrapper = _TEXT_WRAPPER.match(answer)
    if is_words(answer):
        answer = (answer if wrapper is None else wrapper.group(1)).casefold()
    return "".join(answer.split())


@lru_cache(maxsize=256)
def parse_answer(answer: str) -> tuple[Any, ...]:
    """Read one answer as mathematics: sympy objects, empty if math-verify cannot read it.

    Cached, since a group's completions share the reference answer.
    """
    if not answer:
        return ()
    if is_words(answer):
        return (_squeezed(answer),)
    # A box around it makes math-verify take the whole and not the last number inside.
    return _without_strings(
        parse(
            rf"\boxed{{{answer}}}",
            extraction_config=[LatexExtractionConfig(boxed_match_priority=0)],
            fallback_mode="no_fallback",
            parsing_timeout=None,
        )
    )


def find_unboxed_answer(text: str) -> tuple[str | None, tuple[Any, ...]]:
    """Find the answer of a completion without a box: "the answer is", else the last expression.

    Returns:
        The answer as text and as sympy objects; None and nothing if there is none.
    """
    found = parse(
        text,
        extraction_config=[LatexExtractionConfig(), ExprExtractionConfig()],
        fallback_mode="first_match",
        parsing_timeout=None,
    )
    strings = [item for item in found if isinstance(item, str)]
    values = _without_strings(found)
    if strings:
        return strings[0], values
    return (str(values[0]) if values else None), values


def _without_strings(found: list[Any]) -> tuple[Any, ...]:
    return tuple(item for item in found if not isinstance(item, str))
