"""How the cost of a step of ours grows with G, completion length, vocabulary and open gates.

A small Llama with random weights (4 layers, width 128) on two threads, float32; one setting at a
time departs from the base: 4 groups of 8, prompts and completions of 64 tokens, 16,384 words, every
gate closed. Where gates open, every rewrite enters. The sweep is done twice, there and back, so
that a machine that slows down meanwhile shows as spread. Seconds a step, by phase.

    python benchmarks/growth.py [--series G completion vocabulary open] [--json FILE]
"""

from __future__ import annotations

import gc
import itertools
import random
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from grpo_step import instrument, mark_steps
from measuring import Figure, figure, finish, log_log_slope, parser_of

PROMPT_TOKENS = 64


class Setting(NamedTuple):
    """One point of a series."""

    group_size: int = 8
    completion_tokens: int = 64
    vocabulary: int = 16_384
    open_share: float = 0.0
    groups: int = 4

    @property
    def rows(self) -> int:
        """Rollouts of a step."""
        return self.groups * self.group_size


BASE = Setting()
SERIES: dict[str, tuple[str, tuple[float, ...]]] = {
    "G": ("group_size", (4, 8, 16)),
    "completion": ("completion_tokens", (32, 64, 128)),
    "vocabulary": ("vocabulary", (2_048, 16_384, 49_152)),
    "open": ("open_share", (0.0, 0.25, 0.5, 1.0)),
}
"""Series -> field of ``Setting``, its values."""


def main() -> None:
    """Time every setting twice and lay out the series."""
    parser = parser_of(__doc__)
    parser.add_argument("--series", nargs="+", choices=SERIES, default=list(SERIES))
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each visit")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="an eighth of tokens and vocabulary")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    series = {name: points_of(name, options.tiny) for name in options.series}
    base = smaller(BASE) if options.tiny else BASE
    settings = list(dict.fromkeys([base, *itertools.chain(*series.values())]))
    step_of(base, 1, options.threads)  # imports and warms up
    visits: dict[Setting, list[dict[str, float]]] = {setting: [] for setting in settings}
    for setting in [*settings, *reversed(settings)]:
        visits[setting] += step_of(setting, options.steps, options.threads)
    finish("growth.py", options, *summary(series, base, visits))


def points_of(name: str, tiny: bool) -> list[Setting]:
    """The settings of a series."""
    field, values = SERIES[name]
    points = [BASE._replace(**{field: value}) for value in values]
    return [smaller(point) for point in points] if tiny else points


def smaller(setting: Setting) -> Setting:
    """The same setting with an eighth of its tokens and words."""
    return setting._replace(
        completion_tokens=setting.completion_tokens // 8, vocabulary=setting.vocabulary // 8
    )


def summary(
    series: dict[str, list[Setting]], base: Setting, visits: dict[Setting, list[dict[str, float]]]
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Seconds of a step at every point; phases and exponents for the report."""
    figures = {"base": figure([step["step_s"] for step in visits[base]], "s/step")}
    details: dict[str, Any] = {"base": base._asdict(), "series": {}, "exponents": {}}
    for name, points in series.items():
        field = SERIES[name][0]
        values = [getattr(point, field) for point in points]
        details["series"][name] = [
            {"value": value, **medians(visits[point])}
            for value, point in zip(values, points, strict=True)
        ]
        for value, point in zip(values, points, strict=True):
            if point != base:
                steps = [step["step_s"] for step in visits[point]]
                figures[f"{name} {value:g}"] = figure(steps, "s/step")
        if field != "open_share":
            pairs = [
                (value, step["step_s"])
                for value, point in zip(values, points, strict=True)
                for step in visits[point]
            ]
            details["exponents"][name] = log_log_slope(*zip(*pairs, strict=True))
    return figures, details


def medians(steps: list[dict[str, float]]) -> dict[str, float]:
    """Median of every phase."""
    return {name: statistics.median(step[name] for step in steps) for name in steps[0]}


def step_of(setting: Setting, steps: int, threads: int) -> list[dict[str, float]]:
    """Seconds of each of some timed steps after one that warms up, in all and by phase.

    Raises:
        SystemExit: Gates did not open as the setting says, or a rewrite was refused.
    """
    import torch
    from transformers import PrinterCallback

    torch.manual_seed(0)
    marks: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        trainer = build(setting, Path(folder), steps, threads)
        seconds = instrument(trainer)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(mark_steps(marks, seconds))
        trainer.train()
    check_gates(trainer, setting)
    del trainer
    gc.collect()
    spans = list(itertools.pairwise(marks))[-steps:]
    return [
        phases_of({name: after[name] - before[name] for name in after}) for before, after in spans
    ]


def phases_of(seconds: dict[str, float]) -> dict[str, float]:
    """The whole step, its phases, and what belongs to none."""
    whole = seconds.pop("at")
    return {"step_s": whole, **seconds, "rest": whole - sum(seconds.values())}


def check_gates(trainer: Any, setting: Setting) -> None:
    """A figure for open gates means nothing if they stay closed."""
    logged = [row for row in trainer.state.log_history if "gate/open_fraction" in row]
    opened = [row["gate/open_fraction"] for row in logged]
    accepted = [row["injection/accepted"] for row in logged]
    wanted = round(setting.open_share * setting.groups)
    if set(opened) != {setting.open_share} or set(accepted) != {float(wanted)}:
        raise SystemExit(f"{setting}: gates open {opened}, rewrites accepted {accepted}")


def build(setting: Setting, folder: Path, steps: int, threads: int) -> Any:
    """A trainer with the preset ``repo``, in which any rewrite that is right may enter."""
    from datasets import Dataset
    from trl import GRPOConfig

    from rephrase_rl import RePOTrainer, preset_guidance
    from rephrase_rl.methods import TRAINER_DEFAULTS

    model, tokenizer = small_policy(setting.vocabulary)
    fields: dict[str, Any] = dict(TRAINER_DEFAULTS) | {
        "num_generations": setting.group_size,
        "per_device_train_batch_size": setting.rows,
        "max_completion_length": setting.completion_tokens,
        "max_steps": steps + 1,
        "bf16": False,
        "gradient_checkpointing": False,
        "shuffle_dataset": False,
    }
    args = GRPOConfig(
        str(folder), use_cpu=True, report_to="none", disable_tqdm=True, logging_steps=1, **fields
    )
    return RePOTrainer(
        guidance=preset_guidance("repo", {"accept": ["reward_above_replaced"]}),
        model=model,
        args=args,
        train_dataset=Dataset.from_list(problems(setting, steps)),
        processing_class=tokenizer,
        reward_funcs=[reward_of(setting)],
    )


def reward_of(setting: Setting) -> Callable[..., list[float]]:
    """All wrong in the first groups, whose gates open; a rewrite is right; else half passes."""
    failed = round(setting.open_share * setting.groups) * setting.group_size

    def reward(completion_ids: list[list[int]], **columns: Any) -> list[float]:
        if len(completion_ids) != setting.rows:
            return [1.0] * len(completion_ids)
        return [float(row >= failed and row % 2) for row in range(setting.rows)]

    return reward


def problems(setting: Setting, steps: int) -> list[dict[str, Any]]:
    """Prompts and expert solutions of random words."""
    rng = random.Random(0)

    def text() -> str:
        return " ".join(f"w{rng.randrange(setting.vocabulary // 2)}" for _ in range(PROMPT_TOKENS))

    return [
        {"prompt": text(), "expert_solution": text(), "problem_id": f"p{i}"}
        for i in range(setting.groups * (steps + 1))
    ]


def small_policy(vocabulary: int) -> tuple[Any, Any]:
    """A model with random weights, and a tokenizer that knows a word for each of its tokens.

    The end token is one of ``vocabulary``, so few completions are shorter than they may be.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ("<end>", "<pad>", "<unknown>")
    words = (*special, *(f"w{i}" for i in range(vocabulary - len(special))))
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, special[2]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **dict(zip(("eos_token", "pad_token", "unk_token"), special, strict=True)),
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config), tokenizer


if __name__ == "__main__":
    main()
