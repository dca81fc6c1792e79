"""What a reduced network is to be held against: a linear model, and a network of its size trained from the start."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import minimize

from nucleate.activations import Activation
from nucleate.devices import in_float64
from nucleate.init_scale import InitScale
from nucleate.models import count_parameters, outputs_of
from nucleate.network import Network
from nucleate.optimizers import ADAM
from nucleate.problems import Loss, Problem, Split
from nucleate.reduction.layers import Affine
from nucleate.training import train_many

STRENGTHS = tuple(10.0**power for power in range(4, -5, -1))
"""The strengths of the linear model's penalty that are tried; of equally good ones the first, the strongest, counts."""
_RATES = (0.03, 0.01, 0.003)
_SEEDS = 3
_STEPS, _BATCH = 3000, 256
_MOST_ITERATIONS, _FLAT = 2000, 1e-8


@dataclass(frozen=True)
class Baseline:
    """Another model of the same problem, with the problem's metric on its validation and test rows.

    Parameters
    ----------
    name : str
    widths : tuple of int
        Hidden ones.
    parameters : int
    validation, test : float
    """

    name: str
    widths: tuple[int, ...]
    parameters: int
    validation: float
    test: float


def linear_model(problem: Problem) -> Baseline:
    """The linear model ``W x + b`` for the problem's loss, the strength of its penalty chosen on the validation rows.

    It minimizes the loss plus ``strength/(2n) |W|^2``: ridge regression for squared errors, multinomial logistic
    regression for cross-entropy. Strengths go from 1e-4 to 1e4; of equally good ones the strongest is taken.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    Baseline

    Examples
    --------
    >>> from nucleate import load_problem
    >>> linear_model(load_problem("iris")).parameters
    15
    """

    fits = fit_linear(problem.loss, problem.train, STRENGTHS)
    parameters = (problem.inputs + 1) * problem.outputs
    return _best(problem, "linear model", (), parameters, (fit.__call__ for fit in fits))


def narrow_network(problem: Problem, hidden: tuple[int, ...], activation: Activation) -> Baseline:
    """A network of these widths from the standard initialization, the best on validation of three rates and seeds.

    Parameters
    ----------
    problem : Problem
    hidden : tuple of int
    activation : Activation

    Returns
    -------
    Baseline
    """
    networks = [
        Network.create(
            problem.inputs,
            hidden,
            problem.outputs,
            scale=InitScale("gain", 1.0),
            activation=activation,
            bias=True,
            seed=seed,
        )
        for seed in range(_SEEDS)
    ]
    runs = train_many(
        [network for _ in _RATES for network in networks],
        problem,
        learning_rates=[rate for rate in _RATES for _ in networks],
        seeds=[*range(_SEEDS)] * len(_RATES),
        measures=(),
        optimizer=ADAM,
        steps=_STEPS,
        batch_size=_BATCH if len(problem.train.x) > _BATCH else None,
        early_stopping=True,
        evaluations=30,
    )

    outputs = [partial(outputs_of, run.best) for run in runs]
    return _best(problem, "narrow network", hidden, count_parameters(networks[0]), outputs)


def _best(
    problem: Problem,
    name: str,
    widths: tuple[int, ...],
    parameters: int,
    candidates: Iterable[Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, "n c"]]],
) -> Baseline:
    """The candidate that is best on validation, the first of equals; each is given by its outputs for rows."""
    judged = [(problem.metric(outputs(problem.validation.x), problem.validation.y), outputs) for outputs in candidates]
    validation, best = min(judged, key=lambda pair: problem.loss.metric.cost(pair[0]))
    return Baseline(name, widths, parameters, validation, problem.metric(best(problem.test.x), problem.test.y))


def fit_linear(loss: Loss, part: Split, strengths: tuple[float, ...]) -> Iterator[Affine]:
    """For each strength the ``W`` and ``b`` that minimize the loss of ``W x + b`` plus ``strength/(2n) |W|^2``.

    The search (L-BFGS) is over ``V`` with ``W = V S Q^T``, where ``Q`` are the eigenvectors of the covariance of the
    inputs and ``S = (eigenvalues + strength/n)^(-1/2)``: for squared errors the objective is then a sphere, and for
    others it is no longer the inputs that make it ill-conditioned. Derived here.
    """
    n, d = part.x.shape
    mean = part.x.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(part.x.T, bias=True).reshape(d, d))
    for strength in strengths:
        shrink = 1 / np.sqrt(np.maximum(values, 0.0) + strength / n)
        turn = vectors * shrink
        found = minimize(
            _penalized,
            np.zeros((d + 1) * part.y.shape[1]),
            ((part.x - mean) @ turn, part.y, strength / n * shrink**2, loss),
            method="L-BFGS-B",
            jac=True,
            options={"maxiter": _MOST_ITERATIONS, "maxfun": 2 * _MOST_ITERATIONS, "ftol": 0.0, "gtol": _FLAT},
        ).x.reshape(-1, d + 1)
        weights = found[:, :-1] @ turn.T
        yield Affine(weights, found[:, -1] - weights @ mean)


@in_float64
@partial(jax.jit, static_argnames="loss")
@jax.value_and_grad
def _penalized(
    point: Float[Array, " c*(d+1)"],
    x: Float[Array, "n d"],
    y: Float[Array, "n c"],
    penalty: Float[Array, " d"],
    loss: Loss,
) -> Float[Array, ""]:
    """The loss and its penalty, and their gradient by ``(V, b)``, flat."""
    turned = point.reshape(-1, x.shape[1] + 1)
    weights, bias = turned[:, :-1], turned[:, -1]
    return jnp.mean(loss.rows(x @ weights.T + bias, y)) + 0.5 * jnp.sum(penalty * weights**2)
