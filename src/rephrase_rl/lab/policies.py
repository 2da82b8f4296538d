"""Where the shipped policies are."""

from __future__ import annotations

from pathlib import Path

from rephrase_rl.errors import DataError

_FOLDER = Path(__file__).parent / "policies"
_WEIGHTS = "model.safetensors"


def policy_names() -> tuple[str, ...]:
    """Names of the shipped policies."""
    return tuple(sorted(path.parent.name for path in _FOLDER.glob(f"*/{_WEIGHTS}")))


def policy_path(name: str = "base") -> Path:
    """Folder of a shipped policy, in Hugging Face form with its tokenizer.

    Args:
        name: ``base``, or ``poor_rewriter``.

    Returns:
        The folder.

    Raises:
        DataError: No such policy is shipped.
    """
    folder = _FOLDER / name
    if not (folder / _WEIGHTS).is_file():
        raise DataError(
            f"policy {name!r} is not shipped; choose one of {', '.join(policy_names())}, or make "
            "one with `python -m rephrase_rl.lab.pretrain`"
        )
    return folder


def policy_folder(name_or_folder: str | Path) -> Path:
    """Folder of a policy given by the name of a shipped one or by its folder."""
    folder = Path(name_or_folder)
    return folder if (folder / _WEIGHTS).is_file() else policy_path(str(name_or_folder))
