"""The size of each neuron: what it could add to the next layer, and what it adds on data."""

import numpy as np
from jaxtyping import Float

from nucleate.network import Network
from nucleate.observe._forward import forward
from nucleate.observe._neurons import neurons
from nucleate.observe._norms import row_norms


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
