"""The catalogue of problems that are known by name; it loads none of them."""

import csv
from importlib.resources import files
from typing import NamedTuple


class ProblemInfo(NamedTuple):
    """A line of the catalogue; rows are those of all three parts, inputs and outputs those of a network.

    Parameters
    ----------
    name, task : str
    rows, inputs, outputs : int
    source : str
    """

    name: str
    task: str
    rows: int
    inputs: int
    outputs: int
    source: str


def describe_problems() -> tuple[ProblemInfo, ...]:
    """A line for each problem that `load_problem` knows by name: the real ones first, then the synthetic.

    Returns
    -------
    tuple of ProblemInfo
    """
    with (files("nucleate.problems") / "listing.csv").open(encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    return tuple(
        ProblemInfo(name, task, int(size), int(inputs), int(outputs), source)
        for name, task, size, inputs, outputs, source in rows
    )


def problem_names() -> tuple[str, ...]:
    """The names that `load_problem` knows.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> problem_names()[0]
    'diabetes'
    """
    return tuple(info.name for info in describe_problems())
