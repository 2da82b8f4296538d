"""The file of recorded replies: a cache for live runs, the only source of replayed ones.

One JSON object a line with key, request and reply, appended as replies come; a line torn by a
killed process costs that reply alone. Only replies with status ``replied`` are recorded, so that a
later run asks again where an endpoint failed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rephrase_rl.endpoints.messages import ChatReply
from rephrase_rl.errors import CheckpointError, DataError
from rephrase_rl.records import from_json, to_json
from rephrase_rl.runs.jsonl import append_lines, read_lines

if TYPE_CHECKING:
    from rephrase_rl.endpoints.messages import ChatRequest


class Recording:
    """Replies by the key of their request.

    Several processes may append to one file; each sees what was there when it first looked.
    """

    def __init__(self, path: str | Path) -> None:
        """Name the file; it is read at the first look-up and need not be there."""
        self.path = Path(path).expanduser()
        self._replies: dict[str, ChatReply] | None = None

    def get(self, key: str) -> ChatReply | None:
        """The first recorded reply to a request, marked as cached; None if there is none.

        Raises:
            DataError: The file holds something else than recorded replies.
        """
        return self._loaded().get(key)

    def __len__(self) -> int:
        return len(self._loaded())

    def add(self, key: str, model: str, request: ChatRequest, reply: ChatReply) -> None:
        """Append one reply; what is already there stays and counts."""
        replies = self._loaded()
        if reply.status != "replied" or key in replies:
            return
        replies[key] = dataclasses.replace(reply, cached=True)
        plain = to_json(reply)
        del plain["cached"]
        line = {"key": key, "model": model, "request": to_json(request), "reply": plain}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(self.path):
            append_lines(self.path, [line])

    def models(self) -> list[str]:
        """Models whose replies are recorded, for messages."""
        return sorted({str(line.get("model")) for line in self._lines()})

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            for number, line in enumerate(read_lines(self.path), start=1):
                if not isinstance(line, dict):
                    raise DataError(
                        f"{self.path}: line {number} is {type(line).__name__}, required: a "
                        "recorded reply; name another file in `cache`"
                    )
                yield line
        except CheckpointError as error:
            raise DataError(
                f"found damaged recorded replies ({error}); do this: do what that says, or name "
                "another file in `cache`"
            ) from error

    def _loaded(self) -> dict[str, ChatReply]:
        if self._replies is None:
            replies: dict[str, ChatReply] = {}
            for number, line in enumerate(self._lines(), start=1):
                try:
                    reply = from_json(ChatReply, line["reply"])
                    replies.setdefault(line["key"], dataclasses.replace(reply, cached=True))
                except (KeyError, DataError) as error:
                    raise DataError(
                        f"{self.path}: line {number} is no recorded reply "
                        f"({type(error).__name__}: {error}); required: a file that a `cache` "
                        "wrote; name another file in `cache`"
                    ) from error
            self._replies = replies
        return self._replies


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from appending at the same time, where the platform has locks."""
    with path.open("ab") as file:
        with suppress(ImportError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
