"""The error that lists every bad row of a data set, and prints only the first of them."""

from __future__ import annotations

from rephrase_rl.errors import DataError

MAX_PRINTED_FAULTS = 50


class BadRowsError(DataError):
    """Rows cannot be used; ``faults`` has every one, ``str()`` shows the first 50 and counts on."""

    def __str__(self) -> str:
        shown = self.faults[:MAX_PRINTED_FAULTS]
        lines = [self.message, *(f"  - {fault}" for fault in shown)]
        if len(self.faults) > len(shown):
            lines.append(
                f"  ... and {len(self.faults) - len(shown)} more, in the exception's .faults"
            )
        return "\n".join(lines)


def bad_rows(faults: list[str], source_name: str) -> BadRowsError:
    """Build the error for the faults of one source."""
    return BadRowsError(
        f"{source_name}: found {len(faults)} fault(s) in rows; every row has to be right, since "
        "none is left out in silence. Correct or remove these rows:",
        faults,
    )
