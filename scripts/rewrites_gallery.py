"""Draw rewrites at random and put them, in full and with reasons, between two marks of a page.

    python scripts/rewrites_gallery.py FOLDER --page docs/rewrites-gallery.md --seed 0

FOLDER is what ``rephrase-rl rephrase`` wrote, or a run directory. Half of the rewrites are accepted
ones, half refused, as far as there are so many. What stands outside the marks stays as it is. Texts
stand in fenced blocks, hidden characters labelled; nothing that a model wrote is markup.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rephrase_rl.errors import DataError
from rephrase_rl.reports.pages import markdown_cell, markdown_fence
from rephrase_rl.runs import atomic
from rephrase_rl.runs.jsonl import read_lines

START, END = "<!-- gallery -->", "<!-- /gallery -->"


@dataclass(frozen=True)
class Shown:
    """One rewrite with its problem."""

    problem: dict[str, Any]
    candidate: dict[str, Any]
    verdict: str
    place: str
    """Where in the source it was found."""


def main() -> None:
    """Draw, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="rewriting job or run directory")
    parser.add_argument("--page", type=Path, required=True, help="page with the two marks")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    page = options.page.read_text(encoding="utf-8")
    # A model may have written a mark: the first start and the last end are the page's own.
    before, start, rest = page.partition(START)
    _, end, after = rest.rpartition(END)
    if not (start and end):
        raise DataError(f"{options.page}: required: {START} and behind it {END}; add them")
    found = list(rewrites_in(options.folder))
    text = gallery(found, options.count, options.seed, options.folder)
    atomic.write_text(options.page, f"{before}{START}\n{text}\n{END}{after}")
    print(f"{options.page}: {min(options.count, len(found))} of {len(found)} rewrites")


def rewrites_in(folder: Path) -> Iterator[Shown]:
    """Every rewrite of a rewriting job, or of the groups of a run.

    Raises:
        DataError: The folder is neither.
    """
    if (folder / "rewrites.jsonl").is_file():
        for problem in read_lines(folder / "rewrites.jsonl"):
            for rewrite in problem.get("rewrites", ()):
                yield Shown(problem, rewrite["candidate"], rewrite["verdict"], "rewritten offline")
    elif (folder / "groups.jsonl").is_file():
        for group in read_lines(folder / "groups.jsonl"):
            for candidate in group["candidates"]:
                correctness = candidate["correctness"]
                verdict = "unscorable" if correctness is None else f"correctness {correctness:g}"
                yield Shown(group, candidate, verdict, f"step {group['step']}")
    else:
        raise DataError(
            f"found neither rewrites.jsonl nor groups.jsonl in {folder}; required: the folder of "
            "`rephrase-rl rephrase` or of a run"
        )


def gallery(found: Sequence[Shown], count: int, seed: int, folder: Path) -> str:
    """The block between the marks.

    Raises:
        DataError: There is no rewrite.
    """
    if not found:
        raise DataError(f"found no rewrite in {folder}; required: at least one")
    accepted = sum(shown.candidate["accepted"] for shown in found)
    chosen = drawn(found, count, seed)
    lines = [
        f"{len(found)} rewrites, {accepted} accepted. {len(chosen)} of them, drawn with seed "
        f"{seed}:",
    ]
    for number, shown in enumerate(chosen, 1):
        lines += ["", *entry(number, shown)]
    return "\n".join(lines)


def drawn(found: Sequence[Shown], count: int, seed: int) -> list[Shown]:
    """Half accepted, half refused, the rest of whichever kind is left; in the source's order."""
    generator = random.Random(f"gallery of rewrites, {seed}")
    places: dict[bool, list[int]] = {True: [], False: []}
    for place, shown in enumerate(found):
        places[bool(shown.candidate["accepted"])].append(place)
    for kind in places.values():
        generator.shuffle(kind)
    half = count // 2
    few = min((True, False), key=lambda kind: len(places[kind]))
    first = places[few][:half]
    chosen = [*first, *places[not few][: count - len(first)]]
    return [found[place] for place in sorted(chosen)]


def entry(number: int, shown: Shown) -> list[str]:
    """One rewrite in full."""
    candidate, problem = shown.candidate, shown.problem
    refusals = ", ".join(candidate["refusals"])
    outcome = "accepted" if candidate["accepted"] else f"refused: {markdown_cell(refusals)}"
    cut = "" if candidate["finished"] else ", cut off at the limit"
    lines = [
        f"### {number}. {outcome}",
        "",
        f"{markdown_cell(problem['problem_id'])}, {shown.place}, {markdown_cell(shown.verdict)}, "
        f"{candidate['num_tokens']} tokens{cut}. Question, with the answer "
        f"{markdown_cell(problem['reference_answer'])}:",
        "",
        markdown_fence(problem["question"]),
        "",
        "Expert:",
        "",
        markdown_fence(problem["expert_solution"] or ""),
        "",
        "Rewrite:",
        "",
        markdown_fence(candidate["text"]),
    ]
    if candidate["removed_meta"]:
        removed = "\n".join(candidate["removed_meta"])
        lines += ["", "Cut as meta text:", "", markdown_fence(removed)]
    return lines


if __name__ == "__main__":
    main()
