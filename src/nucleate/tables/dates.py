"""Dates and times as people write them, also in Japan."""

from typing import Literal, NamedTuple

import polars as pl

from nucleate._wording import name_rows
from nucleate.errors import DataError
from nucleate.tables.numbers import narrow

Order = Literal["day-first", "month-first"]
"""Which of 1/2/2024 is the day."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?P<name>(?i:{'|'.join(_MONTHS)}))[a-zA-Z]*\.?"
_ERAS = {"明治": 1867, "大正": 1911, "昭和": 1925, "平成": 1988, "令和": 2018}
_ERAS |= dict(zip("MTSHR", _ERAS.values(), strict=True))
_ERA = rf"(?P<era>{'|'.join(_ERAS)})\.?\s*(?P<of_era>\d{{1,2}}|元)"
_DAYS = (
    rf"^(?:{_ERA}|(?P<year>\d{{4}}))\s*[-/.年]\s*(?P<month>\d{{1,2}})(?:\s*[-/.月]\s*(?P<day>\d{{1,2}})\s*日?|月)"
    r"(?P<rest>.*)$",
    r"^(?P<year>(?:19|20)\d\d)[-/](?P<month>0[1-9]|1[0-2])(?P<rest>)$",
    r"^(?P<one>\d{1,2})(?P<mark>[-/.])(?P<two>\d{1,2})[-/.](?P<year>\d{4})(?P<rest>.*)$",
    rf"^(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[-/.\s]*{_MONTH},?[-/.\s]*(?P<year>\d{{4}})(?P<rest>.*)$",
    rf"^{_MONTH}\s*(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}})(?P<rest>.*)$",
)
_CLOCK = (
    r"(?P<half>午前|午後)?\s*(?P<hour>\d{1,3})(?::(?P<minute>\d{2})(?::(?P<second>\d{2}(?:\.\d+)?))?"
    r"|時(?:\s*(?P<minutes>\d{1,2})分(?:\s*(?P<seconds>\d{1,2}(?:\.\d+)?)秒)?)?)\s*(?P<noon>(?i:[ap]\.?m\.?))?"
)
_ZONE = r"\s*(?P<zone>Z|UTC|[-+]\d{2}(?::?\d{2})?)?"
_WEEKDAY = r"\s*(?:\([^()]{1,3}\)|[月火水木金土日]曜日?)?"
_REST = rf"^{_WEEKDAY}[T\s]*(?:{_CLOCK}{_ZONE})?$"


class Dates(NamedTuple):
    """A column of dates, null where a cell is none; how its days and months were told apart; and notes."""

    values: pl.Series
    order: Order | None
    notes: list[str]


def look_like_dates(cells: pl.Series) -> pl.Series:
    """Where a cell is written as a date, whether or not there is such a day.

    >>> look_like_dates(pl.Series(["令和6年1月2日", "2024-01-02T12:30:00Z", "5 Jan 2024", "12.5"])).to_list()
    [True, True, True, False]
    """
    cells = narrow(cells)
    rest = _coalesced([_groups(cells, pattern)["rest"] for pattern in _DAYS])
    return rest.str.contains(_REST).fill_null(False)


def look_like_times(cells: pl.Series) -> pl.Series:
    """Where a cell is written as a time of day, or as hours, minutes and seconds.

    >>> look_like_times(pl.Series(["12:30", "午後1時5分", "3:1"])).to_list()
    [True, True, False]
    """
    return narrow(cells).str.contains(rf"^{_CLOCK}$")


def hours_in(cells: pl.Series) -> pl.Series:
    """Times as hours, null where a cell is none.

    >>> hours_in(pl.Series(["12:30", "1:30 PM", "36:00"])).to_list()
    [12.5, 13.5, 36.0]
    """
    return _seconds(_groups(narrow(cells), rf"^{_CLOCK}$")).alias(cells.name) / 3600


def dates_in(cells: pl.Series, source: object, order: Order | None = None) -> Dates:
    """The dates in a column, with times where any cell has one; without an order, that is told from the cells.

    >>> dates_in(pl.Series(["令和6年1月2日", "2024/1/3"]), "data.csv").values.to_list()
    [datetime.date(2024, 1, 2), datetime.date(2024, 1, 3)]
    """
    plain = narrow(cells)
    found = [_groups(plain, pattern) for pattern in _DAYS]
    era = found[0]["era"].replace_strict(_ERAS, default=None, return_dtype=pl.Int32)
    year = _coalesced([one["year"] for one in found]).cast(pl.Int32)
    last = found[2]
    order, notes = _told_order(cells, last, source) if order is None else (order, [])
    day, month = ("one", "two") if order == "day-first" else ("two", "one")
    names = _coalesced([found[3]["name"], found[4]["name"]]).str.to_lowercase()
    named = names.replace_strict({name: k + 1 for k, name in enumerate(_MONTHS)}, default=None, return_dtype=pl.Int32)
    months = _coalesced([found[0]["month"], found[1]["month"], last[month]]).cast(pl.Int32)
    days = _coalesced([found[0]["day"], last[day], found[3]["day"], found[4]["day"]]).cast(pl.Int32)
    parts = pl.DataFrame(
        {
            "year": year.fill_null(found[0]["of_era"].replace({"元": "1"}).cast(pl.Int32) + era),
            "month": months.fill_null(named),
            "day": days.fill_null(1),
        }
    )
    written = parts.select(pl.format("{}-{}-{}", "year", "month", "day")).to_series()
    midnights = written.str.to_date("%Y-%m-%d", strict=False).alias(cells.name)
    rest = _coalesced([one["rest"] for one in found])
    clocks = _groups(rest, _REST)
    midnights = midnights.set(~rest.str.contains(_REST).fill_null(False), None)
    if clocks["hour"].null_count() == len(clocks):
        return Dates(midnights, order, notes)
    seconds = _seconds(clocks)
    seconds = seconds.set((seconds > 86400).fill_null(False), None)
    bad = clocks["hour"].is_not_null() & seconds.is_null()
    seconds = seconds.fill_null(0) - _offset(cells, clocks, source)
    if clocks["zone"].is_not_null().any():
        notes.append(f"Column {cells.name!r} has time zones; its times were read in UTC.")
    if (seconds == 0).all():
        return Dates(midnights.set(bad, None), order, notes)
    moments = midnights.cast(pl.Datetime("us")) + (seconds * 1e6).round().cast(pl.Int64).cast(pl.Duration("us"))
    return Dates(moments.set(bad, None), order, notes)


def _groups(cells: pl.Series, pattern: str) -> pl.DataFrame:
    return cells.str.extract_groups(pattern).struct.unnest()


def _coalesced(columns: list[pl.Series]) -> pl.Series:
    return pl.select(pl.coalesce(columns)).to_series()


def _seconds(clocks: pl.DataFrame) -> pl.Series:
    """Seconds since midnight; null for more than 59 minutes or seconds, or more than 12 hours of half a day."""
    hours, halves = pl.col("hour").cast(pl.Float64), pl.coalesce("half", pl.col("noon").str.to_lowercase().str.head(1))
    minutes = pl.coalesce("minute", "minutes", pl.lit("0")).cast(pl.Float64)
    seconds = pl.coalesce("second", "seconds", pl.lit("0")).cast(pl.Float64)
    hours = (
        pl.when(halves.is_null())
        .then(hours)
        .when(hours <= 12)
        .then(hours % 12 + 12 * halves.is_in(["午後", "p"]).cast(pl.Float64))
    )
    return clocks.select(
        pl.when((minutes < 60) & (seconds < 61)).then(3600 * hours + 60 * minutes + seconds).alias("seconds")
    ).to_series()


def _offset(cells: pl.Series, clocks: pl.DataFrame, source: object) -> pl.Series:
    """The seconds that each cell's zone is ahead of UTC."""
    zone, has_clock = clocks["zone"], clocks["hour"].is_not_null()
    bare = has_clock & zone.is_null()
    if zone.is_not_null().any() and bare.any():
        raise DataError(
            f"Column {cells.name!r} of {source} has times with a zone, such as "
            f"{cells.filter(zone.is_not_null())[0]!r}, and without, such as {cells.filter(bare)[0]!r} "
            f"({name_rows(bare.to_numpy())}); write all of them alike."
        )
    digits = zone.str.replace(":", "", literal=True).str.extract_groups(r"^(?P<sign>[-+])(?P<h>\d{2})(?P<m>\d{2})?$")
    apart = digits.struct.unnest()
    return apart.select(
        (pl.col("h").cast(pl.Float64) * 3600 + pl.col("m").cast(pl.Float64).fill_null(0) * 60).fill_null(0)
        * pl.when(pl.col("sign") == "-").then(-1).otherwise(1)
    ).to_series()


def _told_order(cells: pl.Series, last: pl.DataFrame, source: object) -> tuple[Order | None, list[str]]:
    """Which part is the day where the year comes last."""
    one, two = (last[name].cast(pl.Int32) for name in ("one", "two"))
    rows = one.is_not_null()
    if not rows.any():
        return None, []
    first, second = (one > 12).fill_null(False), (two > 12).fill_null(False)
    if first.any() and second.any():
        raise DataError(
            f"Column {cells.name!r} of {source} has {cells.filter(first)[0]!r} ({name_rows(first.to_numpy())}) with "
            f"the day first and {cells.filter(second)[0]!r} ({name_rows(second.to_numpy())}) with the month first; "
            "write them as 2024-12-31."
        )
    if first.any() or second.any():
        return ("day-first" if first.any() else "month-first"), []
    example = cells.filter(rows)[0]
    if (last["mark"].filter(rows) == ".").all():
        note = f"Column {cells.name!r} has dates such as {example!r}, read with the day first"
        return "day-first", [f"{note}; --dates reads it otherwise."]
    raise DataError(
        f"Column {cells.name!r} of {source} has dates such as {example!r} ({name_rows(rows.to_numpy())}), of which the "
        "day and the month cannot be told apart; pass --dates day-first or --dates month-first (in Python "
        "dates='day-first' or dates='month-first')."
    )
