"""Fill the marked blocks of ``docs/data.md``: the table of mappings, and ``data check`` on files.

Run it from the repository's root. The files lie in ``../shared/data``; where one is missing, the
block of checks stays as it is. Prompts are shown only of files whose licence allows quoting.
"""

from __future__ import annotations

import contextlib
import io
import shlex
from pathlib import Path

from rephrase_rl.cli.main import main as command_line
from rephrase_rl.data import ColumnMapping, get_mapping, mapping_names
from rephrase_rl.runs import atomic

PAGE = Path("docs/data.md")
DATA = "../shared/data"
NOT_READ = {
    "verl": "all but `target`",
    "openr1_math": "no: columns from its card",
    "super_gpqa": "no: columns from code that reads it",
    "mmlu_pro": "no: columns from its card",
    "canonical": "yes (own form)",
    "trl": "yes (own form)",
}
CHECKS = (
    "lab:hard --model lab:base --limit 200 --rows 1 --set trainer.max_completion_length=48",
    f"{DATA}/gsm8k/train.jsonl --mapping gsm8k --model lab:base --rows 1 "
    f"--against {DATA}/gsm8k/test.jsonl",
    f"{DATA}/gsm8k/test.jsonl --mapping gsm8k --rows 0",
    f"{DATA}/math/math_test5000.jsonl --mapping math --rows 0 "
    f"--against {DATA}/math/math500_test.jsonl --against {DATA}/math/aime24_test.jsonl",
    f"{DATA}/math/math500_test.jsonl --mapping math --rows 0",
    f"{DATA}/math/aime24_test.jsonl --mapping math --rows 0",
    f"{DATA}/math/amc23_test.jsonl --mapping math --rows 0",
    f"{DATA}/mwp/mwp_train_steps.jsonl --mapping mwp --rows 0",
    f"{DATA}/choice/aqua_dev.jsonl --mapping aqua --rows 0 "
    f"--against {DATA}/choice/aqua_test.jsonl --words 8",
    f"{DATA}/choice/aqua_test.jsonl --mapping aqua --rows 0",
    f"{DATA}/choice/ecqa_train.tsv --mapping ecqa --rows 0",
    f"{DATA}/choice/arc_challenge_test.jsonl --mapping arc --rows 0",
    f"{DATA}/choice/verl_schema_arc_c.parquet --rows 0 --set data.0.strip_think=true "
    "--set 'data.0.mapping={like: verl, options_in_question: true, default_task_kind: choice, "
    "answer_form: letter}'",
    f"{DATA}/choice/pubmedqa_pqal.json --mapping pubmedqa --rows 0",
    f"{DATA}/choice/pubmedqa_pqal.json --mapping pubmedqa_text --rows 0",
    f"{DATA}/finance/tatqa_dev_arithmetic.jsonl.gz --mapping tatqa --rows 0",
)
"""Command lines behind ``rephrase-rl data check``."""


def main() -> None:
    """Write the blocks."""
    page = PAGE.read_text(encoding="utf-8")
    page = replaced(page, "mappings", mapping_table())
    missing = [path for path in map(file_of, CHECKS) if path and not path.is_file()]
    if missing:
        print(f"no {', '.join(map(str, missing))}: the checks stay as they are")
    else:
        page = replaced(page, "checks", "\n".join(map(checked, CHECKS)))
    atomic.write_text(PAGE, page)


def replaced(page: str, block: str, text: str) -> str:
    """The page with another text between a block's two marks."""
    start, end = f"<!-- {block} -->", f"<!-- /{block} -->"
    before, _, rest = page.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{text.rstrip()}\n{end}{after}"


def mapping_table() -> str:
    """One row for each named mapping."""
    lines = [
        "| mapping | task kind | question | answer | expert | read in tests |",
        "|---|---|---|---|---|---|",
    ]
    for name in mapping_names():
        mapping = get_mapping(name)
        cells = (
            f"`{name}`",
            mapping.default_task_kind,
            question_cell(mapping),
            answer_cell(mapping),
            expert_cell(mapping),
            NOT_READ.get(name, "yes"),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def question_cell(mapping: ColumnMapping) -> str:
    """Where question, context and options stand."""
    parts = [" or ".join(f"`{column}`" for column in mapping.question)]
    if mapping.context:
        parts.append("after " + ", ".join(f"`{column}`" for column in mapping.context))
    if mapping.options is not None:
        parts.append(f"options in `{mapping.options}`")
    if mapping.fixed_options:
        parts.append(f"options {', '.join(mapping.fixed_options)}")
    if mapping.wrong_options:
        parts.append("options in columns of their own")
    if mapping.options_in_question:
        parts.append("options in its text")
    return "; ".join(parts)


def answer_cell(mapping: ColumnMapping) -> str:
    """Where the checkable answer stands."""
    if mapping.worked_answer is not None:
        return f"`{mapping.worked_answer}`, after `####`"
    text = f"`{mapping.reference_answer}`"
    if mapping.has_options:
        text += f" ({mapping.answer_form})"
    if mapping.unit is not None:
        text += f" with `{mapping.unit}`"
    if mapping.boxed_answer is not None:
        text += f", else the last box of `{mapping.boxed_answer}`"
    return text


def expert_cell(mapping: ColumnMapping) -> str:
    """Where the expert's text stands, and what is done to it."""
    if mapping.worked_answer is not None:
        return f"`{mapping.worked_answer}`, tags removed, answer in a box"
    if mapping.expert_solution is None:
        return "none"
    text = f"`{mapping.expert_solution}`"
    if mapping.expert_form != "text":
        text += f" ({mapping.expert_form})"
    return text + (", then the answer in a box" if mapping.append_answer else "")


def checked(words: str) -> str:
    """A command and what it prints, as a block of code."""
    buffer = io.StringIO()
    with contextlib.redirect_stdout(buffer), contextlib.redirect_stderr(buffer):
        status = command_line(["data", "check", *shlex.split(words)])
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    text = "\n".join(line for line in lines if line)
    ended = "" if status == 0 else f"\n(exit status {status})"
    return f"```\n$ rephrase-rl data check {words}\n{text}{ended}\n```\n"


def file_of(words: str) -> Path | None:
    """The file that a check reads; None for the lab."""
    first = shlex.split(words)[0]
    return None if first.startswith("lab:") else Path(first)


if __name__ == "__main__":
    main()
