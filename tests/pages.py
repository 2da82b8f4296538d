"""Commands and files of a documentation page, and a model small enough to run them with."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from rephrase_rl.lab.policies import policy_path

ROOT = Path(__file__).parents[1]


def code_lines(text: str) -> list[str]:
    """Lines of indented and fenced code, continuations joined; a prompt sign is dropped."""
    fenced, found = False, []
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            found.append(line.strip().removeprefix("$ "))
    return re.sub(r"\\\n\s*", " ", "\n".join(found)).splitlines()


def commands_of(text: str, first_word: str = "rephrase-rl") -> list[str]:
    """Command lines of a page that start with a word, comments taken off."""
    lines = (line.split(" #")[0].strip() for line in code_lines(text))
    return [line for line in lines if line.split()[:1] == [first_word]]


def saved_files(text: str, folder: Path) -> None:
    """Write every file that the page asks the reader to save."""
    for name, content in re.findall(r"Save as\s`(\S+)`:\n\n```\w*\n(.*?)```", text, re.DOTALL):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


def tiny_model(folder: Path, context: int = 4096) -> Path:
    """The lab's policy with a context as long as those of language models."""
    shutil.copytree(policy_path("base"), folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["max_position_embeddings"] = context
    path.write_text(json.dumps(config), encoding="utf-8")
    return folder
