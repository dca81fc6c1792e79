"""The tables that rows come from: one, and where a person has them, others for validation and test."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl

from nucleate._wording import name_columns
from nucleate.errors import DataError
from nucleate.tables.form import Form
from nucleate.tables.reading import Read

_DATES = (pl.Date, pl.Datetime)


@dataclass(frozen=True)
class Source:
    """One of the tables.

    Its ``part`` is 0 for the first one, 1 and 2 for one's own rows for validation and for the test; ``table`` is what
    was read with the columns of the first one, in their order; ``start`` says how many rows the tables before it have.
    """

    part: int
    read: Read
    table: pl.DataFrame
    start: int
    notes: list[str]

    @property
    def rows(self) -> slice:
        """Its rows among those of all tables."""
        return slice(self.start, self.start + len(self.table))

    def raw(self, table: pl.DataFrame) -> pl.DataFrame:
        """Its rows of a table of all, their texts as they stood in the file."""
        own = table[self.rows]
        return (
            own
            if self.read.texts is None
            else own.with_columns([text for text in self.read.texts if text.name in own.columns])
        )

    def of(self, note: str) -> str:
        """A note, with the rows that it is about."""
        return note if self.part == 0 else f"Of the {_WHAT[self.part]} rows: {note}"

    @contextmanager
    def named(self) -> Iterator[None]:
        """Within the block, what is refused says of which rows."""
        try:
            yield
        except DataError as error:
            if self.part == 0:
                raise
            raise DataError(self.of(str(error))) from None


_PLACES = {"validation": 1, "test": 2}
_WHAT = {place: name for name, place in _PLACES.items()}


def gather(first: Read, own: Mapping[str, Any], optional: Collection[str]) -> list[Source]:
    """The first table and a person's own rows for validation and test, which need not have the ``optional`` columns."""
    sources = [Source(0, first, first.table, 0, list(first.notes))]
    for name, given in own.items():
        read = given if isinstance(given, Read) else Read(_table(name, given))
        table, notes = _like(read.table, first.table, name, optional)
        start = sources[-1].rows.stop
        source = Source(_PLACES[name], read, table, start, [])
        source.notes.extend(map(source.of, (*read.notes, *notes)))
        sources.append(source)
    return sources


def _table(name: str, given: Any) -> pl.DataFrame:
    if not isinstance(given, pl.DataFrame):
        raise DataError(
            f"{name} is of type {type(given).__name__}; give a share of the rows such as 0.2, or rows of your own as a "
            "table (or where data are read from a file, as a path)."
        )
    if given.is_empty():
        raise DataError(f"The table for {name} has no rows; give some.")
    return given


def _like(
    table: pl.DataFrame, first: pl.DataFrame, name: str, optional: Collection[str]
) -> tuple[pl.DataFrame, list[str]]:
    """The columns of the first table, and a note on those that are more."""
    lacking = [column for column in first.columns if column not in table.columns and column not in optional]
    more = [column for column in table.columns if column not in first.columns]
    if lacking:
        other = f", but {name_columns(more)}" if more else ""
        raise DataError(
            f"The {name} rows have no {name_columns(lacking)}{other}; rows of your own need the columns of the others, "
            "the target too."
        )
    columns = []
    for column, dtype in first.schema.items():
        if column not in table.columns:
            columns.append(pl.Series(column, [None] * len(table), dtype))
            continue
        found = table.schema[column]
        alike = found == dtype or (found.is_numeric() and dtype.is_numeric()) or pl.Null in (found, dtype)
        if not alike and not (found in _DATES and dtype in _DATES):
            raise DataError(
                f"Column {column!r} holds {found} in the {name} rows and {dtype} in the others; write them alike."
            )
        columns.append(table[column])
    verb = "is" if len(more) == 1 else "are"
    return pl.DataFrame(columns), [f"{name_columns(more).capitalize()} {verb} not read."] if more else []


def form_like(read: Read) -> Form:
    """How to read another file as the first one was read, each column as it was."""
    kinds = {name: _KINDS.get(dtype.base_type(), "number") for name, dtype in read.table.schema.items()}
    return read.form.model_copy(update={"kinds": kinds})


_KINDS: dict[Any, str] = {pl.String: "text", pl.Boolean: "truth"}
