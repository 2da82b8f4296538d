"""Values as text that Hydra reads back as they were."""

from __future__ import annotations

import math
import re
from typing import Any

from rephrase_rl.errors import ConfigError

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.:@%+~-]*")
_WORDS = {"true", "false", "null", "nan", "inf", "none", "yes", "no", "on", "off"}
"""Words that YAML or Hydra reads as something else than text."""


def override(path: str, value: Any) -> str:
    r"""One override.

    Args:
        path: With a leading ``+`` where the key is new.
        value: Text, number, true or false, None, or a list or mapping of these.

    Raises:
        ConfigError: The value has no such form.

    Example:
        >>> override("a.b", "it's")
        "a.b='it\\'s'"
        >>> override("+c", [1, None, True, "x y"])
        "+c=[1,null,true,'x y']"
    """
    return f"{path}={_text(value, path)}"


def _text(value: Any, path: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    if isinstance(value, str):
        return _quoted(value, path)
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text(item, path) for item in value) + "]"
    if isinstance(value, dict):
        items = (f"{_text(str(k), path)}:{_text(v, path)}" for k, v in value.items())
        return "{" + ",".join(items) + "}"
    raise ConfigError(
        f"{path}: found {value!r}; required: text, a finite number, true, false, null, or a list "
        "or mapping of these"
    )


def _quoted(text: str, path: str) -> str:
    if "${" in text or "\n" in text:
        raise ConfigError(
            f"{path}: found {text!r}, of which verl's configuration would make something else "
            "(an interpolation or a second line); required: text without '${' and line breaks"
        )
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    # Hydra: a quote is escaped, and so are backslashes before a quote and at the end.
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", text)
    escaped = re.sub(r"(\\+)$", lambda found: found[1] * 2, escaped)
    return f"'{escaped}'"
