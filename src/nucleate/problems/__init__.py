"""Data as problems: bundled sets, files, tables and arrays, split, standardized and ready for a network."""

from typing import TYPE_CHECKING

from nucleate._lazy import loader

if TYPE_CHECKING:
    from nucleate.problems.catalogue import Survey, load_problem, survey
    from nucleate.problems.columns import COLUMNS, lines_of
    from nucleate.problems.division import AT_RANDOM, Division
    from nucleate.problems.form import FORM_FIELDS, Form
    from nucleate.problems.listing import ProblemInfo, describe_problems, problem_names
    from nucleate.problems.losses import (
        ACCURACY,
        BALANCED_ACCURACY,
        CROSS_ENTROPY,
        IDENTITY,
        LOG_LOSS,
        LOSSES,
        MAE,
        METRICS,
        R2,
        RMSE,
        SOFTMAX,
        SQUARED,
        Link,
        Loss,
        Metric,
        get_loss,
    )
    from nucleate.problems.preprocessing import Column, Preprocessing
    from nucleate.problems.problem import Problem, Split, describe_data
    from nucleate.problems.splitting import Rows, Sizes, split_rows

# The list of problems needs neither JAX nor polars.
_HOMES = {
    "catalogue": ("Survey", "load_problem", "survey"),
    "columns": ("COLUMNS", "lines_of"),
    "division": ("AT_RANDOM", "Division"),
    "form": ("FORM_FIELDS", "Form"),
    "listing": ("ProblemInfo", "describe_problems", "problem_names"),
    "losses": (
        "ACCURACY",
        "BALANCED_ACCURACY",
        "CROSS_ENTROPY",
        "IDENTITY",
        "LOG_LOSS",
        "LOSSES",
        "MAE",
        "METRICS",
        "R2",
        "RMSE",
        "SOFTMAX",
        "SQUARED",
        "Link",
        "Loss",
        "Metric",
        "get_loss",
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
    "CROSS_ENTROPY",
    "FORM_FIELDS",
    "IDENTITY",
    "LOG_LOSS",
    "LOSSES",
    "MAE",
    "METRICS",
    "R2",
    "RMSE",
    "SOFTMAX",
    "SQUARED",
    "Column",
    "Division",
    "Form",
    "Link",
    "Loss",
    "Metric",
    "Preprocessing",
    "Problem",
    "ProblemInfo",
    "Rows",
    "Sizes",
    "Split",
    "Survey",
    "describe_data",
    "describe_problems",
    "get_loss",
    "lines_of",
    "load_problem",
    "problem_names",
    "split_rows",
    "survey",
]

__getattr__ = loader(__name__, _HOMES)
