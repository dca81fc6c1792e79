"""Files that are no text: spreadsheets, Parquet, and NumPy's npz."""

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from nucleate.devices import MEMORY
from nucleate.errors import DataError
from nucleate.tables.files import refuse_larger, unreadable
from nucleate.tables.text import Cells

_PROTECTED = "EncryptedPackage".encode("utf-16-le")
_ROUNDING = 1e-15
"""Excel shows 0.1 + 0.2 as 0.3."""
_FIRST_DAY = pl.datetime(1899, 12, 31)
"""Excel counts days from here; a time of day is a part of the first."""


def cells_of_sheet(path: Path, content: bytes, sheet: str | None) -> Cells:
    """The cells of a spreadsheet as texts: dates as 2024-12-31 00:00:00, times as hours:minutes:seconds."""
    import fastexcel

    if content.startswith(b"\xd0\xcf\x11\xe0"):
        if _PROTECTED in content:
            raise DataError(f"The file {path} is protected by a password; save it without one.")
        raise DataError(f"The file {path} is an old .xls file, whatever its name; save it as .xlsx.")
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            refuse_larger(path, sum(entry.file_size for entry in archive.infolist()))
    try:
        book = fastexcel.read_excel(content)
        if sheet is not None and sheet not in book.sheet_names:
            raise DataError(f"{path} has no sheet {sheet!r}; its sheets are {', '.join(map(repr, book.sheet_names))}.")
        name = book.sheet_names[0] if sheet is None else sheet
        rows, numbers = (
            pl.DataFrame(book.load_sheet(name, header_row=None, dtypes=kind)) for kind in ("string", "float")
        )
    except fastexcel.FastExcelError as error:
        raise unreadable(path, "xlsx", error) from error
    if rows.is_empty():
        raise DataError(f"The sheet {name!r} of {path} is empty; name another with --sheet.")
    others = len(book.sheet_names) - 1
    first = [f"The first of {others + 1} sheets, {name!r}, was read; --sheet names another."]
    # A spreadsheet has numbers as such; only what is text there can be unclear.
    return Cells(_with_times(_with_all_digits(rows, numbers)), ",", first if others and sheet is None else [])


def _with_all_digits(rows: pl.DataFrame, numbers: pl.DataFrame) -> pl.DataFrame:
    """As texts numbers come with nine decimals, so that 4.7e-12 would be 0."""
    cut = [
        pl.when((texts.cast(pl.Float64, strict=False) - known).abs() > _ROUNDING * known.abs())
        .then(known.cast(pl.String))
        .otherwise(texts)
        .alias(texts.name)
        for texts, known in zip(rows, numbers, strict=True)
    ]
    return rows.with_columns(cut)


def _with_times(rows: pl.DataFrame) -> pl.DataFrame:
    """Times of day and spans of time come as moments of the year 1900."""
    early = r"^(?:1899-12-31|1900-\d\d-\d\d) \d\d:\d\d:\d\d"
    changed = []
    for column in rows:
        if not column.str.contains(early).any():
            continue
        cell = pl.col(column.name)
        seconds = (cell.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False) - _FIRST_DAY).dt.total_seconds()
        parts = (seconds // 3600, seconds % 3600 // 60, seconds % 60)
        clock = pl.concat_str([part.cast(pl.String).str.zfill(2) for part in parts], separator=":")
        changed.append(pl.when(cell.str.contains(early)).then(clock).otherwise(cell).alias(column.name))
    return rows.with_columns(changed)


def table_of_parquet(path: Path, content: bytes) -> tuple[pl.DataFrame, list[str]]:
    """The table of a Parquet file, its times of day and spans of time in hours; and notes."""
    try:
        lazy = pl.scan_parquet(io.BytesIO(content))
        columns = len(lazy.collect_schema())
        refuse_larger(path, 8 * columns * int(lazy.select(pl.len()).collect().item()))
        table = pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(path, "Parquet", error) from error
    times = [column.name for column in table if column.dtype in (pl.Time, pl.Duration)]
    hours = [table[name].cast(pl.Duration("us")).dt.total_microseconds().cast(pl.Float64) / 3600e6 for name in times]
    return table.with_columns(hours), [f"Column {name!r} has times, read as hours." for name in times]


def arrays_of_npz(path: Path, content: bytes) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The arrays x and y of an npz file."""
    try:
        if not zipfile.is_zipfile(io.BytesIO(content)):
            # NumPy would take it for a pickle, and advise to trust it.
            raise zipfile.BadZipFile("it is not what np.savez writes")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                _refuse_false_size(path, archive, entry)
        with np.load(io.BytesIO(content)) as file:
            arrays = {name.lower(): file[name] for name in file.files}
    except DataError:
        raise
    except Exception as error:
        # What zipfile, zlib and NumPy raise for damaged and encrypted archives has no common class.
        if "Object arrays" in str(error):
            raise DataError(
                f"The file {path} has an array of dtype object, which only a pickle can hold; save it with "
                ".astype(float), or .astype(str) where all of it is text; columns of both kinds go into a CSV file."
            ) from error
        raise unreadable(path, "npz", error) from error
    if not {"x", "y"} <= set(arrays):
        raise DataError(
            f"The file {path} has the arrays {', '.join(arrays) or '(none)'}; expected x, of shape (rows, columns), "
            "and y, as written by np.savez(path, x=x, y=y)."
        )
    return arrays["x"], arrays["y"]


def _refuse_false_size(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Refuse an array whose header declares more than there is, before any memory is taken for it."""
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        declared, held = math.prod(shape) * dtype.itemsize, entry.file_size - stream.tell()
    if dtype.hasobject:
        return
    name = entry.filename.removesuffix(".npy")
    if declared > held:
        raise DataError(
            f"The file {path} declares the array {name} of shape {shape}, which is more than it holds; write it again."
        )
    if declared > MEMORY:
        raise DataError(
            f"The array {name} of {path} has shape {shape}, which is more than the memory; take fewer rows."
        )
