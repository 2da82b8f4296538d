"""What a run's own configuration would have this machine do, if the run is from somebody else.

A configuration that a user gives is the user's word. One that lies in a run directory is data: it
was perhaps downloaded with the run, and code, endpoints and environment variables named in it are
not asked for by whoever evaluates the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    import os

    from rephrase_rl.config.schema import RunConfig


def require_trust(config: RunConfig, run: str | os.PathLike[str]) -> None:
    """Refuse a run whose verifiers bring code of their own or ask an endpoint.

    Args:
        config: The run's own configuration.
        run: Its directory, for the message.

    Raises:
        ConfigError: With everything that would have to be trusted.
    """
    faults = list(dict.fromkeys(_reaching_out(config)))
    if faults:
        raise ConfigError(
            f"{run}: its configuration reaches beyond the run; required: your word that it is "
            "yours, or that you have read it; do this: look at its config.yaml, then add --trust",
            faults,
        )


def _reaching_out(config: RunConfig) -> Iterator[str]:
    if config.model.trust_remote_code:
        yield "model.trust_remote_code: runs code that comes with the model"
    judges = [
        *config.rewards,
        *(reward for data in config.data for reward in data.rewards),
        *(b.judge for b in config.evaluation.benchmarks if b.judge is not None),
    ]
    for judge in judges:
        yield from _of_verifier({"verifier": judge.verifier, "options": judge.options})


def _of_verifier(value: object) -> Iterator[str]:
    """Import paths and endpoints anywhere in a verifier's description."""
    if isinstance(value, Mapping):
        name = value.get("verifier")
        if isinstance(name, str) and ":" in name:
            yield f"verifier {name}: imports and runs that code"
        if "base_url" in value:
            key = value.get("api_key_env")
            sent = f", and sends it the key in {key}" if key else ""
            yield f"endpoint {value['base_url']}: asks it{sent}"
        for item in value.values():
            yield from _of_verifier(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _of_verifier(item)
