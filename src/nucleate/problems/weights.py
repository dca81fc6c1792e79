"""The column that says what each row counts for."""

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Shaped

from nucleate._wording import count, name_rows
from nucleate.errors import DataError
from nucleate.problems.checks import LARGEST, missing, numbers_in

ROLE = "weights of the rows"
WEIGHTS = "weight"
"""What the column of weights is called that stand beside arrays."""
_FEW = 0.5


def column_of_weights(weights: Shaped[np.ndarray, " n"], rows: int) -> pl.Series:
    """Weights that stand beside arrays, as a column."""
    given = np.asarray(weights)
    if given.shape != (rows,) or given.dtype.kind not in "iuf":
        raise DataError(
            f"The weights have shape {given.shape} and dtype {given.dtype}; give one number for each of the {rows} "
            "rows."
        )
    return pl.Series(WEIGHTS, given)


def weights_in(column: pl.Series, *, positive: bool = False) -> Float[np.ndarray, " n"]:
    """The weights of rows."""
    name = column.name
    if not column.dtype.is_numeric():
        raise DataError(
            f"Column {name!r} holds {column.dtype}, and weights are numbers of 0 or more; name another column for "
            "--weights."
        )
    gaps = missing(column.to_frame())[:, 0]
    if gaps.any():
        raise DataError(f"Column {name!r} has no weight in {name_rows(gaps)}; fill them, or delete these rows.")
    weights: np.ndarray = numbers_in(column.to_frame())[0]
    least = "more than 0" if positive else "0 or more"
    for odd in (weights < 0, weights > LARGEST, weights == 0 if positive else np.zeros(len(weights), bool)):
        if odd.any():
            raise DataError(
                f"Column {name!r} has the weight {weights[odd][0]:g} in {name_rows(odd)}; weights are numbers of "
                f"{least}, so correct or delete them."
            )
    if not weights.any():
        raise DataError(f"Every weight of column {name!r} is 0, so no row counts; give some rows another.")
    return weights


def count_for(weights: Float[np.ndarray, " n"]) -> float:
    """As how many rows of equal weight they tell a mean (Kish 1965): ``(sum w)^2 / sum w^2``.

    >>> count_for(np.array([1.0, 1.0, 2.0])), count_for(np.array([3.0, 0.0]))
    (2.6666666666666665, 1.0)
    """
    return float(np.sum(weights) ** 2 / np.sum(weights**2))


def notes_of(column: str, weights: Float[np.ndarray, " n"], zero: Bool[np.ndarray, " n"]) -> list[str]:
    """What a person should know of weights: the rows that count for nothing, and where few rows count for most."""
    notes = [f"Rows count as column {column!r} says."]
    if zero.any():
        notes = [f"Rows count as column {column!r} says; left out {count(int(zero.sum()), 'row')} of weight 0."]
    if count_for(weights) < _FEW * len(weights):
        notes.append(
            f"The weights of column {column!r} are so unequal that the {len(weights)} training rows tell a mean as "
            f"{count_for(weights):.0f} of equal weight do."
        )
    return notes
