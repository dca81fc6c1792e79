"""Losses: what training makes small, and the package's own by name."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy
from jaxtyping import Array, Float

from nucleate._arrays import is_real, is_truth, real_array, takes
from nucleate._wording import FROM_PYTHON, choose_one, say_error, shortest, shown
from nucleate.devices import in_float64
from nucleate.errors import SpecError
from nucleate.problems.links import COUNTS, EXPONENTIAL, IDENTITY, SOFTMAX, Domain, Link
from nucleate.problems.metrics import (
    ACCURACY,
    BALANCED_ACCURACY,
    DEVIANCE,
    DEVIANCE_EXPLAINED,
    LOG_LOSS,
    MAE,
    R2,
    RMSE,
    Metric,
    coverage,
    pinball_explained,
    pinball_loss,
    quantiles_of,
)
from nucleate.problems.moments import relative_weights

_SWEEPS, _SIMPLEX = 10, 0.05
_TRIED, _REACHES = 100, (0.1, 1.0, 30.0)
"""So many rows show whether a loss is quadratic, at outputs of these sizes beside the largest target."""


@dataclass(frozen=True)
class Loss:
    """What training makes small: the mean over rows of a cost of outputs, whose infimum is zero.

    Parameters
    ----------
    name : str
    value : callable
        From outputs and targets, both of shape (n, c), to the cost of each row, of shape (n,), by `jax.numpy`. It is
        never negative and can be brought to zero, so that a share of the loss means a share of what can be learned.
    link : Link
    metric : Metric
    is_quadratic : bool
        Whether the cost is half the squared distance, so that second moments tell it all of a linear network.
    best_constant : callable or None
        From targets (n, c) to the outputs (c,) with the least loss that do not depend on the inputs; where it is not
        given, or rows have weights and it does not take them as a second argument, they are found numerically.
    further : tuple of Metric
        What people want to see beside ``metric``.
    domain : Domain or None
        The values that a target may have; None allows every number.
    smooth : callable or None
        A cost nearly the same without kinks, by which linear models are fitted.

    Raises
    ------
    SpecError
        For a name that is no text, or another argument of another kind, such as a metric that is given by its name.

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
    best_constant: Callable[..., Float[np.ndarray, " c"]] | None = field(default=None, repr=False)
    further: tuple[Metric, ...] = ()
    domain: Domain | None = None
    smooth: Callable[[Float[Array, "n c"], Float[Array, "n c"]], Float[Array, " n"]] | None = field(
        default=None, repr=False
    )

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise SpecError(f"A loss's name is {shown(self.name)}; give a text, by which tables and files call it.")
        for what, fits, expected in (
            ("value", _may_be_called, "a function of outputs and targets"),
            ("link", _of_kind(Link), "a Link, such as nucleate.problems.SOFTMAX"),
            ("metric", _of_kind(Metric), "a Metric, such as nucleate.problems.RMSE"),
            ("is_quadratic", is_truth, "True or False"),
            ("best_constant", _may_be_called, "a function of the targets, or leave it out"),
            ("further", _are_metrics, "a tuple of Metrics, such as (nucleate.problems.RMSE,)"),
            ("domain", _of_kind(Domain | None), "a Domain, such as nucleate.problems.COUNTS"),
            ("smooth", _may_be_called, "a function of outputs and targets, or leave it out"),
        ):
            if not fits(given := getattr(self, what)):
                raise SpecError(f"The {what} of the loss {self.name!r} is {shown(given)}; give {expected}.")

    @property
    def is_built_in(self) -> bool:
        """Whether it is one of the package's own, which its name alone tells."""
        return self.value is not None and _of_the_package(self.name) is self

    @property
    def of_classes(self) -> bool:
        """Whether targets are the classes of one column, with an output for each; otherwise they are amounts."""
        return self.link.target_kind == "categorical"

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return (get_loss, (self.name,)) if self.is_built_in else super().__reduce_ex__(protocol)

    def rows(self, outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, " n"]:
        """The cost of each row, for compiled code.

        Parameters
        ----------
        outputs : array of shape (n, c)
        y : array of shape (n, c)
            Targets.

        Returns
        -------
        array of shape (n,)

        Raises
        ------
        SpecError
            If the loss is known by its name alone, as one of your own read from a study folder is.
        """
        if self.value is None:
            raise SpecError(
                f"The loss {self.name!r} is known by its name alone; pass it as a Loss object {FROM_PYTHON}."
            )
        return self.value(outputs, y)

    def __call__(
        self,
        outputs: Float[Array | np.ndarray, "n c"],
        y: Float[Array | np.ndarray, "n c"],
        weights: Float[np.ndarray, " n"] | None = None,
    ) -> Any:
        """The mean over rows, which may have weights: a number, or while JAX traces, a tracer."""
        if self.value is _squared_error and not any(isinstance(one, jax.core.Tracer) for one in (outputs, y, weights)):
            # The one that most commands ask for is known, and need not be compiled for each number of rows.
            with np.errstate(all="ignore"):
                apart = np.subtract(outputs, y, dtype=np.float64)
                return float(np.average(0.5 * np.sum(apart**2, axis=1), weights=weights))
        mean = _mean(self, outputs, y, weights)
        return mean if isinstance(mean, jax.core.Tracer) else float(mean)

    def of_rows(
        self, outputs: Float[Array | np.ndarray, "n c"], y: Float[Array | np.ndarray, "n c"]
    ) -> Float[np.ndarray, " n"]:
        """The cost of each row, in double precision.

        Parameters
        ----------
        outputs : array of shape (n, c)
        y : array of shape (n, c)
            Targets.

        Returns
        -------
        array of float64, shape (n,)
        """
        return _of_rows(self, outputs, y)

    @in_float64
    def residual(
        self,
        outputs: Float[Array | np.ndarray, "n c"],
        y: Float[Array | np.ndarray, "n c"],
        weights: Float[np.ndarray, " n"] | None = None,
    ) -> Float[np.ndarray, "n c"]:
        """``-n`` times the gradient of the loss by the outputs: for squared errors truth minus prediction.

        Where rows have weights, each is times its weight over their mean.

        Parameters
        ----------
        outputs : array of shape (n, c)
        y : array of shape (n, c)
            Targets.
        weights : array of shape (n,), optional
            What each row counts for.

        Returns
        -------
        array of float64, shape (n, c)
        """
        # That of squared errors is known too.
        residual: Any = y - outputs if self.value is _squared_error else _residual(self, outputs, y)
        return residual if weights is None else relative_weights(weights)[:, None] * residual

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
        if self.value is not None and not self.is_built_in:
            _check(self, y)

    def constant_outputs(
        self, y: Float[np.ndarray, "n c"], weights: Float[np.ndarray, " n"] | None = None
    ) -> Float[np.ndarray, " c"]:
        """The outputs with the least loss that do not depend on the inputs.

        Parameters
        ----------
        y : array of shape (n, c)
            Targets.
        weights : array of shape (n,), optional
            What each row counts for.

        Returns
        -------
        array of shape (c,)

        Raises
        ------
        SpecError
            If ``best_constant`` fails, or gives something else.
        """
        if self.best_constant is not None and (weights is None or takes(self.best_constant, 2)):
            try:
                best = real_array("It", self.best_constant(y) if weights is None else self.best_constant(y, weights))
            except Exception as error:
                raise SpecError(
                    f"The best_constant of the loss {self.name!r} cannot be computed ({say_error(error)[:160]}); it "
                    "takes targets of shape (n, c) and gives a number for each output; correct it, or leave it out."
                ) from error
            if best.shape != y.shape[1:] or not np.isfinite(best).all():
                gives = "NaN or infinity" if best.shape == y.shape[1:] else f"an array of shape {best.shape}"
                raise SpecError(
                    f"The best_constant of the loss {self.name!r} gives {gives}; it must give a number for each "
                    f"output, in shape {y.shape[1:]}; correct it, or leave it out."
                )
            return best

        def loss(constant: Float[np.ndarray, " c"]) -> tuple[float, Float[np.ndarray, " c"]]:
            outputs = np.broadcast_to(constant, y.shape)
            return self(outputs, y, weights), -self.residual(outputs, y, weights).mean(axis=0)

        return _lowest(loss, np.zeros(y.shape[1]))

    def constant_loss(self, y: Float[np.ndarray, "n c"], weights: Float[np.ndarray, " n"] | None = None) -> float:
        """The loss of `constant_outputs`: what is left to learn for whoever knows the targets' distribution alone.

        Parameters
        ----------
        y : array of shape (n, c)
            Targets.
        weights : array of shape (n,), optional
            What each row counts for.

        Returns
        -------
        float
        """
        return float(self(np.broadcast_to(self.constant_outputs(y, weights), y.shape), y, weights))


def _of_kind(kind: Any) -> Callable[[Any], bool]:
    return lambda given: isinstance(given, kind)


def _may_be_called(given: Any) -> bool:
    return given is None or callable(given)


def _are_metrics(given: Any) -> bool:
    return isinstance(given, tuple) and all(isinstance(one, Metric) for one in given)


def _lowest(
    loss: Callable[[Float[np.ndarray, " c"]], tuple[float, Float[np.ndarray, " c"]]], start: Float[np.ndarray, " c"]
) -> Float[np.ndarray, " c"]:
    """Where a loss, given with its gradient, is least: by L-BFGS, or at kinks, where it ends early, by trials alone."""
    # BFGS itself multiplies matrices of c x c numbers at each step, which takes minutes for a thousand outputs.
    found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 0.0})
    best: np.ndarray = np.asarray(found.x)
    if np.abs(loss(best)[1]).max() <= 1e-6:
        return best

    def value(at: Float[np.ndarray, " c"]) -> float:
        return loss(at)[0]

    for _ in range(_SWEEPS):
        before = value(best)
        # Each output by itself, which is all where a cost is a sum over outputs.
        for output in range(len(best)):
            best = _along(value, best, np.eye(len(best))[output])
        if len(best) > 1:
            # Where it is not, a kink may lie across the outputs.
            simplex = best + _SIMPLEX * np.vstack([np.zeros(len(best)), np.eye(len(best))])
            options = {"initial_simplex": simplex, "xatol": 1e-9, "fatol": 1e-13, "maxfev": 400 * len(best)}
            across = scipy.optimize.minimize(value, best, method="Nelder-Mead", options=options)
            best = across.x if across.fun < value(best) else best
        if value(best) >= before - 1e-12 * abs(before):
            break
    return best


def _along(
    value: Callable[[Float[np.ndarray, " c"]], float], start: Float[np.ndarray, " c"], way: Float[np.ndarray, " c"]
) -> Float[np.ndarray, " c"]:
    try:
        found = scipy.optimize.minimize_scalar(lambda by: value(start + by * way), bracket=(-0.1, 0.1), tol=1e-11)
    except RuntimeError:
        # A loss that falls for ever has no least.
        return start
    return start + found.x * way if found.fun < value(start) else start


def _check(loss: Loss, y: Float[np.ndarray, "n c"]) -> None:
    try:
        rows = np.asarray(in_float64(loss.rows)(jnp.zeros(y.shape), jnp.asarray(y)))
        residual = loss.residual(np.zeros(y.shape), y)
    except SpecError:
        raise
    except Exception as error:
        raise SpecError(
            f"The loss {loss.name!r} cannot be computed ({say_error(error)[:160]}); it takes outputs and targets of "
            "shape (n, c), and gives the cost of each row by jax.numpy."
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
    if loss.best_constant is not None:
        loss.constant_outputs(y)
    if loss.is_quadratic:
        # Near the targets and far from them, each output by another distance.
        some = y[:_TRIED]
        size = np.abs(some).max() or 1.0
        for reach in _REACHES:
            outputs = reach * size * np.cos(np.arange(some.size)).reshape(some.shape)
            if not np.allclose(loss.of_rows(outputs, some), SQUARED.of_rows(outputs, some), rtol=1e-5, atol=0):
                raise SpecError(
                    f"The loss {loss.name!r} is said to be quadratic, and its cost is not half the squared distance of "
                    "outputs and targets, by which forecasts go; leave is_quadratic out."
                )


@in_float64
@partial(jax.jit, static_argnames="loss")
def _mean(
    loss: Loss, outputs: Float[Array, "n c"], y: Float[Array, "n c"], weights: Float[Array, " n"] | None
) -> Float[Array, ""]:
    return jnp.average(loss.rows(outputs, y), weights=weights)


@in_float64
@partial(jax.jit, static_argnames="loss")
def _of_rows(loss: Loss, outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, " n"]:
    return loss.rows(outputs, y)


@in_float64
@partial(jax.jit, static_argnames="loss")
def _residual(loss: Loss, outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, "n c"]:
    return -jax.grad(lambda at: jnp.sum(loss.rows(at, y)))(outputs)


def _squared_error(outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, " n"]:
    return 0.5 * jnp.sum((outputs - y) ** 2, axis=1)


def _cross_entropy(outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, " n"]:
    return -jnp.sum(y * jax.nn.log_softmax(outputs, axis=1), axis=1)


def _mean_of_targets(
    y: Float[np.ndarray, "n c"], weights: Float[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, " c"]:
    return np.average(y, axis=0, weights=weights)


def _log_frequencies(
    y: Float[np.ndarray, "n c"], weights: Float[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, " c"]:
    # A class without a row has a frequency of zero, whose logarithm times zero would be NaN.
    return np.log(np.maximum(_mean_of_targets(y, weights), np.finfo(np.float64).tiny))


def _huber(delta: float, outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, " n"]:
    return jnp.sum(optax.huber_loss(outputs, y, delta=delta), axis=1)


def _huber_center(
    delta: float, y: Float[np.ndarray, "n c"], weights: Float[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, " c"]:
    """Where the residuals, none longer than ``delta``, add up to zero."""

    def pull(at: float, column: Float[np.ndarray, " n"]) -> float:
        pulls = np.clip(column - at, -delta, delta)
        return float((pulls if weights is None else weights * pulls).sum())

    return np.array([scipy.optimize.brentq(pull, one.min(), one.max(), (one,), xtol=1e-12) for one in y.T])


def _quantile(level: float, outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, " n"]:
    over = y - outputs
    return jnp.sum(jnp.maximum(level * over, (level - 1) * over), axis=1)


def _smooth_quantile(level: float, outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, " n"]:
    """A parabola in the place of the kink, within half a percent of the target's standard deviation."""
    over, width = y - outputs, 0.005 * jnp.std(y, axis=0)
    width = jnp.where(width > 0, width, 1.0)
    return jnp.sum((level - 0.5) * over + optax.huber_loss(over, delta=width) / (2 * width), axis=1)


def _poisson(outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, " n"]:
    """``e^f - y - y (f - log y)``, without the cancellation near ``f = log y``."""
    off = outputs - jnp.log(jnp.where(y > 0, y, 1.0))
    return jnp.sum(jnp.where(y > 0, y * (jnp.expm1(off) - off), jnp.exp(outputs)), axis=1)


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
POISSON = Loss(
    "poisson",
    _poisson,
    EXPONENTIAL,
    DEVIANCE,
    further=(DEVIANCE_EXPLAINED, MAE),
    best_constant=_log_frequencies,
    domain=COUNTS,
)
"""``1/n sum_i (e^f_i - y_i - y_i (f_i - log y_i))``: half the deviance from rates ``e^f``, of counts over their mean.

The saturated model, which predicts each count itself, has none."""


def huber(delta: float = 1.0) -> Loss:
    """Huber's loss: half the square of an error up to ``delta``, and beyond that as its length grows.

    Parameters
    ----------
    delta : float
        In what the network sees of the target: standard deviations on the training rows, where it is standardized.

    Returns
    -------
    Loss
        Judged by the mean absolute error.

    Raises
    ------
    SpecError
        If ``delta`` is not positive and finite.

    Examples
    --------
    >>> robust = huber(0.5)
    >>> robust.name, robust(np.array([[0.1], [3.0]]), np.zeros((2, 1)))
    ('huber:0.5', 0.69)
    """
    return _with_parameter("huber", delta)


def quantile(level: float = 0.5) -> Loss:
    """The pinball loss, smallest where the truth lies below the prediction with a chance of ``level``.

    Parameters
    ----------
    level : float
        Between 0 and 1; 0.5 is the median.

    Returns
    -------
    Loss
        Judged by itself in the target's own units; beside it stands the share of rows at or below the prediction.

    Raises
    ------
    SpecError
        If ``level`` is not between 0 and 1.

    Examples
    --------
    >>> high = quantile(0.9)
    >>> high(np.zeros((2, 1)), np.array([[1.0], [-1.0]])), [metric.name for metric in high.further]
    (0.5, ['coverage:0.9', 'd2'])
    """
    return _with_parameter("quantile", level)


@dataclass(frozen=True)
class _Family:
    """Losses with a parameter: how one is made, and which values the parameter may have."""

    make: Callable[[float], Loss]
    parameter: str
    default: float
    range: str
    above: float
    below: float


# The same object every time, for a loss's functions are equal to themselves alone.
@cache
def _huber_loss(delta: float) -> Loss:
    return Loss(
        f"huber:{shortest(delta)}",
        partial(_huber, delta),
        metric=MAE,
        further=(RMSE, R2),
        best_constant=partial(_huber_center, delta),
    )


@cache
def _quantile_loss(level: float) -> Loss:
    return Loss(
        f"quantile:{shortest(level)}",
        partial(_quantile, level),
        metric=pinball_loss(level),
        further=(coverage(level), pinball_explained(level)),
        best_constant=partial(quantiles_of, level),
        smooth=partial(_smooth_quantile, level),
    )


_FAMILIES = {
    "huber": _Family(_huber_loss, "delta", 1.0, "a positive number of the target's standard deviations", 0.0, np.inf),
    "quantile": _Family(_quantile_loss, "level", 0.5, "between 0 and 1", 0.0, 1.0),
}


def _with_parameter(name: str, given: Any) -> Loss:
    family = _FAMILIES[name]
    if not is_real(given) or not family.above < given < family.below:
        raise SpecError(
            f"The {family.parameter} of the loss {name} is {shown(given)}; it must be {family.range}, as in "
            f"{name}:{shortest(family.default)}."
        )
    return family.make(float(given))


LOSSES = {
    "squared": SQUARED,
    "huber": huber(),
    "quantile": quantile(),
    "poisson": POISSON,
    "cross_entropy": CROSS_ENTROPY,
}
"""By the name without a parameter, with which a loss that has one has its default."""
DEFAULT_LOSSES = {loss.link.task: loss for loss in (SQUARED, CROSS_ENTROPY)}
"""By the name that people give the task."""


def get_loss(given: Any, *, known: bool = True) -> Loss:
    """The loss of that name; a `Loss` is returned as it is.

    Parameters
    ----------
    given : str or Loss
        A parameter stands behind a colon, such as ``huber:0.5`` or ``quantile:0.9``.
    known : bool
        Whether the name must be one of `LOSSES`; otherwise another gives one that cannot train, but can be named.

    Returns
    -------
    Loss

    Raises
    ------
    SpecError
        For another name, a parameter out of range or of a loss that has none, or something else.

    Examples
    --------
    >>> get_loss("quantile:0.9") is quantile(0.9)
    True
    """
    if isinstance(given, Loss):
        return given
    if isinstance(given, str) and not known:
        return _of_the_package(given) or Loss(given, None)
    name, colon, parameter = given.partition(":") if isinstance(given, str) else (given, "", "")
    if not isinstance(name, str) or name not in LOSSES:
        raise SpecError(f"There is no loss {shown(given)}{choose_one(name, LOSSES)}, or in Python pass a Loss.")
    if not colon:
        return LOSSES[name]
    if name not in _FAMILIES:
        raise SpecError(f"The loss {name} has no parameter, and {shown(given)} gives one; leave {parameter!r} out.")
    try:
        value: Any = float(parameter)
    except ValueError:
        value = parameter
    return _with_parameter(name, value)


def _of_the_package(name: str) -> Loss | None:
    """The loss that is kept by this very name; None where one of one's own must be."""
    try:
        loss = get_loss(name)
    except SpecError:
        return None
    return loss if loss.name == name else None
