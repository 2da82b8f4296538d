"""Prompts: templates under fixed ids, their filling, and the removal of meta text from rewrites.

Pure text; imports records and errors only.
"""

from rephrase_rl.prompts.meta_text import CleanedText, remove_meta_text
from rephrase_rl.prompts.rendering import render_prompt
from rephrase_rl.prompts.templates import (
    PromptTemplate,
    Purpose,
    Style,
    default_template,
    get_template,
    template_ids,
)

__all__ = [
    "CleanedText",
    "PromptTemplate",
    "Purpose",
    "Style",
    "default_template",
    "get_template",
    "remove_meta_text",
    "render_prompt",
    "template_ids",
]
