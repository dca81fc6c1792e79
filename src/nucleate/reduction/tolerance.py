"""When a smaller network does the same work: what it may lose of the metric, and how far its outputs may move."""

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from nucleate.errors import SpecError
from nucleate.models import outputs_of
from nucleate.network import Network
from nucleate.problems import BALANCED_ACCURACY, RMSE, Problem, Split


def changes(
    problem: Problem, before: Float[np.ndarray, "n c"], after: Float[np.ndarray, "n c"]
) -> Float[np.ndarray, "n c"]:
    """How far predictions move, row by row: in the targets' own units, or in class probabilities."""
    link = problem.loss.link
    return (link(after) - link(before)) * problem.preprocessing.units


def root_mean_square(values: Float[np.ndarray, "n c"], weights: Float[np.ndarray, " n"] | None = None) -> float:
    """Over all entries, of rows that may have weights."""
    squares = np.square(values)
    return float(np.sqrt(np.mean(squares if weights is None else np.average(squares, axis=0, weights=weights))))


def root_mean_squares(
    values: Float[np.ndarray, "n c"], weights: Float[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, " c"]:
    """Of each column."""
    return np.array([root_mean_square(column[:, None], weights) for column in values.T])


def allowed_deviation(error: float, tolerance: float) -> float:
    """The root mean square deviation that a relative change t of a root mean squared error answers to.

    Deviations that know nothing of the residuals add to them as squares, so it is ``sqrt((1 + t)^2 - 1)`` times the
    error: 0.14 for 1 %. Derived here.
    """
    return error * float(np.sqrt((1 + tolerance) ** 2 - 1))


def most_cost(cost: float, tolerance: float) -> float:
    """Up to which cost a smaller network may come, where costs may be negative."""
    return float((1 + np.copysign(tolerance, cost)) * cost)


Deviation = Float[np.ndarray, " c"] | float
"""Of each target, or one number for all."""


@dataclass(frozen=True)
class OfAmounts:
    """The root mean square of the changes of each target, in its own unit.

    Whatever the loss and its metric are, what is allowed is taken of the original's root mean squared error, target by
    target: of all together, nothing would be asked of a target whose numbers are small.
    """

    problem: Problem

    def deviation(self, before: Float[np.ndarray, "n c"], after: Float[np.ndarray, "n c"], part: Split) -> Deviation:
        """How far the outputs moved on the rows of a part."""
        return root_mean_squares(changes(self.problem, before, after), part.weights)

    def allowed(self, before: Float[np.ndarray, "n c"], part: Split, tolerance: float) -> Deviation:
        """How far they may move at a relative change of the metric."""
        errors = self.problem.predict(before) - self.problem.preprocessing.in_units(part.y)
        return np.array([allowed_deviation(error, tolerance) for error in root_mean_squares(errors, part.weights)])

    def details(self, before: Float[np.ndarray, "n c"], after: Float[np.ndarray, "n c"], part: Split) -> dict[str, Any]:
        """What a `nucleate.reduction.Certificate` says beside the deviations."""
        moved = root_mean_square(changes(self.problem, before, after), part.weights)
        error = RMSE(self.problem.predict(before), self.problem.preprocessing.in_units(part.y), part.weights)
        return {"relative_deviation": moved / error if error > 0 else np.inf}


@dataclass(frozen=True)
class OfClasses:
    """The share of rows whose likeliest class is another; the tolerance itself is allowed."""

    problem: Problem

    def deviation(self, before: Float[np.ndarray, "n c"], after: Float[np.ndarray, "n c"], part: Split) -> float:
        return float(np.average(self._changed(before, after), weights=part.weights))

    def allowed(self, before: Float[np.ndarray, "n c"], part: Split, tolerance: float) -> float:
        return tolerance

    def details(self, before: Float[np.ndarray, "n c"], after: Float[np.ndarray, "n c"], part: Split) -> dict[str, Any]:
        return {"labels_changed": int(np.count_nonzero(self._changed(before, after)))}

    def _changed(self, before: Float[np.ndarray, "n c"], after: Float[np.ndarray, "n c"]) -> Bool[np.ndarray, " n"]:
        link = self.problem.loss.link
        return link(before).argmax(axis=1) != link(after).argmax(axis=1)


def yardstick(problem: Problem) -> OfAmounts | OfClasses:
    """By what the change of outputs is judged, for the problem's kind of targets."""
    return OfClasses(problem) if problem.loss.of_classes else OfAmounts(problem)


class Tolerance:
    """A relative change of the original's metric, and the change of the outputs that would explain it.

    Both are asked for: with the metric alone, the best of many small networks is one that was lucky on the validation
    rows. Of classes the balanced accuracy is asked for too: a rare class has fewer rows than may change.
    """

    def __init__(self, problem: Problem, network: Network, tolerance: float) -> None:
        check_tolerance(tolerance)
        self._problem, self._yardstick, self._part = problem, yardstick(problem), problem.validation
        self._outputs = outputs_of(network, problem.validation.x)
        self._deviation = self._yardstick.allowed(self._outputs, self._part, tolerance)
        self._most = [most_cost(cost, tolerance) for cost in self._costs(self._outputs)]

    def __call__(self, outputs: Float[np.ndarray, "v c"]) -> bool:
        """Whether these outputs on the validation rows are within the tolerance."""
        if not np.isfinite(outputs).all():
            return False
        moved = self._yardstick.deviation(self._outputs, outputs, self._part)
        return bool(
            np.all(moved <= self._deviation)
            and all(cost <= most for cost, most in zip(self._costs(outputs), self._most, strict=True))
        )

    def _costs(self, outputs: Float[np.ndarray, "v c"]) -> list[float]:
        """The metrics, turned so that smaller is better."""
        problem, part = self._problem, self._part
        costs = [problem.loss.metric.cost(problem.metric(outputs, part.y, part.weights))]
        if problem.loss.of_classes:
            balanced = BALANCED_ACCURACY(problem.predict(outputs), part.y, part.weights)
            costs.append(BALANCED_ACCURACY.cost(balanced))
        return costs


def check_tolerance(tolerance: Any) -> None:
    """Refuse a tolerance that is not between 0 and 1."""
    if not (isinstance(tolerance, Real) and 0 < float(tolerance) < 1):
        raise SpecError(f"The tolerance is {tolerance!r:.60}; it must be between 0 and 1, such as 0.01 for 1 %.")
