"""What an evaluation found, and under which protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# At run time too: records.from_json reads the annotations.
from rephrase_rl.evaluation.protocol import EvaluationProtocol  # noqa: TC001
from rephrase_rl.evaluation.samples import EvaluationSample  # noqa: TC001
from rephrase_rl.statistics import Interval  # noqa: TC001


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """What an evaluation found, and under which protocol. JSON through ``records.to_json``."""

    protocol: EvaluationProtocol
    num_problems: int
    num_samples: int
    avg_at_k: Interval
    """Mean over problems of the mean reward of each problem's scored samples."""
    pass_at_k: Mapping[int, Interval]
    """By k: mean over problems of the unbiased estimate that some of k samples passes."""
    unscorable: Mapping[str, int]
    """Samples without a score, by status: unscorable, timeout, error."""
    unscored_problems: int
    """Problems none of whose samples could be scored; in no mean."""
    pass_at_k_left_out: Mapping[int, int]
    """By k: problems with fewer than k scored samples; in no measure at that k."""
    truncated_fraction: float
    """Share of all samples that were cut off at ``max_new_tokens``."""
    generated_tokens: int
    """Sampled tokens, end tokens included."""
    samples: tuple[EvaluationSample, ...]
    pass_hat_k: Mapping[int, Interval] = field(default_factory=dict)
    """By k >= 2: mean over problems of the unbiased estimate that all of k samples pass."""
    maj_at_k: Mapping[int, Interval] = field(default_factory=dict)
    """By k >= 2: mean over problems of the chance that a majority vote of k samples is right; empty
    where the verifier extracts no answers."""
    avg_at_k_by: Mapping[str, Interval] = field(default_factory=dict)
    """The same mean with the other intervals over problems: ``t`` and ``bootstrap``. They have no
    width where all problems have the same mean."""
    by_label: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    """avg@k of parts of the benchmark: by kind of label (subject, difficulty) and its value."""
    prompts_sha256: str = ""
    """Of all conversations that were asked, in order, before the model's chat template."""
