"""Wheel and sdist, built and tried as a stranger would: in a fresh environment, elsewhere.

    python scripts/dist_check.py --pip-args="..."

Builds both, looks into them, installs the wheel in a new environment and the sdist in another, and
runs the command line there from an empty folder. ``--borrow`` takes the dependencies of the running
interpreter in place of installing them, which needs no network but for the build tools.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
NEEDED = (
    "rephrase_rl/py.typed",
    "rephrase_rl/cli/demo.yaml",
    "rephrase_rl/lab/policies/base/model.safetensors",
    "rephrase_rl/lab/policies/base/config.json",
    "rephrase_rl/lab/policies/base/tokenizer.json",
)
COMMANDS = (
    "--version",
    "doctor",
    "methods",
    "init lab:base lab:hard --out mine.yaml",
    "config check mine.yaml",
    "train mine.yaml --set trainer.max_steps=1 --set evaluation.before=false "
    "--set evaluation.benchmarks.0.data.limit=2 --set trainer.gradient_accumulation_steps=1",
    "report runs/mine",
    "demo --steps 2 --no-check --out demo --set evaluation.benchmarks.0.data.limit=4 "
    "--set evaluation.benchmarks.1.data.limit=4 --set evaluation.benchmarks.2.data.limit=4",
)


def build(out: Path, pip_args: list[str]) -> tuple[Path, Path]:
    """Build wheel and sdist with tools in an environment of their own."""
    with tempfile.TemporaryDirectory() as folder:
        python = fresh_python(Path(folder))
        run([python, "-m", "pip", "install", "-q", *pip_args, "build"])
        run([python, "-m", "build", "--outdir", str(out), str(ROOT)])
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def look_into(wheel: Path, sdist: Path) -> list[str]:
    """What is missing in the files, or should not be there."""
    with zipfile.ZipFile(wheel) as opened:
        inside = set(opened.namelist())
    faults = [f"{wheel.name} lacks {name}" for name in NEEDED if name not in inside]
    strangers = sorted({n.split("/")[0] for n in inside} - {"rephrase_rl"})
    faults += [f"{wheel.name} holds {n}" for n in strangers if not n.endswith(".dist-info")]
    with tarfile.open(sdist) as opened_tar:
        names = {name.partition("/")[2] for name in opened_tar.getnames()}
    wanted = (
        "README.md",
        "LICENSE",
        "CITATION.cff",
        "pyproject.toml",
        *(f"src/{n}" for n in NEEDED),
    )
    return faults + [f"{sdist.name} lacks {name}" for name in wanted if name not in names]


def fresh_python(folder: Path) -> str:
    """Make an environment; returns its interpreter."""
    venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    return str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")


def try_out(package: Path, pip_args: list[str], borrow: bool) -> None:
    """Install in a fresh environment and run every command from an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        python = fresh_python(Path(folder) / "env")
        install = [python, "-m", "pip", "install", "-q", *pip_args]
        if borrow:
            lend_packages(python)
            run([*install, "--no-deps", str(package)])
        else:
            run([*install, "-c", str(ROOT / "constraints.txt"), str(package)])
        work = Path(folder) / "work"
        work.mkdir()
        where = f"import rephrase_rl, sys; sys.exit({str(ROOT)!r} in rephrase_rl.__file__)"
        run([python, "-c", where], cwd=work)
        command = str(Path(python).with_name("rephrase-rl"))
        for words in COMMANDS:
            run([command, *shlex.split(words)], cwd=work)
        print(f"{package.name}: {len(COMMANDS)} commands ran in {work}")


def lend_packages(python: str) -> None:
    """Put this interpreter's packages behind those of a fresh environment."""
    ask = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    own, theirs = (
        Path(
            subprocess.run(
                [p, "-c", ask], check=True, capture_output=True, text=True
            ).stdout.strip()
        )
        for p in (sys.executable, python)
    )
    # A line that is a path is added to the search path; its own .pth files are not read, so an
    # editable installation of this package there does not count.
    (theirs / "lent.pth").write_text(f"{own}\n", encoding="utf-8")


def run(words: list[str], cwd: Path | None = None) -> None:
    """Run, without anything that would let the checkout be found."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    print("$", shlex.join(words), flush=True)
    subprocess.run(words, check=True, cwd=cwd, env=kept)


def main() -> int:
    """Build, look, try; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pip-args", default="", help="options for every pip command")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "dist", help="folder of both")
    parser.add_argument("--borrow", action="store_true", help="take dependencies from here")
    arguments = parser.parse_args()
    pip_args = shlex.split(arguments.pip_args)
    for old in [*arguments.out.glob("*.whl"), *arguments.out.glob("*.tar.gz")]:
        old.unlink()
    wheel, sdist = build(arguments.out, pip_args)
    faults = look_into(wheel, sdist)
    print("\n".join(faults) or "both hold what they should")
    if faults:
        return 1
    for package in (wheel, sdist):
        try_out(package, pip_args, arguments.borrow)
    return 0


if __name__ == "__main__":
    sys.exit(main())
