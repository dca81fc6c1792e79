"""Tables made of arrays, and the hash by which data are known again."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Shaped

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
