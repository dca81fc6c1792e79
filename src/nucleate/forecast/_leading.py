"""What is simulated in place of training: the network's leading part, on as little data as tell it all.

For a smooth activation of multiplicity 1 the leading part is a linear network, and its squared error depends on the
data through second moments alone. A QR factorisation of inputs and targets side by side keeps these to the last digit
in d + c rows, however many there were, as in least squares.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nucleate.activations import Activation
from nucleate.network import Network
from nucleate.problems import Problem

MOST_ROWS = 1024
"""Where the data cannot be compressed, this many evenly spaced rows stand for them."""


class Subject(NamedTuple):
    """A network and the data it is to be trained on; rows of ``x`` are samples."""

    network: Network
    x: Float[np.ndarray, "rows d"]
    y: Float[np.ndarray, "rows c"]


def leading(network: Network, problem: Problem) -> Subject:
    """The leading part in float64: parameters as they are, the activation replaced by its leading part.

    Where the data are compressed a first-layer bias becomes the last column of the weights and 1 the last input, so
    that every optimiser moves it as it would the bias.
    """
    own = network.activation
    lead = Activation(
        f"leading part of {own.name}", own.leading, own.multiplicity, own.right, own.left, parity=own.parity
    )
    double = network.astype("float64")
    x, y = problem.train.x, problem.train.y
    if problem.task == "regression" and own.slope and not any(bias is not None for bias in network.biases[1:]):
        first, *others = double.weights
        if double.biases[0] is not None:
            first = jnp.column_stack([first, double.biases[0]])
            x = np.column_stack([x, np.ones(len(x))])
        linear = Network((first, *others), (None,) * network.depth, lead)
        return Subject(linear, *compress(x, y))
    rows = np.linspace(0, len(x) - 1, min(len(x), MOST_ROWS)).astype(int)
    return Subject(Network(double.weights, double.biases, lead), x[rows], y[rows])


def compress(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n c"]
) -> tuple[Float[np.ndarray, "rows d"], Float[np.ndarray, "rows c"]]:
    """At most ``d + c`` rows on which every linear function has the mean squared error that it has on all.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y, p = rng.standard_normal((1000, 3)), rng.standard_normal((1000, 1)), rng.standard_normal((3, 1))
    >>> small_x, small_y = compress(x, y)
    >>> small_x.shape, bool(np.isclose(np.mean((x @ p - y) ** 2), np.mean((small_x @ p - small_y) ** 2)))
    ((4, 3), True)
    """
    triangle = np.linalg.qr(np.column_stack([x, y]), mode="r")
    triangle *= (len(triangle) / len(x)) ** 0.5
    return triangle[:, : x.shape[1]], triangle[:, x.shape[1] :]
