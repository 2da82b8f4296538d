"""A verifier that asks a language model, for answers that no program can compare.

What goes wrong is told apart: an endpoint that fails gives ``error`` or ``timeout``, a judge whose
replies are no verdicts ``unscorable``. Neither is ever a reward of 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import VerifierError
from rephrase_rl.records import Verdict
from rephrase_rl.rewards.judge_prompt import final_answer, judge_messages, read_verdict
from rephrase_rl.rewards.protocol import check_same_length
from rephrase_rl.rewards.rubrics import get_rubric

if TYPE_CHECKING:
    from rephrase_rl.endpoints import ChatEndpoint, ChatReply
    from rephrase_rl.records import Message, VerdictStatus

SHOWN_REASON_CHARS = 300
"""So much of the judge's own reason is kept in the verdict's detail."""


@dataclass(slots=True)
class _Vote:
    """One of several verdicts on one answer."""

    item: int
    """Position of the answer."""
    number: int
    """Of the vote, from 0."""
    score: float | None = None
    status: VerdictStatus = "unscorable"
    detail: str = ""


class JudgeVerifier:
    """Scores by asking a model behind an OpenAI-compatible endpoint, with a rubric.

    The judge sees the completion without its thinking (``final_answer``); one that leaves nothing
    to read scores 0 without being asked about. Several votes are joined by their median; more than
    half of them have to be verdicts. A rubric that shows the question reads it from the column
    ``question``, or from the last turn of ``prompt``: see ``verify_in_context``.
    """

    context_columns = ("question", "prompt")

    def __init__(
        self,
        endpoint: Mapping[str, Any] | ChatEndpoint,
        rubric: str = "correctness",
        *,
        scale: Sequence[float] | None = None,
        votes: int = 1,
        attempts: int = 2,
        temperature: float | None = 0.0,
        max_tokens: int = 1024,
        name: str = "judge",
    ) -> None:
        """Describe the judge; nothing is asked yet.

        Args:
            endpoint: Fields of ``EndpointConfig``, or an endpoint, whose cache and budget are then
                shared.
            rubric: ``correctness``, ``free_text``, or the path of a text file with places
                ``{completion}``, ``{question}`` and ``{reference_answer}``.
            scale: Worst and best score of a rubric of the user's own.
            votes: Verdicts per completion, >= 1; several need a temperature above 0.
            attempts: Times a vote is asked for until the reply is a verdict, >= 1.
            temperature: Of the judge; None leaves it to the endpoint.
            max_tokens: Limit of the judge's reply, its reasons included.
            name: Name in metrics and records.

        Raises:
            ConfigError: The endpoint's fields are not valid.
            VerifierError: The rubric or another setting is not valid; every fault is listed.
        """
        from rephrase_rl.config import parse_endpoint
        from rephrase_rl.endpoints import ChatEndpoint

        _check_settings(votes, attempts, temperature, max_tokens)
        self.name = name
        self.rubric = get_rubric(rubric, scale)
        if isinstance(endpoint, Mapping):
            endpoint = ChatEndpoint(parse_endpoint(endpoint, "judge.endpoint"))
        self.endpoint = endpoint
        self._votes = votes
        self._attempts = attempts
        self._temperature = temperature
        self._max_tokens = max_tokens

    def verify(self, completions: Sequence[str], reference_answers: Sequence[str]) -> list[Verdict]:
        """Judge without the question, which the rubric must then not show.

        Raises:
            VerifierError: The rubric shows the question, or the sequences differ in length.
            BudgetError: The next request could exceed the budget.
        """
        return self.verify_in_context(completions, reference_answers, {})

    def verify_in_context(
        self,
        completions: Sequence[str],
        reference_answers: Sequence[str],
        context: Mapping[str, Sequence[Any]],
    ) -> list[Verdict]:
        """Judge each completion; see the class.

        Args:
            completions: Generated texts.
            reference_answers: One each; empty is unscorable if the rubric shows it.
            context: Columns ``question`` or ``prompt``, of the same length.

        Raises:
            VerifierError: The rubric shows the question and no column holds it, or lengths differ.
            BudgetError: The next request could exceed the budget.
            EndpointError: The endpoint cannot be asked at all: no key, or nothing recorded.
        """
        check_same_length(completions, reference_answers)
        questions = self._questions(context, len(completions))
        answers = [final_answer(completion) for completion in completions]
        verdicts: dict[int, Verdict] = {}
        asked: dict[int, tuple[Message, ...]] = {}
        rows = zip(questions, reference_answers, answers, strict=True)
        for i, (question, reference, answer) in enumerate(rows):
            if self.rubric.shows_reference and not reference.strip():
                verdicts[i] = Verdict("unscorable", None, detail="the reference answer is empty")
            elif not answer:
                verdicts[i] = Verdict("scored", 0.0, detail="no answer in the completion")
            else:
                asked[i] = judge_messages(self.rubric, question, reference, answer)
        for i, votes in self._collect(asked).items():
            verdicts[i] = self._joined(votes, answers[i])
        return [verdicts[i] for i in range(len(completions))]

    def close(self) -> None:
        """Nothing is held: connections end with each batch."""

    def _questions(self, context: Mapping[str, Sequence[Any]], count: int) -> list[str]:
        """The question of each completion, from the first column that has them all."""
        if not self.rubric.shows_question:
            return [""] * count
        for name in self.context_columns:
            questions = [_question_of(cell) for cell in context.get(name, ())]
            if len(questions) == count and None not in questions:
                return [str(question) for question in questions]
        raise VerifierError(
            f"rubric {self.rubric.rubric_id!r} shows the question; found columns "
            f"{', '.join(sorted(context)) or 'none'}; required: `question` or `prompt` with a text "
            f"for each of {count} completions. Pass them (verify_in_context), or name a rubric "
            "without {question}"
        )

    def _collect(self, asked: Mapping[int, tuple[Message, ...]]) -> dict[int, list[_Vote]]:
        """Votes by position; those that are no verdict are asked for again, all together."""
        from rephrase_rl.endpoints import ChatRequest

        votes = {item: [_Vote(item, number) for number in range(self._votes)] for item in asked}
        open_votes = [vote for of_item in votes.values() for vote in of_item]
        for attempt in range(self._attempts):
            requests = [
                ChatRequest(
                    asked[vote.item],
                    self._max_tokens,
                    self._temperature,
                    # Another number, or the cache would answer as before.
                    sample=vote.number + attempt * self._votes,
                )
                for vote in open_votes
            ]
            replies = self.endpoint.ask(requests) if requests else []
            for vote, reply in zip(open_votes, replies, strict=True):
                self._count(vote, reply)
            open_votes = [vote for vote in open_votes if vote.status == "unscorable"]
        return votes

    def _count(self, vote: _Vote, reply: ChatReply) -> None:
        if reply.status in ("error", "timeout"):
            vote.status = "error" if reply.status == "error" else "timeout"
            vote.detail = reply.detail
        elif reply.status == "malformed":
            vote.detail = reply.detail
        elif reply.finish_reason == "length":
            vote.detail = f"the judge's reply was cut off at {self._max_tokens} tokens"
        else:
            read = read_verdict(reply.text, self.rubric.low, self.rubric.high)
            vote.score, vote.detail = read.score, read.reason
            vote.status = "unscorable" if read.score is None else "scored"

    def _joined(self, votes: Sequence[_Vote], answer: str) -> Verdict:
        scores = [vote.score for vote in votes if vote.score is not None]
        failed = [vote for vote in votes if vote.score is None]
        if len(scores) * 2 <= len(votes):
            status, _ = Counter(vote.status for vote in failed).most_common(1)[0]
            detail = next(vote.detail for vote in failed if vote.status == status)
            return Verdict(status, None, answer, f"{len(failed)} of {len(votes)} votes: {detail}")
        shown = ", ".join(f"{score:g}" for score in scores)
        reason = next((vote.detail for vote in votes if vote.score is not None and vote.detail), "")
        detail = f"score {shown} of {self.rubric.high:g}: {reason[:SHOWN_REASON_CHARS]}"
        return Verdict("scored", self.rubric.reward(median(scores)), answer, detail.rstrip(": "))


def _question_of(cell: object) -> str | None:
    """A question from a text or from the last turn of a conversation; None if there is none."""
    if isinstance(cell, str):
        return cell
    last = cell[-1] if isinstance(cell, Sequence) and cell else None
    content = last.get("content") if isinstance(last, Mapping) else None
    return content if isinstance(content, str) else None


def _check_settings(votes: int, attempts: int, temperature: float | None, max_tokens: int) -> None:
    faults = []
    if votes < 1 or attempts < 1 or max_tokens < 1:
        faults.append(
            f"found votes={votes}, attempts={attempts}, max_tokens={max_tokens}; required: at "
            "least 1 each"
        )
    if temperature is not None and not 0 <= temperature < float("inf"):
        faults.append(f"found temperature={temperature}; required: 0 or positive, or null")
    if votes > 1 and temperature == 0:
        faults.append(
            f"found {votes} votes at temperature 0, which are {votes} times the same; required: a "
            "temperature above 0, such as 0.7"
        )
    if faults:
        raise VerifierError(
            f"the judge's settings are not valid; correct these: {'; '.join(faults)}"
        )
