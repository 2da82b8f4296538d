"""The lists in docs/errors.md, read from the sources: what each error says, and its cure.

    python scripts/errors_page.py            writes the lists anew
    python scripts/errors_page.py --check    says whether they are those of the sources

An error is found where its class is called; its message is the template there. The cure is the last
part of the message, which starts with ``do this:`` or with an imperative; a message that has
neither but says what is required is cured by giving that. A message without a cure is a fault.

Many errors carry a list of faults. These are found where they are put into a list named so, where a
function named after faults returns them, and where a validator of the configuration refuses a
value; those of rows where a row's fault is noted.
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
    "describe", "do", "download", "drop", "end", "enter", "evaluate", "export", "fetch",
    "fill", "give", "go on", "install", "keep", "lay", "leave", "load", "look", "lower",
    "make", "map", "measure", "mend", "move", "name", "pass", "plan", "put", "raise", "read",
    "remove", "rename", "repeat", "report", "resolve", "restore", "resume", "run", "sample",
    "score", "see", "set", "start", "take", "train", "use", "wait", "write",
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
FAULT = "Faults in these lists"
ROW_FAULT = "Faults of rows"
LISTED_BY_TITLE = (
    "assembly.prompt_lengths", "assembly.stored", "assembly.training", "assembly.verl.data_files",
    "config.foreign", "evaluation.journal", "planning.shape", "runs.resumable", "config.declared",
    "assembly.mixture", "assembly.problems", "config.overrides", "rewards.registry",
    "runs.checkpoints", "runs.shapes",
)  # fmt: skip
"""Modules whose errors say in their title what to do with all that is listed."""


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


@functools.cache
def fault_entries() -> list[Entry]:
    """Every fault that an error lists; those that say no more than where it is are left out."""
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if module.startswith(("reports.", "data.", "cli.demo")) and module != "data.mappings":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in _fault_texts(tree, is_config=module.startswith("config.")):
            message = _template(node)
            if len(re.findall(r"[a-z]{2,}", message)) < 3:
                continue
            cause, cure = _parts(message)
            if cure or module not in LISTED_BY_TITLE:
                found.add(Entry(FAULT, module, cause, cure))
    return sorted(found)


def _fault_texts(tree: ast.Module, *, is_config: bool) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            target = node.func
            if isinstance(target, ast.Attribute) and target.attr == "append":
                if _last_name(target.value) in ("faults", "found"):
                    yield from _texts(node.args[0])
            elif is_config and isinstance(target, ast.Name) and target.id == "ValueError":
                yield from _texts(node.args[0])
        elif isinstance(node, ast.AugAssign | ast.Assign | ast.AnnAssign) and node.value:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(_last_name(target) == "faults" for target in targets):
                yield from _texts(node.value)
        elif isinstance(node, ast.FunctionDef) and "fault" in node.name:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value:
                    yield from _texts(inner.value)


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _texts(node: ast.expr) -> Iterator[ast.expr]:
    """The texts in an expression: it itself, items of a list, what a list is made of."""
    if isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    ):
        yield node
    elif isinstance(node, ast.List | ast.Tuple):
        for item in node.elts:
            yield from _texts(item)
    elif isinstance(node, ast.ListComp):
        yield from _texts(node.elt)
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)


@functools.cache
def row_entries() -> list[Entry]:
    """Every fault of a row: what is found there, and its remedy."""
    found = set()
    for path in sorted((PACKAGE / "data").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                constants = _constants(function)
                for node in ast.walk(function):
                    told = _row_fault(node, constants)
                    if told is not None:
                        found.add(Entry(ROW_FAULT, f"data.{path.stem}", *told))
    return sorted(found)


def _constants(function: ast.FunctionDef) -> dict[str, ast.expr]:
    return {
        node.targets[0].id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _row_fault(node: ast.AST, constants: dict[str, ast.expr]) -> tuple[str, str] | None:
    """What is found, and the remedy; None where no row's fault is noted."""
    if not isinstance(node, ast.Call):
        return None
    noted = isinstance(node.func, ast.Attribute) and node.func.attr == "fault"
    made = isinstance(node.func, ast.Name) and node.func.id == "RowFault"
    if not (noted or made) or len(node.args) < 3:
        return None
    found, remedy = node.args[1:3] if noted else node.args[2:4]
    named = constants.get(remedy.id, remedy) if isinstance(remedy, ast.Name) else remedy
    cure = _template(named)
    if not re.search(r"[a-z]{3}", cure):
        return None  # handed on
    if isinstance(found, ast.Call):  # found_text(value), str(error)
        return "the value as it was found", cure
    return _template(found), cure


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
        blocks.append(f"### {name}\n\n{meaning}\n\n{_table(own)}")
    for name, own, meaning in (
        (FAULT, fault_entries(), "What errors with a list of faults tell one by one."),
        (ROW_FAULT, row_entries(), "Told with row and column: `row 3, column 'answer': ...`."),
    ):
        blocks.append(f"### {name}\n\n{meaning}\n\n{_table(own)}")
    return "\n\n".join(blocks)


def _table(entries: list[Entry]) -> str:
    rows = [
        f"| {_cell(entry.cause)} | {_cell(entry.cure)} | `{entry.module}` |" for entry in entries
    ]
    return "\n".join(["| cause | cure | module |", "|---|---|---|", *rows])


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
    told = [*entries(), *fault_entries(), *row_entries()]
    without = [entry for entry in told if not entry.cure]
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
