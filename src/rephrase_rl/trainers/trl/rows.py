"""TRL's rows and completions in the vocabulary of ``records``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rephrase_rl.records import Completion, Problem, Rollout, RolloutGroup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rephrase_rl.guidance.blocks import Score
    from rephrase_rl.trainers.trl.batch import GenerationOutput
    from rephrase_rl.trainers.trl.trainer import RePOTrainer


def rollout_groups(
    trainer: RePOTrainer,
    rows: Sequence[Mapping[str, Any]],
    generated: GenerationOutput,
    scores: Sequence[Score],
) -> list[RolloutGroup]:
    """The groups of a generation batch, whose members are neighbours in TRL's lists."""
    size, ends = trainer.num_generations, set(trainer.eos_token_ids)
    rollouts = [
        Rollout(
            Completion(completion_text(completion), tuple(ids), bool(ids) and ids[-1] in ends),
            score.reward,
            score.correctness,
        )
        for completion, ids, score in zip(
            generated.completions, generated.completion_ids, scores, strict=True
        )
    ]
    return [
        RolloutGroup(problem_of_row(rows[start]), tuple(rollouts[start : start + size]))
        for start in range(0, len(rows), size)
    ]


def problem_of_row(row: Mapping[str, Any]) -> Problem:
    """The ``Problem`` that a dataset row stands for (columns: see ``RePOTrainer``)."""
    prompt = row["prompt"]
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    question = row.get("question")
    if question is not None:
        messages[-1] = {"role": messages[-1]["role"], "content": question}
    answer = row.get("reference_answer", row.get("solution"))
    return Problem(
        problem_id=str(row.get("problem_id", "")),
        messages=tuple(messages),
        reference_answer="" if answer is None else str(answer),
        expert_solution=row.get("expert_solution"),
        task_kind=row.get("task_kind") or "math",
        dataset=str(row.get("dataset") or ""),
    )


def encode_messages(
    trainer: RePOTrainer, messages: Sequence[Mapping[str, str]], plain: bool
) -> tuple[int, ...]:
    """Token ids of a prompt: a chat, or its contents as plain text where the dataset's are."""
    prompt: Any = [dict(message) for message in messages]
    if plain:
        prompt = "\n\n".join(message["content"] for message in messages)
    prompt_ids, _, _ = trainer._tokenize_prompts([prompt])
    return tuple(int(token) for token in prompt_ids[0])


def completion_text(completion: Any) -> str:
    """Text of a completion in TRL's form, chat or plain."""
    return completion if isinstance(completion, str) else completion[-1]["content"]


def merge_extra_fields(
    rows: list[dict[str, Any]], extra_fields: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Add a rollout function's fields to the rows, as TRL does before it calls reward functions."""
    merged = [dict(row) for row in rows]
    for key, values in extra_fields.items():
        for i, row in enumerate(merged):
            row[key] = values[i] if isinstance(values, list) else values
    return merged
