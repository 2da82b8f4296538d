"""The Hugging Face model card of a run's final policy, for the hub and for people.

The metadata is made by huggingface_hub, so that the hub understands it. Nothing is invented: a base
model or data set is named only if it was loaded from the hub; the licence is the user's to give.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rephrase_rl.reports import pages
from rephrase_rl.visible_text import plain_text

if TYPE_CHECKING:
    from rephrase_rl.records import JSON
    from rephrase_rl.runs import RunDirectory

FINAL_POLICY = "checkpoints/final"
"""Folder of a run that holds its policy at the end of training."""
TASK = "text-generation"
_TAG = re.compile(r"[a-z0-9][a-z0-9_.-]{0,40}")
_HUB_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)


def render_model_card(run: RunDirectory, card: Mapping[str, JSON]) -> str:
    """Write a model card as Markdown with metadata, ready to be the README.md of a repository.

    Args:
        run: The run; whether its policy is an adapter is looked up.
        card: From ``card.build_card``.
    """
    is_adapter = (run.path / FINAL_POLICY / "adapter_config.json").is_file()
    metadata = _metadata(card, is_adapter)
    body = pages.render_markdown(
        "model_card.md.j2",
        card=card,
        base_model=_base_model(card),
        is_adapter=is_adapter,
        final_policy=FINAL_POLICY,
    )
    return f"---\n{metadata.to_yaml().rstrip()}\n---\n\n{body}"


def _metadata(card: Mapping[str, JSON], is_adapter: bool) -> Any:
    from huggingface_hub import ModelCardData

    method = str(card.get("method") or "")
    tags = ["rephrase-rl", *([method] if _TAG.fullmatch(method) else [])]
    trained_on = {
        hub_id
        for name, entry in _as_map(card.get("datasets")).items()
        if name.startswith("train/") and (hub_id := _hub_id(entry)) is not None
    }
    return ModelCardData(
        model_name=plain_text(str(card["run"])),
        base_model=_base_model(card),
        datasets=sorted(trained_on) or None,
        library_name="peft" if is_adapter else "transformers",
        pipeline_tag=TASK,
        tags=tags,
        eval_results=_results(card) or None,
    )


def _results(card: Mapping[str, JSON]) -> list[Any]:
    """One entry per figure of the last evaluations; what could not be scored has none."""
    from huggingface_hub import EvalResult

    results = []
    for row in card["evaluations"]:
        data = _as_map(_as_map(card.get("datasets")).get(f"evaluation/{row['benchmark']}"))
        k = row["samples_per_problem"]
        figures = {f"avg@{k}": row["avg_at_k"]}
        figures |= {f"pass@{n}": estimate for n, estimate in row["pass_at_k"].items()}
        results += [
            EvalResult(
                task_type=TASK,
                dataset_type=_hub_id(data) or plain_text(row["benchmark"]),
                dataset_name=plain_text(row["benchmark"]),
                dataset_split=_text(data.get("split")),
                dataset_revision=_text(data.get("revision")),
                metric_type=name,
                metric_name=name,
                metric_value=round(estimate["mean"], 4),
            )
            for name, estimate in figures.items()
            if estimate["mean"] is not None
        ]
    return results


def _base_model(card: Mapping[str, JSON]) -> str | None:
    return _hub_id(card.get("policy"))


def _hub_id(entry: JSON) -> str | None:
    """The hub's name of a policy or data set that was loaded from there."""
    facts = _as_map(entry)
    path = facts.get("path")
    is_id = isinstance(path, str) and _HUB_ID.fullmatch(path)
    return path if is_id and facts.get("kind") == "hub" else None


def _text(value: JSON) -> str | None:
    return plain_text(value) if isinstance(value, str) else None


def _as_map(value: JSON) -> Mapping[str, JSON]:
    return value if isinstance(value, Mapping) else {}
