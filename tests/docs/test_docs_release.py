"""What a release consists of beside the code: citation, images, workflows, the files of a build."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import rephrase_rl
from pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"))
IMAGES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def test_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    required = {"cff-version", "message", "title", "authors", "type", "version", "license"}
    assert required <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == rephrase_rl.__version__
    assert citation["license"] == PROJECT["license"]
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= set(paper)
    assert "2602.10819" in str(paper)


def test_the_package_is_typed() -> None:
    assert (ROOT / "src/rephrase_rl/py.typed").is_file()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_the_targets_of_the_makefile(path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] > 0
        targets = job.get("strategy", {}).get("matrix", {}).get("target", [])
        assert set(targets) <= TARGETS
    assert set(re.findall(r"run: make ([a-z][a-z-]*)", text)) <= TARGETS
    # A value that an outsider chooses must not be pasted into a shell.
    assert not re.search(r"run:.*\$\{\{\s*github\.", text)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_step_of_a_workflow_does_one_thing(path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(workflow) >= {"name", True, "jobs"}  # YAML 1.1 reads `on` as true
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step), step
            assert "uses" not in step or re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]), step


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_have_what_their_host_asks_for(path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= set(form)
    ids = [item["id"] for item in form["body"]]
    assert len(ids) == len(set(ids)) > 0
    for item in form["body"]:
        assert item["type"] in ("textarea", "input", "dropdown", "checkboxes")
        assert item["attributes"]["label"]
    for file in re.findall(r"\b(?:docs/\S+|[A-Z]+)\.md", path.read_text(encoding="utf-8")):
        assert (ROOT / file).is_file(), file


def test_the_range_of_trl_is_one_and_the_same() -> None:
    """Declared, accepted when a run starts, and pinned."""
    source = (ROOT / "src/rephrase_rl/trainers/trl/compatibility.py").read_text(encoding="utf-8")
    accepted = dict(re.findall(r'^(LOWEST|BELOW) = "([\d.]+)"', source, re.MULTILINE))
    declared = {r.name: r.specifier for r in map(Requirement, PROJECT["dependencies"])}
    assert declared["trl"] == SpecifierSet(f">={accepted['LOWEST']},<{accepted['BELOW']}")
    pinned = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if re.match(r"(?:trl|transformers)==", line)
    )
    for name, version in pinned.items():
        assert version in declared[name]


def test_lanes_hold_to_the_declared_ranges() -> None:
    text = (ROOT / ".github/workflows/upstream.yml").read_text(encoding="utf-8")
    lanes = yaml.safe_load(text)["jobs"]["versions"]["strategy"]["matrix"]["include"]
    versions = {lane["lane"]: lane["versions"].split() for lane in lanes}
    declared = {r.name: r.specifier for r in map(Requirement, PROJECT["dependencies"])}
    lowest = {r.name: r.specifier for r in map(Requirement, versions["lowest"])}
    assert set(lowest) == {"trl", "transformers"}
    for name, specifier in lowest.items():
        (pinned,) = specifier
        (least,) = (s for s in declared[name] if s.operator == ">=")
        assert pinned.version.startswith(least.version)
        assert pinned.version in declared[name]
    newest = {r.name: r.specifier for r in map(Requirement, versions["newest"])}
    assert newest == {name: declared[name] for name in newest}


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_images_are_built_from_what_is_there(path) -> None:
    """``make lint-docker`` runs hadolint; this holds what it does not know."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0].isalpha()]
    assert steps[0][0] == "FROM"
    assert "configured, not run" in text.lower()
    names = [name for name, _ in steps]
    assert ("USER", "1000") in [tuple(step) for step in steps]
    assert names.index("USER") > max(i for i, name in enumerate(names) if name == "RUN")
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name, rest in steps:
        if name == "COPY":
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in allowed, source
    extras = re.findall(r"\[([a-z,]+)\]|EXTRAS=([a-z,]+)", text)
    for found in ",".join(a or b for a, b in extras).split(","):
        assert found in PROJECT["optional-dependencies"], found


def test_constraints_pin_every_extra_that_is_installed_for_development() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines if "==" in line}
    for extra in ("dev", "docs"):
        for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
            assert re.sub(r"[-_.]+", "-", requirement.name).lower() in pinned, requirement.name


def pins_of(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in pairs}


def test_constraints_with_vllm_hold_to_every_range() -> None:
    """Ours, and the one of vLLM that TRL's own extra asks for."""
    pinned, tested = pins_of("constraints-vllm.txt"), pins_of("constraints.txt")
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras["vllm"], *extras["peft"], *extras["judge"]]
    for requirement in map(Requirement, asked):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert pinned[name] in requirement.specifier, name
    for name in ("torch", "trl", "accelerate", "peft", "datasets", "math-verify"):
        assert pinned[name] == tested[name], name
    (ours,) = map(Requirement, extras["vllm"])
    of_trl = [r for r in map(Requirement, requires("trl")) if r.name == "vllm"]
    assert [r.specifier for r in of_trl] == [SpecifierSet(">=0.22.0,<=0.31.0")]
    for edge in ("0.21.9", "0.22.0", "0.31.0", "0.31.1"):
        assert (edge in ours.specifier) == (edge in of_trl[0].specifier), edge


@pytest.mark.slow
def test_wheel_and_sdist_work_in_a_fresh_environment(tmp_path) -> None:
    words = [sys.executable, str(ROOT / "scripts/dist_check.py"), "--borrow"]
    done = subprocess.run([*words, "--out", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count("commands ran in") == 2
