"""Tables from files: CSV, TSV, Parquet, and NumPy's npz."""

import io
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np
import polars as pl

from nucleate.errors import DataError
from nucleate.problems._tables import table_from_arrays
from nucleate.problems._wording import name_columns

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
