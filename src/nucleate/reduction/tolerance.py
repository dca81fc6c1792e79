"""When a smaller model does the same work: what it may lose of the metric, and how far its outputs may move."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from nucleate.errors import SpecError
from nucleate.models import outputs_of
from nucleate.network import Network
from nucleate.problems import BALANCED_ACCURACY, Problem, Split

Predictions = Float[np.ndarray, "n c"]
Weights = Float[np.ndarray, " n"] | None


def root_mean_square(values: Predictions, weights: Weights = None) -> float:
    """Over all entries, of rows that may have weights."""
    squares = np.square(values)
    return float(np.sqrt(np.mean(squares if weights is None else np.average(squares, axis=0, weights=weights))))


def root_mean_squares(values: Predictions, weights: Weights = None) -> Float[np.ndarray, " c"]:
    """Of each column."""
    return np.array([root_mean_square(column[:, None], weights) for column in values.T])


def spread(
    values: Predictions, weights: Weights = None, *, otherwise: Float[np.ndarray, " c"] | float = 1.0
) -> Float[np.ndarray, " c"]:
    """The standard deviation of each column; of a constant one something else in its unit, or 1 where that is zero."""
    found = root_mean_squares(values - np.average(values, axis=0, weights=weights), weights)
    # The mean of equal numbers may be off them by rounding.
    found = np.where(np.ptp(values, axis=0) > 0, found, otherwise)
    return np.where(found > 0, found, 1.0)


def allowed_deviation(errors: Float[np.ndarray, " c"], tolerance: float) -> Float[np.ndarray, " c"]:
    """The root mean square deviations that a relative change t of root mean squared errors answers to.

    Deviations that know nothing of the residuals add to them as squares, so it is ``sqrt((1 + t)^2 - 1)`` times the
    error: 0.14 for 1 %. Derived here.
    """
    return errors * float(np.sqrt((1 + tolerance) ** 2 - 1))


def most_cost(cost: float, tolerance: float) -> float:
    """Up to which cost a smaller model may come, where costs may be negative."""
    return float((1 + np.copysign(tolerance, cost)) * cost)


class Yardstick(ABC):
    """By what the change of predictions is judged, for some rows and one kind of targets."""

    weights: Weights = None

    def changes(self, before: Predictions, after: Predictions) -> Predictions:
        """How far each moved, as a `nucleate.reduction.Certificate` says it."""
        return np.asarray(after - before)

    @abstractmethod
    def deviation(self, before: Predictions, after: Predictions) -> Any:
        """How far they moved: a number, or one for each target."""

    def distance(self, before: Predictions, after: Predictions) -> float:
        """The same in one number, to choose by."""
        return float(self.deviation(before, after))

    def allowed(self, before: Predictions, tolerance: float) -> Any:
        """How far they may move at a relative change of the metric."""
        return tolerance

    def further_costs(self, predicted: Predictions) -> tuple[float, ...]:
        """What is held to the tolerance beside the metric, smaller being better."""
        return ()

    @abstractmethod
    def details(self, before: Predictions, after: Predictions, rows: int) -> dict[str, Any]:
        """What a certificate says beside the deviations, of so many rows."""


@dataclass(frozen=True, eq=False)
class OfAmounts(Yardstick):
    """The root mean square of the changes of each target, in its own unit.

    Whatever the loss and its metric are, what is allowed is taken of the original's root mean squared error, target by
    target: of all together, nothing would be asked of a target whose numbers are small. The spread of each is that on
    other rows.
    """

    true: Predictions
    spread: Float[np.ndarray, " c"]
    weights: Weights = None

    def changes(self, before: Predictions, after: Predictions) -> Predictions:
        return (after - before) / (self.spread if self._are_several else 1.0)

    def deviation(self, before: Predictions, after: Predictions) -> Float[np.ndarray, " c"]:
        return root_mean_squares(after - before, self.weights)

    def distance(self, before: Predictions, after: Predictions) -> float:
        return float((self.deviation(before, after) / self.spread).max())

    def allowed(self, before: Predictions, tolerance: float) -> Float[np.ndarray, " c"]:
        return allowed_deviation(self._errors(before), tolerance)

    def details(self, before: Predictions, after: Predictions, rows: int) -> dict[str, Any]:
        moved, errors = self.deviation(before, after), self._errors(before)
        # A target that is met exactly, as one of zeros behind a ReLU is, may stay where it is.
        shares = np.divide(moved, errors, out=np.where(moved > 0, np.inf, 0.0), where=errors > 0)
        return {
            "relative_deviation": float(shares.max()),
            "spreads": tuple(self.spread.tolist()) if self._are_several else (),
        }

    @property
    def _are_several(self) -> bool:
        return len(self.spread) > 1

    def _errors(self, before: Predictions) -> Float[np.ndarray, " c"]:
        return root_mean_squares(before - self.true, self.weights)


@dataclass(frozen=True, eq=False)
class OfClasses(Yardstick):
    """The share of labels that are others; the tolerance itself is allowed.

    The balanced accuracy is asked for too, where the truth is known: a rare class has fewer labels than may change.
    """

    true: Predictions | None
    weights: Weights = None

    def deviation(self, before: Predictions, after: Predictions) -> float:
        return float(np.average(_have_changed(before, after), weights=self.weights))

    def further_costs(self, predicted: Predictions) -> tuple[float, ...]:
        if self.true is None:
            return ()
        return (BALANCED_ACCURACY.cost(BALANCED_ACCURACY(predicted, self.true, self.weights)),)

    def details(self, before: Predictions, after: Predictions, rows: int) -> dict[str, Any]:
        changed = _have_changed(before, after).reshape(rows, -1).any(axis=1)
        return {"labels_changed": int(np.count_nonzero(changed))}


def _have_changed(before: Predictions, after: Predictions) -> Bool[np.ndarray, " n"]:
    return before.argmax(axis=1) != after.argmax(axis=1)


def yardstick(problem: Problem, part: Split) -> Yardstick:
    """That of the problem's kind of targets, for what `predictions` says of the rows of a part."""
    if problem.loss.of_classes:
        return OfClasses(part.y, part.weights)
    units, train = problem.preprocessing.units, problem.train
    return OfAmounts(part.y * units, spread(train.y * units, train.weights), part.weights)


def predictions(problem: Problem, outputs: Predictions) -> Predictions:
    """What outputs predict, in the targets' own units but from their means, or class probabilities."""
    return problem.loss.link(np.asarray(outputs, np.float64)) * problem.preprocessing.units


class Tolerance:
    """A relative change of the original's metric, and the change of the predictions that would explain it.

    Both are asked for: with the metric alone, the best of many small models is one that was lucky on the validation
    rows.
    """

    def __init__(self, yardstick: Yardstick, before: Predictions, cost: float, tolerance: float) -> None:
        self._yardstick, self._before = yardstick, before
        self._deviation = yardstick.allowed(before, tolerance)
        self._most = [most_cost(one, tolerance) for one in (cost, *yardstick.further_costs(before))]

    def __call__(self, predicted: Predictions, cost: Callable[[], float]) -> bool:
        """Whether a model of these predictions, and of this cost by its metric, is within the tolerance."""
        if not np.all(self._yardstick.deviation(self._before, predicted) <= self._deviation):
            return False
        costs = (cost(), *self._yardstick.further_costs(predicted))
        return all(one <= most for one, most in zip(costs, self._most, strict=True))


def fits_within(problem: Problem, network: Network, tolerance: float) -> Callable[[Float[np.ndarray, "v c"]], bool]:
    """Whether outputs on the validation rows are within the tolerance of those of a network."""
    check_tolerance(tolerance)
    part = problem.validation

    def cost(outputs: Float[np.ndarray, "v c"]) -> float:
        return problem.loss.metric.cost(problem.metric(outputs, part.y, part.weights))

    before = outputs_of(network, part.x)
    within = Tolerance(yardstick(problem, part), predictions(problem, before), cost(before), tolerance)
    return lambda after: bool(np.isfinite(after).all()) and within(predictions(problem, after), lambda: cost(after))


def check_tolerance(tolerance: Any) -> None:
    """Refuse a tolerance that is not between 0 and 1."""
    if not (isinstance(tolerance, Real) and 0 < float(tolerance) < 1):
        raise SpecError(f"The tolerance is {tolerance!r:.60}; it must be between 0 and 1, such as 0.01 for 1 %.")
