"""After training: the smaller network that does the same work, and how sure that is."""

from nucleate.reduction.baselines import Baseline, linear_model, narrow_network
from nucleate.reduction.bound import Ball, Box
from nucleate.reduction.certificate import FEWEST_ROWS, Certificate
from nucleate.reduction.merging import Groups, groups
from nucleate.reduction.of_study import FOLDER, best_run, reduce_study
from nucleate.reduction.reducing import reduce
from nucleate.reduction.reduction import BeforeAfter, Bound, Reduction
from nucleate.reduction.saved import load_reduction, save_reduction
from nucleate.reduction.search import count_parameters
from nucleate.reduction.tolerance import check_tolerance

__all__ = [
    "FEWEST_ROWS",
    "FOLDER",
    "Ball",
    "Baseline",
    "BeforeAfter",
    "Bound",
    "Box",
    "Certificate",
    "Groups",
    "Reduction",
    "best_run",
    "check_tolerance",
    "count_parameters",
    "groups",
    "linear_model",
    "load_reduction",
    "narrow_network",
    "reduce",
    "reduce_study",
    "save_reduction",
]
