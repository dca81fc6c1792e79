"""Numbers as people write them: decimal and thousands separators, money, percent and units, full-width digits."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import polars as pl

Mark = Literal[".", ","]
"""What stands before the decimals."""

OTHER: dict[str, Mark] = {".": ",", ",": "."}
SPACES = " '’"
"""What may separate thousands whatever the decimal mark."""

_EXPONENT = r"(?:[eE][-+]?\d+)?"
_UNITS = {"円": "¥", "JPY": "¥", "USD": "$", "EUR": "€", "GBP": "£"}
SIGNS = "¥$€£₩%‰"
_UNIT = r"[¥$€£₩%‰]|円|JPY|USD|EUR|GBP"


def _patterns(mark: Mark) -> tuple[str, str, str]:
    """Numbers with this decimal mark for certain, those with thousands for certain, and what may be either."""
    point, group = rf"\{mark}", rf"\{OTHER[mark]}"
    decimals = rf"^[-+]?\d*{point}\d*{_EXPONENT}$"
    western = rf"[1-9]\d{{0,2}}(?:{group}\d{{3}})"
    indian = rf"[1-9]\d?(?:{group}\d{{2}})+{group}\d{{3}}"
    grouped = rf"^[-+]?(?:{western}{{2,}}(?:{point}\d*)?|{western}+{point}\d*|{indian}(?:{point}\d*)?)$"
    return decimals, grouped, rf"^[-+]?[1-9]\d{{0,2}}{point}\d{{3}}$"


@dataclass(frozen=True)
class Marks:
    """What the cells of a column, or of a file, say about decimal marks.

    Some cell shows for certain that it is the dot, or the comma; some has thousands for certain; some reads either way,
    such as 1,234; and some is whole, without any mark.
    """

    dot: bool = False
    comma: bool = False
    grouped: bool = False
    unclear_dot: bool = False
    unclear_comma: bool = False
    whole: bool = False

    @classmethod
    def of(cls, cells: pl.Series) -> "Marks":
        """What these cells say.

        >>> Marks.of(pl.Series(["1,234", "0,5"]))
        Marks(dot=False, comma=True, grouped=False, unclear_dot=False, unclear_comma=True, whole=False)
        """
        has_dot = cells.filter(cells.str.contains(".", literal=True))
        has_comma = cells.filter(cells.str.contains(",", literal=True))
        dots, dot_groups, unclear_dot = _patterns(".")
        commas, comma_groups, unclear_comma = _patterns(",")
        dotted, comma_ed = has_dot.str.contains(unclear_dot), has_comma.str.contains(unclear_comma)
        grouped_for_dot = bool(has_comma.str.contains(dot_groups).any())
        grouped_for_comma = bool(has_dot.str.contains(comma_groups).any())
        return cls(
            dot=grouped_for_dot or bool((has_dot.str.contains(dots) & ~dotted).any()),
            comma=grouped_for_comma or bool((has_comma.str.contains(commas) & ~comma_ed).any()),
            grouped=grouped_for_dot or grouped_for_comma,
            unclear_dot=bool(dotted.any()),
            unclear_comma=bool(comma_ed.any()),
            whole=bool(cells.str.contains(r"^[-+]?\d+$").any()),
        )

    @property
    def unclear(self) -> bool:
        """Whether some cell reads either way."""
        return self.unclear_dot or self.unclear_comma

    @property
    def mark(self) -> Mark | None:
        """The only decimal mark that is certain."""
        if self.dot == self.comma:
            return None
        return "." if self.dot else ","


@dataclass(frozen=True)
class Written:
    """The cells of a column without what surrounds the number, and each cell's sign of money or percent, the unit that
    all of them have, or nothing.
    """

    bodies: pl.Series
    units: pl.Series

    @classmethod
    def of(cls, cells: pl.Series) -> "Written":
        """Full-width characters become their narrow forms; (5), 5-, △5 and ▲5 are -5.

        >>> Written.of(pl.Series(["￥１，２００", "▲5%", "(3)", "4-"])).bodies.to_list()
        ['1,200', '-5', '-3', '-4']
        >>> Written.of(pl.Series(["12 kg", "3.5kg"])).bodies.to_list()
        ['12', '3.5']
        """
        plain = narrow(cells).str.replace(r"^\(([^()]*\d[^()]*)\)$", "-${1}").str.replace(r"^[△▲–]\s*", "-")
        plain = plain.str.replace(r"^([\d.,]*\d)-$", "-${1}")
        units = plain.str.extract(rf"^[-+]?\s*({_UNIT})\s*[-+]?\s*[\d.,]", 1).fill_null(
            plain.str.extract(rf"[\d.,]\s*({_UNIT})$", 1).fill_null("")
        )
        bodies = plain.str.replace(rf"^([-+]?)\s*(?:{_UNIT})\s*([-+]?\s*[\d.,].*)$", "${1}${2}")
        bodies = bodies.str.replace(rf"^(.*[\d.,])\s*(?:{_UNIT})$", "${1}").str.replace(r"^([-+])\s+", "${1}")
        suffixes = suffixes_of(bodies)
        bare = bodies.str.contains(_BARE)
        with_suffix = suffixes.drop_nulls()
        if with_suffix.n_unique() == 1 and (bare | suffixes.is_not_null()).all() and len(with_suffix) > bare.sum():
            return cls(bodies.str.replace(_SUFFIXED, "${1}"), suffixes.fill_null(units))
        return cls(bodies, units.replace(_UNITS))


_BARE = rf"^[-+]?[\d.,'’ ]*\d[.,]?{_EXPONENT}$"
_SUFFIXED = r"^([-+]?[\d.,'’ ]*\d[.,]?)\s*([^\d\s.,'’+\-^:/()~][^\s~]{0,11})$"


def suffixes_of(cells: pl.Series) -> pl.Series:
    """What follows the number in each cell, such as kg; null where nothing or more does, or the cell is no number.

    >>> suffixes_of(pl.Series(["12 kg", "1e5", "3F", "B2", "5-7"])).to_list()
    ['kg', None, 'F', None, None]
    """
    return _where(cells.str.contains(_BARE), None, cells.str.extract(_SUFFIXED, 2))


class Between(NamedTuple):
    """What stands before and behind the numbers of a column, and the numbers, as texts; null where one does not."""

    before: str
    behind: str
    numbers: pl.Series


def numbers_between(cells: pl.Series) -> Between | None:
    """The numbers that stand between the same words, as in 築5年; None where there are not two or more of them.

    >>> numbers_between(pl.Series(["築5年", "築12年", "新築"]))[:2]
    ('築', '年')
    >>> numbers_between(pl.Series(["Q1", "Q2"])) is None
    True
    """
    parts = cells.str.extract_groups(r"^([^\d.,+-]*[^\d\s.,+-])\s*(\d[\d.,]*)\s*([^\d\s.,+-][^\d]*)$")
    before, numbers, behind = parts.struct.unnest().get_columns()
    words = pl.DataFrame([before.alias("before"), behind.alias("behind")]).drop_nulls().unique()
    if len(words) != 1 or numbers.n_unique() - (numbers.null_count() > 0) < 2:
        return None
    return Between(words["before"][0], words["behind"][0], numbers)


def narrow(cells: pl.Series) -> pl.Series:
    """The cells with the narrow forms of full-width digits, letters and signs, without characters of no width."""
    if cells.str.contains(r"[^\x00-\x7f]").any():
        # NFKC would also turn ½ and ² into digits.
        cells = cells.str.replace_many(_WIDE, _NARROW)
    return cells.str.strip_chars()


_WIDE = [*map(chr, range(0xFF01, 0xFF5F)), *"−￥　\u00a0\u202f\u200b\ufeff"]
_NARROW = [*map(chr, range(0x21, 0x7F)), "-", "¥", " ", " ", " ", "", ""]


def unit_named(text: str) -> str:
    """What a unit is called where a line of its own has it, as cells have it.

    >>> unit_named("（円）"), unit_named("％"), unit_named("[m2]")
    ('¥', '%', 'm2')
    """
    plain = text.translate(_NARROWED).strip()
    within = re.fullmatch(r"[(\[](.+)[)\]]", plain)
    unit = within[1].strip() if within else plain
    return _UNITS.get(unit, unit)


_NARROWED = str.maketrans(dict(zip(_WIDE, _NARROW, strict=True)))


def parse(bodies: pl.Series, decimal: Mark | None, groups: str) -> pl.Series:
    """The cells as whole numbers where all are, else as numbers; what is none becomes null.

    Without a decimal mark both count as one; any of ``groups`` may separate thousands, and Indian hundreds.

    >>> parse(pl.Series(["1,234", "56"]), ".", ",").to_list()
    [1234, 56]
    >>> parse(pl.Series(["1.234,5", "12.34"]), ",", ".").to_list()
    [1234.5, None]
    """
    number = bodies
    if groups:
        which = "[" + "".join(rf"\{group}" if group in ".'" else group for group in groups) + "]"
        end = rf"(?:\{decimal or '.'}\d*)?{_EXPONENT}$"
        valid = rf"^[-+]?(?:[1-9]\d{{0,2}}(?:{which}\d{{3}})+|[1-9]\d?(?:{which}\d{{2}})+{which}\d{{3}}){end}"
        number = _where(bodies.str.contains(valid), bodies.str.replace_all(which, ""), bodies)
    if decimal != ".":
        if decimal == ",":
            number = _where(number.str.contains(".", literal=True), None, number)
        number = number.str.replace(",", ".", literal=True)
    return narrowest(number)


def narrowest(number: pl.Series) -> pl.Series:
    """Texts as whole numbers where all of them are, else as numbers, null where one is none."""
    whole = number.cast(pl.Int64, strict=False)
    return whole if whole.null_count() == number.null_count() else number.cast(pl.Float64, strict=False)


def _where(condition: pl.Series, then: pl.Series | None, otherwise: pl.Series) -> pl.Series:
    return pl.select(pl.when(condition).then(pl.lit(then)).otherwise(otherwise)).to_series().alias(otherwise.name)


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
    dots = pl.col(_columns_where(cells, certain)).str.replace(",", ".", literal=True).cast(pl.Float64)
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
    dotted, unclear = pl.all().str.contains(".", literal=True), pl.all().str.contains(_patterns(".")[2])
    certain = _columns_where(cells, (dotted & ~unclear).any())
    return Dots(certain, _columns_where(cells.drop(certain), dotted.any()))


def _columns_where(cells: pl.DataFrame, condition: pl.Expr) -> list[str]:
    return [name for name, yes in zip(cells.columns, _row(cells.select(condition)), strict=True) if yes]


def _row(frame: pl.DataFrame) -> tuple[Any, ...]:
    return frame.row(0) if frame.width and len(frame) else ()
