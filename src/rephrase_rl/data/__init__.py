"""Problems from files and Hugging Face data sets, checked row by row.

Nothing is dropped in silence: a source with bad rows gives one error that lists all of them.
Importing the package loads neither torch nor datasets.
"""

from rephrase_rl.data.budget import ExpertBudget, fit_expert
from rephrase_rl.data.faults import BadRow, BadRowsError, RowFault
from rephrase_rl.data.mappings import ColumnMapping
from rephrase_rl.data.named_mappings import get_mapping, mapping_names
from rephrase_rl.data.problems import (
    data_fingerprint,
    load_problems,
    problems_from_rows,
    scan_problems,
)
from rephrase_rl.data.sources import read_rows, source_name
from rephrase_rl.data.tables import TableFormat

__all__ = [
    "BadRow",
    "BadRowsError",
    "ColumnMapping",
    "ExpertBudget",
    "RowFault",
    "TableFormat",
    "data_fingerprint",
    "fit_expert",
    "get_mapping",
    "load_problems",
    "mapping_names",
    "problems_from_rows",
    "read_rows",
    "scan_problems",
    "source_name",
]
