"""What a first configuration for a model and a data file rests on: all of it measured or read.

One pass over the first problems with the policy's tokenizer and the verifier, and the sizes of
model and machine; no weights are loaded. ``starting_text`` writes it down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.checking import CheckOptions, check_data
from rephrase_rl.assembly.objects import LAB_PREFIX, VERIFIER_OF_KIND
from rephrase_rl.assembly.plan_inputs import read_shape
from rephrase_rl.assembly.run_parts import starting_model
from rephrase_rl.assembly.starting_budgets import Budgets, expert_lengths, find_budgets
from rephrase_rl.assembly.starting_machine import Machine, largest_micro_batch, this_machine
from rephrase_rl.config import parse_config
from rephrase_rl.data.guessing import MappingGuess, guess_mapping, of_task
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.lab.policies import policy_path
from rephrase_rl.rollout.context_length import context_of

if TYPE_CHECKING:
    from rephrase_rl.config import RunConfig
    from rephrase_rl.data.inspection import DataReport
    from rephrase_rl.planning import ModelShape
    from rephrase_rl.planning.setting import Sharding

SAMPLE_PROBLEMS = 500
"""Problems from the start of the data that are measured and judged."""
GROUP_SIZE = 8
PROBLEMS_PER_STEP = 16
FEW_PROBLEMS = 2
"""Of a step of a model that is large for a CPU."""
SMALL_PARAMETERS = 5_000_000
"""Up to here a CPU trains on as many rows a step as a GPU."""
PAPERS_RATE, LABS_RATE = 1.0e-6, 2.0e-4

_TEST_NAMES = ("test", "eval", "validation", "valid", "dev")


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of a step and of a pass."""

    micro_rows: int
    accumulation: int
    problems: int
    """Different ones of a step, each with ``GROUP_SIZE`` rows."""
    fewer_than_usual: bool
    """Whether the data has not as many problems as a step would take."""
    peak_bytes: float | None
    """Of one device, estimated. None: the model's sizes are not known."""
    fits: bool | None
    sharding: Sharding = "ddp"
    """fsdp where a GPU cannot hold everything and all together can."""

    @property
    def rows_per_step(self) -> int:
        """Rollouts that a step trains on."""
        return self.problems * GROUP_SIZE


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """Everything that the written configuration says."""

    model: str
    data: str
    split: str | None
    guess: MappingGuess | None
    """None: the lab, which needs no mapping."""
    report: DataReport
    task_kind: str
    verifier: str
    budgets: Budgets
    batch: Batch
    machine: Machine
    parameters: int | None
    learning_rate: float
    test_file: str | None
    """A file beside the data whose name says that it is for testing, read with the same mapping."""
    method: str
    """RePO where there is something to rephrase, unless the user says another."""


def starting_point(
    model: str, data: str, *, split: str | None = None, named: Mapping[str, str] | None = None,
    mapping: str | None = None, task: str | None = None, method: str | None = None,
) -> StartingPoint:  # fmt: skip
    """Find out what a first configuration needs.

    Args:
        model: Local folder, hub id, GGUF file or ``lab:base``.
        data: File, folder or hub id of problems, or ``lab:hard`` ...
        split: Split of a Hugging Face dataset; None: train.
        named: Part -> column, as the user says it.
        mapping: A mapping's name, as the user says it; nothing is guessed then.
        task: The task kind, as the user says it; None: found out by the answers.
        method: ``repo`` or ``grpo``, as the user says it; None: by whether there are experts.

    Raises:
        DataError: The data cannot be read, its columns mean nothing known, or most rows are faulty.
        EngineError: The tokenizer cannot be loaded or has no chat template.
        ConfigError: Both ``mapping`` and ``named`` are given, or the mapping is unknown.
    """
    guess = _guess(data, split, named or {}, mapping, task)
    config = _preliminary(model, data, split, guess)
    report = check_data(config, (), CheckOptions(shown_rows=0)).report
    _refuse_unusable(report, data, guess)
    task_kind = max(report.task_kinds, key=lambda kind: report.task_kinds[kind])
    shape = _shape(config)
    machine = this_machine()
    method = method or ("repo" if report.with_expert else "grpo")
    if method == "repo" and not report.with_expert:
        raise DataError(
            f"{data}: found no expert solution in the first {report.rows} rows, and --method repo "
            "rewrites them; do this: name their column (--column expert_solution=COLUMN), or have "
            "a teacher write some (`rephrase-rl experts`)"
        )
    lengths = expert_lengths(config) if method == "repo" else []
    budgets = find_budgets(report, lengths, _context_tokens(config), machine.kind)
    return StartingPoint(
        model=model,
        data=data,
        split=split,
        guess=guess,
        report=report,
        task_kind=task_kind,
        verifier=VERIFIER_OF_KIND.get(task_kind, "math"),
        budgets=budgets,
        batch=_batch(shape, machine, budgets, report.problems),
        machine=machine,
        parameters=None if shape is None else shape.parameters,
        learning_rate=LABS_RATE if model.startswith(LAB_PREFIX) else PAPERS_RATE,
        test_file=_test_file(data, config),
        method=method,
    )


def _guess(
    data: str, split: str | None, named: Mapping[str, str], mapping: str | None, task: str | None
) -> MappingGuess | None:
    if mapping is not None and named:
        raise ConfigError(
            "found both --mapping and --column; required: one of them; do this: leave out "
            "--mapping to have the other columns guessed"
        )
    if data.startswith(LAB_PREFIX):
        return None
    if mapping is not None:
        guess = MappingGuess(mapping, ("you named it",))
        return guess if task is None else of_task(guess, task)
    return guess_mapping(data, split=split or "train", named=named, task=task)


def _preliminary(model: str, data: str, split: str | None, guess: MappingGuess | None) -> RunConfig:
    """A configuration that is good enough to look at the data with."""
    source: dict[str, Any] = {"path": data, "limit": SAMPLE_PROBLEMS}
    if guess is not None:
        source["mapping"] = guess.mapping
    if split is not None:
        source["split"] = split
    raw = {"method": "repo", "model": {"path": model}, "data": source}
    return parse_config(raw, "what the command line asks for")


def _refuse_unusable(report: DataReport, data: str, guess: MappingGuess | None) -> None:
    if report.problems * 2 >= report.rows > 0:
        return
    if not report.rows:
        raise DataError(f"{data}: found no rows; required: at least one problem")
    reasons = () if guess is None else guess.reasons
    raise DataError(
        f"{data}: found {report.rows - report.problems} of the first {report.rows} rows faulty "
        f"with the mapping that was guessed ({'; '.join(reasons)}); required: rows with question "
        "and answer; do this: name the columns (--column question=COLUMN), or correct the rows",
        [str(fault) for fault in report.faults[:10]],
    )


def _shape(config: RunConfig) -> ModelShape | None:
    try:
        return read_shape(config)[0]
    except ConfigError:  # mixtures of experts, GGUF files: no estimate
        return None


def _context_tokens(config: RunConfig) -> int | None:
    """The policy's context as its ``config.json`` says; None where it does not."""
    from transformers import AutoConfig

    model = starting_model(config)
    path = model.path
    if path.startswith(LAB_PREFIX):
        path = str(policy_path(path.removeprefix(LAB_PREFIX)))
    try:
        loaded = AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError):
        return None
    return context_of(loaded)


def _batch(
    shape: ModelShape | None, machine: Machine, budgets: Budgets, num_problems: int
) -> Batch:
    """Whole groups on every device, and no more problems than there are.

    Raises:
        DataError: There is not one problem for each device.
    """
    small = shape is not None and shape.parameters <= SMALL_PARAMETERS
    devices = max(1, len(machine.gpus))
    if num_problems < devices:
        raise DataError(
            f"found {num_problems} usable problem(s) and {devices} GPUs; required: a problem for "
            "each at least, since the rollouts of one stay together; do this: add problems, or "
            f"show fewer GPUs (CUDA_VISIBLE_DEVICES={','.join(map(str, range(num_problems)))})"
        )
    usual = max(PROBLEMS_PER_STEP if machine.kind == "gpu" or small else FEW_PROBLEMS, devices)
    problems = min(usual, num_problems) // devices * devices
    rows = problems * GROUP_SIZE
    lengths = (
        budgets.solve,
        budgets.max_completion_length,
        budgets.max_prompt_tokens or budgets.solve,
    )
    ways: tuple[Sharding, ...] = ("ddp", "fsdp") if devices > 1 else ("ddp",)
    tried = [
        Batch(micro, rows // (micro * devices), problems, num_problems < usual, peak, fits, way)
        for way in ways
        for micro, peak, fits in [
            largest_micro_batch(
                shape, machine, rows=rows, group_size=GROUP_SIZE, lengths=lengths, sharding=way
            )
        ]
    ]
    return next((batch for batch in tried if batch.fits is not False), tried[0])


def _test_file(data: str, config: RunConfig) -> str | None:
    """A file beside the data that is called like it, with ``test`` in place of ``train``."""
    path = Path(data)
    if not path.is_file() or "train" not in path.name:
        return None
    for word in _TEST_NAMES:
        beside = path.with_name(path.name.replace("train", word))
        if beside.is_file() and _is_readable(beside, config):
            return str(beside)
    return None


def _is_readable(path: Path, config: RunConfig) -> bool:
    source = config.data[0].model_copy(update={"path": str(path), "limit": 20})
    other = config.model_copy(update={"data": (source,)})
    options = CheckOptions(shown_rows=0, with_tokenizer=False, judge_experts=False)
    try:
        report = check_data(other, (), options).report
    except DataError:
        return False
    return bool(report.problems) and not report.faults
