"""One pass of a network over data in float64, for all measures of what its neurons do."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from nucleate.network import Network


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
