"""How long the viewer of a run with 2,000 groups takes to open in Chromium, and how large it is.

The run is made up and its records are real: eight rollouts of about 200 tokens to a group, a
quarter of the groups rescued, a quarter with a refused rewrite, log-probs of every accepted token.
Words come from a made-up vocabulary, which compresses less well than mathematics does. A page is
open when its table can be used: wall-clock time from the call to that moment, in a fresh profile.

    python benchmarks/viewer.py                       # also writes results/viewer/, clean tree only
    python benchmarks/viewer.py --groups 200 --opens 2 --out build/viewer
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from measuring import about, figure, one_line, parser_of

from rephrase_rl.records import (
    CandidateRecord,
    GroupRecord,
    MemberRecord,
    StepRecord,
    TokenRecord,
)
from rephrase_rl.runs import RunDirectory, atomic

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

from chromium import chromium

BAR_OPEN_S = 2.0
BAR_SIZE_MB = 10.0
GROUPS_A_STEP = 16
MEMBERS = 8
WORDS_OF = {"question": 45, "expert": 130, "completion": 140}
"""GSM8K has 45 and 100 words (median); a completion of a small model is somewhat longer."""
TOKENS_A_WORD = 1.4
VOCABULARY = 4000
SYLLABLES = [
    "ba",
    "con",
    "der",
    "el",
    "fi",
    "gra",
    "ho",
    "in",
    "ka",
    "lo",
    "men",
    "nu",
    "or",
    "pre",
    "qua",
    "ri",
    "sta",
    "ter",
    "un",
    "ver",
]


def main() -> int:
    """Make the run and its report, open it, print the figures and keep a record."""
    parser = parser_of(__doc__)
    parser.add_argument("--groups", type=int, default=2000)
    parser.add_argument("--opens", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("results/viewer"))
    options = parser.parse_args()
    facts = about("viewer.py")
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder) / "run", options.groups)
        record = {**facts, "settings": {"groups": options.groups, "opens": options.opens}}
        record |= measure(run, options.opens)
    passed = record["open_s"]["high"] <= BAR_OPEN_S and record["index_mb"] <= BAR_SIZE_MB
    text = page(record, passed)
    print(text)
    if facts["git"]["dirty"] and options.out == Path("results/viewer"):
        print("not kept: the tree has changes", file=sys.stderr)
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        atomic.write_text(options.out / "card.json", json.dumps(record, indent=2) + "\n")
        atomic.write_text(options.out / "card.md", text)
    return 0 if passed else 1


def measure(run: RunDirectory, opens: int) -> dict[str, Any]:
    """Write the report, then open it and use it as often as asked."""
    from rephrase_rl.reports import write_report

    started = time.perf_counter()
    paths = write_report(run.path)
    written_s = time.perf_counter() - started
    times: dict[str, list[float]] = {"open_s": [], "filter_s": [], "group_s": [], "search_s": []}
    with chromium() as browser:
        for _ in range(opens):
            for name, seconds in one_visit(browser, paths.index).items():
                times[name].append(seconds)
        version = browser.version
    groups_mb = (run.path / "groups.jsonl").stat().st_size / 1e6
    return {
        "chromium": version,
        "write_report_s": round(written_s, 2),
        "groups_jsonl_mb": round(groups_mb, 2),
        "index_mb": round(paths.index.stat().st_size / 1e6, 2),
        "further_pages": len(paths.parts),
        **{
            name: figure([round(value, 3) for value in values], "s")
            for name, values in times.items()
        },
    }


def one_visit(browser: Any, file: Path) -> dict[str, float]:
    """Seconds until the table can be used, a filter holds, a group shows, texts are searched."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    tab = context.new_page()

    def seconds(act: Callable[[], object], selector: str) -> float:
        started = time.perf_counter()
        act()
        tab.wait_for_selector(selector)
        return time.perf_counter() - started

    found = {
        "open_s": seconds(
            lambda: tab.goto(file.as_uri() + "#groups", wait_until="commit"), "html[data-ready]"
        ),
        "filter_s": seconds(
            lambda: tab.click('.chip[data-show="rescued"]'),
            '.chip[data-show="rescued"][aria-pressed="true"]',
        ),
        "group_s": seconds(
            lambda: tab.click("#table-body tr:nth-child(50) a"), "#group:not([hidden]) .column"
        ),
    }
    tab.goto(file.as_uri() + "#groups?deep=1", wait_until="commit")
    tab.wait_for_selector("html[data-ready]")
    started = time.perf_counter()
    tab.fill("#search", "no text has these words")
    tab.wait_for_selector("#nothing:not([hidden])")  # of the problems; rollouts come after them
    tab.wait_for_selector("#shown:not(:has-text('searching'))")
    found["search_s"] = time.perf_counter() - started
    context.close()
    return found


def make_run(folder: Path, size: int) -> RunDirectory:
    """A run of ``size`` groups, step by step as training writes it."""
    manifest = {"format_version": 1, "command": "viewer.py", "seed": 0, "method": "repo"}
    run = RunDirectory.create(folder, manifest, "method: repo\n")
    groups = list(made_up_groups(size))
    for step in range(-(-size // GROUPS_A_STEP)):
        done = step * GROUPS_A_STEP / size
        metrics = {"reward": 0.3 + 0.5 * done, "loss": 0.01, "gate/open_fraction": 0.5 - 0.3 * done}
        run.append_step(StepRecord(step, metrics))
        run.append_groups(groups[step * GROUPS_A_STEP : (step + 1) * GROUPS_A_STEP])
    run.write_summary({"wall_s": float(size)})
    return run


def made_up_groups(size: int) -> Iterator[GroupRecord]:
    """Groups in turn: closed, rescued, closed, refused; each problem twice."""
    chance = random.Random(0)
    vocabulary = [
        "".join(chance.choices(SYLLABLES, k=chance.randint(1, 4))) for _ in range(VOCABULARY)
    ]
    weights = [1 / (rank + 2.7) for rank in range(VOCABULARY)]  # Zipf and Mandelbrot

    def text(kind: str) -> str:
        words = chance.choices(
            vocabulary, weights, k=round(WORDS_OF[kind] * chance.uniform(0.6, 1.4))
        )
        numbers = (str(chance.randint(2, 999)) for _ in words)
        return " ".join(word if chance.random() < 0.85 else f"{next(numbers)}." for word in words)

    problems = [(text("question"), text("expert")) for _ in range(max(1, size // 2))]
    for index in range(size):
        question, expert = problems[index % len(problems)]
        opened, accepted = index % 2 == 1, index % 4 == 1
        members = [
            member(text("completion"), 0.0 if opened else float(i % 2)) for i in range(MEMBERS)
        ]
        rewrite = text("completion")
        one = candidate(rewrite, accepted, tokens_of(rewrite, chance) if accepted else None)
        yield GroupRecord(
            step=index // GROUPS_A_STEP,
            rank=0,
            problem_id=f"made-up-{index % len(problems)}",
            question=question,
            reference_answer=str(index),
            expert_solution=expert,
            failure_fraction=1.0 if opened else 0.5,
            gate_open=opened,
            gate_reason="open" if opened else "closed",
            members=(member(rewrite, 1.0, "rephrase"), *members[1:])
            if accepted
            else tuple(members),
            candidates=(one,) if opened else (),
            slot=0 if accepted else None,
            replaced=members[0] if accepted else None,
            rescued=accepted,
        )


def member(text: str, reward: float, origin: Any = "rollout") -> MemberRecord:
    """A member of a group."""
    return MemberRecord(text, origin, reward, reward, 2 * reward - 1, 200, True)


def candidate(text: str, accepted: bool, tokens: TokenRecord | None) -> CandidateRecord:
    """A rewrite and the verdict on it."""
    reward, refusals = float(accepted), () if accepted else ("reward_above_replaced",)
    return CandidateRecord(
        *(text, text, "rephrase", reward, reward, 200, 200, True, accepted, refusals, ()),
        logp_on_q=-0.75,
        logp_on_context=-0.125,
        tokens=tokens,
    )


def tokens_of(text: str, chance: random.Random) -> TokenRecord:
    """Tokens of a few letters, most of them likely, a tenth of them not given q alone."""
    pieces = []
    for word in text.split(" "):
        cut = len(word) if chance.random() > TOKENS_A_WORD - 1 else max(1, len(word) // 2)
        pieces += [
            f" {word[:cut]}" if pieces else word[:cut],
            *([word[cut:]] if cut < len(word) else []),
        ]
    on_context = [-abs(chance.gauss(0, 0.2)) for _ in pieces]
    on_q = [
        value - (chance.expovariate(0.5) if chance.random() < 0.1 else 0.0) for value in on_context
    ]
    return TokenRecord(
        tuple(pieces), tuple(round(v, 4) for v in on_q), tuple(round(v, 4) for v in on_context)
    )


def page(record: dict[str, Any], passed: bool) -> str:
    """The card as a page."""
    settings = record["settings"]
    rows = {
        "opens until the table can be used": "open_s",
        "a filter holds": "filter_s",
        "a group shows": "group_s",
        "all texts are searched": "search_s",
    }
    lines = [
        f"| {what} | {one['median']:.2f} s | {one['low']:.2f} to {one['high']:.2f} s |"
        for what, one in ((what, record[name]) for what, name in rows.items())
    ]
    return "\n".join(
        [
            f"# The viewer of a run with {settings['groups']:,} groups",
            "",
            f"`python benchmarks/viewer.py`: {settings['opens']} visits, each in a fresh profile "
            f"of Chromium {record['chromium']}.",
            f"Bars: at most {BAR_OPEN_S:g} s to open and {BAR_SIZE_MB:g} MB: "
            f"{'met' if passed else 'NOT MET'} ({MEMBERS} rollouts to a group, groups.jsonl "
            f"{record['groups_jsonl_mb']:.1f} MB).",
            "",
            "| what | median | range |",
            "|---|---|---|",
            *lines,
            f"| index.html | {record['index_mb']:.2f} MB | "
            f"further pages: {record['further_pages']} |",
            f"| `rephrase-rl report` writes it | {record['write_report_s']:.1f} s | once |",
            "",
            f"{one_line(record)}, started {record['started_at']}.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
