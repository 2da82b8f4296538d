"""The whole of RePO in one file: no trainer, no framework, only torch and transformers.

RePO (Rephrasing Policy Optimization, arXiv:2602.10819) is GRPO with one extra idea. GRPO samples G
answers to a question and reinforces those that beat the group's average. If all G answers are wrong
there is no average to beat and the question teaches nothing: exactly the hard ones are wasted. RePO
then shows the policy an expert's solution and lets it rewrite that *in its own words*. If the
rewrite is right it takes the place of one failed answer, and GRPO goes on as if the policy had
found it alone: the rewrite is trained on the plain question, without the expert's text in sight.

The package lends only data: the lab's problems, chains of digits such as ``7+5-3=``, and its small
pretrained policy, which solves short chains and never a long one. Read from top to bottom, then run

    python examples/repo_single_file.py --method repo
    python examples/repo_single_file.py --method grpo     # nothing is learnt on hard problems

tests/integration/test_example_parity.py holds the library to the same losses, gradients, weights.
Letters in shapes: P problems in a step, G answers to each (a group), B = P * G rows, T tokens.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from rephrase_rl.lab import problems as lab
from rephrase_rl.lab.policies import policy_path
from rephrase_rl.records import Problem

GROUP_SIZE = 8  # G: answers sampled per question
MAX_NEW_TOKENS = 48
LEARNING_RATE = 2e-4  # for a million parameters; the paper's rate for 7 billion is 1e-6
MAX_GRAD_NORM = 1.0
CLIP = 0.2  # a token gains nothing by moving its probability further than 20 % per batch
STD_EPS = 1e-6  # keeps a division finite; TRL has 1e-4, verl 1e-6
FAILED_BELOW = 0.5  # delta in the paper: a lower reward is a failure


@dataclass(frozen=True)
class Answer:
    """What the policy wrote."""

    tokens: list[int]  # as sampled, ending with the end token if the policy stopped by itself
    text: str
    finished: bool  # False: cut off at MAX_NEW_TOKENS
    reward: float
    is_rewrite: bool = False


@dataclass(frozen=True)
class Group:
    """A question with its G answers."""

    problem: Problem  # question q, reference answer, and perhaps an expert's solution k
    answers: list[Answer]


class Batch(NamedTuple):
    """What the loss needs."""

    ids: Tensor  # (B, T) question and answer, padded on the right
    mask: Tensor  # (B, T) 1.0 on the tokens of the answer, which are the trained ones
    advantages: Tensor  # (B,)


# --- 1. Asking the policy, and judging what it says


def rewrite_prompt(problem: Problem) -> str:
    """The message that shows the expert's solution, P(q, k); the plain question is ``q`` itself.

    The lab's policy knows these two marks from pretraining. For a model that reads English it is
    "first understand this solution, then write it in your own way", and its output needs one more
    step: cutting out phrases such as "according to the reference".
    """
    return f"<rewrite>{problem.question}<expert>{problem.expert_solution}"


def encode(tokenizer: Any, content: str) -> list[int]:
    """Token ids of a user's message, up to where the policy has to continue."""
    messages = [{"role": "user", "content": content}]
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)


@torch.no_grad()
def sample(model: Any, tokenizer: Any, contents: list[str], rng: torch.Generator) -> Tensor:
    """Continue each message at temperature 1, all in one batch; token ids, (B, new tokens)."""
    prompts = [encode(tokenizer, content) for content in contents]
    width, pad, end = max(map(len, prompts)), tokenizer.pad_token_id, tokenizer.eos_token_id
    # Padding on the left, so that all rows grow at the same place: their right end.
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
    seen = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    cache = DynamicCache()  # keys and values of all earlier tokens: each token is computed once
    tokens = torch.empty(len(prompts), 0, dtype=torch.long)
    stopped = torch.zeros(len(prompts), 1, dtype=torch.bool)
    while tokens.size(1) < MAX_NEW_TOKENS and not stopped.all():
        positions = (seen.cumsum(1) - 1).clamp(min=0)[:, -ids.size(1) :]
        logits = model(
            input_ids=ids, attention_mask=seen, position_ids=positions, past_key_values=cache
        ).logits[:, -1]
        ids = torch.multinomial(logits.softmax(-1), 1, generator=rng)
        ids[stopped] = pad  # a row that has ended idles until the others have
        stopped |= ids == end
        tokens = torch.cat([tokens, ids], dim=1)
        seen = torch.cat([seen, torch.ones_like(ids)], dim=1)
    return tokens


def reward_of(text: str, problem: Problem) -> float:
    """1 if what follows the last '#' is exactly the reference answer, else 0."""
    # Only the result is judged; guessing is hopeless, since it repeats all intermediate values.
    _, mark, answer = text.rpartition("#")
    return float(bool(mark) and answer.strip() == problem.reference_answer)


def ask(
    model: Any, tokenizer: Any, problems: list[Problem], contents: list[str], rng: torch.Generator
) -> list[Answer]:
    """One judged answer per message; message and problem belong together by position."""
    answers = []
    rows = sample(model, tokenizer, contents, rng).tolist() if contents else []
    for row, problem in zip(rows, problems, strict=True):
        finished = tokenizer.eos_token_id in row
        tokens = row[: row.index(tokenizer.eos_token_id) + 1] if finished else row
        text = tokenizer.decode(tokens, skip_special_tokens=True)
        answers.append(Answer(tokens, text, finished, reward_of(text, problem)))
    return answers


# --- 2. What RePO adds to GRPO


def all_failed(group: Group) -> bool:
    """The gate: open where GRPO has no signal and an expert can show how it is done."""
    failed = all(answer.reward < FAILED_BELOW for answer in group.answers)
    return failed and group.problem.expert_solution is not None


def inject(groups: list[Group], write: Callable[[list[Problem]], list[Answer]]) -> list[Group]:
    """Put a rewrite into each group that failed; size and order stay, other groups are untouched.

    ``write`` gives one judged rewrite per problem. It is asked about failed groups only, so
    rewrites cost little, and less and less as the policy learns.
    """
    failed = [i for i, group in enumerate(groups) if all_failed(group)]
    rewrites = write([groups[i].problem for i in failed])
    result = list(groups)
    for i, rewrite in zip(failed, rewrites, strict=True):
        answers = list(groups[i].answers)
        rewards = [answer.reward for answer in answers]
        worst = rewards.index(min(rewards))  # the first of them, so that nothing is left to chance
        # A rewrite that is cut off, or no better than what it replaces, has nothing to teach.
        if rewrite.finished and rewrite.reward > rewards[worst]:
            answers[worst] = replace(rewrite, is_rewrite=True)
            result[i] = Group(groups[i].problem, answers)
    return result


# --- 3. GRPO


def advantages(rewards_PG: Tensor) -> Tensor:
    """How far each answer is above its group's mean, in standard deviations; shape (P, G).

    Computed after the injection. One success of G gives it (G-1)/sqrt(G), the others -1/sqrt(G),
    with the sample standard deviation (correction 1).
    """
    centered = rewards_PG - rewards_PG.mean(1, keepdim=True)
    scaled = centered / (rewards_PG.std(1, correction=1, keepdim=True) + STD_EPS)
    # Equal rewards carry no signal. Rounding in the mean leaves dust like 1e-8, which division by
    # an equally tiny deviation would blow up: so 0 by comparison, not by arithmetic.
    is_constant = rewards_PG.amax(1, keepdim=True) == rewards_PG.amin(1, keepdim=True)
    return scaled.masked_fill(is_constant, 0.0)


def make_batch(tokenizer: Any, groups: list[Group]) -> Batch:
    """Rows of *question* and answer.

    Here lies the point of RePO: a rewrite was sampled after P(q, k), yet its row begins with q like
    all others. What is reinforced is writing this text without having seen the expert.
    """
    rows, starts = [], []
    for group in groups:
        prompt = encode(tokenizer, group.problem.question)
        rows += [prompt + answer.tokens for answer in group.answers]
        starts += [len(prompt)] * len(group.answers)
    width = max(map(len, rows))
    # Padding on the right needs no attention mask: causal attention never looks to the right.
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows])
    mask = torch.zeros(ids.shape)
    for i, (row, start) in enumerate(zip(rows, starts, strict=True)):
        mask[i, start : len(row)] = 1
    rewards_PG = torch.tensor([[answer.reward for answer in g.answers] for g in groups])
    return Batch(ids, mask, advantages(rewards_PG).flatten())


def token_logps(model: Any, ids: Tensor) -> Tensor:
    """Log-probability (nats) of each token but the first, given all before it: (B, T - 1)."""
    logits = model(input_ids=ids).logits[:, :-1]  # position t predicts token t + 1
    return logits.log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)


def loss(model: Any, batch: Batch, old_logps: Tensor | None = None) -> Tensor:
    """The clipped surrogate, averaged over all answer tokens of the batch.

    ``old_logps`` are ``token_logps`` under the weights that sampled. None takes the present ones:
    in the first update of a batch the ratio is 1, and its gradient is that of log pi.

    For a rewrite, too, the ratio compares pi(o|q) with pi_old(o|q). It does nothing about the
    rewrite having been drawn from pi_old(o|q, k); that is how the paper has it.
    """
    logps = token_logps(model, batch.ids)
    ratio = torch.exp(logps - (logps.detach() if old_logps is None else old_logps))
    advantage = batch.advantages[:, None]
    surrogate = torch.min(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage)
    mask = batch.mask[:, 1:]
    # One mean over all tokens (DAPO): every token counts alike, so long answers weigh more.
    return -(surrogate * mask).sum() / mask.sum()


def make_optimizer(model: Any, learning_rate: float = LEARNING_RATE) -> torch.optim.Optimizer:
    """AdamW without weight decay (torch's default is 0.01)."""
    return torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.0)


def update(model: Any, optimizer: Any, batch: Batch, old_logps: Tensor | None = None) -> float:
    """One optimiser step; returns the loss."""
    value = loss(model, batch, old_logps)
    optimizer.zero_grad()
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
    optimizer.step()
    return value.item()


# --- 4. Putting it together


def train(model: Any, tokenizer: Any, options: argparse.Namespace) -> None:
    """Run either method on hard problems mixed with easy and general ones, against forgetting."""
    problems = lab.mixed_training_problems(options.steps * options.prompts, options.seed)
    optimizer = make_optimizer(model)
    # Two streams of randomness: whether rewrites are drawn must not change the answers.
    rng = torch.Generator().manual_seed(options.seed)
    rewrite_rng = torch.Generator().manual_seed(options.seed + 1)

    def write(asked: list[Problem]) -> list[Answer]:
        return ask(model, tokenizer, asked, [rewrite_prompt(p) for p in asked], rewrite_rng)

    for step in range(options.steps):
        started = time.perf_counter()
        chosen = problems[step * options.prompts : (step + 1) * options.prompts]
        repeated = [problem for problem in chosen for _ in range(GROUP_SIZE)]
        answers = iter(ask(model, tokenizer, repeated, [p.question for p in repeated], rng))
        sampled = [Group(p, [next(answers) for _ in range(GROUP_SIZE)]) for p in chosen]
        groups = inject(sampled, write) if options.method == "repo" else sampled
        value = update(model, optimizer, make_batch(tokenizer, groups))
        hard = [a.reward for g in sampled if g.problem.expert_solution for a in g.answers]
        injected = sum(a.is_rewrite for g in groups for a in g.answers)
        print(
            f"step {step:4d}  loss {value:+.4f}  own reward on hard {sum(hard) / len(hard):.3f}  "
            f"all failed {sum(map(all_failed, sampled)):3d}  injected {injected:3d}  "
            f"{time.perf_counter() - started:.1f} s",
            flush=True,
        )


def evaluate(model: Any, tokenizer: Any, count: int = 200, seed: int = 0) -> dict[str, float]:
    """Share of right answers to unseen questions, one answer each at temperature 1."""
    rng = torch.Generator().manual_seed(seed)
    shares = {}
    for name in ("hard", "easy", "general"):
        problems = getattr(lab, f"{name}_problems")(count, split="test", seed=seed)
        answers = ask(model, tokenizer, problems, [p.question for p in problems], rng)
        shares[name] = sum(answer.reward for answer in answers) / count
    return shares


def main() -> None:
    """Train and evaluate."""
    parser = argparse.ArgumentParser(description="RePO in one file, on the lab's problems.")
    parser.add_argument("--method", choices=("repo", "grpo"), default="repo")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--prompts", type=int, default=16, help="problems per step")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(policy_path())
    model = AutoModelForCausalLM.from_pretrained(policy_path(), dtype=torch.float32)
    print("before", evaluate(model, tokenizer))
    train(model, tokenizer, options)
    print("after ", evaluate(model, tokenizer))


if __name__ == "__main__":
    main()
