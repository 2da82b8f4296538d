"""Objects that a configuration names: problems, policy, verifiers, templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from rephrase_rl.assembly.imports import import_object
from rephrase_rl.data import load_problems
from rephrase_rl.errors import ConfigError
from rephrase_rl.lab.policies import policy_path
from rephrase_rl.lab.problems import (
    easy_problems,
    general_problems,
    hard_problems,
    mixed_training_problems,
)
from rephrase_rl.prompts import default_template, get_template
from rephrase_rl.rewards import as_verifier, get_verifier
from rephrase_rl.rollout import load_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.config import (
        DataConfig,
        ModelConfig,
        PromptsConfig,
        RewardConfig,
        RunConfig,
    )
    from rephrase_rl.lab.splits import Split
    from rephrase_rl.prompts import PromptTemplate
    from rephrase_rl.records import Problem
    from rephrase_rl.rewards import Verifier
    from rephrase_rl.rollout import LoadedPolicy

LAB_PREFIX = "lab:"
"""Paths that start with it mean the lab's generators and shipped policies."""
LAB_DEFAULT_COUNT = 2000
"""Problems that a lab set holds where no limit is given."""
VERIFIER_OF_KIND = {
    "math": "math",
    "lab": "exact",
    "choice": "choice",
    "finance": "number",
    "text": "text_exact",
}
"""Verifier of a task kind where the configuration names none."""


def load_data(data: DataConfig) -> list[Problem]:
    """The problems of one data source.

    Raises:
        DataError: Rows are not usable, or the source is not there.
        ConfigError: A lab set does not exist or has no such split.
    """
    if data.path.startswith(LAB_PREFIX):
        return _lab_problems(data)
    return load_problems(
        data.path,
        mapping=data.mapping,
        split=data.split,
        config_name=data.config_name,
        revision=data.revision,
        limit=data.limit,
    )


def _lab_problems(data: DataConfig) -> list[Problem]:
    kind = data.path.removeprefix(LAB_PREFIX)
    count = data.limit or LAB_DEFAULT_COUNT
    if data.split not in ("train", "test", "check"):
        raise ConfigError(
            f"data.split: found {data.split!r}; the lab has train, test and check: use one of them"
        )
    split = cast("Split", data.split)
    if kind == "hard":
        return hard_problems(count, split=split, seed=data.seed, expert=data.expert)
    if kind == "easy":
        return easy_problems(count, split=split, seed=data.seed)
    if kind == "general":
        return general_problems(count, split=split, seed=data.seed)
    if kind == "mixed" and split == "train":
        return mixed_training_problems(count, data.seed, expert=data.expert)
    raise ConfigError(
        f"data.path: found {data.path!r} with split {split!r}; the lab has lab:hard, lab:easy, "
        "lab:general, and lab:mixed of the train split: use one of them"
    )


def load_model(model: ModelConfig) -> LoadedPolicy:
    """The policy and its tokenizer, from the hub, a folder or the lab."""
    path = model.path
    if path.startswith(LAB_PREFIX):
        path = str(policy_path(path.removeprefix(LAB_PREFIX)))
    return load_policy(path, revision=model.revision, dtype=model.dtype, gguf_file=model.gguf_file)


def solve_template(problem: Problem, prompts: PromptsConfig) -> PromptTemplate:
    """The template that asks for a solution of this problem."""
    if prompts.solve is not None:
        return get_template(prompts.solve)
    return default_template(problem.task_kind, "solve")


def rephrase_template(problem: Problem, prompts: PromptsConfig) -> PromptTemplate:
    """The template P(q, k) of this problem."""
    if prompts.rephrase is not None:
        return get_template(prompts.rephrase)
    return default_template(problem.task_kind, "rephrase")


def task_kind_of(problems: Sequence[Problem]) -> str:
    """The one task kind of a set.

    Raises:
        ConfigError: There are several.
    """
    kinds = sorted({problem.task_kind for problem in problems})
    if len(kinds) != 1:
        raise ConfigError(
            f"data: found problems of {len(kinds)} task kinds ({', '.join(kinds)}); without "
            "`rewards` they must be of one kind: name the verifier under `rewards`"
        )
    return kinds[0]


def build_verifiers(
    rewards: Sequence[RewardConfig], problems: Sequence[Problem]
) -> list[tuple[Verifier, float]]:
    """Verifiers with their weights; the task kind's own where none is configured.

    Raises:
        ConfigError: None is configured and the task kind has none, or there are several kinds.
        VerifierError: A verifier is unknown or its options are not valid.
    """
    if not rewards:
        kind = task_kind_of(problems)
        if kind not in VERIFIER_OF_KIND:
            raise ConfigError(
                f"data: found task kind {kind!r}, which has no verifier of its own (those with one "
                f"are {', '.join(VERIFIER_OF_KIND)}); name one under `rewards`"
            )
        return [(get_verifier(VERIFIER_OF_KIND[kind]), 1.0)]
    return [(_verifier(reward), reward.weight) for reward in rewards]


def reward_names(config: RunConfig, verifiers: Sequence[tuple[Verifier, float]]) -> dict[str, str]:
    """How the configuration calls each verifier -> the name that it has in metrics.

    They differ for one by import path.
    """
    called = [reward.verifier for reward in config.rewards]
    names = [verifier.name for verifier, _ in verifiers]
    return dict(zip(called, names, strict=False))


def _verifier(reward: RewardConfig) -> Verifier:
    """One of ours by name, or the user's by import path."""
    if ":" not in reward.verifier:
        options = {name: _with_own_parts(value) for name, value in reward.options.items()}
        return get_verifier(reward.verifier, **options)
    return as_verifier(import_object(reward.verifier), reward.options)


def _with_own_parts(option: Any) -> Any:
    """An option of a composite in which verifiers by import path are built."""
    if isinstance(option, list | tuple):
        return [_with_own_parts(item) for item in option]
    if not isinstance(option, Mapping) or not set(option) <= {"verifier", "options"}:
        return option
    options = {name: _with_own_parts(value) for name, value in option.get("options", {}).items()}
    if ":" in str(option.get("verifier", "")):
        return as_verifier(import_object(option["verifier"]), options)
    return {**option, "options": options}
