"""A reward function for the rows of some data sets of a mixture, and for no others.

TRL has one column for each reward function and leaves None out, so verifiers of different sets
keep columns, weights and metrics of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import VerifierError
from rephrase_rl.rewards.verifier_reward import VerifierReward

if TYPE_CHECKING:
    from rephrase_rl.rewards.protocol import Verifier


class DatasetReward:
    """Like ``VerifierReward``, for rows whose column ``dataset`` names one of its sets.

    Its verifier is asked once for each batch, about those rows alone; the others get None.
    """

    def __init__(self, verifier: Verifier, datasets: Iterable[str], *, name: str) -> None:
        """Args: the verifier, the names of its sets, and the reward's name in metrics."""
        self.verifier = verifier
        self.datasets = frozenset(datasets)
        self.__name__ = name
        self._judge = VerifierReward(verifier)

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[str | Sequence[Mapping[str, Any]]],
        dataset: Sequence[str] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Score the rows of its sets.

        Args:
            prompts: One per completion.
            completions: As for ``VerifierReward``.
            dataset: The dataset's column, one name per completion.
            **columns: The dataset's other columns, of which the verifier gets its rows, and
                whatever else TRL passes.

        Raises:
            VerifierError: There is no column ``dataset``; or see ``VerifierReward``.
        """
        if dataset is None:
            raise VerifierError(
                f"reward {self.__name__!r} found no column 'dataset'; required: one with the name "
                f"of each row's set, among them {', '.join(sorted(self.datasets))}"
            )
        own = [i for i, name in enumerate(dataset) if name in self.datasets]
        rewards: list[float | None] = [None] * len(completions)
        if not own:
            return rewards

        def rows_of(column: Any) -> Any:
            per_row = isinstance(column, list | tuple) and len(column) == len(completions)
            return [column[i] for i in own] if per_row else column

        judged = self._judge(
            rows_of(prompts),
            rows_of(completions),
            dataset=rows_of(dataset),
            **{name: rows_of(column) for name, column in columns.items()},
        )
        for i, reward in zip(own, judged, strict=True):
            rewards[i] = reward
        return rewards
