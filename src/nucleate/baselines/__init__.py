"""What a network is held against: a constant, a linear model, a narrow network; and whether a difference is one."""

from nucleate.baselines.comparison import (
    Comparison,
    Entrant,
    Judged,
    compare,
    compare_entrants,
    count_units,
    judge,
    judge_outputs,
)
from nucleate.baselines.models import (
    Baseline,
    Contender,
    Outputs,
    baseline_from_json,
    constant,
    further_metrics,
    hold_against,
    linear,
    narrow,
)

__all__ = [
    "Baseline",
    "Comparison",
    "Contender",
    "Entrant",
    "Judged",
    "Outputs",
    "baseline_from_json",
    "compare",
    "compare_entrants",
    "constant",
    "count_units",
    "further_metrics",
    "hold_against",
    "judge",
    "judge_outputs",
    "linear",
    "narrow",
]
