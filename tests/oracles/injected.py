"""Losses of injected tokens, one token at a time, in plain Python: (loss, d loss / d log p)."""

import math


def shaped(logp, advantage, gamma):
    p = math.exp(logp)
    return -advantage * p / (p + gamma), -advantage * gamma * p / (p + gamma) ** 2


def nll(logp):
    return -logp, -1.0


def phi_nll(logp):
    weight = math.exp(logp) * (1 - math.exp(logp))
    return -weight * logp, -weight


def two_means(own, injected):
    """The mean over own values plus the mean over injected ones; nothing counts as 0."""
    return sum(sum(values) / len(values) for values in (own, injected) if values)
