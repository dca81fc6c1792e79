"""Tables from files: CSV, TSV, Parquet, and NumPy's npz."""

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Shaped

from nucleate._wording import name_columns
from nucleate.errors import DataError


def table_from_array(x: Shaped[np.ndarray, "n columns"], names: Sequence[str] | None = None) -> pl.DataFrame:
    """A table of an array's columns, named x1, x2, ... unless names are given.

    Examples
    --------
    >>> table_from_array(np.eye(2)).columns
    ['x1', 'x2']

    Raises
    ------
    DataError
        If the array has no rows and columns, or another number of columns than names.
    """
    x = np.asarray(x)
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
    """A table with the columns x1, x2, ... and y, or y1, y2, ... where there are several, and the names of the latter.

    Raises
    ------
    DataError
        If ``x`` is not (rows, columns), or ``y`` neither (rows,) nor (rows, columns) with as many rows.
    """
    table, y = table_from_array(x), np.asarray(y)
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
            digest.update(column.is_null().to_numpy().tobytes())
            digest.update(column.cast(pl.Float64).to_numpy().astype("<f8").tobytes())
        else:
            digest.update(json.dumps(column.to_list(), default=str).encode())
    return digest.hexdigest()


def _series(name: str, column: Shaped[np.ndarray, " n"]) -> pl.Series:
    # Python's own numbers and texts may be mixed in one column; as in a CSV, one text makes it text.
    return pl.Series(name, column.tolist() if column.dtype == object else column, strict=False)


MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?")
"""What stands for no value in a text file."""


def read_table(path: Path) -> tuple[pl.DataFrame, tuple[str, ...] | None]:
    """The table in a file, and its target columns where the file tells them.

    An npz file has arrays x (or X) and y (or Y), the others tell none. A text file is in UTF-8, has a header line, and
    is separated by tabs (.tsv) or by commas or semicolons, whichever its header has more of; with semicolons, numbers
    may have decimal commas.

    Raises
    ------
    DataError
        If the file is missing, of no known type, empty or unreadable, or its columns have no names of their own.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".parquet", ".npz"):
        raise DataError(f"{path} is no file of a known type; expected .csv, .tsv, .parquet or .npz.")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"There is no file {path}; check the path.") from None
    except OSError as error:
        raise DataError(f"The file {path} cannot be read ({error.strerror}); check the path and its rights.") from error
    if not content.strip():
        raise DataError(f"The file {path} is empty; expected columns with a target among them.")
    targets = None
    match suffix:
        case ".npz":
            table, targets = _read_npz(path, content)
        case ".parquet":
            try:
                table = pl.read_parquet(io.BytesIO(content))
            except pl.exceptions.PolarsError as error:
                raise _unreadable(path, "Parquet", error) from error
        case _:
            table = _read_text(path, content)
    if table.is_empty():
        raise DataError(f"The file {path} has columns but no rows; add data.")
    return table, targets


def _read_npz(path: Path, content: bytes) -> tuple[pl.DataFrame, tuple[str, ...]]:
    try:
        if not zipfile.is_zipfile(io.BytesIO(content)):
            # NumPy would take it for a pickle, and advise to trust it.
            raise zipfile.BadZipFile("it is not what np.savez writes")
        with np.load(io.BytesIO(content)) as file:
            arrays = {name.lower(): file[name] for name in file.files}
    except (ValueError, TypeError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        if "Object arrays" in str(error):
            raise DataError(
                f"The file {path} has an array of dtype object, which only a pickle can hold; save it with "
                ".astype(float), or .astype(str) where all of it is text; columns of both kinds go into a CSV file."
            ) from error
        raise _unreadable(path, "npz", error) from error
    if not {"x", "y"} <= set(arrays):
        raise DataError(
            f"The file {path} has the arrays {', '.join(arrays) or '(none)'}; expected x, of shape (rows, columns), "
            "and y, as written by np.savez(path, x=x, y=y)."
        )
    return table_from_arrays(arrays["x"], arrays["y"])


def _read_text(path: Path, content: bytes) -> pl.DataFrame:
    try:
        text = content.decode("utf-8-sig").lstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"The file {path} is no UTF-8 text (at byte {error.start + 1}); save it as CSV UTF-8."
        ) from error
    header = re.sub('"[^"]*"', "", text.split("\n", 1)[0])
    separator = "\t" if path.suffix.lower() == ".tsv" else max(",;", key=header.count)
    try:
        # The header is read as a row, because polars renames columns of the same name without a word.
        cells = pl.read_csv(text.encode(), has_header=False, infer_schema=False, separator=separator)
    except pl.exceptions.PolarsError as error:
        raise _unreadable(path, "CSV", error) from error
    names = [(name or "").strip() for name in cells.row(0)]
    _check_names(path, names)
    stripped = cells.slice(1).select(pl.all().str.strip_chars())
    values = stripped.select(pl.when(pl.all().is_in(MISSING)).then(None).otherwise(pl.all()).name.keep())
    values = values.filter(~pl.all_horizontal(pl.all().is_null()))
    return pl.DataFrame([_typed(column.alias(name), separator) for name, column in zip(names, values, strict=True)])


def _check_names(path: Path, names: list[str]) -> None:
    if "" in names:
        raise DataError(
            f"Column {names.index('') + 1} of {path} has no name. Name it in the header line, or delete it if it only "
            "numbers the rows."
        )
    repeated = dict.fromkeys(name for name in names if names.count(name) > 1)
    if repeated:
        raise DataError(f"The file {path} has {name_columns(repeated)} more than once; give each column its own name.")
    number = next((name for name in names if re.fullmatch(r"[-+]?\d*\.\d+", name)), None)
    if number:
        raise DataError(
            f"The first line of {path} holds the number {number}; add a header line that names the columns."
        )


def _typed(text: pl.Series, separator: str) -> pl.Series:
    """The column as whole numbers, numbers or truth values where all of its text is, else as it is."""
    number = text.str.replace(",", ".", literal=True) if separator == ";" else text
    for dtype in (pl.Int64, pl.Float64):
        typed = number.cast(dtype, strict=False)
        if typed.null_count() == text.null_count():
            return typed
    lower = text.str.to_lowercase()
    return lower == "true" if lower.is_in(["true", "false"]).all() else text


def _unreadable(path: Path, kind: str, error: Exception) -> DataError:
    first_line = str(error).split("\n", 1)[0]
    return DataError(f"The file {path} is no readable {kind} file ({first_line}); write it again.")
