"""Tables from arrays and from files: text, spreadsheets, Parquet, and NumPy's npz."""

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Shaped

from nucleate._wording import count, listed, name_left_out, name_parameter, say_error
from nucleate.errors import DataError
from nucleate.tables.cells import typed_columns, without_missing, without_numbers
from nucleate.tables.files import TEXT, content_of, files_of, kind_of_file
from nucleate.tables.form import Form
from nucleate.tables.formats import arrays_of_npz, cells_of_sheet, table_of_parquet
from nucleate.tables.headers import with_header
from nucleate.tables.spellings import as_one_spelling
from nucleate.tables.text import cells_of_text


def _numbers_or_texts(name: str, given: Any) -> Shaped[np.ndarray, "..."]:
    """An array of what tables hold: numbers, truth values, texts or dates; ragged lists and objects are refused."""
    try:
        given = given.detach() if hasattr(given, "detach") else given
        array = given if isinstance(given, np.ma.MaskedArray) else np.asarray(given)
    except Exception as error:
        raise DataError(f"{name} are no array ({say_error(error)[:160]}); give one, with rows of one length.") from None
    odd = [one for one in array.ravel().tolist() if not _fits(one)] if array.dtype.kind == "O" else []
    if odd or array.dtype.kind in "cV":
        what = f"hold {odd[0]!r:.60}" if odd else f"have the dtype {array.dtype}"
        raise DataError(f"{name} {what}; give numbers, truth values, texts or dates.")
    return array


def _fits(one: Any) -> bool:
    return one is None or isinstance(one, int | float | str | datetime.date | np.generic | Decimal)


def table_from_array(x: Shaped[np.ndarray, "n columns"], names: Sequence[str] | None = None) -> pl.DataFrame:
    """A table of an array's columns, named x1, x2, ... unless names are given; what is masked is missing.

    >>> table_from_array(np.eye(2)).columns
    ['x1', 'x2']
    """
    x = _numbers_or_texts("The inputs", x)
    if x.ndim != 2 or 0 in x.shape:
        raise DataError(f"The inputs have shape {x.shape}; expected (rows, columns), x.reshape(-1, 1) for one column.")
    if names is None:
        names = [f"x{k + 1}" for k in range(x.shape[1])]
    if x.shape[1] != len(names):
        raise DataError(f"The inputs have shape {x.shape}; expected (rows, {len(names)}).")
    return pl.DataFrame([_series(name, column) for name, column in zip(names, x.T, strict=True)])


def table_from_arrays(
    x: Shaped[np.ndarray, "n d"], y: Shaped[np.ndarray, "n ..."]
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """A table with the columns x1, x2, ... and y, or y1, y2, ... where there are several, and their names."""
    table, y = table_from_array(x), _numbers_or_texts("The targets", y)
    if y.ndim not in (1, 2) or len(y) != len(table) or y.size == 0:
        raise DataError(
            f"x has shape {np.shape(x)} and y {y.shape}; they need the same number of rows, and y one column or more."
        )
    columns = y.reshape(len(y), -1).T
    names = ("y",) if len(columns) == 1 else tuple(f"y{k + 1}" for k in range(len(columns)))
    return table.with_columns(_series(name, column) for name, column in zip(names, columns, strict=True)), names


def table_hash(*tables: pl.DataFrame) -> str:
    """The SHA-256 of the tables' column names, types and values, whatever file they came from."""
    digest = hashlib.sha256()
    for column in (column for table in tables for column in table):
        dtype = column.dtype.base_type()
        digest.update(json.dumps([column.name, dtype.__name__, len(column)]).encode())
        if dtype.is_numeric():
            gaps = column.is_null().to_numpy() if column.null_count() else np.zeros(len(column), bool)
            digest.update(gaps.tobytes())
            numbers = column.cast(pl.Float64)
            digest.update(numbers.to_numpy().astype("<f8").tobytes())
            if dtype.is_integer() and (numbers.abs() >= 2**53).any():
                # Beyond these float64 takes several whole numbers for one, as it may the keys of classes or groups.
                digest.update(json.dumps(column.to_list()).encode())
        else:
            digest.update(json.dumps(column.to_list(), default=str).encode())
    return digest.hexdigest()


def _series(name: str, column: Shaped[np.ndarray, " n"]) -> pl.Series:
    if isinstance(column, np.ma.MaskedArray):
        return _series(name, column.data).set(pl.Series(np.ma.getmaskarray(column)), None)
    if column.dtype.kind == "f" and column.dtype.itemsize > 8:
        column = column.astype(np.float64)
    try:
        # Python's own numbers and texts may be mixed in one column; as in a CSV, one text makes it text.
        series = pl.Series(name, column.tolist() if column.dtype == object else column, strict=False)
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        series = pl.Series(name, [], pl.Object)
    if series.dtype == pl.Object:
        raise DataError(f"Column {name!r} is of dtype {column.dtype}; give numbers or texts.")
    return series


class Read(NamedTuple):
    """What a file holds: its table, and its target columns where it tells them.

    ``notes`` say what was decided, ``form`` how it was read, to read other files of its kind alike. ``texts`` are the
    columns of text as they stood in the file, spaces and all; ``gaps`` has a sentence on what was read as missing, for
    each such column.
    """

    table: pl.DataFrame
    targets: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    form: Form = Form()
    texts: pl.DataFrame | None = None
    gaps: Mapping[str, str] = MappingProxyType({})


def read_table(path: Path, form: Form | None = None) -> Read:
    """The table in a file, in the like files of a folder or of a pattern, or with the path ``-`` on standard input.

    An npz file has arrays x (or X) and y (or Y). A text file or a spreadsheet has a header line. Its encoding, what
    separates its columns, and its decimal marks are told from the file where the form does not give them. Files of a
    folder or of a pattern such as ``days/*.csv`` have the same columns, and follow each other in natural order.
    """
    form = form or Form()
    files = files_of(path)
    kind = kind_of_file(files[0])
    _refuse_unused(path, kind, form)
    read = (_read_cells if kind in (*TEXT, ".xlsx") else _read_typed)(path, files, kind, form)
    return read if files == [path] else read._replace(notes=(_said(path, files), *read.notes))


def _said(path: Path, files: Sequence[Path]) -> str:
    """How many files a folder or a pattern stands for, and whether a folder has others."""
    others = len([file for file in path.iterdir() if file not in files]) if path.is_dir() else 0
    left = f"; {count(others, 'other')} left out" if others else ""
    return f"Read {count(len(files), 'file')} of {path} in this order: {listed(file.name for file in files)}{left}."


_MEANINGLESS = {
    "encoding": {".xlsx", ".parquet", ".npz"},
    "sheet": {*TEXT, ".parquet", ".npz"},
    "decimal": {".parquet", ".npz"},
    "thousands": {".parquet", ".npz"},
    "dates": {".parquet", ".npz"},
}


def _refuse_unused(path: Path, kind: str, form: Form) -> None:
    for name, kinds in _MEANINGLESS.items():
        # What a model remembers of its file need not suit the next one.
        if getattr(form, name) is not None and kind in kinds and not form.kinds:
            raise DataError(f"{name_parameter(name)} says nothing of {path}, which is {kind}; leave it out.")


def _read_cells(path: Path, files: Sequence[Path], kind: str, form: Form) -> Read:
    """Typed columns of the cells of text files or spreadsheets, whose first rows have the names."""
    tables, notes, separators = [], [], set()
    units: dict[str, str] = {}
    for file in files:
        content = content_of(file)
        if kind == ".xlsx":
            cells = cells_of_sheet(file, content, form.sheet)
        else:
            cells = cells_of_text(file, content, form.encoding)
        table, named, more = with_header(file, cells.rows)
        if table.is_empty():
            raise _without_rows(file)
        for name, unit in named.items():
            if units.setdefault(name, unit) != unit:
                raise DataError(
                    f"Column {name!r} of {file} is in {unit}, and that of another file in {units[name]}; write all of "
                    "it in one unit."
                )
        tables.append(table)
        notes += [*cells.notes, *more]
        separators.add(cells.separator)
    table = _together(files, tables)
    blank = _without_values(table, form.missing)
    if blank.any():
        notes.append(f"Left out {count(int(blank.sum()), 'row')} without a value ({name_left_out(blank.to_numpy())}).")
        table = table.filter(~blank)
    if table.is_empty():
        raise _without_rows(path)
    # Where files differ, any mark may be part of a number.
    read = typed_columns(table, path, separators.pop() if len(separators) == 1 else ";", form, units)
    typed = pl.DataFrame(read.columns)
    texts = table.select(column.name for column in typed if column.dtype in (pl.String, pl.Boolean))
    kept = form.model_copy(update={"decimal": read.decimal, "units": read.units})
    return Read(typed, None, (*dict.fromkeys(notes), *read.notes), kept, texts, read.gaps)


def _read_typed(path: Path, files: Sequence[Path], kind: str, form: Form) -> Read:
    """The columns of Parquet and npz files, which know their types; only texts may need one spelling."""
    tables, targets, notes = [], None, []
    for file in files:
        content = content_of(file)
        if kind == ".npz":
            table, targets = table_from_arrays(*arrays_of_npz(file, content))
        else:
            table, more = table_of_parquet(file, content)
            notes += more
        if table.is_empty():
            raise _without_rows(file)
        tables.append(table)
    table = _together(files, tables)
    columns = []
    for column in table:
        if column.dtype == pl.String:
            column = column.set(column.str.strip_chars().is_in(form.missing).fill_null(False), None)
            if not form.kinds:
                column, more = as_one_spelling(column)
                notes += more
        columns.append(without_numbers(column, form.missing))
    texts = table.select(pl.col(pl.String))
    return Read(pl.DataFrame(columns), targets, tuple(dict.fromkeys(notes)), form, texts)


def _together(files: Sequence[Path], tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of all tables, whose columns are to be the same in any order."""
    first = tables[0]
    for file, table in zip(files[1:], tables[1:], strict=True):
        lacking = next((name for name in first.columns if name not in table.columns), None)
        more = next((name for name in table.columns if name not in first.columns), None)
        if lacking is not None or more is not None:
            other = f" but has {more!r}" if lacking is not None and more is not None else ""
            said = f"has no column {lacking!r}{other}" if lacking is not None else f"has a column {more!r} more"
            raise DataError(f"{file} {said}, unlike {files[0]}; files that belong together have the same columns.")
        for name, dtype in table.schema.items():
            if dtype != first.schema[name] and not (dtype.is_numeric() and first.schema[name].is_numeric()):
                raise DataError(
                    f"Column {name!r} of {file} holds {dtype}, and that of {files[0]} {first.schema[name]}; write them "
                    "alike."
                )
    return pl.concat([table.select(first.columns) for table in tables], how="vertical_relaxed")


def _without_values(table: pl.DataFrame, tokens: Sequence[str]) -> pl.Series:
    blank = without_missing(table[:, :1], tokens).to_series().is_null()
    if blank.any():
        rows = without_missing(table.filter(blank), tokens)
        blank = blank.scatter(blank.arg_true(), rows.select(pl.all_horizontal(pl.all().is_null())).to_series())
    return blank


def _without_rows(path: Path) -> DataError:
    return DataError(f"The file {path} has columns but no rows; add data.")
