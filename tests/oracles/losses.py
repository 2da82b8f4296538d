"""Ratios, losses and distances of tokens, in float64 loops. Masked positions are None."""

import math


def importance_ratio(logps, old_logps, mask, level, clamp=None):
    """pi_theta/pi_old: of each token, or the geometric mean of the row's (GSPO)."""
    result = []
    for row, old_row, mask_row in zip(logps, old_logps, mask, strict=True):
        logs = [a - b for a, b, m in zip(row, old_row, mask_row, strict=True) if m]
        if level == "sequence" and logs:
            logs = [math.fsum(logs) / len(logs)] * len(logs)
        if clamp is not None:
            logs = [max(-clamp, min(clamp, x)) for x in logs]
        values = iter(logs)
        result.append([math.exp(next(values)) if m else None for m in mask_row])
    return result


def context_ratio(on_q, on_context, mask, level, cap, length_normalized=False):
    """pi(o|q)/pi(o|q,k) of each token, or the product or geometric mean over the row, capped."""
    result = []
    for row, context_row, mask_row in zip(on_q, on_context, mask, strict=True):
        values = [
            math.exp(a) / math.exp(b)
            for a, b, m in zip(row, context_row, mask_row, strict=True)
            if m
        ]
        if level == "sequence":
            whole = math.prod(values)
            if length_normalized and values:
                whole = whole ** (1 / len(values))
            values = [whole] * len(values)
        iterator = iter(values)
        result.append([min(cap, next(iterator)) if m else None for m in mask_row])
    return result


def clipped_loss(ratio, advantage, low, high, dual=None):
    """PPO's objective of one token, minus sign applied; dual clip as a floor of the objective."""
    clipped = min(max(ratio, 1 - low), 1 + high)
    objective = min(ratio * advantage, clipped * advantage)
    if dual is not None and advantage < 0:
        objective = max(objective, dual * advantage)
    return -objective


def kl(logp, ref_logp, kind):
    """Schulman's estimators, with r = pi_ref/pi_theta."""
    r = math.exp(ref_logp) / math.exp(logp)
    return {"k1": -math.log(r), "k2": math.log(r) ** 2 / 2, "k3": (r - 1) - math.log(r)}[kind]


def reduced(loss, mask, reduction, fixed_length=None):
    """Loss of a whole batch."""
    rows = [
        [x for x, m in zip(row, mask_row, strict=True) if m]
        for row, mask_row in zip(loss, mask, strict=True)
    ]
    total = math.fsum(x for row in rows for x in row)
    if reduction == "token_mean":
        return total / max(1, sum(len(row) for row in rows))
    if reduction == "sequence_mean":
        return math.fsum(math.fsum(row) / max(1, len(row)) for row in rows) / len(rows)
    return total / (len(rows) * fixed_length)


def clip_fractions(ratio, advantages, mask, low, high):
    """Shares of tokens clipped below (A < 0) and above (A > 0)."""
    tokens = [
        (r, a)
        for row, a, mask_row in zip(ratio, advantages, mask, strict=True)
        for r, m in zip(row, mask_row, strict=True)
        if m
    ]
    below = sum(1 for r, a in tokens if r < 1 - low and a < 0)
    above = sum(1 for r, a in tokens if r > 1 + high and a > 0)
    return below / len(tokens), above / len(tokens)


def quantile(values, q):
    """Linear interpolation between order statistics."""
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
