"""Writes the generated part of the reference before Sphinx reads: options, commands, modules.

The pages lie under docs/reference/generated and are not committed.
"""

from __future__ import annotations

import importlib
import pkgutil
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from pydantic import BaseModel

import rephrase_rl
from rephrase_rl.cli.main import app as command_line
from rephrase_rl.config import (
    ExpertsConfig,
    GuidanceConfig,
    HarnessConfig,
    RunConfig,
    StudyConfig,
)

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from sphinx.application import Sphinx

ROOTS = {
    "A run": (RunConfig, "`rephrase-rl train`, `config`, `plan`, `data check`"),
    "Guidance": (GuidanceConfig, "under `guidance:`; presets fill it in"),
    "Expert sampling": (ExpertsConfig, "`rephrase-rl experts FILE.yaml`"),
    "lm-evaluation-harness": (HarnessConfig, "`rephrase-rl eval --lm-eval ... --set FIELD=VALUE`"),
    "A study": (StudyConfig, "`rephrase-rl study claims --config FILE.yaml`"),
}
WITHOUT_PAGE = ("cli", "__main__")
"""The command line has a page of its own."""


def write_pages(app: Sphinx) -> None:
    """Write every generated page whose text has changed."""
    folder = Path(app.srcdir) / "reference" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"configuration": configuration(), "commands": commands(), "public": public()}
    below = [m for m in pkgutil.iter_modules(rephrase_rl.__path__) if m.name not in WITHOUT_PAGE]
    pages |= {f"api-{m.name}": package_page(m.name) for m in below if m.ispkg}
    single = [f"rephrase_rl.{module.name}" for module in below if not module.ispkg]
    pages["api-modules"] = modules_page("Single modules", single)
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.glob("*.md"):
        if path.stem not in pages:
            path.unlink()


def configuration() -> str:
    """Every field of every configuration model, with type, default and meaning."""
    parts = [
        "# Configuration",
        "Every field, made from the schema that checks it. A field without a default is required. "
        "`rephrase-rl config show CONFIG` prints a configuration with all of them filled in. "
        "Fields under `trainer:` are those of TRL's `GRPOConfig`.",
    ]
    done: set[type[BaseModel]] = set()
    for title, (root, where) in ROOTS.items():
        parts += [f"## {title}", f"For {where}."]
        waiting = [root]
        while waiting:
            model = waiting.pop(0)
            if model in done:
                continue
            done.add(model)
            parts += [f"### {model.__name__}", _first_paragraph(model), _fields_table(model)]
            waiting += _models_below(model)
    return "\n\n".join(parts) + "\n"


def _models_below(model: type[BaseModel]) -> list[type[BaseModel]]:
    return [
        found
        for field in model.model_fields.values()
        for found in _models_in(field.annotation)
        if found is not model
    ]


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]


def _fields_table(model: type[BaseModel]) -> str:
    rows = [
        f"| `{name}` | {_type_text(field.annotation)} | {_default_text(field)} "
        f"| {_cell(field.description or '')} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join(["| field | type | default | meaning |", "|---|---|---|---|", *rows])


def _type_text(annotation: object) -> str:
    """The type in the words of YAML."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_text(parts[0])
    if origin is typing.Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if annotation is type(None):
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    if origin is tuple:
        return f"list of {_type_text(parts[0])}"
    if parts and origin is not dict:
        return " or ".join(dict.fromkeys(_type_text(part) for part in parts))
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return words.get(annotation, "mapping" if origin is dict else "any")  # type: ignore[arg-type]


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        return "its own defaults"
    if default is None:
        return "`null`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{list(default) if isinstance(default, tuple) else default}`"


def commands() -> str:
    """Every command with its arguments and options, from the command line itself."""
    root = typer.main.get_command(command_line)
    parts = [
        "# Command line",
        "`--set PATH=VALUE` changes any field of a [configuration](configuration.md); `--debug` "
        "shows tracebacks; `--json` prints data in place of a table. Results go to standard "
        "output, all else to standard error. Exit status: 0 done, 2 the user's error, 1 internal.",
    ]
    for path, command in _leaves(root, ()):
        parts += [f"## {' '.join(path)}", (command.help or "").strip(), _options_table(command)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _leaves(command: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
    below = getattr(command, "commands", None)
    if not below:
        return [(path, command)]
    return [leaf for name, child in below.items() for leaf in _leaves(child, (*path, name))]


def _options_table(command: Any) -> str:
    rows = []
    for parameter in command.params:
        if parameter.name == "help":
            continue
        names = ", ".join(f"`{n}`" for n in (*parameter.opts, *parameter.secondary_opts))
        if parameter.param_type_name == "argument":
            names = f"`{parameter.metavar or parameter.name.upper()}`"
        rows.append(f"| {names} | {_cell(getattr(parameter, 'help', None) or '')} |")
    return "\n".join(["| | |", "|---|---|", *rows]) if rows else ""


def public() -> str:
    """The names that ``import rephrase_rl`` offers."""
    parts = [
        "# Public names",
        "What `from rephrase_rl import ...` offers and [the versioning policy](../../project/"
        "versioning.md) protects. Everything else may move between minor versions.",
    ]
    for name in rephrase_rl.__all__:
        if name.startswith("__"):
            continue
        value = getattr(rephrase_rl, name)
        kind = "autoclass" if isinstance(value, type) else "autofunction"
        home = f"{value.__module__}.{value.__qualname__}"
        parts.append(f"## {name}\n\n```{{eval-rst}}\n.. {kind}:: {home}\n   :no-index:\n```")
    return "\n\n".join(parts) + "\n"


def package_page(name: str) -> str:
    """All modules of a subpackage; those that need a package that is not installed are named."""
    package = importlib.import_module(f"rephrase_rl.{name}")
    below = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    names = [package.__name__, *(module.name for module in below)]
    missing = {module: why for module in names if (why := _missing_package(module)) is not None}
    page = modules_page(name, [module for module in names if module not in missing])
    if missing:
        told = "\n".join(f"- `{module}` needs `{why}`" for module, why in missing.items())
        page += (
            f"\n## Not described here\n\nThe site was built without what they import:\n\n{told}\n"
        )
    return page


def _missing_package(module: str) -> str | None:
    """The package of others for want of which a module cannot be imported."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("rephrase_rl"):
            raise
        return error.name
    return None


def modules_page(title: str, names: list[str]) -> str:
    """Modules one after the other, each with its docstring and members."""
    parts = [f"# {title}"]
    parts += [f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```" for name in names]
    return "\n\n".join(parts) + "\n"


def _first_paragraph(model: type[BaseModel]) -> str:
    return _cell((model.__doc__ or "").split("\n\n")[0])


def _cell(text: str) -> str:
    """RST inline code as Markdown's, on one line, without the table's own sign."""
    parts = " ".join(text.split()).replace("``", "`").replace("|", "\\|").split("`")
    # Every second part is code, in which nothing has to be escaped.
    return "`".join(p if n % 2 else p.replace("<", "\\<") for n, p in enumerate(parts))


def skip_aliases(
    app: Sphinx, what: str, name: str, value: object, skip: bool, options: object
) -> bool | None:
    """Leave out annotated type aliases: their patterns are no markup."""
    return True if typing.get_origin(value) is typing.Annotated else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("autodoc-skip-member", skip_aliases)
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
