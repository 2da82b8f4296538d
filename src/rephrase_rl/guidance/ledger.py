"""The hard-sample ledger: for every problem, what its own rollouts did at each visit and when.

Made from group records alone, so training (a gate that looks at history) and reports (from
``groups.jsonl``) hold the same ledger. A visit counts the group's own rollouts, those sampled from
the plain question before anything was injected; an injection therefore acts on later visits only.
Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Self

from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.records import JSON, GroupRecord, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rephrase_rl.runs import RunDirectory


@dataclass(frozen=True, slots=True)
class Visit:
    """One group of a problem."""

    step: int
    """Optimiser step at which the group was generated, from 0."""
    pass_fraction: float
    """Share of the scored own rollouts that passed, before injection; NaN if none was scored."""
    gate_open: bool
    candidates: int
    accepted: int
    injected: bool
    """Whether a candidate was trained on; False if dynamic sampling dropped the group."""

    @property
    def scored(self) -> bool:
        """Whether at least one own rollout could be judged."""
        return not math.isnan(self.pass_fraction)


@dataclass(frozen=True, slots=True)
class UnguidedSolve:
    """The first visit at which a problem that had begun all failed had an own success."""

    step: int
    visits_before: int
    """Scored visits before it, all of them all failed; at least 1."""
    injections_before: int
    """Injections at earlier steps. 0: solved without any guidance on this problem."""


@dataclass(frozen=True, slots=True)
class ProblemHistory:
    """All visits of one problem in order; everything else is told from them."""

    problem_id: str
    visits: tuple[Visit, ...]
    dataset: str = ""
    """Its set in a run with several; empty: there is one."""

    @property
    def scored_visits(self) -> tuple[Visit, ...]:
        """The visits with at least one scored own rollout."""
        return tuple(visit for visit in self.visits if visit.scored)

    @property
    def interventions(self) -> int:
        """Number of groups of this problem into which something was injected."""
        return sum(visit.injected for visit in self.visits)

    @property
    def first_own_success(self) -> int | None:
        """First step with an own rollout that passed; None: there was none."""
        return next((visit.step for visit in self.scored_visits if visit.pass_fraction > 0), None)

    @property
    def initially_all_failed(self) -> bool:
        """Whether every scored rollout of the first scored visit failed."""
        return bool(self.scored_visits) and self.scored_visits[0].pass_fraction == 0

    @property
    def first_unguided_solve(self) -> UnguidedSolve | None:
        """The first own success of a problem that began all failed; None: none, or it did not."""
        if not self.initially_all_failed or self.first_own_success is None:
            return None
        step = self.first_own_success
        return UnguidedSolve(
            step=step,
            visits_before=self.visits_unsolved,
            # Rollouts of one step were sampled from the same weights, before its own injections.
            injections_before=sum(v.injected for v in self.visits if v.step < step),
        )

    @property
    def visits_unsolved(self) -> int:
        """Scored visits before the first own success; all of them if there was none."""
        solved = (i for i, visit in enumerate(self.scored_visits) if visit.pass_fraction > 0)
        return next(solved, len(self.scored_visits))


class Ledger:
    """Histories by problem, in order of first visit; grows by ``observe``."""

    def __init__(self) -> None:
        """Start with no problem."""
        self._visits: dict[str, list[Visit]] = {}
        self._datasets: dict[str, str] = {}
        self._last_step = -1

    def __len__(self) -> int:
        return len(self._visits)

    def __iter__(self) -> Iterator[ProblemHistory]:
        return (self.problem(problem_id) for problem_id in self._visits)

    def __repr__(self) -> str:
        return f"Ledger({len(self)} problems, up to step {self._last_step})"

    @classmethod
    def from_records(cls, records: Iterable[GroupRecord]) -> Self:
        """Make the ledger of a run.

        Args:
            records: Groups in the order of their steps, those of all processes.

        Raises:
            DataError: Steps go backwards.

        Example:
            >>> group = dict(rank=0, question="", reference_answer="", expert_solution=None,
            ...              gate_open=False, gate_reason="closed", members=())
            >>> ledger = Ledger.from_records([
            ...     GroupRecord(step=0, problem_id="a", failure_fraction=1.0, **group),
            ...     GroupRecord(step=1, problem_id="a", failure_fraction=0.75, **group)])
            >>> ledger.history("a"), ledger.problem("a").first_unguided_solve.step
            ((0.0, 0.25), 1)
        """
        ledger = cls()
        ledger.observe(records)
        return ledger

    @classmethod
    def of_run(cls, run: RunDirectory) -> Self:
        """Make the ledger of a run directory.

        Raises:
            ConfigError: The run did not keep all groups.
            DataError: Steps of ``groups.jsonl`` go backwards.
        """
        require_all_groups(run)
        # Texts of members are most of the file and nothing of the ledger.
        light = (row | {"members": [], "replaced": None} for row in run.group_rows())
        return cls.from_records(from_json(GroupRecord, row) for row in light)

    def observe(self, records: Iterable[GroupRecord]) -> None:
        """Enter groups, all of the last step seen or of later ones.

        Raises:
            DataError: A group is of an earlier step; those before it have been entered.
        """
        for record in records:
            if record.step < self._last_step:
                raise DataError(
                    f"ledger: found a group of step {record.step} ({record.problem_id!r}) after "
                    f"step {self._last_step}; steps must not go backwards: enter the groups in "
                    "order, or start a new ledger"
                )
            self._last_step = record.step
            self._visits.setdefault(record.problem_id, []).append(_visit(record))
            self._datasets[record.problem_id] = record.dataset

    def problem(self, problem_id: str) -> ProblemHistory:
        """The history of one problem; without visits if it has not been seen."""
        visits = tuple(self._visits.get(problem_id, ()))
        return ProblemHistory(problem_id, visits, self._datasets.get(problem_id, ""))

    def history(self, problem_id: str) -> tuple[float, ...]:
        """Own pass fractions of a problem, one per visit; NaN where nothing was scored."""
        return tuple(visit.pass_fraction for visit in self._visits.get(problem_id, ()))

    def to_json(self) -> JSON:
        """All histories as plain JSON data, for a checkpoint."""
        return to_json(tuple(self))

    @classmethod
    def from_json(cls, data: JSON) -> Self:
        """Rebuild a ledger from what ``to_json`` gave.

        Raises:
            DataError: The data was written by another version or edited.
        """
        ledger = cls()
        for row in data:
            history = from_json(ProblemHistory, row)
            ledger._visits[history.problem_id] = list(history.visits)
            ledger._datasets[history.problem_id] = history.dataset
            ledger._last_step = max([ledger._last_step, *(v.step for v in history.visits)])
        return ledger


@dataclass(frozen=True, slots=True)
class LedgerSummary:
    """Counts of problems, not of groups: a problem that was visited often counts once."""

    problems: int
    unscored: int
    """Problems none of whose rollouts could ever be judged; in no other count."""
    initially_all_failed: int
    intervened: int
    """Of the initially all-failed problems, those with at least one injection."""
    solved_unguided: int
    """Of them, those whose own rollouts passed at a later visit."""
    solved_without_injection: int
    """Of the solved, those that had had no injection: luck, or learned from other problems."""
    never_solved: int
    """Of the initially all-failed problems, those without an own success so far."""
    not_seen_again: int
    """Of the never solved, those without a second scored visit, which had no chance to be."""
    median_visits_until_solve: float
    """Of the solved only: median of the all-failed visits before; NaN if none was solved."""
    median_injections_until_solve: float
    """Of the solved only: median of the injections before; NaN if none was solved."""
    censored: int
    """Problems that the medians leave out because they are not solved yet: ``never_solved``."""


def summarise(ledger: Iterable[ProblemHistory]) -> LedgerSummary:
    """Count what became of the problems that began all failed.

    An own success is one passing rollout out of G, which a policy that has learned nothing has now
    and then too; how much of it is luck, ``assembly.utilisation`` measures.
    """
    histories = list(ledger)
    hard = [h for h in histories if h.initially_all_failed]
    solves = [solve for h in hard if (solve := h.first_unguided_solve) is not None]
    unsolved = [h for h in hard if h.first_unguided_solve is None]
    return LedgerSummary(
        problems=len(histories),
        unscored=sum(not h.scored_visits for h in histories),
        initially_all_failed=len(hard),
        intervened=sum(h.interventions > 0 for h in hard),
        solved_unguided=len(solves),
        solved_without_injection=sum(solve.injections_before == 0 for solve in solves),
        never_solved=len(unsolved),
        not_seen_again=sum(len(h.scored_visits) == 1 for h in unsolved),
        median_visits_until_solve=_median([solve.visits_before for solve in solves]),
        median_injections_until_solve=_median([solve.injections_before for solve in solves]),
        censored=len(unsolved),
    )


def summarise_datasets(ledger: Iterable[ProblemHistory]) -> dict[str, LedgerSummary]:
    """The same counts for each data set, by name; nothing for a run with a single set."""
    histories: dict[str, list[ProblemHistory]] = {}
    for history in ledger:
        if history.dataset:
            histories.setdefault(history.dataset, []).append(history)
    return {name: summarise(histories[name]) for name in sorted(histories)}


def longest_unsolved(ledger: Ledger, limit: int) -> list[ProblemHistory]:
    """The initially all-failed problems that were visited most often before an own success.

    Returns:
        At most ``limit``; ties in order of first visit, unsolved ones before solved ones.
    """
    hard = [history for history in ledger if history.initially_all_failed]
    hard.sort(key=lambda h: (-h.visits_unsolved, h.first_unguided_solve is not None))
    return hard[:limit]


def require_all_groups(run: RunDirectory) -> None:
    """Refuse a run whose ledger would be wrong.

    Raises:
        ConfigError: The run did not keep all groups. With open gates alone, a first visit and an
            own success at a closed gate would be missing and every count wrong.
    """
    log = run.config.get("log") if isinstance(run.config, Mapping) else None
    kept = log.get("groups", "all") if isinstance(log, Mapping) else "all"
    if kept != "all":
        raise ConfigError(
            f"{run.path}: found log.groups: {kept}; the ledger requires every group of the "
            "run: train with log.groups: all"
        )


def _visit(record: GroupRecord) -> Visit:
    accepted = sum(candidate.accepted for candidate in record.candidates)
    return Visit(
        step=record.step,
        pass_fraction=1.0 - record.failure_fraction,
        gate_open=record.gate_open,
        candidates=len(record.candidates),
        accepted=accepted,
        injected=record.used and accepted > 0,
    )


def _median(values: list[int]) -> float:
    return float(median(values)) if values else math.nan
