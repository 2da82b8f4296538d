"""Expert solutions from a teacher: sample, verify, keep the best of n, write a data set.

Sampling comes first and is never undone: samples go to a file of their own, from which the data set
is made when all problems have theirs. A run that stops early goes on where it stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rephrase_rl.assembly.expert_dataset import dataset_rows, write_dataset
from rephrase_rl.assembly.expert_samples import SampleFile
from rephrase_rl.assembly.expert_sampling import ExpertSampling
from rephrase_rl.assembly.objects import VERIFIER_OF_KIND, build_verifiers, load_data
from rephrase_rl.assembly.teachers import EndpointTeacher, LocalTeacher
from rephrase_rl.config import RewardConfig, config_to_plain
from rephrase_rl.data import data_fingerprint
from rephrase_rl.endpoints import Spending
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.records import to_json
from rephrase_rl.runs import collect_manifest
from rephrase_rl.runs.atomic import write_bytes
from rephrase_rl.runs.jsonl import encode

if TYPE_CHECKING:
    from rephrase_rl.assembly.teachers import Teacher
    from rephrase_rl.config import ExpertsConfig
    from rephrase_rl.records import Problem
    from rephrase_rl.rewards import Verifier


@dataclass(frozen=True, slots=True)
class ExpertsSummary:
    """What became of the problems; counted over all samples, those of earlier parts included."""

    output: Path
    problems: int
    solved: int
    """Problems with a correct sample."""
    unsolved: int
    written: int
    """Rows of the data set."""
    samples: int
    outcomes: Mapping[str, int]
    """Samples by outcome: ``correct``, and the reasons against the others."""
    prompt_tokens: int
    """Sent to the teacher, as far as it counts them."""
    completion_tokens: int
    """Sampled, as far as the teacher counts them."""
    cost: float | None
    """Of these tokens at the prices of ``teacher.budget``. None: no prices."""
    now_requests: int
    """Requests that this run sent; 0 for a teacher on this machine."""
    now_cached: int
    """Replies that this run found recorded."""


def sample_experts(
    config: ExpertsConfig,
    *,
    command: Sequence[str] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> ExpertsSummary:
    """Sample, verify, choose and write.

    Args:
        config: Problems, teacher, sampling, verifier, choice and output.
        command: Command line, for the summary file.
        on_progress: Called with (problems sampled, problems).

    Raises:
        ConfigError: The output belongs to something else, or a task kind has no verifier.
        DataError: The problems are not usable, or none could be solved.
        BudgetError: The teacher's budget is used up; what was sampled is kept.
        EndpointError: The teacher does not answer at all.
    """
    problems = _load_problems(config)
    output = Path(config.output).expanduser()
    file = SampleFile(_beside(output, "samples.jsonl"))
    _refuse_foreign(output, file)
    teacher = _build_teacher(config, output)
    with _verifiers(config, problems) as verifiers:
        ExpertSampling(config, teacher, verifiers, problems, file).run(on_progress)
    rows = dataset_rows(problems, file.get, config)
    summary = _summarize(config, problems, file, teacher, len(rows))
    facts = {
        "data": data_fingerprint(problems),
        "config": config_to_plain(config),
        "summary": {**to_json(summary), "output": output.name},
    }
    manifest = collect_manifest(list(command), config.seed, facts)
    write_bytes(_beside(output, "summary.json"), encode(manifest, indent=2) + b"\n")
    if not rows:
        counted = ", ".join(f"{count} {name}" for name, count in summary.outcomes.items())
        raise DataError(
            f"none of {summary.problems} problems has a correct sample ({counted}); required: at "
            f"least one for a data set. The samples are kept in {file.path}: look at them, and "
            "change teacher, prompt, length limit or verifier"
        )
    write_dataset(output, rows)
    return summary


def _beside(output: Path, ending: str) -> Path:
    """A file of the same name with another ending."""
    return output.with_name(f"{output.stem}.{ending}")


def _load_problems(config: ExpertsConfig) -> list[Problem]:
    """All problems, each with an id and a verifier of its own."""
    problems = [problem for data in config.data for problem in load_data(data)]
    counts = Counter(problem.problem_id for problem in problems)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if repeated:
        raise DataError(
            f"data: found {len(repeated)} problem ids that occur more than once, such as "
            f"{repeated[0]!r}; required: distinct ids, by which samples are kept: rename them"
        )
    kinds = {problem.task_kind for problem in problems}
    unknown = sorted(kinds - set(VERIFIER_OF_KIND)) if config.verifier is None else []
    if unknown:
        raise ConfigError(
            f"data: found problems of task kind {', '.join(unknown)}, which has no verifier of its "
            f"own (those of {', '.join(sorted(VERIFIER_OF_KIND))} have); required: one; do this: "
            "name it in `verifier`, such as judge"
        )
    return problems


def _refuse_foreign(output: Path, file: SampleFile) -> None:
    """Leave a file alone that nothing here has written."""
    if output.exists() and not file.path.exists():
        raise ConfigError(
            f"output: {output} is there and was not written by this command ({file.path.name} is "
            "missing); required: a new file, or the output of an earlier part; do this: choose "
            "another name"
        )


def _build_teacher(config: ExpertsConfig, output: Path) -> Teacher:
    if config.teacher.kind == "model":
        return LocalTeacher(config.teacher, config)
    endpoint = config.teacher
    if endpoint.cache is None:
        cache = str(_beside(output, "replies.jsonl"))
        endpoint = endpoint.model_copy(update={"cache": cache})
    return EndpointTeacher(endpoint, config)


@contextmanager
def _verifiers(config: ExpertsConfig, problems: Sequence[Problem]) -> Iterator[dict[str, Verifier]]:
    """Verifiers by task kind, closed in the end."""
    kinds = {problem.task_kind: problem for problem in problems}
    rewards = []
    if config.verifier is not None:
        rewards = [RewardConfig(verifier=config.verifier, options=config.verifier_options)]
    built: dict[str, Verifier] = {}
    try:
        for kind, problem in kinds.items():
            ((built[kind], _),) = build_verifiers(rewards, [problem])
        yield built
    finally:
        for verifier in built.values():
            verifier.close()


def _summarize(
    config: ExpertsConfig,
    problems: Sequence[Problem],
    file: SampleFile,
    teacher: Teacher,
    written: int,
) -> ExpertsSummary:
    threshold = config.failure_reward_threshold
    found = [line for problem in problems if (line := file.get(problem.problem_id)) is not None]
    outcomes: Counter[str] = sum((line.outcomes(threshold) for line in found), Counter())
    samples = [judged.sample for line in found for judged in line.samples]
    solved = sum(line.outcomes(threshold)["correct"] > 0 for line in found)
    tokens = Spending(
        prompt_tokens=sum(sample.prompt_tokens or 0 for sample in samples),
        completion_tokens=sum(sample.num_tokens or 0 for sample in samples),
    )
    endpoint = teacher.endpoint if isinstance(teacher, EndpointTeacher) else None
    return ExpertsSummary(
        output=Path(config.output),
        problems=len(problems),
        solved=solved,
        unsolved=len(problems) - solved,
        written=written,
        samples=len(samples),
        outcomes=dict(outcomes.most_common()),
        prompt_tokens=tokens.prompt_tokens,
        completion_tokens=tokens.completion_tokens,
        cost=None if endpoint is None else endpoint.budget.cost(tokens),
        now_requests=0 if endpoint is None else endpoint.spent.requests,
        now_cached=0 if endpoint is None else endpoint.spent.cached,
    )
