"""A whole plan: phases, memory, what guidance adds, and other numbers of devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rephrase_rl.planning.memory import Memory, device_memory
from rephrase_rl.planning.phases import Phase, joins_rollouts, step_phases, step_seconds
from rephrase_rl.planning.remedies import Remedy, remedies

if TYPE_CHECKING:
    from rephrase_rl.planning.devices import Fact
    from rephrase_rl.planning.setting import Mode, Setting

MODES: tuple[Mode, ...] = ("lazy", "eager", "anticipated")
OPEN_SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class GuidanceCost:
    """What candidates of one mode add to a step of GRPO."""

    mode: Mode
    open_share: float
    sampling_s: float
    """Prompts and tokens of candidates, and what devices exchange for them."""
    judging_s: float
    """Their verdicts and log-probs."""
    training_s: float
    """Rows that get a gradient by injection."""
    grpo_s: float
    """The step without any of it."""
    tokens: float
    """Tokens sampled beyond the rollouts, on the busiest device."""

    @property
    def seconds(self) -> float:
        """All that is added."""
        return self.sampling_s + self.judging_s + self.training_s

    @property
    def ratio(self) -> float:
        """Step with guidance, as a multiple of the step without."""
        return 1.0 + self.seconds / self.grpo_s


@dataclass(frozen=True, slots=True)
class Scaled:
    """The step on another number of devices."""

    devices: int
    busy: int
    """Devices that have a problem to work on."""
    local_problems: float
    step_s: float
    """The same step, its problems split."""
    exchange_s: float
    rows_per_s: float
    """Trained rows of all devices a second."""
    efficiency: float
    """Speed-up over one device, divided by the number of devices."""
    configured_step_s: float
    """The step of as many processes with the trainer's fields as they are, which has more or fewer
    problems than the planned one."""
    peak_bytes: float
    fits: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``rephrase-rl plan`` says."""

    setting: Setting
    phases: tuple[Phase, ...]
    memory: Memory
    guidance: tuple[GuidanceCost, ...]
    scaling: tuple[Scaled, ...]
    remedies: tuple[Remedy, ...]
    facts: tuple[Fact, ...]
    steps: int | None = None
    """Optimiser steps of the run; None: not known."""

    @property
    def step_s(self) -> float:
        """Seconds of one optimiser step."""
        return sum(phase.seconds for phase in self.phases)


def make_plan(
    setting: Setting,
    facts: Sequence[Fact] = (),
    *,
    device_counts: Sequence[int] = (),
    steps: int | None = None,
) -> Plan:
    """Plan one setting.

    Args:
        setting: What is planned for.
        facts: Where its figures come from, beside the device's own.
        device_counts: Numbers of devices to compare.
        steps: Optimiser steps of the run.
    """
    share = setting.work.open_share
    shares = sorted({*OPEN_SHARES, share})
    return Plan(
        setting=setting,
        phases=step_phases(setting),
        memory=device_memory(setting),
        guidance=tuple(
            guidance_cost(setting, mode, each)
            for each in (shares if setting.work.mode != "none" else ())
            for mode in MODES
        ),
        scaling=tuple(scaled(setting, count) for count in device_counts),
        remedies=tuple(remedies(setting)),
        facts=(*setting.device.facts, *facts),
        steps=steps,
    )


_CANDIDATE_PHASES = ("prompts", "rollouts", "rewrite prompts", "rewrites", "exchange")
_JUDGING_PHASES = ("verifier", "candidate log-probs")


def guidance_cost(setting: Setting, mode: Mode, open_share: float) -> GuidanceCost:
    """What a mode adds at a share of open gates."""
    guided = setting.with_work(setting.work.guided(mode, open_share))
    plain = setting.with_work(setting.work.without_guidance())
    with_it = {phase.name: phase for phase in step_phases(guided)}
    without = {phase.name: phase for phase in step_phases(plain)}
    added = {name: with_it[name].seconds - without[name].seconds for name in with_it}
    sampling = sum(added[name] for name in _CANDIDATE_PHASES)
    judging = sum(added[name] for name in _JUDGING_PHASES)
    rewritten = with_it["rewrites"].tokens
    if joins_rollouts(guided):
        rewritten = with_it["rollouts"].tokens - without["rollouts"].tokens
    return GuidanceCost(
        mode=mode,
        open_share=open_share,
        sampling_s=sampling,
        judging_s=judging,
        training_s=sum(added.values()) - sampling - judging,
        grpo_s=step_seconds(plain),
        tokens=rewritten,
    )


def scaled(setting: Setting, devices: int) -> Scaled:
    """The setting on another number of devices."""
    alone, here = setting.on(1), setting.on(devices)
    work, times = setting.work, devices / setting.devices
    configured = here.with_work(
        dataclasses.replace(
            work,
            problems=work.problems * times,
            rows_per_step=work.rows_per_step * times,
        )
    )
    seconds, memory = step_seconds(here), device_memory(here)
    exchange = next(p.seconds for p in step_phases(here) if p.name == "exchange")
    return Scaled(
        devices=devices,
        busy=here.busy_devices,
        local_problems=here.local_problems,
        step_s=seconds,
        exchange_s=exchange,
        rows_per_s=work.rows_per_step / seconds,
        efficiency=step_seconds(alone) / seconds / devices,
        configured_step_s=step_seconds(configured),
        peak_bytes=memory.peak,
        fits=memory.fits,
    )


def plan_to_plain(plan: Plan) -> dict[str, Any]:
    """Everything in a plan as plain data; seconds, bytes and tokens as numbers."""
    setting = plan.setting
    return {
        "model": {**dataclasses.asdict(setting.shape), "parameters": setting.shape.parameters},
        "device": setting.device.name,
        "devices": setting.devices,
        "work": dataclasses.asdict(setting.work),
        "computing": dataclasses.asdict(setting.how),
        "step_s": plan.step_s,
        "steps": plan.steps,
        "phases": [dataclasses.asdict(phase) for phase in plan.phases],
        "memory": {
            **dataclasses.asdict(plan.memory),
            "peak": plan.memory.peak,
            "fits": plan.memory.fits,
        },
        "remedies": [dataclasses.asdict(remedy) for remedy in plan.remedies],
        "guidance": [
            {**dataclasses.asdict(cost), "seconds": cost.seconds, "ratio": cost.ratio}
            for cost in plan.guidance
        ],
        "scaling": [dataclasses.asdict(each) for each in plan.scaling],
        "facts": [dataclasses.asdict(fact) for fact in plan.facts],
    }
