"""Data as problems: bundled sets, tables and arrays, split, standardized and ready for a network; and their losses."""

from typing import TYPE_CHECKING

from nucleate._lazy import loader

if TYPE_CHECKING:
    from nucleate.problems.catalogue import Survey, load_problem, survey
    from nucleate.problems.columns import COLUMNS
    from nucleate.problems.division import AT_RANDOM, OF_ROWS, Division
    from nucleate.problems.links import COUNTS, EXPONENTIAL, IDENTITY, SOFTMAX, Domain, Link
    from nucleate.problems.listing import ProblemInfo, describe_problems, problem_names
    from nucleate.problems.losses import CROSS_ENTROPY, LOSSES, POISSON, SQUARED, Loss, get_loss, huber, quantile
    from nucleate.problems.made import RowShape
    from nucleate.problems.metrics import (
        ACCURACY,
        BALANCED_ACCURACY,
        DEVIANCE,
        DEVIANCE_EXPLAINED,
        LOG_LOSS,
        MAE,
        METRICS,
        R2,
        RMSE,
        Metric,
    )
    from nucleate.problems.preprocessing import Column, Preprocessing
    from nucleate.problems.problem import Problem, Split, describe_data
    from nucleate.problems.splitting import Rows, Sizes, split_rows

# The list of problems needs neither JAX nor polars.
_HOMES = {
    "catalogue": ("Survey", "load_problem", "survey"),
    "columns": ("COLUMNS",),
    "division": ("AT_RANDOM", "OF_ROWS", "Division"),
    "links": ("COUNTS", "EXPONENTIAL", "IDENTITY", "SOFTMAX", "Domain", "Link"),
    "listing": ("ProblemInfo", "describe_problems", "problem_names"),
    "losses": ("CROSS_ENTROPY", "LOSSES", "POISSON", "SQUARED", "Loss", "get_loss", "huber", "quantile"),
    "made": ("RowShape",),
    "metrics": (
        "ACCURACY",
        "BALANCED_ACCURACY",
        "DEVIANCE",
        "DEVIANCE_EXPLAINED",
        "LOG_LOSS",
        "MAE",
        "METRICS",
        "R2",
        "RMSE",
        "Metric",
    ),
    "preprocessing": ("Column", "Preprocessing"),
    "problem": ("Problem", "Split", "describe_data"),
    "splitting": ("Rows", "Sizes", "split_rows"),
}

__all__ = [
    "ACCURACY",
    "AT_RANDOM",
    "BALANCED_ACCURACY",
    "COLUMNS",
    "COUNTS",
    "CROSS_ENTROPY",
    "DEVIANCE",
    "DEVIANCE_EXPLAINED",
    "EXPONENTIAL",
    "IDENTITY",
    "LOG_LOSS",
    "LOSSES",
    "MAE",
    "METRICS",
    "OF_ROWS",
    "POISSON",
    "R2",
    "RMSE",
    "SOFTMAX",
    "SQUARED",
    "Column",
    "Division",
    "Domain",
    "Link",
    "Loss",
    "Metric",
    "Preprocessing",
    "Problem",
    "ProblemInfo",
    "RowShape",
    "Rows",
    "Sizes",
    "Split",
    "Survey",
    "describe_data",
    "describe_problems",
    "get_loss",
    "huber",
    "load_problem",
    "problem_names",
    "quantile",
    "split_rows",
    "survey",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
