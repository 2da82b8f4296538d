"""``rephrase-rl init``: from a model and a file that nobody described to a run that starts."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pages import tiny_model
from rephrase_rl.assembly.starting_machine import Machine
from rephrase_rl.config import RunConfig, load_config
from rephrase_rl.methods import resolve_config

pytestmark = pytest.mark.integration


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of sums with column names of its own, and a part of it that is held out."""
    monkeypatch.chdir(tmp_path)
    for name, start in (("sums train.csv", 1), ("sums test.csv", 100)):
        with (tmp_path / name).open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["Exercise", "Teacher's working", "Result"])
            for n in range(start, start + 12):
                working = f"Take {n} and add 3 to it, one by one: {n}+3={n + 3}."
                rows.writerow([f"What is {n}+3?", working, n + 3])
    return tmp_path / "sums train.csv"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "tiny", context=2048)


def test_a_table_becomes_a_configuration_that_is_valid(cli, table: Path, model: Path) -> None:
    outcome = cli("init", model, table.name)
    assert outcome.status == 0, outcome.err
    assert "rephrase-rl data check sums-train.yaml" in outcome.out
    config = load_config("sums-train.yaml")
    (data,) = config.data
    assert (data.mapping.question, data.mapping.reference_answer) == (("Exercise",), "Result")
    assert data.mapping.expert_solution == "Teacher's working"
    assert data.mapping.append_answer
    assert config.method == "repo"
    assert config.evaluation.benchmarks[0].data.path == "sums test.csv"
    text = Path("sums-train.yaml").read_text(encoding="utf-8")
    assert "math accepts 12 of the 12 experts judged" in text
    assert "96 rows a step: 12 problems x 8 rollouts, since the data has 12" in text
    assert "batch: 12 problems a step, since the data has 12" in outcome.out
    # Of the lab's tokenizer, one token a character.
    longest = max(len(f"Take {n} and add 3 to it, one by one: {n}+3={n + 3}.") for n in (1, 12))
    box = len("\nThe final answer is \\boxed{15}.")
    assert f"experts have up to {longest + box} tokens (99 %)" in text
    assert config.trainer["max_completion_length"] >= 1.5 * (longest + box)
    checked = cli("data", "check", "sums-train.yaml", "--rows", "0")
    assert checked.status == 0, checked.err
    assert cli("config", "check", "sums-train.yaml").status == 0
    looked = cli("train", "sums-train.yaml", "--dry-run")
    assert looked.status == 0, looked.err


def test_the_written_run_trains(cli, table: Path, model: Path) -> None:
    assert cli("init", model, table.name).status == 0
    words = ("--set", "trainer.max_steps=1", "--set", "evaluation.before=false")
    short = ("--set", "evaluation.benchmarks.0.data.limit=2")
    rows = ("--set", "trainer.per_device_train_batch_size=8")
    outcome = cli("train", "sums-train.yaml", *words, *short, *rows)
    assert outcome.status == 0, outcome.err
    assert (Path("runs") / "sums-train" / "steps.jsonl").is_file()


def test_a_context_that_is_too_short_is_said(cli, table: Path) -> None:
    outcome = cli("init", "lab:base", table.name)
    assert outcome.status == 2
    assert "a context of 256 tokens, in which 0 of 12 experts can be rewritten" in outcome.err
    long = '{"question": "' + "How many? " * 40 + '", "answer": "2"}\n'
    Path("long.jsonl").write_text(long, encoding="utf-8")
    outcome = cli("init", "lab:base", "long.jsonl")
    assert (outcome.status, "longer context" in outcome.err) == (2, True)
    assert not list(Path().glob("*.yaml"))


def test_experts_that_do_not_fit_are_counted_and_the_others_rewritten(cli, tmp_path, table) -> None:
    model = tiny_model(tmp_path / "short", context=1000)
    rows = [{"question": f"What is {n}+3?", "answer": str(n + 3),
             "solution": ("Add 3. " if n < 9 else "Add 1 and 1 and 1, one by one. " * 16) + "So."}
            for n in range(12)]  # fmt: skip
    Path("mixed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    outcome = cli("init", model, "mixed.jsonl")
    assert outcome.status == 0, outcome.err
    assert "warning: 3 of 12 experts do not fit into the policy's context of 1000" in outcome.err
    assert "# 3 of 12 experts do not fit into" in Path("mixed.yaml").read_text(encoding="utf-8")
    checked = cli("data", "check", "mixed.yaml", "--rows", "0", "--json")
    report = json.loads(checked.out)["report"]
    assert report["expert_budget"] == {"fits": 9, "left_out": 3}
    assert report["prompt_fit"]["fitting"] == report["prompt_fit"]["count"] == 9


def test_a_longer_limit_of_rephrase_prompts_is_set(cli, table: Path, model: Path) -> None:
    row = {"question": "1+1?", "answer": "2", "solution": "so " * 300 + "2"}
    Path("long.jsonl").write_text(json.dumps(row), encoding="utf-8")
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8192}))
    assert "max_prompt_tokens" not in load_after(cli, model, "long.jsonl").guidance.get(
        "source", {}
    )
    Path("long.jsonl").write_text(json.dumps(row | {"solution": "so " * 900 + "2"}))
    config = load_after(cli, model, "long.jsonl")
    assert config.guidance["source"]["max_prompt_tokens"] > 2700
    with pytest.warns(
        UserWarning, match=r"guidance\.source\.max_prompt_tokens of the file left out"
    ):
        outcome = cli("config", "check", "long.yaml", "--set", "method=grpo")
    assert outcome.status == 0, outcome.err


def load_after(cli, model: Path, data: str, out: str | None = None) -> RunConfig:
    path = Path(out) if out else Path(data).with_suffix(".yaml")
    outcome = cli("init", model, data, "--overwrite", "--out", path)
    assert outcome.status == 0, outcome.err
    return load_config(path)


def test_a_file_without_experts_gets_grpo_and_says_how_to_get_some(cli, table: Path) -> None:
    Path("p.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n', encoding="utf-8")
    outcome = cli("init", "lab:base", "p.jsonl")
    assert "rephrase-rl experts p.jsonl --teacher" in outcome.out
    assert load_config("p.yaml").method == "grpo"


def test_the_labs_own_sets_need_no_mapping(cli, table: Path) -> None:
    assert cli("init", "lab:base", "lab:hard", "--out", "lab.yaml").status == 0
    config = resolve_config(load_config("lab.yaml"))
    assert config.trainer["learning_rate"] == 2e-4
    assert config.rewards[0].verifier == "exact"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "x.txt"], "ends with .yaml"),
        (["--column", "question"], "PART=COLUMN"),
        (["--column", "question=Exercise", "--mapping", "gsm8k"], "both --mapping and --column"),
        (["--mapping", "gsm9k"], "found mapping 'gsm9k'"),
        (["--mapping", "gsm8k"], "faulty with the mapping"),
        (["--column", "question=Nope"], "no column 'Nope'"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(cli, table: Path, words, said) -> None:
    outcome = cli("init", "lab:base", table.name, *words)
    assert (outcome.status, said in outcome.err) == (2, True), outcome.err
    assert not list(Path().glob("*.yaml"))


def test_a_file_that_is_there_is_kept(cli, table: Path, model: Path) -> None:
    Path("sums-train.yaml").write_text("mine", encoding="utf-8")
    outcome = cli("init", model, table.name)
    assert (outcome.status, "already there" in outcome.err) == (2, True)
    assert Path("sums-train.yaml").read_text(encoding="utf-8") == "mine"
    assert cli("init", model, table.name, "--overwrite").status == 0


def test_a_machine_with_gpus_gets_its_own_settings(cli, table, model, monkeypatch) -> None:
    gpus = Machine("gpu", "NVIDIA H100 80GB HBM3", 64, 80e9, ("NVIDIA H100",) * 8, bfloat16=True)
    monkeypatch.setattr("rephrase_rl.assembly.starting.this_machine", lambda: gpus)
    config = load_after(cli, model, table.name, "big.yaml")
    trainer = config.trainer
    assert (trainer["bf16"], trainer["gradient_checkpointing"]) == (True, True)
    assert "max_steps" not in trainer
    rows = trainer["per_device_train_batch_size"] * trainer["gradient_accumulation_steps"]
    assert rows == 8  # of 12 problems 8, one on each
    assert (config.plan.device, config.plan.devices) == ("h100-sxm", 8)
    planned = cli("plan", "big.yaml")
    assert "a step: 64 rows (8 on each device), 8 problems x 8" in planned.out


def test_a_model_for_all_gpus_together_is_not_evaluated_during_the_run(
    cli, table, model, monkeypatch
) -> None:
    gpus = Machine("gpu", "NVIDIA H100 80GB HBM3", 64, 80e9, ("NVIDIA H100",) * 8, bfloat16=True)
    monkeypatch.setattr("rephrase_rl.assembly.starting.this_machine", lambda: gpus)
    Path("sums-test.csv").write_text(table.read_text(encoding="utf-8"), encoding="utf-8")
    assert load_after(cli, model, table.name, "small.yaml").evaluation.benchmarks
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    large = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32}
    (model / "config.json").write_text(json.dumps(config | large))
    config = load_after(cli, model, table.name, "large.yaml")
    assert (config.plan.sharding, config.plan.devices) == ("fsdp", 8)
    assert config.evaluation.benchmarks == ()
    text = Path("large.yaml").read_text(encoding="utf-8")
    for said in ("DOES NOT FIT", "fsdp_8_gpus.yaml", "--like COPY.yaml", "# evaluation:"):
        assert (said in text) == (said != "DOES NOT FIT")


def test_a_machine_that_is_too_small_is_said(cli, table, model, monkeypatch) -> None:
    small = Machine("gpu", "NVIDIA H100", 8, 1e9, ("NVIDIA H100",), bfloat16=True)
    monkeypatch.setattr("rephrase_rl.assembly.starting.this_machine", lambda: small)
    outcome = cli("init", model, table.name)
    assert "does not fit into the memory" in outcome.err
    assert "DOES NOT FIT" in Path("sums-train.yaml").read_text(encoding="utf-8")


def test_hostile_names_stay_in_comments(cli, table: Path) -> None:
    name = "answer\n# x\nmethod: sft"
    with Path("odd.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["question", name], ["1+1?", "2"], ["1+2?", "3"]])
    outcome = cli("init", "lab:base", "odd.csv", "--column", f"reference_answer={name}")
    assert outcome.status == 0, outcome.err
    config = load_config("odd.yaml")
    assert (config.method, config.data[0].mapping.reference_answer) == ("grpo", name)


def test_what_a_run_would_stumble_over_is_said_at_once(cli, tmp_path, monkeypatch, model) -> None:
    monkeypatch.chdir(tmp_path)
    rows = ["Frage;Antwort;Weg", "Was kosten 3 Karten zu 2,50 €?;7,50 €;3 mal 2,50 € sind 7,50 €."]
    rows += [f"Wie lang sind {n} Stücke von 2 m?;{2 * n} m;{n} mal 2 m." for n in range(3, 9)]
    rows += ["Wie viel bleibt von 9 kg?;;Nichts."]
    Path("rows.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    columns = ("question=Frage", "reference_answer=Antwort", "expert_solution=Weg")
    options = [word for column in columns for word in ("--column", column)]
    outcome = cli("init", model, "rows.csv", *options)
    assert outcome.status == 0, outcome.err
    assert "is no number; write a decimal comma as a point" in outcome.err
    assert "warning: 1 row(s) with faults, and a run needs every row to be right" in outcome.err


def test_one_empty_answer_is_named_and_the_task_stays(cli, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = tiny_model(tmp_path / "tiny", context=2048)
    rows = [{"problem": f"Three times {n}?", "solution": f"Three times {n} is {3 * n}.",
             "answer": "a dozen" if n % 11 == 4 else str(3 * n)} for n in range(60)]  # fmt: skip
    rows[6]["answer"] = ""
    Path("m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    outcome = cli("init", model, "m.jsonl")
    assert outcome.status == 0, outcome.err
    assert "1 of the first 50 rows do not fit it, and are faulty: 7" in outcome.out
    assert "warning: 1 row(s) with faults" in outcome.err
    assert "row 7, column 'answer': " in outcome.err
    config = load_config("m.yaml")
    assert (config.data[0].mapping, config.rewards[0].verifier) == ("math", "math")
    checked = cli("data", "check", "m.yaml", "--rows", "0")
    assert "fault: row 7, column 'answer'" in checked.out


def test_grpo_begins_on_data_with_experts_and_without_room_for_them(cli, table: Path) -> None:
    refused = cli("init", "lab:base", table.name)
    assert "--method grpo" in refused.err
    outcome = cli("init", "lab:base", table.name, "--method", "grpo")
    assert outcome.status == 0, outcome.err
    text = Path("sums-train.yaml").read_text(encoding="utf-8")
    assert "Plain GRPO, as was asked for" in text
    assert "rephrase-rl rephrase" not in outcome.out
    config = load_config("sums-train.yaml")
    assert config.method == "grpo"
    assert config.data[0].mapping.expert_solution == "Teacher's working"
    assert "experts have up to" in text


def test_repo_is_not_begun_without_experts(cli, model: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("few.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n' * 3, encoding="utf-8")
    outcome = cli("init", model, "few.jsonl", "--method", "repo")
    assert outcome.status == 2
    assert "found no expert solution in the first 3 rows" in outcome.err
    assert cli("init", model, "few.jsonl", "--task", "text").status == 0
    assert load_config("few.yaml").rewards[0].verifier == "text_exact"


@pytest.mark.parametrize("words", [("init", "lab:base"), ("data", "check")])
def test_what_is_made_has_no_columns_to_be_named(cli, tmp_path, monkeypatch, words) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = cli(*words, "lab:hard", "--column", "question=Exercise")
    assert outcome.status == 2
    assert "found --column with lab:hard, whose problems are made here" in outcome.err
