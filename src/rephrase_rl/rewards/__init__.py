"""Verifiers: what says whether a completion is right, and whether that can be said at all.

Importing the package starts nothing and loads neither math-verify nor torch; the mathematics
verifier starts its worker processes when the first answer needs them.
"""

from rephrase_rl.rewards.choice import ChoiceVerifier
from rephrase_rl.rewards.composite import AllOf, Gated
from rephrase_rl.rewards.context import ContextVerifier, context_of, verify_in_context
from rephrase_rl.rewards.custom import FunctionVerifier, as_verifier
from rephrase_rl.rewards.exact import ExactVerifier
from rephrase_rl.rewards.format import FormatVerifier
from rephrase_rl.rewards.judge import JudgeVerifier
from rephrase_rl.rewards.length import LengthVerifier
from rephrase_rl.rewards.math_verifier import MathVerifier
from rephrase_rl.rewards.number import NumberVerifier
from rephrase_rl.rewards.protocol import JudgesAhead, Verifier
from rephrase_rl.rewards.registry import get_verifier, verifier_names
from rephrase_rl.rewards.text import TextVerifier, rouge_l, text_exact, text_f1
from rephrase_rl.rewards.verifier_reward import VerifierReward

__all__ = [
    "AllOf",
    "ChoiceVerifier",
    "ContextVerifier",
    "ExactVerifier",
    "FormatVerifier",
    "FunctionVerifier",
    "Gated",
    "JudgeVerifier",
    "JudgesAhead",
    "LengthVerifier",
    "MathVerifier",
    "NumberVerifier",
    "TextVerifier",
    "Verifier",
    "VerifierReward",
    "as_verifier",
    "context_of",
    "get_verifier",
    "rouge_l",
    "text_exact",
    "text_f1",
    "verifier_names",
    "verify_in_context",
]
