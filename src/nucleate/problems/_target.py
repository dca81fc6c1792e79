"""Which columns are the target, and whether its values or its classes are to be learnt."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import get_args

import polars as pl

from nucleate.errors import DataError
from nucleate.problems._checks import Kind, kind_of, odd_one_out
from nucleate.problems._losses import Task
from nucleate.problems._wording import count, did_you_mean, name_columns

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


def infer_task(targets: pl.DataFrame) -> tuple[Task, list[str]]:
    """The task that suits the target, and a note if another might.

    Classification suits one target of text or truth values, or of whole numbers of which at most 20 are different, each
    in 10 rows or more on average; regression suits all others.
    """
    raw, values = targets.to_series(), targets.to_series().n_unique()
    if targets.width > 1:
        return "regression", []
    if kind_of(raw) == "categorical":
        return "classification", []
    if values > MAX_CLASSES or values * ROWS_PER_CLASS > len(raw) or (raw != raw.floor()).any():
        return "regression", []
    note = (
        f"The target's {values} different whole numbers were taken as classes; set the task to regression for amounts."
    )
    return "classification", [note]


def target_kinds(targets: pl.DataFrame, task: Task) -> Mapping[str, Kind]:
    """The kind of each target column under the task.

    Raises
    ------
    DataError
        If the task has another name, or the target is constant or does not suit it.
    """
    if task not in get_args(Task):
        raise DataError(f"There is no task {task!r}; choose regression or classification.")
    kinds = {raw.name: kind_of(raw) for raw in targets}
    for raw in targets:
        if raw.n_unique() == 1:
            raise DataError(f"Target column {raw.name!r} is {raw[0]!r} in every row; name a target that varies.")
    if task == "classification":
        _refuse_as_classes(targets)
        return {targets.columns[0]: "categorical"}
    for raw in targets:
        if kinds[raw.name] == "categorical":
            no_number = raw.filter(raw.cast(pl.String).cast(pl.Float64, strict=False).is_null())
            raise DataError(
                f"Target column {raw.name!r} is not numeric (it holds {no_number[0]!r}), as regression needs. Make it "
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
