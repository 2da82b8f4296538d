r"""GSM8K's answer format: worked text with ``<<48/2=24>>`` tags, last line ``#### N``."""

from __future__ import annotations

import re
from typing import NamedTuple

_TAG = re.compile(r"<<[^<>]*>>")
_FINAL = re.compile(r"^[ \t]*####[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_NUMBER = re.compile(r"-?\$?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")


class WorkedAnswer(NamedTuple):
    """The two things that one GSM8K answer holds."""

    expert_solution: str
    reference_answer: str


def parse_worked_answer(text: str) -> WorkedAnswer:
    r"""Split a GSM8K answer into the expert's text and the checkable answer.

    Calculator tags are removed from the text, and a last sentence gives the answer in a box, so
    that the verifier which judges completions can judge the expert's text too.

    Args:
        text: Value of GSM8K's ``answer`` column.

    Returns:
        The text, ending in ``The final answer is \boxed{N}.``, and N without thousands separators.

    Raises:
        ValueError: The text has no ``#### N`` at its end, no number there, or nothing before it.
    """
    finals = list(_FINAL.finditer(text))
    if not finals or text[finals[-1].end() :].strip():
        raise ValueError("no last line '#### N'")
    final = finals[-1].group(1)
    if not _NUMBER.fullmatch(final):
        raise ValueError(f"'#### {final}' gives no number")
    worked = _TAG.sub("", text[: finals[-1].start()]).strip()
    if not worked:
        raise ValueError("no worked text before '####'")
    answer = final.replace(",", "").replace("$", "")
    return WorkedAnswer(f"{worked}\nThe final answer is \\boxed{{{answer}}}.", answer)
