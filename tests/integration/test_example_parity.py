"""The single-file example and the library compute the same numbers from the same rollouts.

A scripted ``RePOTrainer`` with the shipped preset ``repo`` trains on a tiny model. What the policy
"said" is written down and given to the example, which knows nothing of the library: it must inject
the same rewrites, and arrive at the same losses, gradients and weights.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from fakes import EOS_ID, ByteTokenizer, problem, tiny_model
from rephrase_rl.assembly.blocks import build_guidance
from rephrase_rl.config import PromptsConfig
from rephrase_rl.methods import TRAINER_DEFAULTS, resolve_guidance
from rephrase_rl.rewards import ExactVerifier
from trl_fakes import CountingReward, rows, trainer

pytestmark = pytest.mark.integration

TOLERANCE = 1e-5
GROUP_SIZE = 4
STEPS = 5
LEARNING_RATE = 1e-3

REWARDS: dict[str, float | None] = {
    "right": 1.0,
    "right, and at length": 1.0,
    "almost": 0.75,
    "some sense": 0.25,
    "some": 0.25,
    "odd": 0.3,
    "odd, but longer": 0.3,
    "bad": 0.0,
    "just as bad": 0.0,
}
"""Reward of every text that is "said": several failing values, so that the worst is not any."""


@dataclass(frozen=True)
class Scenario:
    """What is said to one question in one step; "…" marks an end at the length limit."""

    rollouts: tuple[str, ...]
    rewrite: str | None = None
    """None: nobody may ask for one."""
    injected_at: int | None = None


SCENARIOS = (
    Scenario(("some sense", "bad", "some", "just as bad"), "right, and at length", injected_at=1),
    Scenario(("right", "just as bad", "almost", "some")),
    Scenario(("bad", "bad…", "some sense…", "bad"), "right…"),
    Scenario(("odd", "odd, but longer", "odd", "odd"), "odd"),
    Scenario(("odd", "some sense", "odd", "some"), "odd, but longer", injected_at=1),
    Scenario(("right", "right, and at length", "right", "right")),
)
EXPERTLESS = "gh"
"""Question without an expert solution: never guided, whatever was said to it."""
NO_EXPERT = (
    Scenario(("bad", "just as bad", "bad", "bad")),
    Scenario(("bad", "some sense", "odd, but longer", "bad…")),
)


def scenario_of(question: str, step: int) -> Scenario:
    if question == EXPERTLESS:
        return NO_EXPERT[step % len(NO_EXPERT)]
    index = ("ab", "cd", "ef").index(question)
    return SCENARIOS[(index + step) % len(SCENARIOS)]


@dataclass
class Transcript:
    """The script of the trainer, and what was asked of it."""

    questions: list[list[str]] = field(default_factory=list)
    """Per generation batch, the question of each group in batch order."""
    rewrite_prompts: list[list[str]] = field(default_factory=list)
    """Per generation batch, the decoded prompts P(q, k)."""

    def __call__(self, prompts: list[str], call: int) -> list[str]:
        asked = [re.search(r"<\|user\|>(<rewrite>)?(\w\w)", prompt) for prompt in prompts]
        if asked[0].group(1):
            self.rewrite_prompts[-1] = prompts
            step = len(self.questions) - 1
            texts = [scenario_of(match.group(2), step).rewrite for match in asked]
            assert None not in texts, "a rewrite was asked for where the gate should be closed"
            return texts
        questions = [match.group(2) for match in asked]
        self.questions.append(questions[::GROUP_SIZE])
        self.rewrite_prompts.append([])
        step = len(self.questions) - 1
        return [
            scenario_of(question, step).rollouts[i % GROUP_SIZE]
            for i, question in enumerate(questions)
        ]


@dataclass
class Run:
    """One training: per optimiser step the loss and the unclipped gradient, and the weights."""

    losses: list[float] = field(default_factory=list)
    gradients: list[dict[str, torch.Tensor]] = field(default_factory=list)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    transcript: Transcript = field(default_factory=Transcript)
    slots: list[list[int | None]] = field(default_factory=list)


def gradients_of(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.grad.detach().clone() for name, p in model.named_parameters()}


def library_run(path: Path, *, micro_batches: int, passes: int) -> Run:
    """Train ``STEPS`` batches of four groups with the library."""
    run = Run()
    made = trainer(
        path,
        model=tiny_model(),
        guidance=build_guidance(resolve_guidance("repo", {}), PromptsConfig()),
        script=run.transcript,
        reward_funcs=CountingReward(REWARDS),
        data=[
            row | {"expert_solution": None} if row["prompt"][0]["content"] == EXPERTLESS else row
            for row in rows()
        ],
        on_groups=lambda records: run.slots.append([record.slot for record in records]),
        args=dict(TRAINER_DEFAULTS)
        | {
            "num_generations": GROUP_SIZE,
            "per_device_train_batch_size": 4 * GROUP_SIZE // micro_batches,
            "gradient_accumulation_steps": micro_batches,
            "num_iterations": passes,
            "max_steps": STEPS * passes,
            "learning_rate": LEARNING_RATE,
        },
    )
    training_step = made.training_step
    parts: list[float] = []

    def recorded_step(*args: Any, **kwargs: Any) -> torch.Tensor:
        value = training_step(*args, **kwargs)
        parts.append(value.item())
        if len(parts) == micro_batches:
            run.losses.append(sum(parts))
            run.gradients.append(gradients_of(made.model))
            parts.clear()
        return value

    made.training_step = recorded_step
    made.train()
    run.weights = {name: p.detach().clone() for name, p in made.model.named_parameters()}
    return run


def load_example() -> ModuleType:
    """A fresh copy of the example, which a test may damage."""
    path = Path(__file__).parents[2] / "examples" / "repo_single_file.py"
    spec = importlib.util.spec_from_file_location("repo_single_file", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def example_groups(example: ModuleType, transcript: Transcript, step: int) -> list[Any]:
    """What the example makes of one batch of the transcript."""
    tokenizer = ByteTokenizer()

    def answer(said: str) -> Any:
        text = said.removesuffix("…")
        tokens = list(text.encode()) + ([EOS_ID] if text == said else [])
        return example.Answer(tokens, text, text == said, REWARDS[text])

    def write(problems: list[Any]) -> list[Any]:
        prompts = [
            tokenizer.decode(example.encode(tokenizer, example.rewrite_prompt(p))) for p in problems
        ]
        assert prompts == transcript.rewrite_prompts[step], "other rewrites were asked for"
        return [answer(scenario_of(p.question, step).rewrite) for p in problems]

    groups = [
        example.Group(
            problem(
                question=question,
                reference_answer=question[::-1],
                expert_solution=None if question == EXPERTLESS else f"expert:{question[::-1]}",
            ),
            [answer(text) for text in scenario_of(question, step).rollouts],
        )
        for question in transcript.questions[step]
    ]
    return example.inject(groups, write)


def example_run(example: ModuleType, transcript: Transcript, *, passes: int) -> Run:
    """Train the same model on the same transcript with the example."""
    run = Run(transcript=transcript)
    model, tokenizer = tiny_model(), ByteTokenizer()
    optimizer = example.make_optimizer(model, LEARNING_RATE)
    for step in range(STEPS):
        groups = example_groups(example, transcript, step)
        run.slots.append(
            [
                next((i for i, a in enumerate(group.answers) if a.is_rewrite), None)
                for group in groups
            ]
        )
        batch = example.make_batch(tokenizer, groups)
        with torch.no_grad():
            old_logps = example.token_logps(model, batch.ids) if passes > 1 else None
        for _ in range(passes):
            optimizer.zero_grad()
            example.loss(model, batch, old_logps).backward()
            run.gradients.append(gradients_of(model))
            run.losses.append(example.update(model, optimizer, batch, old_logps))
    run.weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    return run


def worst_difference(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    assert ours.keys() == theirs.keys()
    return max((ours[name] - theirs[name]).abs().max().item() for name in ours)


def differences(library: Run, example: Run) -> dict[str, float]:
    """Largest absolute difference of each kind, over all steps and parameters."""
    assert len(library.losses) == len(example.losses) > 0
    losses = zip(library.losses, example.losses, strict=True)
    gradients = zip(library.gradients, example.gradients, strict=True)
    return {
        "loss": max(abs(ours - theirs) for ours, theirs in losses),
        "gradient": max(worst_difference(ours, theirs) for ours, theirs in gradients),
        "weights": worst_difference(library.weights, example.weights),
    }


SETTINGS = {
    "one batch": {"micro_batches": 1, "passes": 1},
    # Token means over the whole batch, not over each part of it.
    "four micro-batches": {"micro_batches": 4, "passes": 1},
    # The second pass has ratios other than 1, on both sides of the clip.
    "two passes": {"micro_batches": 1, "passes": 2},
}


@pytest.fixture(scope="module")
def library_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    return {
        name: library_run(tmp_path_factory.mktemp("run"), **settings)
        for name, settings in SETTINGS.items()
    }


@pytest.mark.parametrize("name", SETTINGS)
def test_same_losses_gradients_and_weights(name: str, library_runs: dict[str, Run]) -> None:
    library = library_runs[name]
    passes = SETTINGS[name]["passes"]
    example = example_run(load_example(), library.transcript, passes=passes)
    assert len(library.losses) == STEPS * passes
    assert example.slots == library.slots
    for kind, difference in differences(library, example).items():
        assert difference < TOLERANCE, kind


def test_the_script_opens_and_closes_gates_and_refuses(library_runs: dict[str, Run]) -> None:
    """Without all of these the comparison would say little."""
    transcript, slots = library_runs["one batch"].transcript, library_runs["one batch"].slots
    asked = sum(len(prompts) for prompts in transcript.rewrite_prompts)
    injected = sum(slot is not None for batch in slots for slot in batch)
    assert 0 < injected < asked < STEPS * 3
    for step, questions in enumerate(transcript.questions):
        expected = [scenario_of(question, step).injected_at for question in questions]
        assert slots[step] == expected


def damage_eps(example: ModuleType) -> None:
    example.STD_EPS = 1e-4  # TRL's


def damage_ddof(example: ModuleType) -> None:
    right = example.advantages

    def population(rewards_PG: torch.Tensor) -> torch.Tensor:
        size = rewards_PG.size(1)
        return right(rewards_PG) * (size / (size - 1)) ** 0.5

    example.advantages = population


def damage_reduction(example: ModuleType) -> None:
    def sequence_mean(model: Any, batch: Any, old_logps: Any = None) -> torch.Tensor:
        logps = example.token_logps(model, batch.ids)
        ratio = torch.exp(logps - logps.detach())
        mask = batch.mask[:, 1:]
        rows = (ratio * batch.advantages[:, None] * mask).sum(1) / mask.sum(1)
        return -rows.mean()

    example.loss = sequence_mean


def damage_slot(example: ModuleType) -> None:
    right = example.inject

    def last_of_the_worst(groups: list[Any], write: Any) -> list[Any]:
        turned = [example.Group(group.problem, group.answers[::-1]) for group in groups]
        injected = right(turned, write)
        return [example.Group(group.problem, group.answers[::-1]) for group in injected]

    example.inject = last_of_the_worst


def damage_clip(example: ModuleType) -> None:
    example.CLIP = 0.3


def damage_weight_decay(example: ModuleType) -> None:
    example.make_optimizer = lambda model, rate: torch.optim.AdamW(model.parameters(), lr=rate)


@pytest.mark.parametrize(
    "damage",
    [
        damage_eps,
        damage_ddof,
        damage_reduction,
        damage_slot,
        damage_clip,
        damage_weight_decay,
    ],
)
def test_a_difference_in_the_method_is_seen(
    damage: Callable[[ModuleType], None], library_runs: dict[str, Run]
) -> None:
    library = library_runs["two passes"]
    example = load_example()
    damage(example)
    run = example_run(example, library.transcript, passes=2)
    assert max(differences(library, run).values()) > 10 * TOLERANCE


class Greedy:
    """A model whose distribution is so sharp that sampling from it is taking the likeliest."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, **kwargs: Any) -> Any:
        output = self._model(**kwargs)
        output.logits = output.logits * 1e4
        return output


def test_sampler_follows_the_model_whatever_the_padding() -> None:
    example = load_example()
    model, tokenizer = tiny_model(), ByteTokenizer()
    contents = ["a", "a much longer question", "ab"]
    rows = example.sample(Greedy(model), tokenizer, contents, torch.Generator().manual_seed(0))
    for content, row in zip(contents, rows, strict=True):
        prompt = torch.tensor([example.encode(tokenizer, content)])
        alone = model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=example.MAX_NEW_TOKENS,
        )[0, prompt.size(1) :]
        assert torch.equal(row[: len(alone)], alone)


@pytest.mark.parametrize("text", ["1+1=2#2", "#2 ", "2", "#2#3", "#3#2", "#", "", "#22"])
def test_same_reward_as_the_exact_verifier(text: str) -> None:
    question = problem(reference_answer="2")
    (verdict,) = ExactVerifier().verify([text], ["2"])
    assert load_example().reward_of(text, question) == verdict.reward
