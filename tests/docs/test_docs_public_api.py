"""The public names and their arguments are frozen: a change is told in the changelog."""

from __future__ import annotations

import inspect

import pytest

import rephrase_rl

FROZEN = {
    "AlwaysGate": "",
    "FailedShareGate": "gate_failure_fraction=, failure_reward_threshold=",
    "Finished": "name=",
    "Guidance": (
        "gate=, source=, accept=, slot=, train=, sampling=, num_candidates=, choice=, "
        "temperature=, top_p=, max_prompt_tokens=, over_length=, failure_reward_threshold=, "
        "correctness=, correctness_of=, std_ddof=, advantage_eps=, no_spread=, max_rounds=, "
        "expert_logp_every="
    ),
    "NoMetaText": "name=",
    "Problem": (
        "problem_id, messages, reference_answer, expert_solution=, task_kind=, metadata=, dataset="
    ),
    "RePOTrainer": "*args, guidance=, stream=, compute=, token_logps=, on_groups=, **kwargs",
    "RephraseSource": "template=, strip_meta_text=, style=",
    "ReplaceWorst": "",
    "RewardAboveReplaced": "name=",
    "RolloutGroup": "problem, rollouts",
    "RunDirectory": "path, manifest",
    "StepContext": "step, rank=, seed=, history=",
    "VerifierReward": "verifier, *, unscorable_limit=, window=",
    "get_verifier": "name, **options",
    "load_config": "path, overrides=",
    "load_problems": "path, *, mapping=, split=, config_name=, revision=, limit=",
    "parse_config": "raw, where=, overrides=",
    "preset_guidance": "method, overrides=",
    "train_run": (
        "config, *, run_path, command, resume=, resume_from=, overwrite=, on_step=, on_progress="
    ),
}


def arguments_of(value: object) -> str:
    """Names of the arguments; ``=`` marks a default, ``*`` what has to be named."""
    parts, named = [], False
    for parameter in inspect.signature(value).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not named:
            named = True
            parts.append("*")
        sign = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        named = named or sign == "*"
        has_default = parameter.default is not parameter.empty
        parts.append(f"{sign}{parameter.name}{'=' if has_default else ''}")
    return ", ".join(parts)


def test_the_names_are_those_of_the_list() -> None:
    assert sorted(rephrase_rl.__all__) == sorted(["__version__", *FROZEN])
    assert set(rephrase_rl.__all__) <= set(dir(rephrase_rl))


@pytest.mark.parametrize("name", FROZEN)
def test_the_arguments_are_those_of_the_list(name: str) -> None:
    assert arguments_of(getattr(rephrase_rl, name)) == FROZEN[name]


@pytest.mark.parametrize("name", FROZEN)
def test_every_public_name_is_documented(name: str) -> None:
    value = getattr(rephrase_rl, name)
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        public = [n for n in vars(value) if not n.startswith("_")]
        members = [m for m in (inspect.getattr_static(value, n) for n in public)
                   if inspect.isfunction(m) or isinstance(m, property)]  # fmt: skip
        assert all(inspect.getdoc(member) for member in members)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = rephrase_rl.nonsense
