"""The one door for data: a name, a file or a table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from pydantic import ValidationError

from nucleate._wording import did_you_mean
from nucleate.errors import DataError
from nucleate.problems.bundled import BUNDLED, MAKERS, is_drawn, load_drawn
from nucleate.problems.checks import choose_targets, constant_columns, kind_of, refuse_infinite
from nucleate.problems.columns import tabulate_columns
from nucleate.problems.division import Asked
from nucleate.problems.listing import problem_names
from nucleate.problems.losses import Loss
from nucleate.problems.made import RowShape, read_name
from nucleate.problems.notices import Notice, say
from nucleate.problems.oddities import notices_of
from nucleate.problems.options import DataOptions
from nucleate.problems.preprocessing import Impute, Preprocessing
from nucleate.problems.problem import Problem, problem_of
from nucleate.tables import Form
from nucleate.tables.files import ENDINGS, STANDARD_INPUT, exists, is_pattern, name_of
from nucleate.tables.form import FORM_FIELDS
from nucleate.tables.reading import Read, read_table
from nucleate.tables.sources import form_like


def load_problem(
    data: str | PathLike[str] | pl.DataFrame,
    *,
    target: str | Sequence[str] | None = None,
    without: str | Sequence[str] = (),
    task: str | None = None,
    loss: Loss | str | None = None,
    split_seed: int = 0,
    validation: float | str | PathLike[str] | pl.DataFrame = 0.2,
    test: float | str | PathLike[str] | pl.DataFrame = 0.2,
    split: str | None = None,
    split_by: str | None = None,
    split_by_time: str | None = None,
    weights: str | None = None,
    drop_missing: bool = False,
    impute: Impute | None = None,
    standardize: bool | None = None,
    preprocessing: Preprocessing | None = None,
    **form: Any,
) -> Problem:
    """The problem of that name, or in that file or table.

    Parameters
    ----------
    data : str, path or polars DataFrame
        One of `problem_names`, with options behind a colon where it has some (``anchor-pairs:length=6,rows=500``), a
        text by its characters (``text:book.txt``), a path to a file of text (.csv, .tsv or .txt, also packed as .gz), a
        spreadsheet (.xlsx), a .parquet or .npz file, or a table. An npz file holds x, of shape (rows, columns), and y.
        A folder, or a pattern such as ``days/*.csv``, stands for its files, which have the same columns; ``-`` for text
        on standard input.
    target, without, task, loss, split_seed, weights, drop_missing, impute
        As in `Problem.from_table`; a named set and an npz file know their target themselves. A synthetic set is drawn
        anew for every split seed, with validation and test parts of 500 points whatever the fractions.
    validation, test, split, split_by, split_by_time
        As in `Problem.from_table`; rows of your own may be in a file, which is read as that of the data is.
    standardize : bool, optional
        By default True for real data, and False for the synthetic sets, which the literature uses as they are, and for
        images, signals and tokens.
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
    asked = Asked(
        validation=validation,
        test=test,
        split=split,
        split_by=split_by,
        split_by_time=split_by_time,
        seed=split_seed,
    )
    options = DataOptions(
        target=target,
        without=without,
        task=task,
        loss=loss,
        asked=asked,
        weights=weights,
        drop_missing=drop_missing,
        impute=impute,
        standardize=standardize,
        preprocessing=preprocessing,
    )
    name, read = _read(data, form, options)
    return load_drawn(name, options) if read is None else _of_read(name, read, options)


class Survey(NamedTuple):
    """What data hold, and whether they can be trained on.

    Parameters
    ----------
    name : str
    columns : DataFrame
        As `Problem.columns`.
    notes : tuple of str
    problem : Problem or None
        None where it is refused.
    refused : str
        Why; empty where it is not.
    """

    name: str
    columns: pl.DataFrame
    notes: tuple[str, ...]
    problem: Problem | None
    refused: str


def survey(
    data: str | PathLike[str] | pl.DataFrame, *, target: str | Sequence[str] | None = None, **given: Any
) -> Survey:
    """What data hold, without training, also where they cannot be trained on as they are.

    Parameters
    ----------
    data, target, **given
        As in `load_problem`.

    Returns
    -------
    Survey

    Raises
    ------
    DataError
        If the data cannot be read, or for an argument that is none.

    Examples
    --------
    >>> found = survey("iris")
    >>> found.columns["became"].to_list(), found.refused
    (['kept', 'kept', 'kept', 'kept', 'target, 3 classes'], '')
    """
    form = {name: given.pop(name) for name in FORM_FIELDS if name in given}
    options = DataOptions.of(target=target, **given)
    name, read = _read(data, form, options)
    try:
        problem = load_drawn(name, options) if read is None else _of_read(name, read, options)
    except DataError as error:
        if read is None:
            raise
        notices = _notices(read.table, read.targets if options.target is None else options.target)
        columns = tabulate_columns(read.table, dict.fromkeys(read.table.columns, "not used yet"), notices)
        return Survey(name, columns, (*read.notes, *say(notices)), None, str(error))
    return Survey(name, problem.columns, problem.notes, problem, "")


def row_shape_of(data: str) -> RowShape | None:
    """The shape of the rows of data that are known by name, None where they are of columns.

    Refused are an option that the data do not have, and a text that cannot be read.
    """
    return load_problem(data).row_shape if read_name(data, MAKERS) is not None else None


def _notices(table: pl.DataFrame, target: str | Sequence[str] | None) -> list[Notice]:
    """What is odd about the columns of a table that cannot be used as it is, as far as that can be said."""
    try:
        targets = choose_targets(table.columns, target)
        refuse_infinite(table)
        kinds = {raw.name: kind_of(raw) for raw in table.iter_columns()}
    except DataError:
        return []
    kinds |= dict.fromkeys(constant_columns(table), "constant")
    return notices_of(table, {name: kinds.pop(name) for name in [*kinds] if name not in targets}, kinds)


def make_form(known: Form, **given: Any) -> Form:
    """How a file is read: as is known, but for what is given."""
    if isinstance(given.get("missing"), str):
        given["missing"] = (given["missing"],)
    try:
        return Form(**known.model_dump() | {name: value for name, value in given.items() if value})
    except ValidationError as error:
        first = error.errors()[0]
        where = first["loc"][0] if first["loc"] else "decimal and thousands"
        raise DataError(f"{where} cannot be {first['input']!r}: {first['msg']}.") from None


def _read(
    data: str | PathLike[str] | pl.DataFrame, form: Mapping[str, Any], options: DataOptions
) -> tuple[str, Read | None]:
    """The data's name, and what they hold; None where they are drawn."""
    drawn = isinstance(data, str) and is_drawn(data)
    named = drawn or (isinstance(data, str) and data in problem_names())
    form = {name: value for name, value in form.items() if value not in (None, ())}
    if form and (named or isinstance(data, pl.DataFrame)):
        raise DataError(f"{next(iter(form))} says how a file is read, and these data are none; leave it out.")
    if isinstance(data, str) and drawn:
        return data, None
    known = make_form(options.preprocessing.reading if options.preprocessing else Form(), **form)
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
    return name_of(path), read_table(path, known)


def _of_read(name: str, read: Read, options: DataOptions) -> Problem:
    """The problem of what was read."""
    own = {part: _own_rows(given, read) for part, given in options.asked.own.items()}
    target = read.targets if options.target is None else options.target
    asked, standardize = replace(options.asked, **own), options.standardize is not False
    return problem_of(read, replace(options, target=target, asked=asked, standardize=standardize), name)


def _own_rows(given: Any, first: Read) -> Any:
    """A table as it is; a file as it is read, as the first one was."""
    if not isinstance(given, str | PathLike):
        return given
    if Path(given) == STANDARD_INPUT:
        raise DataError("Rows of your own for validation or the test are not read from standard input; name a file.")
    return read_table(Path(given), form_like(first))
