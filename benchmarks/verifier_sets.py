r"""Training sets as samples for ``verifier_agreement.py``: a right completion and its gold.

The completion is the expert's solution where it states the answer, else the expert's text with a
last line that does, in forms that change from row to row. Beside each sample stands what it says
and what its gold means in a canonical form that is made here, without the package's verifiers, so
that a wrong pair can be told from a right one independently. Test sets are not read.
"""

from __future__ import annotations

import ast
import gzip
import json
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from rephrase_rl.data.gsm8k import parse_worked_answer

if TYPE_CHECKING:
    from pathlib import Path

Canonical = tuple[str, Any]
"""(what kind of thing, its value in one agreed form)"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of a training set as a verifier sees it."""

    row: int
    completion: str
    gold: str
    says: tuple[Canonical, ...]
    """What the completion answers; a letter and an option's text are two things."""
    means: dict[str, Any]
    """What the gold means, by kind of answer."""
    options: list[str] | None = None

    def is_wrong_for(self, other: Sample) -> bool:
        """Whether this completion is a wrong answer to another row's question."""
        return all(_differ(value, other.means.get(kind)) for kind, value in self.says)


def _differ(value: Any, wanted: Any) -> bool:
    if isinstance(value, Fraction) and isinstance(wanted, Fraction):
        # Tolerances are what the verifier is for; nearer than this a pair proves nothing.
        return abs(value - wanted) > Fraction(1, 100) * max(abs(value), abs(wanted))
    return wanted is not None and bool(value != wanted)


@dataclass(frozen=True, slots=True)
class Set:
    """A training set and the verifier that is to agree with it."""

    name: str
    verifier: str
    file: str
    read: Callable[[Path], Iterator[Sample]]
    wrong_pairs: int = 1
    """Wrong pairs made of each row."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Options of the verifier."""
    has_bars: bool = True
    """Whether it has to reach the bars; other rules are measured for comparison."""


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    open_text = gzip.open if path.suffix == ".gz" else open
    with open_text(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            yield number, json.loads(line)


def _number(row: int, completion: str, gold: str, value: Fraction) -> Sample:
    return Sample(row, completion, gold, (("number", value),), {"number": value})


def gsm8k_boxed(path: Path) -> Iterator[Sample]:
    """GSM8K as the package reads it: the answer in a box at the end."""
    for number, row in _json_lines(path):
        worked = parse_worked_answer(row["answer"])
        value = Fraction(worked.reference_answer)
        yield _number(number, worked.expert_solution, worked.reference_answer, value)


def gsm8k_marked(path: Path) -> Iterator[Sample]:
    """GSM8K as it stands: ``#### N`` at the end, calculator tags in between."""
    for number, row in _json_lines(path):
        gold = row["answer"].rpartition("####")[2].strip()
        yield _number(number, row["answer"], gold, Fraction(gold.replace(",", "")))


def word_problems(path: Path) -> Iterator[Sample]:
    """MAWPS and ASDiv-A with steps; every second answer in a box."""
    for number, row in _json_lines(path):
        gold = row["answer"]
        end = rf"So the answer is \boxed{{{gold}}}." if number % 2 else f"The answer is {gold}."
        yield _number(number, "\n".join([*row["steps"], end]), gold, Fraction(gold))


def mathematics(path: Path) -> Iterator[Sample]:
    """MATH's test part without the 500 problems of MATH-500, which are for evaluation only."""
    held_out = {row["problem"] for _, row in _json_lines(path.with_name("math500_test.jsonl"))}
    for number, row in _json_lines(path):
        if row["problem"] not in held_out:
            gold = last_box(row["solution"])
            form = canonical_mathematics(gold)
            yield Sample(number, row["solution"], gold, (form,), dict([form]))


def last_box(solution: str) -> str:
    """Content of the last box, by counting braces."""
    start = max(solution.rfind(r"\boxed"), solution.rfind(r"\fbox"))
    opened = solution.find("{", start)
    # One solution writes "\boxed 2" without braces.
    if solution[start:opened].strip() not in (r"\boxed", r"\fbox"):
        return solution[start:].split()[1].strip("$.")
    depth = 0
    for position in range(opened, len(solution)):
        depth += {"{": 1, "}": -1}.get(solution[position], 0)
        if depth == 0:
            return solution[opened + 1 : position]
    raise ValueError(f"a box without end: {solution[-80:]!r}")


def canonical_mathematics(text: str) -> Canonical:
    """A value where the text is a plain number or fraction, else the text without layout."""
    bare = re.sub(r"\\(?:left|right|[,;:! ]|\$|%)|[\s${}]|\\text|\\mbox|\\mathrm", "", text)
    bare = re.sub(r"\\(?:dfrac|tfrac|cfrac)", r"\\frac", bare)
    plain = re.sub(
        r"\\(?:left|right|[,;:! ]|\$|%)|[\s$]|\^\{?\\circ\}?|\\(?:text|mbox)\{[^}]*\}", "", text
    )
    plain = re.sub(r"^[a-zA-Z]=", "", plain.replace("{,}", ","))
    fraction = re.fullmatch(r"(-?)\\[dtc]?frac\{?(-?\d+)\}?\{?(\d+)\}?|(-?)(\d+)/(\d+)", plain)
    if fraction and fraction[3] and int(fraction[3]):
        return "number", Fraction(int(fraction[1] + "1") * int(fraction[2]), int(fraction[3]))
    if fraction and fraction[6] and int(fraction[6]):
        return "number", Fraction(int(fraction[4] + "1") * int(fraction[5]), int(fraction[6]))
    if re.fullmatch(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?", plain) and plain.strip("-"):
        return "number", Fraction(plain.replace(",", ""))
    return "text", bare.lower()


_LETTERS = string.ascii_uppercase
_LETTER_FORMS = (
    "The answer is ({}).",
    "Answer: {}",
    r"\boxed{{{}}}",
    r"So the correct option is $\boxed{{\text{{({})}}}}$.",
    "**{}**",
    "The correct answer is {} because of this.",
)
_TEXT_FORMS = ("So the answer is: {}", "Answer: {}.", r"\boxed{{\text{{{}}}}}", "The answer is {}.")


def _choice(row: int, before: str, letter: str, options: list[str]) -> Sample:
    """Two of three rows state the letter, the third the option's text, where it is one alone.

    The letter may stand in the expert's text too, so a wrong partner has another letter as well.
    """
    texts = [_plain_text(option) for option in options]
    right = _LETTERS.index(letter)
    means = {"letter": letter, "option": texts[right]}
    if row % 3 == 0 and texts.count(texts[right]) == 1:
        end = _TEXT_FORMS[row // 3 % len(_TEXT_FORMS)].format(options[right])
        says = (("option", texts[right]), ("letter", letter))
        return Sample(row, f"{before}\n{end}", letter, says, means, options)
    end = _LETTER_FORMS[row % len(_LETTER_FORMS)].format(letter)
    return Sample(row, f"{before}\n{end}", letter, (("letter", letter),), means, options)


def _plain_text(text: str) -> str:
    text = " ".join(text.lower().replace("$", "").split())
    return re.sub(r"^(?:a|an|the) ", "", text).rstrip(".")


def aqua(path: Path) -> Iterator[Sample]:
    """AQuA's rationale with a last line that states the answer."""
    for number, row in _json_lines(path):
        options = [re.sub(r"^[A-E]\)", "", option) for option in row["options"]]
        yield _choice(number, row["rationale"], row["correct"], options)


def ecqa(path: Path) -> Iterator[Sample]:
    """ECQA's explanation with a last line that states the answer."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        question, answer, explanation = line.split("\t")
        options = [o.strip() for o in question.replace("\\n", "\n").split("\n- ")[1:]]
        if answer.strip() in options:
            letter = _LETTERS[options.index(answer.strip())]
            yield _choice(number, explanation.replace("\\n", "\n"), letter, options)


def pubmedqa(path: Path) -> Iterator[Sample]:
    """PubMedQA's conclusion with a last line that states yes, no or maybe."""
    forms = ("Answer: {}", r"\boxed{{{}}}", "**Answer:** {}.", r"\boxed{{\text{{{}}}}}")
    rows = json.loads(path.read_text(encoding="utf-8")).values()
    for number, row in enumerate(rows, start=1):
        gold = row["final_decision"]
        end = forms[number % len(forms)].format(gold.capitalize() if number % 5 == 0 else gold)
        yield Sample(
            number, f"{row['LONG_ANSWER']}\n{end}", gold, (("text", gold),), {"text": gold}
        )


_POWERS = {"": 0, "percent": -2, "thousand": 3, "million": 6, "billion": 9}


def tatqa(path: Path) -> Iterator[Sample]:
    """TAT-QA's derivation with a last line that states the answer, as reports write numbers."""
    for number, row in _json_lines(path):
        figure, scale = str(row["answer"]), row["scale"]
        value = Fraction(figure) * Fraction(10) ** _POWERS[scale]
        gold = f"{figure}%" if scale == "percent" else f"{figure} {scale}".strip()
        end = _financial(number % 5, figure, scale, row["derivation"])
        yield _number(number, f"{row['derivation']}\n{end}", gold, value)


def _financial(form: int, figure: str, scale: str, derivation: str) -> str:
    unit = "%" if scale == "percent" else f" {scale}".rstrip()
    grouped = f"{abs(float(figure)):,}"
    if form == 1:
        return rf"The answer is $\boxed{{{figure}}}$."
    if form == 2 and scale != "percent":
        return (
            f"The answer is {f'$({grouped})' if figure.startswith('-') else f'${grouped}'}{unit}."
        )
    if form == 3:
        whole = Fraction(figure) * Fraction(10) ** _POWERS[scale]
        return f"The answer is {float(whole):,.6f}."
    calculated = calculate(derivation) if form == 4 else None
    if calculated is not None:
        return f"The answer is {float(calculated):.6f}."
    return f"The answer is {figure}{unit}."


def calculate(derivation: str) -> Fraction | None:
    """Value of a derivation such as ``(44.1-56.7)/56.7``; None if it is no plain arithmetic."""
    text = re.sub(r"[$,%\s]", "", derivation).replace("[", "(").replace("]", ")")
    try:
        return _value(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError):
        return None


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div):
            return left / right
    raise ValueError(f"no plain arithmetic: {ast.dump(node)[:60]}")


_TATQA = "finance/tatqa_dev_arithmetic.jsonl.gz"
SETS = (
    Set("gsm8k/train", "math", "gsm8k/train.jsonl", gsm8k_boxed),
    Set("gsm8k/train, ####", "number", "gsm8k/train.jsonl", gsm8k_marked),
    Set("math_test5000 less MATH-500", "math", "math/math_test5000.jsonl", mathematics),
    Set("mwp_train_steps", "math", "mwp/mwp_train_steps.jsonl", word_problems),
    Set("aqua_dev", "choice", "choice/aqua_dev.jsonl", aqua, wrong_pairs=20),
    Set("ecqa_train", "choice", "choice/ecqa_train.tsv", ecqa),
    Set("tatqa_dev_arithmetic", "number", _TATQA, tatqa, wrong_pairs=20),
    Set(
        "tatqa, literal rule",
        "number",
        _TATQA,
        tatqa,
        20,
        {"min_digits": 0, "percent": "either"},
        has_bars=False,
    ),
    Set(
        "tatqa, strict",
        "number",
        _TATQA,
        tatqa,
        20,
        {"percent": "exact", "scale": "exact", "rounding": "gold", "relative_tolerance": 0.0},
        has_bars=False,
    ),
    Set("pubmedqa_pqal", "text_exact", "choice/pubmedqa_pqal.json", pubmedqa, wrong_pairs=5),
)
"""Every training set, with the verifier of its task."""
