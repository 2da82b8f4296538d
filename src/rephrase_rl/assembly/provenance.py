"""What a run was made from, for its card: policy, tokenizer, chat template, data sets, overlap."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.objects import LAB_PREFIX
from rephrase_rl.assembly.own_code import own_code
from rephrase_rl.assembly.run_parts import starting_model
from rephrase_rl.data import data_fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.assembly.benchmarks import LoadedBenchmark
    from rephrase_rl.config import DataConfig, RunConfig
    from rephrase_rl.records import JSON, Problem
    from rephrase_rl.rollout import LoadedPolicy

VALUES_OF_A_WEIGHT = 64
"""First numbers of each tensor that go into the fingerprint: enough to tell checkpoints apart, and
read in no time also where the whole would take minutes."""


def provenance(
    config: RunConfig,
    problems: Sequence[Problem],
    benchmarks: Sequence[LoadedBenchmark],
    policy: LoadedPolicy,
) -> dict[str, JSON]:
    """Manifest entries ``datasets``, ``policy``, ``contamination``, ``own_code`` if there is any.

    Args:
        config: The run.
        problems: What is trained on, all sets together.
        benchmarks: What is evaluated on.
        policy: What training starts from.
    """
    code = own_code(config)
    return {
        **({"own_code": code} if code else {}),
        "datasets": _datasets(config, problems, benchmarks),
        "policy": describe_policy(policy, starting_model(config).path),
        "contamination": equal_questions(problems, benchmarks),
    }


def describe_policy(policy: LoadedPolicy, path: str) -> dict[str, JSON]:
    """Where a policy is from; class, size, commit and hashes of it and its tokenizer.

    ``weights_sha256`` is over the name, shape and first ``VALUES_OF_A_WEIGHT`` numbers of every
    tensor; ``tokenizer_sha256`` over its vocabulary, merges and rules.
    """
    model, tokenizer = policy.model, policy.tokenizer
    digest = hashlib.sha256()
    for name, weight in model.named_parameters():
        first = weight.detach().flatten()[:VALUES_OF_A_WEIGHT].float().cpu().numpy()
        digest.update(f"{name} {tuple(weight.shape)}".encode() + first.tobytes())
    template = tokenizer.chat_template
    text = template if isinstance(template, str) else json.dumps(template, sort_keys=True)
    return {
        "path": path,
        "kind": _kind(path),
        "class": type(model).__name__,
        "parameters": model.num_parameters(),  # also where several share a byte
        "dtype": str(model.dtype).removeprefix("torch."),
        "commit": getattr(model.config, "_commit_hash", None),
        "weights_sha256": digest.hexdigest(),
        "tokenizer": type(tokenizer).__name__,
        "tokenizer_sha256": _tokenizer_hash(tokenizer),
        "chat_template_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def _tokenizer_hash(tokenizer: Any) -> str:
    if tokenizer.is_fast:
        rules = json.loads(tokenizer.backend_tokenizer.to_str())
        # These two are set by whoever has used it last.
        content = {key: rules[key] for key in rules if key not in ("truncation", "padding")}
    else:
        content = tokenizer.get_vocab()
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _datasets(
    config: RunConfig, problems: Sequence[Problem], benchmarks: Sequence[LoadedBenchmark]
) -> dict[str, JSON]:
    """By ``train/NAME`` and ``evaluation/NAME``: source, revision, rows and hashes."""
    found = {}
    for data in config.data:
        own = [p for p in problems if p.dataset == data.name] if len(config.data) > 1 else problems
        # A mixture draws the problems of small sets several times.
        distinct = list({problem.problem_id: problem for problem in own}.values())
        found[f"train/{data.name}"] = _dataset(data, distinct)
    for benchmark in benchmarks:
        name = f"evaluation/{benchmark.config.name}"
        found[name] = _dataset(benchmark.config.data, benchmark.problems)
    return found


def _dataset(data: DataConfig, problems: Sequence[Problem]) -> JSON:
    ids = "\n".join(sorted(problem.problem_id for problem in problems))
    return {
        "path": data.path,
        "kind": _kind(data.path),
        **({"config_name": data.config_name} if data.config_name else {}),
        "split": data.split,
        **({"revision": data.revision} if _kind(data.path) == "hub" else {}),
        "rows": len(problems),
        "ids_sha256": hashlib.sha256(ids.encode()).hexdigest(),
        "sha256": data_fingerprint(problems),
    }


def _kind(path: str) -> str:
    """Where a data set is from; only what is from the hub has a revision."""
    if path.startswith(LAB_PREFIX):
        return "lab"
    return "local" if Path(path).exists() else "hub"


def equal_questions(
    problems: Sequence[Problem], benchmarks: Sequence[LoadedBenchmark]
) -> dict[str, JSON]:
    """How many questions of each benchmark are trained on, as they stand but for space and case.

    Runs of words in common, as in paraphrases, are what ``data check --against`` looks for; that
    takes too long to be done at the start of every run.
    """
    trained = {_plain(problem.question) for problem in problems} if benchmarks else set()
    return {
        benchmark.config.name: {
            "equal_questions": sum(_plain(p.question) in trained for p in benchmark.problems),
            "of": len(benchmark.problems),
        }
        for benchmark in benchmarks
    }


def _plain(question: str) -> str:
    """A question in one Unicode form, case and spacing; its signs stay, or 7+5 would be 7-5."""
    return " ".join(unicodedata.normalize("NFKC", question).casefold().split())
