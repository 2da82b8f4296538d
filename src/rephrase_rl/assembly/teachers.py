"""Teachers: who solves problems once, so that others can learn from it.

An endpoint or a model on this machine, behind one small protocol. A teacher's failure to answer is
a sample that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from rephrase_rl.assembly.objects import load_model_to_sample
from rephrase_rl.endpoints import ChatEndpoint, ChatRequest
from rephrase_rl.rollout import SamplingSettings, TransformersEngine

if TYPE_CHECKING:
    from rephrase_rl.config import EndpointConfig, ExpertsConfig, ModelTeacher
    from rephrase_rl.endpoints import ChatReply
    from rephrase_rl.records import JSON, Message

TeacherStatus: TypeAlias = Literal["answered", "malformed", "timeout", "error"]


@dataclass(frozen=True, slots=True)
class TeacherSample:
    """One attempt of a teacher at one problem."""

    status: TeacherStatus
    text: str = ""
    finished: bool = False
    """Whether it ended by itself rather than at the length limit."""
    prompt_tokens: int | None = None
    """As the teacher counts them. None: not known."""
    num_tokens: int | None = None
    """Tokens of the sample, as the teacher counts them. None: not known."""
    mean_logp: float | None = None
    """Mean log-prob per token (nats) under the teacher. None: not known."""
    at: str = ""
    """When it was sampled: ISO 8601, UTC."""
    detail: str = ""
    """Why there is no text, in words."""


class Teacher(Protocol):
    """Samples solutions."""

    @property
    def draws_together(self) -> bool:
        """Whether the prompts of one call share a random stream, so that all have to be there."""
        ...

    def describe(self) -> dict[str, JSON]:
        """What identifies the teacher, for provenance."""
        ...

    def draw(self, prompts: Sequence[tuple[Message, ...]], seed: int) -> list[list[TeacherSample]]:
        """Sample every prompt n times."""
        ...


class EndpointTeacher:
    """A model behind an endpoint."""

    draws_together = False

    def __init__(self, endpoint: EndpointConfig, config: ExpertsConfig) -> None:
        """Args: the endpoint, its cache decided, and how to sample."""
        self.endpoint = ChatEndpoint(endpoint)
        self._config = config

    def describe(self) -> dict[str, JSON]:
        """Model, address and further fields of the request."""
        config = self.endpoint.config
        return {
            "kind": "endpoint",
            "model": config.model,
            "base_url": config.base_url,
            "extra_body": config.extra_body or None,  # Parquet has no empty mappings
        }

    def draw(self, prompts: Sequence[tuple[Message, ...]], seed: int) -> list[list[TeacherSample]]:
        """Ask for n replies to each prompt; the seed has no say."""
        n = self._config.samples_per_problem
        requests = [
            ChatRequest(
                prompt,
                self._config.max_new_tokens,
                self._config.temperature,
                self._config.top_p,
                sample=sample,
                logprobs=self._config.choose == "most_likely",
            )
            for prompt in prompts
            for sample in range(n)
        ]
        samples = [_sample_of(reply) for reply in self.endpoint.ask(requests)]
        return [samples[start : start + n] for start in range(0, len(samples), n)]


def _sample_of(reply: ChatReply) -> TeacherSample:
    text = reply.text.strip()
    # Some endpoints send thinking apart; an expert's text is whole.
    if reply.reasoning and text and "<think>" not in text:
        text = f"<think>\n{reply.reasoning.strip()}\n</think>\n\n{text}"
    return TeacherSample(
        "answered" if reply.status == "replied" else reply.status,
        text,
        finished=reply.finish_reason == "stop",
        prompt_tokens=reply.prompt_tokens,
        num_tokens=reply.completion_tokens,
        mean_logp=reply.mean_logp,
        at=reply.at,
        detail=reply.detail,
    )


class LocalTeacher:
    """A model on this machine."""

    draws_together = True

    def __init__(self, teacher: ModelTeacher, config: ExpertsConfig) -> None:
        """Load the model.

        Raises:
            EngineError: Nothing loadable is there.
        """
        policy = load_model_to_sample(teacher)
        self._teacher = teacher
        self._config = config
        self._engine: Any = TransformersEngine(
            policy.model,
            policy.tokenizer,
            batch_size=teacher.batch_size,
            chat_template_kwargs=teacher.chat_template_kwargs,
        )

    def describe(self) -> dict[str, JSON]:
        """Model, revision and number format; of a local folder its name alone."""
        teacher = self._teacher
        is_local = Path(teacher.path).expanduser().exists()
        return {
            "kind": "model",
            "model": Path(teacher.path).name if is_local else teacher.path,
            "revision": teacher.revision,
            "dtype": teacher.dtype,
            "gguf_file": teacher.gguf_file,
            "chat_template_kwargs": teacher.chat_template_kwargs or None,
        }

    def draw(self, prompts: Sequence[tuple[Message, ...]], seed: int) -> list[list[TeacherSample]]:
        """Sample each prompt n times from one random stream."""
        config = self._config
        assert config.temperature is not None  # config: numbers for a model on this machine  # noqa: S101  (narrows the type)
        assert config.top_p is not None  # noqa: S101  (narrows the type)
        settings = SamplingSettings(
            config.samples_per_problem,
            config.temperature,
            config.top_p,
            config.max_new_tokens,
            seed,
        )
        at = datetime.now(UTC).isoformat(timespec="seconds")
        lengths = [len(self._engine.render(prompt)) for prompt in prompts]
        return [
            [
                TeacherSample(
                    "answered",
                    completion.text.strip(),
                    completion.finished,
                    length,
                    len(completion.token_ids),
                    fmean(completion.sampling_logps) if completion.sampling_logps else None,
                    at,
                )
                for completion in completions
            ]
            for length, completions in zip(
                lengths, self._engine.sample(prompts, settings), strict=True
            )
        ]
