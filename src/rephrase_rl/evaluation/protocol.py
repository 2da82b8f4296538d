"""Everything that decides an evaluation's numbers besides the weights and the problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rephrase_rl.errors import ConfigError
from rephrase_rl.records import JSON  # noqa: TC001  (from_json reads the annotations)
from rephrase_rl.rollout import SamplingSettings


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """How a benchmark is sampled and scored; written into every result.

    Raises:
        ConfigError: Fields are out of range or contradict each other; every fault is listed.
    """

    name: str
    """Of the benchmark."""
    samples_per_problem: int
    """k of avg@k; also the n that pass@k is estimated from."""
    temperature: float
    """0 is greedy, which allows one sample per problem only."""
    top_p: float
    max_new_tokens: int
    verifier: str
    """Name of the verifier that scores."""
    solve_template: str
    """Id of the template that asks the question."""
    seed: int
    limit: int | None = None
    """Only the first so many problems. None: all."""
    pass_at_k: tuple[int, ...] = (1,)
    """The k of each pass@k, pass^k and maj@k; none above ``samples_per_problem``."""
    failure_reward_threshold: float = 0.5
    """A sample passes, for pass@k, if its reward is at least this (rewards in [0, 1])."""
    max_unscorable_fraction: float = 0.1
    """Share of samples without a score above which there is no result but an error."""
    confidence: float = 0.95
    """Coverage of the intervals."""
    solve_template_sha256: str = ""
    """Hash of the template's text and system turn."""
    verifier_options: Mapping[str, JSON] = field(default_factory=dict)
    """Options that the verifier was given; the others are its defaults."""

    def __post_init__(self) -> None:
        faults: list[str] = []
        try:
            self.sampling_settings()
        except ConfigError as error:
            faults.extend(error.faults)
        if self.temperature == 0 and self.samples_per_problem > 1:
            faults.append(
                f"samples_per_problem is {self.samples_per_problem} at temperature 0, required: 1, "
                "since greedy samples are all the same; raise temperature or draw one sample"
            )
        if self.limit is not None and self.limit < 1:
            faults.append(f"limit is {self.limit}, required: at least 1, or none for all problems")
        if any(not 1 <= k <= self.samples_per_problem for k in self.pass_at_k):
            faults.append(
                f"pass_at_k is {self.pass_at_k}, required: each from 1 to samples_per_problem "
                f"({self.samples_per_problem})"
            )
        for name in ("max_unscorable_fraction", "confidence"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                faults.append(f"{name} is {value}, required: in [0, 1)")
        if faults:
            raise ConfigError(
                f"the evaluation protocol {self.name!r} is not valid; correct these:", faults
            )

    def sampling_settings(self) -> SamplingSettings:
        """Return what the engine is asked for."""
        return SamplingSettings(
            n=self.samples_per_problem,
            temperature=self.temperature,
            top_p=self.top_p,
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
        )
