"""Everything that the stored results are published as: cards, pictures, and tables in documents.

``make results`` writes it, ``make results-check`` makes it again and compares. Parts of documents
stand between ``<!-- results:NAME -->`` and ``<!-- /results:NAME -->``.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import re
import runpy
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rephrase_rl.runs import atomic
from rephrase_rl.studies import ablation_pages, figures, forgetting
from rephrase_rl.studies.ablation import compare_to_baseline
from rephrase_rl.studies.analysis import (
    Analysis,
    analyse,
    card_json,
    card_lines,
    lost_lines,
    verdict_lines,
)
from rephrase_rl.studies.head_to_head import head_to_head_table
from rephrase_rl.studies.ignition_pages import ignition_table
from rephrase_rl.studies.outcomes import runs_of
from rephrase_rl.studies.pages import (
    by_policy_table,
    claim_effects,
    headline_table,
    overview_table,
)
from rephrase_rl.studies.shipped import shipped_study
from rephrase_rl.studies.store import read_summaries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rephrase_rl.config import StudyConfig
    from rephrase_rl.records import JSON
    from rephrase_rl.studies.outcomes import Run

ROOT = Path(__file__).parents[1]
STUDY = Path("results/claims")
SUMMARIES = STUDY / "runs"
ABLATIONS = Path("results/ablations")
PLUS = {"chain": "plus", "ab": "plus-ab"}
"""Studies of the candidate for a better default, by family."""
PAGES = (
    "README.md",
    "docs/reproduction.md",
    "docs/methods.md",
    "docs/mechanism.md",
    "docs/lora.md",
    "docs/smollm2.md",
    "docs/choosing.md",
)
"""Documents with generated parts."""
HEADLINE = ("mixed", "alien", "good")
"""Condition of the table in ``docs/reproduction.md``: the first in the study's order."""


def main() -> int:
    """Write or compare; 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument(
        "--collect", type=Path, help="folder of studies whose new summaries are taken in first"
    )
    options = parser.parse_args()
    if options.collect:
        for study in (STUDY, ABLATIONS, *(Path("results") / name for name in PLUS.values())):
            _collect(options.collect / study.name / "summaries", ROOT / study / "runs")
    made = texts(ROOT)
    differing = [name for name, text in made.items() if not _same(ROOT / name, text)]
    if options.check:
        for name in differing:
            print(f"{name} is not what the stored results give; run `make results`")
        return 1 if differing else 0
    for name in differing:
        atomic.write_text(ROOT / name, made[name])
        print(f"wrote {name}")
    for name, svg in pictures().items():
        atomic.write_text(ROOT / name, svg)
    return 0


def texts(root: Path) -> dict[str, str]:
    """Every generated text by its path, as it should be."""
    study, summaries, analysis = claims(root)
    blocks = {
        "claims": verdict_lines(analysis, "results/claims/card.md"),
        "claims-in-docs": verdict_lines(analysis, "../results/claims/card.md"),
        "headline": headline(analysis),
        "overview": overview(analysis, "good"),
        "overview-poor": overview(analysis, "poor"),
        "by-policy": by_policy_table({c: analysis.of(c) for c in analysis.tables}),
        "lost": lost_lines(analysis),
        **{f"claim-{claim.number}": claim_effects(rows) for claim, rows in analysis.claims},
        "ignition": ignitions(root),
        "forgetting": forgetting_table(root),
        "ablations": ablations_overview(root),
        "plus": plus_table(root),
        "forgotten-texts": [forgotten_texts(root)],
        "method-table": table_of(root, "method_table"),
        "lora-lab": table_of(root, "lora_lab"),
        "smollm2-study": table_of(root, "smollm2_study", "smollm2/table"),
    }
    made = {
        f"{STUDY}/card.md": "\n".join(card_lines(study, summaries, analysis)) + "\n",
        f"{STUDY}/card.json": json.dumps(card_json(study, summaries, analysis), indent=1) + "\n",
    }
    for name in ("ablations", *PLUS.values()):
        made |= comparison_texts(root, name)
    for name in PAGES:
        made[name] = with_blocks((root / name).read_text(encoding="utf-8"), blocks)
    return made


@functools.cache
def claims(root: Path) -> tuple[StudyConfig, Mapping[str, Mapping[str, JSON]], Analysis]:
    """The study of the claims with its summaries and what they say."""
    study, summaries = shipped_study("claims"), read_summaries([root / SUMMARIES])
    # Holm's correction by statsmodels collects garbage at each call, which with all summaries in
    # memory takes a quarter of the time; what is frozen is not looked through.
    gc.freeze()
    return study, summaries, analyse(study, summaries)


def comparison_texts(root: Path, name: str) -> dict[str, str]:
    """The card of a study of changes to a baseline, by its paths."""
    study, summaries = stored(root, name)
    if not summaries:
        return {}
    compared = compare_to_baseline(study, runs_of(summaries.values()))
    page = ablation_pages.card_lines(study, summaries, compared)
    data = ablation_pages.card_json(study, summaries, compared)
    return {
        f"results/{name}/card.md": "\n".join(page) + "\n",
        f"results/{name}/card.json": json.dumps(data, indent=1) + "\n",
    }


def stored(root: Path, name: str) -> tuple[StudyConfig, Mapping[str, Mapping[str, JSON]]]:
    """A shipped study and its stored summaries."""
    return shipped_study(name), read_summaries([root / "results" / name / "runs"])


def ablations_overview(root: Path) -> list[str]:
    """What every change does in the conditions that have all pairs of seeds."""
    study, summaries = stored(root, "ablations")
    compared = compare_to_baseline(study, runs_of(summaries.values()))
    return ablation_pages.overview_table(study, compared)


def plus_table(root: Path) -> list[str]:
    """The candidate for a better default against RePO, on both families."""
    return head_to_head_table(plus_runs(root))


def ignitions(root: Path) -> list[str]:
    """When own success takes over, in the runs of both studies."""
    studies = [read_summaries([root / folder / "runs"]) for folder in (STUDY, ABLATIONS)]
    last = int(shipped_study("claims").run["trainer"]["max_steps"])
    return ignition_table([row for study in studies for row in study.values()], last)


def forgetting_table(root: Path) -> list[str]:
    """What is forgotten, from the ablations."""
    study, summaries = stored(root, "ablations")
    return forgetting.forgetting_table(study, runs_of(summaries.values()))


def forgotten_texts(root: Path) -> str:
    """What the failures look like."""
    record = json.loads((root / ABLATIONS / "forgotten_texts.json").read_text(encoding="utf-8"))
    sentence: str = runpy.run_path(str(root / "scripts/forgotten_texts.py"))["sentence"](record)
    return sentence


def headline(analysis: Analysis) -> list[str]:
    """Equal prompts in one condition, with what each arm cost."""
    (condition,) = [c for c in analysis.tables if (c.protocol, c.expert, c.rewriter) == HEADLINE]
    return headline_table(analysis.tables[condition])


def overview(analysis: Analysis, rewriter: str) -> list[str]:
    """All arms in the conditions of one kind of starting policy."""
    return overview_table({c: t for c, t in analysis.tables.items() if c.rewriter == rewriter})


def table_of(root: Path, name: str, script: str | None = None) -> list[str]:
    """The table that a script puts into a page, made from its card again."""
    card = json.loads((root / "results" / name / "card.json").read_text(encoding="utf-8"))
    path = root / "scripts" / f"{script or name}.py"
    found: list[str] = runpy.run_path(str(path))["table"](card)
    return found


def with_blocks(page: str, blocks: dict[str, list[str]]) -> str:
    """A document with its generated parts as they should be."""
    for name, lines in blocks.items():
        for start, end in (
            (f"<!-- results:{name} -->", f"<!-- /results:{name} -->"),
            (f"<!-- {name} -->", f"<!-- /{name} -->"),
        ):
            pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
            text = "\n".join([start, *lines, end])
            page = pattern.sub(lambda _, text=text: text, page)
    return page


def pictures() -> dict[str, str]:
    """Pictures by their paths; not compared, since fonts differ between versions of matplotlib."""
    study, summaries, analysis = claims(ROOT)
    drawn = {
        f"{STUDY}/trilemma.svg": figures.trilemma(analysis),
        f"{STUDY}/curves.svg": figures.learning_curves(analysis),
        f"{STUDY}/rates.svg": figures.rates_front(study, summaries),
        "results/plus/trade_off.svg": figures.trade_off(plus_runs(ROOT)),
    }
    return {name: svg for name, svg in drawn.items() if svg is not None}


def plus_runs(root: Path) -> dict[str, tuple[StudyConfig, list[Run]]]:
    """The runs of the candidate and of RePO by family."""
    found = {family: stored(root, name) for family, name in PLUS.items()}
    return {family: (study, runs_of(rows.values())) for family, (study, rows) in found.items()}


def _collect(new: Path, known: Path) -> None:
    for path in sorted(new.glob("*.json")):
        known.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, known / path.name)


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
