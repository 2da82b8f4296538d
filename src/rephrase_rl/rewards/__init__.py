"""Verifiers: what says whether a completion is right, and whether that can be said at all.

Importing the package starts nothing and loads neither math-verify nor torch; the mathematics
verifier starts its worker processes when the first answer needs them.
"""

from rephrase_rl.rewards.context import ContextVerifier, context_of, verify_in_context
from rephrase_rl.rewards.custom import FunctionVerifier, as_verifier
from rephrase_rl.rewards.exact import ExactVerifier
from rephrase_rl.rewards.judge import JudgeVerifier
from rephrase_rl.rewards.math_verifier import MathVerifier
from rephrase_rl.rewards.protocol import JudgesAhead, Verifier
from rephrase_rl.rewards.registry import get_verifier, verifier_names
from rephrase_rl.rewards.verifier_reward import VerifierReward

__all__ = [
    "ContextVerifier",
    "ExactVerifier",
    "FunctionVerifier",
    "JudgeVerifier",
    "JudgesAhead",
    "MathVerifier",
    "Verifier",
    "VerifierReward",
    "as_verifier",
    "context_of",
    "get_verifier",
    "verifier_names",
    "verify_in_context",
]
