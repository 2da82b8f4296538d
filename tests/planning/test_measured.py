"""Constants of machines: which file is taken, and what is said where there is none."""

from __future__ import annotations

import json

import pytest

from rephrase_rl.errors import ConfigError
from rephrase_rl.planning import measured
from rephrase_rl.planning.measured import (
    SHIPPED,
    file_name,
    find_constants,
    measured_device,
    own_folder,
    read_constants,
    write_constants,
)
from rephrase_rl.planning.published import LINK_FRACTION, PUBLISHED, Assumptions, published_device

FILES = sorted(SHIPPED.glob("*.json"))


def test_some_machine_is_shipped() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_constants_say_what_made_them_and_are_plausible(path) -> None:
    constants = read_constants(path)
    assert path.name == file_name(constants["cpu"], constants["cores"])
    assert constants["about"]["git"]["commit"]
    assert constants["about"]["git"]["dirty"] is False
    for number in constants["rates"]:
        device = measured_device(constants, number, Assumptions())
        rates = device.rates[number]
        assert 1e9 < 1 / rates.score.matmul_flops < 1e14
        assert 1e8 < 1 / rates.decode.weight_bytes < 1e12
        origins = {fact.origin for fact in device.facts}
        assert origins == {"measured"}


def test_a_machine_that_was_never_measured_is_told_how(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="--measure"):
        find_constants("Nobody's CPU", 3)


def test_own_constants_come_before_shipped_ones(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(measured, "SHIPPED", tmp_path / "shipped")
    name = file_name("A CPU (tm)", 2)
    assert name == "a-cpu-tm-2-cores.json"
    write_constants({"format_version": 1, "of": "shipped"}, tmp_path / "shipped" / name)
    assert find_constants("A CPU (tm)", 2)["of"] == "shipped"
    write_constants({"format_version": 1, "of": "own"}, own_folder() / name)
    assert find_constants("A CPU (tm)", 2)["of"] == "own"


def test_other_formats_and_other_numbers_are_refused(tmp_path) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"format_version": 0}))
    with pytest.raises(ConfigError, match="measure again"):
        read_constants(path)
    constants = read_constants(FILES[0]) | {"rates": {}}
    with pytest.raises(ConfigError, match="required: bfloat16"):
        measured_device(constants, "bfloat16", Assumptions())


def test_links_are_the_users_word() -> None:
    constants = read_constants(FILES[0])
    number = next(iter(constants["rates"]))
    assert measured_device(constants, number, Assumptions()).links is None
    linked = measured_device(constants, number, Assumptions(link_gb_s=2.0))
    assert linked.links.bandwidth(2) == 2e9 * LINK_FRACTION


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures_have_sources_and_fractions_can_be_changed(name) -> None:
    device = published_device(name, "generate", Assumptions())
    published = [fact for fact in device.facts if fact.origin == "published"]
    assert all(fact.source.startswith("https://") for fact in published)
    assert {"memory", "memory bandwidth"} <= {fact.name for fact in published}
    half = published_device(name, "generate", Assumptions(training_fraction=0.2))
    old, new = (d.rates["bfloat16"].forward.matmul_flops for d in (device, half))
    assert new == pytest.approx(2 * old)
    assert any(f.origin == "configured" and f.value == "0.2" for f in half.facts)


def test_unknown_gpus_are_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match="h100-sxm"):
        published_device("h100", "generate", Assumptions())
