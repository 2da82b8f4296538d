"""Whatever comes in, the library answers or raises an error of its own; anything else is a bug.

Configurations, overrides, completions and run directories; files of data have
tests/data/test_readers_fuzz.py. The default budget is small, the slow tier has 2,000 examples each.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rephrase_rl.config import config_hash, dump_config, load_config, parse_config, require_trust
from rephrase_rl.errors import RephraseError
from rephrase_rl.guidance.ledger import Ledger, summarise
from rephrase_rl.guidance.steps.arithmetic import find_steps
from rephrase_rl.methods import resolve_config
from rephrase_rl.prompts.meta_text import remove_meta_text
from rephrase_rl.reports import write_comparison, write_report
from rephrase_rl.reports.ledger import UTILISATION_FACTS as FACTS
from rephrase_rl.reports.pages import markdown_cell, markdown_fence
from rephrase_rl.reports.viewer.embedding import embed_json
from rephrase_rl.runs import RunDirectory
from rephrase_rl.secrecy import secrets_in, without_secrets
from rephrase_rl.visible_text import HIDDEN, plain_text
from reports.synthetic_run import make_run

BUDGET = settings(derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(BUDGET, max_examples=40)
MANY = settings(BUDGET, max_examples=2000)

# ------------------------------------------------------------ configurations

RECIPE = {
    "method": "repo",
    "model": {"path": "lab:base", "dtype": "float32"},
    "data": [{"path": "lab:hard", "name": "hard", "limit": 4, "weight": 1.0}],
    "seed": 1,
    "output_dir": "out",
    "prompts": {"style": "plain", "solve": None},
    "rewards": [{"verifier": "exact", "weight": 1.0, "options": {}}],
    "guidance": {
        "gate": {"kind": "failed_share", "gate_failure_fraction": 1.0},
        "source": {"kind": "rephrase", "max_prompt_tokens": 64},
        "accept": [{"kind": "finished"}],
        "slot": {"kind": "replace_worst"},
        "advantages": {"scale": "group"},
    },
    "trainer": {"learning_rate": 1e-5, "num_generations": 4},
    "compute": {"tokens_per_pass": "auto"},
    "evaluation": {"benchmarks": [{"name": "b", "data": {"path": "lab:hard"}}], "every_steps": 2},
    "log": {"groups": "all"},
    "plan": {"device": "this", "devices": 1},
}
WHOLE = [0, -1, 1, 2**31, 2**32, 2**63, 2**64, 10**400, -(10**400)]
REAL = [0.0, -0.0, 0.5, 1e308, -1e308, 5e-324, float("inf"), float("-inf"), float("nan")]
NUMBERS = st.sampled_from([*WHOLE, *REAL])
TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "\0",
        "\ud800",
        "\u202e",
        "\x1b[2J",
        "../..",
        "/",
        "~",
        "a:b",
        "x.py:f",
        "null",
        "on",
        "1e5",
        "{",
        "sk-abcdefghijklmnop",
        "x" * 300,
        "lab:",
        "lab:none",
        "repo",
        "kind",
    ]
)
SCALARS = st.none() | st.booleans() | NUMBERS | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            TEXTS | st.sampled_from(["kind", "name", "path", "options"]), inner, max_size=3
        )
        | st.dictionaries(SCALARS.filter(lambda key: key == key), inner, max_size=2)
    ),
    max_leaves=8,
)


def places(value, path=()):
    """Paths of everything in plain data."""
    found = [path] if path else []
    if isinstance(value, dict):
        found += [p for key, item in value.items() for p in places(item, (*path, key))]
    elif isinstance(value, list):
        found += [p for i, item in enumerate(value) for p in places(item, (*path, i))]
    return found


def changed(value, path, new):
    """A copy with something else at one place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


RECIPES = st.lists(st.tuples(st.sampled_from(places(RECIPE)), VALUES), min_size=1, max_size=3)


def change_recipe(changes):
    raw = RECIPE
    for path, new in changes:
        with contextlib.suppress(KeyError, IndexError, TypeError):
            raw = changed(raw, path, new)
    return raw


def refusal(call):
    """What the library's own error says, None if there is none; any other error goes through."""
    try:
        call()
    except RephraseError as error:
        return str(error)
    return None


def unsaid(*refusals):
    """Faults of refusals: one that says nothing helps nobody."""
    return [f"refusal {i} says nothing" for i, said in enumerate(refusals) if said is not None
            and not said.strip()]  # fmt: skip


def one_config(changes, overrides):
    """Faults that are seen."""
    raw = change_recipe(changes)
    faults = []

    def use():
        config = parse_config(raw, overrides=overrides)
        if config_hash(config) != config_hash(parse_config(raw, overrides=overrides)):
            faults.append("read again, it has another hash")
        resolved = resolve_config(config)
        if resolve_config(resolved) != resolved:
            faults.append("resolved again, it is another configuration")
        dump_config(resolved).encode("utf-8", "replace")
        faults.extend(unsaid(refusal(lambda: require_trust(resolved, "run"))))

    return unsaid(refusal(use)) + faults


OVERRIDES = st.lists(
    st.builds(
        lambda path, value: f"{path}={value}",
        st.sampled_from([".".join(map(str, path)) for path in places(RECIPE)]) | TEXTS,
        TEXTS | VALUES.map(json.dumps),
    )
    | TEXTS,
    max_size=2,
)
FILES = (
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | RECIPES.map(lambda changes: json.dumps(change_recipe(changes), default=str).encode())
    | st.lists(
        st.sampled_from(
            [
                "a: ",
                "- ",
                "\n",
                "  ",
                "[",
                "]",
                "{",
                "}",
                "&a ",
                "*a",
                "<<: ",
                "!!int ",
                "!!python/x ",
                "!!binary ",
                "? ",
                "|",
                ">",
                "'",
                '"',
                "1e5",
                "0x",
                "0o9",
                "1_0",
                "~",
                "#",
                "---",
                "...",
                "%",
                "\t",
                "é",
                ":",
                ",",
                "\\x",
                "=",
                "1:2",
                "2020-01-01",
                ".inf",
                "!!set ",
                "!!omap ",
                "method: repo",
                '"\\ud800": ',
            ]
        ),
        max_size=30,
    ).map(lambda parts: "".join(parts).encode())
)


def one_file(folder, content):
    """Faults that are seen."""
    file = folder / "c.yaml"
    file.write_bytes(content)
    said, again = refusal(lambda: load_config(file)), refusal(lambda: load_config(file))
    return unsaid(said) + (["read again, another answer"] if said != again else [])


# ------------------------------------------------------------ completions

PIECES = [
    "\\boxed{",
    "}",
    "{",
    "the reference solution ",
    "According to the reference, ",
    "9^9^9",
    "=",
    "+",
    "1e999999999",
    "²",
    "½",
    "1/0",
    "٣",
    "million",
    "%",
    "$",
    "<think>",
    "</think>",
    "\n",
    " ",
    "\x1b[2J",
    "\u202e",
    "\ud800",
    "\0",
    "```",
    "|",
    "<script>",
    "&lt;",
    "![x](h://y)",
    "{{ x }}",
    "Here is the rewritten solution:\n",
    "9" * 5000,
    "-",
    "(",
    ")",
    "Step 1: ",
    "api_key=",
    "the given solution shows ",
    "##",
    "*",
    "_",
]
COMPLETIONS = st.text(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


def one_completion(text, other):
    """Faults that are seen."""
    cleaned, cell = remove_meta_text(text), markdown_cell(text)
    find_steps(text)
    secrets_in({text: other, "x": [text, {other: 1}]})
    shown = (plain_text(text), cell, markdown_fence(text), str(embed_json([text, other])))
    held = {
        "cleaned twice, it is another text": remove_meta_text(cleaned.text).text == cleaned.text,
        "a hidden character is shown": not any(map(HIDDEN.search, shown)),
        "a cell has several lines": "\n" not in cell,
        "a cell holds a picture": "![" not in cell.replace("\\[", ""),
        "a cell holds a tag": "<" not in cell,
        "a secret is left": without_secrets(without_secrets(text)) == without_secrets(text),
    }
    return [fault for fault, well in held.items() if not well]


# ------------------------------------------------------------ run directories


@cache
def run_files():
    with tempfile.TemporaryDirectory() as folder:
        whole = make_run(Path(folder) / "run", num_steps=2)
        interval = {"mean": 0.5, "low": 0.25, "high": 0.75, "n_clusters": 4}
        measured = {name: 2 if name == "step" else interval for name in FACTS}
        measured |= {"num_problems": 4, "num_hard_problems": 4, "samples_per_problem": 2}
        whole.write_evaluation(2, "hard-k2", {"avg_at_k": interval, "utilisation": measured}, [])
        run = whole.path
        return {
            str(path.relative_to(run)): path.read_bytes()
            for path in sorted(run.rglob("*"))
            if path.is_file()
        }


NAMES = [
    "manifest.json",
    "config.yaml",
    "steps.jsonl",
    "timings.jsonl",
    "groups.jsonl",
    "summary.json",
    "evals/0/hard/result.json",
    "evals/2/hard/result.json",
    "evals/2/hard-k2/result.json",
]


@st.composite
def damages(draw):
    """One file of a run, cut off, with other bytes, or with another value at one place."""
    name = draw(st.sampled_from(NAMES))
    content = run_files()[name]
    kind = draw(st.sampled_from(["cut", "bytes", "value", "value", "value", "gone", "replaced"]))
    if kind == "cut":
        return name, content[: draw(st.integers(0, len(content)))]
    if kind == "gone":
        return name, None
    if kind == "replaced":
        return name, draw(st.binary(max_size=40) | VALUES.map(lambda v: json.dumps(v).encode()))
    if kind == "bytes" or not name.endswith((".json", ".jsonl")):
        at = draw(st.integers(0, len(content)))
        return name, content[:at] + draw(st.binary(max_size=4)) + content[at + 1 :]
    lines = content.splitlines() if name.endswith("l") else [content]
    number = draw(st.integers(0, len(lines) - 1))
    value = json.loads(lines[number])
    new = draw(VALUES)
    value = changed(value, draw(st.sampled_from(places(value))), new)
    lines[number] = json.dumps(value).encode()
    return name, b"\n".join(lines) + b"\n"


def one_run(folder, broken):
    """Faults that are seen."""
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    for name, content in {**run_files(), **dict(broken)}.items():
        if content is not None:
            (run / name).parent.mkdir(parents=True, exist_ok=True)
            (run / name).write_bytes(content)
    before = stamps(folder / "whole")
    refusals = [
        refusal(lambda: summarise(Ledger.of_run(RunDirectory.open(run)))),
        refusal(lambda: write_report(run)),
        refusal(lambda: write_comparison([run, folder / "whole"], folder / "comparison")),
        refusal(lambda: RunDirectory.open(run).rewind(1)),
    ]
    touched = [] if stamps(folder / "whole") == before else ["another run was written to"]
    unwritten = refusals[1] is None and not (run / "report" / "index.html").is_file()
    return unsaid(*refusals) + touched + (["no report, and no refusal"] if unwritten else [])


def stamps(run):
    """Of the files of a run that are its record, not made from it."""
    files = (path for path in run.rglob("*") if path.is_file() and "report" not in path.parts)
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz")
    make_run(path / "whole", num_steps=2)
    return path


@pytest.fixture
def without_figures(monkeypatch):
    """Figures take most of a report's time and read nothing but numbers."""
    from rephrase_rl.reports import comparison_files, report
    from rephrase_rl.reports.curves import Figure

    monkeypatch.setattr(report, "draw_run", lambda *_: Figure("", (), ()))
    for name in ("draw_curves", "draw_trilemma"):
        monkeypatch.setattr(comparison_files, name, lambda *_: "")
    monkeypatch.setattr(comparison_files, "draw_panels", lambda *_: [])


DAMAGES = st.lists(damages(), min_size=1, max_size=2)


class NeverRaised(Exception):
    """Stands for the library's errors, so that none of them is passed over."""


def test_what_is_not_damaged_is_not_refused(folder, monkeypatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "RephraseError", NeverRaised)
    assert one_config([], []) == []
    assert one_file(folder, dump_config(parse_config(RECIPE)).encode()) == []
    assert one_run(folder, []) == []
    assert (folder / "run" / "report" / "index.html").is_file()
    assert any((folder / "comparison").iterdir())


@pytest.mark.parametrize("subject", ["summarise", "write_report", "write_comparison"])
def test_a_crash_is_not_passed_over(folder, without_figures, monkeypatch, subject) -> None:
    def crash(*_: object) -> None:
        raise KeyError(subject)

    monkeypatch.setattr(sys.modules[__name__], subject, crash)
    with pytest.raises(KeyError, match=subject):
        one_run(folder, [])


def test_faults_are_seen(folder, without_figures, monkeypatch) -> None:
    def silent(*_: object) -> None:
        raise RephraseError("")

    this = sys.modules[__name__]
    monkeypatch.setattr(this, "write_report", lambda _: None)
    assert one_run(folder, []) == ["no report, and no refusal"]
    for name in ("write_report", "load_config", "require_trust"):
        monkeypatch.setattr(this, name, silent)
    assert one_run(folder, []) == ["refusal 1 says nothing"]
    assert one_file(folder, b"") == ["refusal 0 says nothing"]
    assert one_config([], []) == ["refusal 0 says nothing"]
    monkeypatch.setattr(this, "markdown_cell", lambda text: text)
    assert one_completion("<b>\n![x](y)", "") == [
        "a cell has several lines", "a cell holds a picture", "a cell holds a tag",
    ]  # fmt: skip


@FEW
@given(RECIPES, OVERRIDES)
def test_configurations(changes, overrides) -> None:
    assert one_config(changes, overrides) == []


@FEW
@given(FILES)
def test_files_of_configurations(folder, content) -> None:
    assert one_file(folder, content) == []


@FEW
@given(COMPLETIONS, COMPLETIONS)
def test_completions(text, other) -> None:
    assert one_completion(text, other) == []


@FEW
@given(DAMAGES)
@example([("manifest.json", b"{}")])
def test_run_directories(folder, without_figures, broken) -> None:
    assert one_run(folder, broken) == []


@pytest.mark.slow
@MANY
@given(RECIPES, OVERRIDES)
def test_configurations_at_length(changes, overrides) -> None:
    assert one_config(changes, overrides) == []


@pytest.mark.slow
@MANY
@given(FILES)
def test_files_of_configurations_at_length(folder, content) -> None:
    assert one_file(folder, content) == []


@pytest.mark.slow
@MANY
@given(COMPLETIONS, COMPLETIONS)
def test_completions_at_length(text, other) -> None:
    assert one_completion(text, other) == []


@pytest.mark.slow
@MANY
@given(DAMAGES)
def test_run_directories_at_length(folder, without_figures, broken) -> None:
    assert one_run(folder, broken) == []


@pytest.mark.slow
@settings(BUDGET, max_examples=100)
@given(DAMAGES)
def test_run_directories_with_figures(folder, broken) -> None:
    assert one_run(folder, broken) == []
