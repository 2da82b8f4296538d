"""Problems from files and Hugging Face data sets, checked row by row.

Nothing is dropped in silence: a source with bad rows gives one error that lists all of them.
Importing the package loads neither torch nor datasets.
"""

from rephrase_rl.data.faults import BadRowsError
from rephrase_rl.data.mappings import ColumnMapping, get_mapping, mapping_names
from rephrase_rl.data.problems import data_fingerprint, load_problems, problems_from_rows
from rephrase_rl.data.sources import read_rows, source_name

__all__ = [
    "BadRowsError",
    "ColumnMapping",
    "data_fingerprint",
    "get_mapping",
    "load_problems",
    "mapping_names",
    "problems_from_rows",
    "read_rows",
    "source_name",
]
