"""An evaluation that the context has no room for is refused before training, not after it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from fakes import ByteTokenizer, problem
from rephrase_rl.assembly import dry_run, train_run
from rephrase_rl.assembly.benchmark_lengths import refuse_long_evaluations
from rephrase_rl.assembly.benchmarks import LoadedBenchmark
from rephrase_rl.config import parse_config
from rephrase_rl.errors import ConfigError
from rephrase_rl.prompts import render_prompt
from rephrase_rl.rollout import prompt_token_ids


def config(max_new_tokens: int = 256, method: str = "repo"):
    data = {"name": "own", "path": "lab:hard", "limit": 8}
    evaluate = {"limit": 2, "max_new_tokens": max_new_tokens}
    test = {"name": "easy", "data": {"path": "lab:easy", "limit": 2}, "max_new_tokens": 8}
    return parse_config(
        {
            "method": method,
            "model": {"path": "lab:base"},
            "data": {**data, "evaluate": evaluate},
            "trainer": {
                "max_steps": 1,
                "num_generations": 4,
                "per_device_train_batch_size": 4,
                "max_completion_length": 48,
            },
            "evaluation": {"benchmarks": [test]},
        }
    )


@pytest.mark.parametrize("method", ["repo", "sft"])
def test_neither_a_dry_run_nor_a_run_begins(tmp_path: Path, method) -> None:
    told = r"(?s)1 of 2 evaluations .* 256 tokens .*own: the longest prompt has 16 tokens and "
    told += r"data\.own\.evaluate\.max_new_tokens is 256: set .* to 240 at most"
    with pytest.raises(ConfigError, match=told):
        dry_run(config(method=method))
    with pytest.raises(ConfigError, match=told):
        train_run(config(method=method), run_path=tmp_path / "run", command=["test"])
    assert not (tmp_path / "run").exists()
    dry_run(config(240, method))


def evaluation(sizes, max_new_tokens: int, context: int | None) -> None:
    chosen = config(max_new_tokens).evaluation.benchmarks[0]
    chosen = chosen.model_copy(update={"max_new_tokens": max_new_tokens})
    problems = [problem(f"p{i}", "x" * size, task_kind="lab") for i, size in enumerate(sizes)]
    loaded = LoadedBenchmark(chosen, problems)
    refuse_long_evaluations([loaded], config(), ByteTokenizer(), context)


def test_the_longest_prompt_counts_with_what_the_chat_template_adds() -> None:
    messages = render_prompt(problem("p", "x" * 50, task_kind="lab"), _template())
    exact = len(prompt_token_ids(ByteTokenizer(), messages, {}))
    assert exact > 50
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluation([3, 50], 100, exact + 100)
        evaluation([3, 50], 100, None)
    with pytest.raises(ConfigError, match=r"benchmarks\.easy\.max_new_tokens to 99 at most"):
        evaluation([50, 3], 100, exact + 99)


def test_a_prompt_that_fills_the_context_is_not_to_be_mended_by_a_length_limit() -> None:
    with pytest.raises(ConfigError, match="leave such long problems out"):
        evaluation([500], 8, 400)


def _template():
    from rephrase_rl.assembly.objects import solve_template

    return solve_template(problem("p", task_kind="lab"), config().prompts)
