"""Measures whether a policy is fit for the lab: ``python -m rephrase_rl.lab.bars [FOLDER]``.

A bar is a property without which a study of guidance on the policy means nothing: it must solve
easy problems, fail on all hard ones, be able to rewrite their solutions, and have abilities to
lose. Everything is sampled at temperature 1 without truncation, as rollouts in training are.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rephrase_rl.lab.abilities import ABILITIES
from rephrase_rl.lab.experts import EXPERT_STYLES
from rephrase_rl.lab.families import CHAIN, FAMILIES, family_named, own_solution
from rephrase_rl.lab.problems import (
    chance_of,
    easy_problems,
    hard_problems,
    is_right,
    make_problems,
)
from rephrase_rl.lab.tokenizer import rewrite_prompt

if TYPE_CHECKING:
    from rephrase_rl.lab.family import Family
    from rephrase_rl.lab.sampling import Policy
    from rephrase_rl.lab.splits import Split
    from rephrase_rl.records import Problem

BARS_FILE = "bars.json"
GROUP_SIZE = 8

HARD_MAXIMUM = 0.0005
FAILED_GROUPS_MINIMUM = 0.99
REWRITING_MINIMUM = 0.95
POOR_REWRITING_RANGE = (0.30, 0.60)
ABILITY_MINIMUM = 0.95
CHANCE_MAXIMUM = 0.001
ALIEN_NLL_MINIMUM = 3.0
NEAR_NLL_RANGE = (0.5, 1.5)
OWN_NLL_MAXIMUM = 0.5


@dataclass(frozen=True)
class LabBars:
    """What was measured. Shares are in [0, 1], at temperature 1; NLL is nats per token.

    Attributes:
        policy: Folder name of the policy.
        split: Split of the problems.
        seed: Seed of problems and sampling.
        easy_accuracy: Share of right completions, by easy level.
        hard_rollouts: Number of rollouts on hard problems, in groups of 8.
        hard_success: Share of right ones among them.
        failed_groups: Share of groups of 8 that failed completely.
        rewriting: Share of right rewritings of hard problems, by expert style.
        abilities: Share of right completions, by general ability.
        highest_chance: Highest chance level of an answer among all problems used.
        expert_nll: Mean NLL per token of the expert's text on hard problems given the plain
            question, by expert style.
        own_nll: The same of the right solution in own style.
        own_nll_easy: The same on easy problems.
        poor_rewriter: Whether rewriting is judged by the range of a poor rewriter.
        family: Task family of the problems.
    """

    policy: str
    split: str
    seed: int
    easy_accuracy: dict[str, float]
    hard_rollouts: int
    hard_success: float
    failed_groups: float
    rewriting: dict[str, float]
    abilities: dict[str, float]
    highest_chance: float
    expert_nll: dict[str, float]
    own_nll: float
    own_nll_easy: float
    poor_rewriter: bool = field(default=False, kw_only=True)
    family: str = field(default=CHAIN.kind, kw_only=True)

    def failures(self) -> list[str]:
        """The bars that are missed, each with what was found and what is required."""
        low, high = POOR_REWRITING_RANGE if self.poor_rewriter else (REWRITING_MINIMUM, 1.0)
        easy = family_named(self.family).easy_minimum
        checks = [
            *((f"easy accuracy, level {k}", v, easy, 1.0) for k, v in self.easy_accuracy.items()),
            ("hard success", self.hard_success, 0.0, HARD_MAXIMUM),
            ("all-failed groups", self.failed_groups, FAILED_GROUPS_MINIMUM, 1.0),
            *((f"rewriting, {k} expert", v, low, high) for k, v in self.rewriting.items()),
            *((f"ability {k}", v, ABILITY_MINIMUM, 1.0) for k, v in self.abilities.items()),
            ("chance level", self.highest_chance, 0.0, CHANCE_MAXIMUM),
            ("NLL of alien", self.expert_nll["alien"], ALIEN_NLL_MINIMUM, float("inf")),
            ("NLL of near", self.expert_nll["near"], *NEAR_NLL_RANGE),
            ("NLL of own style", self.own_nll, 0.0, OWN_NLL_MAXIMUM),
        ]
        return [
            f"{name} is {value:.4g}; required is [{minimum:g}, {maximum:g}]"
            for name, value, minimum, maximum in checks
            if not minimum <= value <= maximum
        ]


def measure_bars(
    policy_folder: Path | str,
    *,
    hard_rollouts: int = 20_000,
    seed: int = 0,
    split: Split = "check",
    samples: int = 1000,
    poor_rewriter: bool = False,
    family: Family = CHAIN,
) -> LabBars:
    """Measures all bars of a policy.

    Args:
        policy_folder: Policy with tokenizer, in Hugging Face form.
        hard_rollouts: Rollouts on hard problems, rounded up to whole groups of 8.
        seed: Seed of problems and sampling.
        split: Split to take the problems from.
        samples: Problems for each of the other bars, one completion each.
        poor_rewriter: Judge rewriting by the range of the poor rewriter.
        family: Task family that the policy was made for.

    Returns:
        The measured bars; they may be missed, see ``failures``.
    """
    from rephrase_rl.lab.sampling import Policy

    policy = Policy(policy_folder, seed, family)
    groups = -(-hard_rollouts // GROUP_SIZE)
    hard = hard_problems(groups, split=split, seed=seed, family=family)
    solved = _solved(policy, [problem for problem in hard for _ in range(GROUP_SIZE)])
    group_solved = [
        any(solved[first : first + GROUP_SIZE]) for first in range(0, len(solved), GROUP_SIZE)
    ]
    easy = {
        str(level): make_problems(family.kind, level=level, count=samples, split=split, seed=seed)
        for level in family.easy_levels
    }
    general = {
        name: make_problems(name, count=samples, split=split, seed=seed) for name in ABILITIES
    }
    experts = {
        style: hard_problems(samples, split=split, seed=seed, expert=style, family=family)
        for style in EXPERT_STYLES
    }
    both_easy = easy_problems(samples, split=split, seed=seed, family=family)
    used = [hard, *easy.values(), *general.values()]
    return LabBars(
        policy=Path(policy_folder).name,
        split=split,
        seed=seed,
        easy_accuracy={level: _mean(_solved(policy, ps)) for level, ps in easy.items()},
        hard_rollouts=len(solved),
        hard_success=_mean(solved),
        failed_groups=1.0 - _mean(group_solved),
        rewriting={style: _mean(_rewritten(policy, ps)) for style, ps in experts.items()},
        abilities={name: _mean(_solved(policy, ps)) for name, ps in general.items()},
        highest_chance=max(chance_of(problem) for problems in used for problem in problems),
        expert_nll={
            style: policy.mean_nll([(p.question, p.expert_solution or "") for p in problems])
            for style, problems in experts.items()
        },
        own_nll=policy.mean_nll([(p.question, own_solution(p)) for p in hard[:samples]]),
        own_nll_easy=policy.mean_nll([(p.question, own_solution(p)) for p in both_easy]),
        poor_rewriter=poor_rewriter,
        family=family.kind,
    )


def _solved(policy: Policy, problems: Sequence[Problem]) -> list[bool]:
    texts = policy.sample([problem.question for problem in problems])
    return [is_right(problem, text) for problem, text in zip(problems, texts, strict=True)]


def _rewritten(policy: Policy, problems: Sequence[Problem]) -> list[bool]:
    prompts = [rewrite_prompt(p.question, p.expert_solution or "") for p in problems]
    texts = policy.sample(prompts)
    return [is_right(problem, text) for problem, text in zip(problems, texts, strict=True)]


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; the exit status is 1 if a bar is missed."""
    from rephrase_rl.lab.policies import policy_folder

    parser = argparse.ArgumentParser(prog="python -m rephrase_rl.lab.bars")
    parser.add_argument("policy", nargs="?", default="base", help="name or folder; base by default")
    parser.add_argument("--hard-rollouts", type=int, default=20_000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rewriter", choices=("good", "poor"), default="good")
    parser.add_argument("--family", choices=tuple(FAMILIES), default=CHAIN.kind)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--save", action="store_true", help=f"write {BARS_FILE} into the folder")
    parsed = parser.parse_args(arguments)
    folder = policy_folder(parsed.policy)
    bars = measure_bars(
        folder,
        hard_rollouts=parsed.hard_rollouts,
        seed=parsed.seed,
        samples=parsed.samples,
        poor_rewriter=parsed.rewriter == "poor",
        family=family_named(parsed.family),
    )
    measured = dataclasses.asdict(bars)
    text = json.dumps(measured, indent=2) + "\n"
    if parsed.save:
        (folder / BARS_FILE).write_text(text, encoding="utf-8")
    failures = bars.failures()
    lines = [f"{name:16} {value}" for name, value in measured.items()]
    lines += [f"MISSED: {failure}" for failure in failures] or ["all bars are met"]
    sys.stdout.write(text if parsed.json else "\n".join(lines) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
