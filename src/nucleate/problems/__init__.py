"""Data as problems: bundled sets, files, tables and arrays, split, standardized and ready for a network."""

from nucleate.problems.catalogue import (
    ProblemInfo,
    Survey,
    describe_problems,
    load_problem,
    problem_names,
    survey,
)
from nucleate.problems.columns import SCHEMA as COLUMNS
from nucleate.problems.columns import lines_of
from nucleate.problems.form import FORM_FIELDS, Form
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

__all__ = [
    "ACCURACY",
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
