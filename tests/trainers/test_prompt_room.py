"""What is asked of the policy stays within its context, completion included."""

from __future__ import annotations

import logging

import pytest
from test_repo_trainer import rewrite_or

from fakes import tiny_model
from guidance_fakes import repo
from rephrase_rl.errors import ConfigError
from rephrase_rl.guidance.sources import ExpertTextSource
from rephrase_rl.trainers.trl.prompt_room import PromptRoom, prompt_room, within_room
from trl_fakes import arguments, trainer

pytestmark = pytest.mark.integration


def longest_expert(first: str) -> list[dict[str, str]]:
    return [
        {"prompt": [{"role": "user", "content": question}], "problem_id": question}
        | {"reference_answer": question[::-1], "expert_solution": expert, "task_kind": "lab"}
        for question, expert in (("ab", f"expert:ba {first}"), ("cd", "expert:dc"))
    ]


@pytest.mark.parametrize(
    ("context", "reasons"), [(512, ["over_length", "open"]), (1024, ["open"] * 2)]
)
def test_a_prompt_without_room_for_a_completion_is_counted_and_not_sampled(
    tmp_path, caplog, context, reasons
) -> None:
    records: list = []
    with caplog.at_level(logging.WARNING):
        made = trainer(
            tmp_path,
            repo(),
            script=rewrite_or("x"),
            data=longest_expert("y" * 500),
            model=tiny_model(max_position_embeddings=context),
            on_groups=records.extend,
            args={"shuffle_dataset": False},
        )
    assert f"leaves {context - 12} for P(q, k)" in caplog.text
    made.train()
    assert [record.gate_reason for record in records] == reasons
    longest = max(len(prompt) for call in made.calls for prompt in call)
    assert longest < context


def test_without_any_room_there_is_no_run(tmp_path) -> None:
    with pytest.raises(ConfigError, match="leaves -3 for"):
        trainer(tmp_path, repo(), args={"max_completion_length": 1027})


def test_what_asks_nothing_needs_no_room() -> None:
    guidance = repo(source=ExpertTextSource())
    assert within_room(guidance, PromptRoom(10, 10)) is guidance


def test_the_context_is_vllms_where_it_samples(tmp_path) -> None:
    config = tiny_model().config
    settings = {"use_vllm": True, "vllm_max_model_length": 64}
    assert prompt_room(arguments(tmp_path, **settings), config) == (64, 12)
    assert prompt_room(arguments(tmp_path, **settings | {"use_vllm": False}), config) == (1024, 12)
