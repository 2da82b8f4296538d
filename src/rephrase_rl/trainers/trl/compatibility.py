"""The range of TRL versions whose private names this adapter was tested with."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from packaging.version import Version

from rephrase_rl.errors import CompatibilityError

LOWEST = "1.16"
"""First tested version of TRL."""
BELOW = "1.17"
"""First untested one. TRL ships a minor version every few weeks and moves private names in it."""


def check_trl_version(found: str | None = None) -> None:
    """Refuse a TRL outside the tested range before anything private of it is touched.

    Args:
        found: Version to check; None asks the installed package.

    Raises:
        CompatibilityError: TRL is missing or outside [``LOWEST``, ``BELOW``).
    """
    if found is None:
        try:
            found = version("trl")
        except PackageNotFoundError:
            found = "not installed"
    if found == "not installed" or not Version(LOWEST) <= Version(found) < Version(BELOW):
        from rephrase_rl import __version__

        raise CompatibilityError(
            f"found trl {found}; rephrase-rl {__version__} overrides private methods of its "
            f"GRPOTrainer and was tested with trl >={LOWEST},<{BELOW}; install one of those with "
            f"`pip install 'trl>={LOWEST},<{BELOW}'`, or a rephrase-rl made for trl {found}"
        )
