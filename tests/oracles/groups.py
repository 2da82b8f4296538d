"""Gate, slot and advantages of one group at a time, in exact fractions as far as they go."""

import math
from fractions import Fraction


def failure_fraction(rewards, threshold):
    """Share of failures among the scored; None if nothing was scored."""
    scored = [Fraction(r) for r in rewards if r is not None]
    if not scored:
        return None
    return Fraction(len([r for r in scored if r < Fraction(threshold)]), len(scored))


def gate_is_open(rewards, threshold, rho):
    """Gate of RePO; ``rho`` as a Fraction, so that 2/3 >= 2/3 holds."""
    fraction = failure_fraction(rewards, threshold)
    return fraction is not None and fraction >= rho


def worst_slot(rewards):
    """First position of the lowest scored reward, -1 without one."""
    best = -1
    for position, reward in enumerate(rewards):
        if reward is not None and (best == -1 or reward < rewards[best]):
            best = position
    return best


def variance(values, ddof):
    """Variance as a Fraction; None if there are too few values."""
    if len(values) - ddof <= 0:
        return None
    mean = sum(values, Fraction(0)) / len(values)
    return sum(((v - mean) ** 2 for v in values), Fraction(0)) / (len(values) - ddof)


def advantages(groups, scale, ddof, eps):
    """Advantages of a list of groups. The square root is the only step that is not exact."""
    everything = [Fraction(r) for group in groups for r in group if r is not None]
    result = []
    for group in groups:
        scored = [Fraction(r) for r in group if r is not None]
        if len(set(scored)) < 2:
            result.append([0.0] * len(group))
            continue
        mean = sum(scored, Fraction(0)) / len(scored)
        spread = {"group": scored, "batch": everything}.get(scale)
        divisor = 1.0 if spread is None else math.sqrt(variance(spread, ddof)) + eps
        result.append([0.0 if r is None else float(Fraction(r) - mean) / divisor for r in group])
    return result


def summed_rewards(groups, weights):
    """Weighted sum over the reward functions that applied; None where none did."""
    return [
        [
            None
            if all(r is None for r in member)
            else sum(
                (
                    Fraction(w) * Fraction(r)
                    for w, r in zip(weights, member, strict=True)
                    if r is not None
                ),
                Fraction(0),
            )
            for member in group
        ]
        for group in groups
    ]


def normalized_then_summed(groups, weights, ddof, eps):
    """GDPO: each reward normalised in its group, summed, divided by the spread of the batch.

    With the subtraction of the batch mean that the paper and TRL write down.
    """
    sums = []
    for group in groups:
        columns = [
            advantages([[member[k] for member in group]], "group", ddof, eps)[0]
            for k in range(len(weights))
        ]
        for g, member in enumerate(group):
            if all(r is None for r in member):
                sums.append(None)
            else:
                applied = [k for k in range(len(weights)) if member[k] is not None]
                sums.append(math.fsum(weights[k] * columns[k][g] for k in applied))
    scored = [a for a in sums if a is not None]
    mean = math.fsum(scored) / len(scored) if scored else 0.0
    squares = math.fsum((a - mean) ** 2 for a in scored)
    if len(scored) - ddof <= 0 or squares == 0:
        flat = [0.0] * len(sums)
    else:
        std = math.sqrt(squares / (len(scored) - ddof))
        flat = [0.0 if a is None else (a - mean) / (std + eps) for a in sums]
    size = len(groups[0])
    return [flat[i : i + size] for i in range(0, len(flat), size)]
