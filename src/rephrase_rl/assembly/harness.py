"""General ability by lm-evaluation-harness, as results of the same form as our own benchmarks.

The harness (EleutherAI, ``lm-eval``) asks and scores; each of its documents becomes a problem with
one sample, whose value is the task's first metric. So its tasks stand in the same run directory, in
the same reports and in the same paired tests as everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rephrase_rl.assembly.evaluating import create_evaluation_run, write_evaluation
from rephrase_rl.assembly.objects import load_model_to_sample
from rephrase_rl.assembly.policies import resolve_policy_path, step_within, weights_fingerprint
from rephrase_rl.config import HarnessConfig, ModelConfig
from rephrase_rl.errors import ConfigError, EvaluationError
from rephrase_rl.evaluation import EvaluationProtocol, EvaluationResult
from rephrase_rl.evaluation.samples import EvaluationSample
from rephrase_rl.evaluation.summary import summarize_samples
from rephrase_rl.runs import RunDirectory

if TYPE_CHECKING:
    from rephrase_rl.rollout.policy import LoadedPolicy

TASK_FILE = (".yaml", ".yml")


def evaluate_with_harness(
    model: str,
    tasks: Sequence[str],
    *,
    seed: int,
    run_path: Path | None = None,
    command: Sequence[str] = (),
    options: HarnessConfig | None = None,
) -> dict[str, EvaluationResult]:
    """Evaluate a policy on tasks of lm-evaluation-harness, with weights in float32.

    Args:
        model: Run directory, checkpoint or adapter folder, hub id or ``lab:NAME``.
        tasks: Names of tasks or groups, or YAML files that each declare one task.
        seed: Of the harness (order of few-shot examples, sampling).
        run_path: Run directory to store results in, one benchmark a task. None: not stored.
        command: Command line, for the manifest of a new run directory.
        options: Limit, few-shot examples, batch size, chat template.

    Returns:
        By name of the task; a group gives each of its tasks.

    Raises:
        ConfigError: The harness is not installed, or knows no such task.
        EvaluationError: A task gives no number for each document, or ended with an error.
    """
    options = options or HarnessConfig()
    step = None if run_path is None else step_within(run_path, model)
    names, folders = _names_and_folders(tasks)
    manager = _task_manager(names, folders)
    path = resolve_policy_path(model)
    found = _evaluate(load_model_to_sample(ModelConfig(path=path)), names, manager, seed, options)
    results = {
        name: _result(name, rows, found["configs"][name], seed, options)
        for name, rows in found["samples"].items()
    }
    if run_path is None:
        return results
    if step is None:
        run, step = create_evaluation_run(run_path, model, dict.fromkeys(results), seed, command), 0
    else:
        run = RunDirectory.open(run_path)
    for name, result in results.items():
        provenance = {
            "model": model,
            "weights": weights_fingerprint(path),
            "engine": "lm-evaluation-harness",
            "seed": seed,
            "lm_eval": found["lm_eval_version"],
            "task_version": found["versions"].get(name),
            "num_fewshot": found["n-shot"].get(name),
            "measures": {
                key: value
                for key, value in found["results"][name].items()
                if isinstance(value, float | int)
            },
        }
        write_evaluation(run, step, name, result, provenance)
    return results


def _names_and_folders(tasks: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names that the harness knows, and a folder for each file among ``tasks``."""
    names, folders = [], []
    for task in tasks:
        if not task.endswith(TASK_FILE):
            names.append(task)
            continue
        names.append(_declared_name(Path(task)))
        folders.append(str(Path(task).resolve().parent))
    return names, folders


def _declared_name(file: Path) -> str:
    # Only the name is read here: the harness has tags of its own (!function), which it loads.
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--lm-eval: found no readable file {file} ({error}); required: a task of "
            "lm-evaluation-harness; do this: check the path"
        ) from error
    named = [line for line in lines if line.startswith("task:")]
    name = _text_of(named[0]) if len(named) == 1 else None
    if name is None:
        raise ConfigError(
            f"--lm-eval: found {len(named)} lines with `task:` in {file}; required: one, "
            "`task: NAME`; do this: name the task there"
        )
    return name


def _text_of(line: str) -> str | None:
    """The name in ``task: NAME``; None if something else stands there."""
    try:
        name = yaml.safe_load(line)["task"]
    except (yaml.YAMLError, ValueError):  # PyYAML converts dates by hand
        return None
    return name if isinstance(name, str) else None


def _task_manager(names: Sequence[str], folders: Sequence[str]) -> Any:
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise ConfigError(
            "--lm-eval: lm-evaluation-harness is not installed; required: lm-eval; do this: "
            "pip install '.[eval]'"
        ) from error
    # Reading the harness's own thousands of files takes seconds.
    own_only = bool(folders) and len(folders) == len(names)
    manager = TaskManager(
        include_path=list(dict.fromkeys(folders)) or None, include_defaults=not own_only
    )
    unknown = [name for name in names if name not in manager.all_tasks]
    if unknown:
        raise ConfigError(
            f"--lm-eval: found {', '.join(unknown)}; required: tasks or groups that "
            f"lm-evaluation-harness knows ({len(manager.all_tasks):,} here); do this: see "
            "`lm-eval ls tasks`, or give the YAML file of a task"
        )
    return manager


def _evaluate(
    policy: LoadedPolicy, names: Sequence[str], manager: Any, seed: int, options: HarnessConfig
) -> dict[str, Any]:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    model = HFLM(
        pretrained=policy.model,
        tokenizer=policy.tokenizer,
        batch_size=options.batch_size,
        device=str(policy.model.device),
    )
    try:
        found: dict[str, Any] | None = simple_evaluate(
            model=model,
            tasks=list(names),
            task_manager=manager,
            num_fewshot=options.num_fewshot,
            limit=options.limit,
            apply_chat_template=options.chat_template,
            bootstrap_iters=0,
            random_seed=seed,
            numpy_random_seed=seed,
            torch_random_seed=seed,
            fewshot_random_seed=seed,
        )
    # Tasks load data sets and run code of their own, and raise whatever that raises.
    except Exception as error:
        raise EvaluationError(
            f"lm-evaluation-harness ended with {type(error).__name__}: {error}; required: tasks "
            "whose data can be read here; do this: check the task's dataset_path (a hub id needs "
            "a connection) and its requirements"
        ) from error
    if found is None:
        raise EvaluationError(
            "lm-evaluation-harness gave no results, as in all but the first of several processes; "
            "required: one process; do this: start the command without a launcher"
        )
    return found


def _result(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    task: Mapping[str, Any],
    seed: int,
    options: HarnessConfig,
) -> EvaluationResult:
    metric = rows[0]["metrics"][0]
    # A task may look at the same answers through several filters; the first is its main one.
    chosen = [row for row in rows if row["filter"] == rows[0]["filter"]]
    wrong = [row["doc_id"] for row in chosen if not isinstance(row[metric], float | int)]
    if wrong:
        raise EvaluationError(
            f"task {name}: metric {metric} has no number for documents {wrong[:5]}; required: one "
            "for each document; do this: put a metric of single documents first in metric_list"
        )
    generation = task.get("generation_kwargs") or {}
    protocol = EvaluationProtocol(
        name=name,
        samples_per_problem=1,
        temperature=float(generation.get("temperature") or 0.0),
        top_p=1.0,
        max_new_tokens=int(generation.get("max_gen_toks") or 1),
        verifier=f"lm-eval:{metric}",
        solve_template=f"lm-eval:{name}",
        seed=seed,
        limit=options.limit,
    )
    samples = [
        EvaluationSample(
            problem_id=str(row["doc_id"]),
            sample=0,
            text=_answer_text(row, task),
            status="scored",
            value=float(row[metric]),
            answer=None,
            reference_answer=str(row["target"]),
            num_tokens=0,
            finished=True,
        )
        for row in chosen
    ]
    return summarize_samples(samples, protocol)


def _answer_text(row: Mapping[str, Any], task: Mapping[str, Any]) -> str:
    """What the policy answered: its text, or the choice of the highest likelihood."""
    if task.get("output_type") != "multiple_choice":
        return str(row["filtered_resps"][0])
    likelihoods = [response[0] for response in row["filtered_resps"]]
    best = max(range(len(likelihoods)), key=likelihoods.__getitem__)
    argument = row["arguments"][best] if isinstance(row["arguments"], Sequence) else None
    return str(argument[-1]) if argument is not None else str(best)
