"""verl's reward manager around the run's verifiers: the same verdicts in training and validation.

Loaded by verl in its reward workers, from ``reward.reward_manager.module.path``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from rephrase_rl.trainers.verl.attachment import attachment_of
from rephrase_rl.trainers.verl.rows import problem_of_row, reward_info

if TYPE_CHECKING:
    from verl import DataProto

    from rephrase_rl.guidance.blocks import Score
    from rephrase_rl.records import Problem


class _Waiting(NamedTuple):
    """A completion that is to be judged."""

    source: str
    text: str
    problem: Problem
    score: asyncio.Future[Score]


class VerifierRewardManager(RewardManagerBase):
    """Judges whatever has come in since the last call, all at once, in one thread.

    Verifiers share the work among processes of their own and are not called from two threads.
    """

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any, **kwargs: Any) -> None:
        # Further arguments are the router of a reward model, which ``checks`` refuses.
        super().__init__(config, tokenizer, compute_score)
        self._judge = attachment_of(config).parts().judge()
        self._waiting: list[_Waiting] = []
        self._judging: asyncio.Task[None] | None = None

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Judge the last sequence of a trajectory.

        Returns:
            ``reward_score``, and in ``reward_extra_info`` what ``rows.score_of`` reads back.
        """
        item = data[-1:][0]
        response_ids = item.batch["responses"]
        length = int(item.batch["attention_mask"][-response_ids.shape[-1] :].sum())
        row = item.non_tensor_batch
        problem = problem_of_row(row)
        text = self.tokenizer.decode(response_ids[:length], skip_special_tokens=True)
        score = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(str(row["data_source"]), text, problem, score))
        if self._judging is None or self._judging.done():
            self._judging = asyncio.create_task(self._judge_all())
        info = reward_info(await score)
        return {"reward_score": info["total"], "reward_extra_info": info}

    async def _judge_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            for source in dict.fromkeys(one.source for one in batch):
                own = [one for one in batch if one.source == source]
                await self._judge_some(source, own)

    async def _judge_some(self, source: str, batch: list[_Waiting]) -> None:
        texts, problems = [one.text for one in batch], [one.problem for one in batch]
        try:
            scores = await asyncio.to_thread(self._judge, source, texts, problems)
            judged = list(zip(batch, scores, strict=True))
        except Exception as error:  # each waiting rollout fails with it, and its group is told
            for one in batch:
                one.score.set_exception(error)
            return
        for one, score in judged:
            one.score.set_result(score)
