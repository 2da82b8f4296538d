"""No code runs that the user did not name: none of models, data, checkpoints, run directories."""

from __future__ import annotations

import ast
import json
import os
import pickle
import sys
from pathlib import Path

import pytest

from rephrase_rl.cli.main import main
from rephrase_rl.config import dump_config, parse_config, require_trust
from rephrase_rl.errors import ConfigError, EngineError, PromptError
from rephrase_rl.runs import RunDirectory

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CANARY = "canary_was_here"
CODE = f"""
import pathlib
pathlib.Path({CANARY!r}).write_text("ran")
def f(completion, reference_answer):
    return 1.0
"""


class Bomb:
    """Unpickled, it writes the canary."""

    def __reduce__(self):
        return (exec, (f"open({CANARY!r}, 'w').close()",))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not Path(CANARY).exists(), "foreign code ran"


# ------------------------------------------------------------ the source itself


def calls(tree: ast.AST) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_no_module_evaluates_text_or_unpickles_files(path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = calls(tree)
    assert found.isdisjoint({"eval", "exec", "compile", "__import__", "os.system", "os.popen"})
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import)
            else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        )
    }  # fmt: skip
    assert imported.isdisjoint({"pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"})
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert given.get("weights_only") == "True"


def test_no_module_writes_tables_that_a_spreadsheet_would_calculate() -> None:
    """Exports are JSON lines and Parquet; whoever adds CSV has to defuse =, +, - and @ first."""
    writers = {"csv.writer", "csv.DictWriter", "to_csv", "to_excel"}
    for path in SOURCES:
        found = {call.rsplit("frame.", 1)[-1] for call in calls(ast.parse(path.read_text()))}
        assert found.isdisjoint(writers), path


# ------------------------------------------------------------ models


MODEL_CODE = CODE + "class Config: pass\nclass Model: pass\n"


def model_with_code(folder: Path) -> Path:
    folder.mkdir()
    (folder / "evil.py").write_text(MODEL_CODE)
    auto = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    auto["AutoTokenizer"] = ["evil.Model", None]
    (folder / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": auto}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": auto}))
    return folder


def test_a_model_with_code_of_its_own_is_refused_without_a_question(here, monkeypatch) -> None:
    from rephrase_rl.rollout import load_policy, load_tokenizer

    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asked on the terminal"))
    folder = model_with_code(here / "model")
    for load in (load_policy, load_tokenizer):
        with pytest.raises(EngineError, match=r"set model\.trust_remote_code to true"):
            load(folder)


def test_trust_is_off_by_default_and_leaves_the_hash_of_other_runs_alone() -> None:
    from rephrase_rl.config import config_hash

    raw = {"method": "repo", "model": {"path": "m"}, "data": {"path": "d"}}
    config = parse_config(raw)
    trusting = parse_config(raw, overrides=["model.trust_remote_code=true"])
    assert config.model.trust_remote_code is False
    # As it was before the field was there.
    assert config_hash(config).startswith("72fe3ccc5bd446c6")
    assert config_hash(trusting) != config_hash(config)


def test_weights_that_are_pickled_code_are_refused(here) -> None:
    from rephrase_rl.lab.policies import policy_path
    from rephrase_rl.rollout import load_policy

    folder = here / "model"
    folder.mkdir()
    for file in Path(policy_path("base")).iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Bomb()}, protocol=2))
    with pytest.raises(EngineError, match="are not unpickled"):
        load_policy(folder)


def test_transformers_reads_checkpoints_as_weights_only() -> None:
    """What resuming relies on (optimizer.pt, scheduler.pt, rng_state.pth): each load says so."""
    import transformers.trainer

    tree = ast.parse(Path(transformers.trainer.__file__).read_text(encoding="utf-8"))
    loads = [
        node for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]  # fmt: skip
    assert len(loads) > 5
    for node in loads:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        assert given.get("weights_only") == "True"


def test_what_guidance_remembers_is_read_as_weights_only(here) -> None:
    from rephrase_rl.trainers.trl import memory

    file = here / "x.pt"
    file.write_bytes(pickle.dumps(Bomb(), protocol=2))
    loads = [
        node for node in ast.walk(ast.parse(Path(memory.__file__).read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]  # fmt: skip
    assert loads
    import torch

    with pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=True)


TEMPLATES = {
    "reaches for Python": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "reaches for globals": "{{ cycler.__init__.__globals__.os.system('touch canary_was_here') }}",
    "changes the conversation": "{% set _ = messages.append({}) %}",
    "is broken": "{% for %}",
    "raises": "{{ raise_exception('no') }}",
    "adds text to a number": "{{ 1 + 'x' }}",
}


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_a_chat_template_runs_in_a_sandbox_and_its_failure_is_told(template) -> None:
    from rephrase_rl.lab.tokenizer import build_tokenizer
    from rephrase_rl.rollout.prompt_ids import prompt_token_ids

    tokenizer = build_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(PromptError, match="chat template failed"):
        prompt_token_ids(tokenizer, [{"role": "user", "content": "q"}], {})


# ------------------------------------------------------------ data


def test_no_column_of_data_names_code(here, capfd) -> None:
    Path("evil.py").write_text(CODE)
    target = f"{here / 'evil.py'}:f"
    columns = ("question", "reference_answer", "expert_solution", "task_kind", "problem_id",
               "verifier", "judge", "mapping", "correctness", "rewards", "gate", "__class__",
               "metadata", "data_source", "reward_model")  # fmt: skip
    rows = [dict.fromkeys(columns, target), {name: {"verifier": target} for name in columns}]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for mapping in ("canonical", "verl"):
        assert main(["data", "check", "rows.jsonl", "--mapping", mapping]) == 2
    assert "evil" not in sys.modules


def test_a_folder_of_data_with_a_loading_script_runs_none(here) -> None:
    from rephrase_rl.data import load_problems
    from rephrase_rl.errors import DataError

    folder = here / "squad"
    folder.mkdir()
    (folder / "squad.py").write_text(CODE)
    (folder / "rows.pkl").write_bytes(pickle.dumps(Bomb(), protocol=2))
    with pytest.raises(DataError):
        load_problems(folder)


# ------------------------------------------------------------ run directories


RUN = {"method": "repo", "model": {"path": "lab:base"}, "data": {"path": "lab:hard"}}
ENDPOINT = {"base_url": "https://evil.example/v1", "model": "m", "api_key_env": "AWS_SECRET_KEY"}
REACHING = {
    "verifier by path": ["rewards=[{verifier: 'evil.py:f'}]"],
    "verifier of a set": ["data.0.rewards=[{verifier: 'evil:f'}]"],
    "judge of a benchmark": [
        "evaluation.benchmarks=[{name: b, data: {path: 'lab:hard'}, judge: {verifier: 'evil:f'}}]"
    ],
    "verifier in a verifier": [
        "rewards=[{verifier: gated, options: {gate: exact, then: {verifier: 'evil.py:f'}}}]"
    ],
    "endpoint with a key of this machine": [
        f"rewards=[{{verifier: judge, options: {{endpoint: {json.dumps(ENDPOINT)}}}}}]"
    ],
    "code of the model": ["model.trust_remote_code=true"],
}


@pytest.mark.parametrize("overrides", REACHING.values(), ids=REACHING.keys())
def test_a_foreign_run_directory_imports_and_asks_nothing(here, capfd, overrides) -> None:
    Path("evil.py").write_text(CODE)
    config = parse_config(RUN, overrides=overrides)
    RunDirectory.create(here / "run", {"seed": 0}, dump_config(config))
    commands = (
        ["eval", "run", "--benchmark", "lab:hard", "-k", "1"],
        ["ledger", "run", "--utilisation"],
    )
    for command in commands:
        assert main(command) == 2
        assert "reaches beyond the run" in capfd.readouterr().err
    assert main(["report", "run"]) == 0, "reports need nothing of that"


def test_the_user_can_say_that_a_run_is_trusted(here, capfd) -> None:
    config = parse_config(RUN, overrides=REACHING["verifier by path"])
    RunDirectory.create(here / "run", {"seed": 0}, dump_config(config))
    assert main(["eval", "run", "--benchmark", "lab:hard", "--trust"]) == 2
    assert "run without a final policy" in capfd.readouterr().err


def test_a_plain_run_needs_no_trust() -> None:
    require_trust(parse_config(RUN, overrides=["rewards=[{verifier: exact}]"]), "run")
    with pytest.raises(ConfigError, match="sends it the key in AWS_SECRET_KEY"):
        require_trust(
            parse_config(RUN, overrides=REACHING["endpoint with a key of this machine"]), "run"
        )


def test_a_file_in_the_working_directory_shadows_no_installed_package(here, monkeypatch) -> None:
    from rephrase_rl.assembly.imports import import_object

    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != os.getcwd()])
    Path("colorsys.py").write_text(CODE)  # of the standard library, imported by nobody yet
    Path("mine_alone.py").write_text("def f(): return 7")
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    assert import_object("mine_alone:f")() == 7
    import colorsys

    assert not hasattr(colorsys, "f")
