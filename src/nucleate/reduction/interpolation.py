"""Keep the neurons from whose activations all others can be interpolated.

An interpolative decomposition by QR with column pivoting (Cheng, Gimbutas, Martinsson and Rokhlin 2005,
doi:10.1137/030602678): ``H = H[:, kept] T`` up to an error whose Frobenius norm is that of the triangle's corner.
It looks at inputs alone, neither at labels nor at what the activations are used for.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.linalg import qr, solve_triangular

from nucleate.network import Network
from nucleate.reduction.layers import Affine, Bound, Method, Narrow, NarrowLayer, WideLayer, affine_layers, keep_neurons


def interpolate(layer: WideLayer) -> Narrow:
    """The method; see the module."""
    features = layer.features if layer.weights is None else np.sqrt(layer.weights)[:, None] * layer.features
    triangle, order = _pivoted(features)

    def narrow(width: int) -> NarrowLayer:
        kept = order[:width]
        # Behind the rank there is nothing to divide by.
        rank = min(width, int(np.count_nonzero(np.abs(triangle.diagonal()) > 1e-13 * abs(triangle[0, 0]))))
        read = np.zeros((width, len(order)))
        read[:, order[:width]] = np.eye(width)
        read[:rank, order[width:]] = solve_triangular(triangle[:rank, :rank], triangle[:rank, width:])
        weights = layer.outgoing.weights @ read.T
        ascending = np.argsort(kept)
        outgoing = Affine(weights[:, ascending], layer.outgoing.bias)
        lost = float(np.linalg.norm(triangle[width:, width:]) / len(layer.features) ** 0.5)
        return keep_neurons(layer, kept[ascending], outgoing, lost)

    return narrow


def interpolation_bound(errors: Sequence[float], layers: Sequence[Affine], lipschitz: float) -> float:
    """A bound of the root mean square, over the calibration rows, of the length of the change of the outputs.

    What is lost in hidden layer l (of its activations, as a root mean square over the rows, in ``errors``) grows by at
    most ``|W|_2`` in each layer after it and ``lipschitz`` in each activation between; layers are reduced from the
    first to the last, so the changes add up. Derived here.
    """
    total = 0.0
    for layer, error in enumerate(errors, start=1):
        norms = [float(np.linalg.norm(after.weights, 2)) for after in layers[layer:]]
        total += error * float(np.prod(norms)) * lipschitz ** (len(norms) - 1)
    return total


def _pivoted(features: Float[np.ndarray, "n m"]) -> tuple[Float[np.ndarray, "r m"], np.ndarray]:
    triangle, order = qr(features, mode="r", pivoting=True)
    m = features.shape[1]
    # Fewer rows than neurons leave the triangle short.
    square = np.zeros((m, m))
    square[: min(len(triangle), m)] = triangle[:m]
    return square, order


def _bound(network: Network, traces: Sequence[float], x: Float[np.ndarray, "n d"]) -> Bound:
    value = interpolation_bound(traces, affine_layers(network), network.activation.lipschitz)
    return Bound(value, "root mean square on the calibration rows")


INTERPOLATE = Method("interpolate", interpolate, _bound)
"""Keeps the neurons from which the others can be interpolated."""
