"""The vocabulary of the package: what travels from a dataset row to a report.

Frozen dataclasses without behaviour beyond JSON in and out. Imports errors only (no torch), so
reports and configuration can use them on any machine. The way of one example is
``Problem -> Completion -> Verdict -> Rollout -> RolloutGroup -> Candidate -> GroupRecord``.

NaN and infinities become null in JSON (every reader accepts that); a status field beside the
number says why it is missing.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from rephrase_rl.errors import DataError

JSON: TypeAlias = Any
"""A value that ``json.dumps`` takes; loose, since mypy gains nothing from the recursive type."""

Message: TypeAlias = Mapping[str, str]
"""One chat turn: ``{"role": "system" | "user" | "assistant", "content": text}``."""

Origin: TypeAlias = Literal[
    "rollout", "rephrase", "expert", "prefix", "rationale", "refinement", "replay"
]
"""Where a member of a group came from."""

VerdictStatus: TypeAlias = Literal["scored", "unscorable", "timeout", "error"]
"""Only ``scored`` carries a value; the other three are never turned into a reward of 0."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One dataset item: a question, and what is needed to judge and to guide."""

    problem_id: str
    """Unique within a dataset; part of every seed and of every record."""
    messages: tuple[Message, ...]
    """The conversation that asks the question, before any template; the last turn is the user's."""
    reference_answer: str
    """The checkable answer that the verifier compares with."""
    expert_solution: str | None = None
    """The expert's worked text (k in the paper). None: trained like plain GRPO."""
    task_kind: str = "math"
    """Chooses default templates and verifier: math, lab, ..."""
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    """Anything else worth keeping in records, such as level or source."""
    dataset: str = ""
    """Name of its set in a run with several; chooses verifier and gate. Empty: there is one set."""

    @property
    def question(self) -> str:
        """Content of the last (user) message."""
        return self.messages[-1]["content"]


@dataclass(frozen=True, slots=True)
class Completion:
    """Text that a model generated for one prompt."""

    text: str
    """Decoded without special tokens."""
    token_ids: tuple[int, ...]
    """The sampled tokens; ends with an end-of-sequence token if ``finished``."""
    finished: bool
    """Whether the model ended by itself rather than at the length limit."""
    sampling_logps: tuple[float, ...] | None = None
    """Log-probability of each token (nats) under the context it was sampled in; None: not kept."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of one completion."""

    status: VerdictStatus
    """``scored``: ``value`` counts. Anything else: the verifier could not judge."""
    value: float | None
    """Reward, in [0, 1] for the shipped verifiers. None unless ``scored``."""
    answer: str | None = None
    """The answer as extracted from the completion, None if there was none."""
    detail: str = ""
    """Why, in words, for people who look at refused cases."""

    @property
    def reward(self) -> float:
        """``value``, or NaN where the completion could not be judged."""
        return math.nan if self.status != "scored" or self.value is None else self.value


@dataclass(frozen=True, slots=True)
class Rollout:
    """A member of a group: a completion, its rewards and its origin."""

    completion: Completion
    reward: float
    """Total reward that the advantage is made of. NaN: unscorable."""
    correctness: float
    """The reward that decides failure (the named one if there are several). NaN: unscorable."""
    origin: Origin = "rollout"


@dataclass(frozen=True, slots=True)
class RolloutGroup:
    """The G rollouts of one problem at one step. Always whole, never a part of a group."""

    problem: Problem
    rollouts: tuple[Rollout, ...]

    @property
    def rewards(self) -> tuple[float, ...]:
        """Total reward per member, length G."""
        return tuple(rollout.reward for rollout in self.rollouts)

    @property
    def correctness(self) -> tuple[float, ...]:
        """Correctness reward per member, length G."""
        return tuple(rollout.correctness for rollout in self.rollouts)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A completion that a source offers for a group, and the verdict of the acceptance rules."""

    completion: Completion
    origin: Origin
    reward: float
    """Same reward as the rollouts'. NaN: unscorable."""
    correctness: float
    raw_text: str
    """The text as sampled, before meta text was removed."""
    num_sampled_tokens: int
    """Tokens that were sampled, those of removed meta text included: what the candidate cost."""
    removed_meta: tuple[str, ...] = ()
    """Phrases taken out because they betray that a reference was shown."""
    leftover_meta: tuple[str, ...] = ()
    """Such phrases that could not be taken out."""
    num_prefix_tokens: int = 0
    """Tokens at its start that were given, not sampled; 0 for a text that is all one's own."""
    context_ids: tuple[int, ...] | None = None
    """Tokens of the prompt it was sampled from; None: q, or it was not sampled."""
    logps_on_q: tuple[float, ...] | None = None
    """Log-prob of each token (nats) given the plain question; None: not measured."""
    logps_on_context: tuple[float, ...] | None = None
    """The same given the prompt it was sampled from."""
    refusals: tuple[str, ...] = ()
    """Names of the acceptance rules that said no; empty means accepted."""

    @property
    def mean_logp_on_q(self) -> float:
        """Mean of ``logps_on_q`` (nats per token); NaN if not measured."""
        return fmean(self.logps_on_q) if self.logps_on_q else math.nan

    @property
    def mean_logp_on_context(self) -> float:
        """Mean of ``logps_on_context`` (nats per token); NaN if not measured."""
        return fmean(self.logps_on_context) if self.logps_on_context else math.nan

    @property
    def accepted(self) -> bool:
        """Whether no acceptance rule objected."""
        return not self.refusals


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """One member of the final group, as written to ``groups.jsonl``."""

    text: str
    origin: Origin
    reward: float
    correctness: float
    advantage: float
    num_tokens: int
    finished: bool


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """The tokens of a candidate, as written to ``groups.jsonl``; all of the same length T."""

    pieces: tuple[str, ...]
    """What each token adds to the text; joined, they are the text."""
    logps_on_q: tuple[float, ...]
    """Log-probability of each token given the plain question (nats)."""
    logps_on_context: tuple[float, ...] | None = None
    """The same given the prompt it was sampled from, P(q, k); None: from none but q."""


@dataclass(frozen=True, slots=True)
class CandidateRecord:
    """One candidate, accepted or refused, as written to ``groups.jsonl``."""

    text: str
    raw_text: str
    origin: Origin
    reward: float
    correctness: float
    num_tokens: int
    """Tokens of ``text``, as trained on if accepted."""
    num_sampled_tokens: int
    """Tokens that were sampled, those of removed meta text included."""
    finished: bool
    accepted: bool
    refusals: tuple[str, ...]
    removed_meta: tuple[str, ...]
    logp_on_q: float | None = None
    """Mean log-probability per token given the plain question (nats); None: not measured."""
    logp_on_context: float | None = None
    """The same given the prompt it was sampled from, P(q, k)."""
    context_ratio_quantiles: tuple[float, ...] | None = None
    """10 %, 50 % and 90 % quantile over tokens of pi(o given q) / pi(o given q, k)."""
    num_prefix_tokens: int = 0
    """Tokens at its start that were given, not sampled."""
    tokens: TokenRecord | None = None
    """Token by token; None: not kept, see ``log.token_logps``."""


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """Everything a report needs to show one group and why it ended as it did."""

    step: int
    """Optimiser step at which the group was generated, from 0."""
    rank: int
    problem_id: str
    question: str
    reference_answer: str
    expert_solution: str | None
    failure_fraction: float
    """Share of failed members before injection; NaN if no member could be scored."""
    gate_open: bool
    gate_reason: str
    """One word: ``open``, ``closed``, ``unscored``, ``over_length``, or why the source had nothing,
    such as ``no_expert``."""
    members: tuple[MemberRecord, ...]
    """The group that was trained on, in order."""
    candidates: tuple[CandidateRecord, ...] = ()
    slot: int | None = None
    """Position that was replaced; None: nothing was injected."""
    replaced: MemberRecord | None = None
    """The rollout that had to go; its advantage is NaN, since it has none."""
    rescued: bool = False
    """Whether the group's rewards had no spread before injection and have some after it."""
    placement: str = "member"
    """What an accepted candidate becomes: ``member``, ``whole_group`` or ``stream``."""
    used: bool = True
    """Whether the group was trained on; False if dynamic sampling put another in its place."""
    dataset: str = ""
    """Set of the problem in a run with several; empty: there is one."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """Deterministic figures of one optimiser step; times live in ``timings.jsonl``."""

    step: int
    metrics: Mapping[str, float | None]


RecordT = TypeVar("RecordT")


def to_json(value: object) -> JSON:
    """Turn a record (or anything made of records, mappings and sequences) into plain JSON data.

    Example:
        >>> to_json(Verdict("timeout", None))["status"]
        'timeout'
        >>> to_json({"loss": float("nan")})
        {'loss': None}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def from_json(record_type: type[RecordT], data: JSON) -> RecordT:
    """Rebuild a record from what ``to_json`` gave; null in a float field becomes NaN again.

    Raises:
        DataError: A key is unknown or a required one is missing.
    """
    result: RecordT = _decode(record_type, data, record_type.__name__)
    return result


def _decode(expected: Any, data: JSON, where: str) -> Any:
    """Decode one JSON value as the annotated type ``expected``; ``where`` names it in errors."""
    if dataclasses.is_dataclass(expected):
        return _decode_record(expected, data, where)
    kind = type(data)
    if expected is float:
        if data is None:
            return math.nan
        if kind is float or (kind is int and abs(data) <= _LARGEST_INT):
            return float(data)
        raise _wrong_type(where, "a number", data)
    plain = _PLAIN.get(expected)
    if plain is not None:
        if kind is not expected:
            raise _wrong_type(where, plain, data)
        return data
    return _decode_composed(expected, data, where)


def _decode_composed(expected: Any, data: JSON, where: str) -> Any:
    """Decode a value whose type has arguments: tuple, union, literal, mapping."""
    origin = typing.get_origin(expected)
    arguments = typing.get_args(expected)
    if origin is tuple:
        if not isinstance(data, list | tuple):
            raise _wrong_type(where, "a list", data)
        return tuple(_decode(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if origin in (types.UnionType, typing.Union):
        if data is None:
            return None
        return _decode(next(a for a in arguments if a is not type(None)), data, where)
    if origin is typing.Literal:
        if not isinstance(data, str):
            raise _wrong_type(where, "text", data)
    elif origin is Mapping and not isinstance(data, Mapping):
        raise _wrong_type(where, "an object", data)
    elif origin is Mapping and arguments[1] == (float | None):
        return {name: _decode(arguments[1], item, f"{where}.{name}") for name, item in data.items()}
    return data


_PLAIN = {str: "text", int: "a whole number", bool: "true or false"}
_LARGEST_INT = 2**1023
"""Larger ones are no float."""


def _wrong_type(where: str, required: str, data: JSON) -> DataError:
    return DataError(
        f"{where}: found {type(data).__name__} ({str(data)[:40]!r}); required: {required}; it was "
        "written by another program or edited by hand: restore it from a copy"
    )


def _decode_record(expected: Any, data: JSON, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise DataError(f"{where}: found {type(data).__name__}, required: a JSON object")
    layout = _layout(expected)
    if not (data.keys() <= layout.hints.keys() and layout.required <= data.keys()):
        unknown = sorted(data.keys() - layout.hints.keys())
        missing = sorted(layout.required - data.keys())
        raise DataError(
            f"{where}: record has unknown keys {unknown} and lacks {missing}; it was written by "
            "another version or edited by hand: read it with the version named in manifest.json"
        )
    values = {
        name: _decode(layout.hints[name], item, f"{where}.{name}") for name, item in data.items()
    }
    return expected(**values)


class _Layout(NamedTuple):
    """What a record type is made of."""

    hints: Mapping[str, Any]
    """Field -> type."""
    required: frozenset[str]


@functools.cache
def _layout(record_type: Any) -> _Layout:
    """Kept per type: evaluating annotations costs more than all the rest of a record."""
    fields = dataclasses.fields(record_type)
    hints = typing.get_type_hints(record_type)
    return _Layout(
        hints={f.name: hints[f.name] for f in fields},
        required=frozenset(
            f.name
            for f in fields
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ),
    )
