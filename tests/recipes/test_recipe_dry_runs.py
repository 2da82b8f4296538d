"""Every recipe from the columns of its sources to prompts and steps, as its page has it."""

from __future__ import annotations

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path

import made_up_rows as made
import pytest
import recipe_scripts

from fakes import ByteTokenizer
from rephrase_rl.assembly import dry_run
from rephrase_rl.assembly.objects import build_judge, load_data
from rephrase_rl.cli.eval import chosen_benchmarks
from rephrase_rl.config import load_config, parse_experts
from rephrase_rl.data.writing import canonical_row, write_parquet

FOLDER = Path(__file__).parents[2] / "recipes"
SMALL = ("trainer.gradient_accumulation_steps=4", "plan.devices=1")
"""A batch of one problem."""


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> str:
    """A tokenizer of bytes and a `config.json` with the recipes' context; there are no weights."""
    folder = tmp_path_factory.mktemp("policy")
    ByteTokenizer().save_pretrained(folder)
    shape = {"model_type": "qwen3", "vocab_size": 261, "max_position_embeddings": 16384}
    (folder / "config.json").write_text(json.dumps(shape))
    return str(folder)


@pytest.fixture
def looked_at(policy):
    """Dry run of a recipe on this policy: what is found, and the first problem's prompts."""

    def look(name: str, *overrides: str):
        changes = [f"model.path={policy}", *SMALL, *overrides]
        found = dry_run(load_config(FOLDER / f"{name}.yaml", changes), shown_rows=1)
        return found, {view.purpose: view.text for view in reversed(found.check.prompts)}

    return look


@pytest.fixture
def mined(tmp_path) -> Path:
    """The file that the page's `mine` command writes, from OpenR1-Math's columns."""
    raw = made.lines(tmp_path / "openr1.jsonl", made.openr1_math())
    changes = [f"data.openr1_hard.path={raw}", "data.openr1_hard.mapping=openr1_math"]
    config = load_config(FOLDER / "openr1_hard_qwen2.5_math_7b_grpo.yaml", changes)
    rows = [
        canonical_row(problem) | {"metadata": {**problem.metadata, "pass_rate": 0.0}}
        for problem in load_data(config.data[0])
    ]
    write_parquet(tmp_path / "hard.parquet", rows)
    return tmp_path / "hard.parquet"


def test_openr1_repo_rewrites_what_follows_the_thoughts(looked_at, mined) -> None:
    found, prompts = looked_at("openr1_hard_qwen2.5_math_7b_repo", f"data.openr1_hard.path={mined}")
    (data,) = found.sets
    assert (data.problems, data.with_expert) == (6, 5)  # one has no correct generation
    assert (data.verifier, data.gate) == ("math", "failed_share")
    assert "Compute the sum of 0 and 0." in prompts["solve"]
    assert "<think>" in prompts["solve"]  # the style asks for thoughts
    assert "Doubling gives \\boxed{0}." in prompts["rephrase"]
    assert "Wait, 0 plus 0" not in prompts["rephrase"]
    assert found.steps == 3 * 6
    assert found.problems_per_step == 1
    assert dict(found.blocks)["source"] == "rephrase"
    assert found.benchmarks == ()  # weights are divided: evaluated afterwards
    assert found.check.report.prompt_fit.limit == 4096


def test_openr1_luffy_takes_k_whole(looked_at, mined) -> None:
    found, prompts = looked_at(
        "openr1_hard_qwen2.5_math_7b_luffy", f"data.openr1_hard.path={mined}"
    )
    assert "Wait, 0 plus 0" in prompts["rephrase"]  # where a look at k would show it
    assert dict(found.blocks)["accept"] == "anything"
    assert found.check.report.thoughts_left_out == 0
    assert found.check.report.completion_fit.limit == 8192


def test_openr1_grpo_opens_no_gate(looked_at, mined) -> None:
    found, _ = looked_at("openr1_hard_qwen2.5_math_7b_grpo", f"data.openr1_hard.path={mined}")
    assert dict(found.blocks)["gate"] == "never"


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("lora", "adapters of rank 32 on all-linear, rate 1e-05"),
        ("qlora", "adapters of rank 16 on all-linear on weights in 4 bits, rate 1e-05"),
    ],
)
def test_openr1_with_adapters(looked_at, mined, name, trained) -> None:
    found, prompts = looked_at(
        f"lora/openr1_hard_qwen2.5_math_7b_{name}", f"data.openr1_hard.path={mined}"
    )
    assert found.trained == trained
    assert dict(found.blocks)["source"] == "rephrase"
    assert "Doubling gives \\boxed{0}." in prompts["rephrase"]
    assert found.problems_per_step == 1


def test_luffys_own_data_and_batch_as_on_the_page(looked_at, tmp_path) -> None:
    raw = made.lines(tmp_path / "luffy.jsonl", made.luffy())
    found, prompts = looked_at(
        "openr1_hard_qwen2.5_math_7b_luffy",
        f"data.openr1_hard.path={raw}",
        "data.openr1_hard.mapping=verl",
        "data.openr1_hard.strip_think=true",
        "data.openr1_hard.limit=null",
        "trainer.gradient_accumulation_steps=4",
        "trainer.steps_per_generation=8",
    )
    assert found.check.report.prompts_stripped == 6
    assert "tags before you give" not in prompts["solve"]
    assert (found.problems_per_step, found.steps) == (1, 3 * 6)  # two steps a batch of two problems
    assert "It is \\boxed{0}." in prompts["rephrase"]


def experts_of(raw: Path, tmp_path: Path) -> Path:
    """What `rephrase-rl experts` writes: canonical rows, thoughts and answer of a teacher."""
    loaded = parse_experts(FOLDER / "supergpqa_experts.yaml", {}, [f"data.0.path={raw}"])
    assert loaded.temperature == loaded.top_p == 1.0
    rows = []
    for problem in load_data(loaded.data[0]):
        text = f"<think>\nLong thoughts.\n</think>\n\nThe answer is ({problem.reference_answer})."
        rows.append(canonical_row(problem) | {"expert_solution": text})
    return made.lines(tmp_path / "experts.jsonl", rows)


@pytest.mark.parametrize("size", ["4b", "8b"])
@pytest.mark.parametrize("method", ["repo", "luffy"])
def test_supergpqa(looked_at, size, method, tmp_path) -> None:
    experts = experts_of(made.lines(tmp_path / "train.jsonl", made.super_gpqa()), tmp_path)
    found, prompts = looked_at(
        f"supergpqa_qwen3_{size}_{method}",
        f"data.supergpqa.path={experts}",
    )
    (data,) = found.sets
    assert (data.problems, data.with_expert, data.verifier) == (6, 6, "choice")
    assert found.check.report.task_kinds == {"choice": 6}
    assert "J. 9 units" in prompts["solve"]
    assert "The answer is (A)." in prompts["rephrase"]
    assert ("Long thoughts." in prompts["rephrase"]) == (method == "luffy")
    assert found.steps == 6


@pytest.mark.parametrize("method", ["repo", "luffy"])
def test_finance_mixture(looked_at, method, tmp_path, monkeypatch) -> None:
    recipe_data = recipe_scripts.load("recipe_data")
    for name, rows in recipe_data.finqa_files(made.finqa()).items():
        made.lines(tmp_path / "data/finqa/train" / name, rows)
    rows = recipe_data.tatqa_files(made.tatqa_raw())["all.jsonl"]
    made.lines(tmp_path / "data/tatqa/train/all.jsonl", rows)
    made.lines(tmp_path / "data/supergpqa/train.jsonl", made.super_gpqa())
    monkeypatch.chdir(tmp_path)  # the recipe's own paths are relative
    found, prompts = looked_at(f"finance_mixture_qwen3_8b_{method}")
    by_name = {each.name: each for each in found.sets}
    assert {n: (s.problems, s.with_expert) for n, s in by_name.items()} == {
        "finqa": (4, 4), "finqa_yes_no": (2, 2), "tatqa": (8, 4), "general": (6, 0),
    }  # fmt: skip
    assert {n: s.verifier for n, s in by_name.items()} == {
        "finqa": "number", "finqa_yes_no": "choice", "tatqa": "judge", "general": "choice",
    }  # fmt: skip
    assert by_name["general"].gate == "never"
    drawn = {name: each.drawn for name, each in by_name.items()}
    assert drawn["finqa"] > drawn["tatqa"] > drawn["general"]
    assert "sales | $ 110 | $ 100" in prompts["solve"]
    assert "results of operations ." in prompts["solve"]
    assert "subtract(110, 100), divide(#0, 100)" in prompts["rephrase"]
    assert "\\boxed{0.1}" in prompts["rephrase"]


def evaluations_of_the_page() -> list[list[str]]:
    """Every `rephrase-rl eval` of recipes/README.md as words."""
    text = (FOLDER / "README.md").read_text().replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"^    rephrase-rl (eval .*)$", text, re.M)]


COLUMNS = {
    "aime25": made.aime(),
    "math500": made.math500(),
    "held_out": made.super_gpqa(),
    "finqa": [row for row in made.finqa() if row["qa"]["exe_ans"] != "yes"],
}


def test_the_page_evaluates_each_of_these() -> None:
    assert len(evaluations_of_the_page()) == len(COLUMNS)


@pytest.mark.parametrize("words", evaluations_of_the_page(), ids=lambda words: words[5])
def test_evaluations_of_the_page_read_the_real_columns(words, tmp_path) -> None:
    after = {
        option: [words[i + 1] for i, word in enumerate(words) if word == option]
        for option in ("--set", "--benchmark", "-k")
    }
    changes = [*after["--set"], *(f"samples_per_problem={k}" for k in after["-k"])]
    (benchmark,) = chosen_benchmarks(after["--benchmark"], None, changes)
    assert ("--engine", "vllm") in pairwise(words)  # others hold no 7B model
    if benchmark.name in ("aime25", "math500"):  # also of the OpenR1 recipes, with their context
        assert benchmark.max_new_tokens <= 16384 - 1024
    rows = COLUMNS[benchmark.name]
    path = made.lines(tmp_path / "rows.jsonl", rows)
    problems = load_data(benchmark.data.model_copy(update={"path": str(path)}))
    assert len(problems) == len(rows)
    verifier = build_judge(benchmark.judge, problems)
    try:
        right = f"\\boxed{{{problems[0].reference_answer}}}"
        assert verifier.verify([right], [problems[0].reference_answer])[0].value == 1.0
    finally:
        verifier.close()
    assert (benchmark.samples_per_problem == 4) == benchmark.name.startswith("aime")
