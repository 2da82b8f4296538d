"""Commands of other programs in README, docs and recipes: each is run, or tried without effect.

Those of ``rephrase-rl`` itself are run by ``test_docs_commands_run.py``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from pages import ROOT, commands_of

MAKE = shutil.which("make") or "make"
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "recipes/**/*.md")
    for path in ROOT.glob(pattern)
    if "generated" not in path.parts and path.name != "CHANGELOG.md"
)
PROGRAMS = (
    *("make", "pip", "pre-commit", "git", "docker", "hadolint", "iconv", "tensorboard"),
    *("python", "python3", ".venv-next/bin/pip", ".venv-next/bin/python"),
    *("torchrun", "accelerate", "deepspeed", "ray", "sbatch", "vllm", "trl", "hf"),
)
OF_SHELLS = ("for", "done", "wait", "mkdir", "split", "cp")
"""In the loop of docs/tutorials/7b-8-gpus.md, which test_docs_tutorials.py runs; ``cp`` of
choosing.md stands between commands that test_docs_commands_run.py runs."""
COVERED = {
    r"^make ": "test_make_says_what_it_would_do; quickstart's `rephrase-rl demo` is `make demo`",
    r"^torchrun ": "test_the_command_for_two_processes_runs",
    r"^pip install (?:-c constraints-vllm\.txt )?'\.\[\w+\]'$": "test_extras_of_the_pages_are_"
    "declared; tests/docs/test_docs_release.py holds the file",
    r"^python3 -m venv |^\.venv-next/bin/": "test_docs_release.py holds the lanes of "
    ".github/workflows/upstream.yml, which run the same, to the declared ranges",
    r"^python -m rephrase_rl\.lab\.": "tests/lab/test_pretrain.py",
    r"^python scripts/recipe_data\.py ": "tests/recipes/test_recipe_data.py",
    r"^python scripts/rewrites_gallery\.py ": "tests/recipes/test_rewrites_gallery.py",
    r"^python scripts/smollm2/problems\.py ": "tests/recipes/test_smollm2_study.py",
    r"^python scripts/report_screenshots\.py ": "test_options_of_scripts_are_known; a browser",
    r"^python scripts/errors_page\.py": "test_docs_errors.py",
    r"^accelerate launch ": "GPUs or several machines, configured and not run; "
    "test_the_launcher_knows_its_options",
    r"^(?:vllm|trl) ": "GPUs, configured and not run",
    r"^(?:git clone|hf upload) ": "a network",
}
"""Pattern of a command -> what runs it, or why nothing does."""


def lines_of(*programs: str) -> list[str]:
    return sorted(
        {
            line
            for page in PAGES
            for program in programs
            for line in commands_of(page.read_text(encoding="utf-8"), program)
        }
    )


def test_every_command_of_another_program_is_accounted_for() -> None:
    lines = lines_of(*PROGRAMS)
    assert [line for line in lines if not any(re.search(p, line) for p in COVERED)] == []
    for pattern, told in COVERED.items():
        assert any(re.search(pattern, line) for line in lines) or "errors_page" in pattern, pattern
        for file in re.findall(r"tests/[\w/]+\.py", told):
            assert (ROOT / file).is_file(), file


def test_no_program_is_overlooked() -> None:
    """Lines of shell blocks begin with a program that is known here."""
    known = {*PROGRAMS, *OF_SHELLS, "rephrase-rl", "#"}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"```(?:bash|sh|shell|console)\n(.*?)```", text, re.DOTALL):
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                words = line.split()
                assert not words or words[0] in known or "=" in words[0], (page.name, line)


@pytest.mark.parametrize("line", lines_of("make"))
def test_make_says_what_it_would_do(line: str) -> None:
    """``make -n`` reads the target and everything that it needs, and starts nothing."""
    words = shlex.split(line, comments=True)
    done = subprocess.run(
        [MAKE, "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for script in re.findall(r"(?:scripts|benchmarks)/[\w/]+\.py", done.stdout):
        assert (ROOT / script).is_file(), script


def test_extras_of_the_pages_are_declared() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for page in PAGES:
        for found in re.findall(r"'\.\[([\w,-]+)\]'", page.read_text(encoding="utf-8")):
            assert set(found.split(",")) <= set(project["optional-dependencies"]), page
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.search(r"Extras \(.*?\):([^.]*)\.\s", readme)
    assert listed is not None
    assert set(re.findall(r"`(\w+)`", listed[1])) == set(project["optional-dependencies"])


@pytest.mark.parametrize(
    "script", sorted({line.split()[1] for line in lines_of("python") if "scripts/" in line})
)
def test_options_of_scripts_are_known(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / script), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
    for line in lines_of("python"):
        if line.split()[1] == script:
            for option in re.findall(r"(?<= )--[a-z-]+", line):
                assert option in done.stdout, (script, option)


def test_the_launcher_knows_its_options() -> None:
    from accelerate.commands.launch import launch_command_parser

    for line in lines_of("accelerate"):
        words = [re.sub(r"^\$[A-Z]+$", "0", word) for word in shlex.split(line)[2:]]
        parsed = launch_command_parser().parse_args(words)
        assert parsed.module, line
        assert parsed.training_script == "rephrase_rl.cli.main", line


@pytest.mark.slow
@pytest.mark.distributed
def test_the_command_for_two_processes_runs(tmp_path) -> None:
    (line,) = lines_of("torchrun")
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    short = ["trainer.max_steps=1", "trainer.max_completion_length=12", "evaluation.before=false"]
    short += ["trainer.per_device_train_batch_size=16"]
    short += [f"data.{name}.evaluate.limit=2" for name in ("hard", "easy", "general")]
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", *shlex.split(line)[1:]]
    done = subprocess.run(
        [*words, *(part for change in short for part in ("--set", change))],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "runs/lab_mixture/checkpoints/final/model.safetensors").is_file()
