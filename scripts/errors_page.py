"""The lists in docs/errors.md, read from the sources: what each error says, and its cure.

    python scripts/errors_page.py            writes the lists anew
    python scripts/errors_page.py --check    says whether they are those of the sources

An error is found where its class is called; its message is the template there. The cure is the last
part of the message, which starts with ``do this:`` or with an imperative; a message that has
neither but says what is required is cured by giving that. A message without a cure is a fault.
"""

from __future__ import annotations

import argparse
import ast
import functools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "rephrase_rl"
PAGE = ROOT / "docs" / "errors.md"

IMPERATIVES = (
    "add", "ask", "begin", "call", "change", "check", "choose", "compute", "copy", "correct",
    "do", "drop", "enter", "evaluate", "export", "give", "go on", "install", "lay", "leave",
    "look", "lower", "make", "map", "measure", "mend", "move", "name", "pass", "plan", "put",
    "raise", "read", "remove", "rename", "repeat", "report", "resolve", "restore",
    "resume", "run", "sample", "score", "see", "set", "start", "take", "train", "use",
    "wait", "write",
)  # fmt: skip
_CURE = re.compile(
    rf"(?:[;:.] |, or )(?=(?:{'|'.join(IMPERATIVES)}|did you mean)\b(?!:))",
    re.IGNORECASE,
)
_REQUIRED = re.compile(r"\brequired(?: is| are|:| here is| was)? (.+)$", re.DOTALL | re.IGNORECASE)
_ALSO_REQUIRED = re.compile(r"; (?:it (?:takes|has)|known are|expected) (.+)$", re.DOTALL)
NAMED_CURES = ("REMEDY", "OVER_BUDGET", "HINT")
"""Places of a message that are filled with what is to be done."""
FAULTS = "each fault of the list says what to do"


@dataclass(frozen=True, order=True)
class Entry:
    """One error of one module."""

    error: str
    module: str
    cause: str
    cure: str
    """Empty: the message has none."""


def error_classes() -> dict[str, str]:
    """Class -> first line of its docstring, in the order of errors.py."""
    tree = ast.parse((PACKAGE / "errors.py").read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return {node.name: (ast.get_docstring(node) or "").split("\n")[0] for node in classes}


@functools.cache
def entries() -> list[Entry]:
    """Every error that the package constructs, each message once."""
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for call in _error_calls(tree):
            for message in _messages(call, tree):
                found.add(Entry(call.func.id, module, *_parts(message)))  # type: ignore[attr-defined]
    return sorted(found)


def _error_calls(tree: ast.Module) -> Iterator[ast.Call]:
    names = set(error_classes()) | {"BadRowsError"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield node


def _messages(call: ast.Call, tree: ast.Module) -> list[str]:
    """The templates that a call can have as message."""
    if call.func.id == "ShapeError":  # type: ignore[attr-defined]
        name, expected = (_template(argument) for argument in call.args[:2])
        return [f"{name}: found SHAPE; required: {expected}; do this: give a tensor of that form"]
    if not call.args:
        return []
    first = call.args[0]
    if isinstance(first, ast.Call) and isinstance(first.func, ast.Name):
        returned = _returned_templates(first.func.id, tree)
        if returned:
            return returned
    message = _template(first)
    if len(call.args) > 1 or call.keywords or not re.search(r"[a-z]{3}", message):
        return [f"{message or 'FAULTS'}; {FAULTS}"]
    return [message]


def _returned_templates(function: str, tree: ast.Module) -> list[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            returns = [r for r in ast.walk(node) if isinstance(r, ast.Return) and r.value]
            return [_template(r.value) for r in returns if r.value is not None]
    return []


def _template(node: ast.expr) -> str:
    """The text of an expression, with a word in capitals for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else _place(part)
            for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _template(node.left) + _template(node.right)
    return _place(node)


def _place(node: ast.AST) -> str:
    """A word for what is filled in: the last name of the expression that says something."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and inner.attr not in ("join", "get", "strip"):
            return inner.attr.strip("_").upper()
        if isinstance(inner, ast.Name) and inner.id not in ("str", "map", "len", "sorted", "repr"):
            return inner.id.strip("_").upper()
    return "..."


def _parts(message: str) -> tuple[str, str]:
    """Cause and cure of a message."""
    if message.endswith(FAULTS):
        return message.removesuffix(f"; {FAULTS}"), FAULTS
    told = message.rpartition("do this: ")
    if told[1]:
        return told[0].rstrip(" ;."), told[2]
    cures = list(_CURE.finditer(message))
    if cures:
        first = cures[0]
        return message[: first.start()].rstrip(" ;.,:"), message[first.end() :].lstrip()
    named = [name for name in NAMED_CURES if name in message]
    if named:
        before, _, after = message.partition(named[0])
        cause = before if after.startswith((" (", ":")) or len(after) < 20 else before + after
        return cause.rstrip(" ;,.:"), "do what the message says, by what was found"
    for pattern in (_REQUIRED, _ALSO_REQUIRED):
        required = pattern.search(message)
        if required:
            return message[: required.start()].rstrip(" ;,."), f"give {required[1]}"
    return message, ""


def lists() -> str:
    """The page's lists, one table for each class."""
    blocks = []
    found = entries()
    for name, meaning in error_classes().items():
        own = [entry for entry in found if entry.error == name]
        if not own:
            continue
        rows = [
            f"| {_cell(entry.cause)} | {_cell(entry.cure)} | `{entry.module}` |" for entry in own
        ]
        table = "\n".join(["| cause | cure | module |", "|---|---|---|", *rows])
        blocks.append(f"### {name}\n\n{meaning}\n\n{table}")
    return "\n\n".join(blocks)


def _cell(text: str) -> str:
    """A message as text of a table: no markup of its own."""
    plain = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]<>|#~$])", r"\\\1", plain)


def page_with(new: str, page: str) -> str:
    """The page with its lists replaced."""
    before, _, rest = page.partition("<!-- lists -->\n")
    after = rest.partition("<!-- /lists -->")[2]
    return f"{before}<!-- lists -->\n{new}\n<!-- /lists -->{after}"


def main() -> int:
    """Write or check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    without = [entry for entry in entries() if not entry.cure]
    for entry in without:
        print(f"no cure: {entry.module}: {entry.error}: {entry.cause}")
    page = PAGE.read_text(encoding="utf-8")
    made = page_with(lists(), page)
    if arguments.check:
        return int(made != page or bool(without))
    PAGE.write_text(made, encoding="utf-8")
    return int(bool(without))


if __name__ == "__main__":
    sys.exit(main())
