"""Every command of README, docs and recipes runs, in the order of its page, shortened by ``--set``.

One workspace holds what the pages take for granted: recipes, a model of the reader's own (here a
tiny one), data files. A command that stands on several pages runs once. ``NOT_RUN`` says which
cannot run here, and what runs them instead.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from pages import ROOT, commands_of, saved_files, tiny_model
from rephrase_rl.cli.main import main

pytestmark = pytest.mark.integration

PAGES = (
    "README.md",
    "recipes/README.md",
    "docs/quickstart.md",
    "docs/tutorials/own-data.md",
    "docs/tutorials/choose-a-method.md",
    "docs/tutorials/read-the-report.md",
    "docs/tutorials/write-a-gate.md",
    "docs/tutorials/own-method.md",
    "docs/tutorials/add-a-verifier.md",
    "docs/tutorials/cpu-gpu-cluster.md",
    "docs/tutorials/7b-8-gpus.md",
    "docs/cards.md",
    "docs/choosing.md",
    "docs/compare.md",
    "docs/data.md",
    "docs/evaluation.md",
    "docs/experts.md",
    "docs/hard-subsets.md",
    "docs/how-to.md",
    "docs/lab.md",
    "docs/lora.md",
    "docs/methods.md",
    "docs/plan.md",
    "docs/reliability.md",
    "docs/report.md",
    "docs/rewrites-gallery.md",
    "docs/rewrites.md",
    "docs/scaling.md",
)
"""Pages with commands; all of them, which a test compares."""

NOT_RUN = {
    r"data check \.\./shared/": "files that are not part of the repository; "
    "scripts/data_check_docs.py runs these and writes what they print",
    r"--teacher https://": "an endpoint; tests/cli/test_cli_experts.py asks a local one",
    r"experts experts\.yaml": "the same",
    r"rephrase MODEL DATA": "MODEL and DATA stand for the reader's own",
    r"train recipes/gsm8k_smollm2_repo\.yaml$": "hub ids of model and data",
    r"^eval (?:RUN|MODEL)": "RUN and MODEL are the reader's own; test_benchmarks.py of assembly "
    "reads every declared benchmark, test_evaluating.py evaluates",
    r"Qwen/Qwen2\.5-7B|(?:all|hard)\.yaml|runs/hard": "a hub id and GPUs; "
    "test_docs_tutorials.py goes through the page with a tiny model",
    r"RECIPE|runs/NAME": "these stand for one of the recipes",
    r"recipes/(?:lora/)?(?:openr1|supergpqa|finance)": "hub ids, GPUs; tests/recipes does dry runs",
    r"(?:recipes|runs)/smollm2": "weights and word problems; tests/recipes/test_smollm2_study.py "
    "goes through it with a tiny model",
    r"^eval (?:RUN|MODEL) ": "the reader's own; tests/cli/test_cli_eval.py",
    r"^report RUN$": "RUN stands for the reader's own; the demo's pages report theirs",
    r"^compare runs/": "runs of the reader's own; tests/cli/test_cli_looking.py compares some",
    r"^study (?:claims|ablations)": "hours; tests/studies runs one with a fake machine",
    r"^train .*--resume": "tests/cli/test_cli_train.py and make resume-check",
}
"""Pattern of a command -> why it is not run here, and what runs it."""

ONE_STEP = ["trainer.max_steps=1", "trainer.max_completion_length=12"]
MIXTURE = [*ONE_STEP, "trainer.per_device_train_batch_size=32", "evaluation.before=false",
           *(f"data.{name}.evaluate.limit=2" for name in ("hard", "easy", "general"))]  # fmt: skip
TINY = ["model.path=models/SmolLM2-135M-Instruct"]
SHORT = (
    (r"train recipes/lab_mixture.*method=sft", [*MIXTURE, "trainer.max_completion_length=48"]),
    (r"train recipes/lab_mixture", MIXTURE),
    (r"train recipes/lora/lab", [*ONE_STEP, "trainer.per_device_train_batch_size=16",
                                 "evaluation.before=false",
                                 *(f"evaluation.benchmarks.{n}.data.limit=2" for n in range(3))]),
    (r"train recipes/gsm8k", [*ONE_STEP, "evaluation.benchmarks.gsm8k-test.data.limit=2",
                              "evaluation.benchmarks.gsm8k-test.max_new_tokens=8"]),
    (r"train mine", [*ONE_STEP, "trainer.gradient_accumulation_steps=1", "evaluation.before=false",
                     "evaluation.benchmarks.0.data.limit=2"]),
    (r"train (?:workshop|days)", [*ONE_STEP, "trainer.gradient_accumulation_steps=1"]),
    (r"train run\.yaml.*method=sft", ["trainer.max_steps=1", "trainer.max_completion_length=48"]),
    (r"train runs?[./]", ONE_STEP),
    (r"train recipe\.yaml", ["trainer.max_steps=1", "trainer.max_completion_length=48"]),
    # Only machines that were measured have a plan as `this` device.
    (r"^plan recipes/gsm8k", [*TINY, "plan.device=h100-sxm", "data.gsm8k.path=gsm8k/train.jsonl"]),
    (r"^plan", [*TINY, "plan.device=h100-sxm"]),
    (r"train patient", ["trainer.max_steps=2"]),
    (r"train ours", ["trainer.max_steps=1", "trainer.per_device_train_batch_size=32",
                     "evaluation.before=false",
                     *(f"data.{n}.evaluate.limit=2" for n in ("hard", "easy", "general"))]),
    (r"^demo", ["trainer.per_device_train_batch_size=16",
                *(f"evaluation.benchmarks.{n}.data.limit=4" for n in range(3))]),
    (r"^rephrase (?:models|runs)", ["trainer.max_completion_length=12"]),
    (r"^rephrase lab", ["data.limit=4"]),
    (r"^mine", ["data.limit=4"]),
    (r"^experts lab", ["data.limit=4"]),
    (r"^eval", ["max_new_tokens=8", "data.limit=2"]),
    (r"data check lab", ["data.0.limit=20"]),
)  # fmt: skip
"""Pattern of a command -> changes that make it short."""
MORE = (
    (r"^demo", ["--steps", "1", "--no-check", "--out", "runs/demo"]),
    (r"^train", ["--overwrite"]),
)
ERRORS = {r"--out stopped -k 4": "found 4, and the part that is there has 8"}
"""Pattern of a command -> part of the error with which the page shows that it ends."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    """A folder in which the pages' commands can run one after the other."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    tiny_model(folder / "models" / "SmolLM2-135M-Instruct")
    rows = [
        {
            "question": f"What is {n} plus 1?",
            "answer": f"{n}+1=<<{n}+1={n + 1}>>{n + 1}\n#### {n + 1}",
        }
        for n in range(8)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    for name in ("gsm8k/train.jsonl", "gsm8k/test.jsonl", "train.jsonl", "test.jsonl"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    run = "method: repo\nmodel: {path: lab:base}\ndata: {path: 'lab:hard', limit: 8}\n"
    run += "trainer: {num_generations: 4, per_device_train_batch_size: 8}\n"
    for name in ("run.yaml", "recipe.yaml"):
        (folder / name).write_text(run, encoding="utf-8")
    for page in PAGES:
        saved_files((ROOT / page).read_text(encoding="utf-8"), folder)
    table = (folder / "workshop.csv").read_text(encoding="utf-8")
    (folder / "workshop_test.csv").write_text(table, encoding="utf-8")
    return folder


DONE: set[str] = set()


def shortened(line: str) -> list[str]:
    """The words of a command with what makes it short."""
    words = shlex.split(line)[1:]
    rest = " ".join(words)
    changes = next((found for pattern, found in SHORT if re.search(pattern, rest)), [])
    more = next((found for pattern, found in MORE if re.search(pattern, rest)), [])
    return [*words, *more, *(word for change in changes for word in ("--set", change))]


LONG = (
    "docs/quickstart.md",
    "docs/tutorials/choose-a-method.md",
    "docs/tutorials/read-the-report.md",
    "docs/report.md",
    "docs/how-to.md",
)


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=pytest.mark.slow) if p in LONG else p for p in PAGES]
)
def test_commands_run_in_the_order_of_the_page(page, workspace, monkeypatch, capsys) -> None:
    monkeypatch.chdir(workspace)
    for line in commands_of((ROOT / page).read_text(encoding="utf-8")):
        rest = " ".join(shlex.split(line)[1:])
        if line in DONE or any(re.search(pattern, rest) for pattern in NOT_RUN):
            continue
        status, said = main(shortened(line)), capsys.readouterr().err
        error = next((text for pattern, text in ERRORS.items() if re.search(pattern, rest)), None)
        assert (status, error is None or error in said) == (2 if error else 0, True), (line, said)
        DONE.add(line)


def test_every_page_with_commands_is_run() -> None:
    there = [
        str(path.relative_to(ROOT))
        for pattern in ("*.md", "docs/**/*.md", "recipes/**/*.md")
        for path in ROOT.glob(pattern)
        if "generated" not in path.parts
        and path.name != "CHANGELOG.md"
        and commands_of(path.read_text(encoding="utf-8"))
    ]
    assert sorted(there) == sorted(PAGES), "add the page to PAGES, and what shortens its commands"


def test_everything_that_is_not_run_stands_in_a_page() -> None:
    lines = [
        " ".join(shlex.split(line)[1:])
        for page in PAGES
        for line in commands_of((ROOT / page).read_text(encoding="utf-8"))
    ]
    for pattern in NOT_RUN:
        assert any(re.search(pattern, line) for line in lines), pattern
