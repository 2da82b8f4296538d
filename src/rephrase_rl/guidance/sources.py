"""What to bring in: sources of candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.guidance.blocks import CleanedCompletion
from rephrase_rl.prompts import default_template, remove_meta_text, render_prompt

if TYPE_CHECKING:
    from rephrase_rl.prompts import PromptTemplate
    from rephrase_rl.records import Message, Origin, Problem


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

    @property
    def origin(self) -> Origin:
        """Candidates are labelled ``rephrase``."""
        return "rephrase"

    def context_messages(self, problem: Problem) -> tuple[Message, ...]:
        """P(q, k): the rephrase prompt with question and expert solution."""
        template = self.template or default_template(problem.task_kind, "rephrase")
        return render_prompt(problem, template)

    def clean(self, text: str) -> CleanedCompletion:
        """Remove meta text, or only look for it where removal is switched off."""
        cleaned = remove_meta_text(text)
        if self.strip_meta_text:
            return CleanedCompletion(cleaned.text, cleaned.removed, cleaned.leftover)
        return CleanedCompletion(text, (), (*cleaned.removed, *cleaned.leftover))
