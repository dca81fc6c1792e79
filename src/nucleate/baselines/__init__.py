"""What a network is held against: a constant, a linear model, a narrow network; and whether a difference is one."""

from nucleate.baselines.comparison import Comparison, Entrant, Judged, compare, compare_entrants, judge
from nucleate.baselines.models import Baseline, Contender, Outputs, constant, hold_against, linear, narrow

__all__ = [
    "Baseline",
    "Comparison",
    "Contender",
    "Entrant",
    "Judged",
    "Outputs",
    "compare",
    "compare_entrants",
    "constant",
    "hold_against",
    "judge",
    "linear",
    "narrow",
]
