"""A real ``RePOTrainer`` on a tiny model whose generations follow a script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOConfig

from fakes import EOS_ID, ByteTokenizer, tiny_model
from rephrase_rl.trainers.trl.trainer import RePOTrainer

Script = Callable[[list[str], int], Sequence[str]]
"""(decoded prompts of one generation call, number of the call) -> one completion per prompt. A
completion that ends with "…" did not end by itself."""

QUESTIONS = ("ab", "cd", "ef", "gh")


def rows(count: int = 4, **changes: Any) -> list[dict[str, Any]]:
    """Reverse-the-string problems with an expert solution, as chat rows."""
    return [
        {
            "prompt": [{"role": "user", "content": question}],
            "problem_id": question,
            "reference_answer": question[::-1],
            "expert_solution": f"expert:{question[::-1]}",
            "task_kind": "lab",
        }
        | changes
        for question in QUESTIONS[:count]
    ]


def text_of(completion: Any) -> str:
    return completion if isinstance(completion, str) else completion[0]["content"]


class CountingReward:
    """1 if the completion is the reference answer; keeps every completion that it judged."""

    __name__ = "correct"

    def __init__(self, values: dict[str, float | None] | None = None) -> None:
        self.seen: list[str] = []
        self._values = values or {}

    def __call__(self, prompts, completions, reference_answer, **kwargs) -> list[float | None]:
        texts = [text_of(completion) for completion in completions]
        self.seen.extend(texts)
        return [
            self._values.get(text, float(text == answer))
            for text, answer in zip(texts, reference_answer, strict=True)
        ]


class ScriptedTrainer(RePOTrainer):
    """Replays generations; keeps every generated-and-scored batch."""

    script: Script | None = None

    def __init__(self, *args: Any, script: Script | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.script = script
        self.calls: list[list[str]] = []
        self.batches: list[dict[str, Any]] = []

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, **more):
        if self.script is None:
            return super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, **more
            )
        prompts = [self._tokenizer.decode(ids) for ids in prompt_ids]
        self.calls.append(prompts)
        # A draw from the global generator, as sampling has it: rollouts must not notice rewrites.
        torch.rand(1)
        texts = self.script(prompts, len(self.calls) - 1)
        ids = [
            list(text.removesuffix("…").encode()) + ([] if text.endswith("…") else [EOS_ID])
            for text in texts
        ]
        return ids, None

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        self.batches.append({k: v.clone() for k, v in output.items() if torch.is_tensor(v)})
        return output


def arguments(tmp_path: Any, **changes: Any) -> GRPOConfig:
    """Arguments for one or a few steps on a CPU, two groups of two per step."""
    values: dict[str, Any] = {
        "output_dir": str(tmp_path),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "per_device_train_batch_size": 4,
        "num_generations": 2,
        "max_completion_length": 12,
        "max_steps": 1,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "seed": 7,
        "disable_tqdm": True,
    }
    return GRPOConfig(**(values | changes))


def trainer(tmp_path: Any, guidance: Any, *, script: Script | None = None, **options: Any):
    """A trainer on the tiny model; ``args=`` takes changes to ``arguments``."""
    reward = options.pop("reward_funcs", None) or CountingReward()
    data = options.pop("data", None) or rows()
    return ScriptedTrainer(
        model=options.pop("model", None) or tiny_model(),
        reward_funcs=reward,
        args=arguments(tmp_path, **options.pop("args", {})),
        train_dataset=Dataset.from_list(data),
        processing_class=ByteTokenizer(),
        guidance=guidance,
        script=script,
        **options,
    )
