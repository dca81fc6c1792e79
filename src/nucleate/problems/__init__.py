"""Data as problems: bundled sets, files, tables and arrays, split, standardised and ready for a network."""

from nucleate.problems._catalogue import ProblemInfo, describe_problems, problem_names
from nucleate.problems._load import load_problem
from nucleate.problems._losses import Task, cross_entropy, residual, squared_error
from nucleate.problems._preprocessing import Column, Preprocessing
from nucleate.problems._problem import Problem, Split
from nucleate.problems._split import Rows, Sizes, split_rows

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
