"""Columns of text as numbers, truth values, dates or categories; what is unclear is refused, what is odd is named."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from nucleate._wording import count, name_rows
from nucleate.errors import DataError
from nucleate.problems.dates import DATE, dates_in
from nucleate.problems.form import Form
from nucleate.problems.numbers import OTHER, SPACES, Mark, Marks, Written, narrowest, parse

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?")
"""What stands for no value in every column of a text file."""

_NO_VALUE = (
    "n/a #n/a #na #null! #div/0! #value! #ref! #name? #num! 欠測 欠損 欠測値 欠損値",
    "- -- --- — – ― ー − ~ . .. ... … * none na nan nil null missing unknown",
    "なし 無し 無 不明 未測定 測定不能 該当なし 未入力 未回答 データなし",
)
NEVER_A_CATEGORY = frozenset(_NO_VALUE[0].split())
"""What stands for no value, in lower case, in every column."""
AMONG_NUMBERS = frozenset(" ".join(_NO_VALUE).split())
"""What stands for no value, in lower case, where the rest of a column are numbers or dates."""

_FEW = 0.1
"""Up to so large a share of cells that are no numbers is called odd; a column with more of them is text."""


@dataclass
class Columns:
    """The columns of a file, typed, and what was decided on the way.

    Parameters
    ----------
    columns : list of Series
    units : dict of str to str
        The sign of money or percent that a column's numbers have, or "date".
    notes : list of str
    gaps : dict of str to str
        What was read as missing in a column of numbers, a sentence for each such column.
    decimal : {".", ","} or None
        The file's decimal mark, where its columns agree on one.
    """

    columns: list[pl.Series] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    gaps: dict[str, str] = field(default_factory=dict)
    decimal: Mark | None = None


def typed_columns(cells: pl.DataFrame, source: object, separator: str, form: Form) -> Columns:
    """The columns of a file's cells, stripped and null where nothing is written.

    Parameters
    ----------
    cells : DataFrame of str
    source : object
        What a sentence calls the file.
    separator : str
        Where it is a comma, unclear numbers have decimal dots: a comma would have parted them.
    form : Form
        What is known of the file, from its user or from a model.

    Raises
    ------
    DataError
        If numbers read in several ways, or a column of numbers has a few cells that are none.
    """
    read = Columns(decimal=form.decimal or OTHER.get(form.thousands or ""))
    plain = {column.name: narrowest(column) for column in cells}
    late = {name for name, numbers in plain.items() if numbers.null_count() > cells[name].null_count()}
    # Only commas between digits, or another mark asked for, make a dot anything but a decimal mark.
    written = {name: Written.of(cells[name]) for name in late}
    if separator != "," or form.decimal == "," or form.thousands not in (None, ","):
        written |= {name: Written(cells[name], _blank(cells[name])) for name in plain if name not in late}
    marks = {name: Marks.of(one.bodies) for name, one in written.items()}
    if read.decimal is None:
        certain = {one.mark for one in marks.values() if one.mark}
        if not certain and separator == ",":
            certain = {"."}
        read.decimal = certain.pop() if len(certain) == 1 else None
    for column in cells:
        one = _Column(column, source, read, form, separator)
        if column.name not in written:
            read.columns.append(plain[column.name])
        else:
            read.columns.append(one.typed(written[column.name], marks[column.name]))
    _refuse_changed_units(read, form, source)
    return read


def _blank(cells: pl.Series) -> pl.Series:
    return pl.repeat("", len(cells), eager=True)


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

    def typed(self, written: Written, marks: Marks) -> pl.Series:
        kind = self.form.kinds.get(self.name)
        if kind == "text":
            return self._text()
        if kind == "truth":
            return self._truth() if self._is_truth() else self._text()
        if self.form.units.get(self.name) == "date" or (kind is None and self._is_date()):
            return self._date()
        numbers = self._numbers(written, marks)
        if numbers is not None:
            return numbers
        return self._truth() if self._is_truth() else self._text()

    def _is_truth(self) -> bool:
        return bool(self.cells.str.to_lowercase().is_in(["true", "false"]).all())

    def _truth(self) -> pl.Series:
        return self.cells.str.to_lowercase() == "true"

    def _is_date(self) -> bool:
        return not self._odd(self.cells.str.contains(DATE)).any() and bool(self.cells.str.contains(DATE).any())

    def _date(self) -> pl.Series:
        dates = dates_in(self.cells, self.source)
        self._name_gaps(dates)
        odd = self._odd(dates.is_not_null())
        if odd.any():
            self._refuse_odd(odd, "dates")
        self.read.units[self.name] = "date"
        return dates

    def _numbers(self, written: Written, marks: Marks) -> pl.Series | None:
        """The numbers, if that is what the column holds."""
        known = self.form.kinds.get(self.name) == "number"
        bodies = written.bodies.set(self.cells.str.to_lowercase().is_in(AMONG_NUMBERS).fill_null(False), None)
        clear = self._decimal(bodies, marks)
        numbers = parse(bodies, clear, self._groups(clear))
        is_number = numbers.is_not_null()
        odd = self._odd(is_number)
        if not known and (not is_number.any() or odd.sum() > max(1, _FEW * self.cells.count())):
            self._name_the_odd_one(is_number, odd)
            return None
        if odd.sum() >= is_number.sum() and not known:
            return None
        if odd.any():
            self._refuse_odd(odd, "numbers")
        if marks.unclear and self._is_unclear(marks):
            self._refuse_unclear(marks)
        self._name_gaps(numbers)
        self._name_marks(bodies, marks, clear)
        unit = self._unit(written.units.set(~is_number, ""), is_number)
        if unit:
            self.read.units[self.name] = unit
        return numbers.alias(self.name)

    def _decimal(self, bodies: pl.Series, marks: Marks) -> Mark | None:
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
            f"{body.replace(mark, '')} or {body.replace(mark, '.')}; pass --thousands {mark} or --decimal {mark} (in "
            f"Python thousands={mark!r} or decimal={mark!r})."
        )

    def _odd(self, fits: pl.Series) -> pl.Series:
        """Where a cell neither fits nor stands for no value."""
        return self.cells.is_not_null() & ~fits.fill_null(False) & ~self.cells.str.to_lowercase().is_in(AMONG_NUMBERS)

    def _refuse_odd(self, odd: pl.Series, what: str) -> None:
        cells, where = self.cells.filter(odd), name_rows(odd.to_numpy())
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

    def _name_marks(self, bodies: pl.Series, marks: Marks, decimal: Mark | None) -> None:
        if self._is_told or decimal is None:
            return
        grouped = bodies.str.contains(r"\d[.,'’ ]\d{3}") & bodies.str.contains(rf"^[-+]?\d+[^\d\{decimal}]").fill_null(
            False
        )
        if grouped.any():
            cell = bodies.filter(grouped)[0]
            value = parse(pl.Series([cell]), decimal, self._groups(decimal))[0]
            self.read.notes.append(
                f"Column {self.name!r} has thousands separators: {cell!r} was read as {value}; --decimal and "
                "--thousands read it otherwise."
            )

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
        others = f"; {count(int(bare.sum()), 'cell')} without the sign likewise" if bare.any() else ""
        self.read.notes.append(f"Column {self.name!r} is in {signs[0]}: the sign was left out{others}.")
        return str(signs[0])

    def _name_the_odd_one(self, is_number: pl.Series, odd: pl.Series) -> None:
        if 2 * is_number.sum() > self.cells.count() and odd.any():
            self.read.notes.append(
                f"Column {self.name!r} was read as text, for {_quoted(self.cells.filter(odd))} in "
                f"{name_rows(odd.to_numpy())} is not a number; --missing reads such cells as missing."
            )

    def _text(self) -> pl.Series:
        lower = self.cells.str.to_lowercase()
        missing = lower.is_in(NEVER_A_CATEGORY).fill_null(False)
        kept = lower.is_in(AMONG_NUMBERS - NEVER_A_CATEGORY).fill_null(False)
        if missing.any():
            self._name_text_gaps(missing)
        if kept.any() and not self.form.kinds:
            self.read.notes.append(
                f"Column {self.name!r} has {_quoted(self.cells.filter(kept))} in {name_rows(kept.to_numpy())}, kept as "
                "a category; --missing reads it as missing."
            )
        return self.cells.set(missing, None)

    def _name_text_gaps(self, missing: pl.Series) -> None:
        where = name_rows(missing.to_numpy())
        sentence = f"Column {self.name!r} has {_quoted(self.cells.filter(missing))} in {where}, read as missing."
        self.read.notes.append(sentence)
        self.read.gaps[self.name] = sentence


def _refuse_changed_units(read: Columns, form: Form, source: object) -> None:
    """A model's columns keep the units that they had in training."""
    for name, kind in form.kinds.items():
        now, before = read.units.get(name, ""), form.units.get(name, "")
        if kind == "number" and now and now != before:
            raise DataError(
                f"Column {name!r} of {source} is in {now}, but it was {f'in {before}' if before else 'without a sign'} "
                "in training; write it as the training data had it."
            )


def _quoted(cells: pl.Series) -> str:
    values = [repr(value) for value in cells.unique(maintain_order=True)]
    return ", ".join(values[:3]) + (f" and {len(values) - 3} more" if len(values) > 3 else "")


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
