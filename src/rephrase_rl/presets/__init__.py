"""Presets: each method as data over the same five blocks.

A preset is what ``method: NAME`` in a configuration stands for; every field of it can be overridden
under ``guidance:`` and ``trainer:``. ``docs/methods.md`` explains each with its formula.
"""

from __future__ import annotations

from collections.abc import Mapping

from rephrase_rl.presets.paper import GRPO, LUFFY, LUFFY_GRPO, NAIVE, REPO, REWRITE_SFT, SFT
from rephrase_rl.presets.preset import Preset
from rephrase_rl.presets.relatives import CHORD, CHORD_MU, GUIDE, HPT, RELIFT, REPLAY, STAR

__all__ = ["PRESETS", "Preset"]

PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        SFT,
        GRPO,
        LUFFY,
        REPO,
        NAIVE,
        REWRITE_SFT,
        GUIDE,
        RELIFT,
        CHORD,
        CHORD_MU,
        HPT,
        STAR,
        REPLAY,
        LUFFY_GRPO,
    )
}
"""All shipped methods by name: the paper's four systems first, then their relatives."""
