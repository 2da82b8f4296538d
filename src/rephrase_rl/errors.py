"""Every exception that rephrase-rl raises on purpose.

Lives at the bottom of the package and imports nothing from it, so any layer can raise these. Each
class also inherits the standard class that a caller would expect (``ValueError`` for bad input),
so generic handlers keep working. Messages follow one form: what was found, what is required, what
to do.
"""

from __future__ import annotations

from collections.abc import Sequence


class RephraseError(Exception):
    """Root of the exceptions of this package."""


class ConfigError(RephraseError, ValueError):
    """A configuration is not valid; ``faults`` lists every fault found, not only the first."""

    def __init__(self, message: str, faults: Sequence[str] = ()) -> None:
        super().__init__(message, tuple(faults))
        self.message = message
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  - {fault}" for fault in self.faults)])


class DataError(RephraseError, ValueError):
    """Data cannot be used; ``faults`` lists every bad row with number, column and remedy."""

    def __init__(self, message: str, faults: Sequence[str] = ()) -> None:
        super().__init__(message, tuple(faults))
        self.message = message
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  - {fault}" for fault in self.faults)])


class ShapeError(RephraseError, ValueError):
    """A tensor has not the shape or dtype that a core function requires."""

    def __init__(self, name: str, expected: str, found: str) -> None:
        super().__init__(name, expected, found)
        self.name = name
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return f"{self.name}: expected {self.expected}, found {self.found}"


class PromptError(RephraseError, ValueError):
    """A prompt template is unknown or cannot be filled from the problem."""


class VerifierError(RephraseError, RuntimeError):
    """A verifier broke in a way that makes rewards meaningless; the run has to stop."""


class EngineError(RephraseError, RuntimeError):
    """The generation engine cannot do what was asked."""


class TrainingError(RephraseError, RuntimeError):
    """Training cannot go on: nothing more would be learned, or nothing more comes."""


class BlockError(RephraseError, RuntimeError):
    """A block of a user's own does not answer in the form that it has to."""


class ProcessError(RephraseError, RuntimeError):
    """Another process of a run has ended, and this one with it."""


class CheckpointError(RephraseError, RuntimeError):
    """A checkpoint or run directory is missing, damaged or not of the expected form."""


class CompatibilityError(RephraseError, RuntimeError):
    """An upstream library has moved outside the range this version was tested with."""


class EvaluationError(RephraseError, RuntimeError):
    """An evaluation cannot be carried out or its result would be meaningless."""


class EndpointError(RephraseError, RuntimeError):
    """A model behind an endpoint cannot be asked, or a recording does not hold what is asked."""


class BudgetError(EndpointError):
    """The next request to an endpoint could exceed what may be spent."""


class ResourceError(RephraseError, RuntimeError):
    """The machine lacks disk, memory or a permission that a run needs."""


class StoppedError(RephraseError, RuntimeError):
    """A run was asked to stop and did, at the end of a step, with a checkpoint."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message, signal_number)
        self.message = message
        self.signal_number = signal_number

    def __str__(self) -> str:
        return self.message
