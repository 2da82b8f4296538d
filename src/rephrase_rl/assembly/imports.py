"""Objects of the user's own, by the path they can be imported from."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from types import ModuleType

MAX_NAMES = 20
"""So many names of a module are told where the one asked for is missing."""

_own_files: set[str] = set()
"""Files that were imported here, as tracebacks name them."""


def import_object(target: str) -> Any:
    """Import ``package.module:name``, or ``path/to/file.py:name``.

    A file path is relative to the working directory, which is also searched for modules.

    Raises:
        ConfigError: There is no such module or name; an error inside the module is its cause.
    """
    where, _, name = target.partition(":")
    if not name:
        raise ConfigError(
            f"found {target!r}, without a name after a colon; required: package.module:name or "
            "path/to/file.py:name; do this: add the class or function that is meant"
        )
    module = _file_module(where) if where.endswith(".py") else _named_module(where)
    _own_files.add(module.__file__ or "")
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [n for n in vars(module) if not n.startswith("_")][:MAX_NAMES] or ["nothing"]
            raise ConfigError(
                f"found no {part!r} in {where} (from {target!r}), which has {', '.join(public)}; "
                "do this: correct the name after the colon"
            )
        found = getattr(found, part)
    return found


def place_in_own_code(error: BaseException) -> str | None:
    """The innermost line of the user's own code that an error came through; None: it did not."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in _own_files]
    return f"{own[-1].filename}, line {own[-1].lineno}, in {own[-1].name}" if own else None


def _named_module(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:  # a console script does not search where it was started
        # Last, so that a file lying about there takes the place of no installed package.
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ConfigError(
            f"module {name!r} cannot be imported ({type(error).__name__}: {error}); required: a "
            "module that is installed or lies in the working directory; for a file write its path "
            "with .py"
        ) from error


@cache
def _file_module(path: str) -> ModuleType:
    """Loaded once, so that two blocks of one file share its state."""
    file = Path(path)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise ConfigError(
            f"found no file {path}; paths are relative to the working directory, {Path.cwd()}: "
            "correct the path, or start from there"
        )
    module = importlib.util.module_from_spec(spec)
    # Pickling and dataclasses look a class's module up by its name.
    sys.modules.setdefault(file.stem, module)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(
            f"{path} cannot be loaded ({type(error).__name__}: {error}); required: a file that "
            f"Python runs to its end; do this: mend it until `python {path}` does"
        ) from error
    return module
