"""Losses, what outputs predict under them, and the metrics that people read."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float

from nucleate._wording import choose_one, shown
from nucleate.devices import in_float64
from nucleate.errors import SpecError


@dataclass(frozen=True)
class Link:
    """From a network's outputs to what they predict.

    Parameters
    ----------
    name : str
    function : callable
        From outputs of shape (n, c) to predictions of the same shape, by `jax.numpy`.
    target_kind : {"numeric", "categorical"}
        Of the target columns it is for: amounts, or the classes of one column, one output a class.
    task : str
        What people call such a problem.
    standardized : bool
        Whether numeric targets are standardized for it.
    onnx : callable or None
        The function as nodes of an ONNX graph, as in `nucleate.Activation`.
    """

    name: str
    function: Callable[[Float[Array, "n c"]], Float[Array, "n c"]] = field(repr=False)
    target_kind: Literal["numeric", "categorical"] = "numeric"
    task: str = "regression"
    standardized: bool = True
    onnx: Callable[[Any, str], str] | None = field(default=None, repr=False)

    @in_float64
    def __call__(self, outputs: Float[Array | np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
        return _predictions(self, outputs)


@in_float64
@partial(jax.jit, static_argnames="link")
def _predictions(link: Link, outputs: Float[Array, "n c"]) -> Float[Array, "n c"]:
    return link.function(outputs)


@dataclass(frozen=True)
class Metric:
    """A number that people judge predictions by.

    Parameters
    ----------
    name : str
        Columns of tables carry it: ``test_<name>``.
    value : callable
        From predictions and truth, arrays of shape (n, c) in the targets' own units (or class probabilities and one-hot
        labels), to the number.
    larger_is_better : bool
    is_share : bool
        Whether it is a share, to be read as a percentage.
    """

    name: str
    value: Callable[[Float[np.ndarray, "n c"], Float[np.ndarray, "n c"]], float] | None = field(repr=False)
    larger_is_better: bool = False
    is_share: bool = False

    def cost(self, value: float) -> float:
        """The number, turned so that smaller is better."""
        return -value if self.larger_is_better else value


def _same(outputs: Float[Array, "n c"]) -> Float[Array, "n c"]:
    return outputs


def _same_signal(graph: Any, signal: str) -> str:
    return signal


def _softmax(outputs: Float[Array, "n c"]) -> Float[Array, "n c"]:
    return jax.nn.softmax(outputs, axis=1)


def _root_mean_squared_error(predicted: Float[np.ndarray, "n c"], true: Float[np.ndarray, "n c"]) -> float:
    return float(np.sqrt(np.mean((predicted - true) ** 2)))


def _accuracy(predicted: Float[np.ndarray, "n c"], true: Float[np.ndarray, "n c"]) -> float:
    """Predictions that are not finite count as wrong."""
    right = predicted.argmax(axis=1) == true.argmax(axis=1)
    return float(np.mean(right & np.isfinite(predicted).all(axis=1)))


def _mean_absolute_error(predicted: Float[np.ndarray, "n c"], true: Float[np.ndarray, "n c"]) -> float:
    return float(np.mean(np.abs(predicted - true)))


def _explained(predicted: Float[np.ndarray, "n c"], true: Float[np.ndarray, "n c"]) -> float:
    """NaN where a target has one value on all the rows."""
    spread = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    if not spread.all():
        return math.nan
    return float(np.mean(1 - ((predicted - true) ** 2).sum(axis=0) / spread))


def _balanced_accuracy(predicted: Float[np.ndarray, "n c"], true: Float[np.ndarray, "n c"]) -> float:
    """Over the classes that have rows; predictions that are not finite count as wrong."""
    labels = true.argmax(axis=1)
    right = (predicted.argmax(axis=1) == labels) & np.isfinite(predicted).all(axis=1)
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def _log_loss(predicted: Float[np.ndarray, "n c"], true: Float[np.ndarray, "n c"]) -> float:
    given = np.take_along_axis(predicted, true.argmax(axis=1)[:, None], axis=1)
    return float(-np.mean(np.log(np.maximum(given, np.finfo(np.float64).tiny))))


IDENTITY = Link("identity", _same, onnx=_same_signal)
SOFTMAX = Link("softmax", _softmax, "categorical", "classification")

RMSE = Metric("rmse", _root_mean_squared_error)
"""The root mean squared error over rows and targets, in the targets' own units."""
MAE = Metric("mae", _mean_absolute_error)
"""The mean absolute error over rows and targets, in the targets' own units."""
R2 = Metric("r2", _explained, larger_is_better=True)
"""The share of the targets' variance that is explained, averaged over targets: 1 is perfect, 0 is their mean."""
ACCURACY = Metric("accuracy", _accuracy, larger_is_better=True, is_share=True)
"""The share of right labels."""
BALANCED_ACCURACY = Metric("balanced_accuracy", _balanced_accuracy, larger_is_better=True, is_share=True)
"""The share of right labels in each class, averaged over the classes: 1/c where always the commonest of c is said."""
LOG_LOSS = Metric("log_loss", _log_loss)
"""Minus the logarithm of the probability that the true class was given, on average."""


@dataclass(frozen=True)
class Loss:
    """What training makes small: the mean over rows of a cost of outputs, whose infimum is zero.

    Parameters
    ----------
    name : str
    value : callable
        From outputs and targets, both of shape (n, c), to the cost of each row, of shape (n,), by `jax.numpy`. It is
        never negative and can be brought to zero, so that a share of the loss means a share of what can be learnt.
    link : Link
    metric : Metric
    is_quadratic : bool
        Whether the cost is half the squared distance, so that second moments tell it all of a linear network.
    best_constant : callable or None
        From targets (n, c) to the outputs (c,) with the least loss that do not depend on the inputs; where it is not
        given they are found numerically.
    further : tuple of Metric
        What people want to see beside ``metric``.

    Examples
    --------
    >>> def pseudo_huber(outputs, y):
    ...     return jnp.sum(jnp.sqrt(1 + (outputs - y) ** 2) - 1, axis=1)
    >>> robust = Loss("pseudo-huber", pseudo_huber)
    >>> y = np.array([[0.0], [0.0], [3.0]])
    >>> round(robust(np.zeros((3, 1)), y), 4), robust.constant_outputs(y).round(2)
    (0.7208, array([0.52]))
    >>> float(robust.residual(np.zeros((3, 1)), y)[2, 0].round(3))
    0.949
    """

    name: str
    value: Callable[[Float[Array, "n c"], Float[Array, "n c"]], Float[Array, " n"]] | None = field(repr=False)
    link: Link = IDENTITY
    metric: Metric = RMSE
    is_quadratic: bool = False
    best_constant: Callable[[Float[np.ndarray, "n c"]], Float[np.ndarray, " c"]] | None = field(
        default=None, repr=False
    )
    further: tuple[Metric, ...] = ()

    def rows(self, outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, " n"]:
        """The cost of each row, for compiled code.

        Raises
        ------
        SpecError
            If the loss is known by its name alone, as one of your own read from a study folder is.
        """
        if self.value is None:
            raise SpecError(f"The loss {self.name!r} is not one of {', '.join(LOSSES)}; pass it as a Loss object.")
        return self.value(outputs, y)

    def __call__(self, outputs: Float[Array | np.ndarray, "n c"], y: Float[Array | np.ndarray, "n c"]) -> Any:
        """The mean over rows: a number, or while JAX traces, a tracer."""
        mean = _mean(self, outputs, y)
        return mean if isinstance(mean, jax.core.Tracer) else float(mean)

    @in_float64
    def residual(
        self, outputs: Float[Array | np.ndarray, "n c"], y: Float[Array | np.ndarray, "n c"]
    ) -> Float[np.ndarray, "n c"]:
        """``-n`` times the gradient of the loss by the outputs: for the package's own losses truth minus prediction."""
        return _residual(self, outputs, y)

    def check(self, y: Float[np.ndarray, "n c"]) -> None:
        """Refuse a loss that is not one number for each row, none of them negative.

        Parameters
        ----------
        y : array of shape (n, c)
            Targets, for which outputs of zero are tried.

        Raises
        ------
        SpecError
            With what it gives instead.
        """
        if self.value is not None and LOSSES.get(self.name) != self:
            _check(self, y)

    def constant_outputs(self, y: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " c"]:
        """The outputs with the least loss that do not depend on the inputs."""
        if self.best_constant is not None:
            return self.best_constant(y)

        def loss(constant: Float[np.ndarray, " c"]) -> tuple[float, Float[np.ndarray, " c"]]:
            outputs = np.broadcast_to(constant, y.shape)
            return self(outputs, y), -self.residual(outputs, y).mean(axis=0)

        return np.asarray(scipy.optimize.minimize(loss, np.zeros(y.shape[1]), jac=True, method="BFGS", tol=1e-9).x)

    def constant_loss(self, y: Float[np.ndarray, "n c"]) -> float:
        """The loss of `constant_outputs`: what is left to learn for whoever knows the targets' distribution alone."""
        return self(np.broadcast_to(self.constant_outputs(y), y.shape), y)


def _check(loss: Loss, y: Float[np.ndarray, "n c"]) -> None:
    try:
        rows = np.asarray(in_float64(loss.rows)(jnp.zeros(y.shape), jnp.asarray(y)))
        residual = loss.residual(np.zeros(y.shape), y)
    except SpecError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        raise SpecError(
            f"The loss {loss.name!r} cannot be computed ({reason}); it takes outputs and targets of shape (n, c), and "
            "gives the cost of each row by jax.numpy."
        ) from error
    if rows.shape != y.shape[:1]:
        raise SpecError(
            f"The loss {loss.name!r} gives an array of shape {rows.shape} for {len(y)} rows; it must give one number a "
            f"row, of shape ({len(y)},): sum over axis 1, and leave the mean over rows to training."
        )
    if not (np.isfinite(rows).all() and np.isfinite(residual).all()):
        raise SpecError(
            f"The loss {loss.name!r} or its gradient is NaN or infinite where outputs are zero; correct it."
        )
    if rows.min() < 0:
        raise SpecError(
            f"The loss {loss.name!r} is {rows.min():.4g} for a row; no cost may be negative, so that a share of the "
            "loss means a share of what can be learned. Add what brings its smallest value to zero."
        )


@in_float64
@partial(jax.jit, static_argnames="loss")
def _mean(loss: Loss, outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, ""]:
    return jnp.mean(loss.rows(outputs, y))


@in_float64
@partial(jax.jit, static_argnames="loss")
def _residual(loss: Loss, outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, "n c"]:
    return -jax.grad(lambda at: jnp.sum(loss.rows(at, y)))(outputs)


def _squared_error(outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, " n"]:
    return 0.5 * jnp.sum((outputs - y) ** 2, axis=1)


def _cross_entropy(outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, " n"]:
    return -jnp.sum(y * jax.nn.log_softmax(outputs, axis=1), axis=1)


def _mean_of_targets(y: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " c"]:
    mean: np.ndarray = y.mean(axis=0)
    return mean


def _log_frequencies(y: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " c"]:
    # A class without a row has a frequency of zero, whose logarithm times zero would be NaN.
    return np.log(np.maximum(y.mean(axis=0), np.finfo(np.float64).tiny))


SQUARED = Loss("squared", _squared_error, further=(MAE, R2), is_quadratic=True, best_constant=_mean_of_targets)
"""``1/(2n) sum_i |f_i - y_i|^2``, the empirical risk of Chen and Luo, arXiv 2402.15958."""
CROSS_ENTROPY = Loss(
    "cross_entropy",
    _cross_entropy,
    SOFTMAX,
    ACCURACY,
    further=(BALANCED_ACCURACY, LOG_LOSS),
    best_constant=_log_frequencies,
)
"""``-1/n sum_i y_i . log softmax(f_i)`` with the softmax over columns and one-hot rows ``y_i``."""
METRICS = {metric.name: metric for metric in (RMSE, ACCURACY)}
LOSSES = {loss.name: loss for loss in (SQUARED, CROSS_ENTROPY)}
DEFAULT_LOSSES = {loss.link.task: loss for loss in (SQUARED, CROSS_ENTROPY)}
"""By the name that people give the task."""


def get_loss(given: Any, *, known: bool = True) -> Loss:
    """The loss of that name; a `Loss` is returned as it is.

    Parameters
    ----------
    given : str or Loss
    known : bool
        Whether the name must be one of `LOSSES`; otherwise another gives one that cannot train, but can be named.

    Returns
    -------
    Loss

    Raises
    ------
    SpecError
        For another name, or something else.
    """
    if isinstance(given, Loss):
        return given
    if isinstance(given, str) and given in LOSSES:
        return LOSSES[given]
    if isinstance(given, str) and not known:
        return Loss(given, None)
    raise SpecError(f"There is no loss {shown(given)}{choose_one(given, LOSSES)}, or in Python pass a Loss.")
