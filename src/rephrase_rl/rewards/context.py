"""What a verifier may know beside completion and reference answer, such as a question's options.

Most verifiers compare two texts. One that needs more names the columns it wants; whoever judges
(TRL's reward call, an evaluation, a rewriting run) hands over those that it has. Imported by them;
knows no single verifier.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from rephrase_rl.rewards.checked import checked_verdicts
from rephrase_rl.rewards.protocol import Verifier

if TYPE_CHECKING:
    from rephrase_rl.records import Problem, Verdict

COMPLETION_IDS = "completion_ids"
"""Column of the sampled token ids; TRL hands it to every reward function."""

_FIELDS = ("question", "expert_solution", "problem_id", "task_kind")
"""Columns that a Problem has by itself; any other one is looked for in its metadata."""


@runtime_checkable
class ContextVerifier(Verifier, Protocol):
    """A verifier that asks for further columns; ``verify`` judges without them."""

    @property
    def context_columns(self) -> tuple[str, ...]:
        """Names of the columns that it wants, such as ``options``."""
        ...

    def verify_in_context(
        self,
        completions: Sequence[str],
        reference_answers: Sequence[str],
        context: Mapping[str, Sequence[Any]],
    ) -> list[Verdict]:
        """Like ``verify``, with further columns.

        Args:
            completions: Generated texts.
            reference_answers: The checkable answer of each, same length.
            context: Column name -> one value per completion; a column may be absent, a value None.
        """
        ...


def context_columns_of(verifiers: Iterable[Verifier]) -> tuple[str, ...]:
    """Names of the columns that any of the verifiers wants, each once."""
    wanted = [v.context_columns for v in verifiers if isinstance(v, ContextVerifier)]
    return tuple(dict.fromkeys(name for names in wanted for name in names))


def context_of(
    verifier: Verifier,
    problems: Sequence[Problem],
    known: Mapping[str, Sequence[Any]] | None = None,
) -> dict[str, Sequence[Any]]:
    """The columns that a verifier wants, one value per problem.

    Args:
        verifier: Names the columns.
        problems: The problem of each completion; its fields, else its metadata, give the values.
        known: Columns that problems cannot give, such as ``completion_ids``.
    """
    context: dict[str, Sequence[Any]] = {}
    for name in context_columns_of([verifier]):
        if known is not None and name in known:
            context[name] = known[name]
        elif name in _FIELDS:
            context[name] = [getattr(problem, name) for problem in problems]
        elif name != COMPLETION_IDS:
            context[name] = [problem.metadata.get(name) for problem in problems]
    return context


def verify_in_context(
    verifier: Verifier,
    completions: Sequence[str],
    reference_answers: Sequence[str],
    columns: Mapping[str, Sequence[Any]],
) -> list[Verdict]:
    """Judge with any verifier; one that wants columns gets those of ``columns`` that it names.

    Raises:
        VerifierError: It did not return one verdict per completion.
    """

    def judge() -> list[Verdict]:
        if not isinstance(verifier, ContextVerifier):
            return verifier.verify(completions, reference_answers)
        wanted = {name: columns[name] for name in verifier.context_columns if name in columns}
        return verifier.verify_in_context(completions, reference_answers, wanted)

    return checked_verdicts(verifier.name, len(completions), judge)
