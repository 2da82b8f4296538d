"""Results of an earlier part of an evaluation, taken up again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rephrase_rl.errors import CheckpointError, ConfigError, DataError
from rephrase_rl.evaluation import EvaluationSample, summarize_samples
from rephrase_rl.records import JSON, from_json
from rephrase_rl.runs import jsonl

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.evaluation import EvaluationProtocol, EvaluationResult


def stored_result(
    folder: Path, protocol: EvaluationProtocol, settings: Mapping[str, JSON]
) -> EvaluationResult | None:
    """The result in a folder, computed again from its samples; None if there is none.

    Args:
        folder: ``evals/<step>/<benchmark>``.
        protocol: Under which it would be made now.
        settings: Everything that decides it now: model, weights, engine, seed, data, protocol.

    Raises:
        ConfigError: It was made with other settings; with all that differ.
        CheckpointError: It cannot be read.
    """
    file = folder / "result.json"
    if not file.is_file():
        return None
    try:
        stored = jsonl.decode(file.read_bytes())
        made_by = stored.get("provenance") or {}
        then = {
            **{name: made_by.get(name) for name in ("model", "weights", "engine", "seed")},
            "data": (made_by.get("data") or {}).get("sha256"),
            "protocol": stored.get("protocol"),
        }
        samples = [
            from_json(EvaluationSample, row) for row in jsonl.read_lines(folder / "samples.jsonl")
        ]
    except (ValueError, AttributeError, TypeError, DataError) as error:
        raise CheckpointError(
            f"{folder} holds no result that can be read ({error}); it was changed from outside: "
            "restore it from a copy, or remove the folder and evaluate anew"
        ) from error
    now = json.loads(json.dumps(settings))
    faults = [
        f"{name}: found {now.get(name)!r}, and the result has {then.get(name)!r}"
        for name in sorted({*now, *then})
        if now.get(name) != then.get(name)
    ]
    if faults:
        raise ConfigError(
            f"{folder} holds a result that was made with other settings; required: the same ones; "
            "do this: add --set name=ANOTHER_NAME, or take another --out",
            faults,
        )
    return summarize_samples(samples, protocol, prompts_sha256=str(stored.get("prompts_sha256")))
