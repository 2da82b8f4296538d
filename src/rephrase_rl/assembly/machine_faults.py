"""What a machine lacks, said in words: disk, permission, memory."""

from __future__ import annotations

import errno
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rephrase_rl.errors import ResourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_ALLOWED = {errno.EROFS, errno.EACCES, errno.EPERM}
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


@contextmanager
def machine_faults(run_path: Path) -> Iterator[None]:
    """Turn what the operating system or the allocator says into an error with a remedy.

    Args:
        run_path: The run that is written.

    Raises:
        ResourceError: In place of such an error; every other one passes.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise ResourceError(
                f"no room left to write {error.filename or run_path} ({error.strerror}); "
                f"{_free(run_path)}. The record is whole up to the last step that was shown: make "
                "room, then go on with --resume"
            ) from error
        if error.errno in _NOT_ALLOWED:
            raise ResourceError(
                f"{error.filename or run_path} may not be written ({error.strerror}); a run needs "
                f"a folder that this user may write: set output_dir to one, or change {run_path}, "
                "then go on with --resume if the run has begun"
            ) from error
        raise
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise ResourceError(
            f"memory ran out ({str(error).splitlines()[0] if str(error) else 'MemoryError'}); the "
            "run resumes from its last checkpoint where there is more memory (--resume), or start "
            "a new one with a smaller trainer.per_device_train_batch_size, steps_per_generation or "
            "max_completion_length: `rephrase-rl plan` says what each needs"
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    return any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def _free(run_path: Path) -> str:
    folder = next(p for p in (run_path, *run_path.absolute().parents) if p.exists())
    return f"{shutil.disk_usage(folder).free / 1e6:,.0f} MB are free under {folder}"
