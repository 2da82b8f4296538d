"""Blocks and rewards of a user's own, by import path and as objects."""

from __future__ import annotations

import math
import sys
import textwrap

import pytest
import torch

from rephrase_rl.assembly.blocks import build_guidance
from rephrase_rl.assembly.imports import import_object, place_in_own_code
from rephrase_rl.assembly.objects import build_verifiers
from rephrase_rl.config import PromptsConfig, RewardConfig, parse_guidance
from rephrase_rl.errors import BlockError, ConfigError, VerifierError
from rephrase_rl.guidance.training import InjectedTokens
from rephrase_rl.rewards import FunctionVerifier, Verifier, as_verifier

MODULE = """
from dataclasses import dataclass
from rephrase_rl.guidance.blocks import CleanedCompletion, Ready


@dataclass
class Gate:
    limit: int = 1

    def __call__(self, group, context):
        return True


def plain_gate(group, context):
    return False


class Source:
    origin = "expert"

    def draft(self, group, context):
        return Ready("mine")

    def clean(self, text):
        return CleanedCompletion(text, (), ())


class Rule:
    name = "rule"

    def __call__(self, candidate, replaced, problem):
        return True


class Slot:
    placement = "member"

    def __call__(self, group, context):
        return 0


class NoBlock:
    pass


def squared(tokens):
    return tokens.logps_BT**2


class Cubed:
    def __init__(self, factor=1.0):
        self.factor = factor

    def __call__(self, tokens):
        return -self.factor * tokens.logps_BT**3


def averaged(tokens):
    return tokens.logps_BT.mean()


def detached(tokens):
    return tokens.logps_BT.detach()


def closeness(completion, reference_answer, scale=1.0):
    return scale * float(completion == reference_answer)


class Judge:
    name = "judge"

    def __init__(self, strict=False):
        self.strict = strict

    def verify(self, completions, reference_answers):
        return []

    def close(self):
        pass


NUMBER = 3


def one_argument(group):
    return True


def broken_gate(group, context):
    return group.nothing


class OneArgument:
    def __call__(self, group):
        return True


class SlotOfOne(OneArgument):
    placement = "member"


class SourceOfOne(Source):
    def draft(self, group):
        return Ready("mine")
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    name = f"mine_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


@pytest.mark.parametrize("form", ["{}:Gate", "{}.py:Gate"])
def test_import_path_names_a_module_or_a_file(module, form) -> None:
    assert import_object(form.format(module)).__name__ == "Gate"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no_such_module_at_all:Gate", "cannot be imported"),
        ("no_such_file.py:Gate", "found no file"),
        ("{}:Gone", r"found no 'Gone' .*, which has .*Gate"),
        ("{}", "without a name after a colon"),
    ],
)
def test_what_cannot_be_imported_is_said(module, target, said) -> None:
    with pytest.raises(ConfigError, match=said):
        import_object(target.format(module))


def test_error_inside_the_file_is_told(module, tmp_path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        import_object("broken.py:Gate")


def test_all_four_blocks_by_import_path(module) -> None:
    def custom(name, **options):
        return {"kind": "custom", "target": f"{module}:{name}", "options": options}

    guidance = build_guidance(
        parse_guidance(
            {
                "gate": custom("Gate", limit=5),
                "source": custom("Source"),
                "accept": ["finished", custom("Rule")],
                "slot": custom("Slot"),
            }
        ),
        PromptsConfig(),
    )
    assert guidance.gate.limit == 5
    assert type(guidance.source).__name__ == "Source"
    assert [rule.name for rule in guidance.accept] == ["finished", "rule"]
    assert guidance.slot.placement == "member"
    assert guidance.active


def test_plain_function_is_a_gate(module) -> None:
    blocks = {"gate": {"kind": "custom", "target": f"{module}:plain_gate"}}
    guidance = build_guidance(parse_guidance(blocks), PromptsConfig())
    assert guidance.gate(None, None) is False


def test_custom_gate_may_stand_inside_another(module) -> None:
    inner = {"kind": "custom", "target": f"{module}:plain_gate"}
    blocks = {"gate": {"kind": "schedule", "inner": inner}}
    guidance = build_guidance(parse_guidance(blocks), PromptsConfig())
    assert guidance.gate.inner(None, None) is False


def train_rule(module, name, **more):
    blocks = {"train": {"kind": "custom", "target": f"{module}:{name}", **more}}
    return build_guidance(parse_guidance(blocks), PromptsConfig()).train


def tokens() -> InjectedTokens:
    """Two rows of two tokens, of which one does not count and would give NaN."""
    logps = torch.tensor([[-1.0, -2.0], [-3.0, float("nan")]], requires_grad=True)
    mask = torch.tensor([[True, True], [True, False]])
    return InjectedTokens(logps, torch.ones(2), mask)


def test_a_train_rule_is_a_function_or_a_class_of_token_losses(module) -> None:
    rule = train_rule(module, "squared", weight=0.5)
    assert (rule.weight, rule.has_own_loss) == (0.5, True)
    assert rule.token_losses(tokens()).tolist() == [[1.0, 4.0], [9.0, 0.0]]
    cubed = train_rule(module, "Cubed", options={"factor": 2.0})
    assert cubed.token_losses(tokens()).tolist() == [[2.0, 16.0], [54.0, 0.0]]


@pytest.mark.parametrize(
    ("name", "said"),
    [("averaged", r"shape \(\); required: .* shape \(2, 2\)"), ("detached", "without a gradient")],
)
def test_losses_that_would_train_something_else_are_refused(module, name, said) -> None:
    with pytest.raises(BlockError, match=said):
        train_rule(module, name).token_losses(tokens())


def test_a_stream_has_no_advantage_that_an_own_rule_could_ask_for(module) -> None:
    train = {"kind": "custom", "target": f"{module}:squared"}
    with pytest.raises(ConfigError, match="have no advantage"):
        parse_guidance({"train": train, "slot": {"kind": "stream_joint"}})


@pytest.mark.parametrize(
    ("block", "name", "options", "said"),
    [
        ("gate", "Gate", {"limt": 1}, "cannot be built with options"),
        ("source", "NoBlock", {}, "without draft, clean, origin"),
        ("slot", "NoBlock", {}, "without __call__, placement"),
    ],
)
def test_what_is_no_block_is_refused(module, block, name, options, said) -> None:
    found = {"kind": "custom", "target": f"{module}:{name}", "options": options}
    with pytest.raises(ConfigError, match=said):
        build_guidance(parse_guidance({block: found}), PromptsConfig())


@pytest.mark.parametrize(
    ("block", "name", "said"),
    [
        ("train", "plain_gate", r"missing a required argument: 'context'\); .*train\(tokens\)"),
        ("gate", "NUMBER", r"found int, which cannot be called; .*gate\(group, context\)"),
        ("gate", "one_argument", r"too many positional arguments\); .*gate\(group, context\)"),
        ("gate", "OneArgument", r"too many positional arguments\); .*gate\(group, context\)"),
        ("slot", "SlotOfOne", r"slot\(group, context\)"),
        ("source", "SourceOfOne", r"SourceOfOne\.draft: .*source\.draft\(group, context\)"),
    ],
)
def test_what_the_step_could_not_call_is_refused_before_the_run(module, block, name, said) -> None:
    found = {"kind": "custom", "target": f"{module}:{name}"}
    with pytest.raises(ConfigError, match=said):
        build_guidance(parse_guidance({block: found}), PromptsConfig())


def test_an_error_in_own_code_has_its_place(module) -> None:
    gate = import_object(f"{module}.py:broken_gate")
    with pytest.raises(AttributeError) as raised:
        gate(None, None)
    place = place_in_own_code(raised.value)
    assert place is not None
    assert place.endswith("in broken_gate")
    assert f"{module}.py, line " in place
    with pytest.raises(KeyError) as ours:
        {}["a"]
    assert place_in_own_code(ours.value) is None


def test_target_must_have_a_name() -> None:
    with pytest.raises(ConfigError, match=r"guidance\.gate\.target"):
        parse_guidance({"gate": {"kind": "custom", "target": "module_only"}})


def test_rewards_by_import_path(module) -> None:
    verifiers = build_verifiers(
        [
            RewardConfig(verifier=f"{module}:closeness", options={"scale": 2.0}),
            RewardConfig(verifier=f"{module}:Judge", options={"strict": True}, weight=0.5),
        ],
        [],
    )
    (function, one), (judge, half) = verifiers
    assert (one, half) == (1.0, 0.5)
    assert function.name == "closeness"
    assert [v.value for v in function.verify(["a", "b"], ["a", "a"])] == [2.0, 0.0]
    assert judge.strict is True
    assert isinstance(judge, Verifier)


@pytest.mark.parametrize(
    ("returned", "status"),
    [(1.0, "scored"), (True, "scored"), (None, "unscorable"), (math.nan, "error"), ("1", "error")],
)
def test_what_a_function_returns_is_never_turned_into_zero(returned, status) -> None:
    verdict = FunctionVerifier(lambda completion, answer: returned).verify(["a"], ["a"])[0]
    assert verdict.status == status
    assert (verdict.value is None) == (status != "scored")


def test_function_that_raises_is_a_verdict_with_its_message() -> None:
    def broken(completion, answer):
        raise KeyError("lost")

    verdict = FunctionVerifier(broken).verify(["a"], ["a"])[0]
    assert verdict.status == "error"
    assert "KeyError" in verdict.detail


@pytest.mark.parametrize("name", ["NUMBER", "Judge"])
def test_what_is_no_verifier_is_refused(module, name) -> None:
    with pytest.raises(VerifierError, match="required"):
        as_verifier(import_object(f"{module}:{name}"), {"nonsense": 1} if name == "Judge" else {})
