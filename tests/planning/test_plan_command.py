"""The command on a recipe and on a 7B model of which there is a config.json and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rephrase_rl.cli.main import main
from rephrase_rl.planning.measured import SHIPPED, file_name, read_constants, write_constants
from rephrase_rl.runs.hardware import describe_hardware

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "gsm8k_smollm2_repo.yaml"
QWEN_7B = {
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "tie_word_embeddings": False,
}
SMOLLM2 = {
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}


@pytest.fixture
def plan(capsys, monkeypatch, tmp_path):
    """Runs the command on a machine whose constants are those of the one that is shipped."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    hardware = describe_hardware()
    constants = read_constants(next(SHIPPED.glob("*.json")))
    name = file_name(str(hardware["cpu"]), int(hardware["cores"]))
    write_constants(constants, tmp_path / "cache" / "rephrase-rl" / "measured" / name)

    def run(*arguments) -> tuple[int, str, str]:
        status = main(["plan", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def folder(path: Path, config: dict) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    return path


def gsm8k_like(path: Path) -> Path:
    """Eight problems of our own in GSM8K's columns."""
    rows = [
        {"question": f"What is {i} times 7, as a number?", "answer": f"{'x ' * 34}\n#### {7 * i}"}
        for i in range(1, 9)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def config_7b(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    model = folder(tmp_path / "qwen", QWEN_7B)
    data = gsm8k_like(tmp_path / "train.jsonl")
    path.write_text(
        json.dumps(
            {
                "method": "repo",
                "model": {"path": str(model)},
                "data": {"path": str(data), "mapping": "gsm8k"},
                "trainer": {
                    "per_device_train_batch_size": 8,
                    "gradient_accumulation_steps": 64,
                    "max_completion_length": 512,
                    "max_steps": 100,
                },
                "plan": {"device": "h100-sxm", "expected_open_share": 0.4},
            }
        )
    )
    return path


def test_recipe_on_this_machine(plan, tmp_path) -> None:
    overrides = [
        f"model.path={folder(tmp_path / 'smollm2', SMOLLM2)}",
        f"data.gsm8k.path={gsm8k_like(tmp_path / 'train.jsonl')}",
        "data.gsm8k.config_name=null",
    ]
    options = [word for override in overrides for word in ("--set", override)]
    status, out, err = plan(RECIPE, *options)
    assert (status, err) == (0, "")
    for words in (
        "134,515,008",
        "loss, backward",
        "rewrites",
        "anticipated",
        "measured",
        "10 steps",
    ):
        assert words in out
    assert "does not fit" not in out
    status, text, _ = plan(RECIPE, *options, "--json")
    made = json.loads(text)
    assert made["work"]["problems"] == 2
    assert made["step_s"] == pytest.approx(sum(p["seconds"] for p in made["phases"]))
    assert made["step_s"] > 0.5


def test_7b_model_without_weights(plan, config_7b) -> None:
    status, out, _ = plan(config_7b)
    assert status == 0
    assert "7,615,616,512" in out
    for words in ("published", "assumed", "https://", "does not fit", "fsdp", "adapters", "1024"):
        assert words in out
    made = json.loads(plan(config_7b, "--json")[1])
    assert [each["devices"] for each in made["scaling"]] == [1, 8, 64, 512, 1024]
    assert made["memory"]["fits"] is False
    assert made["remedies"]
    assert made["work"]["open_share"] == 0.4
    shares = {cost["open_share"] for cost in made["guidance"]}
    assert {0.0, 0.4, 1.0} <= shares
    assert {cost["mode"] for cost in made["guidance"]} == {"lazy", "eager", "anticipated"}


def test_options_change_devices_and_open_share(plan, config_7b) -> None:
    made = json.loads(plan(config_7b, "--devices", "16,32", "--open-share", "0", "--json")[1])
    assert made["devices"] == 16
    assert [each["devices"] for each in made["scaling"]] == [16, 32]
    assert made["work"]["open_share"] == 0.0
    assert next(p for p in made["phases"] if p["name"] == "rewrites")["seconds"] == 0.0


def test_every_device_is_a_process_of_the_trainer(plan, config_7b) -> None:
    out = plan(config_7b, "--devices", "8,16")[1]
    assert "a step: 4096 rows (512 on each device), 512 problems x 8" in out
    eight, sixteen = json.loads(plan(config_7b, "--devices", "8,16", "--json")[1])["scaling"]
    assert eight["step_s"] == eight["configured_step_s"]
    assert sixteen["step_s"] < eight["step_s"] < 1.1 * sixteen["configured_step_s"]
    remedy = json.loads(plan(config_7b, "--json")[1])["remedies"]
    split = next(r["change"] for r in remedy if r["change"].startswith("plan.sharding"))
    # 512 rows in passes of 8 are 64 passes; over n devices as many together.
    devices, accumulation = map(int, re.findall(r"over (\d+) devices.*steps: (\d+)", split)[0])
    assert devices * accumulation == 64


def test_devices_without_a_problem_are_shown(plan, config_7b) -> None:
    made = json.loads(plan(config_7b, "--devices", "1,1024", "--json")[1])
    assert [each["busy"] for each in made["scaling"]] == [1, 64]


def test_explicit_sizes_need_no_model(plan, config_7b) -> None:
    sizes = "{layers: 2, hidden: 8, heads: 2, kv_heads: 1, intermediate: 16, vocab: 10, tied: true}"
    made = plan(config_7b, "--set", "model.path=nowhere", "--set", f"plan.shape={sizes}", "--json")
    assert json.loads(made[1])["model"]["parameters"] == 1272


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--devices", "0"], "1 to 1024"),
        (["--devices", "8,two"], "'two'"),
        (["--set", "model.path=nowhere"], "plan.shape"),
        (["--set", "plan.device=h100"], "h100-sxm"),
        (["--set", "plan.device=this", "--devices", "2"], "plan.link_gb_s"),
        (["--set", "data.path=nowhere.jsonl"], "plan.prompt_tokens"),
    ],
)
def test_errors_say_what_to_do(plan, config_7b, options, words) -> None:
    status, _, err = plan(config_7b, *options)
    assert (status, words in err) == (2, True)


def test_lengths_can_stand_in_for_data(plan, config_7b) -> None:
    options = ["--set", "data.path=nowhere.jsonl", "--set", "plan.prompt_tokens=50"]
    made = json.loads(plan(config_7b, *options, "--json")[1])
    assert made["work"]["completion_tokens"] == 512  # the limit: no expert text was read
    assert made["steps"] == 100


def test_pass_rates_of_the_data_are_the_expected_share(plan, config_7b, tmp_path) -> None:
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    rows = [row | {"pass_rate": 0.5 if i % 2 else 0.0} for i, row in enumerate(rows)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    made = json.loads(plan(config_7b, "--set", "plan.expected_open_share=null", "--json")[1])
    # Half of the problems always fail; the other half in 0.5^8 of the groups.
    assert made["work"]["open_share"] == pytest.approx((1 + 0.5**8) / 2)
