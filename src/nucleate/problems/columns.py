"""The table of columns: what each holds, and what became of it."""

from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl
from rich.cells import cell_len, set_cell_size

from nucleate.problems.checks import missing, numbers_in, stripped
from nucleate.problems.notices import Notice, plain_number
from nucleate.problems.preprocessing import Preprocessing

COLUMNS = pl.Schema(
    {"column": pl.String, "kind": pl.String, "range": pl.String, "missing": pl.Int64, "became": pl.String}
    | {"note": pl.String}
)
_SHOWN, _WIDEST = 4, 40
MANY = 20
"""With more columns than that their table is not printed unasked."""


def tabulate_columns(table: pl.DataFrame, became: Mapping[str, str], notices: Iterable[Notice] = ()) -> pl.DataFrame:
    """A row for each column of a table as it was read: `COLUMNS`, with what became of each.

    A ``kind`` is number, date, text, truth, empty or other; a ``range`` is from the lowest to the highest, or of the
    categories.

    >>> table = pl.DataFrame({"rooms": [1, 3, None], "town": ["Bern", "Apia", "Bern"]})
    >>> for line in lines_of(tabulate_columns(table, {"rooms": "kept", "town": "one-hot into 2"})):
    ...     print(line)
    rooms  number  1 to 3      1 missing  kept
    town   text    Apia, Bern             one-hot into 2
    """
    gaps = missing(table).sum(axis=0)
    kinds = {
        name: "empty" if gap == len(table) else _kind(dtype)
        for (name, dtype), gap in zip(table.schema.items(), gaps, strict=True)
    }
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    values = numbers_in(table.select(numbers)) if numbers else np.empty((0, 1))
    ends = zip(np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1), strict=True)
    ranges = {
        name: f"{plain_number(low)} to {plain_number(high)}" for name, (low, high) in zip(numbers, ends, strict=True)
    }
    for name, kind in kinds.items():
        if kind == "date":
            ranges[name] = f"{table[name].min()!s} to {table[name].max()!s}"
        elif kind in ("text", "truth"):
            categories = stripped(table[name]).drop_nulls().unique().sort()
            first, rest = categories[:_SHOWN].to_list(), len(categories) - _SHOWN
            ranges[name] = ", ".join(map(str, first)) + (f" and {rest} more" if rest > 0 else "")
    notes: dict[str, list[str]] = {}
    for notice in notices:
        notes.setdefault(notice.column, []).append(notice.text)
    rows = [
        (name, kind, ranges.get(name, ""), int(gap), became.get(name, "kept"), " ".join(notes.get(name, [])))
        for (name, kind), gap in zip(kinds.items(), gaps, strict=True)
    ]
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_numeric():
        return "number"
    if dtype in (pl.Date, pl.Datetime):
        return "date"
    if dtype == pl.Boolean:
        return "truth"
    return "text" if dtype in (pl.String, pl.Categorical, pl.Enum) else "other"


def what_became(table: pl.DataFrame, preprocessing: Preprocessing) -> dict[str, str]:
    """What a preprocessing makes of the columns of a table, in a few words each."""
    gaps = dict(zip(table.columns, missing(table).sum(axis=0), strict=True))
    became, schema = dict.fromkeys(table.columns, "not read"), table.schema
    for column in preprocessing.inputs:
        name, dtype = column.name, schema[column.name]
        match column.kind:
            case "constant":
                became[name] = "left out: constant in training"
            case "numeric":
                became[name] = "kept" if dtype.is_numeric() else "kept, as days since 1970-01-01"
            case "categorical":
                became[name] = f"one-hot into {len(column.categories)}"
        if gaps[name] and column.fill is not None:
            fill = plain_number(float(column.fill)) if column.kind == "numeric" else repr(column.fill)
            how = preprocessing.impute if column.kind == "numeric" else "most_frequent"
            became[name] += f", imputed by {how} ({fill})"
        elif gaps[name] and column.kind != "constant":
            became[name] += ", rows without it left out"
    for column in preprocessing.targets:
        became[column.name] = f"target, {len(column.categories)} classes" if column.categories else "target"
    return became


def lines_of(columns: pl.DataFrame) -> list[str]:
    """The table of `Problem.columns` as lines, without the notes; what could move a terminal's cursor is escaped."""
    cells = [
        [_shown(name), kind, _shown(held), f"{gaps} missing" if gaps else "", _shown(became, 2 * _WIDEST)]
        for name, kind, held, gaps, became, _ in columns.iter_rows()
    ]
    widths = [max((cell_len(row[k]) for row in cells), default=0) for k in range(5)]
    return [
        "  ".join(set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True) if width).rstrip()
        for row in cells
    ]


def _shown(text: str, widest: int = _WIDEST) -> str:
    plain = "".join(one if one.isprintable() or one == "\u3000" else repr(one)[1:-1] for one in text)
    return plain if cell_len(plain) <= widest else set_cell_size(plain, widest - 1).rstrip() + "…"
