"""Objects that a configuration names: problems, policy, verifiers, templates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from accelerate import PartialState

from rephrase_rl.assembly.imports import import_object
from rephrase_rl.config import MappingConfig, TableConfig
from rephrase_rl.data import ColumnMapping, get_mapping, load_problems, scan_problems
from rephrase_rl.errors import ConfigError
from rephrase_rl.lab.families import CHAIN, FAMILIES
from rephrase_rl.lab.policies import policy_path
from rephrase_rl.lab.problems import (
    easy_problems,
    general_problems,
    hard_problems,
    mixed_training_problems,
)
from rephrase_rl.prompts import default_template, get_template
from rephrase_rl.rewards import as_verifier, get_verifier
from rephrase_rl.rollout import load_policy, load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rephrase_rl.config import (
        DataConfig,
        JudgeConfig,
        ModelConfig,
        PromptsConfig,
        RewardConfig,
    )
    from rephrase_rl.data import BadRow
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
        mapping=column_mapping(data),
        split=data.split,
        config_name=data.config_name,
        revision=data.revision,
        limit=data.limit,
    )


def scan_data(data: DataConfig) -> Iterator[Problem | BadRow]:
    """Like ``load_data``, one by one: bad rows come out with their faults.

    Raises:
        DataError: The source is not there, or cannot be read.
        ConfigError: A lab set does not exist or has no such split.
    """
    if data.path.startswith(LAB_PREFIX):
        return iter(_lab_problems(data))
    return scan_problems(
        data.path,
        mapping=column_mapping(data),
        split=data.split,
        config_name=data.config_name,
        revision=data.revision,
        limit=data.limit,
    )


def column_mapping(data: DataConfig) -> ColumnMapping:
    """The mapping that a configuration names or describes, with its handling of thoughts.

    Raises:
        DataError: The name is unknown, or what is described contradicts itself; with all faults.
    """
    thoughts: dict[str, Any] = {"expert_part": data.expert_part, "strip_think": data.strip_think}
    if not isinstance(data.mapping, MappingConfig):
        return dataclasses.replace(get_mapping(data.mapping), **thoughts)
    base = get_mapping(data.mapping.like)
    changes = {**_given(data.mapping), "name": f"mapping of {data.name}", **thoughts}
    del changes["like"]
    changes["required"] = _named_columns(data.mapping)
    changes["table"] = dataclasses.replace(base.table, **_given(data.mapping.table))
    return dataclasses.replace(base, **changes)


def _given(block: MappingConfig | TableConfig) -> dict[str, Any]:
    """The fields of a block that are not null."""
    return {name: value for name, value in block if value is not None}


def _named_columns(mapping: MappingConfig) -> tuple[str, ...]:
    """The columns that a configuration names, less the alternatives for the question."""
    named = (
        mapping.options,
        mapping.reference_answer,
        mapping.unit,
        mapping.boxed_answer,
        mapping.worked_answer,
        mapping.expert_solution,
        mapping.problem_id,
        mapping.task_kind,
        *(mapping.context or ()),
        *(mapping.wrong_options or ()),
        *(mapping.expert_flags or ()),
    )
    return tuple(path for path in named if path is not None)


def _lab_problems(data: DataConfig) -> list[Problem]:
    name = data.path.removeprefix(LAB_PREFIX)
    prefix, _, rest = name.partition("-")
    family, kind = (FAMILIES[prefix], rest) if prefix in FAMILIES else (CHAIN, name)
    count = data.limit or LAB_DEFAULT_COUNT
    if data.split not in ("train", "test", "check"):
        raise ConfigError(
            f"data.split: found {data.split!r}; the lab has train, test and check: use one of them"
        )
    split = cast("Split", data.split)
    if kind == "hard":
        return hard_problems(count, split=split, seed=data.seed, expert=data.expert, family=family)
    if kind == "easy":
        return easy_problems(count, split=split, seed=data.seed, family=family)
    if name == "general":
        return general_problems(count, split=split, seed=data.seed)
    if kind == "mixed" and split == "train":
        return mixed_training_problems(count, data.seed, expert=data.expert, family=family)
    raise ConfigError(
        f"data.path: found {data.path!r} with split {split!r}; the lab has lab:hard, lab:easy, "
        "lab:general, and lab:mixed of the train split, and of its second task family lab:ab-hard, "
        "lab:ab-easy and lab:ab-mixed: use one of them"
    )


def load_model(
    model: ModelConfig, *, merge_adapter: bool = True, four_bits: bool = False
) -> LoadedPolicy:
    """The policy and its tokenizer, from the hub, a folder or the lab.

    Args:
        model: Where it is.
        merge_adapter: See ``load_policy``.
        four_bits: See ``load_policy``.
    """
    return load_policy(
        model_path(model),
        revision=model.revision,
        dtype=model.dtype,
        gguf_file=model.gguf_file,
        trust_remote_code=model.trust_remote_code,
        merge_adapter=merge_adapter,
        four_bits=four_bits,
    )


def load_model_to_sample(model: ModelConfig) -> LoadedPolicy:
    """``load_model`` on this process's GPU, if it has one; training moves its policy by itself."""
    policy = load_model(model)
    policy.model.to(PartialState().device)
    return policy


def load_model_tokenizer(model: ModelConfig) -> Any:
    """The tokenizer of a policy alone, without its weights."""
    return load_tokenizer(
        model_path(model),
        revision=model.revision,
        gguf_file=model.gguf_file,
        trust_remote_code=model.trust_remote_code,
    )


def model_path(model: ModelConfig) -> str:
    """Where ``transformers`` finds a model: its path as it is, or the folder of a lab policy."""
    if model.path.startswith(LAB_PREFIX):
        return str(policy_path(model.path.removeprefix(LAB_PREFIX)))
    return model.path


def solve_template(problem: Problem, prompts: PromptsConfig) -> PromptTemplate:
    """The template that asks for a solution of this problem."""
    if prompts.solve is not None:
        return get_template(prompts.solve, "solve")
    return default_template(problem.task_kind, "solve", prompts.style)


def rephrase_template(problem: Problem, prompts: PromptsConfig) -> PromptTemplate:
    """The template P(q, k) of this problem."""
    if prompts.rephrase is not None:
        return get_template(prompts.rephrase, "rephrase")
    return default_template(problem.task_kind, "rephrase", prompts.style)


def task_kind_of(problems: Sequence[Problem]) -> str:
    """The one task kind of a set.

    Raises:
        ConfigError: There are several.
    """
    kinds = sorted({problem.task_kind for problem in problems})
    if len(kinds) != 1:
        raise ConfigError(
            f"data: found problems of {len(kinds)} task kinds ({', '.join(kinds)}) in one set; "
            "without `rewards` a set must be of one kind: name the verifier under `rewards`, or "
            "make a set of each kind"
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
    return [(build_verifier(reward), reward.weight) for reward in rewards]


def build_judge(judge: JudgeConfig | None, problems: Sequence[Problem]) -> Verifier:
    """One verifier; None: the task kind's own."""
    if judge is not None:
        return build_verifier(judge)
    ((verifier, _),) = build_verifiers((), problems)
    return verifier


def build_verifier(reward: JudgeConfig) -> Verifier:
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
