"""`prompts.style` reaches every prompt that a run renders."""

from __future__ import annotations

import pytest

from fakes import problem
from guidance_fakes import group
from rephrase_rl.assembly.blocks import build_guidance
from rephrase_rl.assembly.objects import rephrase_template, solve_template
from rephrase_rl.config import PromptsConfig, parse_guidance
from rephrase_rl.guidance.blocks import StepContext
from rephrase_rl.prompts import get_template, render_prompt

CHOICE = problem(
    task_kind="choice", question="Q? A) 1 B) 2", reference_answer="B", expert_solution="K"
)


@pytest.mark.parametrize("style", ["plain", "think"])
@pytest.mark.parametrize(
    ("source", "purpose"),
    [
        ({"kind": "rephrase"}, "rephrase"),
        ({"kind": "rationale"}, "rationale"),
        ({"kind": "refinement"}, "refine"),
        ({"kind": "refinement", "show_expert": False}, "refine_alone"),
    ],
)
def test_sources_ask_in_the_style(source, purpose, style) -> None:
    guidance = build_guidance(parse_guidance({"source": source}), PromptsConfig(style=style))
    draft = guidance.source.draft(group(0.0, of=CHOICE), StepContext(0))
    infix = "" if style == "plain" else "think-"
    template = get_template(f"choice-{purpose}-{infix}v1")
    attempt = group(0.0, of=CHOICE).rollouts[0].completion.text
    assert draft.messages == render_prompt(CHOICE, template, attempt=attempt)


def test_problems_are_asked_in_the_style_unless_a_template_is_named() -> None:
    plain, think = PromptsConfig(), PromptsConfig(style="think")
    assert solve_template(CHOICE, plain).template_id == "choice-solve-v1"
    assert solve_template(CHOICE, think).template_id == "choice-solve-think-v1"
    assert rephrase_template(CHOICE, think).template_id == "choice-rephrase-think-v1"
    named = PromptsConfig(style="think", solve="math-solve-v1")
    assert solve_template(CHOICE, named).template_id == "math-solve-v1"
