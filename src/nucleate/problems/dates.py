"""Dates and times as people write them, also in Japan."""

import polars as pl

from nucleate._wording import name_rows
from nucleate.errors import DataError

_TIME = r"(?:[T\s]*(?P<hour>\d{1,2})[:時](?P<minute>\d{1,2})(?:[:分](?P<second>\d{1,2}(?:\.\d+)?)?)?秒?)?"
_WEEKDAY = r"(?:\s*[(（][^()（）]{1,3}[)）])?"
_YEAR_FIRST = (
    r"^(?P<era>明治|大正|昭和|平成|令和|[MTSHR])?(?P<year>\d{1,4}|元)\s*[-/.年]\s*(?P<month>\d{1,2})"
    rf"(?:\s*[-/.月]\s*(?P<day>\d{{1,2}})\s*日?|月){_WEEKDAY}{_TIME}$"
)
_YEAR_LAST = rf"^(?P<first>\d{{1,2}})[-/.](?P<second_part>\d{{1,2}})[-/.](?P<year>\d{{4}}){_WEEKDAY}{_TIME}$"
_ERAS = {"明治": 1867, "大正": 1911, "昭和": 1925, "平成": 1988, "令和": 2018}
_ERAS |= dict(zip("MTSHR", _ERAS.values(), strict=True))

DATE = (
    r"^(?:(?:明治|大正|昭和|平成|令和|[MTSHR])(?:\d{1,2}|元)|\d{4})\s*[-/.年]\s*\d{1,2}(?:\s*[-/.月]\s*\d{1,2}\s*日?|月)"
    rf"{_WEEKDAY}{_TIME.replace('?P<hour>', '').replace('?P<minute>', '').replace('?P<second>', '')}$"
    rf"|{_YEAR_LAST.replace('?P<first>', '').replace('?P<second_part>', '').replace('?P<year>', '')}".replace(
        "?P<hour>", ""
    )
    .replace("?P<minute>", "")
    .replace("?P<second>", "")
)
"""What a date looks like."""


def dates_in(cells: pl.Series, source: object) -> pl.Series:
    """The dates in a column, with times where any cell has one; null where a cell is no date.

    >>> dates_in(pl.Series(["令和6年1月2日", "2024/1/3"]), "data.csv").to_list()
    [datetime.date(2024, 1, 2), datetime.date(2024, 1, 3)]

    Raises
    ------
    DataError
        If days and months cannot be told apart.
    """
    first = cells.str.extract_groups(_YEAR_FIRST).struct.unnest()
    last = cells.str.extract_groups(_YEAR_LAST).struct.unnest()
    day_first = _day_first(cells, last, source)
    day, month = ("first", "second_part") if day_first else ("second_part", "first")
    era = first["era"].replace_strict(_ERAS, default=0, return_dtype=pl.Int32).fill_null(0)
    year = first["year"].replace({"元": "1"}).cast(pl.Int32) + era
    parts = pl.DataFrame(
        {
            "year": year.fill_null(last["year"].cast(pl.Int32)),
            "month": first["month"].fill_null(last[month]).cast(pl.Int32),
            "day": first["day"].fill_null(last[day]).cast(pl.Int32).fill_null(1),
            "hour": first["hour"].fill_null(last["hour"]).cast(pl.Int32),
            "minute": first["minute"].fill_null(last["minute"]).cast(pl.Int32),
            "second": first["second"].fill_null(last["second"]).cast(pl.Float64),
        }
    )
    text = parts.select(
        pl.format("{}-{}-{} {}:{}:{}", *(pl.col(name).fill_null(0).cast(pl.Int64) for name in parts.columns)).alias(
            cells.name
        )
    ).to_series()
    text = text.set(parts["month"].is_null(), None)
    milliseconds = ((parts["second"].fill_null(0) % 1) * 1000).round().cast(pl.Int64)
    moments = text.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False) + milliseconds.cast(pl.Duration("ms"))
    return moments if parts["hour"].is_not_null().any() else moments.cast(pl.Date)


def _day_first(cells: pl.Series, last: pl.DataFrame, source: object) -> bool:
    one, two = (last[name].cast(pl.Int32) for name in ("first", "second_part"))
    if one.null_count() == len(one):
        return True
    day_first, month_first = bool((one > 12).any()), bool((two > 12).any())
    if day_first == month_first:
        rows = one.is_not_null()
        raise DataError(
            f"Column {cells.name!r} of {source} has dates such as {cells.filter(rows)[0]!r} "
            f"({name_rows(rows.to_numpy())}), of which the day and the month cannot be told apart; write them as "
            "2024-12-31."
        )
    return day_first
