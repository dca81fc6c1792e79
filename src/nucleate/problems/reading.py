"""Tables from files: text, spreadsheets, Parquet, and NumPy's npz."""

import gzip
import hashlib
import io
import json
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Shaped

from nucleate.errors import DataError
from nucleate.problems.cells import typed_columns, without_missing
from nucleate.problems.form import Form
from nucleate.problems.text import Cells, cells_of_text, with_header


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
            gaps = column.is_null().to_numpy() if column.null_count() else np.zeros(len(column), bool)
            digest.update(gaps.tobytes())
            digest.update(column.cast(pl.Float64).to_numpy().astype("<f8").tobytes())
        else:
            digest.update(json.dumps(column.to_list(), default=str).encode())
    return digest.hexdigest()


def _series(name: str, column: Shaped[np.ndarray, " n"]) -> pl.Series:
    # Python's own numbers and texts may be mixed in one column; as in a CSV, one text makes it text.
    return pl.Series(name, column.tolist() if column.dtype == object else column, strict=False)


TEXT = (".csv", ".tsv", ".txt")
ENDINGS = f"{', '.join(TEXT)} (also with .gz), .xlsx, .parquet or .npz"


class Read(NamedTuple):
    """What a file holds.

    Parameters
    ----------
    table : DataFrame
    targets : tuple of str or None
        Its target columns, where the file tells them.
    notes : tuple of str
        What was decided, a sentence each.
    form : Form
        How it was read, to read other files of its kind alike.
    texts : DataFrame or None
        The columns of text as they stood in the file, spaces and all.
    gaps : dict of str to str
        What was read as missing, a sentence for each such column.
    """

    table: pl.DataFrame
    targets: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    form: Form = Form()
    texts: pl.DataFrame | None = None
    gaps: Mapping[str, str] = MappingProxyType({})


def read_table(path: Path, form: Form | None = None) -> Read:
    """The table in a file, or with the path ``-`` in the text on standard input.

    An npz file has arrays x (or X) and y (or Y). A text file or a spreadsheet has a header line. Its encoding, what
    separates its columns, and its decimal marks are told from the file where the form does not give them.

    Parameters
    ----------
    path : Path
    form : Form, optional

    Raises
    ------
    DataError
        If the file is missing, of no known type, empty or unreadable, its columns have no names of their own, or its
        numbers read in several ways.
    """
    form = form or Form()
    kind = ".csv" if str(path) == "-" else path.suffix.lower()
    packed = kind == ".gz"
    if packed:
        kind = Path(path.stem).suffix.lower()
    if kind not in TEXT and (packed or kind not in (".xlsx", ".parquet", ".npz")):
        raise DataError(f"{path} is not a file of a known type; expected {ENDINGS}.")
    content = _content(path, packed)
    if not content.strip():
        raise DataError(f"The file {path} is empty; expected columns with a target among them.")
    match kind:
        case ".npz":
            table, targets = _read_npz(path, content)
            read = Read(table, targets)
        case ".parquet":
            try:
                read = Read(pl.read_parquet(io.BytesIO(content)))
            except pl.exceptions.PolarsError as error:
                raise _unreadable(path, "Parquet", error) from error
        case ".xlsx":
            read = _read_cells(path, _cells_of_sheet(path, content, form.sheet), form)
        case _:
            try:
                cells = cells_of_text(path, content, form.encoding)
            except pl.exceptions.PolarsError as error:
                raise _unreadable(path, "CSV", error) from error
            read = _read_cells(path, cells, form)
    if read.table.is_empty():
        raise DataError(f"The file {path} has columns but no rows; add data.")
    return read


def _content(path: Path, packed: bool) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read()
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"There is no file {path}; check the path.") from None
    except OSError as error:
        raise DataError(f"The file {path} cannot be read ({error.strerror}); check the path and its rights.") from error
    try:
        return gzip.decompress(content) if packed and content else content
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, "gzip", error) from error


def _read_cells(path: Path, cells: Cells, form: Form) -> Read:
    """Typed columns of cells whose first row has the names."""
    table, notes = with_header(path, cells.rows)
    values = without_missing(table, form.missing)
    written = ~values.select(pl.all_horizontal(pl.all().is_null())).to_series()
    values, table = values.filter(written), table.filter(written)
    read = typed_columns(values, path, cells.separator, form)
    typed = pl.DataFrame(read.columns)
    texts = table.select(column.name for column in typed if column.dtype in (pl.String, pl.Boolean))
    kept = form.model_copy(update={"decimal": read.decimal, "units": read.units})
    return Read(typed, None, (*cells.notes, *notes, *read.notes), kept, texts, read.gaps)


def _cells_of_sheet(path: Path, content: bytes, sheet: str | None) -> Cells:
    import fastexcel

    try:
        book = fastexcel.read_excel(content)
        if sheet is not None and sheet not in book.sheet_names:
            raise DataError(f"{path} has no sheet {sheet!r}; its sheets are {', '.join(map(repr, book.sheet_names))}.")
        name = book.sheet_names[0] if sheet is None else sheet
        rows = pl.DataFrame(book.load_sheet(name, header_row=None, dtypes="string"))
    except fastexcel.FastExcelError as error:
        raise _unreadable(path, "xlsx", error) from error
    if rows.is_empty():
        raise DataError(f"The sheet {name!r} of {path} is empty; name another with --sheet.")
    others = len(book.sheet_names) - 1
    first = [f"The first of {others + 1} sheets, {name!r}, was read; --sheet names another."]
    # A spreadsheet has numbers as such; only what is text there can be unclear.
    return Cells(rows, ",", first if others and sheet is None else [])


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


def _unreadable(path: Path, kind: str, error: Exception) -> DataError:
    first_line = str(error).split("\n", 1)[0]
    return DataError(f"The file {path} is not a readable {kind} file ({first_line}); write it again.")
