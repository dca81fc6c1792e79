"""How rows come into their parts: at random, by groups, by time, or as a person says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Int, Shaped

from nucleate._wording import count, listed, name_rows
from nucleate.errors import DataError
from nucleate.problems.checks import choose_column, missing, stripped
from nucleate.problems.notices import plain_number
from nucleate.problems.splitting import MIN_ROWS, Rows, Sizes, part_sizes, seeded, split_rows
from nucleate.tables.spellings import fold

OF_ROWS = ("split", "split_by", "split_by_time", "weights")
"""The arguments that name a column which says something of rows, and is no input."""
PARTS = ("train", "validation", "test")
_NAMES = ("training", "validation", "test")

_WORDS = {
    "train": "train training trn learn learning fit 学習 学習用 訓練 訓練用 学習データ 訓練データ トレーニング",
    "validation": "validation valid val validate dev development 検証 検証用 検証データ バリデーション",
    "test": "test testing tst holdout hold-out held-out heldout テスト テスト用 テストデータ 評価 評価用 評価データ",
}
_PART_OF = {fold(word): place for place, part in enumerate(PARTS) for word in _WORDS[part].split()}


@dataclass(frozen=True)
class Division:
    """How a problem's rows came into their parts; by default all of them at random.

    Parameters
    ----------
    own : tuple of {"validation", "test"}
        The parts whose rows a person chose.
    column : str or None
        The column that names each row's part, or that has its time.
    by_time : bool
        Whether parts follow each other in time, the test last.
    group_column : str or None
        The column of the groups, each of which is whole in one part.
    groups : tuple of int or None
        How many groups there are for training, validation and test.

    Examples
    --------
    >>> Division().dealt, Division(own=("validation",)).dealt, Division(own=("validation", "test")).dealt
    ('random', 'random', 'own')
    """

    own: tuple[Literal["validation", "test"], ...] = ()
    column: str | None = None
    by_time: bool = False
    group_column: str | None = None
    groups: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        # As JSON has them, they are lists.
        object.__setattr__(self, "own", tuple(self.own))
        object.__setattr__(self, "groups", None if self.groups is None else tuple(self.groups))

    @property
    def dealt(self) -> Literal["random", "time", "own"]:
        """How the test rows were held out, which decides what they say of new ones."""
        return "own" if "test" in self.own else "time" if self.by_time else "random"


AT_RANDOM = Division()
"""All rows were dealt out one by one."""
OWN = Division(("validation", "test"))
"""All parts are a person's own."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person says of the parts: shares of the rows or rows of one's own, and columns of the table that tell each
    row's part, its group or its time.
    """

    validation: Any = 0.2
    test: Any = 0.2
    split: str | None = None
    split_by: str | None = None
    split_by_time: str | None = None
    seed: int = 0

    @property
    def own(self) -> dict[str, Any]:
        """A person's own rows, by their part."""
        given = {part: getattr(self, part) for part in PARTS[1:]}
        return {part: one for part, one in given.items() if isinstance(one, bool) or not isinstance(one, int | float)}

    @property
    def shares(self) -> tuple[float | None, float | None]:
        """Those of the rows for validation and test, None for a part with rows of its own."""
        return (None if "validation" in self.own else self.validation, None if "test" in self.own else self.test)

    def check(self, columns: Sequence[str]) -> "Asked":
        """The same with the columns' names as they are written."""
        if self.split is not None and self.own:
            raise DataError("Each row's part is named by --split, and by rows of its own too; give one of them.")
        if self.split is not None and self.shares != (Asked.validation, Asked.test):
            raise DataError(
                "A column names each row's part, so --validation-fraction and --test-fraction (in Python validation "
                "and test) have no use; leave them out."
            )
        if self.split_by_time is not None and (self.split is not None or self.split_by is not None):
            other = "--split" if self.split is not None else "--split-by"
            raise DataError(f"Rows cannot be split by --split-by-time and by {other}; give one of them.")
        drawn = self.split is None and self.split_by_time is None and len(self.own) < 2
        if self.seed and not drawn:
            raise DataError(f"The split seed is {self.seed}, and nothing is drawn in this split; leave it out.")
        named: dict[str, Any] = {}
        for flag in ("split", "split_by", "split_by_time"):
            name = getattr(self, flag)
            if name is not None:
                named[flag] = choose_column(columns, name, f"--{flag.replace('_', '-')}")
        return replace(self, **named)

    def check_sizes(self, n: int) -> None:
        """Refuse too few rows to be dealt out one by one."""
        if (self.split, self.split_by, self.split_by_time) == (None, None, None):
            _sizes(n, *self.shares)

    def check_rows(self, table: pl.DataFrame) -> None:
        """Refuse rows of which the columns do not say where they belong."""
        for name in self.roles:
            gaps = missing(table.select(name))[:, 0]
            if gaps.any():
                raise DataError(
                    f"Column {name!r} has no value in {name_rows(gaps)}, so it is not known where these rows belong; "
                    "fill them, or delete these rows."
                )
        if self.split is not None:
            values = table[self.split].cast(pl.String).to_list()
            odd = np.array([fold(value) not in _PART_OF for value in values])
            if odd.any():
                raise DataError(
                    f"Column {self.split!r} has {values[int(np.argmax(odd))]!r} in {name_rows(odd)}; as --split it "
                    "must say train, validation or test in every row."
                )

    @property
    def roles(self) -> dict[str, str]:
        """What becomes of the columns that decide the parts, which are no inputs."""
        roles = {self.split_by: "groups of the split", self.split_by_time: "time of the split", self.split: "split"}
        return {name: role for name, role in roles.items() if name is not None}


class Divided(NamedTuple):
    """The rows of each part, the number of each row's group if there are groups, and notes."""

    rows: Rows
    division: Division
    groups: Int[np.ndarray, " n"] | None
    notes: list[str]


def divide(
    table: pl.DataFrame, source: Int[np.ndarray, " n"], asked: Asked, labels: Shaped[np.ndarray, " n"] | None
) -> Divided:
    """The parts of rows, by the columns that are asked for, all rows of which say where they belong.

    ``source`` is 0 for rows that are to be dealt out or are for training, 1 and 2 for a person's own for validation and
    test; ``labels`` are classes, each dealt out alike where rows are drawn one by one.
    """
    grouped = None if asked.split_by is None else table[asked.split_by]
    groups = None if grouped is None else _codes(grouped)
    if asked.split is not None:
        part = _named_parts(table[asked.split])
    else:
        part = source.copy()
        rows = np.flatnonzero(source == 0)
        shares = asked.shares
        if asked.split_by_time is not None:
            part[rows] = _by_time(table[asked.split_by_time][rows], shares)
        elif groups is not None:
            part[rows] = _by_groups(groups[rows], f"{asked.split_by!r}", shares, asked.seed)
        elif shares != (None, None):
            dealt = split_rows(_sizes(len(rows), *shares), asked.seed, None if labels is None else labels[rows])
            for place, of_part in enumerate(dealt):
                part[rows[of_part]] = place
    parts = Rows(*(np.flatnonzero(part == place) for place in range(3)))
    if grouped is not None and groups is not None:
        _refuse_torn_groups(grouped, groups, part)
    division = Division(
        OWN.own if asked.split is not None else tuple(asked.own),  # type: ignore[arg-type]
        asked.split or asked.split_by_time,
        asked.split_by_time is not None,
        asked.split_by,
        None if groups is None else tuple(len(np.unique(groups[rows])) for rows in parts),  # type: ignore[arg-type]
    )
    notes = [] if division == AT_RANDOM else [_said(division, parts, table)]
    return Divided(parts, division, groups, notes)


def _said(division: Division, parts: Rows, table: pl.DataFrame) -> str:
    """What split was used."""
    sizes = [count(len(rows), "row") for rows in parts]
    if division.groups is not None:
        sizes = [f"{size} ({count(of, 'group')})" for size, of in zip(sizes, division.groups, strict=True)]
    elif division.by_time and division.column is not None:
        times = table[division.column]
        ends = [f"{_time(times[rows].min())} to {_time(times[rows].max())}" for rows in parts]
        sizes = [
            size if part in division.own else f"{size} ({span})"
            for size, span, part in zip(sizes, ends, PARTS, strict=True)
        ]
    how = f"by time, of column {division.column!r}" if division.by_time else "at random"
    if len(division.own) == 2:
        how = "as given" if division.column is None else f"as column {division.column!r} says"
    if division.group_column is not None:
        how += f", each group of column {division.group_column!r} whole"
    if len(division.own) == 1:
        how += f", those for {division.own[0]} as given"
    train, validation, test = sizes
    return f"The rows were split {how}: {train} for training, {validation} for validation and {test} for test."


def _time(value: Any) -> str:
    return plain_number(float(value)) if isinstance(value, int | float) else str(value)


def _named_parts(column: pl.Series) -> Int[np.ndarray, " n"]:
    part = np.array([_PART_OF[fold(value)] for value in column.cast(pl.String)])
    for place, what in enumerate(_NAMES):
        if not (part == place).any():
            raise DataError(
                f"Column {column.name!r} names no row for {what}; it must name some for training, validation and test "
                "each."
            )
    return part


def _codes(column: pl.Series) -> Int[np.ndarray, " n"]:
    """The number of each row's value, in their order."""
    return stripped(column).rank("dense").to_numpy().astype(np.int64) - 1


def _by_groups(
    groups: Int[np.ndarray, " n"], column: str, shares: tuple[float | None, float | None], seed: int
) -> Int[np.ndarray, " n"]:
    """Deal out whole groups at random, each as likely as another for a part, however many rows it has."""
    names = np.unique(groups)
    _refuse_shares(shares)
    validation, test = (0 if share is None else max(1, round(share * len(names))) for share in shares)
    parts = 1 + sum(share is not None for share in shares)
    if len(names) - validation - test < 1:
        raise DataError(
            f"Column {column} has {count(len(names), 'group')}, and a split by groups needs {parts} or more; "
            "name another column, or leave out --split-by."
        )
    order = names[seeded(seed).permutation(len(names))]
    part = np.isin(groups, order[:validation]) + 2 * np.isin(groups, order[validation : validation + test])
    _refuse_few(part, shares, f"The groups of column {column} leave", "--split-by")
    return part


def _by_time(column: pl.Series, shares: tuple[float | None, float | None]) -> Int[np.ndarray, " n"]:
    """The last rows in time are for the test, those before for validation; rows of one time stay together."""
    if not (column.dtype.is_numeric() or column.dtype in (pl.Date, pl.Datetime)):
        raise DataError(
            f"Column {column.name!r} holds {column.dtype}, which has no order in time; as --split-by-time it must hold "
            "dates or numbers (or name it as --split-by for groups)."
        )
    _refuse_shares(shares)
    times = _codes(column)
    n, distinct = len(times), int(times.max()) + 1
    parts = 1 + sum(share is not None for share in shares)
    if distinct < parts:
        raise DataError(
            f"Column {column.name!r} has {count(distinct, 'different time')}, and a split by time needs {parts} or "
            "more; name another column, or leave out --split-by-time."
        )
    before = np.concatenate([[0], np.cumsum(np.bincount(times))])
    part = np.zeros(n, np.int64)
    end = distinct
    # From the end on; each part that is still to come keeps a time at least.
    for place, share in ((2, shares[1]), (1, shares[0])):
        if share is None:
            continue
        least = 1 + (place == 2 and shares[0] is not None)
        wanted = before[end] - share * n
        start = int(np.clip(np.abs(before - wanted).argmin(), least, end - 1))
        part[(times >= start) & (times < end)] = place
        end = start
    _refuse_few(part, shares, f"The times of column {column.name!r} leave", "--split-by-time")
    return part


def _refuse_shares(shares: tuple[float | None, float | None]) -> None:
    given = [share for share in shares if share is not None]
    if not all(0 < share < 1 for share in given) or sum(given) >= 1:
        raise DataError(
            f"The fractions are {' and '.join(map(str, given))}; each must be between 0 and 1, and their sum below 1, "
            "so that rows are left for training."
        )


def _refuse_few(part: Int[np.ndarray, " n"], shares: tuple[float | None, float | None], what: str, flag: str) -> None:
    sizes = np.bincount(part, minlength=3).tolist()
    asked = [True, *(share is not None for share in shares)]
    if any(size < MIN_ROWS for size, one in zip(sizes, asked, strict=True) if one):
        said = [f"{size} for {name}" for size, name, one in zip(sizes, _NAMES, asked, strict=True) if one]
        raise DataError(
            f"{what} {', '.join(said[:-1])} and {said[-1]}, and each part needs {MIN_ROWS} rows; add rows, change the "
            f"fractions, or leave out {flag}."
            if len(said) > 1
            else f"{what} {said[0]}, and it needs {MIN_ROWS} rows; add rows."
        )


def _sizes(n: int, validation: float | None, test: float | None) -> Sizes:
    """As `part_sizes`, with nothing for a part that has rows of its own."""
    if validation is not None and test is not None:
        return part_sizes(n, validation, test)
    share = validation if validation is not None else test
    if share is None:
        return Sizes(n, 0, 0)
    _refuse_shares((share, None))
    held = round(n * share)
    if min(n - held, held) < MIN_ROWS:
        raise DataError(
            f"The data have {count(n, 'usable row')}: {n - held} for training and {held} held out beside those that "
            f"are given, and each part needs {MIN_ROWS} or more; add rows, or give all parts."
        )
    return Sizes(n - held, held if validation is not None else 0, held if test is not None else 0)


def _refuse_torn_groups(column: pl.Series, groups: Int[np.ndarray, " n"], part: Int[np.ndarray, " n"]) -> None:
    both = np.unique(np.stack([groups, part]), axis=1)
    names, times = np.unique(both[0], return_counts=True)
    torn = names[times > 1]
    if len(torn):
        first = column[int(np.argmax(groups == torn[0]))]
        *first_parts, last = (_NAMES[place] for place in both[1][both[0] == torn[0]])
        where = f"{len(first_parts) + 1} parts, {', '.join(first_parts)} and {last}"
        more = f", and so {'is' if len(torn) == 2 else 'are'} {len(torn) - 1} more" if len(torn) > 1 else ""
        raise DataError(
            f"Group {first!r} of column {column.name!r} is in {where}{more}; put each group "
            "into one part, or leave out --split-by."
        )


def check_parts(
    parts: Sequence[pl.DataFrame], labels: str | None, targets: Sequence[str], division: Division
) -> list[str]:
    """Notes on classes, in the column ``labels``, that a held-out part lacks where rows were not dealt out class by
    class.
    """
    if division.dealt == "random" and division.groups is None and "validation" not in division.own:
        return []
    remedy = (
        "try another --split-seed, or add rows of it."
        if division.dealt == "random" and not division.own
        else "add training rows of it, or delete those rows."
    )
    for target in targets:
        if parts[0][target].n_unique() == 1:
            raise DataError(
                f"Target column {target!r} is {parts[0][target][0]!r} in every training row of this split; nothing can "
                "be learned from them, so split otherwise."
            )
    if labels is None:
        return []
    classes = [set(part[labels].to_list()) for part in parts]
    notes = []
    for place in (1, 2):
        unknown = classes[place] - classes[0]
        if unknown:
            first = min(unknown, key=str)
            rows = int((parts[place][labels] == first).sum())
            raise DataError(
                f"Class {first!r} is in {count(rows, f'{_NAMES[place]} row')} and in no training row; {remedy}"
            )
        lacking = sorted(map(repr, set().union(*classes) - classes[place]))
        if lacking:
            which = f"class {lacking[0]}" if len(lacking) == 1 else f"classes {listed(lacking)}"
            notes.append(f"No {_NAMES[place]} row is of {which}, so these rows say nothing of it.")
    return notes
