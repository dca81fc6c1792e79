"""The one door for data: a name, a file or a table."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from nucleate._wording import did_you_mean
from nucleate.errors import DataError
from nucleate.problems.bundled import BUNDLED, SYNTHETIC, load_synthetic
from nucleate.problems.files import ENDINGS, exists, is_pattern, name_of
from nucleate.problems.form import Form
from nucleate.problems.listing import problem_names
from nucleate.problems.losses import SQUARED, Loss
from nucleate.problems.preprocessing import Preprocessing
from nucleate.problems.problem import Problem
from nucleate.problems.reading import Read, read_table


def load_problem(
    data: str | PathLike[str] | pl.DataFrame,
    *,
    target: str | Sequence[str] | None = None,
    task: str | None = None,
    loss: Loss | None = None,
    split_seed: int = 0,
    validation: float = 0.2,
    test: float = 0.2,
    drop_missing: bool = False,
    standardize: bool | None = None,
    preprocessing: Preprocessing | None = None,
    **form: Any,
) -> Problem:
    """The problem of that name, or in that file or table.

    Parameters
    ----------
    data : str, path or polars DataFrame
        One of `problem_names`, a path to a text file (.csv, .tsv or .txt, also packed as .gz), a spreadsheet (.xlsx), a
        .parquet or .npz file, or a table. An npz file holds x, of shape (rows, columns), and y. A folder, or a pattern
        such as ``days/*.csv``, stands for its files, which have the same columns; ``-`` for text on standard input.
    target, task, loss, split_seed, validation, test, drop_missing
        As in `Problem.from_table`; a named set and an npz file know their target themselves. A synthetic set is drawn
        anew for every split seed, with validation and test parts of 500 points whatever the fractions.
    standardize : bool, optional
        By default True for real data, and False for the synthetic sets, which the literature uses as they are.
    preprocessing : Preprocessing, optional
        That of a model, as in `Problem.from_table`; a synthetic set has its own.
    **form
        How a text file or spreadsheet is to be read, where that is not told from the file: the arguments ``decimal``,
        ``thousands``, ``missing``, ``dates``, ``encoding`` and ``sheet`` of `Form`.

    Returns
    -------
    Problem

    Examples
    --------
    >>> load_problem("sine-5d")
    Problem(sine-5d, regression, 5 inputs, 1 output, 80 + 500 + 500 rows)

    Raises
    ------
    DataError
        If there are no such data or they cannot be used so, with the cause and the remedy.
    """
    if form and (isinstance(data, pl.DataFrame) or data in problem_names()):
        raise DataError(f"{next(iter(form))} says how a file is read, and these data are none; leave it out.")
    if isinstance(data, str) and data in SYNTHETIC:
        chosen = loss or SQUARED
        if target is not None or task not in (None, SQUARED.link.task) or chosen.link.task != SQUARED.link.task:
            raise DataError(f"{data} is a synthetic regression problem; leave the target and the task out.")
        return load_synthetic(data, split_seed, chosen, standardize=bool(standardize))
    name, read = _read(data, make_form(preprocessing.reading if preprocessing else Form(), **form))
    return Problem.from_table(
        read.table,
        target=read.targets if target is None else target,
        task=task,
        loss=loss,
        name=name,
        split_seed=split_seed,
        validation=validation,
        test=test,
        drop_missing=drop_missing,
        standardize=standardize is not False,
        preprocessing=preprocessing,
        read=read,
    )


def make_form(known: Form, **given: Any) -> Form:
    """How a file is read: as is known, but for what is given.

    Raises
    ------
    DataError
        If what is given is not possible.
    """
    if isinstance(given.get("missing"), str):
        given["missing"] = (given["missing"],)
    try:
        return Form(**known.model_dump() | {name: value for name, value in given.items() if value})
    except ValidationError as error:
        first = error.errors()[0]
        where = first["loc"][0] if first["loc"] else "decimal and thousands"
        raise DataError(f"{where} cannot be {first['input']!r}: {first['msg']}.") from None


def _read(data: str | PathLike[str] | pl.DataFrame, form: Form) -> tuple[str, Read]:
    """The data's name, and what they hold."""
    if isinstance(data, pl.DataFrame):
        return "table", Read(data)
    if isinstance(data, str) and data in BUNDLED:
        return data, Read(*BUNDLED[data]())
    if not isinstance(data, str | PathLike):
        raise DataError(
            f"The data are of type {type(data).__name__}; expected a name, a path or a polars DataFrame, or use "
            "Problem.from_arrays for arrays."
        )
    path = Path(data)
    if isinstance(data, str) and not path.suffix and data != "-" and not is_pattern(path) and not exists(path):
        raise DataError(
            f"There is no problem named {data!r}{did_you_mean(data, problem_names()) or '.'} "
            f"`nucleate problems` lists all; a file needs its ending {ENDINGS}."
        )
    return name_of(path), read_table(path, form)
