"""The directions onto which the first layer condenses.

A smooth activation of multiplicity 1 has one, up to sign: ``u / |u|`` with ``u = (1/n) sum_i y_i x_i`` (Chen and Luo,
arXiv 2402.15958), for several outputs the top right singular vector of ``M`` (derived here, docs/theory.md). Other
activations condense onto the local maxima over the unit sphere of the one-neuron correlation ``|(1/n) sum_i r_i l(w .
x_i)|``, ``l`` the activation's leading part, applied once a hidden layer: for multiplicity p at most 2 p of them
(Zhou et al., arXiv 2105.11686, in their settings), that is p up to sign.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from nucleate import devices
from nucleate.activations import Activation
from nucleate.network import Network
from nucleate.theory.correlation import correlation_potential, first_inputs, moment
from nucleate.theory.effective import AnyArray

# The ascent: random starts, steps, the first step's length in radians, and by what each is shorter than the last.
STARTS, STEPS, FIRST_STEP, SHRINK = 64, 2000, 0.3, 0.992
# Ends of the ascent within this cosine are one direction.
SAME = 1 - 1e-6


class TargetDirections(NamedTuple):
    """Unit vectors, strongest first, and their correlation: the rate of a neuron's growth along each.

    Where opposite directions do the same work (leading coefficients equal up to sign), one of each pair is given.

    Attributes
    ----------
    directions : array of float64, shape (k, d)
        Or (k, d + 1) with a bias in the first layer, which is the last coordinate.
    values : array of float64, shape (k,)
    """

    directions: Float[np.ndarray, "k d"]
    values: Float[np.ndarray, " k"]


@devices.in_float64
def target_directions(network: Network, x: ArrayLike, residuals: ArrayLike) -> TargetDirections:
    """Where the neurons of a network's first layer turn to; a bias of that layer is the last coordinate.

    One output and a smooth activation: Chen and Luo, arXiv 2402.15958. The general form: here, docs/theory.md.

    Parameters
    ----------
    network : Network
        Its architecture and activation count, its parameters do not.
    x : array of shape (n, d)
    residuals : array of shape (n, c)
        Minus the derivative of each row's loss by the outputs, at outputs of zero.

    Returns
    -------
    TargetDirections

    Raises
    ------
    ArchitectureError
        As `nucleate.theory.correlation.correlation_potential`.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = Network.create(2, [3, 3], 1, scale=InitScale("epsilon", 1e-3))
    >>> target_directions(network, [[3.0, 0.0], [0.0, 4.0]], [[2.0], [2.0]])
    TargetDirections(directions=array([[0.6, 0.8]]), values=array([5.]))
    """
    if network.activation.slope:
        found = singular_directions(network, x, residuals)
        return TargetDirections(found.directions[:1], found.values[:1])
    potential = correlation_potential(network, x, residuals)[0]
    inputs, outputs = first_inputs(network, potential.keywords["x"]), potential.keywords["residuals"]
    # Beyond a biased layer everything is linear in what enters it.
    biased = [layer for layer, bias in enumerate(network.biases[1:-1], 1) if bias is not None]
    times = biased[0] if biased else network.depth - 1
    drawn = np.random.default_rng(0).standard_normal((STARTS, inputs.shape[1]))
    starts = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    ends, values = _ascend(starts, network.activation, times, inputs, outputs)
    both_signs = abs(network.activation.right) == abs(network.activation.left)
    return _distinct(np.asarray(ends), np.asarray(values), both_signs=both_signs)


def singular_directions(network: Network, x: ArrayLike, residuals: ArrayLike) -> TargetDirections:
    """All right singular vectors of ``M`` with their singular values, for a smooth activation of multiplicity 1.

    The first is the target direction. Neurons turn to it as ``epsilon^-(sigma_1 / sigma_2 - 1)`` grows, so where the
    second value is near the first they may end anywhere in the plane of both (derived here, docs/theory.md).

    Parameters
    ----------
    network : Network
    x : array of shape (n, d)
    residuals : array of shape (n, c)

    Returns
    -------
    TargetDirections
        As many as M has rows or columns, whichever are fewer; each with the sign that a single output gives it.

    Raises
    ------
    ArchitectureError
        For shapes that do not fit, NaN or infinity, an activation without a slope at zero, and a network that fits
        constants with residuals whose mean is not zero.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = Network.create(2, [3, 3], 2, scale=InitScale("epsilon", 1e-3))
    >>> singular_directions(network, [[3.0, 0.0], [0.0, 4.0]], [[2.0, 0.0], [0.0, 2.0]]).values
    array([4., 3.])
    """
    left, values, right = np.linalg.svd(moment(network, x, residuals), full_matrices=False)
    signs = np.sign(np.take_along_axis(left, np.abs(left).argmax(axis=0)[None], axis=0)[0])
    return TargetDirections(signs[:, None] * right, values)


@partial(jax.jit, static_argnames=("activation", "times"))
def _ascend(
    starts: Float[AnyArray, "starts d"],
    activation: Activation,
    times: int,
    x: Float[AnyArray, "n d"],
    residuals: Float[AnyArray, "n c"],
) -> tuple[Float[Array, "starts d"], Float[Array, " starts"]]:
    """In steps of fixed, geometrically shrinking length: they also settle at the kinks where ReLU has its maxima."""

    def height(w: Float[Array, " d"]) -> Float[Array, ""]:
        response: Any = x @ w
        for _ in range(times):
            response = activation.leading(response)
        square = jnp.sum((response @ residuals / len(x)) ** 2)
        # The root has no derivative at zero, where no point is active.
        return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)

    def step(k: Any, w: Float[Array, " d"]) -> Float[Array, " d"]:
        gradient = jax.grad(height)(w)
        tangent = gradient - (gradient @ w) * w
        length = jnp.linalg.norm(tangent)
        moved = w + FIRST_STEP * SHRINK**k * tangent / jnp.where(length > 0, length, 1.0)
        return moved / jnp.linalg.norm(moved)

    ends = jax.vmap(lambda w: jax.lax.fori_loop(0, STEPS, step, w))(starts)
    return ends, jax.vmap(height)(ends)


def _distinct(
    ends: Float[np.ndarray, "starts d"], values: Float[np.ndarray, " starts"], *, both_signs: bool
) -> TargetDirections:
    kept: list[int] = []
    for end in np.argsort(-values):
        cosines = ends[kept] @ ends[end]
        known = (np.abs(cosines) if both_signs else cosines) > SAME
        # Where no data point is active the correlation is zero and the ascent has nowhere to go.
        if values[end] > 1e-9 * values.max() and not known.any():
            kept.append(end)
    return TargetDirections(ends[kept], values[kept])
