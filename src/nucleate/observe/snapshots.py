"""A model at one step, small enough to keep many of a run: what pictures of its neurons over time need."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from nucleate.devices import single_blas_thread
from nucleate.observe.layers import Layer
from nucleate.observe.norms import scaled, unit_rows

MOST_NEURONS = 48
MOST_SINGULAR_VALUES = 12


class Snapshot(NamedTuple):
    """A run at one step; each tuple has an entry a layer.

    Parameters
    ----------
    step : int array of shape ()
    directions : tuple of float16 arrays of shape (k, fan_in), or (k, fan_in + 1) with a bias
        The unit vectors of the input weights of at most 48 evenly spaced neurons; zeros for a dead one.
    amplitudes : tuple of float32 arrays of shape (k,)
        Of the same neurons, see `nucleate.observe.amplitudes`.
    singular_values : tuple of float32 arrays
        The largest of the layer's weights, at most 12, descending.
    """

    step: Int[np.ndarray, ""]
    directions: tuple[Float[np.ndarray, "k fan_in"], ...]
    amplitudes: tuple[Float[np.ndarray, " k"], ...]
    singular_values: tuple[Float[np.ndarray, " values"], ...]


def snapshot(layers: Sequence[Layer], step: int) -> Snapshot:
    """Take a snapshot of a model's layers.

    Parameters
    ----------
    layers : sequence of Layer
    step : int

    Returns
    -------
    Snapshot

    Examples
    --------
    >>> from nucleate import InitScale, Network
    >>> from nucleate.observe import layers_of
    >>> network = Network.create(5, [100, 20], 1, scale=InitScale("gain", 0.1))
    >>> taken = snapshot(layers_of(network, np.eye(5)), step=0)
    >>> [part.shape for part in taken.directions], [part.shape for part in taken.singular_values]
    ([(48, 5), (20, 100)], [(5,), (12,)])
    """
    shown = [spaced(layer.width) for layer in layers]
    with single_blas_thread():
        values = [_singular_values(layer.weights) for layer in layers]
    return Snapshot(
        step=np.array(step, np.int64),
        directions=tuple(
            unit_rows(layer.incoming[rows]).astype(np.float16) for layer, rows in zip(layers, shown, strict=True)
        ),
        amplitudes=tuple(layer.amplitudes[rows].astype(np.float32) for layer, rows in zip(layers, shown, strict=True)),
        singular_values=tuple(value.astype(np.float32) for value in values),
    )


def spaced(count: int, most: int = MOST_NEURONS) -> Int[np.ndarray, " k"]:
    """The places of evenly spaced things, all where there are no more than ``most``; by default neurons of a layer.

    >>> spaced(9, 3), spaced(2, 3)
    (array([0, 4, 8]), array([0, 1]))
    """
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def _singular_values(weight: Float[np.ndarray, "m fan_in"]) -> Float[np.ndarray, " values"]:
    unit, scale = scaled(weight)
    return scale.item() * np.linalg.svd(unit, compute_uv=False)[:MOST_SINGULAR_VALUES]
