"""Evaluation: a protocol, the run of it, and a result that states both.

Evaluation samples from plain questions only; no gate, no rewriting, no expert text. What could not
be judged is counted, never scored 0.
"""

from rephrase_rl.evaluation.protocol import EvaluationProtocol
from rephrase_rl.evaluation.result import EvaluationResult, EvaluationSample, summarize_samples
from rephrase_rl.evaluation.runner import evaluate

__all__ = [
    "EvaluationProtocol",
    "EvaluationResult",
    "EvaluationSample",
    "evaluate",
    "summarize_samples",
]
