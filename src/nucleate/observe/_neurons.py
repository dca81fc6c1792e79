"""The neurons of a layer as vectors: what each of them reads."""

import numpy as np
from jaxtyping import Float

from nucleate.errors import NetworkError
from nucleate.network import Network


def neurons(network: Network, layer: int) -> Float[np.ndarray, "m fan_in_and_bias"]:
    """The input weights of a hidden layer's neurons in float64, with their bias as last column where there is one.

    Parameters
    ----------
    network : Network
    layer : int
        1 for the first hidden layer, up to L - 1.

    Raises
    ------
    NetworkError
        If the network has no such hidden layer.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = Network.create(5, [50, 40], 1, scale=InitScale("gain", 0.1), bias=[True, False, False])
    >>> neurons(network, 1).shape, neurons(network, 2).shape
    ((50, 6), (40, 50))
    """
    if not 1 <= layer < network.depth:
        raise NetworkError(f"There is no hidden layer {layer}; {network} has hidden layers 1 to {network.depth - 1}.")
    weight, bias = network.weights[layer - 1], network.biases[layer - 1]
    vectors = np.asarray(weight, np.float64)
    return vectors if bias is None else np.column_stack([vectors, np.asarray(bias, np.float64)])
