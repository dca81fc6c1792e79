"""Which columns are the target, and whether its values or its classes are to be learnt."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool

from nucleate._wording import count, did_you_mean, name_columns, name_rows
from nucleate.errors import DataError
from nucleate.problems.losses import CROSS_ENTROPY, DEFAULT_LOSSES, SQUARED, Loss

Kind = Literal["numeric", "categorical", "constant"]

LARGEST = 1e100
"""Numbers beyond this count as infinite: their squares would overflow."""

_DATE = r"^\s*\d{1,4}[-/]\d{1,2}[-/]\d{1,4}"


def kind_of(raw: pl.Series) -> Kind:
    """Whether a column holds numbers and dates, or categories (text and truth values).

    Raises
    ------
    DataError
        If it holds times of day, dates written as text, or anything else.
    """
    if raw.dtype in (pl.Date, pl.Datetime):
        return "numeric"
    if raw.dtype.is_temporal() or _is_text_of_dates(raw):
        raise DataError(
            f"Column {raw.name!r} holds dates or times. Turn it into numbers, such as days since the first date, or "
            "delete it."
        )
    if raw.dtype.is_numeric() or raw.dtype == pl.Null:
        return "numeric"
    if raw.dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum):
        return "categorical"
    raise DataError(
        f"Column {raw.name!r} holds values of type {raw.dtype}; turn it into numbers or text, or delete it."
    )


def missing(table: pl.DataFrame) -> Bool[np.ndarray, "n columns"]:
    """Where a table has no value, or NaN."""
    return np.column_stack(
        [(raw.is_null() | raw.is_nan() if raw.dtype.is_float() else raw.is_null()).to_numpy() for raw in table]
    )


def complete_rows(table: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The rows that have a value in every column, and a note if others were left out.

    Raises
    ------
    DataError
        If there are none.
    """
    gaps = missing(table)
    rows, sizes = np.any(gaps, axis=1), gaps.sum(axis=0)
    if not rows.any():
        return table, []
    if rows.all():
        raise DataError(
            f"No row is without a missing value: column {table.columns[sizes.argmax()]!r} lacks {sizes.max()} of "
            f"{len(table)}. Delete or fill the columns that lack most."
        )
    return table.filter(~rows), [f"Left out {count(int(rows.sum()), 'row')} with missing values ({name_rows(rows)})."]


def refuse_missing(table: pl.DataFrame, role: Literal["Input", "Target"], advice: str = "Drop or fill them.") -> None:
    gaps = missing(table)
    names = [name for name, gap in zip(table.columns, gaps.T, strict=True) if gap.any()]
    if names:
        raise DataError(
            f"{role} {name_columns(names)} {'has' if len(names) == 1 else 'have'} "
            f"{count(int(gaps.sum()), 'missing value')} ({name_rows(np.any(gaps, axis=1))}). {advice}"
        )


def refuse_infinite(table: pl.DataFrame) -> None:
    for column in table:
        if column.dtype.is_float():
            infinite = np.abs(column.cast(pl.Float64).to_numpy()) > LARGEST
            if infinite.any():
                raise DataError(
                    f"Column {column.name!r} is infinite or beyond {LARGEST:g} in {name_rows(infinite)}; correct or "
                    "delete such values."
                )


def input_kinds(inputs: pl.DataFrame) -> dict[str, Kind]:
    """The kind of each input column; "constant" where it has one value only, from which nothing can be learnt.

    Raises
    ------
    DataError
        If most rows of a text column have a value of their own, or all columns are constant.
    """
    kinds: dict[str, Kind] = {}
    for raw in inputs:
        kind, values = kind_of(raw), raw.n_unique()
        kinds[raw.name] = "constant" if values == 1 else kind
        if kind == "categorical" and values > len(raw) / 2:
            raise DataError(
                f"Column {raw.name!r} is text with {values} different values in {len(raw)} rows{odd_one_out(raw)}. "
                "Delete it if it is a name or an identifier, make it numeric if it is meant as a number, or group its "
                "values."
            )
    if set(kinds.values()) == {"constant"}:
        raise DataError(
            f"Input {name_columns(kinds)} never {'varies' if len(kinds) == 1 else 'vary'}; add one that does."
        )
    return kinds


def _is_text_of_dates(raw: pl.Series) -> bool:
    return raw.dtype == pl.String and raw.null_count() < len(raw) and bool(raw.str.contains(_DATE).all())


def odd_one_out(raw: pl.Series) -> str:
    """A clause to append with a value that keeps a column made mostly of numbers from being numeric."""
    no_number = raw.filter(raw.cast(pl.String).cast(pl.Float64, strict=False).is_null())
    return f", of which {no_number[0]!r} is not a number" if 0 < len(no_number) < len(raw) / 2 else ""


MAX_CLASSES = 20
ROWS_PER_CLASS = 10
MIN_CLASS_ROWS = 3


def choose_targets(columns: Sequence[str], target: str | Sequence[str] | None) -> tuple[str, ...]:
    """The target's column names: those given, else "target", else "y", else the last.

    Parameters
    ----------
    target : str, sequence of str, or None
        A column's name, several separated by commas, or several in a sequence.

    Examples
    --------
    >>> choose_targets("abc", None), choose_targets("xyz", None), choose_targets("abc", "a, c")
    (('c',), ('y',), ('a', 'c'))

    Raises
    ------
    DataError
        If one is not there, or no column is left for the inputs.
    """
    if not columns:
        raise DataError("The data have no columns; expected inputs and a target.")
    if target is None:
        chosen: Sequence[str] = [next((name for name in ("target", "y") if name in columns), columns[-1])]
    elif isinstance(target, str):
        chosen = [target] if target in columns else [name.strip() for name in target.split(",")]
    else:
        chosen = list(dict.fromkeys(target))
    for name in chosen:
        if name not in columns:
            close = did_you_mean(name, columns) or f"; the data have {name_columns(columns)}."
            raise DataError(f"There is no target column {name!r}{close}")
    if set(columns) == set(chosen):
        raise DataError(
            f"Beside the target {name_columns(chosen)} there is no input column; add one, or name another target."
        )
    return tuple(chosen)


def infer_loss(targets: pl.DataFrame, amounts: str = "") -> tuple[Loss, list[str]]:
    """The loss that suits the target, and a note if another might.

    Cross-entropy suits one target of text or truth values, or of whole numbers of which at most 20 are different, each
    in 10 rows or more on average; squared errors suit all others. ``amounts`` is what else speaks for amounts, if
    anything does; then whole numbers are no classes.
    """
    raw, values = targets.to_series(), targets.to_series().n_unique()
    if targets.width > 1:
        return SQUARED, []
    if kind_of(raw) == "categorical":
        return CROSS_ENTROPY, []
    if (
        raw.dtype.is_temporal()
        or values > MAX_CLASSES
        or values * ROWS_PER_CLASS > len(raw)
        or (raw != raw.floor()).any()
    ):
        return SQUARED, []
    if amounts:
        said = f"The target's {values} different whole numbers were taken as amounts, for {amounts}"
        return SQUARED, [f"{said}; pass --task classification for classes."]
    note = (
        f"The target's {values} different whole numbers were taken as classes; set the task to regression for amounts."
    )
    return CROSS_ENTROPY, [note]


def choose_loss(
    targets: pl.DataFrame, task: str | None, loss: Loss | None, amounts: str = ""
) -> tuple[Loss, list[str]]:
    """The loss that was asked for, by itself or by the name of a task, or else the one that suits.

    Raises
    ------
    DataError
        If the task has another name, or the loss is not for such a task.
    """
    if task is not None and task not in DEFAULT_LOSSES:
        raise DataError(f"There is no task {task!r}; choose {' or '.join(DEFAULT_LOSSES)}.")
    if loss is not None:
        if task not in (None, loss.link.task):
            raise DataError(f"The loss {loss.name!r} is for {loss.link.task}, not for {task}; leave one of them out.")
        return loss, []
    return infer_loss(targets, amounts) if task is None else (DEFAULT_LOSSES[task], [])


def target_kinds(targets: pl.DataFrame, loss: Loss) -> Mapping[str, Kind]:
    """The kind of each target column under the loss.

    Raises
    ------
    DataError
        If the target is constant or does not suit the loss.
    """
    kinds = {raw.name: kind_of(raw) for raw in targets}
    for raw in targets:
        if raw.dtype.is_temporal():
            raise DataError(f"Target column {raw.name!r} holds dates; name a target of amounts or of classes.")
    for raw in targets:
        if raw.n_unique() == 1:
            raise DataError(f"Target column {raw.name!r} is {raw[0]!r} in every row; name a target that varies.")
    if loss.link.target_kind == "categorical":
        _refuse_as_classes(targets)
        return {targets.columns[0]: "categorical"}
    for raw in targets:
        if kinds[raw.name] == "categorical":
            numberless = raw.filter(raw.cast(pl.String).cast(pl.Float64, strict=False).is_null())
            example = numberless[0] if len(numberless) else raw[0]
            raise DataError(
                f"Target column {raw.name!r} is not numeric (it holds {example!r}), as regression needs. Make it "
                "numeric, or set the task to classification."
            )
    return kinds


def _refuse_as_classes(targets: pl.DataFrame) -> None:
    if targets.width > 1:
        raise DataError(
            f"The target of a classification is one column, and {targets.width} were named; name one that holds the "
            "class, or set the task to regression."
        )
    raw = targets.to_series()
    sizes = Counter(raw.to_list())
    rare = sum(size < MIN_CLASS_ROWS for size in sizes.values())
    if rare:
        label, size = sizes.most_common()[-1]
        raise DataError(
            f"Target column {raw.name!r} has {count(rare, 'class')} with fewer than {MIN_CLASS_ROWS} rows ({label!r} "
            f"has {size}) among its {count(len(sizes), 'class')}{odd_one_out(raw)}. Merge or delete rare classes; if "
            "its values are amounts, make all of them numbers and set the task to regression."
        )
