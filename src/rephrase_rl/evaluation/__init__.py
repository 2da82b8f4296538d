"""Evaluation: a protocol, the run of it, and a result that states both.

Evaluation samples from plain questions only; no gate, no rewriting, no expert text. What could not
be judged is counted, never scored 0.
"""

from rephrase_rl.evaluation.protocol import EvaluationProtocol
from rephrase_rl.evaluation.result import EvaluationResult
from rephrase_rl.evaluation.runner import evaluate
from rephrase_rl.evaluation.samples import EvaluationSample
from rephrase_rl.evaluation.summary import summarize_samples

__all__ = [
    "EvaluationProtocol",
    "EvaluationResult",
    "EvaluationSample",
    "evaluate",
    "summarize_samples",
]
