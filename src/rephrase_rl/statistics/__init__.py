"""Estimators and intervals for evaluation results: numpy and scipy, no torch.

Everything that is quoted in a report as a number with an interval is computed here, and the
functions say what is resampled or treated as independent: problems for one evaluation, seeds for
repeated runs.
"""

from rephrase_rl.statistics.correction import holm
from rephrase_rl.statistics.hierarchical import (
    MIN_BOOTSTRAP_SEEDS,
    MethodDifference,
    compare_methods,
)
from rephrase_rl.statistics.intervals import (
    Interval,
    IntervalMethod,
    clustered_mean_interval,
    paired_difference_interval,
    seed_mean_interval,
)
from rephrase_rl.statistics.majority import maj_at_k
from rephrase_rl.statistics.paired import PairedTest, paired_test
from rephrase_rl.statistics.pass_at_k import pass_at_k, pass_hat_k
from rephrase_rl.statistics.pass_rates import Bin, pass_rate_histogram, pass_rate_interval
from rephrase_rl.statistics.share_interval import clustered_share_interval
from rephrase_rl.statistics.survival import (
    TimeToThreshold,
    log_rank_p_value,
    time_to_threshold,
)

__all__ = [
    "MIN_BOOTSTRAP_SEEDS",
    "Bin",
    "Interval",
    "IntervalMethod",
    "MethodDifference",
    "PairedTest",
    "TimeToThreshold",
    "clustered_mean_interval",
    "clustered_share_interval",
    "compare_methods",
    "holm",
    "log_rank_p_value",
    "maj_at_k",
    "paired_difference_interval",
    "paired_test",
    "pass_at_k",
    "pass_hat_k",
    "pass_rate_histogram",
    "pass_rate_interval",
    "seed_mean_interval",
    "time_to_threshold",
]
