"""Names above columns: the header line found, also below a title, and what is no data left out: units, remarks."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from nucleate._wording import count, listed, name_columns, name_left_out
from nucleate.errors import DataError
from nucleate.tables.cells import AMONG_NUMBERS
from nucleate.tables.numbers import unit_named
from nucleate.tables.text import NUMBER, is_number, is_remark

_INDEX = r"Unnamed: \d+|__index_level_\d+__"
"""What pandas calls a column of row numbers."""
_TOP = 20
"""A header line is sought in so many lines."""


class Headed(NamedTuple):
    """The rows below a header under its names; the units that a line below it names; and notes on what is left out."""

    rows: pl.DataFrame
    units: dict[str, str]
    notes: list[str]


def with_header(path: Path, cells: pl.DataFrame) -> Headed:
    """The rows of a file under its names, without an index, an empty column, a line of units, or remarks below."""
    top = [[(cell or "").strip() for cell in row] for row in cells.head(_TOP).iter_rows()]
    header, notes = _header_of(top)
    names, below = top[header], header + 1
    if (of_both := _names_of_two_lines(top[header:])) is not None:
        names, below = of_both, below + 1
        notes.append(f"The names stand in two lines, with merged cells in the upper one: {listed(names)}.")
    if re.match(r"#\s+\S", names[0]):
        names = [names[0].lstrip("# "), *names[1:]]
        notes.append("Left out the # before the first name.")
    broken = [" ".join(name.split()) for name in names if "\n" in name]
    if broken:
        notes.append(f"The name of {name_columns(broken)} is written over several lines; they were joined.")
    names = [" ".join(name.split()) for name in names]
    units: dict[str, str] = {}
    if _has_units(top[below:]):
        units = {name: unit_named(cell) for name, cell in zip(names, top[below], strict=True) if _says(cell)}
        told = listed(f"{name} {cell}" for name, cell in zip(names, top[below], strict=True) if _says(cell))
        notes.append(f"Left out the line of units below the names: {told}.")
        below += 1
    rows, remarks = _without_remarks(cells.slice(below))
    if remarks:
        notes.append(f"Left out {count(len(remarks), 'remark')} below the rows: {listed(map(repr, remarks))}.")
    kept = []
    for place, name in enumerate(names):
        column = rows[:, place].str.strip_chars() if not name or re.fullmatch(_INDEX, name) else None
        if column is not None and not name and (column.fill_null("") == "").all():
            notes.append(f"Left out column {place + 1}, which has neither a name nor values.")
        elif column is not None and place == 0 and numbers_rows(column):
            notes.append("Left out the first column, which only numbers the rows.")
        else:
            kept.append(place)
    if len(kept) < len(names):
        rows, names = rows[:, kept], [names[place] for place in kept]
    _check_names(path, names, rows)
    if names == [str(number) for number in range(len(names))]:
        notes.append(f"The columns of {path} are named 0 to {len(names) - 1}, after its first line.")
    rows.columns = names
    if len(names) > 1 and (rows[names[0]].str.strip_chars() == names[0]).any():
        is_name = [pl.col(name).fill_null("").str.strip_chars() == name for name in names]
        again = rows.select(pl.all_horizontal(is_name)).to_series()
        if again.any():
            where = name_left_out(again.to_numpy())
            notes.append(f"Left out {count(int(again.sum()), 'row')} in which the names come again ({where}).")
            rows = rows.filter(~again)
    return Headed(rows, units, notes)


def _without_remarks(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The rows without the remarks at their end, and what these begin with."""
    remarks: list[str] = []
    last = len(rows)
    while last and (is_remark(line := [(cell or "").strip() for cell in rows.row(last - 1)]) or not any(line)):
        remarks += [" ".join(cell.split())[:60] for cell in line if cell]
        last -= 1
    # Of a single column each row would look like one.
    return (rows.head(last), remarks[::-1]) if remarks and rows.width > 1 else (rows, [])


def _says(cell: str) -> bool:
    """Whether a cell is neither empty nor a dash or the like."""
    unit = unit_named(cell).lower()
    return bool(unit) and unit not in AMONG_NUMBERS


def _has_units(lines: Sequence[Sequence[str]]) -> bool:
    """Whether the first of the lines has units and nothing else: texts over numbers, gaps or dashes over others."""
    if len(lines) < 2:
        return False
    found = False
    for place, cell in enumerate(lines[0]):
        if _says(cell):
            found = True
            if not _is_unit(cell, [line[place] for line in lines[1:]]):
                return False
    return found


def _is_unit(cell: str, below: list[str]) -> bool:
    """Whether a cell without digits, but for an exponent, is over cells that begin with some, and is none of them."""
    if re.search(r"\d", re.sub(r"(?<=[^\W\d_])\^?[-−]?[1-4](?!\d)", "", unit_named(cell))):
        return False
    values = list(filter(None, below))
    return 2 * sum(bool(re.match(r"\W*\d", one)) for one in values) > len(values) and not _is_value(cell, below)


def _header_of(top: list[list[str]]) -> tuple[int, list[str]]:
    """Which line has the names, and a note on those above it."""
    used = [place for place in range(len(top[0])) if any(row[place] for row in top)]
    filled = [sum(map(bool, row)) for row in top]
    header = 0
    while header < len(top) - 1 and filled[header] == 0:
        header += 1
    # A title has one cell, where a table has three columns or more; names above texts alone would be lost for it.
    fuller = next((place for place in range(header, len(top)) if filled[place] > 1), header)
    has_numbers = any(is_number(cell) for row in top[fuller + 1 :] for cell in row)
    if len(used) > 2 and has_numbers and not all(map(is_number, filter(None, top[fuller]))):
        header = fuller
    if filled[header] < len(used) or top[header][0].startswith("#"):
        for place in range(header + 1, len(top) - 1):
            names, *below = ([row[column] for column in used] for row in top[place:])
            is_comment = names[0].startswith("#")
            is_above = any(map(is_number, below[0])) or _has_units(below)
            if all(names) and not is_comment and not any(map(is_number, names)) and is_above:
                header = place
            if all(names):
                break
    above = [" ".join(filter(None, row)) for row in top[:header]]
    first = next(filter(None, above), "")
    return header, [f"Left out {count(header, 'line')} above the header line: {first[:60]!r}."] if first else []


def _names_of_two_lines(top: list[list[str]]) -> list[str] | None:
    """Names where cells of the first line are merged: with those at their right, above names of their own, or downward.

    Such a second line has a name under each cell that is merged to the right, none under one that is merged downward.
    """
    if len(top) < 3:
        return None
    upper, lower = top[:2]
    used = [place for place in range(len(upper)) if any(row[place] for row in top)]
    gaps = [place for place in used if not upper[place]]
    is_whole = all(upper[place] or lower[place] for place in used)
    if not gaps or not used or not upper[used[0]] or not is_whole or all(lower[place] for place in used):
        return None
    below = [[row[place] for row in top[2:]] for place in range(len(upper))]
    if not any(is_number(cell) for cells in below for cell in cells) or any(map(_is_value, lower, below)):
        return None
    above, groups = "", []
    for place in range(len(upper)):
        above = upper[place] or (above if place in used else "")
        groups.append(above)
    repeated = Counter(filter(None, lower))
    names = []
    for place, (group, name) in enumerate(zip(groups, lower, strict=True)):
        is_alone = upper[place] and (place + 1 not in used or upper[place + 1])
        is_unit = name[:1] in tuple("(（[［")
        joined = f"{group}{'' if is_unit else ' '}{name}"
        names.append(group if not name else joined if is_alone or is_unit or repeated[name] > 1 else name)
    return names


def _is_value(cell: str, below: list[str]) -> bool:
    """Whether a cell is one of the values below it: a number, a text that comes again, or in the form of another."""
    if not cell or is_number(cell):
        return bool(cell)
    forms = [re.sub(NUMBER, "0", one) for one in (cell, *below)]
    return cell in below or (forms[0] != cell and forms[0] in forms[1:])


def numbers_rows(values: pl.Series) -> bool:
    """Whether a column only counts the rows, from 0 or 1."""
    numbers = values.cast(pl.Int64, strict=False)
    return len(numbers) > 1 and numbers[0] in (0, 1) and bool((numbers.diff(null_behavior="drop") == 1).all())


def _check_names(path: Path, names: list[str], rows: pl.DataFrame) -> None:
    if "" in names:
        raise DataError(
            f"Column {names.index('') + 1} of {path} has no name. Name it in the header line, or delete it if it only "
            "numbers the rows."
        )
    numbers = [name for name in names if is_number(name)]
    counted = [str(number) for number in range(len(names))]
    if numbers and names not in (counted, [str(int(number) + 1) for number in counted]):
        texts = [place for place, name in enumerate(names) if not is_number(name)]
        if not any(_is_heading(names[place], rows[:, place]) for place in texts):
            raise DataError(
                f"The first line of {path} holds the number {numbers[0]}; add a header line that names the columns."
            )
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise DataError(f"The file {path} has {name_columns(repeated)} more than once; give each column its own name.")


def _is_heading(name: str, below: pl.Series) -> bool:
    """Whether a text is over a column of another kind: of numbers, or of texts that repeat without it."""
    values = below.str.strip_chars()
    if bool(values.str.contains(f"^{NUMBER}$").sum() > len(values) / 2):
        return True
    return name not in values and values.n_unique() <= len(values) / 2
