"""Columns that tell the target so well that they may be made of it."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from nucleate.problems.checks import Kind, leave_out, numbers_in
from nucleate.problems.notices import FEW_ROWS, Notice, Numbers, categories_of, centered

_SAME = 0.999


def inputs_that_tell(
    names: Sequence[str], x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n c"], *, classes: bool
) -> tuple[str, ...]:
    """Which of several inputs tell the target alone, of a network's inputs and targets.

    The targets of ``classes`` are one-hot. Where there is one input alone it is what the target is to be told by, and
    no leak.

    >>> x = np.random.default_rng(0).standard_normal((50, 2))
    >>> inputs_that_tell(["a", "b"], x, 3 * x[:, 1:] + 1, classes=False)
    ('b',)
    """
    if len(names) < 2:
        return ()
    # Names may repeat or hold anything; columns are told apart by their numbers.
    numbers = Numbers.of(pl.DataFrame({str(place): column for place, column in enumerate(x.T)}))
    if classes:
        found = numbers_that_tell(numbers, pl.Series("target", y.argmax(axis=1)))
    else:
        told = [copies_of_amounts(numbers, pl.Series("target", column)) for column in y.T]
        # The targets of an autoencoder are its inputs.
        found = [] if len(told) > 1 and all(told) else [one for some in told for one in some]
    return tuple(dict.fromkeys(names[int(one.column)] for one in found))


def copies_of_amounts(numbers: Numbers, target: pl.Series) -> list[Notice]:
    """Columns that rise or fall with the target as if they were made of it."""
    y = numbers_in(target.to_frame())[0]
    if len(y) < FEW_ROWS or not len(numbers.names):
        return []
    n, gaps = len(y), np.isnan(numbers.values)
    ranks = np.empty(numbers.order.shape)
    np.put_along_axis(ranks, numbers.order, np.arange(n, dtype=float)[None], 1)
    # Ties are in the order of rows, so that many of them hide an agreement from this first look.
    near = (0.8 if len(np.unique(y)) > n / 2 else 0.1) * numbers.counts / n
    candidates = np.flatnonzero(
        (_correlation(centered(ranks, gaps), _ranks(y)) > near)
        | (_correlation(centered(numbers.values, gaps), y) > 0.9 * numbers.counts / n)
    )
    found = []
    for place in candidates:
        name, both = numbers.names[place], ~np.isnan(numbers.values[place])
        if both.sum() < FEW_ROWS:
            continue
        x, z = numbers.values[place][both], y[both]
        known = np.zeros((1, len(x)), bool)
        by_rank = float(_correlation(centered(_ranks(x)[None], known), _ranks(z))[0])
        straight = float(_correlation(centered(x[None], known), z)[0])
        if by_rank > _SAME or (straight > _SAME and by_rank > 0.95):
            how = f"correlation {straight:.4f}" if straight > _SAME else f"its order is the target's to {by_rank:.4f}"
            found.append(_leak(name, f"is nearly a copy of the target {target.name!r} ({how})"))
    return found


def _ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """From 1, the mean of their places for those that tie; SciPy's would take a second to import."""
    return pl.Series(values).rank("average").to_numpy()


def _correlation(x: Float[np.ndarray, "k n"], y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
    """The size of the correlation of each centered row with ``y``; 0 for one that is constant."""
    other = centered(y[None], np.isnan(y)[None])[0]
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(other)
    return np.abs(x @ other) / np.where(norms > 0, norms, np.inf)


def numbers_that_tell(numbers: Numbers, target: pl.Series) -> list[Notice]:
    """Columns of numbers that decide the class alone, by thresholds or value by value."""
    n = len(target)
    if n < FEW_ROWS:
        return []
    classes, allowed = _classes(target)
    changes = (np.diff(classes[numbers.order], axis=1) != 0).sum(axis=1)
    found = []
    for place in np.flatnonzero((changes <= classes.max() + 2 * allowed + 1) | (numbers.distinct <= n / 5)):
        name, known = numbers.names[place], ~np.isnan(numbers.values[place])
        if known.sum() < n / 2:
            continue
        values, c = np.unique(numbers.values[place][known], return_inverse=True)[1], classes[known]
        table = _table(values, c)
        wrong = len(c) - table.max(axis=1).sum()
        intervals = (np.diff(table.argmax(axis=1)) != 0).sum() - (len(np.unique(c)) - 1)
        if wrong <= allowed and (intervals <= 2 * allowed or len(table) <= n / 5):
            found.append(_tells(name, target.name))
    return found


def texts_that_tell(texts: pl.DataFrame, target: pl.Series, kind: Kind) -> list[Notice]:
    """Columns of texts whose category decides the class alone, or the amount nearly."""
    n, found = len(texts), []
    if n < FEW_ROWS:
        return []
    if kind == "numeric":
        y = numbers_in(target.to_frame())[0]
        total = y.var()
    else:
        classes, allowed = _classes(target)
    for column in texts.iter_columns():
        codes = categories_of(column)
        groups = codes.max() + 1
        if not 1 < groups <= n / 5 and not (kind == "numeric" and groups <= n / 2):
            continue
        if kind == "numeric":
            sizes = np.bincount(codes)
            within = y - (np.bincount(codes, y) / sizes)[codes]
            alike = (within**2).mean() <= (1 - _SAME) * total
        else:
            alike = n - _table(codes, classes).max(axis=1).sum() <= allowed
        found += [_tells(column.name, target.name)] if alike else []
    return found


def _classes(target: pl.Series) -> tuple[Int[np.ndarray, " n"], float]:
    """The number of each row's class, and in how many rows a column that tells it may be wrong."""
    classes = np.unique(np.array(target.to_list()), return_inverse=True)[1]
    return classes, min(0.001 * len(classes), 0.05 * (len(classes) - np.bincount(classes).max()))


def _table(values: Int[np.ndarray, " n"], classes: Int[np.ndarray, " n"]) -> Int[np.ndarray, "values classes"]:
    """How many rows have each value and each class."""
    table = np.zeros((values.max() + 1, classes.max() + 1), int)
    np.add.at(table, (values, classes), 1)
    return table


def _tells(name: str, target: str) -> Notice:
    return _leak(name, f"alone tells the target {target!r} in every row, or all but one in a thousand")


def _leak(name: str, seen: str) -> Notice:
    return Notice.of("leak", name, f"{seen}. If it is known only with the target, {leave_out(name)}")
