"""A judge that misbehaves in its worker process for about every eighth text."""

from __future__ import annotations

import os
import time
import zlib

from rephrase_rl.records import Verdict


def misbehave_at_random(found: str, is_boxed: bool, reference_answer: str) -> Verdict:
    if zlib.crc32(found.encode()) % 8 == 0:
        if os.environ["MISBEHAVE"] == "hang":
            time.sleep(600)
        os._exit(3)
    return Verdict("scored", float(found.rpartition("#")[2].strip() == reference_answer))
