"""What is wrong with a row, and the error that lists every bad row but prints only the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rephrase_rl.errors import DataError

MAX_PRINTED_FAULTS = 50


@dataclass(frozen=True, slots=True)
class RowFault:
    """One thing that is wrong with one row; as text, a sentence with the remedy."""

    row: int
    """Number of the row in its source, from 1."""
    where: str
    """Place inside the row, such as ``column 'question'`` or ``whole line``."""
    found: str
    remedy: str
    about: str = ""
    """Field of the Problem that cannot be made; empty: none in particular."""

    def __str__(self) -> str:
        return f"row {self.row}, {self.where}: {self.found}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that gives no Problem."""

    number: int
    faults: tuple[RowFault, ...]


def grouped(faults: Sequence[RowFault]) -> list[str]:
    """The same sentences, those that differ in nothing but the row joined into one."""
    rows: dict[tuple[str, str, str], list[int]] = {}
    for fault in faults:
        rows.setdefault((fault.where, fault.found, fault.remedy), []).append(fault.row)
    return [
        f"{_rows_text(numbers)}, {where}: {found}; {remedy}"
        for (where, found, remedy), numbers in rows.items()
    ]


def _rows_text(numbers: Sequence[int]) -> str:
    """Row numbers in their order, neighbours as a range: ``rows 1-3, 7``."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    listed = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)
    return f"{'row' if len(numbers) == 1 else 'rows'} {listed}"


class BadRowsError(DataError):
    """Rows cannot be used; ``faults`` has every one, ``str()`` shows the first 50 and counts on."""

    def __str__(self) -> str:
        shown = self.faults[:MAX_PRINTED_FAULTS]
        lines = [self.message, *(f"  - {fault}" for fault in shown)]
        if len(self.faults) > len(shown):
            lines.append(
                f"  ... and {len(self.faults) - len(shown)} more, in the exception's .faults; "
                "`rephrase-rl data check` lists all"
            )
        return "\n".join(lines)


def bad_rows(faults: Sequence[RowFault], source_name: str) -> BadRowsError:
    """Build the error for the faults of one source."""
    return BadRowsError(
        f"{source_name}: found {len(faults)} fault(s) in rows; every row has to be right, since "
        "none is left out in silence. Correct or remove these rows:",
        [str(fault) for fault in faults],
    )


def found_text(value: object) -> str:
    """Describe a value that is not as it should be."""
    if value is None:
        return "nothing"
    if isinstance(value, str) and not value.strip():
        return "empty text"
    shown = repr(value)
    return f"{type(value).__name__} {shown[:60]}{'...' if len(shown) > 60 else ''}"
