"""Colours and settings of the figures, and their dark twin.

A figure is drawn once, in the light palette. Its dark version is the same SVG with each colour
exchanged for its counterpart, so that both show exactly the same thing. The pairs have about equal
contrast to their background; neighbouring series differ in lightness as well as in hue, for people
who cannot tell the hues apart and for black-and-white print.
"""

from __future__ import annotations

import re

INK = "#1f2328"
MUTED = "#6b6a66"
GRID = "#e3e0d9"
SERIES = ("#1f5fa8", "#c2501a", "#2b8a63", "#7a4fa3", "#a07a12", "#4b5563")
"""Blue, vermilion, green, purple, ochre, slate: in the order in which series take them."""

DARK = {
    INK: "#e8e6e1",
    MUTED: "#a3a09a",
    GRID: "#34363b",
    "#1f5fa8": "#7fb4f0",
    "#c2501a": "#f39a63",
    "#2b8a63": "#6fcfa5",
    "#7a4fa3": "#c3a2ea",
    "#a07a12": "#e0bd5a",
    "#4b5563": "#b6bfcc",
}

MARKERS = ("o", "s", "^", "D", "v", "P")

RC = {
    "svg.hashsalt": "rephrase-rl",
    # Names of runs and benchmarks are text, also where they hold dollar signs.
    "text.parse_math": False,
    # Outlines instead of text: the figure looks the same without the fonts of this machine.
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "lines.solid_capstyle": "round",
}
"""Settings on top of matplotlib's own defaults; a user's matplotlibrc has no say."""


def darken(svg: str) -> str:
    """Return the figure in the dark palette.

    Args:
        svg: SVG text that uses the light palette only.
    """
    pattern = re.compile("|".join(re.escape(colour) for colour in DARK))
    return pattern.sub(lambda match: DARK[match.group()], svg)
