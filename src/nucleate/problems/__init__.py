"""Data as problems: bundled sets, files, tables and arrays, split, standardized and ready for a network."""

from nucleate.problems.catalogue import ProblemInfo, describe_problems, load_problem, problem_names
from nucleate.problems.losses import Task, cross_entropy, residual, squared_error
from nucleate.problems.preprocessing import Column, Preprocessing
from nucleate.problems.problem import Problem, Split
from nucleate.problems.splitting import Rows, Sizes, split_rows

__all__ = [
    "Column",
    "Preprocessing",
    "Problem",
    "ProblemInfo",
    "Rows",
    "Sizes",
    "Split",
    "Task",
    "cross_entropy",
    "describe_problems",
    "load_problem",
    "problem_names",
    "residual",
    "split_rows",
    "squared_error",
]
