"""What rows that nobody looked at say of the reduced network."""

from dataclasses import dataclass

import numpy as np

from nucleate.errors import DataError
from nucleate.network import Network
from nucleate.problems import Problem
from nucleate.reduction.tolerance import changes, labels_change, outputs_of

FEWEST_ROWS = 19
"""With fewer rows the chance that a new one deviates further than all of them exceeds 1 in 20."""


@dataclass(frozen=True)
class Certificate:
    """How far the outputs moved on rows that neither training nor the reduction saw.

    If a new row comes from where these came from, each of the ``rows + 1`` is as likely as any other to be the one that
    deviates most; so the chance that it is the new one is at most ``1 / (rows + 1)``. The chance is over these rows and
    the new one together, and is gone if the data drift.

    Parameters
    ----------
    rows : int
    largest_deviation, rms_deviation : float
        Over rows and outputs, in the target's own units, or in class probabilities.
    relative_deviation : float or None
        For regression, the root mean square deviation over the original's root mean squared error on these rows.
    labels_changed : int or None
        For classification, on how many of these rows the likeliest class is another.
    """

    rows: int
    largest_deviation: float
    rms_deviation: float
    relative_deviation: float | None = None
    labels_changed: int | None = None

    @property
    def probability(self) -> float:
        """The bound of the chance that a new row deviates more than the largest seen.

        >>> Certificate(99, 0.5, 0.1).probability
        0.01
        """
        return 1 / (self.rows + 1)

    def __str__(self) -> str:
        unit = "in probability" if self.relative_deviation is None else "in the target's unit"
        text = (
            f"On {self.rows} rows that nobody looked at, outputs move by {self.rms_deviation:.3g} (root mean square) "
            f"and at most {self.largest_deviation:.3g}, {unit}; a new row of the same kind moves further with a chance "
            f"of at most 1 in {self.rows + 1}."
        )
        if self.relative_deviation is not None:
            return f"{text} The root mean square is {self.relative_deviation:.2g} of the original's error."
        return f"{text} {self.labels_changed} of the {self.rows} labels change."


def check_rows(problem: Problem) -> None:
    """Raise `DataError` if there are too few rows to certify anything."""
    if len(problem.test.x) < FEWEST_ROWS:
        raise DataError(
            f"There are {len(problem.test.x)} test rows to certify the reduced network on, and {FEWEST_ROWS} are "
            f"needed; give data of {5 * FEWEST_ROWS} rows or more."
        )


def certify(original: Network, reduced: Network, problem: Problem) -> Certificate:
    """Compare the two networks on the test rows; no labels but for the original's error."""
    before, after = (outputs_of(network, problem.test) for network in (original, reduced))
    moved = changes(problem, before, after)
    rms = float(np.sqrt(np.mean(np.square(moved))))
    largest = float(np.abs(moved).max())
    if problem.task == "classification":
        return Certificate(len(moved), largest, rms, labels_changed=int(labels_change(before, after).sum()))
    error = problem.metric(before, problem.test.y)
    return Certificate(len(moved), largest, rms, relative_deviation=rms / error if error > 0 else np.inf)
