"""Makes the policies of the lab: ``python -m rephrase_rl.lab.pretrain --out DIR --seed N``.

The command makes a base in three stages, some fifteen minutes on a free core; ``--family`` names
the tasks that it is made for. With ``--rewriter poor`` it goes on from a base with rewritings of
which many are unfinished. The folder gets the policy, its tokenizer, the log, and a record of
command, settings and versions; log and record tell of the stages that came before, too.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import platform
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rephrase_rl.lab.corpus import Mixture, Text, draw_text
from rephrase_rl.lab.families import AB, CHAIN, FAMILIES, family_named
from rephrase_rl.lab.muon import Muon
from rephrase_rl.lab.policies import policy_folder
from rephrase_rl.lab.tokenizer import MAX_LENGTH, build_tokenizer, templated
from rephrase_rl.seeding import derive_seed, forked_rng

if TYPE_CHECKING:
    import torch

LOG_FILE = "pretrain_log.jsonl"
RECORD_FILE = "pretrain.json"
MICRO_BATCHES = 8
"""Parts of a batch, sorted by length: less padding, and activations that fit into the cache."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PretrainSettings:
    """What decides a pretraining run.

    Attributes:
        seed: Seed of weights and text.
        steps: Optimizer steps.
        batch: Texts in one step.
        muon_lr: Peak learning rate of the matrices.
        adam_lr: Peak learning rate of embeddings and norms.
        warmup: Steps of linear warm-up, before cosine decay to 2 % of the peak.
        weight_decay: Of the matrices.
        start: Name or folder of the policy to go on from; None starts from random weights.
        mixture: Shares of the text.
        family: Name of the task family.
    """

    seed: int = 0
    steps: int = 900
    batch: int = 112
    muon_lr: float = 0.02
    adam_lr: float = 3e-3
    warmup: int = 30
    weight_decay: float = 0.01
    start: str | None = None
    mixture: Mixture = dataclasses.field(default_factory=Mixture)
    family: str = CHAIN.kind

    def learning_rate_factor(self, step: int) -> float:
        """Share of the peak learning rate in a step, counted from 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        floor = 0.02
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def base_stages(seed: int = 0, family: str = CHAIN.kind) -> tuple[PretrainSettings, ...]:
    """Stages of a base, the shipped one among them: learn everything, then polish what comes last.

    The last stage shows the near expert's style rarely in complete solutions and often in
    unfinished ones: without it, what few hard problems the policy solves it solves in that style.
    Programs have one more: rewriting them is copying up to ninety tokens of four kinds.
    """
    stages: tuple[PretrainSettings, ...] = (
        PretrainSettings(seed=10 * seed, steps=900),
        PretrainSettings(
            seed=10 * seed + 1,
            steps=350,
            muon_lr=0.008,
            adam_lr=1.2e-3,
            warmup=20,
            mixture=Mixture(solve=0.45, rewrite=0.15, dedupe_weight=3),
        ),
        PretrainSettings(
            seed=10 * seed + 2,
            steps=250,
            muon_lr=0.005,
            adam_lr=8e-4,
            warmup=10,
            mixture=Mixture(
                solve=0.5,
                rewrite=0.12,
                unfinished_share=0.3,
                near_share=0.015,
                near_unfinished_share=0.06,
                dedupe_weight=2,
            ),
        ),
    )
    if family == AB.kind:
        _, polish, last = stages
        rewriting = dataclasses.replace(last.mixture, solve=0.28, rewrite=0.5)
        more = dataclasses.replace(polish, seed=10 * seed + 3, steps=500, mixture=rewriting)
        stages = (*stages, more)
    return tuple(dataclasses.replace(stage, family=family) for stage in stages)


def poor_rewriter_stages(
    seed: int = 0, start: str = "base", family: str = CHAIN.kind
) -> tuple[PretrainSettings, ...]:
    """The stage that makes a poor rewriter from a good one of the same family."""
    polish = base_stages()[-1].mixture
    return (
        PretrainSettings(
            seed=10 * seed + 5,
            steps=220,
            muon_lr=0.003,
            adam_lr=5e-4,
            warmup=10,
            start=start,
            mixture=dataclasses.replace(
                polish,
                solve=0.65,
                rewrite=0.15,
                easy_level_share=0.97,
                unfinished_share=0.25,
                corrupted_share=0.5,
            ),
            family=family,
        ),
    )


def make_policy(stages: Sequence[PretrainSettings], out: Path, command: str = "") -> None:
    """Runs stages one after the other, each going on from the one before.

    Args:
        stages: What to run; the first goes on from its own ``start`` if it has one.
        out: Folder for policy, tokenizer, log and record; overwritten.
        command: Command line to put in the record.
    """
    for index, settings in enumerate(stages):
        start = settings.start if index == 0 else str(out)
        pretrain(dataclasses.replace(settings, start=start), out, command=command)


def pretrain(
    settings: PretrainSettings,
    out: Path,
    *,
    log_every: int = 50,
    save_every: int = 100,
    command: str = "",
) -> None:
    """Pretrains a policy and saves it.

    Args:
        settings: What to make.
        out: Folder for policy, tokenizer, log and record; overwritten.
        log_every: Steps between lines of the log.
        save_every: Steps between saves of the unfinished policy into the same folder.
        command: Command line to put in the record.
    """
    import torch

    tokenizer = build_tokenizer()
    model = _starting_model(settings, tokenizer)
    muon, adam = _optimizers(model, settings)
    rng = random.Random(derive_seed(settings.seed, "pretraining text"))
    family = family_named(settings.family)
    stages, earlier_log = _earlier_stages(settings)
    out.mkdir(parents=True, exist_ok=True)
    log = (out / LOG_FILE).open("w", encoding="utf-8")
    log.write(earlier_log)
    began = time.monotonic()
    losses: list[float] = []
    for step in range(settings.steps):
        factor = settings.learning_rate_factor(step)
        texts = [draw_text(rng, settings.mixture, family) for _ in range(settings.batch)]
        losses.append(_backward(model, tokenizer, texts))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        muon.step(settings.muon_lr * factor)
        adam.param_groups[0]["lr"] = settings.adam_lr * factor
        adam.step()
        adam.zero_grad(set_to_none=True)
        done = step + 1
        if done % log_every == 0 or done == settings.steps:
            line = {
                "stage": len(stages),
                "step": done,
                "loss": round(sum(losses) / len(losses), 5),
                "learning_rate_factor": round(factor, 5),
                "seconds": round(time.monotonic() - began, 1),
            }
            losses.clear()
            log.write(json.dumps(line) + "\n")
            log.flush()
            logger.info("step %(step)d loss %(loss).4f, %(seconds).0f s", line)
        if done % save_every == 0 or done == settings.steps:
            model.save_pretrained(out)
            tokenizer.save_pretrained(out)
    log.close()
    stages.append(_record(settings, command, time.monotonic() - began))
    text = json.dumps(stages, indent=2) + "\n"
    (out / RECORD_FILE).write_text(text, encoding="utf-8")


def _earlier_stages(settings: PretrainSettings) -> tuple[list[dict[str, Any]], str]:
    """Records and log of the stages that made the starting policy."""
    if settings.start is None:
        return [], ""
    folder = policy_folder(settings.start)
    stages = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
    return stages, (folder / LOG_FILE).read_text(encoding="utf-8")


def _starting_model(settings: PretrainSettings, tokenizer: Any) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    if settings.start is not None:
        folder = policy_folder(settings.start)
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=288,  # two policies in float32 fit into 6 MB
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        initializer_range=0.04,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with forked_rng(derive_seed(settings.seed, "initial weights")):
        return LlamaForCausalLM(config)


def _optimizers(model: Any, settings: PretrainSettings) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for the matrices of the layers, AdamW for embeddings and norms."""
    import torch

    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    adam = torch.optim.AdamW(others, lr=0.0, betas=(0.9, 0.95), weight_decay=0.0)
    return Muon(matrices, settings.weight_decay), adam


def encode_text(tokenizer: Any, text: Text) -> tuple[list[int], list[int]]:
    """Token ids of the templated user message, and of the completion with its end token."""
    ids = tokenizer(templated(text.content), add_special_tokens=False).input_ids
    completion = tokenizer(text.completion, add_special_tokens=False).input_ids
    return ids, [*completion, tokenizer.eos_token_id]


def _backward(model: Any, tokenizer: Any, texts: Sequence[Text]) -> float:
    """Adds the gradient of a batch, and returns its mean loss per completion token.

    A text counts in the gradient with the square root of its completion's length: between the mean
    over tokens, which starves the short general texts, and the mean over texts.
    """
    import torch

    encoded = sorted(
        (encode_text(tokenizer, text) for text in texts), key=lambda pair: len(pair[0] + pair[1])
    )
    total_weight = sum(math.sqrt(len(completion)) for _, completion in encoded)
    size = math.ceil(len(encoded) / MICRO_BATCHES)
    total, tokens = 0.0, 0
    for first in range(0, len(encoded), size):
        part = encoded[first : first + size]
        longest = max(len(prompt + completion) for prompt, completion in part)
        ids = torch.full((len(part), longest), tokenizer.pad_token_id)
        weights = torch.zeros((len(part), longest))
        for row, (prompt, completion) in enumerate(part):
            end = len(prompt) + len(completion)
            ids[row, :end] = torch.tensor(prompt + completion)
            weights[row, len(prompt) : end] = 1.0 / math.sqrt(len(completion))
        # Padding is on the right and attention is causal, so no mask is needed.
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
        weights = weights[:, 1:].flatten()
        ((losses * weights).sum() / total_weight).backward()  # type: ignore[no-untyped-call]
        total += losses.detach()[weights > 0].sum().item()
        tokens += int((weights > 0).sum())
    return total / tokens


def _record(settings: PretrainSettings, command: str, seconds: float) -> dict[str, Any]:
    import torch

    # A folder's name is enough; its place is of this machine only.
    start = None if settings.start is None else Path(settings.start).name
    return {
        "command": command,
        "settings": dataclasses.asdict(settings) | {"start": start},
        "seconds": round(seconds),
        # The order of sums, and so the last bits of the weights, depends on the threads.
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "tokenizers")},
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m rephrase_rl.lab.pretrain")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new policy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rewriter", choices=("good", "poor"), default="good")
    parser.add_argument("--family", choices=tuple(FAMILIES), default=CHAIN.kind)
    parser.add_argument("--start", help="policy that --rewriter poor goes on from (default: base)")
    parser.add_argument("--steps", type=int, help="steps of all stages together")
    parsed = parser.parse_args(arguments)
    if parsed.start and parsed.rewriter == "good":
        parser.error("--start needs --rewriter poor: a base is made from random weights")
    if parsed.rewriter == "poor" and parsed.family != CHAIN.kind and not parsed.start:
        parser.error(f"no base of the family {parsed.family} is shipped: name one with --start")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    if parsed.rewriter == "poor":
        stages = poor_rewriter_stages(parsed.seed, parsed.start or "base", parsed.family)
    else:
        stages = base_stages(parsed.seed, parsed.family)
    if parsed.steps is not None:
        stages = shortened(stages, parsed.steps)
    words = sys.argv[1:] if arguments is None else list(arguments)
    words = [parsed.out.name if word == str(parsed.out) else word for word in words]
    make_policy(stages, parsed.out, " ".join(["python -m rephrase_rl.lab.pretrain", *words]))


def shortened(stages: tuple[PretrainSettings, ...], steps: int) -> tuple[PretrainSettings, ...]:
    """Stages with ``steps`` steps in all, in the same proportions and with at least one each."""
    total = sum(stage.steps for stage in stages)
    return tuple(
        dataclasses.replace(stage, steps=max(1, round(stage.steps * steps / total)))
        for stage in stages
    )


if __name__ == "__main__":
    main()
