"""Which of the lab's problems a path names."""

from __future__ import annotations

import pytest

from rephrase_rl.assembly.objects import load_data
from rephrase_rl.config import DataConfig
from rephrase_rl.errors import ConfigError


@pytest.mark.parametrize(
    ("path", "kinds", "levels"),
    [
        ("lab:hard", {"chain"}, {6}),
        ("lab:easy", {"chain"}, {3, 4}),
        ("lab:chain-hard", {"chain"}, {6}),
        ("lab:ab-hard", {"ab"}, {6}),
        ("lab:ab-easy", {"ab"}, {3, 4}),
    ],
)
def test_sets_of_a_family(path: str, kinds: set[str], levels: set[int]) -> None:
    problems = load_data(DataConfig(path=path, limit=20, split="test"))
    assert {p.metadata["kind"] for p in problems} == kinds
    assert {p.metadata["level"] for p in problems} == levels


def test_a_mixed_set_has_problems_of_its_family_and_the_shared_abilities() -> None:
    mixed = load_data(DataConfig(path="lab:ab-mixed", limit=32))
    kinds = [problem.metadata["kind"] for problem in mixed]
    assert kinds.count("ab") == 24
    assert {"reverse", "shift", "swap", "dedupe"} == set(kinds) - {"ab"}


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("lab:ab-general", "test"),
        ("lab:ab", "test"),
        ("lab:cd-hard", "test"),
        ("lab:ab-mixed", "test"),
    ],
)
def test_other_sets_are_refused(path: str, split: str) -> None:
    with pytest.raises(ConfigError, match="lab:ab-hard"):
        load_data(DataConfig(path=path, split=split))
