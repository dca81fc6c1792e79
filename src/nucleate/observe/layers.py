"""The size of each neuron: what it could add to the next layer, and what it adds on data."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from nucleate.errors import ArchitectureError
from nucleate.network import Network
from nucleate.observe.directions import THRESHOLD, cluster, cosine_similarity
from nucleate.observe.norms import effective_number, row_norms


def neurons(network: Network, layer: int) -> Float[np.ndarray, "m fan_in_and_bias"]:
    """The input weights of a hidden layer's neurons in float64, with their bias as last column where there is one.

    Parameters
    ----------
    network : Network
    layer : int
        1 for the first hidden layer, up to L - 1.

    Raises
    ------
    ArchitectureError
        If the network has no such hidden layer.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = Network.create(5, [50, 40], 1, scale=InitScale("gain", 0.1), bias=[True, False, False])
    >>> neurons(network, 1).shape, neurons(network, 2).shape
    ((50, 6), (40, 50))
    """
    if not 1 <= layer < network.depth:
        raise ArchitectureError(
            f"There is no hidden layer {layer}; {network} has hidden layers 1 to {network.depth - 1}."
        )
    weight, bias = network.weights[layer - 1], network.biases[layer - 1]
    vectors = np.asarray(weight, np.float64)
    return vectors if bias is None else np.column_stack([vectors, np.asarray(bias, np.float64)])


class Activity(NamedTuple):
    """What enters and what leaves the activation, a hidden layer each, a neuron a row; shapes (m_l, n)."""

    entering: tuple[Float[np.ndarray, "m n"], ...]
    leaving: tuple[Float[np.ndarray, "m n"], ...]


def forward(network: Network, x: Float[np.ndarray, "n d"]) -> Activity:
    """The activity of every hidden layer on the rows of ``x``."""
    # NumPy widens: XLA would flush float32's denormal numbers to zero.
    wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), network)
    entering, leaving = _activity(wide, np.asarray(x, np.float64).T)
    return Activity(tuple(map(np.asarray, entering)), tuple(map(np.asarray, leaving)))


@jax.jit
def _activity(network: Network, x: Float[Array, "d n"]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    entering = network.pre_activations(x)
    return entering, tuple(map(network.activation, entering))


def amplitudes(network: Network) -> tuple[Float[np.ndarray, " m"], ...]:
    """``|input weights, with bias| |output weights|`` of each neuron, a hidden layer each.

    For a homogeneous activation of degree 1 it is the same for all weights that make the same function.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = Network.create(5, [4, 3], 1, scale=InitScale("epsilon", 1e-3))
    >>> [amplitude.shape for amplitude in amplitudes(network)]
    [(4,), (3,)]
    """
    return tuple(row_norms(neurons(network, layer)) * outgoing(network, layer) for layer in range(1, network.depth))


def contributions(network: Network, x: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, " m"], ...]:
    """What each neuron adds to the next layer on data, a hidden layer each.

    The root mean square of its activation over the rows of ``x`` times the norm of its outgoing weights.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = Network.create(5, [4, 3], 1, scale=InitScale("epsilon", 1e-3))
    >>> [contribution.shape for contribution in contributions(network, np.ones((8, 5)))]
    [(4,), (3,)]
    """
    leaving = forward(network, x).leaving
    return tuple(root_mean_square(leaving[layer - 1]) * outgoing(network, layer) for layer in range(1, network.depth))


def outgoing(network: Network, layer: int) -> Float[np.ndarray, " m"]:
    """The norm of each neuron's outgoing weights in hidden layer ``layer``."""
    return row_norms(np.asarray(network.weights[layer]).T)


def root_mean_square(rows: Float[np.ndarray, "m n"]) -> Float[np.ndarray, " m"]:
    """The root mean square of each row."""
    sizes: np.ndarray = row_norms(rows) / rows.shape[1] ** 0.5
    return sizes


def effective_neurons(
    vectors: Float[np.ndarray, "m k"],
    contributions: Float[np.ndarray, " m"],
    *,
    signed: bool,
    threshold: float = THRESHOLD,
) -> float:
    """The exponential of the entropy of the contributions, added up over clusters of directions.

    1 when all neurons work as one, m when m different ones contribute equally, 0 when nothing contributes. A neuron
    that contributes little counts little, wherever it points; a dead one does not count.

    Parameters
    ----------
    vectors : array, shape (m, k)
        What is compared: for what the neurons do, their pre-activations on data. Input weights mislead behind a
        condensed layer, whose equal neurons make different weights do the same.
    contributions : array, shape (m,)
        As by `nucleate.observe.contributions`.
    signed, threshold
        As in `nucleate.observe.directions`.

    Examples
    --------
    >>> effective_neurons(np.array([[1.0, 0.0], [-2.0, 0.0], [0.0, 1.0]]), np.array([1.0, 2.0, 3.0]), signed=False)
    2.0
    """
    labels = cluster(cosine_similarity(vectors), signed=signed, threshold=threshold)
    alive = labels >= 0
    return effective_number(np.bincount(labels[alive], weights=contributions[alive]))
