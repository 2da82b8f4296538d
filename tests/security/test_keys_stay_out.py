"""Keys come from the environment and go to the endpoint: into no file, no message, no terminal."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest

from endpoint_fakes import Answer, chat, serving
from rephrase_rl.cli.main import main
from rephrase_rl.config import parse_config
from rephrase_rl.endpoints import ChatEndpoint, ChatRequest
from rephrase_rl.errors import ConfigError
from rephrase_rl.records import to_json
from rephrase_rl.runs import collect_manifest
from rephrase_rl.secrecy import arguments_without_secrets, secrets_in, without_secrets

KEY = "planted/key+0123456789abcdef"
"""With a slash, which JSON may write in two ways."""
RUN = {"method": "repo", "model": {"path": "lab:base"}, "data": {"path": "lab:hard"}}


@pytest.mark.parametrize(
    "override",
    [
        f"trainer.hub_token={KEY}",
        f"trainer.push_to_hub_token={KEY}",
        f"judge.api_key={KEY}",
        f"rewards=[{{verifier: judge, options: {{endpoint: {{api_key: '{KEY}'}}}}}}]",
        f"rewards=[{{verifier: judge, options: {{extra: {{headers: {{X-API-Key: '{KEY}'}}}}}}}}]",
        "trainer.run_name=hf_ABCDEFGHIJKLMNOPQRSTUVWX",
        f"api_key={KEY}",
        f"method=[api_key='{KEY}'",
        f"seed.api_key={KEY}",
    ],
)
def test_a_key_in_a_configuration_is_refused_and_not_quoted(override) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(RUN, overrides=[override])
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    assert "hf_ABC" not in shown


@pytest.mark.parametrize(
    "plain",
    [
        {"eos_token": "</s>", "pad_token": "<pad>"},
        {"max_tokens": 5, "token_limit_field": "max_tokens", "api_key_env": "JUDGE_API_KEY"},
        {"answer_marker": "####", "name": "secrets_of_the_sea", "hub_token": None},
    ],
)
def test_ordinary_fields_hold_no_key(plain) -> None:
    assert secrets_in(plain) == []


def test_a_command_line_is_stored_without_keys(monkeypatch) -> None:
    monkeypatch.setenv("SOME_JUDGE_API_KEY", KEY)
    command = [
        "rephrase-rl", "train", "c.yaml", "--set", "judge.api_key=two words",
        "--set", f"note={KEY}", "--teacher", "https://me:pass@host/v1?api_key=abc",
        "--set", "x=sk-proj-abcdefghijklmnop", "--set", "trainer.learning_rate=1e-5",
        "--set", "y='Authorization: Bearer abcdefghij'",
    ]  # fmt: skip
    stored = collect_manifest(command, 0)["command"]

    assert stored == [
        "rephrase-rl", "train", "c.yaml", "--set", "judge.api_key=[hidden]",
        "--set", "note=[hidden]", "--teacher", "https://[hidden]@host/v1?api_key=[hidden]",
        "--set", "x=[hidden]", "--set", "trainer.learning_rate=1e-5",
        "--set", "y='Authorization: [hidden]'",
    ]  # fmt: skip
    assert KEY not in json.dumps(collect_manifest(" ".join(command), 0))


def test_cleaning_twice_changes_nothing_and_leaves_plain_text_alone() -> None:
    text = "train runs/a --set data.path=/data/train.jsonl --set seed=3 https://host/v1"
    assert without_secrets(text) == text
    once = arguments_without_secrets([f"a.password={KEY}", "api_key: abcdef"])
    assert arguments_without_secrets(once) == once


# JSON writers of PHP escape slashes, others any character.
ESCAPED = {
    "plain": json.dumps,
    "slashes": lambda key: json.dumps(key).replace("/", "\\/"),
    "code points": lambda key: '"' + "".join(f"\\u{ord(char):04x}" for char in key) + '"',
}


@pytest.mark.parametrize("form", ESCAPED.values(), ids=ESCAPED.keys())
def test_an_endpoint_that_sends_the_key_back_does_not_get_it_recorded(
    tmp_path, monkeypatch, form
) -> None:
    monkeypatch.setenv("FAKE_API_KEY", KEY)
    body = json.dumps(chat("SENT", finish_reason="WHY", reasoning="THOUGHT"))
    for mark in ('"SENT"', '"WHY"', '"THOUGHT"'):
        body = body.replace(mark, form(KEY))
    cache = tmp_path / "cache.jsonl"
    with serving([body]) as server:
        endpoint = ChatEndpoint(server.config(api_key_env="FAKE_API_KEY", cache=str(cache)))
        (reply,) = endpoint.ask([ChatRequest(({"role": "user", "content": "q"},), 5)])

    assert reply.text == reply.reasoning == "[key]"
    assert KEY not in json.dumps(to_json(reply)) + cache.read_text()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_takes_key_or_conversation_to_another_host(monkeypatch, status) -> None:
    monkeypatch.setenv("FAKE_API_KEY", KEY)
    with serving([chat("stolen")]) as elsewhere:
        moved = Answer({}, status=status, headers={"location": f"{elsewhere.url}/chat/completions"})
        with serving([moved]) as server:
            endpoint = ChatEndpoint(server.config(api_key_env="FAKE_API_KEY"))
            (reply,) = endpoint.ask([ChatRequest(({"role": "user", "content": "q"},), 5)])
        assert elsewhere.bodies == []
    assert reply.status == "error"
    assert f"HTTP status {status}: sent elsewhere" in reply.detail


PROBLEMS = [
    {"question": f"What is {i} + {i}?", "reference_answer": str(2 * i), "expert_solution": "Add."}
    for i in range(2)
]


def test_a_planted_key_is_in_nothing_that_a_judged_evaluation_writes(
    tmp_path, monkeypatch, capfd, caplog
) -> None:
    """One command with a judge, whose endpoint returns the key; then grep every byte written."""
    caplog.set_level(0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKE_API_KEY", KEY)
    Path("p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PROBLEMS))
    with serving([chat(f"you sent {KEY}\nScore: 1")]) as server:
        judge = {
            "verifier": "judge",
            "options": {
                "endpoint": {
                    "base_url": server.url,
                    "model": "m",
                    "api_key_env": "FAKE_API_KEY",
                    "cache": "cache.jsonl",
                    "concurrency": 1,
                }
            },
        }
        words = ["--debug", "eval", "lab:base", "--benchmark", "p.jsonl", "-k", "2",
                 "--set", f"judge={json.dumps(judge)}", "--set", "max_new_tokens=4",
                 "--set", f"note.api_key={KEY}"]  # fmt: skip
        # The last word is refused; without it the judge is asked; then it refuses and says the key.
        statuses = [main(words), main([*words[:-2], "--out", "run"]), main(["report", "run"])]
        server.script = [Answer(KEY, status=400)]
        statuses.append(main([*words[:-2], "--set", "max_new_tokens=5", "--out", "run2"]))
        assert any(KEY in str(headers) for headers in server.headers), "the key was used"
    printed = "".join(capfd.readouterr()) + caplog.text
    assert statuses == [2, 0, 0, 2], printed
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"cache.jsonl", "manifest.json", "samples.jsonl", "card.md"} <= {p.name for p in written}
    assert b"you sent [key]" in written[tmp_path / "cache.jsonl"]
    leaks = [path for path, content in written.items() if KEY.encode() in content]
    assert leaks == []
    assert KEY not in printed
    assert "0123456789abcdef" not in printed, "a part of it neither"


@pytest.mark.integration
def test_a_planted_key_is_in_nothing_that_a_judged_training_run_writes(
    tmp_path, monkeypatch, capfd, caplog
) -> None:
    """The same of a training run whose reward is a judge, with its report and a comparison."""
    caplog.set_level(0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKE_API_KEY", KEY)
    Path("p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PROBLEMS))
    with serving([chat(f"you sent {KEY}\nScore: 1")]) as server:
        endpoint = {
            "base_url": server.url,
            "model": "m",
            "api_key_env": "FAKE_API_KEY",
            "cache": "cache.jsonl",
        }
        run = {
            "method": "repo",
            "model": {"path": "lab:base"},
            "data": {"path": "p.jsonl"},
            # The lab's own, since its context holds no other P(q, k).
            "prompts": {"solve": "lab-solve-v1", "rephrase": "lab-rephrase-v1"},
            "rewards": [{"verifier": "judge", "options": {"endpoint": endpoint}}],
            "trainer": {
                "max_steps": 1,
                "per_device_train_batch_size": 4,
                "num_generations": 2,
                "max_completion_length": 4,
                "save_strategy": "steps",
                "save_steps": 1,
                "bf16": False,
            },
            "output_dir": "run",
        }
        Path("c.yaml").write_text(json.dumps(run))
        words = (["train", "c.yaml"], ["report", "run"], ["compare", "run", "run"])
        statuses = [main(["--debug", *command]) for command in words]
        assert any(KEY in str(headers) for headers in server.headers), "the key was used"
    printed = "".join(capfd.readouterr()) + caplog.text
    assert statuses[:2] == [0, 0], printed
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"cache.jsonl", "manifest.json", "groups.jsonl", "trainer_state.json"} <= {
        path.name for path in written
    }
    assert [path for path, content in written.items() if KEY.encode() in content] == []
    assert KEY not in printed
