"""Columns of text as numbers, truth values, dates, times or categories; what is unclear is refused, odd cells named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import polars as pl

from nucleate._wording import count, listed, name_rows
from nucleate.errors import DataError
from nucleate.tables.dates import Order, dates_in, hours_in, look_like_dates, look_like_times
from nucleate.tables.form import Form
from nucleate.tables.numbers import (
    OTHER,
    SIGNS,
    SPACES,
    Dots,
    Mark,
    Marks,
    Written,
    dots_in,
    narrow,
    numbers_between,
    parse,
    plain_commas,
    plain_numbers,
    suffixes_of,
)
from nucleate.tables.spellings import as_one_spelling, summary_in

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?")
"""What stands for no value in every column of a text file."""

_NO_VALUE = (
    "n/a #n/a #na #null! #div/0! #value! #ref! #name? #num! <na> nat null (null) \\n nan -nan",
    "欠測 欠損 欠測値 欠損値",
    "- -- --- — – ― ー ｰ ~ . .. ... … * ? ?? / none na n.a. nil missing unknown blank (blank) empty",
    "なし 無し 無 不明 未測定 測定なし 測定不能 該当なし 該当無し 未入力 未記入 未回答 未実施 未定 空白 (空白)",
)
NEVER_A_CATEGORY = frozenset(" ".join(_NO_VALUE[:2]).split())
"""What stands for no value, in lower case, in every column."""
AMONG_NUMBERS = frozenset(" ".join(_NO_VALUE).split())
"""What stands for no value, in lower case, where the rest of a column are numbers or dates."""

_FEW = 0.1
"""Up to so large a share of cells that are no numbers is called odd; a column with more of them is text."""


@dataclass
class Columns:
    """The columns of a file, typed, and what was decided on the way.

    ``units`` has the sign of money or percent or the unit that a column's numbers have, "time", or "date" (with the
    order of day and month, where the year comes last); ``gaps`` a sentence on what was read as missing, for each such
    column of numbers. ``decimal`` is the file's decimal mark, where its columns agree on one.
    """

    columns: list[pl.Series] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    gaps: dict[str, str] = field(default_factory=dict)
    decimal: Mark | None = None


def typed_columns(
    cells: pl.DataFrame, source: object, separator: str, form: Form, units: Mapping[str, str] = MappingProxyType({})
) -> Columns:
    """The columns of a file's cells; ``source`` is what a sentence calls the file; ``units`` have a line of their own.

    Where the separator is a comma, unclear numbers have decimal dots: a comma would have parted them.
    """
    read = Columns(decimal=form.decimal or OTHER.get(form.thousands or ""))
    # Most columns of wide files are plain, and nothing else is done with them.
    plain = plain_numbers(cells)
    written_otherwise = without_missing(cells.drop(plain), form.missing)
    cells = cells.with_columns(written_otherwise)
    plain |= plain_numbers(written_otherwise)
    texts = [name for name in written_otherwise.columns if name not in plain]
    told = form.decimal is not None or form.thousands is not None
    commas = {} if told or separator == "," else plain_commas(cells.select(texts))
    columns = {column.name: _Column(column, source, read, form, separator) for column in cells}
    written = {name: columns[name].written for name in texts if name not in commas}
    # Only commas between digits, or another mark asked for, make a dot anything but a decimal mark.
    asked = form.decimal == "," or form.thousands not in (None, ",")
    dots = dots_in(cells.select(*plain)) if asked or separator != "," else Dots([], [])
    for name in [*dots.unclear, *(dots.certain if asked else [])]:
        written[name] = Written(cells[name], pl.repeat("", len(cells), eager=True))
    marks = {name: Marks.of(one.bodies) for name, one in written.items()}
    if read.decimal is None:
        certain: set[Mark] = {one.mark for one in marks.values() if one.mark}
        if commas:
            certain.add(",")
        if dots.certain or (not certain and separator == ","):
            certain.add(".")
        read.decimal = next(iter(certain)) if len(certain) == 1 else None
    for name, one in columns.items():
        if form.kinds.get(name) == "text":
            read.columns.append(one.text())
        elif name in written:
            read.columns.append(one.typed(written[name], marks[name]))
        else:
            read.columns.append(plain[name] if name in plain else commas[name])
    for column in read.columns:
        unit = units.get(column.name, "")
        # These words say how cells are written.
        if unit and column.dtype.is_numeric() and unit != "time" and not unit.startswith("date"):
            read.units.setdefault(column.name, unit)
    _refuse_changed_units(read, form, source)
    read.columns = [without_numbers(column, form.missing) for column in read.columns]
    return read


@dataclass(frozen=True)
class _Column:
    """A column that is not plainly numbers."""

    cells: pl.Series
    source: object
    read: Columns
    form: Form
    separator: str

    @property
    def name(self) -> str:
        return self.cells.name

    @cached_property
    def written(self) -> Written:
        return Written.of(self.cells.set(self._tokens, None))

    @cached_property
    def _plain(self) -> pl.Series:
        return narrow(self.cells).str.to_lowercase()

    @cached_property
    def _tokens(self) -> pl.Series:
        """Where a cell would stand for no value among numbers."""
        return self._plain.is_in(AMONG_NUMBERS).fill_null(False)

    def typed(self, written: Written, marks: Marks) -> pl.Series:
        known, unit = self.form.kinds.get(self.name), self.form.units.get(self.name, "")
        if known != "truth":
            if unit.startswith("date") or (known is None and self._is_mostly(look_like_dates(self.cells))):
                return self._date()
            if unit == "time" or (known is None and self._is_mostly(look_like_times(self.cells))):
                return self._time()
            if (numbers := self._numbers(written, marks)) is not None:
                return numbers
        if self._plain.is_in(["true", "false"]).all():
            return (self._plain == "true").alias(self.name)
        return self.text()

    def _is_mostly(self, fits: pl.Series) -> bool:
        odd, fitting = self._odd(fits).sum(), fits.sum()
        return fitting > odd and odd <= max(1, _FEW * self.cells.count())

    def _date(self) -> pl.Series:
        known: dict[str, Order] = {"date, day-first": "day-first", "date, month-first": "month-first"}
        order = self.form.dates or known.get(self.form.units.get(self.name, ""))
        dates, order, notes = dates_in(self.cells.set(self._tokens, None), self.source, order)
        self._refuse_odd(dates, "dates")
        self._name_gaps(dates)
        self.read.notes += notes
        self.read.units[self.name] = f"date, {order}" if order else "date"
        return dates

    def _time(self) -> pl.Series:
        hours = hours_in(self.cells)
        self._refuse_odd(hours, "times")
        self._name_gaps(hours)
        if not self.form.kinds:
            first = self.cells.filter(hours.is_not_null())[0]
            self._note(f"has times such as {first!r}, read as hours: {hours.drop_nulls()[0]:g}.")
        self.read.units[self.name] = "time"
        return hours

    def _numbers(self, written: Written, marks: Marks) -> pl.Series | None:
        """The numbers, if that is what the column holds."""
        known = self.form.kinds.get(self.name) == "number"
        bodies = written.bodies
        clear = self._decimal(marks)
        numbers = parse(bodies, clear, self._groups(clear))
        is_number = numbers.is_not_null()
        odd = self._odd(is_number)
        few = odd.sum() <= max(1, _FEW * self.cells.count()) or self._are_sums(odd)
        if not known and not (is_number.any() and few):
            self._name_the_odd_one(is_number, odd)
            return None
        if odd.sum() >= is_number.sum() and not known:
            return None
        self._refuse_odd(numbers, "numbers")
        if marks.unclear and self._is_unclear(marks):
            self._refuse_unclear(marks)
        self._name_gaps(numbers)
        self._name_marks(bodies, clear)
        self._name_negatives(numbers)
        unit = self._unit(written.units.set(~is_number, ""), is_number)
        if unit:
            self.read.units[self.name] = unit
        return numbers.alias(self.name)

    def _decimal(self, marks: Marks) -> Mark | None:
        """The column's decimal mark; None where both are."""
        if self.form.decimal or self.form.thousands in OTHER:
            return self.read.decimal
        if marks.mark:
            return marks.mark
        if marks.dot and marks.comma and not marks.grouped:
            return None
        if marks.dot or marks.comma or not marks.unclear:
            return "."
        return self.read.decimal or "."

    def _groups(self, decimal: Mark | None) -> str:
        if self.form.thousands is not None:
            return self.form.thousands
        return SPACES if decimal is None else OTHER[decimal] + SPACES

    def _is_unclear(self, marks: Marks) -> bool:
        if self.read.decimal is not None and marks.mark is None and not (marks.dot and marks.comma):
            return marks.unclear_dot and marks.unclear_comma and not self._is_told
        if self._is_told or marks.mark is not None:
            return False
        if marks.dot and marks.comma:
            return True
        # Dots in files that are not for spreadsheets of decimal commas are decimal marks, unless they look like groups.
        return marks.unclear_comma or self.separator == ";" or marks.whole

    @property
    def _is_told(self) -> bool:
        return self.form.decimal is not None or self.form.thousands is not None

    def _refuse_unclear(self, marks: Marks) -> None:
        mark = "," if marks.unclear_comma else "."
        rows = self.cells.str.contains(rf"[1-9]\d{{0,2}}\{mark}\d{{3}}\D*$").fill_null(False)
        cell = self.cells.filter(rows)[0]
        body = Written.of(pl.Series([cell])).bodies[0]
        raise DataError(
            f"Column {self.name!r} of {self.source} has {cell!r} ({name_rows(rows.to_numpy())}), which is "
            f"{body.replace(mark, '')} or {body.replace(mark, '.')}; pass --thousands '{mark}' or --decimal '{mark}' "
            f"(in Python thousands={mark!r} or decimal={mark!r})."
        )

    def _odd(self, fits: pl.Series) -> pl.Series:
        """Where a cell neither fits nor stands for no value."""
        return self.cells.is_not_null() & ~fits.fill_null(False) & ~self._tokens

    def _are_sums(self, odd: pl.Series) -> bool:
        return all(map(summary_in, self.cells.filter(odd)))

    def _refuse_odd(self, values: pl.Series, what: str) -> None:
        odd = self._odd(values.is_not_null())
        if not odd.any():
            return
        cells, where = self.cells.filter(odd), name_rows(odd.to_numpy())
        if odd[-1] and len(cells) == 1 and (sums := summary_in(cells[0])):
            raise DataError(
                f"Column {self.name!r} of {self.source} holds {what} but for {_quoted(cells)} ({where}), which is the "
                f"last row. Delete that row, a {sums} of those above: it would be learned as a row like the others."
            )
        if self._are_sums(odd):
            raise DataError(
                f"Column {self.name!r} of {self.source} holds {what} but for {_quoted(cells)} ({where}). Delete these "
                "rows, which sum up others: they would be learned as rows like the others."
            )
        raise DataError(
            f"Column {self.name!r} of {self.source} holds {what} but for {_quoted(cells)} ({where}). Correct "
            f"{'it' if len(cells) == 1 else 'them'}, or pass --missing {_shell(cells[0])} to read such cells as "
            f"missing (in Python missing=[{cells[0]!r}])."
        )

    def _name_gaps(self, values: pl.Series) -> None:
        gaps = self.cells.is_not_null() & values.is_null() & ~self._odd(values.is_not_null())
        if gaps.any():
            where = name_rows(gaps.to_numpy())
            sentence = f"Column {self.name!r} has {_quoted(self.cells.filter(gaps))} in {where}, read as missing."
            self.read.notes.append(sentence)
            self.read.gaps[self.name] = sentence

    def _name_marks(self, bodies: pl.Series, decimal: Mark | None) -> None:
        if self._is_told or decimal is None:
            return
        grouped = bodies.str.contains(r"\d[.,'’ ]\d{3}") & bodies.str.contains(rf"^[-+]?\d+[^\d\{decimal}]").fill_null(
            False
        )
        if grouped.any():
            cell = bodies.filter(grouped)[0]
            value = parse(pl.Series([cell]), decimal, self._groups(decimal))[0]
            self._note(
                f"has thousands separators: {cell!r} was read as {value}; --decimal and --thousands read it otherwise."
            )

    def _name_negatives(self, numbers: pl.Series) -> None:
        signed = self.cells.str.contains(r"^[(（△▲]|-$").fill_null(False) & (numbers < 0).fill_null(False)
        if signed.any() and not self.form.kinds:
            cell, value = self.cells.filter(signed)[0], numbers.filter(signed)[0]
            self._note(f"has {cell!r} ({name_rows(signed.to_numpy())}), read as {value}.")

    def _unit(self, units: pl.Series, is_number: pl.Series) -> str:
        signs = [sign for sign in units.unique(maintain_order=True).drop_nulls() if sign]
        if not signs:
            return ""
        bare = is_number & (units == "")
        if len(signs) > 1 or (signs[0] in "%‰" and bare.any()):
            first = self.cells.filter(units == signs[0])[0]
            other = bare if bare.any() else units == signs[-1]
            raise DataError(
                f"Column {self.name!r} of {self.source} has both {first!r} and {self.cells.filter(other)[0]!r} "
                f"({name_rows(other.fill_null(False).to_numpy())}); write all of its numbers in one unit."
            )
        others = f"; {count(int(bare.sum()), 'cell')} without it likewise" if bare.any() else ""
        what = "sign" if signs[0] in SIGNS else "unit"
        self._note(f"is in {signs[0]}: the {what} was left out{others}.")
        return str(signs[0])

    def _name_the_odd_one(self, is_number: pl.Series, odd: pl.Series) -> None:
        if self._is_mostly(self._plain.str.contains("^0x[0-9a-f]+$")):
            self._note("has hexadecimal numbers, kept as texts; write them as decimal numbers if they are amounts.")
            return
        between = numbers_between(narrow(self.cells))
        if between is not None and self._is_mostly(between.numbers.is_not_null()):
            self._note(
                f"was read as text, for its numbers stand between {between.before!r} and "
                f"{between.behind!r}; write the numbers alone if they are amounts."
            )
            return
        units = suffixes_of(self.written.bodies)
        several = units.drop_nulls().unique(maintain_order=True)
        if len(several) > 1 and self._is_mostly(is_number | units.is_not_null()):
            self._note(
                f"was read as text, for its numbers are followed by {_quoted(several)}; if these "
                "are units, write all of the column in one."
            )
        elif 2 * is_number.sum() > self.cells.count() and odd.any():
            self._note(
                f"was read as text, for {_quoted(self.cells.filter(odd))} in "
                f"{name_rows(odd.to_numpy())} is not a number; --missing reads such cells as missing."
            )
        elif 2 * (are_dates := look_like_dates(self.cells)).sum() > self.cells.count():
            odd = self._odd(are_dates)
            self._note(
                f"was read as text, for {_quoted(self.cells.filter(odd))} in "
                f"{name_rows(odd.to_numpy())} is not a date; write all of them alike."
            )

    def _note(self, said: str) -> None:
        self.read.notes.append(f"Column {self.name!r} {said}")

    def text(self) -> pl.Series:
        """The column as categories."""
        missing = self._plain.is_in(NEVER_A_CATEGORY).fill_null(False)
        kept = self._tokens & ~missing
        cells = self.cells.set(missing, None)
        self._name_gaps(cells)
        if self.form.kinds:
            return cells
        self._name_merged(cells)
        if kept.any():
            self._note(
                f"has {_quoted(self.cells.filter(kept))} in {name_rows(kept.to_numpy())}, kept as "
                "a category; --missing reads it as missing."
            )
        cells, notes = as_one_spelling(cells)
        self.read.notes += notes
        return cells

    def _name_merged(self, cells: pl.Series) -> None:
        """Say so where each text stands once and above gaps."""
        texts = cells.drop_nulls()
        if len(texts) > 1 and texts.n_unique() == len(texts) < len(cells) / 2 and cells[0] is not None:
            sentence = f"Column {self.name!r} has each text once, above gaps, as merged cells do: write it in each row."
            self.read.notes.append(sentence)
            self.read.gaps[self.name] = sentence


def without_numbers(column: pl.Series, tokens: Sequence[str]) -> pl.Series:
    """A column of numbers, null where one is a number that stands for no value, however it is written there."""
    values = [value for token in tokens if (value := pl.Series([token]).cast(pl.Float64, strict=False)[0]) is not None]
    if not values or not column.dtype.is_numeric():
        return column
    return column.set(column.cast(pl.Float64).is_in(values).fill_null(False), None)


def _refuse_changed_units(read: Columns, form: Form, source: object) -> None:
    """A model's columns keep the units that they had in training."""
    present = {column.name for column in read.columns if column.null_count() < len(column)}
    for name, kind in form.kinds.items():
        now, before = (units.get(name, "").partition(",")[0] for units in (read.units, form.units))
        if kind != "number" or name not in present or now == before:
            continue
        # A spreadsheet has 5 % as 0.05, so bare numbers may be either.
        if not now and before not in ("date", "time", "%", "‰"):
            read.notes.append(f"Column {name!r} has numbers without a unit, read as {before}, as in training.")
        else:
            raise DataError(
                f"Column {name!r} of {source} has {_said(now)}, but it had {_said(before)} in training; write it as "
                "the training data had it."
            )


def _said(unit: str) -> str:
    if unit in ("date", "time"):
        return f"{unit}s"
    return f"numbers in {unit}" if unit else "numbers without a unit"


def _quoted(cells: pl.Series) -> str:
    return listed(map(repr, cells.unique(maintain_order=True)))


def _shell(cell: str) -> str:
    return cell if cell.isalnum() else f"'{cell}'"


def without_missing(cells: pl.DataFrame, tokens: Sequence[str]) -> pl.DataFrame:
    """The cells stripped, null where they are tokens for no value, be it the same number written otherwise."""
    stripped = cells.select(pl.all().str.strip_chars())
    is_token = pl.all().is_in([*MISSING, *tokens])
    numbers = pl.Series(tokens, dtype=pl.String).cast(pl.Float64, strict=False).drop_nulls().to_list()
    if numbers:
        is_token |= pl.all().cast(pl.Float64, strict=False).is_in(numbers)
    return stripped.select(pl.when(is_token).then(None).otherwise(pl.all()).name.keep())
