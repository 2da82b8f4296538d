r"""What a policy of the study can write: hard, held-out and other problems, and a perplexity.

    python scripts/smollm2/measure.py MODEL --hard mined_test/hard.parquet \
        --held-out held_out.jsonl --choice arc_challenge_test.jsonl --text pubmedqa_pqal.json \
        --out measured.json

Per problem, so that arms can be compared problem by problem and seeds be put together.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rephrase_rl.assembly import evaluate_policy, load_model
from rephrase_rl.assembly.policies import resolve_policy_path
from rephrase_rl.config import ModelConfig, parse_benchmarks
from rephrase_rl.rollout.likelihoods import GivenCompletion, completion_logps
from rephrase_rl.runs import atomic

SAMPLES = {"hard": 4, "held_out": 2, "choice": 1}
"""Completions of each problem at T = 1, and one greedy one for choice questions."""
TEXT_TOKENS = 160
"""Of each text the beginning is scored."""


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="run directory or model folder")
    parser.add_argument("--hard", type=Path, required=True, help="mined problems")
    parser.add_argument("--held-out", type=Path, required=True, help="word problems")
    parser.add_argument("--choice", type=Path, required=True, help="ARC's questions")
    parser.add_argument("--text", type=Path, required=True, help="PubMedQA's abstracts")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=64, help="length limit of a completion")
    parser.add_argument("--limit", type=int, default=60, help="choice questions, and texts")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    found = abilities(options)
    found["text"] = text_nll(options.model, options.text, options.limit)
    found["seconds"] = time.perf_counter() - started
    atomic.write_text(options.out, json.dumps(found, indent=1) + "\n")


def abilities(options: argparse.Namespace) -> dict[str, Any]:
    """Rewards by problem of every benchmark."""
    raw = [
        benchmark("hard", options.hard, "canonical", options.tokens),
        benchmark("held_out", options.held_out, "mwp", options.tokens),
        benchmark("choice", options.choice, "arc", options.tokens)
        | {"limit": options.limit, "temperature": 0.0},
    ]
    results = evaluate_policy(options.model, parse_benchmarks(raw), seed=options.seed)
    found: dict[str, Any] = {}
    for name, result in results.items():
        values: dict[str, list[float | None]] = {}
        for sample in result.samples:
            scored = sample.value if sample.status == "scored" else None
            values.setdefault(sample.problem_id, []).append(scored)
        found[name] = {
            "values": values,
            "truncated_fraction": result.truncated_fraction,
            "tokens": result.generated_tokens,
        }
    return found


def benchmark(name: str, path: Path, mapping: str, tokens: int) -> dict[str, Any]:
    """One benchmark as a configuration has it."""
    return {
        "name": name,
        "data": {"path": str(path), "name": name, "mapping": mapping},
        "samples_per_problem": SAMPLES[name],
        "max_new_tokens": tokens,
    }


def text_nll(model: str, source: Path, limit: int) -> dict[str, Any]:
    """Mean negative log-likelihood a token (nats) of the beginnings of abstracts, one each."""
    policy = load_model(ModelConfig(path=resolve_policy_path(model)))
    texts = abstracts(source, limit)
    rows = [given(policy.tokenizer, text) for text in texts]
    logps = completion_logps(policy.model, rows)
    return {"nll": [-sum(row) / len(row) for row in logps], "tokens": sum(map(len, logps))}


def abstracts(source: Path, limit: int) -> list[str]:
    """The first contexts of PubMedQA, each as one text."""
    entries = json.loads(source.read_text(encoding="utf-8"))
    return [" ".join(entry["CONTEXTS"]) for entry in list(entries.values())[:limit]]


def given(tokenizer: Any, text: str) -> GivenCompletion:
    """A text after its own first token."""
    ids: Sequence[int] = tokenizer.encode(text, add_special_tokens=False)[:TEXT_TOKENS]
    return GivenCompletion(tuple(ids[:1]), tuple(ids[1:]))


if __name__ == "__main__":
    main()
