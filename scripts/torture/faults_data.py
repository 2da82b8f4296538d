"""Problems without, with empty or enormous experts, repeated, too few, damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from world import GOES_ON, REFUSED, Outcome, fault, lab, refused, train, went_on

from rephrase_rl.lab.problems import easy_problems, hard_problems
from rephrase_rl.runs import RunDirectory

NO_INTERVENTION = "goes on without an intervention, which is counted"


def rows(count: int = 20) -> list[dict[str, Any]]:
    found = [
        *hard_problems(count // 2, split="train", seed=0),
        *easy_problems(count // 2, split="train", seed=0),
    ]
    return [
        {
            "problem_id": f"p{i}",
            "question": p.question,
            "reference_answer": p.reference_answer,
            "expert_solution": p.expert_solution,
            "task_kind": "lab",
        }
        for i, p in enumerate(found)
    ]


def run_on(folder: Path, data: Any, **changes: Any) -> Any:
    file = folder / "train.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    text = data if isinstance(data, bytes) else "".join(json.dumps(r) + "\n" for r in data).encode()
    file.write_bytes(text)
    return train(folder / "run", lab(data={"path": str(file), "limit": None}, **changes))


def with_experts(text: Any, reason: str) -> Callable[[Path], Outcome]:
    """All hard problems but one get this text; the record has to count why nobody intervened."""

    def body(folder: Path) -> Outcome:
        data = rows()
        data[:9] = [row | {"expert_solution": text} for row in data[:9]]
        ran = run_on(folder, data)
        if ran.error is not None:
            return went_on(ran)
        counted = ran.sum_of(f"gate/{reason}_fraction")
        changed = {row["problem_id"] for row in data[:9]}
        groups = [g for g in RunDirectory.open(ran.path).groups() if g.problem_id in changed]
        if not counted or any(group.candidates for group in groups):
            return Outcome(False, f"not counted: {counted} of {len(groups)}")
        return went_on(ran, counted=f"gate/{reason}_fraction {counted:.2f}")

    return body


fault("data", "problems without an expert solution", NO_INTERVENTION)(
    with_experts(None, "no_expert")
)
fault("data", "expert solution of a million characters", NO_INTERVENTION)(
    with_experts("1+2=3;" * 170_000, "over_length")
)


@fault("data", "one problem repeated in every batch", GOES_ON)
def repeated(folder: Path) -> Outcome:
    data = [rows()[0] | {"problem_id": f"copy{i}"} for i in range(20)]
    return went_on(run_on(folder, data), counted="groups of copies are groups of their own")


@fault("data", "fewer problems than a batch holds", REFUSED)
def too_few(folder: Path) -> Outcome:
    return refused(run_on(folder, rows(20)[:1]), "has 1 problems, and a generation batch takes 2")


@fault("data", "G larger than the data", GOES_ON)
def large_groups(folder: Path) -> Outcome:
    ran = run_on(
        folder, rows(20)[:2], trainer={"num_generations": 16, "per_device_train_batch_size": 32}
    )
    return went_on(ran, counted="problems come again")


def broken(make: Callable[[list[dict[str, Any]]], Any], pattern: str) -> Callable[[Path], Outcome]:
    return lambda folder: refused(run_on(folder, make(rows())), pattern)


def encoded(data: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in data).encode()


for _name, _make, _pattern in (
    ("two rows with one id", lambda d: [*d, d[0]], "p0"),
    ("a line cut off in the middle", lambda d: encoded(d)[:-40], "row|line"),
    ("an empty file", lambda d: b"", "no rows|empty"),
    (
        "a column that is missing",
        lambda d: [{k: v for k, v in r.items() if k != "question"} for r in d],
        "question",
    ),
    ("a number where text belongs", lambda d: [r | {"question": 7} for r in d], "question"),
    (
        "no expert solution at all",
        lambda d: [r | {"expert_solution": None} for r in d],
        "none of the 20 problems has an expert solution",
    ),
    (
        "a file that is not UTF-8",
        lambda d: encoded(d) + b'{"question": "\xff\xfe"}\n',
        "UTF-8|utf-8|decode",
    ),
    ("a file that is no JSON", lambda d: b"question,answer\n1,2\n", "row|line|JSON"),
    ("empty questions", lambda d: [r | {"question": ""} for r in d], "column 'question'.*an empty"),
    (
        "half a surrogate in questions",
        lambda d: [r | {"question": r["question"] + "\ud800"} for r in d],
        "column 'question'.*half",
    ),
    (
        "empty expert solutions",
        lambda d: [r | {"expert_solution": ""} for r in d],
        "column 'expert_solution'.*empty text",
    ),
    (
        "expert solutions of white space",
        lambda d: [r | {"expert_solution": " \n"} for r in d],
        "column 'expert_solution'.*empty text",
    ),
    (
        "empty reference answers",
        lambda d: [r | {"reference_answer": ""} for r in d],
        "column 'reference_answer'.*empty text",
    ),
):
    fault("data", _name, REFUSED)(broken(_make, _pattern))


@fault("data", "a file that is not there", REFUSED)
def missing(folder: Path) -> Outcome:
    return refused(train(folder / "run", lab(data={"path": str(folder / "no.jsonl")})), "no")


@fault("data", "control characters and special tokens in questions", GOES_ON)
def odd_characters(folder: Path) -> Outcome:
    odd = "\x00\x1b[31m <|end|> <|user|>"
    ran = run_on(folder, [row | {"question": row["question"] + odd} for row in rows()])
    return went_on(ran, counted="read as text")


@fault("data", "question of 100,000 characters", REFUSED)
def long_question(folder: Path) -> Outcome:
    data = rows()
    data[0]["question"] = "1+" * 50_000 + "1="
    return refused(run_on(folder, data), "longer than the policy's context")
