"""What the blocks share: field types, and a member of the user's own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from rephrase_rl.config.base import ConfigModel, PlainMapping

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
ImportPath = Annotated[str, Field(pattern=r"^[^:\s]+:[A-Za-z_][A-Za-z0-9_.]*$")]
"""``package.module:name``, or ``path/to/file.py:name``, relative to the working directory."""


def required_together(model: Any, first: str, second: str) -> None:
    """Refuse a model of which one field needs another that is not given.

    Raises:
        ValueError: Exactly one of the two is None.
    """
    without = [name for name in (first, second) if getattr(model, name) is None]
    if len(without) == 1:
        given = second if without == [first] else first
        raise ValueError(
            f"found {given} without {without[0]}; the two belong together; give both or neither"
        )


class CustomBlock(ConfigModel):
    """A member of the user's own, named by where it can be imported from."""

    kind: Literal["custom"] = "custom"
    """Which member."""
    target: ImportPath
    """``package.module:name`` or ``path/to/file.py:name`` of a class or a factory."""
    options: PlainMapping = Field(default_factory=dict)
    """Keyword arguments that it is called with."""
