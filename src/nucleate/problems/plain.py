"""Wide files fast: the columns of which nothing but numbers can be read, all of them at once."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

_UNCLEAR_DOT = r"^[-+]?[1-9]\d{0,2}\.\d{3}$"


def plain_numbers(cells: pl.DataFrame) -> dict[str, pl.Series]:
    """The columns that are numbers as programs write them: whole ones, or in floating point.

    >>> list(plain_numbers(pl.DataFrame({"a": ["1", "2"], "b": ["1e3", None], "c": ["1", "x"]})))
    ['a', 'b']
    """
    gaps = dict(zip(cells.columns, _row(cells.null_count()), strict=True))
    first = zip(cells.columns, _row(cells.head(1)), strict=False)
    maybe_whole = [name for name, cell in first if not re.search("[.eE]", cell or "")]

    def fitting(names: Sequence[str], dtype: type[pl.DataType]) -> dict[str, pl.Series]:
        read = cells.select(pl.col(names).cast(dtype, strict=False).fill_nan(None))
        return {column.name: column for column in read if column.null_count() == gaps[column.name]}

    whole = fitting(maybe_whole, pl.Int64)
    return whole | fitting([name for name in cells.columns if name not in whole], pl.Float64)


def plain_commas(cells: pl.DataFrame) -> dict[str, pl.Series]:
    """The columns that are numbers with decimal commas for certain.

    >>> list(plain_commas(pl.DataFrame({"a": ["1,5", "2"], "b": ["1,234", "2,345"]})))
    ['a']
    """
    number = r"^[-+]?\d+(?:,\d*)?(?:[eE][-+]?\d+)?$"
    certain = pl.all().str.contains(r",(?:\d{0,2}|\d{4,}|\d*[eE].*)$").any() & pl.all().str.contains(number).all()
    dots = pl.col(_where(cells, certain)).str.replace(",", ".", literal=True).cast(pl.Float64)
    return {column.name: column for column in cells.select(dots)}


class Dots(NamedTuple):
    """Which columns of numbers with dots show that these are decimal marks, and which could be read otherwise."""

    certain: list[str]
    unclear: list[str]


def dots_in(cells: pl.DataFrame) -> Dots:
    """What the dots in columns of numbers are.

    >>> dots_in(pl.DataFrame({"a": ["1.5", "1.234"], "b": ["1.234", "2.345"], "c": ["1", "2"]}))
    Dots(certain=['a'], unclear=['b'])
    """
    dotted, unclear = pl.all().str.contains(".", literal=True), pl.all().str.contains(_UNCLEAR_DOT)
    certain = _where(cells, (dotted & ~unclear).any())
    return Dots(certain, _where(cells.drop(certain), dotted.any()))


def _where(cells: pl.DataFrame, condition: pl.Expr) -> list[str]:
    return [name for name, yes in zip(cells.columns, _row(cells.select(condition)), strict=True) if yes]


def _row(frame: pl.DataFrame) -> tuple[Any, ...]:
    return frame.row(0) if frame.width and len(frame) else ()
