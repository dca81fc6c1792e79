"""What is simulated in place of training: the network's leading part, on as little data as tell it all.

For a smooth activation of multiplicity 1 the leading part is a linear network, and its squared error depends on the
data through second moments alone. A QR factorisation of inputs and targets side by side keeps these to the last digit
in d + c rows, however many there were, as in least squares.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from nucleate.activations import Activation
from nucleate.network import Network
from nucleate.problems import Problem

MOST_ROWS = 1024
"""Where the data cannot be compressed, this many evenly spaced rows stand for them."""
COMPARED_ROWS = 128
"""Where they can, the network is compared with its leading part on this many."""


class Leading(NamedTuple):
    """The leading parts of networks of one architecture, and the data they are stepped on; rows of ``x`` are samples.

    ``compared`` are the rows of the whole data on which the network itself and its leading part are to be compared.
    """

    networks: tuple[Network, ...]
    x: Float[np.ndarray, "rows d"]
    y: Float[np.ndarray, "rows c"]
    compared: tuple[Int[np.ndarray, " own"], Int[np.ndarray, " lead"]]


def leading(networks: Sequence[Network], problem: Problem) -> Leading:
    """The leading parts in the runs' own dtype: parameters as they are, the activation replaced by its leading part.

    Where the data are compressed a first-layer bias becomes the last column of the weights and 1 the last input, so
    that every optimiser moves it as it would the bias.
    """
    own, biases = networks[0].activation, networks[0].biases
    lead = Activation(
        f"leading part of {own.name}", own.leading, own.multiplicity, own.right, own.left, parity=own.parity
    )
    x, y = problem.train.x, problem.train.y
    if problem.task == "regression" and own.slope and not any(bias is not None for bias in biases[1:]):
        linear = tuple(Network(_with_bias_column(network), (None,) * network.depth, lead) for network in networks)
        inputs = x if biases[0] is None else np.column_stack([x, np.ones(len(x))])
        few = spaced_rows(len(x), COMPARED_ROWS)
        return Leading(linear, *compress(inputs, y), (few, few))
    rows = spaced_rows(len(x), MOST_ROWS)
    same = tuple(Network(network.weights, network.biases, lead) for network in networks)
    # All rows for the network itself, so that what the others miss shows in the comparison.
    return Leading(same, x[rows], y[rows], (np.arange(len(x)), rows))


def _with_bias_column(network: Network) -> tuple[Float[Array, "fan_out fan_in"], ...]:
    first, *others = network.weights
    bias = network.biases[0]
    return (first if bias is None else jnp.column_stack([first, bias]), *others)


def spaced_rows(n: int, most: int) -> Int[np.ndarray, " rows"]:
    """Evenly spaced rows, all where there are no more than ``most``."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.int64)


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
