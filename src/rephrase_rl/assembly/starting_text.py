"""A starting point as a commented configuration, which is checked before anyone sees it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rephrase_rl.config import parse_config
from rephrase_rl.config.blocks.sources import RephraseSource
from rephrase_rl.config.yaml_text import read_yaml, write_yaml
from rephrase_rl.methods import resolve_config
from rephrase_rl.visible_text import plain_text

if TYPE_CHECKING:
    from rephrase_rl.assembly.starting import StartingPoint

GIB = 1024**3
WIDTH = 96
NEWLINE = "\n"


def starting_yaml(point: StartingPoint, name: str) -> str:
    """The configuration as text, with a reason beside every value that was found out.

    Args:
        point: What was found out.
        name: Of the data set, as records call it.

    Raises:
        ConfigError: The result is not valid, which would be a fault of this module.
    """
    blocks = [
        _head(point),
        _model(point),
        _data(point, name),
        write_yaml({"seed": 0}).rstrip(),
        _guidance(point),
        _trainer(point),
        _evaluation(point),
        _plan(point),
    ]
    text = "\n".join(block for block in blocks if block) + "\n"
    resolve_config(parse_config(read_yaml(text), "the configuration that was written"))
    return text


def _head(point: StartingPoint) -> str:
    lines = _comment("Written by `rephrase-rl init`; every value may be changed.")
    if point.method == "repo":
        lines += _comment(
            "The method is one line: `--set method=grpo` (or luffy, sft ...) runs another one on "
            "the same data; `rephrase-rl methods` lists them."
        )
    elif point.report.with_expert:
        lines += _comment(
            "Plain GRPO, as was asked for; the experts of the data are not used. Lengths are not "
            "measured for rewriting: for RePO run init again without --method."
        )
    else:
        lines += _comment(
            "No row has an expert solution, so there is nothing to rephrase and the method is "
            "plain GRPO. `rephrase-rl experts` gets solutions from a teacher; then run init again."
        )
    return "\n".join([*lines, f"method: {point.method}"])


def _model(point: StartingPoint) -> str:
    said = "sizes not known, so memory was not estimated"
    if point.parameters is not None:
        said = f"{point.parameters:,} parameters"
    return "\n".join(
        [
            "model:",
            f"  {_pair('path', point.model)} # {said}",
            "  dtype: float32 # of the weights: steps of 1e-6 are lost to rounding in bfloat16",
            *_comment(
                "lora: {r: 16} trains adapters in the place of all weights: less memory, dtype may "
                "be bfloat16, and learning_rate is ten times as high (docs/lora.md)",
                "  ",
            ),
        ]
    )


def _data(point: StartingPoint, name: str) -> str:
    report = point.report
    lines = ["data:", f"  - {_pair('name', name)}", f"    {_pair('path', point.data)}"]
    if point.split is not None:
        lines.append(f"    {_pair('split', point.split)}")
    if point.guess is not None:
        for reason in point.guess.reasons:
            lines += _comment(reason, "    ")
        lines += _indented({"mapping": point.guess.mapping}, "    ")
    lines += _comment(
        f"First {report.rows:,} rows: {report.problems:,} problems, {report.with_expert:,} with an "
        f"expert solution, {len(report.faults)} fault(s)"
        f"{', see rephrase-rl data check' if report.faults else ''}.",
        "    ",
    )
    if point.budgets.left_out:
        lines += _comment(
            f"{point.budgets.left_out:,} of {point.budgets.experts:,} experts do not fit into the "
            f"policy's context of {point.budgets.context} tokens with question and rewrite; their "
            "problems train without them.",
            "    ",
        )
    if point.budgets.expert_tokens is not None:
        lines.append(f"    expert_tokens: {point.budgets.expert_tokens}")
        lines.append("    over_expert_tokens: leave_out")
    verdicts = [
        f"{found.verifier} accepts {found.accepted} of the {found.judged} experts judged"
        for found in report.expert_verdicts.values()
    ]
    task = f"task kind {point.task_kind}" + "".join(f"; {said}" for said in verdicts)
    return "\n".join([*lines, f"rewards: # {plain_text(task)}", f"  - verifier: {point.verifier}"])


def _guidance(point: StartingPoint) -> str:
    """The limit of P(q, k) where the default is too low."""
    budgets = point.budgets
    default = RephraseSource().max_prompt_tokens
    if budgets.max_prompt_tokens is None:
        return ""
    longest = f"The longest P(q, k) of the sample has {budgets.rephrase} tokens"
    if not budgets.left_out and budgets.max_prompt_tokens <= default:
        return "\n".join(_comment(f"{longest}, within the default limit of {default}."))
    lines = _comment(f"{longest}. Methods without rewrites leave this out and say so.")
    lines += ["guidance:", "  source:", f"    max_prompt_tokens: {budgets.max_prompt_tokens}"]
    return "\n".join(lines)


def _trainer(point: StartingPoint) -> str:
    budgets, batch, machine = point.budgets, point.batch, point.machine
    where = "experts have up to" if budgets.expert is not None else "no expert says how long;"
    length = f"{where} {budgets.expert} tokens (99 %)" if budgets.expert is not None else where
    if budgets.shortened:
        length += f"; P(q, k) takes the rest of the context of {budgets.context}"
    rate = "the paper's" if point.learning_rate < 1e-5 else "the lab's"
    lines = ["trainer:"]
    lines += _comment(f"Made for: {_machine_words(point)}.", "  ")
    if batch.fits is False:
        lines += _comment(
            "DOES NOT FIT by the estimate, even with one row a pass: `rephrase-rl plan` lists what "
            "would (adapters: model.lora; sharding; a smaller model).",
            "  ",
        )
    if batch.sharding == "fsdp":
        lines += _comment(
            "One GPU cannot hold weights, gradients and moments, all together can (FSDP): start it "
            "with `accelerate launch --config_file recipes/accelerate/fsdp_8_gpus.yaml "
            f"--num_processes {len(machine.gpus)} -m rephrase_rl.cli.main train`.",
            "  ",
        )
    lines.append(
        f"  per_device_train_batch_size: {batch.micro_rows} # rows of one pass{_peak(point)}"
    )
    lines.append(
        f"  gradient_accumulation_steps: {batch.accumulation} # {batch.rows_per_step} rows a step: "
        f"{batch.problems} problems x 8 rollouts"
        f"{f', since the data has {point.report.problems}' if batch.fewer_than_usual else ''}"
    )
    lines.append("  num_generations: 8")
    lines.append(f"  max_completion_length: {budgets.max_completion_length} # {length}")
    lines.append(f"  learning_rate: {point.learning_rate} # {rate}")
    if machine.kind == "gpu":
        lines.append(f"  bf16: {str(machine.bfloat16).lower()}")
        lines.append("  gradient_checkpointing: true")
        lines.append("  num_train_epochs: 1")
        lines.append("  save_strategy: steps")
        lines.append("  save_steps: 50")
        lines += _comment("use_vllm: true # much faster sampling, with the extra `vllm`", "  ")
    else:
        lines.append("  max_steps: 20 # a first look; num_train_epochs: 1 instead for all of it")
    return "\n".join(lines)


def _evaluation(point: StartingPoint) -> str:
    if point.model.startswith("lab:") and point.data.startswith("lab:"):
        return "\n".join(["evaluation:", "  before: true", *_benchmark(point, point.data, 200)])
    if point.test_file is not None and point.batch.sharding == "fsdp":
        lines = _comment(
            "FSDP divides the weights, and nothing can be evaluated during such a run. Afterwards, "
            "with this section in a copy of this file: `rephrase-rl eval RUN --like COPY.yaml "
            "--out RUN`."
        )
        section = ["evaluation:", *_benchmark(point, point.test_file, 100)]
        return "\n".join([*lines, *("# " + line for line in section)])
    if point.test_file is not None:
        return "\n".join(
            [
                "evaluation:",
                "  before: true # the starting policy too",
                *_benchmark(point, point.test_file, 100),
            ]
        )
    lines = _comment(
        "Problems that are not trained on show what was learned; none were found beside the data. "
        "Put some into a file and name it here:"
    )
    lines += _comment("evaluation:")
    lines += ["# " + line for line in ("  before: true", *_benchmark(point, "HELD_OUT_FILE", 100))]
    return "\n".join(lines)


def _benchmark(point: StartingPoint, path: str, limit: int) -> list[str]:
    source: dict[str, Any] = {"path": path, "limit": limit}
    if point.guess is not None:
        source["mapping"] = point.guess.mapping
    benchmark = {
        "name": "test",
        "data": source,
        "samples_per_problem": 1,
        "temperature": 0.0,
        "max_new_tokens": point.budgets.max_completion_length,
    }
    return _indented({"benchmarks": [benchmark]}, "  ")


def _plan(point: StartingPoint) -> str:
    known = point.machine.planned_name
    if known is None:
        return ""
    return "\n".join(
        [
            "plan: # for `rephrase-rl plan`",
            f"  device: {known}",
            f"  devices: {len(point.machine.gpus)}",
            *(["  sharding: fsdp"] if point.batch.sharding == "fsdp" else []),
        ]
    )


def _machine_words(point: StartingPoint) -> str:
    machine = point.machine
    memory = f"{machine.memory_bytes / GIB:.0f} GiB"
    if machine.kind == "gpu":
        return f"{len(machine.gpus)} x {plain_text(machine.name)} with {memory} each"
    return f"{machine.cores} core(s) of {plain_text(machine.name)} with {memory}"


def _peak(point: StartingPoint) -> str:
    peak = point.batch.peak_bytes
    return "" if peak is None else f"; about {peak / GIB:.1f} GiB at most, by counting"


def _pair(key: str, value: str) -> str:
    """One key and its value on one line, quoted where YAML needs it."""
    written = write_yaml([value]).removeprefix("- ").rstrip()
    return f"{key}: {json.dumps(value) if NEWLINE in written else written}"


def _indented(value: dict[str, Any], indent: str) -> list[str]:
    return [indent + line for line in write_yaml(value).rstrip().split("\n")]


def _comment(text: str, indent: str = "") -> list[str]:
    """A sentence as comment lines, hidden characters labelled."""
    words, lines, line = plain_text(text).replace("\n", " ").split(" "), [], ""
    for word in words:
        if line and len(indent) + len(line) + len(word) > WIDTH:
            lines.append(f"{indent}# {line}")
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, f"{indent}# {line}"]
