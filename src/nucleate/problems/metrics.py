"""The metrics that people read, of predictions and truth in the targets' own units."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int, Shaped

from nucleate._arrays import is_truth, takes
from nucleate._wording import FROM_PYTHON, shown
from nucleate.errors import SpecError


@dataclass(frozen=True)
class Metric:
    """A number that people judge predictions by.

    Parameters
    ----------
    name : str
        Columns of tables carry it: ``test_<name>``. What it is held against, if anything, stands behind a colon.
    value : callable
        From predictions and truth, arrays of shape (n, c) in the targets' own units (or class probabilities and one-hot
        labels), to the number. Where rows have weights, these are a third argument, of shape (n,); a value that takes
        none is refused then.
    larger_is_better : bool
    is_share : bool
        Whether it is a share, to be read as a percentage.
    each : callable, optional
        Where the number is a function of a mean over rows, as most are: from predictions and truth to what is averaged,
        of shape (n,) or (n, c). Comparisons, which leave out rows again and again, are then many times faster.
    of_mean : callable
        That function, which takes arrays too.

    Raises
    ------
    SpecError
        For a name that is no text, or another argument of another kind.
    """

    name: str
    value: Callable[..., float] | None = field(repr=False)
    larger_is_better: bool = False
    is_share: bool = False
    each: Callable[..., Shaped[np.ndarray, "n *c"]] | None = field(default=None, repr=False)
    of_mean: Callable[..., Any] = field(default=np.positive, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise SpecError(f"A metric's name is {shown(self.name)}; give a text, by which tables and files call it.")
        for what, optional in (("value", True), ("each", True), ("of_mean", False)):
            given = getattr(self, what)
            if not callable(given) and not (given is None and optional):
                raise SpecError(
                    f"The {what} of the metric {self.name!r} is {shown(given)}; give a function"
                    f"{', or leave it out' if what != 'value' else ' of predictions and truth'}."
                )
        for what in ("larger_is_better", "is_share"):
            if not is_truth(given := getattr(self, what)):
                raise SpecError(f"The {what} of the metric {self.name!r} is {shown(given)}; give True or False.")

    def cost(self, value: float) -> float:
        """The number, turned so that smaller is better.

        Parameters
        ----------
        value : float

        Returns
        -------
        float
        """
        return -value if self.larger_is_better else value

    def __call__(
        self,
        predicted: Float[np.ndarray, "n c"],
        true: Float[np.ndarray, "n c"],
        weights: Float[np.ndarray, " n"] | None = None,
    ) -> float:
        """The number, of rows that may have weights.

        Raises
        ------
        SpecError
            If the metric is known by its name alone, or takes no weights where there are some.
        """
        if self.value is None:
            raise SpecError(
                f"The metric {self.name!r} is known by its name alone; pass the Loss it belongs to {FROM_PYTHON}."
            )
        if weights is None:
            return self.value(predicted, true)
        self.check_weights()
        return self.value(predicted, true, weights)

    def without(
        self,
        parts: Int[np.ndarray, " n"],
        predicted: Float[np.ndarray, "n c"],
        true: Float[np.ndarray, "n c"],
        weights: Float[np.ndarray, " n"] | None = None,
    ) -> Float[np.ndarray, " parts"]:
        """The number without each of some parts of the rows.

        Parameters
        ----------
        parts : array of shape (n,)
            Of which part each row is, counted from 0; there are two at least.
        predicted, true, weights
            As the metric takes them.

        Returns
        -------
        array of shape (parts,)

        Raises
        ------
        SpecError
            As a call.

        Examples
        --------
        >>> RMSE.without(np.array([0, 1]), np.array([[3.0], [4.0]]), np.zeros((2, 1)))
        array([4., 3.])
        """
        if self.each is None:
            others = (parts != part for part in range(parts.max() + 1))
            return np.array(
                [self(predicted[rows], true[rows], None if weights is None else weights[rows]) for rows in others]
            )
        each = self.each(predicted, true).reshape(len(true), -1).mean(axis=1)
        sums = np.bincount(parts, each if weights is None else weights * each)
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.of_mean(_others(sums) / _others(np.bincount(parts, weights)))

    def check_weights(self) -> None:
        """Refuse a metric that cannot be computed of rows that have weights.

        Raises
        ------
        SpecError
        """
        if self.value is not None and not takes(self.value, 3):
            raise SpecError(
                f"The metric {self.name!r} takes no weights; let its value take them as a third argument, or leave the "
                "weights out."
            )


Rows = Float[np.ndarray, "n c"]
Weights = Float[np.ndarray, " n"] | None


def _mean(values: Shaped[np.ndarray, "n *c"], weights: Weights) -> float:
    """Over all entries, of rows that may have weights."""
    return float(np.mean(values if weights is None else np.average(values, axis=0, weights=weights)))


def _others(parts: Shaped[np.ndarray, " parts"]) -> Float[np.ndarray, " parts"]:
    """For each the sum of the others: of those before and those behind, as what is subtracted would leave rounding.

    >>> _others(np.array([1.0, np.inf, 3.0]))
    array([inf,  4., inf])
    """
    before, behind = (np.cumsum(np.append(0.0, side)) for side in (parts[:-1], parts[:0:-1]))
    return before + behind[::-1]


def _squared_errors(predicted: Rows, true: Rows) -> Rows:
    return (predicted - true) ** 2


def _root_mean_squared_error(predicted: Rows, true: Rows, weights: Weights = None) -> float:
    return float(np.sqrt(_mean(_squared_errors(predicted, true), weights)))


def _are_right(predicted: Rows, true: Rows) -> Bool[np.ndarray, " n"]:
    """Predictions that are not finite count as wrong."""
    return (predicted.argmax(axis=1) == true.argmax(axis=1)) & np.isfinite(predicted).all(axis=1)


def _accuracy(predicted: Rows, true: Rows, weights: Weights = None) -> float:
    return _mean(_are_right(predicted, true), weights)


def _errors(predicted: Rows, true: Rows) -> Rows:
    return np.abs(predicted - true)


def _mean_absolute_error(predicted: Rows, true: Rows, weights: Weights = None) -> float:
    return _mean(_errors(predicted, true), weights)


def _explained(predicted: Rows, true: Rows, weights: Weights = None) -> float:
    """NaN where a target has one value on all the rows."""
    center = np.average(true, axis=0, weights=weights)
    squares, spread = ((true - at) ** 2 for at in (predicted, center))
    if weights is not None:
        squares, spread = weights[:, None] * squares, weights[:, None] * spread
    spread = spread.sum(axis=0)
    # The mean of equal numbers may be off them by rounding.
    if not spread.all() or (true == true[:1]).all(axis=0).any():
        return math.nan
    return float(np.mean(1 - squares.sum(axis=0) / spread))


def _balanced_accuracy(predicted: Rows, true: Rows, weights: Weights = None) -> float:
    """Over the classes that have rows; predictions that are not finite count as wrong."""
    labels, right = true.argmax(axis=1), _are_right(predicted, true)
    of_class = [labels == label for label in np.unique(labels)]
    return float(np.mean([_mean(right[rows], None if weights is None else weights[rows]) for rows in of_class]))


def _log_loss(predicted: Rows, true: Rows, weights: Weights = None) -> float:
    given = np.take_along_axis(predicted, true.argmax(axis=1)[:, None], axis=1)
    return -_mean(np.log(np.maximum(given, np.finfo(np.float64).tiny)), weights)


def _pinballs(level: float, predicted: Rows, true: Rows) -> Rows:
    over = true - predicted
    return np.maximum(level * over, (level - 1) * over)


def _pinball(level: float, predicted: Rows, true: Rows, weights: Weights = None) -> Float[np.ndarray, " c"]:
    return np.average(_pinballs(level, predicted, true), axis=0, weights=weights)


def _pinball_loss(level: float, predicted: Rows, true: Rows, weights: Weights = None) -> float:
    return float(_pinball(level, predicted, true, weights).mean())


def _pinball_explained(level: float, predicted: Rows, true: Rows, weights: Weights = None) -> float:
    constant = _pinball(level, quantiles_of(level, true, weights), true, weights)
    return _share_explained(_pinball(level, predicted, true, weights), constant)


def _coverage(predicted: Rows, true: Rows, weights: Weights = None) -> float:
    return _mean(true <= predicted, weights)


def _divergences(predicted: Rows, true: Rows) -> Rows:
    return scipy.special.kl_div(true, predicted)


def _deviances(predicted: Rows, true: Rows, weights: Weights = None) -> Float[np.ndarray, " c"]:
    return 2 * np.average(_divergences(predicted, true), axis=0, weights=weights)


def _deviance(predicted: Rows, true: Rows, weights: Weights = None) -> float:
    return float(_deviances(predicted, true, weights).mean())


def _deviance_explained(predicted: Rows, true: Rows, weights: Weights = None) -> float:
    constant = _deviances(np.average(true, axis=0, weights=weights), true, weights)
    return _share_explained(_deviances(predicted, true, weights), constant)


def _share_explained(left: Float[np.ndarray, " c"], constant: Float[np.ndarray, " c"]) -> float:
    """Averaged over targets; NaN where the best constant of these rows leaves nothing to explain."""
    return float(np.mean(1 - left / constant)) if constant.all() else math.nan


def quantiles_of(level: float, y: Rows, weights: Weights = None) -> Float[np.ndarray, " c"]:
    """One of the values: what lies between two of them may have a larger loss than either."""
    return np.quantile(y, level, axis=0, method="inverted_cdf", weights=weights)


RMSE = Metric("rmse", _root_mean_squared_error, each=_squared_errors, of_mean=np.sqrt)
"""The root mean squared error over rows and targets, in the targets' own units."""
MAE = Metric("mae", _mean_absolute_error, each=_errors)
"""The mean absolute error over rows and targets, in the targets' own units."""
R2 = Metric("r2", _explained, larger_is_better=True)
"""The share of the targets' variance that is explained, averaged over targets: 1 is perfect, 0 is their mean."""
ACCURACY = Metric("accuracy", _accuracy, larger_is_better=True, is_share=True, each=_are_right)
"""The share of right labels."""
BALANCED_ACCURACY = Metric("balanced_accuracy", _balanced_accuracy, larger_is_better=True, is_share=True)
"""The share of right labels in each class, averaged over the classes: 1/c where always the commonest of c is said."""
LOG_LOSS = Metric("log_loss", _log_loss)
"""Minus the logarithm of the probability that the true class was given, on average."""
DEVIANCE = Metric("deviance", _deviance, each=_divergences, of_mean=partial(np.multiply, 2))
"""Poisson's deviance of counts from the predicted rates, averaged over rows and targets: 0 is perfect."""
DEVIANCE_EXPLAINED = Metric("d2", _deviance_explained, larger_is_better=True)
"""The share of Poisson's deviance that is explained, averaged over targets: 1 is perfect, 0 is their mean."""
METRICS = {metric.name: metric for metric in (RMSE, ACCURACY)}


def pinball_loss(level: float) -> Metric:
    """The pinball loss of a quantile, averaged over rows and targets, in the targets' own units."""
    return Metric("pinball_loss", partial(_pinball_loss, level), each=partial(_pinballs, level))


def pinball_explained(level: float) -> Metric:
    """The share of that loss that is explained, averaged over targets: 1 is perfect, 0 is the rows' own quantile."""
    return Metric("d2", partial(_pinball_explained, level), larger_is_better=True)


def coverage(level: float) -> Metric:
    """The share of rows and targets at or below the prediction, which is to be ``level``."""
    return Metric(f"coverage:{level:g}", _coverage, is_share=True)
