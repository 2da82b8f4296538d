"""Whether the steps that a text writes down are right: arithmetic in prose and LaTeX.

Text in, counts out: no verifier, no reference answer, no model. The lab's steps, which are another
arithmetic, are checked in ``lab/steps.py``.
"""

from rephrase_rl.guidance.steps.arithmetic import Step, arithmetic_steps, find_steps
from rephrase_rl.guidance.steps.validity import StepCheck, StepValidity

__all__ = ["Step", "StepCheck", "StepValidity", "arithmetic_steps", "find_steps"]
