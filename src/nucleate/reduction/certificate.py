"""What held-out rows say of the reduced network."""

from dataclasses import dataclass

import numpy as np

from nucleate.errors import DataError
from nucleate.models import outputs_of
from nucleate.network import Network
from nucleate.problems import Problem
from nucleate.reduction.tolerance import changes, root_mean_square, yardstick

FEWEST_ROWS = 19
"""With fewer rows the chance that a new one deviates further than all of them exceeds 1 in 20."""


@dataclass(frozen=True)
class Certificate:
    """How far the outputs moved on rows that neither training nor the reduction saw.

    If a new row is exchangeable with these, each of the ``rows + 1`` is as likely as any other to be the one that
    deviates most; so the chance that it is the new one is at most ``1 / (rows + 1)``, as in conformal prediction (Vovk,
    Gammerman and Shafer 2005, doi:10.1007/b106715). The chance is over these rows and the new one together, and is gone
    if the data drift.

    Parameters
    ----------
    rows : int
    largest_deviation, rms_deviation : float
        Over rows and outputs, in the target's own units, or in class probabilities.
    relative_deviation : float or None
        For amounts, the root mean square deviation over the original's root mean squared error on these rows.
    labels_changed : int or None
        For classes, on how many of these rows the likeliest one is another.
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
            f"On {self.rows} held-out rows, outputs move by {self.rms_deviation:.3g} (root mean square) "
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
    """Compare the two networks on the test rows; labels are needed for the original's error alone."""
    before, after = (outputs_of(network, problem.test.x) for network in (original, reduced))
    moved = changes(problem, before, after)
    return Certificate(
        rows=len(moved),
        largest_deviation=float(np.abs(moved).max()),
        rms_deviation=root_mean_square(moved),
        **yardstick(problem).details(before, after, problem.test.y),
    )
