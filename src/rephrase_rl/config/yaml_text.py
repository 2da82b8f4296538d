"""Bounded YAML as configurations use it: numbers as people write them, no key twice, no dates.

PyYAML follows YAML 1.1, where ``1e-6`` is text and the second of two equal keys silently wins.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from rephrase_rl.bounded_yaml import BoundedLoader, load_bounded

# YAML 1.2's float, but with a point or an exponent demanded: plain digits are an int.
_FLOAT = re.compile(
    r"^[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"
)
_ODD_BREAKS = re.compile("[\x85\u2028\u2029]")
_FLOAT_TAG = "tag:yaml.org,2002:float"
_TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"


class _Loader(BoundedLoader):
    """Safe and bounded loader that reads ``1e-6`` as a number and refuses a repeated key."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own class attribute)
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP_TAG]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} occurs twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Safe dumper that quotes text which the loader above would take for a number."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Double quotes, hence escapes, for text with line breaks that YAML would fold to a blank."""
    style = '"' if _ODD_BREAKS.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)
_Loader.add_implicit_resolver(_FLOAT_TAG, _FLOAT, list("-+.0123456789"))
_Dumper.add_implicit_resolver(_FLOAT_TAG, _FLOAT, list("-+.0123456789"))


def read_yaml(text: str) -> Any:
    """Parse one YAML document.

    Raises:
        yaml.YAMLError: The text is not YAML, is beyond the limits of ``bounded_yaml``, or a mapping
            has a key twice.

    Example:
        >>> read_yaml("learning_rate: 1e-6")
        {'learning_rate': 1e-06}
    """
    return load_bounded(text, _Loader)


def write_yaml(value: Any) -> str:
    """Write plain data as YAML, keys in their own order; ``read_yaml`` gives it back equal."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )
    return text
