r"""The pool of verifier workers beside bare math-verify, and what a killed worker costs.

Completions in groups of 8 that share a reference answer, every answer another one, half of them
right in another form. Each round has new numbers (no cache knows them) and runs bare
``math_verify.parse`` and ``verify`` in this process and ``MathVerifier`` with 1 and 2 workers in
turn; ratios are taken round by round. Workers are started and warm.

    python benchmarks/verifiers.py [--groups 8] [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from math_verify import parse, verify
from measuring import Figure, figure, finish, parser_of, seconds_of

from rephrase_rl.rewards.math_verifier import MathVerifier, prepare_math_worker
from rephrase_rl.rewards.worker_pool import KillablePool

GROUP = 8
WORKERS = (1, 2)
KILL_AFTER_S = 0.5


class Case(NamedTuple):
    """A completion with the reference answer of its problem."""

    completion: str
    reference: str


def main() -> None:
    """Time every kind of answer, then killed workers."""
    parser = parser_of(__doc__)
    parser.add_argument("--groups", type=int, default=8, help="groups of a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    figures: dict[str, Figure] = {}
    rng = random.Random(0)
    for kind in KINDS:
        figures |= throughput(kind, options.groups, options.rounds, rng)
    figures |= killed_workers(options.rounds)
    finish("verifiers.py", options, figures, {"kinds": list(KINDS), "workers": WORKERS})


def throughput(kind: str, num_groups: int, rounds: int, rng: random.Random) -> dict[str, Figure]:
    """Completions a second of each arm, and ours over bare, round by round."""
    verifiers = {count: MathVerifier(max_workers=count) for count in WORKERS}
    arms: dict[str, Callable[[Sequence[Case]], float]] = {"bare": judge_bare}
    for count, verifier in verifiers.items():
        arms[f"{count} worker{'s' * (count > 1)}"] = judge_with(verifier)
    rates: dict[str, list[float]] = {arm: [] for arm in arms}
    try:
        for number in range(-1, rounds):
            cases = [case for _ in range(num_groups) for case in KINDS[kind](rng)]
            for arm, judge in arms.items():
                rate = len(cases) / seconds_of(lambda judge=judge, cases=cases: check(judge, cases))
                if number >= 0:  # the first round warms up
                    rates[arm].append(rate)
    finally:
        for verifier in verifiers.values():
            verifier.close()
    figures = {f"{kind}, {arm}": figure(r, "answers/s", "higher") for arm, r in rates.items()}
    for arm in list(arms)[1:]:
        ratios = [ours / bare for ours, bare in zip(rates[arm], rates["bare"], strict=True)]
        figures[f"{kind}, {arm} / bare"] = figure(ratios, "x", "higher")
    return figures


def check(judge: Callable[[Sequence[Case]], float], cases: Sequence[Case]) -> None:
    """Half of the answers are right; a judge that says otherwise is not worth timing."""
    share = judge(cases)
    assert share == 0.5, f"{share:.0%} of the answers were found right, 50 % are"  # noqa: S101  (checks the benchmark)


def judge_bare(cases: Sequence[Case]) -> float:
    """Share found right, as a reward function made of math-verify's two calls finds it."""
    return statistics.fmean(verify(parse(f"${ref}$"), parse(text)) for text, ref in cases)


def judge_with(verifier: MathVerifier) -> Callable[[Sequence[Case]], float]:
    """Share found right by a verifier of ours."""

    def judge(cases: Sequence[Case]) -> float:
        texts, references = zip(*cases, strict=True)
        return statistics.fmean(verdict.reward for verdict in verifier.verify(texts, references))

    return judge


def integers(rng: random.Random) -> list[Case]:
    """Right ones differ by the text around them only."""
    n = rng.randrange(1000, 10**6)
    answers = [f"{n}", f"{n:,}", f" {n}", f"{n} ", *(str(n + i) for i in range(1, 5))]
    return [Case(f"Adding up we get \\boxed{{{answer}}}.", str(n)) for answer in answers]


def fractions(rng: random.Random) -> list[Case]:
    """Right ones are multiples of the reference."""
    a, b = rng.randrange(2, 400), rng.randrange(401, 999)
    tops = [*((k * a, k * b) for k in range(2, 6)), *((a + k, b) for k in range(1, 5))]
    return [
        Case(f"Dividing we get $\\boxed{{\\frac{{{p}}}{{{q}}}}}$.", f"\\frac{{{a}}}{{{b}}}")
        for p, q in tops
    ]


def expressions(rng: random.Random) -> list[Case]:
    """Roots and sums in another order or scaled."""
    a, b, c = rng.randrange(2, 50), 4 * rng.randrange(50, 200) + 2, rng.randrange(51, 99)
    reference = f"\\frac{{{a}+\\sqrt{{{b}}}}}{{{c}}}"
    right = [f"\\frac{{{k * a}+{k}\\sqrt{{{b}}}}}{{{k * c}}}" for k in (2, 3)] + [
        f"\\frac{{\\sqrt{{{b}}}+{a}}}{{{c}}}",
        f"\\frac{{{a}}}{{{c}}}+\\frac{{\\sqrt{{{b}}}}}{{{c}}}",
    ]
    wrong = [f"\\frac{{{a + k}+\\sqrt{{{b}}}}}{{{c}}}" for k in range(1, 5)]
    return [Case(f"So $x = \\boxed{{{answer}}}$.", reference) for answer in right + wrong]


def unboxed(rng: random.Random) -> list[Case]:
    """Integers in a sentence, no box."""
    n = rng.randrange(1000, 10**6)
    words = ("The answer is {}.", "So we get {} in all.", "Hence the total is {}.", "It is {}.")
    return [
        Case(f"Adding up. {line.format(n + wrong)}", str(n)) for wrong in (0, 1) for line in words
    ]


KINDS: dict[str, Callable[[random.Random], list[Case]]] = {
    "plain integers": integers,
    "fractions": fractions,
    "expressions": expressions,
    "no box": unboxed,
}


def killed_workers(rounds: int) -> dict[str, Figure]:
    """A call that hangs: seconds beyond its limit, and until a new worker has answered."""
    pool: KillablePool[None] = KillablePool(
        time.sleep,
        timeout_s=KILL_AFTER_S,
        initializer=prepare_math_worker,
        preload="rephrase_rl.rewards.math_judge",
    )
    kill, again, warm = [], [], []
    try:
        pool.run([(0.0,)])
        for _ in range(rounds):
            warm.append(1e3 * seconds_of(lambda: pool.run([(0.0,)])))
            kill.append(seconds_of(lambda: pool.run([(60.0,)])) - KILL_AFTER_S)
            again.append(seconds_of(lambda: pool.run([(0.0,)])))
    finally:
        pool.close()
    return {
        "round trip of an empty call": figure(warm, "ms"),
        f"hanging call, beyond its {KILL_AFTER_S} s": figure(kill, "s"),
        "next answer after a kill": figure(again, "s"),
    }


if __name__ == "__main__":
    main()
