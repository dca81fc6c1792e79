"""What a person should know of data before training on them: seen in the data, changed by nobody."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from nucleate._wording import in_digits, name_columns
from nucleate.problems.checks import numbers_in, stripped

FEW_ROWS = 10
"""With fewer rows any two columns may agree by chance."""
_FEW_HELD_OUT = 8
_UNEVEN = 10.0
"""So many times another target a target's standard deviation is, where a metric is mostly about it."""
_SHOWN = 3


class Notice(NamedTuple):
    """What was seen in a column; the text names the column, what was seen, and what to do."""

    kind: str
    column: str
    text: str

    @classmethod
    def of(cls, kind: str, column: str, said: str) -> "Notice":
        """One whose text begins with the column's name."""
        return cls(kind, column, f"Column {column!r} {said}")


def say(notices: Iterable[Notice]) -> list[str]:
    """The sentences; where many columns are of a kind, the first and the names of the others.

    >>> say([Notice("same", name, f"Column {name!r} is so.") for name in "abcde"])[3]
    "It is likewise with columns 'd', 'e'."
    """
    sentences = []
    by_kind: dict[str, list[Notice]] = {}
    for notice in notices:
        by_kind.setdefault(notice.kind, []).append(notice)
    for alike in by_kind.values():
        sentences += [notice.text for notice in alike[:_SHOWN]]
        if len(alike) > _SHOWN:
            sentences.append(f"It is likewise with {name_columns(notice.column for notice in alike[_SHOWN:])}.")
    return sentences


class Numbers(NamedTuple):
    """Columns of numbers, a row each; sorted, missing values last; and how many values each has."""

    names: list[str]
    values: Float[np.ndarray, "k n"]
    order: Int[np.ndarray, "k n"]
    sorted: Float[np.ndarray, "k n"]
    counts: Int[np.ndarray, " k"]

    @classmethod
    def of(cls, table: pl.DataFrame) -> "Numbers":
        values = numbers_in(table)
        order = values.argsort(axis=1, kind="stable")
        return cls(table.columns, values, order, np.take_along_axis(values, order, 1), (~np.isnan(values)).sum(axis=1))

    def only(self, names: Sequence[str]) -> "Numbers":
        chosen = set(names)
        rows = np.array([name in chosen for name in self.names], bool)
        return Numbers([*names], *(part[rows] for part in self[1:]))

    def known(self, place: np.integer[Any]) -> Float[np.ndarray, " m"]:
        """A column's values in ascending order."""
        return self.sorted[place, : self.counts[place]]

    @property
    def distinct(self) -> Int[np.ndarray, " k"]:
        """How many different values each column has."""
        return (np.diff(self.sorted, axis=1) > 0).sum(axis=1) + 1

    def quantile(self, share: float) -> Float[np.ndarray, " k"]:
        """Of each column, which has one value at least."""
        return np.take_along_axis(self.sorted, (share * (self.counts - 1)).astype(int)[:, None], 1)[:, 0]


def centered(values: Float[np.ndarray, "k n"], gaps: Bool[np.ndarray, "k n"]) -> Float[np.ndarray, "k n"]:
    """Each row with mean 0 and size 1 or less; 0 where a value is missing."""
    values = np.where(gaps, 0.0, values)
    values = values / np.maximum(np.abs(values).max(axis=1, keepdims=True), np.finfo(float).tiny)
    means = values.sum(axis=1, keepdims=True) / np.maximum((~gaps).sum(axis=1, keepdims=True), 1)
    return np.where(gaps, 0.0, values - means)


def categories_of(column: pl.Series) -> Int[np.ndarray, " n"]:
    """The number of each row's category, in the order of their first rows; a missing one is a category."""
    places = stripped(column).rank("dense").fill_null(0).to_numpy()
    _, first, codes = np.unique(places, return_index=True, return_inverse=True)
    return first.argsort().argsort()[codes]


def few_rows(inputs: int, train: int, validation: int, test: int) -> list[str]:
    """Notes if there are few rows to judge by, or fewer to learn from than inputs."""
    notes = []
    if min(validation, test) < _FEW_HELD_OUT:
        notes.append(
            f"There are few rows: {train} for training, {validation} for validation and {test} for test, so that "
            "errors on these are rough."
        )
    if inputs > train:
        notes.append(
            f"There are {inputs} inputs for {train} training rows: a network can fit these by chance, and only errors "
            "on the others say something."
        )
    return notes


def uneven_targets(targets: pl.DataFrame, metric: str) -> list[str]:
    """A note if a metric that averages over targets in their own units is hardly about one of them.

    >>> table = pl.DataFrame({"price": [1e5, 3e5], "rate": [0.1, 0.2]})
    >>> uneven_targets(table, "rmse")[0][:84]
    "The targets are of different size (standard deviation 100,000 of 'price' and 0.05 of"
    """
    if targets.width < 2:
        return []
    sizes = numbers_in(targets).std(axis=1)
    if sizes.max() < _UNEVEN * sizes.min():
        return []
    (large, largest), (small, smallest) = (
        (targets.columns[place], in_digits(sizes[place], 3)) for place in (sizes.argmax(), sizes.argmin())
    )
    return [
        f"The targets are of different size (standard deviation {largest} of {large!r} and {smallest} of {small!r}), "
        f"and {metric} averages over them in their own units, so it and what is chosen by it are mostly about "
        f"{large!r}; learn them one by one, or write them in units that make them "
        "alike."
    ]


def repeated_rows(parts: Sequence[pl.DataFrame], own: bool = False) -> list[str]:
    """A note if held-out rows are in the training rows too, target and all; of one's own parts, if a single one is."""
    known = parts[0].hash_rows().unique()
    held_out = pl.concat(parts[1:]).hash_rows()
    repeated = int(held_out.is_in(known.implode()).sum())
    few = 1 if own else max(2, 0.01 * len(held_out))
    notes = []
    if repeated >= few:
        notes.append(
            f"{repeated} of the {len(held_out)} validation and test rows are among the training rows too, target and "
            "all, so that they measure memory; delete repeated rows if they are no measurements of their own."
        )
    if own:
        seen = parts[1].hash_rows().unique()
        repeated = int(parts[2].hash_rows().is_in(seen.implode()).sum())
        if repeated:
            notes.append(
                f"{repeated} of the {len(parts[2])} test rows are among the validation rows too, which choose among "
                "networks, so that the test is no longer of rows unseen; delete repeated rows if they are no "
                "measurements of their own."
            )
    return notes


def plain_number(value: float) -> str:
    """
    >>> plain_number(-999.0), plain_number(0.1), plain_number(1e20)
    ('-999', '0.1', '1e+20')
    """
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"
