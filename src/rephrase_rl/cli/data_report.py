"""How ``data check`` tells what it found: short lines, then tables of tokens and overlaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from rephrase_rl.cli.console import output
from rephrase_rl.data.faults import grouped

if TYPE_CHECKING:
    from rephrase_rl.data.contamination import ContaminationReport
    from rephrase_rl.data.inspection import DataCheck, DataReport, ExpertVerdicts
    from rephrase_rl.data.lengths import Fit
    from rephrase_rl.data.part_fits import PartFit

TOKEN_ROWS = {
    "question": "question alone",
    "solve": "solve prompt q",
    "expert": "expert k",
    "rephrase": "rephrase prompt P(q, k)",
}


def print_check(found: DataCheck) -> None:
    """Print everything: prompts first, since they are long, then what the data is like."""
    for view in found.prompts:
        length = "" if view.tokens is None else f", {len(view.tokens)} tokens"
        output.print(f"--- problem {view.problem_id}: {view.purpose} prompt{length}\n{view.text}")
    if found.prompts:
        output.print("---")
    report = found.report
    _print_counts(report)
    _print_tokens(report)
    for kind, verdicts in report.expert_verdicts.items():
        _print_verdicts(kind, verdicts)
    for kind, reason in report.not_judged.items():
        output.print(f"experts not judged ({kind}): {reason}")
    for kind, reason in report.without_prompt.items():
        output.print(f"no prompts ({kind}): {reason}")
    for contamination in report.contamination:
        _print_contamination(contamination, report.problems)
    for fault in grouped(report.faults):
        output.print(f"fault: {fault}")


def _print_counts(report: DataReport) -> None:
    bad = report.rows - report.problems
    state = "every row valid" if not bad else f"{bad} rows with faults"
    output.print(f"rows: {report.rows}, {state}")
    output.print(f"problems: {report.problems} ({_listed(report.task_kinds)})")
    output.print(f"answers missing: {report.missing_answers}")
    output.print(f"experts: {share(report.with_expert, report.problems)} of the problems have one")
    if report.with_thoughts:
        output.print(
            f"experts with a <think> part: {report.with_thoughts}; taken in part: "
            f"{report.thoughts_left_out}"
        )
    if report.prompts_stripped:
        output.print(
            f"prompts that lost <think> blocks or such a system turn: {report.prompts_stripped}"
        )
    if report.expert_budget is not None:
        output.print(f"experts under expert_tokens: {_listed(report.expert_budget)}")
    found = report.duplicates
    output.print(f"repeated questions: {found.repeated}, with another answer: {found.conflicting}")
    for name, examples in (
        ("repeated", found.repeated_examples),
        ("with another answer", found.conflicting_examples),
    ):
        if examples:
            pairs = ", ".join(f"{later} = {first}" for later, first in examples)
            output.print(f"  {name}: {pairs}")


def _print_tokens(report: DataReport) -> None:
    if not report.problems:
        output.print("tokens: no figures, since there is no valid row")
        return
    if report.tokens is None:
        output.print("tokens: no figures without a model's tokenizer (--model)")
        return
    table = Table("tokens", "texts", "50 %", "90 %", "99 %", "longest", box=box.SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
    for text, label in TOKEN_ROWS.items():
        summary = report.tokens.get(text)
        if summary is not None:
            cells = (summary.count, summary.p50, summary.p90, summary.p99, summary.longest)
            table.add_row(label, *map(str, cells))
    output.print(table, soft_wrap=False)
    _print_fit("q", report.solve_limit, report.solve_fit)
    _print_fit("P(q, k)", report.prompt_limit, report.prompt_fit)
    _print_fit("k with an end token", "trainer.max_completion_length", report.completion_fit)
    _print_parts(report)


def _print_fit(text: str, limit: str, fit: Fit | None) -> None:
    if fit is not None:
        output.print(f"{text} within {limit} = {fit.limit}: {share(fit.fitting, fit.count)}")
        if fit.over:
            output.print(f"  over it, with tokens: {', '.join(fit.over)}")


def _print_parts(report: DataReport) -> None:
    """What each choice of ``expert_part`` would give, and what a budget would."""
    if report.parts:
        output.print("what k can be, before any expert_tokens:")
    for part in report.parts:
        output.print(f"  expert_part: {part.part}: {'; '.join(_told(part))}")
    is_set = report.expert_budget is not None
    which = "as set" if is_set else "the most that lets every P(q, k) fit"
    kept: dict[int, list[str]] = {}
    for part in report.parts:
        fit = part.budget_fit
        if fit is not None:
            kept.setdefault(fit.limit, []).append(f"{part.part} {share(fit.fitting, fit.count)}")
    for limit, parts in kept.items():
        output.print(f"  expert_tokens: {limit} ({which}) is kept to by {', '.join(parts)}")


def _told(part: PartFit) -> list[str]:
    told = []
    if part.tokens is not None:
        told.append(f"{part.tokens.count} rows have it, 50 % up to {part.tokens.p50} tokens")
    if part.without:
        told.append(f"{part.without} lack it, which would be a fault")
    for text, fit in (("P(q, k)", part.prompt_fit), ("k with its end", part.completion_fit)):
        if fit is not None:
            told.append(f"{text} fits in {share(fit.fitting, fit.count)}")
    return told


def _print_verdicts(kind: str, verdicts: ExpertVerdicts) -> None:
    output.print(
        f"experts judged by {verdicts.verifier} ({kind}): accepted "
        f"{share(verdicts.accepted, verdicts.judged)}, rejected {verdicts.rejected}, unscorable "
        f"{verdicts.unscorable}"
    )
    for example in verdicts.examples:
        output.print(f"  {example}")


def _print_contamination(found: ContaminationReport, problems: int) -> None:
    output.print(
        f"overlap with {found.name} ({found.num_words} words in a row): "
        f"{share(found.touched_training_problems, problems)} of the problems touch "
        f"{share(found.touched_evaluation_problems, found.evaluation_problems)} of its questions; "
        f"equal questions: {found.equal_questions}"
    )
    for example in found.examples:
        output.print(
            f"  {example.training_id} ({example.where}) ~ {example.evaluation_id}: {example.words}"
        )


def share(part: int, whole: int) -> str:
    """A count with its share, such as ``3 of 4 (75.0 %)``."""
    return f"{part} of {whole}" + (f" ({100 * part / whole:.1f} %)" if whole else "")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items()) or "none"
