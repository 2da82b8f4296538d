"""Settings are checked as a whole and the package stays light without an engine."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fakes import ScriptedEngine
from rephrase_rl.errors import ConfigError
from rephrase_rl.rollout import Engine, SamplingSettings


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        SamplingSettings(n=0, temperature=-1, top_p=0, max_new_tokens=0, seed=-1)
    assert len(caught.value.faults) == 5
    for name in ("n is 0", "temperature", "top_p", "max_new_tokens", "seed"):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    "bad", [{"temperature": float("nan")}, {"temperature": float("inf")}, {"top_p": 1.01}]
)
def test_values_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        SamplingSettings(**bad)  # type: ignore[arg-type]


def test_the_interface_is_importable_without_torch() -> None:
    code = (
        "import sys; from rephrase_rl.rollout import Engine, SamplingSettings; "
        "import rephrase_rl.statistics; "
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    import rephrase_rl.rollout as package

    assert package.TransformersEngine.__name__ == "TransformersEngine"
    with pytest.raises(AttributeError, match="NoSuchEngine"):
        package.NoSuchEngine  # noqa: B018


def test_the_scripted_engine_is_an_engine() -> None:
    engine = ScriptedEngine(["a", "b"])
    assert isinstance(engine, Engine)
    prompt = ({"role": "user", "content": "?"},)
    found = engine.sample([prompt], SamplingSettings(n=2))
    assert [[c.text for c in group] for group in found] == [["a", "b"]]
    with pytest.raises(AssertionError, match="used up"):
        engine.sample([prompt], SamplingSettings())
