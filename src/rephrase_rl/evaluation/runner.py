"""Carrying out an evaluation: render, sample, verify, aggregate."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import EvaluationError
from rephrase_rl.evaluation.samples import EvaluationSample
from rephrase_rl.evaluation.summary import summarize_samples
from rephrase_rl.prompts import render_prompt
from rephrase_rl.rewards.context import COMPLETION_IDS, context_of, verify_in_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.evaluation.protocol import EvaluationProtocol
    from rephrase_rl.evaluation.result import EvaluationResult
    from rephrase_rl.prompts import PromptTemplate
    from rephrase_rl.records import Completion, Message, Problem
    from rephrase_rl.rewards import Verifier
    from rephrase_rl.rollout import Engine, Journal, ProgressCallback

LABEL_OF_NONE = "(none)"
"""Label of a problem whose metadata has none, so that the parts add up to the whole."""


def evaluate(
    engine: Engine,
    problems: Sequence[Problem],
    verifier: Verifier,
    template: PromptTemplate,
    protocol: EvaluationProtocol,
    *,
    on_progress: ProgressCallback | None = None,
    label_keys: Mapping[str, str] | None = None,
    journal: Journal | None = None,
) -> EvaluationResult:
    """Sample every problem under a protocol and score the samples.

    Args:
        engine: Samples from the policy.
        problems: Distinct ids; their expert solutions are not looked at.
        verifier: The one that ``protocol`` names. Left open, it is the caller's to close.
        template: The solve template that ``protocol`` names.
        protocol: How to sample and score.
        on_progress: Called with (completions sampled, completions asked for).
        label_keys: Kind of label to the key of the problems' metadata that holds it; results are
            told apart by them.
        journal: Keeps what was sampled and knows what was sampled before; None: nothing is kept.

    Raises:
        EvaluationError: There are no problems, ids repeat, verifier or template are not those of
            the protocol, the engine or verifier returned another number of items than asked for,
            or too many samples could not be scored.
    """
    chosen = list(problems if protocol.limit is None else problems[: protocol.limit])
    _check_request(chosen, verifier, template, protocol)
    prompts = [render_prompt(problem, template) for problem in chosen]
    kept = {} if journal is None else {"journal": journal}
    groups = engine.sample(prompts, protocol.sampling_settings(), on_progress=on_progress, **kept)
    sizes = {len(group) for group in groups}
    if len(groups) != len(chosen) or sizes != {protocol.samples_per_problem}:
        raise EvaluationError(
            f"the engine returned {len(groups)} groups of sizes {sorted(sizes)}, required: "
            f"{len(chosen)} of {protocol.samples_per_problem}; mend the engine"
        )
    samples = _judge(chosen, groups, verifier, label_keys or {})
    return summarize_samples(samples, protocol, prompts_sha256=prompts_sha256(prompts))


def prompts_sha256(prompts: Sequence[tuple[Message, ...]]) -> str:
    """SHA-256 (hex) of conversations in their order, equal on every machine."""
    digest = hashlib.sha256()
    for prompt in prompts:
        line = json.dumps([dict(turn) for turn in prompt], sort_keys=True, ensure_ascii=True)
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _judge(
    problems: Sequence[Problem],
    groups: Sequence[Sequence[Completion]],
    verifier: Verifier,
    label_keys: Mapping[str, str],
) -> list[EvaluationSample]:
    """Return one sample per completion, scored in a single call of the verifier."""
    rows = [
        (problem, index, completion)
        for problem, group in zip(problems, groups, strict=True)
        for index, completion in enumerate(group)
    ]
    asked = [problem for problem, _, _ in rows]
    token_ids = [completion.token_ids for _, _, completion in rows]
    verdicts = verify_in_context(
        verifier,
        [completion.text for _, _, completion in rows],
        [problem.reference_answer for problem in asked],
        context_of(verifier, asked, {COMPLETION_IDS: token_ids}),
    )
    return [
        EvaluationSample(
            problem_id=problem.problem_id,
            sample=index,
            text=completion.text,
            status=verdict.status,
            value=verdict.reward,
            answer=verdict.answer,
            reference_answer=problem.reference_answer,
            num_tokens=len(completion.token_ids),
            finished=completion.finished,
            detail=verdict.detail,
            labels={kind: _label(problem.metadata, key) for kind, key in label_keys.items()},
        )
        for (problem, index, completion), verdict in zip(rows, verdicts, strict=True)
    ]


def _label(metadata: Mapping[str, Any], key: str) -> str:
    value = metadata.get(key)
    return LABEL_OF_NONE if value is None or value == "" else str(value)


def _check_request(
    problems: Sequence[Problem],
    verifier: Verifier,
    template: PromptTemplate,
    protocol: EvaluationProtocol,
) -> None:
    """Refuse what would give a result that its own protocol misdescribes; all faults at once."""
    faults = []
    if not problems:
        faults.append("found no problems, required: at least one; check the benchmark's file")
    counts = Counter(problem.problem_id for problem in problems)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if repeated:
        faults.append(
            f"{len(repeated)} problem ids occur more than once, such as {repeated[0]!r}, required: "
            "distinct ids, since intervals are taken over problems; rename or remove the doubles"
        )
    if verifier.name != protocol.verifier:
        faults.append(
            f"the verifier is {verifier.name!r}, required: the protocol's {protocol.verifier!r}"
        )
    if template.template_id != protocol.solve_template:
        faults.append(
            f"the template is {template.template_id!r}, required: the protocol's "
            f"{protocol.solve_template!r}"
        )
    if faults:
        raise EvaluationError(
            "\n  - ".join([f"evaluation {protocol.name!r} cannot be carried out:", *faults])
        )
