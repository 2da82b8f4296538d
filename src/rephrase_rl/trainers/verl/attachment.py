"""What travels inside verl's configuration to all of its processes, and what is built from it.

verl hands its whole configuration to every Ray actor, and ``rollout.custom`` in it is free for
users. There lie the run's own configuration as JSON text and the import path of the function that
turns it into objects: this package knows neither, so ``assembly`` stays above the trainers.
"""

from __future__ import annotations

import functools
import importlib
import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rephrase_rl.guidance.blocks import Guidance, Score
    from rephrase_rl.guidance.token_records import Kept
    from rephrase_rl.records import JSON, Problem

KEY = "rephrase_rl"
"""Name of our part of ``actor_rollout_ref.rollout.custom``."""
WHERE = f"actor_rollout_ref.rollout.custom.{KEY}"


class Judge(Protocol):
    """Rewards of texts; keeps worker processes of its own until ``close``."""

    def __call__(
        self, source: str, texts: Sequence[str], problems: Sequence[Problem]
    ) -> list[Score]:
        """Judge texts by the verifiers of their data source, one problem for each text."""
        ...

    def close(self) -> None:
        """End its worker processes."""
        ...


class Parts(Protocol):
    """A run's objects, as ``assembly`` builds them from its configuration."""

    @property
    def seed(self) -> int:
        """Of the run."""
        ...

    @property
    def scale(self) -> Literal["group", "batch", "none"]:
        """What centred rewards are divided by."""
        ...

    @property
    def keep_groups(self) -> Literal["all", "open", "none"]:
        """Which groups go to ``groups.jsonl``."""
        ...

    @property
    def token_logps(self) -> Kept:
        """Which candidates' records keep their tokens."""
        ...

    def guidance(self) -> Guidance:
        """The method."""
        ...

    def judge(self) -> Judge:
        """Its rewards."""
        ...


class Attachment(NamedTuple):
    """Our part of verl's configuration."""

    factory: str
    """``package.module:function``, called with the facts."""
    text: str
    """Facts of the run, JSON; ``launch`` reads them from the file that its overrides name."""
    run_path: str | None = None
    """Run directory, seen from the node of the trainer. None: nothing is recorded."""

    def parts(self) -> Parts:
        """The run's objects; built once in a process."""
        return _built(self.factory, self.text)


def sealed(facts: JSON) -> str:
    r"""JSON text in which OmegaConf finds nothing to interpolate and Hydra nothing to unpack.

    Example:
        >>> sealed({"price": "${oc.env:HOME}"})
        '{"price": "\\u0024{oc.env:HOME}"}'
    """
    return json.dumps(facts).replace("$", "\\u0024")


def attachment_of(config: Mapping[str, Any]) -> Attachment:
    """Our part of verl's configuration.

    Raises:
        ConfigError: It is not there.
    """
    custom = config["actor_rollout_ref"]["rollout"].get("custom") or {}
    found = custom.get(KEY)
    if not found or not found.get("factory") or not found.get("text"):
        raise ConfigError(
            f"verl's configuration has no {WHERE}; required: its factory and text, since workers "
            "know the method from there. Start with `rephrase-rl train CONFIG --engine verl`, or "
            "with the overrides that its --dry-run prints"
        )
    return Attachment(found["factory"], found["text"], found.get("run_path"))


@functools.cache
def _built(factory: str, text: str) -> Parts:
    module, _, name = factory.partition(":")
    make: Callable[[Any], Parts] = getattr(importlib.import_module(module), name)
    return make(json.loads(text))
