"""A plan as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from rephrase_rl.cli.console import output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rephrase_rl.planning import Plan

GB = 1e9


def show_plan(plan: Plan) -> None:
    """Print everything in a plan."""
    for line in _head(plan):
        output.print(line)
    for table in (_phases(plan), _memory(plan), *_guidance(plan), *_scaling(plan), _facts(plan)):
        output.print(table, soft_wrap=False)
    for line in _closing(plan):
        output.print(line)


def _head(plan: Plan) -> Iterator[str]:
    setting = plan.setting
    work, how, shape = setting.work, setting.how, setting.shape
    yield f"{shape.name}: {shape.parameters:,} parameters, {shape.layers} layers of {shape.hidden}"
    if how.lora_rank is not None:
        held = "in 4 bits" if how.four_bits else f"in {how.weights}"
        yield (
            f"adapters of rank {how.lora_rank}: {setting.trained_parameters:,} parameters are "
            f"trained ({setting.trained_parameters / shape.parameters:.2%}), the others held {held}"
        )
    yield (
        f"{setting.devices} x {setting.device.name}, {how.arithmetic} products, {how.weights} "
        f"weights, sampling by {how.sampler}, {'packed' if how.packed else 'plain'} rows"
    )
    share = work.rows_per_step / setting.devices
    each = f" ({share:g} on each device)" if setting.devices > 1 else ""
    yield (
        f"a step: {work.rows_per_step:g} rows{each}, {work.problems:g} problems x "
        f"{work.group_size} sampled at once, {work.prompt_tokens:.0f} + "
        f"{work.completion_tokens:.0f} tokens"
    )
    whole = (
        "" if plan.steps is None else f"; {plan.steps} steps: {duration(plan.steps * plan.step_s)}"
    )
    yield f"{duration(plan.step_s)} a step{whole}"


def _phases(plan: Plan) -> Table:
    table = Table("phase", "tokens", "seconds", "share", title="one step, busiest device")
    for column in table.columns[1:]:
        column.justify = "right"
    for phase in plan.phases:
        if phase.seconds > 0:
            tokens = f"{phase.tokens:,.0f}" if phase.tokens else ""
            share = f"{phase.seconds / plan.step_s:.0%}"
            table.add_row(phase.name, tokens, seconds(phase.seconds), share)
    table.add_section()
    table.add_row("step", "", seconds(plan.step_s), "")
    return table


def _memory(plan: Plan) -> Table:
    memory = plan.memory
    table = Table("memory of one device", "when", "GB", title="memory")
    table.columns[2].justify = "right"
    stages = (("always", memory.held), ("training", memory.training), ("sampling", memory.sampling))
    for when, needs in stages:
        for name, amount in needs.items():
            table.add_row(name, when, gigabytes(amount))
    table.add_section()
    table.add_row("peak", "", gigabytes(memory.peak))
    table.add_row("usable", "", gigabytes(memory.available))
    return table


def _guidance(plan: Plan) -> Iterator[Table]:
    """In parts at the expected share of open gates, as a whole at others."""
    if not plan.guidance:
        return
    share, grpo = plan.setting.work.open_share, seconds(plan.guidance[0].grpo_s)
    names = ("candidates", "sampling s", "judging s", "training s", "added s", "of GRPO", "tokens")
    table = Table(*names, title=f"added to a GRPO step of {grpo} s, {share:.0%} of gates open")
    for column in table.columns[1:]:
        column.justify = "right"
    for cost in plan.guidance:
        if cost.open_share == share:
            parts = (cost.sampling_s, cost.judging_s, cost.training_s, cost.seconds)
            added = f"{cost.ratio - 1.0:+.1%}"
            table.add_row(cost.mode, *map(seconds, parts), added, f"{cost.tokens:,.0f}")
    yield table
    modes = list(dict.fromkeys(cost.mode for cost in plan.guidance))
    table = Table("open gates", *modes, title="added seconds by share of open gates")
    for column in table.columns:
        column.justify = "right"
    for each in sorted({cost.open_share for cost in plan.guidance}):
        costs = [cost for cost in plan.guidance if cost.open_share == each]
        cells = [f"{seconds(cost.seconds)} ({cost.ratio - 1.0:+.1%})" for cost in costs]
        table.add_row(f"{each:.0%}", *cells)
    yield table


def _scaling(plan: Plan) -> Iterator[Table]:
    if len(plan.scaling) < 2:
        return
    figures = ("step s", "exchange s", "rows/s", "effect", "as set s", "GB")
    table = Table("devices", "busy", "each", *figures, title="the same step split over devices")
    for column in table.columns:
        column.justify = "right"
    for each in plan.scaling:
        table.add_row(
            str(each.devices),
            str(each.busy),
            f"{each.local_problems:g}",
            seconds(each.step_s),
            seconds(each.exchange_s),
            f"{each.rows_per_s:.3g}",
            f"{each.efficiency:.0%}",
            seconds(each.configured_step_s),
            gigabytes(each.peak_bytes) + ("" if each.fits else " !"),
        )
    yield table


def _facts(plan: Plan) -> Table:
    table = Table("figure", "value", "origin", "source", title="what it rests on")
    for fact in plan.facts:
        table.add_row(fact.name, fact.value, fact.origin, fact.source)
    table.columns[3].overflow = "fold"
    return table


def _closing(plan: Plan) -> Iterator[str]:
    setting, memory = plan.setting, plan.memory
    if len(plan.scaling) > 1:
        yield (
            "busy: devices that have a problem, since groups stay whole. each: problems of the "
            "busiest device. effect: speed-up over one device by number of devices. as set: the "
            "step of so many processes with the trainer's fields as they are, which are counted "
            "for each process. !: does not fit."
        )
    if plan.guidance and setting.how.sampler != "shared_prefix":
        yield (
            "anticipated is as lazy here: only the shared-prefix sampler takes rewrites into the "
            "rollouts' call (compute.sampler: shared_prefix)."
        )
    if memory.fits:
        return
    yield (
        f"does not fit: {gigabytes(memory.peak)} GB needed, {gigabytes(memory.available)} GB "
        "usable."
    )
    if not plan.remedies:
        yield "nothing that was tried fits: a smaller model, or a device with more memory."
    for remedy in plan.remedies:
        yield (
            f"  fits with {remedy.change}: {gigabytes(remedy.peak_bytes)} GB, "
            f"{seconds(remedy.step_s)} s a step"
        )


def seconds(value: float) -> str:
    """Three digits, never as a power of ten."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def gigabytes(value: float) -> str:
    """Gigabytes with two digits behind the point, three below one."""
    return f"{value / GB:.2f}" if value >= GB else f"{value / GB:.3f}"


def duration(value: float) -> str:
    """Seconds in the unit that reads best."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if value >= 2 * size:
            return f"{value / size:.1f} {unit}"
    return f"{seconds(value)} seconds"
