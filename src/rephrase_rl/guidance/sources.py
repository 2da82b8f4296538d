"""What to bring in: sources of candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.errors import PromptError
from rephrase_rl.guidance.blocks import Ask, CleanedCompletion, Draft, Nothing, Ready
from rephrase_rl.guidance.slots import worst_position
from rephrase_rl.prompts import default_template, remove_meta_text, render_prompt

if TYPE_CHECKING:
    from rephrase_rl.guidance.blocks import StepContext
    from rephrase_rl.prompts import PromptTemplate, Purpose, Style
    from rephrase_rl.records import Origin, RolloutGroup


@dataclass(frozen=True, slots=True)
class RephraseSource:
    """The policy reads the expert solution and rewrites it in its own words.

    Source: arXiv:2602.10819, section 3 (o_rep). The text of P is not published; ours are the
    versioned rephrase templates of ``prompts``.
    """

    template: PromptTemplate | None = None
    """None: the default rephrase template of the problem's task kind."""
    strip_meta_text: bool = True
    """Whether phrases that betray that a reference was shown are removed."""
    style: Style = "plain"
    """Style of the default template."""

    def __post_init__(self) -> None:
        _check_purpose(self.template, "rephrase")

    @property
    def origin(self) -> Origin:
        """Candidates are labelled ``rephrase``."""
        return "rephrase"

    def draft(self, group: RolloutGroup, context: StepContext) -> Draft:
        """P(q, k): the rephrase prompt with question and expert solution."""
        problem = group.problem
        if problem.expert_solution is None:
            return Nothing("no_expert")
        template = self.template or default_template(problem.task_kind, "rephrase", self.style)
        return Ask(render_prompt(problem, template))

    def clean(self, text: str) -> CleanedCompletion:
        """Remove meta text, or only look for it where removal is switched off."""
        return clean_meta_text(text, self.strip_meta_text)


@dataclass(frozen=True, slots=True)
class ExpertTextSource:
    """The expert's own text (LUFFY, arXiv:2504.14945)."""

    @property
    def origin(self) -> Origin:
        """Candidates are labelled ``expert``."""
        return "expert"

    def draft(self, group: RolloutGroup, context: StepContext) -> Draft:
        """K as it is."""
        solution = group.problem.expert_solution
        return Nothing("no_expert") if solution is None else Ready(solution)

    def clean(self, text: str) -> CleanedCompletion:
        """As it is."""
        return CleanedCompletion(text, (), ())


@dataclass(frozen=True, slots=True)
class ExpertPrefixSource:
    """The first tokens of the expert's text, continued by the policy.

    Source: Prefix-RFT (arXiv:2507.01679), BREAD (arXiv:2506.17211).
    """

    share: float = 0.5
    """Share of the expert's tokens, at step 0 if there is an ``end_share``."""
    end_share: float | None = None
    """Share after ``over_steps`` steps, reached on a straight line."""
    over_steps: int | None = None

    @property
    def origin(self) -> Origin:
        """Candidates are labelled ``prefix``."""
        return "prefix"

    def draft(self, group: RolloutGroup, context: StepContext) -> Draft:
        """The plain question, and what the completion begins with."""
        solution = group.problem.expert_solution
        if solution is None:
            return Nothing("no_expert")
        return Ask(None, solution, linear(self.share, self.end_share, self.over_steps, context))

    def clean(self, text: str) -> CleanedCompletion:
        """As it is: the policy was shown nothing but the beginning of its own answer."""
        return CleanedCompletion(text, (), ())


@dataclass(frozen=True, slots=True)
class RationaleSource:
    """The policy is told the answer alone and writes the way to it (STaR, arXiv:2203.14465)."""

    template: PromptTemplate | None = None
    """None: the default rationale template of the problem's task kind."""
    strip_meta_text: bool = True
    style: Style = "plain"
    """Style of the default template."""

    def __post_init__(self) -> None:
        _check_purpose(self.template, "rationale")

    @property
    def origin(self) -> Origin:
        """Candidates are labelled ``rationale``."""
        return "rationale"

    def draft(self, group: RolloutGroup, context: StepContext) -> Draft:
        """The rationale prompt with question and reference answer."""
        problem = group.problem
        if not problem.reference_answer.strip():
            return Nothing("no_answer")
        template = self.template or default_template(problem.task_kind, "rationale", self.style)
        return Ask(render_prompt(problem, template))

    def clean(self, text: str) -> CleanedCompletion:
        """Remove meta text, or only look for it where removal is switched off."""
        return clean_meta_text(text, self.strip_meta_text)


@dataclass(frozen=True, slots=True)
class RefinementSource:
    """The policy mends its own worst attempt (Critique-GRPO, arXiv:2506.03106)."""

    template: PromptTemplate | None = None
    """None: the default refine template of the problem's task kind."""
    strip_meta_text: bool = True
    show_expert: bool = True
    """Whether the expert solution is shown beside the attempt."""
    style: Style = "plain"
    """Style of the default template."""

    def __post_init__(self) -> None:
        _check_purpose(self.template, _refine_purpose(self.show_expert))

    @property
    def origin(self) -> Origin:
        """Candidates are labelled ``refinement``."""
        return "refinement"

    def draft(self, group: RolloutGroup, context: StepContext) -> Draft:
        """The refine prompt with question and attempt, and the expert solution if it is shown."""
        problem = group.problem
        if self.show_expert and problem.expert_solution is None:
            return Nothing("no_expert")
        worst = worst_position(group)
        if worst is None:
            return Nothing("no_attempt")
        template = self.template or default_template(
            problem.task_kind, _refine_purpose(self.show_expert), self.style
        )
        attempt = group.rollouts[worst].completion.text
        return Ask(render_prompt(problem, template, attempt=attempt))

    def clean(self, text: str) -> CleanedCompletion:
        """Remove meta text, or only look for it where removal is switched off."""
        return clean_meta_text(text, self.strip_meta_text)


def _refine_purpose(show_expert: bool) -> Purpose:
    return "refine" if show_expert else "refine_alone"


def _check_purpose(template: PromptTemplate | None, required: Purpose) -> None:
    """Refuse a template that shows more or less than its source says.

    Raises:
        PromptError: The template is for another purpose.
    """
    if template is not None and template.purpose != required:
        raise PromptError(
            f"found template {template.template_id!r}, which is for {template.purpose!r} by the "
            f"places it has; required here is one for {required!r}: name another template, or "
            "none for the default of the task kind"
        )


def clean_meta_text(text: str, strip: bool) -> CleanedCompletion:
    """Cut out meta text, or only report it."""
    cleaned = remove_meta_text(text)
    if strip:
        return CleanedCompletion(cleaned.text, cleaned.removed, cleaned.leftover)
    return CleanedCompletion(text, (), (*cleaned.removed, *cleaned.leftover))


def linear(start: float, end: float | None, over_steps: int | None, context: StepContext) -> float:
    """A number that goes from start to end on a straight line over some steps, then stays."""
    if end is None or over_steps is None:
        return start
    return start + (end - start) * min(1.0, context.step / over_steps)
