"""All measures of a snapshot of a run at once, as one flat row."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nucleate.devices import single_blas_thread
from nucleate.network import Network
from nucleate.observe.directions import THRESHOLD, alignment, cluster, cosine_similarity, share_of_pairs
from nucleate.observe.layers import effective_neurons, forward, neurons, outgoing, root_mean_square
from nucleate.observe.norms import norm, row_norms
from nucleate.observe.ranks import ranks, relative_distance

MAX_ROWS = 512
_LARGEST = 1e100


class _LayerMeasures(NamedTuple):
    effective_neurons: float
    directions: float
    condensed_pairs: float
    stable_rank: float
    effective_rank: float
    numerical_rank: float
    activation_rank: float
    activation_stable_rank: float
    activation_numerical_rank: float
    relative_distance: float
    amplitude: float


_DIVERGED_LAYER = _LayerMeasures(*[math.nan] * len(_LayerMeasures._fields))


def measure(
    network: Network,
    start: Network,
    x: Float[np.ndarray, "n d"],
    *,
    targets: Float[np.ndarray, "... k"] | None = None,
) -> dict[str, float]:
    """The measures of every hidden layer ``l``, as ``{"effective_neurons_1": ..., "effective_neurons_2": ..., ...}``.

    - ``effective_neurons_l``: from the contributions and the pre-activations on the data, so what the neurons do.
    - ``directions_l``: number of directions of the input weights.
    - ``condensed_pairs_l``: share of the pairs with ``|cos| > 0.9`` of the input weights.
    - ``stable_rank_l``, ``effective_rank_l``, ``numerical_rank_l``: of the weight matrix, without biases.
    - ``activation_rank_l``, ``activation_stable_rank_l``, ``activation_numerical_rank_l``: of the activations on the
      data, the first being the effective rank.
    - ``relative_distance_l``: of the input weights from those of ``start``.
    - ``amplitude_l``: root mean square of the amplitudes.
    - ``alignment_1``: mean of ``|cos|`` between the neurons of the first layer and the target, where one is given.

    Input weights have the bias with them. Opposite directions count as one for an odd or even activation, as two for
    others. A layer with NaN, infinity or numbers beyond 1e100, as a diverged run leaves it, measures NaN throughout.

    Parameters
    ----------
    network, start : Network
        The snapshot, and the network at the start of the run.
    x : array, shape (n, d)
        The data. Of more than 512 rows, 512 evenly spaced ones are used.
    targets : array, shape (k,) or (count, k), optional
        The direction, or directions, which neurons of the first layer are to take, bias included where there is one.
        Of several, the nearest to a neuron counts.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = Network.create(5, [50, 50], 1, scale=InitScale("gain", 0.1))
    >>> row = measure(network, network, np.eye(5), targets=np.ones(5))
    >>> row["relative_distance_1"], row["directions_2"], len(row)
    (0.0, 50.0, 23)
    """
    x = np.asarray(x)
    if len(x) > MAX_ROWS:
        x = x[np.linspace(0, len(x) - 1, MAX_ROWS).astype(int)]
    activity = forward(network, x)
    with single_blas_thread():
        layers = [
            _measure_layer(network, start, layer, *signals)
            for layer, signals in enumerate(zip(*activity, strict=True), start=1)
        ]
    row = {
        f"{family}_{layer}": value
        for family, values in zip(_LayerMeasures._fields, zip(*layers, strict=True), strict=True)
        for layer, value in enumerate(values, start=1)
    }
    if targets is not None:
        row["alignment_1"] = _nearest_alignment(neurons(network, 1), np.atleast_2d(targets))
    return row


def _measure_layer(
    network: Network,
    start: Network,
    layer: int,
    entering: Float[np.ndarray, "m n"],
    leaving: Float[np.ndarray, "m n"],
) -> _LayerMeasures:
    vectors, following = neurons(network, layer), np.asarray(network.weights[layer], np.float64)
    if not _usable(vectors, following, entering, leaving):
        return _DIVERGED_LAYER
    signed = network.activation.parity == "none"
    out = outgoing(network, layer)
    cosine = cosine_similarity(vectors)
    weight_ranks, activation_ranks = ranks(np.asarray(network.weights[layer - 1])), ranks(leaving)
    return _LayerMeasures(
        effective_neurons=effective_neurons(entering, root_mean_square(leaving) * out, signed=signed),
        directions=float(cluster(cosine, signed=signed, threshold=THRESHOLD).max() + 1),
        condensed_pairs=share_of_pairs(cosine, 0.9),
        stable_rank=weight_ranks.stable,
        effective_rank=weight_ranks.effective,
        numerical_rank=float(weight_ranks.numerical),
        activation_rank=activation_ranks.effective,
        activation_stable_rank=activation_ranks.stable,
        activation_numerical_rank=float(activation_ranks.numerical),
        relative_distance=relative_distance(vectors, neurons(start, layer)),
        amplitude=norm(row_norms(vectors) * out) / len(vectors) ** 0.5,
    )


def _usable(*arrays: np.ndarray) -> bool:
    # The comparison is false for NaN; the bound leaves room for the squares and products of the measures.
    return all(np.abs(array).max() < _LARGEST for array in arrays)


def _nearest_alignment(vectors: Float[np.ndarray, "m k"], targets: Float[np.ndarray, "count k"]) -> float:
    if not _usable(vectors):
        return math.nan
    return float(np.max([np.abs(alignment(vectors, target)) for target in targets], axis=0).mean())
