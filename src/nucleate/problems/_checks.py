"""What raw columns must be before a network sees them; each fault has its own sentence."""

from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool

from nucleate.errors import DataError
from nucleate.problems._wording import count, name_columns, name_rows

Kind = Literal["numeric", "categorical", "constant"]

LARGEST = 1e100
"""Numbers beyond this count as infinite: their squares would overflow."""

_DATE = r"^\s*\d{1,4}[-/]\d{1,2}[-/]\d{1,4}"


def kind_of(raw: pl.Series) -> Kind:
    """Whether a column holds numbers, or categories (text and truth values).

    Raises
    ------
    DataError
        If it holds dates, also those written as text, or anything else.
    """
    if raw.dtype.is_temporal() or _is_text_of_dates(raw):
        raise DataError(
            f"Column {raw.name!r} holds dates or times. Turn it into numbers, such as days since the first date, or "
            "delete it."
        )
    if raw.dtype.is_numeric() or raw.dtype == pl.Null:
        return "numeric"
    if raw.dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum):
        return "categorical"
    raise DataError(
        f"Column {raw.name!r} holds values of type {raw.dtype}; turn it into numbers or text, or delete it."
    )


def missing(table: pl.DataFrame) -> Bool[np.ndarray, "n columns"]:
    """Where a table has no value, or NaN."""
    return np.column_stack(
        [(raw.is_null() | raw.is_nan() if raw.dtype.is_float() else raw.is_null()).to_numpy() for raw in table]
    )


def complete_rows(table: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The rows that have a value in every column, and a note if others were left out.

    Raises
    ------
    DataError
        If there are none.
    """
    gaps = missing(table)
    rows, sizes = np.any(gaps, axis=1), gaps.sum(axis=0)
    if not rows.any():
        return table, []
    if rows.all():
        raise DataError(
            f"No row is without a missing value: column {table.columns[sizes.argmax()]!r} lacks {sizes.max()} of "
            f"{len(table)}. Delete or fill the columns that lack most."
        )
    return table.filter(~rows), [f"Left out {count(int(rows.sum()), 'row')} with missing values ({name_rows(rows)})."]


def refuse_missing(table: pl.DataFrame, role: Literal["Input", "Target"], advice: str = "Drop or fill them.") -> None:
    gaps = missing(table)
    names = [name for name, gap in zip(table.columns, gaps.T, strict=True) if gap.any()]
    if names:
        raise DataError(
            f"{role} {name_columns(names)} {'has' if len(names) == 1 else 'have'} "
            f"{count(int(gaps.sum()), 'missing value')} ({name_rows(np.any(gaps, axis=1))}). {advice}"
        )


def refuse_infinite(table: pl.DataFrame) -> None:
    for column in table:
        if column.dtype.is_float():
            infinite = np.abs(column.cast(pl.Float64).to_numpy()) > LARGEST
            if infinite.any():
                raise DataError(
                    f"Column {column.name!r} is infinite or beyond {LARGEST:g} in {name_rows(infinite)}; correct or "
                    "delete such values."
                )


def input_kinds(inputs: pl.DataFrame) -> dict[str, Kind]:
    """The kind of each input column; "constant" where it has one value only, from which nothing can be learnt.

    Raises
    ------
    DataError
        If most rows of a text column have a value of their own, or all columns are constant.
    """
    kinds: dict[str, Kind] = {}
    for raw in inputs:
        kind, values = kind_of(raw), raw.n_unique()
        kinds[raw.name] = "constant" if values == 1 else kind
        if kind == "categorical" and values > len(raw) / 2:
            raise DataError(
                f"Column {raw.name!r} is text with {values} different values in {len(raw)} rows{odd_one_out(raw)}. "
                "Delete it if it is a name or an identifier, make it numeric if it is meant as a number, or group its "
                "values."
            )
    if set(kinds.values()) == {"constant"}:
        raise DataError(
            f"Input {name_columns(kinds)} never {'varies' if len(kinds) == 1 else 'vary'}; add one that does."
        )
    return kinds


def _is_text_of_dates(raw: pl.Series) -> bool:
    return raw.dtype == pl.String and raw.null_count() < len(raw) and bool(raw.str.contains(_DATE).all())


def odd_one_out(raw: pl.Series) -> str:
    """A clause to append with a value that keeps a column made mostly of numbers from being numeric."""
    no_number = raw.filter(raw.cast(pl.String).cast(pl.Float64, strict=False).is_null())
    return f", of which {no_number[0]!r} is no number" if 0 < len(no_number) < len(raw) / 2 else ""
