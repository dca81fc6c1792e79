"""The one door for data: a name, a file or a table."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import polars as pl

from nucleate.errors import DataError
from nucleate.problems._bundled import BUNDLED
from nucleate.problems._catalogue import problem_names
from nucleate.problems._losses import Task
from nucleate.problems._preprocessing import Preprocessing
from nucleate.problems._problem import Problem
from nucleate.problems._read import read_table
from nucleate.problems._synthetic import SYNTHETIC, load_synthetic
from nucleate.problems._wording import did_you_mean


def load_problem(
    data: str | PathLike[str] | pl.DataFrame,
    *,
    target: str | Sequence[str] | None = None,
    task: Task | None = None,
    split_seed: int = 0,
    validation: float = 0.2,
    test: float = 0.2,
    drop_missing: bool = False,
    standardise: bool | None = None,
    preprocessing: Preprocessing | None = None,
) -> Problem:
    """The problem of that name, or in that file or table.

    Parameters
    ----------
    data : str, path or polars DataFrame
        One of `problem_names`, a path to a .csv, .tsv, .parquet or .npz file, or a table. An npz file holds x, of shape
        (rows, columns), and y.
    target, task, split_seed, validation, test, drop_missing
        As in `Problem.from_table`; a named set and an npz file know their target themselves. A synthetic set is drawn
        anew for every split seed, with validation and test parts of 500 points whatever the fractions.
    standardise : bool, optional
        By default True for real data, and False for the synthetic sets, which the literature uses as they are.
    preprocessing : Preprocessing, optional
        That of a model, as in `Problem.from_table`; a synthetic set has its own.

    Examples
    --------
    >>> load_problem("sine-5d")
    Problem(sine-5d, regression, 5 inputs, 1 output, 80 + 500 + 500 rows)

    Raises
    ------
    DataError
        If there are no such data or they cannot be used so, with the cause and its mend.
    """
    if isinstance(data, str) and data in SYNTHETIC:
        if target is not None or task not in (None, "regression"):
            raise DataError(f"{data} is a synthetic regression problem; leave the target and the task out.")
        return load_synthetic(data, split_seed, standardise=bool(standardise))
    name, table, known_target = _table(data)
    return Problem.from_table(
        table,
        target=known_target if target is None else target,
        task=task,
        name=name,
        split_seed=split_seed,
        validation=validation,
        test=test,
        drop_missing=drop_missing,
        standardise=standardise is not False,
        preprocessing=preprocessing,
    )


def _table(data: str | PathLike[str] | pl.DataFrame) -> tuple[str, pl.DataFrame, tuple[str, ...] | None]:
    """The data's name, their table, and its target columns where these are known."""
    if isinstance(data, pl.DataFrame):
        return "table", data, None
    if isinstance(data, str) and data in BUNDLED:
        return data, *BUNDLED[data]()
    if not isinstance(data, str | PathLike):
        raise DataError(
            f"The data are of type {type(data).__name__}; expected a name, a path or a polars DataFrame, or use "
            "Problem.from_arrays for arrays."
        )
    path = Path(data)
    if isinstance(data, str) and not path.suffix and not path.exists():
        raise DataError(
            f"There is no problem named {data!r}{did_you_mean(data, problem_names()) or '.'} "
            "`nucleate problems` lists all; a file needs its ending .csv, .tsv, .parquet or .npz."
        )
    return path.stem, *read_table(path)
