"""The study's card: what every arm can do, with intervals, and what it cost.

    python scripts/smollm2/table.py --runs runs/smollm2 --out results/smollm2_study

Only policies that were measured in whole are in it. Intervals of an arm are over problems, with its
seeds put together problem by problem; each seed's own mean is in the card. Arms are compared over
problems, and over seeds and problems where both have several seeds.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rephrase_rl.errors import DataError
from rephrase_rl.runs import atomic
from rephrase_rl.statistics import (
    Interval,
    clustered_mean_interval,
    clustered_share_interval,
    compare_methods,
    holm,
)

SHARES = {"hard": "hard", "held_out": "held out", "arc": "ARC", "ecqa": "ECQA"}
"""Shares of right answers by their names in the card, as the table heads them."""
WRITTEN = "choice"
"""Written answers to ARC: in the card, and not in the table, since hardly any policy gives one."""
WARM = "warm"
FIRST = ("base", WARM)
"""Policies that are no arm: what was started from, and that after the warm-up."""
REPO = "repo"
LAST_STEPS = 10
"""Steps at the end of a run whose rollouts are looked at by themselves."""
TRAINED = ("hard", "held_out")
"""Abilities in which arms are compared with ``repo``."""


def main() -> None:
    """Gather, write, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/smollm2"))
    parser.add_argument("--out", type=Path, default=Path("results/smollm2_study"))
    options = parser.parse_args()
    try:
        record = gathered(options.runs)
    except DataError as nothing:  # hours ran out before there was anything
        print(nothing)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    atomic.write_text(options.out / "card.json", json.dumps(record, indent=1) + "\n")
    atomic.write_text(options.out / "card.md", as_markdown(record))
    print(as_markdown(record))


def gathered(runs: Path) -> dict[str, Any]:
    """Everything that the card says.

    Raises:
        DataError: Nothing was measured yet.
    """
    measured = {
        path.stem: {**read(path), **read(choices)}
        for path in sorted((runs / "measured").glob("*.json"))
        if (choices := runs / "choices" / path.name).is_file()
    }
    if not measured:
        raise DataError(
            f"found no policy measured in both {runs / 'measured'} and {runs / 'choices'}; "
            "required: at least one; do this: run scripts/smollm2/study.py"
        )
    arms: dict[str, list[str]] = {}
    for name in measured:
        arms.setdefault(name if name in FIRST else name.rpartition("-")[0], []).append(name)
    warm = measured.get(WARM)
    manifest = read(runs / "warm_up" / "manifest.json")
    return {
        "command": "make smollm2-study",
        "warm_up": cost(runs / "warm_up"),
        "mined": {name: mined(runs / name) for name in ("mined", "mined_test")},
        "arms": {
            arm: row([measured[name] for name in names], names, runs, warm)
            for arm, names in sorted(arms.items(), key=lambda item: order(item[0]))
        },
        "repo_minus": corrected(
            {
                arm: differences(
                    [measured[one] for one in ones], [measured[name] for name in names]
                )
                for arm, names in sorted(arms.items())
                if arm not in (*FIRST, REPO)
                and (ones := [of_same_seed(name) for name in names])
                and measured.keys() >= set(ones)
            }
        ),
        **{key: manifest[key] for key in ("git", "versions", "hardware", "started_at")},
    }


def of_same_seed(name: str) -> str:
    """The run of ``repo`` that an arm's run is compared with."""
    return f"{REPO}-{name.rpartition('-')[2]}"


def read(path: Path) -> dict[str, Any]:
    """A file with one JSON object."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def order(arm: str) -> tuple[int, str]:
    """Starting points first."""
    return (FIRST.index(arm) if arm in FIRST else len(FIRST), arm)


def row(
    measured: Sequence[dict[str, Any]],
    names: Sequence[str],
    runs: Path,
    warm: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One arm: its figures over seeds, each seed's own, what it gained, and its costs."""
    found: dict[str, Any] = {"seeds": len(names), "costs": []}
    for ability in (*SHARES, WRITTEN):
        joined = of_seeds(measured, ability)
        found[ability] = shown(clustered_share_interval(joined)) | {
            "per_seed": [_mean(one[ability]["values"]) for one in measured]
        }
        if warm is not None and names != [WARM]:
            found[ability]["gain"] = paired(joined, of_seeds([warm], ability))
    texts = list(zip(*(one["text"]["nll"] for one in measured), strict=True))
    interval = clustered_mean_interval([list(text) for text in texts])
    found["perplexity"] = {
        "mean": math.exp(interval.mean),
        "low": math.exp(interval.low),
        "high": math.exp(interval.high),
        "problems": interval.n_clusters,
    }
    found["costs"] = [cost(runs / name) for name in names if (runs / name).is_dir()]
    return found


def corrected(repo_minus: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """The same comparisons, the p-values of each ability corrected by Holm over the arms."""
    for ability in TRAINED:
        tests = [found[ability]["methods"] for found in repo_minus.values()]
        tests = [test for test in tests if test is not None]
        p_values = holm([test["p_value"] for test in tests])
        for test, p_value in zip(tests, p_values, strict=True):
            test["p_holm"] = p_value
    return repo_minus


def of_seeds(measured: Sequence[dict[str, Any]], ability: str) -> list[list[float]]:
    """By problem, the values of all seeds together; NaN where a sample could not be judged."""
    values = [one[ability]["values"] for one in measured]
    return [[_number(value) for each in values for value in each[problem]] for problem in values[0]]


def differences(
    ones: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """How far the first measured policies are above the others, paired problem by problem."""
    return {
        ability: paired(of_seeds(ones, ability), of_seeds(others, ability))
        | {"methods": over_seeds(ones, others, ability)}
        for ability in TRAINED
    }


def over_seeds(
    ones: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]], ability: str
) -> dict[str, Any] | None:
    """The same difference with seeds and problems both varying; None where an arm has one seed."""
    if min(len(ones), len(others)) < 2:
        return None
    tables = (
        [[_known(samples) for samples in of_seeds([one], ability)] for one in arm]
        for arm in (ones, others)
    )
    found = compare_methods(*tables, num_resamples=0)
    return {"low": found.low, "high": found.high, "p_value": found.p_value}


def paired(ones: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Mean difference over problems."""
    pairs = zip(ones, others, strict=True)
    return shown(clustered_mean_interval([[_known(one) - _known(other)] for one, other in pairs]))


def shown(interval: Interval) -> dict[str, Any]:
    """An interval as it stands in the card."""
    return {
        "mean": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "problems": interval.n_clusters,
    }


def cost(run: Path) -> dict[str, Any]:
    """Steps, sampled tokens, seconds and memory of a run, and what became of its rewrites."""
    summary = read(run / "summary.json")
    steps = (run / "steps.jsonl").read_text(encoding="utf-8").splitlines()
    metrics = [json.loads(line)["metrics"] for line in steps]
    return {
        "run": run.name,
        "commit": read(run / "manifest.json")["git"]["commit"],
        "steps": len(steps),
        "generated_tokens": summary["generated_tokens"],
        "wall_s": summary["wall_s"],
        "peak_bytes": peak_bytes(run / "timings.jsonl"),
        "candidates": sum(step.get("injection/candidates") or 0 for step in metrics),
        "accepted": sum(step.get("injection/accepted") or 0 for step in metrics),
        "refusals": refusals(run / "groups.jsonl"),
        "cut_off_at_the_end": cut_off(metrics[-LAST_STEPS:]),
    }


def refusals(groups: Path) -> dict[str, int]:
    """Refused rewrites by the rules that refused them; none where nothing was sampled."""
    lines = groups.read_text(encoding="utf-8").splitlines() if groups.is_file() else []
    refused = (
        " and ".join(candidate["refusals"])
        for line in lines
        for candidate in json.loads(line)["candidates"]
        if not candidate["accepted"]
    )
    return dict(sorted(Counter(refused).items()))


def cut_off(metrics: Sequence[dict[str, Any]]) -> float | None:
    """Mean share of rollouts that ran into the length limit; None where none were sampled."""
    shares = [step.get("completions/clipped_ratio") for step in metrics]
    found = [share for share in shares if share is not None]
    return sum(found) / len(found) if found else None


def peak_bytes(timings: Path) -> float | None:
    """Largest resident memory of a training run; None where the system does not say."""
    lines = timings.read_text(encoding="utf-8").splitlines()
    found = [json.loads(line)["timings"].get("memory/host_peak_bytes") for line in lines]
    return max((peak for peak in found if peak is not None), default=None)


def mined(folder: Path) -> dict[str, Any]:
    """How many problems were asked and are hard."""
    summary = read(folder / "summary.json")
    return {key: summary[key] for key in ("problems", "chosen", "never_passed", "pass_rate")}


def as_markdown(record: dict[str, Any]) -> str:
    """The card as a page."""
    git, pool = record["git"], record["mined"]["mined"]
    lines = [
        "# SmolLM2-135M-Instruct on word problems",
        "",
        f"Made by `{record['command']}`. A demonstration, not a verdict: few steps, few problems,",
        "one small model. Shares of right answers with 95 % intervals over problems, the seeds of",
        "an arm put together; below them the gain over the warm policy, paired problem by problem.",
        "The second table has the other arms in the warm policy's place, of the same seeds: the",
        "interval over problems, which tells of these checkpoints, and below it the one over seeds",
        "and problems, which tells of the methods. Intervals are not corrected for their number; p",
        "is, by Holm over the arms.",
        "ARC-Challenge, ECQA: the option of the highest likelihood per byte (lm-eval's acc_norm).",
        "Perplexity is on abstracts. Nothing was trained on these three.",
        "",
        f"Warm-up: {record['warm_up']['steps']} supervised steps. Mined: {pool['chosen']} of "
        f"{pool['problems']} problems, of which the warm policy never solved "
        f"{pool['never_passed']}.",
        "",
        *table(record),
        "",
        f"Warm-up at commit {git['commit']}{' (with changes)' if git['dirty'] else ''}, started "
        f"{record['started_at']}; arms at {commits(record)}. Hardware "
        f"{json.dumps(record['hardware'])}.",
        "",
        "Versions: " + ", ".join(f"{k} {v}" for k, v in record["versions"].items()) + ".",
        "",
    ]
    return "\n".join(lines)


def commits(record: dict[str, Any]) -> str:
    """Of all runs of arms, each once."""
    costs = [one for figures in record["arms"].values() for one in figures["costs"]]
    return ", ".join(dict.fromkeys(one["commit"] for one in costs)) or "none"


def table(record: dict[str, Any]) -> list[str]:
    """Every policy in a line."""
    head = [
        "policy", "seeds", *SHARES.values(), "perplexity", "accepted", "tokens", "hours", "GB",
    ]  # fmt: skip
    return [
        f"| {' | '.join(head)} |",
        "|" + "---|" * len(head),
        *(table_row(arm, figures) for arm, figures in record["arms"].items()),
        "",
        "| `repo` minus | hard | held out |",
        "|---|---|---|",
        *(
            f"| {arm} | {signed_cell(found['hard'])} | {signed_cell(found['held_out'])} |"
            for arm, found in record["repo_minus"].items()
        ),
    ]


def table_row(arm: str, figures: dict[str, Any]) -> str:
    """One line of the table; what a policy that is no arm did not cost stays empty."""
    cells = [arm, str(figures["seeds"])]
    cells += [share_cell(figures[ability]) for ability in SHARES]
    cells.append(interval_cell(figures["perplexity"], 1))
    costs = figures["costs"] if arm not in FIRST else []
    sampled = any(one["candidates"] for one in costs)

    def total(key: str) -> float:
        return sum(one[key] for one in costs)

    peaks = [one["peak_bytes"] for one in costs if one["peak_bytes"] is not None]
    cells += [
        f"{total('accepted'):.0f} of {total('candidates'):.0f}" if sampled else "",
        f"{total('generated_tokens'):,}" if costs else "",
        f"{total('wall_s') / 3600:.2f}" if costs else "",
        f"{max(peaks) / 1e9:.2f}" if peaks else "",
    ]
    return f"| {' | '.join(cells)} |"


def share_cell(figure: dict[str, Any]) -> str:
    """A share, and below it what was gained since the warm-up."""
    cell = interval_cell(figure, 3)
    if (gained := figure.get("gain")) is None:
        return cell
    return f"{cell}<br>{signed_cell(gained)}"


def signed_cell(figure: dict[str, Any]) -> str:
    """A difference and its interval; over seeds and problems too where it has one."""
    mean, low, high = (f"{figure[key]:+z.3f}" for key in ("mean", "low", "high"))
    cell = f"{mean} [{low}, {high}]"
    if not (methods := figure.get("methods")):
        return cell
    p_value = "" if methods["p_holm"] is None else f", p {methods['p_holm']:.3f}"
    return f"{cell}<br>[{methods['low']:+z.3f}, {methods['high']:+z.3f}]{p_value}"


def interval_cell(figure: dict[str, Any], digits: int) -> str:
    """Mean and interval."""
    mean, low, high = (f"{figure[key]:.{digits}f}" for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _known(values: Sequence[float]) -> float:
    """Mean of what was scored; NaN where nothing was."""
    scored = [value for value in values if not math.isnan(value)]
    return sum(scored) / len(scored) if scored else math.nan


def _mean(values: dict[str, list[float | None]]) -> float:
    means = [
        sum(scored) / len(scored)
        for row in values.values()
        if (scored := [value for value in row if value is not None])
    ]
    return sum(means) / len(means)


if __name__ == "__main__":
    main()
