"""Columns that are odd: stand-ins for no value, outliers, identifiers, copies, columns that hardly vary."""

import re
from collections.abc import Collection, Mapping
from itertools import takewhile

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from nucleate._wording import name_columns, name_rows
from nucleate.problems.checks import Kind, leave_out, merged_number, missing, numbers_in, rounded_number
from nucleate.problems.leaks import copies_of_amounts, numbers_that_tell, texts_that_tell
from nucleate.problems.notices import FEW_ROWS, Notice, Numbers, categories_of, centered, plain_number
from nucleate.tables.spellings import summary_in

_FAR, _ALONE = 100.0, 10.0
"""An outlier is so many typical deviations from the median, and so many times farther than the next value."""
_COPY = 1e-7
_SHOWN = 3

_LIMITS = {2.0**15 - 1, -(2.0**15), 2.0**16 - 1, 2.0**31 - 1, -(2.0**31), 2.0**32 - 1, 2.0**63, -(2.0**63)}
_LIMITS |= {sign * float(np.finfo(np.float32).max) for sign in (1, -1)}
_IDENTIFIER = re.compile(
    r"(?i:(?:^|[\W_])(?:id|ids|no|nr|uid|uuid|guid|serial|identifier)(?:$|[\W_]|\d)|^(?:index|idx|key)$)|[a-z]I[dD]$"
    r"|番号|連番|通番|識別|コード|№|(?:^|[^a-zA-Z])(?:ID|ＩＤ)(?:$|[^a-zA-Z])"
)

_LAST = 3
"""So many rows at the end may be totals and means."""


def notices_of(table: pl.DataFrame, inputs: Mapping[str, Kind], targets: Mapping[str, Kind]) -> list[Notice]:
    """What is odd about the columns of a table as it was read, whose rows are those of a person's file.

    Of constant columns only those are said that rounding has made so.
    """
    kinds, schema = {**inputs, **targets}, table.schema
    amounts = [name for name, kind in kinds.items() if kind == "numeric" and schema[name].is_numeric()]
    texts = [name for name, kind in inputs.items() if kind == "categorical"]
    found: list[Notice] = []
    of_inputs = [name for name in amounts if name in inputs]
    totals, at_end = _totals(table.select(texts), table.select(amounts))
    # What is far from the rest because it is its sum is said once.
    body = table[: len(table) - at_end] if at_end else table
    if amounts:
        numbers = Numbers.of(table.select(amounts))
        apart = Numbers.of(body.select(amounts)) if at_end else numbers
        stand_ins = _stand_ins(apart)
        found += stand_ins
        found += _outliers(apart, {notice.column for notice in stand_ins})
        found += _rounded(table.select(amounts), inputs)
        among_inputs = numbers.only(of_inputs)
        found += _identifiers(among_inputs)
        found += _nearly_constant(among_inputs)
        found += _same_numbers(among_inputs)
    for target, kind in targets.items():
        if kind == "constant":
            continue
        gaps = missing(body.select(target))[:, 0]
        rows = body.filter(~gaps) if gaps.any() else body
        if of_inputs:
            numbers = among_inputs if rows is table else Numbers.of(rows.select(of_inputs))
            tell = copies_of_amounts if kind == "numeric" else numbers_that_tell
            found += tell(numbers, rows[target])
        found += texts_that_tell(rows.select(texts), rows[target], kind)
    constant = [name for name, kind in inputs.items() if kind == "constant"]
    return found + _merged(table.select(constant)) + _texts_alone(table.select(texts)) + totals


def _stand_ins(numbers: Numbers) -> list[Notice]:
    """Values such as -999 that may stand for no value."""
    lowest, highest = numbers.quantile(0), numbers.quantile(1)
    gap = np.fmax.reduce(np.diff(numbers.sorted, axis=1), axis=1)
    found = []
    negative = (lowest < 0) & (lowest == np.floor(lowest)) & (numbers.quantile(0.5) >= 0)
    for place in np.flatnonzero((gap > (highest - lowest) / 4) | negative):
        known = numbers.known(place)
        codes, rest = _codes(known)
        if codes:
            name = numbers.names[place]
            rows = np.isin(numbers.values[place], codes)
            shown = [_exact(code) for code in sorted(codes)]
            rest_is = f"{plain_number(rest[0])} to {plain_number(rest[-1])}"
            seen = f"has {' and '.join(shown[:_SHOWN])} in {name_rows(rows)}, far from the rest ({rest_is})"
            remedy = f"If that stands for no value, pass --missing {','.join(shown)}, or delete it there."
            found.append(Notice.of("stand-in", name, f"{seen}. {remedy}"))
    return found


def _codes(known: Float[np.ndarray, " m"]) -> tuple[list[float], Float[np.ndarray, " r"]]:
    """Values at either end that look like codes, and the distinct values between."""
    distinct, sizes = np.unique(known, return_counts=True)
    codes: list[float] = []
    found = True
    while found:
        found = False
        for low in (True, False):
            for many in range(1, 4):
                ends, rest = (slice(many), slice(many, None)) if low else (slice(-many, None), slice(-many))
                if len(distinct[rest]) >= 3 and _is_code(distinct[ends], sizes[ends], distinct[rest]):
                    codes += distinct[ends].tolist()
                    distinct, sizes, found = distinct[rest], sizes[rest], True
                    break
    return codes, distinct


def _is_code(ends: Float[np.ndarray, " e"], sizes: Int[np.ndarray, " e"], rest: Float[np.ndarray, " r"]) -> bool:
    spread, low = rest[-1] - rest[0], ends[0] < rest[0]
    distance = rest[0] - ends[-1] if low else ends[0] - rest[-1]
    repeated = bool(sizes.min() >= 2)
    if all(_looks_made_up(end) for end in ends):
        if low and rest[0] >= 0 and (repeated or distance > spread):
            return True
        if distance > (spread / 2 if repeated else spread):
            return True
    return len(ends) == 1 and repeated and len(rest) >= 8 and bool(distance > 5 * spread)


def _looks_made_up(value: float) -> bool:
    """Nines and the like, limits of computers' numbers, and round huge numbers.

    >>> [_looks_made_up(value) for value in (-999.0, 9998.0, -9.0, 1e20, 32767.0, -99.9, 99.0, 1000.0)]
    [True, True, True, True, True, True, False, False]
    """
    size = abs(value)
    if value in _LIMITS or (size >= 1e6 and np.isclose(np.log10(size), round(np.log10(size)), rtol=0, atol=1e-12)):
        return True
    digits = f"{size:.6f}".rstrip("0").replace(".", "") if size < 1e15 else f"{size:.0f}"
    few = 1 if value < 0 and size == int(size) else 3
    nines = digits[:-1].strip("9") == "" and digits[-1] in ("6789" if len(digits) >= 3 else "9")
    return len(digits) >= few and (nines or (len(digits) >= 3 and len(set(digits)) == 1 and digits[0] in "78"))


def _exact(value: float) -> str:
    plain = plain_number(value)
    return plain if float(plain) == value else repr(float(value))


def _outliers(numbers: Numbers, aside: set[str]) -> list[Notice]:
    middle = numbers.quantile(0.5)
    width = numbers.quantile(0.75) - numbers.quantile(0.25)
    farthest = np.maximum(numbers.quantile(1) - middle, middle - numbers.quantile(0))
    found = []
    for place in np.flatnonzero(farthest > _FAR / 4 * width):
        name, values = numbers.names[place], numbers.values[place]
        deviations = np.abs(values - middle[place])
        moved = np.sort(deviations[deviations > 0])
        if name in aside or len(moved) < FEW_ROWS:
            continue
        typical, most = np.median(moved), max(3, len(moved) // 100)
        far = [k for k in range(1, most + 1) if moved[-k] > max(_FAR * typical, _ALONE * moved[-k - 1])]
        if far:
            rows = deviations >= moved[-far[-1]]
            value = plain_number(values[rows][np.argmax(deviations[rows])])
            rest = numbers.known(place)[~np.isin(numbers.known(place), values[rows])]
            rest_is = f"from {plain_number(rest[0])} to {plain_number(rest[-1])}"
            seen = f"has {value} in {name_rows(rows)}, where the rest is {rest_is}"
            remedy = "Correct it if it is an error: standardization presses the rest together."
            found.append(Notice.of("outlier", name, f"{seen}. {remedy}"))
    return found


def _rounded(amounts: pl.DataFrame, inputs: Collection[str]) -> list[Notice]:
    """Whole numbers that have more digits than float64; of the inputs with what may be done."""
    found = []
    for column in amounts.iter_columns():
        value = rounded_number(column)
        if value is not None:
            said = f"{_has_rounded(column.name, value)}."
            if column.name in inputs:
                said += f" If it only names rows, {leave_out(column.name)}"
            found.append(Notice("rounded", column.name, said))
    return found


def _merged(constant: pl.DataFrame) -> list[Notice]:
    """Different whole numbers that are one in float64."""
    why = "and then one number on the training rows, of which nothing is learned."
    remedy = "If they are amounts, subtract what they have in common."
    return [
        Notice("rounded", column.name, f"{_has_rounded(column.name, value)} {why} {remedy}")
        for column in constant.iter_columns()
        if (value := merged_number(column)) is not None
    ]


def _has_rounded(name: str, value: int) -> str:
    whole = f"Column {name!r} has whole numbers of more than 15 digits, such as {value}"
    return f"{whole}, which are rounded ({int(float(value))})"


def _identifiers(numbers: Numbers) -> list[Notice]:
    whole = np.all((numbers.sorted == np.floor(numbers.sorted)) | np.isnan(numbers.sorted), axis=1)
    distinct = numbers.distinct
    span = numbers.quantile(1) - numbers.quantile(0)
    found = []
    for place in np.flatnonzero(whole & (numbers.counts >= FEW_ROWS)):
        name, rows = numbers.names[place], numbers.counts[place]
        ends = f"{plain_number(numbers.known(place)[0])} to {plain_number(numbers.known(place)[-1])}"
        if distinct[place] == rows and span[place] == rows - 1:
            seen = f"has each whole number from {ends} once, as numbers of rows do"
        elif distinct[place] > rows / 2 and _IDENTIFIER.search(name):
            seen = f"has {distinct[place]} different whole numbers in {rows} rows, and a name as identifiers have"
        else:
            continue
        found.append(Notice.of("identifier", name, f"{seen}. If it only names rows, {leave_out(name)}"))
    return found


def _nearly_constant(numbers: Numbers) -> list[Notice]:
    usual = numbers.quantile(0.5)
    same = (numbers.values == usual[:, None]).sum(axis=1)
    others, found = numbers.counts - same, []
    for place in np.flatnonzero((others > 0) & (others <= _few(numbers.values.shape[1]))):
        name, values = numbers.names[place], numbers.values[place]
        found.append(_hardly_varies(name, plain_number(usual[place]), ~np.isnan(values) & (values != usual[place])))
    return found


def _few(rows: int) -> int:
    """In how many of so many rows a column that hardly varies has other values."""
    return max(1, rows // 200) if rows >= 20 else 0


def _hardly_varies(name: str, usual: str, others: Bool[np.ndarray, " n"]) -> Notice:
    return Notice.of("nearly constant", name, f"is {usual} in every row but for {name_rows(others)}.")


def _same_numbers(numbers: Numbers) -> list[Notice]:
    """Columns that are copies of an earlier one, up to their unit."""
    if len(numbers.names) < 2:
        return []
    gaps = np.isnan(numbers.values)
    moved = centered(numbers.values, gaps)
    sizes = np.sqrt((moved**2).mean(axis=1, keepdims=True))
    # A gap is a value like no other.
    units = np.where(gaps, 1e3, moved / np.where(sizes > 1e-12, sizes, np.inf))
    keys = np.abs(units @ np.random.default_rng(0).standard_normal(units.shape[1]))
    order, found = np.argsort(keys, kind="stable"), []
    near = np.flatnonzero(np.diff(keys[order]) <= _COPY * (1 + keys[order][:-1]))
    for at in near:
        first, second = sorted((order[at], order[at + 1]))
        signs = (1, -1) if not gaps[first].any() else (1,)
        if sizes[first] > 0 and min(np.abs(units[first] - sign * units[second]).max() for sign in signs) < _COPY:
            found.append((second, first))
    return [_same(numbers.names[second], numbers.names[first]) for second, first in sorted(found)]


def _same(name: str, other: str) -> Notice:
    seen = f"says the same as column {other!r} in every row"
    return Notice.of("copy", name, f"{seen}. One of them is enough, {leave_out(name)}")


def _totals(texts: pl.DataFrame, amounts: pl.DataFrame) -> tuple[list[Notice], int]:
    """Rows at the end that say that they are totals or means, or one whose every number is the sum of those above.

    And how many rows that is about.
    """
    advice = "Delete it if it is a {}: it would be learned as a row like the others."
    for column in texts.iter_columns():
        last = column.tail(_LAST).to_list()[::-1]
        told_once = {text for text in last if isinstance(text, str) and summary_in(text) and column.eq(text).sum() == 1}
        sums = list(takewhile(told_once.__contains__, last))
        if sums:
            quoted = " and ".join(repr(" ".join(text.split())) for text in sums[::-1])
            which = "The last row has" if len(sums) == 1 else f"The last {len(sums)} rows have"
            told = advice.format(summary_in(sums[0])) if len(sums) == 1 else "Delete them if they sum up those above."
            return [Notice("total", column.name, f"{which} {quoted} in column {column.name!r}. {told}")], len(sums)
    if not amounts.width or len(amounts) < 4:
        return [], 0
    values = numbers_in(amounts)
    above, last_row = np.nan_to_num(values[:, :-1]), values[:, -1]
    are_sums = np.abs(last_row - above.sum(axis=1)) <= _COPY * np.abs(above).sum(axis=1)
    # Of a column with one number or two that are not zero, the last is easily their sum.
    if not are_sums.all() or np.count_nonzero(above, axis=1).max() < 3:
        return [], 0
    columns = name_columns(amounts.columns)
    whose = f"In the last row the number of every column of numbers ({columns}) is the sum of those above. "
    return [Notice("total", amounts.columns[0], whose + advice.format("total"))], 1


def _texts_alone(texts: pl.DataFrame) -> list[Notice]:
    n, found = len(texts), []
    seen: dict[bytes, str] = {}
    for column in texts.iter_columns():
        codes, name = categories_of(column), column.name
        sizes = np.bincount(codes)
        first = seen.setdefault(codes.tobytes(), name)
        if first != name:
            found.append(_same(name, first))
        if 0 < n - sizes.max() <= _few(n):
            found.append(
                _hardly_varies(name, repr(column[int(np.argmax(codes == sizes.argmax()))]), codes != sizes.argmax())
            )
        if len(sizes) > 10 and n < 5 * len(sizes):
            said = f"has {len(sizes)} categories in {n} rows, so few rows each. Group them, or {leave_out(name)}"
            found.append(Notice.of("many categories", name, said))
    return found
