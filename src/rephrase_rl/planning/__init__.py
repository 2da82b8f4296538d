"""What a run will cost, by arithmetic: memory, tokens and seconds of one step.

Needs no torch and loads no model. ``shape`` counts a model's parameters and operations, ``phases``
the work of a step, ``published`` and ``measured`` say what a device does in a second, ``memory``
what it has to hold. docs/plan.md has the formulas and how they were checked.
"""

from rephrase_rl.planning.devices import Device, Fact
from rephrase_rl.planning.plan import Plan, guidance_cost, make_plan, plan_to_plain, scaled
from rephrase_rl.planning.setting import Computing, Setting, Workload
from rephrase_rl.planning.shape import ModelShape, shape_from_config

__all__ = [
    "Computing",
    "Device",
    "Fact",
    "ModelShape",
    "Plan",
    "Setting",
    "Workload",
    "guidance_cost",
    "make_plan",
    "plan_to_plain",
    "scaled",
    "shape_from_config",
]
