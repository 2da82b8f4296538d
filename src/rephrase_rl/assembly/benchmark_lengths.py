"""Evaluations that the policy's context has no room for are refused before a run.

The evaluation at the end would find out only when training is paid for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.benchmarks import benchmark_template
from rephrase_rl.errors import ConfigError
from rephrase_rl.prompts import render_prompt
from rephrase_rl.rollout.prompt_ids import prompt_token_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.assembly.benchmarks import LoadedBenchmark
    from rephrase_rl.config import RunConfig
    from rephrase_rl.records import Message


def refuse_long_evaluations(
    benchmarks: Sequence[LoadedBenchmark], config: RunConfig, tokenizer: Any, context: int | None
) -> None:
    """Refuse benchmarks whose longest prompt and completion exceed the policy's context together.

    Args:
        benchmarks: Of the run.
        config: Says how they are asked, and where each is configured.
        tokenizer: The policy's.
        context: Of the policy, in tokens. None: not known, and nothing is checked.

    Raises:
        ConfigError: With every such benchmark.
    """
    if context is None:
        return
    faults = []
    for benchmark in benchmarks:
        limit = benchmark.config.max_new_tokens
        longest = _longest_prompt(benchmark, config, tokenizer, context - limit)
        if longest + limit <= context:
            continue
        field = _field(benchmark.config.name, config)
        remedy = f"set {field} to {context - longest} at most"
        if longest >= context:
            remedy = "leave such long problems out, or take a model with a longer context"
        faults.append(
            f"{benchmark.config.name}: the longest prompt has {longest} tokens and {field} is "
            f"{limit}: {remedy}"
        )
    if faults:
        raise ConfigError(
            f"found {len(faults)} of {len(benchmarks)} evaluations for which the policy's context "
            f"of {context} tokens has no room; required: prompt and completion within it together",
            faults,
        )


def _longest_prompt(
    benchmark: LoadedBenchmark, config: RunConfig, tokenizer: Any, room: int
) -> int:
    """Tokens of the longest prompt; of one that is surely within the room not more than a bound.

    A token holds at least one byte, so most prompts need not be tokenized.
    """
    template = benchmark_template(benchmark.config, benchmark.problems[0], config.prompts)
    kwargs = config.trainer.get("chat_template_kwargs") or {}
    longest, around = 0, None
    for problem in benchmark.problems:
        messages = render_prompt(problem, template)
        if around is None:  # what the chat template adds is the same for all
            around = len(prompt_token_ids(tokenizer, [_blank(m) for m in messages], kwargs))
        bound = around + sum(len(m["content"].encode("utf-8", "replace")) for m in messages)
        if bound > room:
            longest = max(longest, len(prompt_token_ids(tokenizer, messages, kwargs)))
    return longest


def _blank(message: Message) -> Message:
    return {**message, "content": "x"}


def _field(name: str, config: RunConfig) -> str:
    """Where the length limit of an evaluation is configured."""
    if any(benchmark.name == name for benchmark in config.evaluation.benchmarks):
        return f"evaluation.benchmarks.{name}.max_new_tokens"
    return f"data.{name}.evaluate.max_new_tokens"
