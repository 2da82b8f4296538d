"""What a set of problems looks like: one pass, in memory that grows by hashes and not by texts.

Pure counting. Tokens, prompts and verdicts come from whoever has a tokenizer, templates and
verifiers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rephrase_rl.data.answers import ABOUT_ANSWER
from rephrase_rl.data.contamination import ContaminationReport, EvaluationIndex, ProblemWords
from rephrase_rl.data.duplicates import DuplicateFinder, DuplicateReport
from rephrase_rl.data.experts import CLOSE_TAG
from rephrase_rl.data.lengths import Fit, LengthCounts, LengthSummary
from rephrase_rl.data.part_fits import Limits, PartFit
from rephrase_rl.data.rows import PART_KEY, STRIPPED_KEY

if TYPE_CHECKING:
    from rephrase_rl.data.faults import BadRow, RowFault
    from rephrase_rl.records import Problem, Verdict

MAX_EXAMPLES = 5
TEXTS = ("question", "solve", "expert", "rephrase")
"""Texts whose lengths are measured: the question alone, the prompt q, k, and the prompt P(q, k)."""


@dataclass(frozen=True, slots=True)
class ExpertVerdicts:
    """What a verifier says of the expert solutions of one set and task kind."""

    verifier: str
    judged: int
    accepted: int
    rejected: int
    unscorable: int
    """Neither: the verifier cannot read the reference answer, timed out or broke."""
    examples: tuple[str, ...]
    """The first ones not accepted, up to five, with what the verifier found."""


@dataclass(frozen=True, slots=True)
class DataReport:
    """Everything that ``data check`` says of a set of problems."""

    rows: int
    problems: int
    faults: tuple[RowFault, ...]
    missing_answers: int
    """Rows without a usable reference answer; they are among the faulty ones."""
    task_kinds: Mapping[str, int]
    with_expert: int
    with_thoughts: int
    """Experts with a ``<think>`` part, all of which was taken or not."""
    thoughts_left_out: int
    """Experts of which only one part is taken."""
    prompts_stripped: int
    """Prompts that lost thoughts or the system turn that asks for them."""
    expert_budget: Mapping[str, int] | None
    """What becomes of experts under the token budget; None: there is no budget, or no tokenizer."""
    duplicates: DuplicateReport
    tokens: Mapping[str, LengthSummary] | None
    """By text; None: no tokenizer."""
    solve_fit: Fit | None
    """q within what a completion leaves of the policy's context; None: not known."""
    solve_limit: str
    """That, in words."""
    prompt_fit: Fit | None
    """P(q, k) within the limit of training."""
    prompt_limit: str
    """What sets that limit, in words: the field, or the policy's context."""
    completion_fit: Fit | None
    """k, with an end token, within ``trainer.max_completion_length``."""
    parts: tuple[PartFit, ...]
    """What each part of the experts' texts would be as k. Empty: none has thoughts, or there is no
    tokenizer."""
    without_prompt: Mapping[str, str]
    """Task kind -> why its prompts could not be made."""
    expert_verdicts: Mapping[str, ExpertVerdicts]
    """By task kind; of several sets by ``set: kind``."""
    not_judged: Mapping[str, str]
    """The same -> why its experts were not judged."""
    contamination: tuple[ContaminationReport, ...]


@dataclass(frozen=True, slots=True)
class PromptView:
    """One prompt as the policy gets it."""

    problem_id: str
    purpose: str
    """``solve``, ``rephrase`` or ``evaluation``."""
    text: str
    """The tokens decoded, special ones included; without a tokenizer the turns."""
    tokens: tuple[str, ...] | None
    """Each token as the tokenizer writes it; None: no tokenizer."""


@dataclass(frozen=True, slots=True)
class DataCheck:
    """The report, and the prompts of the first problems."""

    report: DataReport
    prompts: tuple[PromptView, ...]


@dataclass
class _VerdictTally:
    verifier: str
    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, problem_id: str, verdict: Verdict, threshold: float) -> None:
        if verdict.status != "scored" or verdict.value is None:
            outcome = "unscorable"
        else:
            outcome = "rejected" if verdict.value < threshold else "accepted"
        self.counts[outcome] += 1
        if outcome != "accepted" and len(self.examples) < MAX_EXAMPLES:
            said = verdict.detail or verdict.status
            self.examples.append(f"{problem_id}: {outcome}: {said}")

    def frozen(self) -> ExpertVerdicts:
        return ExpertVerdicts(
            self.verifier,
            self.counts.total(),
            self.counts["accepted"],
            self.counts["rejected"],
            self.counts["unscorable"],
            tuple(self.examples),
        )


class DataInspector:
    """Takes in problems and rows one by one; ``report`` says what they are like."""

    def __init__(
        self,
        evaluation_sets: Sequence[EvaluationIndex] = (),
        limits: Limits = Limits(),  # noqa: B008 - a tuple
    ) -> None:
        """Start empty.

        Args:
            evaluation_sets: To look for in the training data.
            limits: What the lengths are compared with.
        """
        self._evaluation_sets = evaluation_sets
        self._limit_of = {
            "solve": limits.solve,
            "rephrase": limits.prompt,
            "expert": None if limits.completion is None else limits.completion - 1,
        }
        self._limits = limits
        self._over: dict[str, list[str]] = {text: [] for text in TEXTS}
        self._counts: Counter[str] = Counter()
        self._faults: list[RowFault] = []
        self._kinds: Counter[str] = Counter()
        self._budget: Counter[str] = Counter()
        self._duplicates = DuplicateFinder()
        self._lengths = {text: LengthCounts() for text in TEXTS}
        self._without_prompt: dict[str, str] = {}
        self._tallies: dict[str, _VerdictTally] = {}
        self._not_judged: dict[str, str] = {}
        self._parts: tuple[PartFit, ...] = ()

    def add_bad_row(self, row: BadRow) -> None:
        """Take in a row that gives no problem."""
        self._counts["rows"] += 1
        self._faults += row.faults
        self._counts["missing_answers"] += any(f.about == ABOUT_ANSWER for f in row.faults)

    def add(self, problem: Problem, expert_as_given: str | None = None) -> None:
        """Take in a problem.

        Args:
            problem: As it would be trained on.
            expert_as_given: Its expert's text before any budget, where there is one.
        """
        self._counts["rows"] += 1
        self._counts["problems"] += 1
        self._kinds[problem.task_kind] += 1
        expert = expert_as_given or problem.expert_solution or ""
        self._counts["with_expert"] += problem.expert_solution is not None
        self._counts["with_thoughts"] += CLOSE_TAG in expert or PART_KEY in problem.metadata
        self._counts["thoughts_left_out"] += PART_KEY in problem.metadata
        self._counts["prompts_stripped"] += STRIPPED_KEY in problem.metadata
        self._duplicates.add(problem)
        if self._evaluation_sets:
            words = ProblemWords.of(problem)
            for evaluation_set in self._evaluation_sets:
                evaluation_set.compare(words)

    @property
    def has_thoughts(self) -> bool:
        """Whether an expert so far has a ``<think>`` part."""
        return self._counts["with_thoughts"] > 0

    def add_fate(self, fate: str) -> None:
        """Take in what became of an expert under the budget."""
        self._budget[fate] += 1

    def add_length(self, text: str, num_tokens: int, problem_id: str) -> None:
        """Take in the length of one of ``TEXTS`` of a problem."""
        self._lengths[text].add(num_tokens)
        limit, over = self._limit_of.get(text), self._over[text]
        if limit is not None and num_tokens > limit and len(over) < MAX_EXAMPLES:
            over.append(f"{problem_id} ({num_tokens})")

    def add_without_prompt(self, task_kind: str, reason: str) -> None:
        """Take in why prompts of a task kind cannot be made."""
        self._without_prompt.setdefault(task_kind, reason)

    def add_verdict(
        self, kind: str, problem_id: str, verdict: Verdict, verifier: str, threshold: float
    ) -> None:
        """Take in a verdict on a problem's expert; below the threshold it is rejected."""
        tally = self._tallies.setdefault(kind, _VerdictTally(verifier))
        tally.add(problem_id, verdict, threshold)

    def add_not_judged(self, kind: str, reason: str) -> None:
        """Take in why experts are not judged."""
        self._not_judged.setdefault(kind, reason)

    def add_parts(self, parts: tuple[PartFit, ...]) -> None:
        """Take in what each part of the experts' texts would be."""
        self._parts = parts

    def report(self) -> DataReport:
        """What was taken in so far."""
        summaries = {text: lengths.summary() for text, lengths in self._lengths.items()}
        tokens = {text: summary for text, summary in summaries.items() if summary is not None}
        return DataReport(
            rows=self._counts["rows"],
            problems=self._counts["problems"],
            faults=tuple(self._faults),
            missing_answers=self._counts["missing_answers"],
            task_kinds=dict(sorted(self._kinds.items())),
            with_expert=self._counts["with_expert"],
            with_thoughts=self._counts["with_thoughts"],
            thoughts_left_out=self._counts["thoughts_left_out"],
            prompts_stripped=self._counts["prompts_stripped"],
            expert_budget=dict(sorted(self._budget.items())) or None,
            duplicates=self._duplicates.report(),
            tokens=tokens or None,
            solve_fit=self._lengths["solve"].fit(
                self._limits.solve, over=tuple(self._over["solve"])
            ),
            solve_limit=self._limits.solve_by,
            prompt_fit=self._lengths["rephrase"].fit(
                self._limits.prompt, over=tuple(self._over["rephrase"])
            ),
            prompt_limit=self._limits.prompt_by,
            completion_fit=self._lengths["expert"].fit(
                self._limits.completion, further_tokens=1, over=tuple(self._over["expert"])
            ),
            parts=self._parts,
            without_prompt=self._without_prompt,
            expert_verdicts={kind: tally.frozen() for kind, tally in self._tallies.items()},
            not_judged=self._not_judged,
            contamination=tuple(s.report() for s in self._evaluation_sets),
        )
