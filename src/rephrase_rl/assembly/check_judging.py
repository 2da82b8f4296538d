"""Verdicts of a run's own verifiers on expert solutions: whether k is what training will reward.

Every training set is judged by the verifier that decides failure in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.assembly.objects import VERIFIER_OF_KIND, build_verifiers
from rephrase_rl.config import deciding_reward
from rephrase_rl.rewards import context_of, verify_in_context
from rephrase_rl.rewards.context import COMPLETION_IDS, context_columns_of

if TYPE_CHECKING:
    from rephrase_rl.assembly.check_wording import Wording
    from rephrase_rl.config import RunConfig, TrainDataConfig
    from rephrase_rl.data.inspection import DataInspector
    from rephrase_rl.records import Problem
    from rephrase_rl.rewards import Verifier

JUDGED_AT_ONCE = 256
"""Experts that a verifier gets in one call."""


class ExpertJudge:
    """Has the verifiers of a run judge expert solutions, many at a time."""

    def __init__(
        self, config: RunConfig, threshold: float, wording: Wording, inspector: DataInspector
    ) -> None:
        """Start without any verifier.

        Args:
            config: The run, resolved.
            threshold: Reward below which an expert is rejected.
            wording: Its tokenizer gives the tokens to verifiers that count them.
            inspector: Gets the verdicts.
        """
        self._config = config
        self._threshold = threshold
        self._wording = wording
        self._inspector = inspector
        self._verifiers: dict[str, Verifier] = {}
        self._waiting: dict[str, list[Problem]] = {}

    def add(self, problem: Problem, data: TrainDataConfig) -> None:
        """Take in a problem of a set; without an expert there is nothing to judge."""
        if problem.expert_solution is None:
            return
        kind = problem.task_kind
        key = kind if len(self._config.data) == 1 else f"{data.name}: {kind}"
        reward = deciding_reward(self._config, data)
        if reward is None and kind not in VERIFIER_OF_KIND:
            self._inspector.add_not_judged(key, f"no verifier is set for task kind {kind!r}")
            return
        if key not in self._verifiers:
            asked = () if reward is None else (reward,)
            ((self._verifiers[key], _),) = build_verifiers(asked, [problem])
        if self._wording.tokenizer is None and self._counts_tokens(key):
            self._inspector.add_not_judged(
                key, f"{self._verifiers[key].name} counts tokens, and there is no tokenizer"
            )
            return
        waiting = self._waiting.setdefault(key, [])
        waiting.append(problem)
        if len(waiting) == JUDGED_AT_ONCE:
            self._judge(key)

    def finish(self) -> None:
        """Judge what is left."""
        for key in self._waiting:
            self._judge(key)

    def close(self) -> None:
        """Free the verifiers."""
        for verifier in self._verifiers.values():
            verifier.close()

    def _counts_tokens(self, key: str) -> bool:
        return COMPLETION_IDS in context_columns_of([self._verifiers[key]])

    def _judge(self, key: str) -> None:
        problems, self._waiting[key] = self._waiting[key], []
        if not problems:
            return
        verifier = self._verifiers[key]
        texts = [problem.expert_solution or "" for problem in problems]
        known = {}
        if self._counts_tokens(key):
            known[COMPLETION_IDS] = [self._wording.completion_ids(text) for text in texts]
        verdicts = verify_in_context(
            verifier,
            texts,
            [problem.reference_answer for problem in problems],
            context_of(verifier, problems, known),
        )
        for problem, verdict in zip(problems, verdicts, strict=True):
            self._inspector.add_verdict(
                key, problem.problem_id, verdict, verifier.name, self._threshold
            )
