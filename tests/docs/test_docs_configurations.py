"""Configurations that pages show are valid, and what docs/how-to.md shows in Python runs."""

from __future__ import annotations

import re

import pytest
import yaml

from pages import ROOT
from rephrase_rl.cli.main import main
from rephrase_rl.config import RunConfig, config_to_plain, parse_config, parse_guidance
from rephrase_rl.errors import ConfigError
from rephrase_rl.methods import resolve_config

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "recipes/**/*.md")
    for path in ROOT.glob(pattern)
    if "generated" not in path.parts
)
HOW_TO = (ROOT / "docs/how-to.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def configurations(text: str) -> list[dict]:
    """YAML blocks that are a part of a run's configuration."""
    found = (yaml.safe_load(block) for block in blocks(text, "yaml"))
    return [raw for raw in found if isinstance(raw, dict) and set(raw) <= {*RunConfig.model_fields}]


def completed(raw: dict) -> dict:
    """A part of a configuration with what a whole one needs; sets that it names are supplied."""
    base = {"method": "repo", "model": {"path": "lab:base"}, "data": {"path": "lab:hard"}}
    return base | raw


def part_of(whole: object, shown: object) -> object:
    """As much of a value as is shown of it: some fields, a list whole, a block by its kind."""
    if isinstance(whole, dict) and isinstance(shown, str):
        return whole.get("kind")
    if isinstance(whole, dict) and isinstance(shown, dict):
        return {name: part_of(whole.get(name), given) for name, given in shown.items()}
    if isinstance(whole, list) and isinstance(shown, list) and len(whole) == len(shown):
        return [part_of(one, given) for one, given in zip(whole, shown, strict=True)]
    return whole


SHOWN = [
    pytest.param(raw, id=f"{path.stem}-{number}")
    for path in PAGES
    for number, raw in enumerate(configurations(path.read_text(encoding="utf-8")))
]


@pytest.mark.parametrize("raw", SHOWN)
def test_a_configuration_of_the_pages_is_valid(raw) -> None:
    """Both of its own and with the preset's blocks."""
    config = resolve_config(parse_config(completed(raw)))
    blocks = parse_guidance(config.guidance)
    # What the page shows is what a run gets: nothing of it is dropped or set by the preset.
    for section, whole in (("guidance", config_to_plain(blocks)), ("trainer", config.trainer)):
        shown = raw.get(section, {})
        assert part_of(whole, shown) == shown


def test_configurations_are_found_and_faults_are_seen() -> None:
    assert len(SHOWN) > 10
    with pytest.raises(ConfigError, match="did you mean `weight`"):
        parse_config(completed({"data": {"path": "x.jsonl", "weigth": 1}}))


@pytest.mark.integration
def test_what_the_page_shows_in_python_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    run = {
        **completed({"data": {"path": "lab:hard", "limit": 4}}),
        "trainer": {
            "num_generations": 4,
            "per_device_train_batch_size": 16,
            "max_completion_length": 48,
            "max_steps": 1,
        },
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")
    assert main(["train", "run.yaml"]) == 0
    names: dict[str, object] = {}
    for block in blocks(HOW_TO, "python"):
        exec(block, names)  # noqa: S102  (our own page)
    assert names["curve"] == [1.0]
    assert names["rescued"]
    assert "->" in capsys.readouterr().out
    assert names["policy"].num_parameters() > 0
