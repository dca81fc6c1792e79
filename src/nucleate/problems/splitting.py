"""The seeded split of rows into a training, a validation and a test part."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from nucleate._arrays import is_whole
from nucleate._wording import count
from nucleate.errors import DataError

MIN_ROWS = 4
"""The fewest rows of a part: at the default fractions, 20 rows are enough."""

_ADD_ROWS = (
    f"Add rows; {3 * MIN_ROWS} are the fewest. Where there are no others, as of a truth table, repeat each of them, or "
    "in Python give the same rows for all three parts (Problem.from_parts)."
)


class Sizes(NamedTuple):
    """How many rows each part has.

    Parameters
    ----------
    train, validation, test : int
    """

    train: int
    validation: int
    test: int


class Rows(NamedTuple):
    """Which rows each part has, in ascending order.

    Parameters
    ----------
    train, validation, test : arrays of int
        Numbers of rows.
    """

    train: Int[np.ndarray, " n_train"]
    validation: Int[np.ndarray, " n_validation"]
    test: Int[np.ndarray, " n_test"]


def part_sizes(n: int, validation: float, test: float) -> Sizes:
    """The sizes of the parts of ``n`` rows at the given fractions.

    >>> part_sizes(442, 0.2, 0.2)
    Sizes(train=266, validation=88, test=88)
    """
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise DataError(
            f"The fractions are {validation} for validation and {test} for test; each must be between 0 and 1, and "
            "their sum below 1, so that rows are left for training."
        )
    sizes = Sizes(n - round(n * validation) - round(n * test), round(n * validation), round(n * test))
    if min(sizes) < MIN_ROWS:
        fewest = math.ceil(100 * MIN_ROWS / n) / 100 if n else 0
        given = f"--validation-fraction {fewest} --test-fraction {fewest}"
        help = f"pass {given} (in Python validation={fewest}, test={fewest})"
        raise DataError(
            f"The data have {count(n, 'usable row')}: {sizes.train} for training, {sizes.validation} for validation "
            f"and {sizes.test} for test, and each part needs {MIN_ROWS} or more. "
            f"{f'Add rows, or {help}.' if n >= 3 * MIN_ROWS else _ADD_ROWS}"
        )
    return sizes


def seeded(seed: int, offset: int = 0) -> np.random.Generator:
    if not is_whole(seed) or seed < 0:
        raise DataError(f"The split seed is {seed!r:.60}; it must be a whole number, 0 or more.")
    return np.random.default_rng(offset + seed)


def split_rows(sizes: Sizes, seed: int, labels: Shaped[np.ndarray, " n"] | None = None) -> Rows:
    """Deal rows out at random, the same on every machine.

    With labels the split is stratified: row r of a class's n_c shuffled rows stands at (r + 1/2) / n_c, and the parts
    are cut from all rows in the order of their standing, so that each takes its share of every class. Only within a
    class is it chance which rows a part has, and the test part may have none of a class of few rows.

    Parameters
    ----------
    sizes : Sizes
    seed : int
    labels : array of shape (n,), optional
        Classes, each split alike.

    Returns
    -------
    Rows

    Examples
    --------
    >>> rows = split_rows(Sizes(12, 4, 4), seed=0, labels=np.repeat(["a", "b"], 10))
    >>> [int((part < 10).sum()) for part in rows]
    [6, 2, 2]

    Raises
    ------
    DataError
        If the seed is negative, or a class has so few rows that none is left for training.
    """
    order = seeded(seed).permutation(sum(sizes))
    if labels is not None:
        standing = np.empty(len(order))
        for label in np.unique(labels):
            members = labels[order] == label
            standing[members] = (np.arange(members.sum()) + 0.5) / members.sum()
        order = order[np.argsort(standing, kind="stable")]
    parts = np.split(order, (sizes.train, sizes.train + sizes.validation))
    rows = Rows(*map(np.sort, parts))
    if labels is not None and (left_out := set(labels.tolist()) - set(labels[rows.train].tolist())):
        raise DataError(
            f"No row of class {min(left_out)!r} is left for training; add rows of it, or lower "
            "--validation-fraction and --test-fraction (in Python validation and test)."
        )
    return rows
