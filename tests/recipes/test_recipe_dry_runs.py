"""Every recipe from the columns of its sources to prompts and steps, as its page has it."""

from __future__ import annotations

import json
from pathlib import Path

import made_up_rows as made
import pytest
import recipe_scripts

from fakes import ByteTokenizer
from rephrase_rl.assembly import dry_run
from rephrase_rl.assembly.objects import load_data
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
def benchmarks(tmp_path) -> list[str]:
    """Overrides that put files of the benchmarks' columns in the place of their hub ids."""
    aime = made.lines(tmp_path / "aime.jsonl", made.aime())
    math500 = made.lines(tmp_path / "math500.jsonl", made.math500())
    files = {"aime24": aime, "aime25": aime, "math500": math500}
    return [f"evaluation.benchmarks.{name}.data.path={path}" for name, path in files.items()]


def of(benchmarks: list[str], *names: str) -> list[str]:
    return [change for change in benchmarks if change.split(".")[2] in names]


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


def test_openr1_repo_rewrites_what_follows_the_thoughts(looked_at, mined, benchmarks) -> None:
    found, prompts = looked_at(
        "openr1_hard_qwen2.5_math_7b_repo", f"data.openr1_hard.path={mined}", *benchmarks
    )
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
    assert [name for name, _, _ in found.benchmarks] == ["aime24", "aime25", "math500"]
    assert {name: k for name, _, k in found.benchmarks}["aime24"] == 4
    assert found.check.report.prompt_fit.limit == 4096


def test_openr1_luffy_takes_k_whole(looked_at, mined, benchmarks) -> None:
    found, prompts = looked_at(
        "openr1_hard_qwen2.5_math_7b_luffy", f"data.openr1_hard.path={mined}", *benchmarks
    )
    assert "Wait, 0 plus 0" in prompts["rephrase"]  # where a look at k would show it
    assert dict(found.blocks)["accept"] == "anything"
    assert found.check.report.thoughts_left_out == 0
    assert found.check.report.completion_fit.limit == 8192


def test_openr1_grpo_opens_no_gate(looked_at, mined, benchmarks) -> None:
    found, _ = looked_at(
        "openr1_hard_qwen2.5_math_7b_grpo", f"data.openr1_hard.path={mined}", *benchmarks
    )
    assert dict(found.blocks)["gate"] == "never"


def test_luffys_own_data_and_batch_as_on_the_page(looked_at, tmp_path, benchmarks) -> None:
    raw = made.lines(tmp_path / "luffy.jsonl", made.luffy())
    found, prompts = looked_at(
        "openr1_hard_qwen2.5_math_7b_luffy",
        f"data.openr1_hard.path={raw}",
        "data.openr1_hard.mapping=verl",
        "data.openr1_hard.strip_think=true",
        "data.openr1_hard.limit=null",
        "trainer.gradient_accumulation_steps=4",
        "trainer.steps_per_generation=8",
        *benchmarks,
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
def test_supergpqa(looked_at, size, method, tmp_path, benchmarks) -> None:
    experts = experts_of(made.lines(tmp_path / "train.jsonl", made.super_gpqa()), tmp_path)
    held_out = made.lines(tmp_path / "held_out.jsonl", made.super_gpqa(4, first=50))
    found, prompts = looked_at(
        f"supergpqa_qwen3_{size}_{method}",
        f"data.supergpqa.path={experts}",
        f"evaluation.benchmarks.supergpqa_held_out.data.path={held_out}",
        *of(benchmarks, "aime25", "math500"),
    )
    (data,) = found.sets
    assert (data.problems, data.with_expert, data.verifier) == (6, 6, "choice")
    assert found.check.report.task_kinds == {"choice": 6}
    assert "J. 9 units" in prompts["solve"]
    assert "The answer is (A)." in prompts["rephrase"]
    assert ("Long thoughts." in prompts["rephrase"]) == (method == "luffy")
    assert found.steps == 6
    assert ("supergpqa_held_out", 4, 1) in found.benchmarks


@pytest.mark.parametrize("method", ["repo", "luffy"])
def test_finance_mixture(looked_at, method, tmp_path, benchmarks, monkeypatch) -> None:
    recipe_data = recipe_scripts.load("recipe_data")
    for name, rows in recipe_data.finqa_files(made.finqa()).items():
        made.lines(tmp_path / "data/finqa/train" / name, rows)
        made.lines(tmp_path / "data/finqa/test" / name, [r | {"id": f"t{r['id']}"} for r in rows])
    for part in ("train", "dev"):
        rows = recipe_data.tatqa_files(made.tatqa_raw())["all.jsonl"]
        made.lines(tmp_path / "data/tatqa" / part / "all.jsonl", rows)
    made.lines(tmp_path / "data/supergpqa/train.jsonl", made.super_gpqa())
    made.lines(tmp_path / "data/supergpqa/held_out.jsonl", made.super_gpqa(2, first=50))
    monkeypatch.chdir(tmp_path)  # the recipe's own paths are relative
    found, prompts = looked_at(f"finance_mixture_qwen3_8b_{method}", *of(benchmarks, "math500"))
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
    assert ("tatqa", 8, 1) in found.benchmarks
