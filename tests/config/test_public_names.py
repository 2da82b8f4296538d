"""Public names resolve, and the package itself imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rephrase_rl


@pytest.mark.parametrize("name", rephrase_rl.__all__)
def test_public_name_resolves(name) -> None:
    assert getattr(rephrase_rl, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        rephrase_rl.nonsense  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = (
        "import sys, rephrase_rl; heavy = ('torch', 'transformers', 'trl', 'numpy', 'pydantic'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_preset_guidance_takes_overrides() -> None:
    from rephrase_rl import preset_guidance

    guidance = preset_guidance("repo", {"gate": {"gate_failure_fraction": 0.75}})
    assert guidance.gate.gate_failure_fraction == 0.75
    assert [rule.name for rule in guidance.accept] == [
        "reward_above_replaced",
        "finished",
        "no_meta_text",
    ]
    assert not preset_guidance("grpo").active
