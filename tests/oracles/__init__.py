"""Reference mathematics in plain Python, written from the papers' formulae.

Exact fractions where the formula is rational, float64 loops elsewhere; slow on purpose and without
any trick. Imports neither torch nor the package, which a test checks: an oracle that shares code
with its subject proves nothing. ``None`` stands for an unscorable reward.
"""
