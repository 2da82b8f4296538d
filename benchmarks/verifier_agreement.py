r"""Whether the verifiers can be trusted: with right answers, wrong ones, fast ones and evil ones.

Four parts, each with a bar; the exit status is 1 where one is missed:

(a) right answers: the expert's solution, or the gold as a completion would state it, is accepted;
(b) wrong answers: the same completions against golds of other rows that mean something else, by a
    canonical form of their own (``verifier_sets.py``), are refused;
(c) plain numbers are judged many times faster than by math-verify alone, in turn, on one core;
(d) what is made to hang or crash is answered within the limit, and the workers live on.

    python benchmarks/verifier_agreement.py --data DATA [--out results/verifiers] [--limit N]

Writes ``card.json``, ``exceptions.json`` (every row of (a) and (b) that went wrong) and
``card.md``. ``--limit`` takes so many rows of each set: for a look, not for a record.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verifier_hangs import HANGS
from verifier_sets import SETS, Sample, Set

from rephrase_rl.rewards import MathVerifier, Verifier, get_verifier
from rephrase_rl.rewards.context import verify_in_context
from rephrase_rl.rewards.plain_numbers import plain_value
from rephrase_rl.runs import atomic, collect_manifest

if TYPE_CHECKING:
    from rephrase_rl.records import Verdict

AGREEMENT_BAR = 0.995
"""Smallest share of right answers that must be accepted, in every set."""
FALSE_ACCEPT_BAR = 0.001
"""Largest share of wrong answers that may be accepted, in every set."""
SPEED_BAR = 10.0
"""How many times faster than math-verify plain numbers must be judged."""
HANG_LIMIT_S = 2.0
"""Wall-clock limit of the verifier in (d); answers may take a second more."""
CHUNK = 512
"""Completions judged in one call."""
SEED = 20260211


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, print; 0 if every bar is reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the training sets")
    parser.add_argument("--out", type=Path, default=Path("results/verifiers"))
    parser.add_argument("--limit", type=int, default=None, help="rows of each set")
    parser.add_argument("--rounds", type=int, default=3, help="turns of (c)")
    options = parser.parse_args(arguments)
    missing = [one.file for one in SETS if not (options.data / one.file).is_file()]
    if missing:
        print(f"{options.data} lacks {', '.join(missing)}; give the folder with --data")
        return 2
    started = time.perf_counter()
    command = f"make bench-verifiers{'' if options.limit is None else ' (shortened)'}"
    record: dict[str, Any] = {"about": collect_manifest(command, seed=SEED)}
    record["limit"] = options.limit
    exceptions: list[dict[str, Any]] = []
    record["sets"] = [measure_set(one, options.data, options.limit, exceptions) for one in SETS]
    record["speed"] = measure_speed(options.data, options.limit, options.rounds)
    record["hangs"] = measure_hangs()
    record["missed"] = missed_bars(record)
    record["wall_s"] = round(time.perf_counter() - started, 1)
    write(options.out, record, exceptions)
    print(as_markdown(record))
    return 1 if record["missed"] else 0


def measure_set(
    one: Set, data: Path, limit: int | None, exceptions: list[dict[str, Any]]
) -> dict[str, Any]:
    """Parts (a) and (b) for one set."""
    samples = list(islice(one.read(data / one.file), limit))
    more = {"max_workers": 2} if one.verifier == "math" else {}
    verifier = get_verifier(one.verifier, **one.settings, **more)
    started = time.perf_counter()
    right = [(sample, sample) for sample in samples]
    wrong = wrong_pairs(samples, one.wrong_pairs)
    accepted = judge(verifier, right)
    refused = judge(verifier, wrong)
    verifier.close()
    for part, pairs, verdicts, good in (
        ("right refused", right, accepted, 1.0),
        ("wrong accepted", wrong, refused, None),
    ):
        if not one.has_bars:
            continue
        exceptions.extend(
            exception(one.name, part, pair, verdict)
            for pair, verdict in zip(pairs, verdicts, strict=True)
            if (verdict.value != 1.0 if good else verdict.value not in (0.0, None))
        )
    return {
        "set": one.name,
        "verifier": one.verifier,
        "settings": one.settings,
        "has_bars": one.has_bars,
        "rows": len(samples),
        "agreed": sum(verdict.value == 1.0 for verdict in accepted),
        "statuses": dict(Counter(verdict.status for verdict in accepted)),
        "wrong_pairs": len(wrong),
        "false_accepts": sum((verdict.value or 0.0) > 0.0 for verdict in refused),
        "wrong_statuses": dict(Counter(verdict.status for verdict in refused)),
        "counts": verifier.counts if isinstance(verifier, MathVerifier) else {},
        "wall_s": round(time.perf_counter() - started, 1),
    }


def wrong_pairs(samples: Sequence[Sample], each: int) -> list[tuple[Sample, Sample]]:
    """Completions with the question and gold of another row that means something else."""
    chooser = random.Random(SEED)
    pairs = []
    for sample in samples:
        others = (chooser.choice(samples) for _ in range(20 * each))
        pairs += islice(((sample, o) for o in others if sample.is_wrong_for(o)), each)
    return pairs


def judge(verifier: Verifier, pairs: Sequence[tuple[Sample, Sample]]) -> list[Verdict]:
    """Verdicts of completions against the golds (and options) of their partners."""
    verdicts: list[Verdict] = []
    for start in range(0, len(pairs), CHUNK):
        chunk = pairs[start : start + CHUNK]
        verdicts += verify_in_context(
            verifier,
            [sample.completion for sample, _ in chunk],
            [other.gold for _, other in chunk],
            {"options": [other.options for _, other in chunk]},
        )
    return verdicts


def exception(
    name: str, part: str, pair: tuple[Sample, Sample], verdict: Verdict
) -> dict[str, Any]:
    """One row that went wrong, with enough to look it up, and of its text the answer alone."""
    sample, other = pair
    reason = verdict.detail.partition("'")[0].strip() or "accepted"
    return {
        "set": name,
        "part": part,
        "row": sample.row,
        "gold_of_row": other.row,
        "gold": other.gold,
        "answer": (verdict.answer or "")[:200],
        "status": verdict.status,
        "reason": reason if part == "right refused" else "accepted",
        "detail": verdict.detail[:200],
    }


def measure_speed(data: Path, limit: int | None, rounds: int) -> dict[str, Any]:
    """Part (c): GSM8K's boxed answers, by this verifier and by math-verify alone, in turn."""
    from math_verify import parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    (one,) = [one for one in SETS if one.name == "gsm8k/train"]
    samples = list(islice(one.read(data / one.file), limit))
    plain = [s for s in samples if plain_value(s.gold) is not None]
    texts, golds = [s.completion for s in plain], [s.gold for s in plain]
    bare = list(zip(texts, golds, strict=True))[:400]

    def ours() -> float:
        verifier = MathVerifier()  # a new one: nothing is remembered from the turn before
        started = time.perf_counter()
        verdicts = verifier.verify(texts, golds)
        seconds = time.perf_counter() - started
        assert all(verdict.value == 1.0 for verdict in verdicts)  # noqa: S101  (checks the benchmark)
        assert verifier.counts["judged"] == 0  # noqa: S101  (checks the benchmark)
        return len(texts) / seconds

    def theirs() -> float:
        started = time.perf_counter()
        for text, gold in bare:
            assert verify(  # noqa: S101  (checks the benchmark)
                parse(gold, parsing_timeout=None),
                parse(text, parsing_timeout=None),
                timeout_seconds=None,
            )
        return len(bare) / (time.perf_counter() - started)

    ours(), theirs()
    turns = [(ours(), theirs()) for _ in range(rounds)]
    return {
        "answers": len(texts),
        "answers_bare": len(bare),
        "ours_per_s": [round(a) for a, _ in turns],
        "bare_per_s": [round(b) for _, b in turns],
        "ratio": round(statistics.median(a / b for a, b in turns), 1),
    }


def measure_hangs() -> dict[str, Any]:
    """Part (d): each text alone, with a clock; and a plain question after each."""
    cases = []
    with MathVerifier(timeout_s=HANG_LIMIT_S, cache_size=0) as verifier:
        verifier.verify([r"\boxed{\frac{1}{2}}"], ["0.5"])
        for name, (completion, gold) in HANGS.items():
            started = time.perf_counter()
            (verdict,) = verifier.verify([completion], [gold])
            seconds = time.perf_counter() - started
            (after,) = verifier.verify([r"\boxed{\frac{1}{2}}"], ["0.5"])
            cases.append(
                {
                    "case": name,
                    "status": verdict.status,
                    "value": verdict.value,
                    "seconds": round(seconds, 2),
                    "alive": after.value == 1.0,
                }
            )
    return {"limit_s": HANG_LIMIT_S, "cases": cases}


def missed_bars(record: dict[str, Any]) -> list[str]:
    """Every bar that is not reached, in words."""
    missed = []
    for one in (one for one in record["sets"] if one["has_bars"]):
        if one["agreed"] < AGREEMENT_BAR * one["rows"]:
            missed.append(f"{one['set']}: {one['agreed']} of {one['rows']} right answers accepted")
        if one["false_accepts"] > FALSE_ACCEPT_BAR * one["wrong_pairs"]:
            missed.append(
                f"{one['set']}: {one['false_accepts']} of {one['wrong_pairs']} wrong ones accepted"
            )
    if record["speed"]["ratio"] < SPEED_BAR:
        missed.append(f"plain numbers: {record['speed']['ratio']} times math-verify's speed")
    for case in record["hangs"]["cases"]:
        if case["seconds"] > HANG_LIMIT_S + 1.0 or not case["alive"] or case["value"] == 1.0:
            missed.append(f"{case['case']}: {case}")
    return missed


def write(out: Path, record: dict[str, Any], exceptions: list[dict[str, Any]]) -> None:
    """The figures, the exceptions, and the page."""
    out.mkdir(parents=True, exist_ok=True)
    reasons = Counter((e["set"], e["part"], e["status"], e["reason"]) for e in exceptions)
    record["exceptions_by_reason"] = [
        {"set": a, "part": b, "status": c, "reason": d, "rows": count}
        for (a, b, c, d), count in sorted(reasons.items())
    ]
    atomic.write_text(out / "card.json", json.dumps(record, indent=2) + "\n")
    text = json.dumps(exceptions, indent=1, ensure_ascii=False)
    atomic.write_text(out / "exceptions.json", text + "\n")
    atomic.write_text(out / "card.md", as_markdown(record))


def as_markdown(record: dict[str, Any]) -> str:
    """The record as a page."""
    about, speed, hangs = record["about"], record["speed"], record["hangs"]
    slowest = max(hangs["cases"], key=lambda case: case["seconds"])
    lines = [
        "# Verifiers",
        "",
        f"Made by `{about['command']}` in {record['wall_s']:.0f} s.",
        "",
        "| set | verifier | right accepted | share | wrong accepted | share | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in record["sets"]:
        agreed, false = one["agreed"] / one["rows"], one["false_accepts"] / one["wrong_pairs"]
        lines.append(
            f"| {one['set']} | {one['verifier']} | {one['agreed']:,} of {one['rows']:,} "
            f"| {agreed:.2%} | {one['false_accepts']:,} of {one['wrong_pairs']:,} "
            f"| {false:.3%} | {one['wall_s']:.0f} |"
        )
    lines += [
        "",
        f"Plain numbers: {speed['ratio']} times as fast as math-verify alone "
        f"({speed['ours_per_s']} against {speed['bare_per_s']} answers a second, in turn).",
        f"Made to hang: {len(hangs['cases'])} texts, slowest {slowest['seconds']} s "
        f"({slowest['case']}) of {hangs['limit_s']:g} s allowed + 1; "
        f"workers alive after {sum(case['alive'] for case in hangs['cases'])} of them.",
        "",
        "| exception | rows |",
        "|---|---|",
        *(
            f"| {e['set']}, {e['part']}: {e['status']}, {e['reason']} | {e['rows']} |"
            for e in record.get("exceptions_by_reason", ())
        ),
        "",
        f"Bars missed: {'; '.join(record['missed']) or 'none'}.",
        "",
        f"Commit {about['git']['commit']}, {about['hardware']['cpu']}, "
        f"math-verify {about['versions'].get('math-verify')}, started {about['started_at']}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
