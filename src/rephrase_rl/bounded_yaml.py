"""Bounds on YAML: a file of a few lines must not become gigabytes or overflow the stack.

An alias is cheap to write and is copied wherever it stands once the configuration is checked and
stored, so aliases are counted with all that they stand for.
"""

from __future__ import annotations

from typing import Any

import yaml

MAX_CHARACTERS = 2**20
"""Longest text that is read as YAML; the longest recipe has 4,000."""
MAX_DEPTH = 40
"""Deepest nesting of lists and mappings."""
MAX_NODES = 100_000
"""Most values, each alias counted with everything in it."""


class LimitError(yaml.YAMLError):
    """The text is YAML, but larger or deeper than a configuration can be."""


class BoundedLoader(yaml.SafeLoader):
    """Safe loader that stops at the limits before anything is built.

    Nodes are composed one below the other, so the depth is known as they come; sizes are added up
    on the way back.
    """

    def __init__(self, text: str) -> None:
        """Args: one YAML document."""
        if len(text) > MAX_CHARACTERS:
            raise LimitError(f"more than {MAX_CHARACTERS:,} characters")
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose one value with everything in it."""
        if self._depth >= MAX_DEPTH:
            raise LimitError(f"lists and mappings in each other, deeper than {MAX_DEPTH}")
        is_alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and id(node) not in self._sizes:
            raise LimitError("an alias to a value that it is itself a part of")
        if not is_alias:
            self._sizes[id(node)] = 1 + sum(self._sizes[id(part)] for part in _parts(node))
        if self._sizes[id(node)] > MAX_NODES:
            raise LimitError(f"more than {MAX_NODES:,} values, aliases written out")
        return node


def _parts(node: yaml.Node | None) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def load_bounded(text: str, loader: type[BoundedLoader] = BoundedLoader) -> Any:
    """Parse one YAML document.

    Raises:
        yaml.YAMLError: The text is not YAML, or beyond the limits.
    """
    try:
        return yaml.load(text, Loader=loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError:
        raise
    except RecursionError as error:
        raise LimitError("lists and mappings in each other, too deep to be read") from error
    # PyYAML converts scalars by hand: "!!int x", "!!bool x", a number of 5,000 digits.
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise yaml.YAMLError(f"a value that cannot be read ({error})") from error
