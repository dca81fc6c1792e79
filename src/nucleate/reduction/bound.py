"""How far merging can move the outputs, for every input in a box or a ball: a bound, not a sample.

Derived here. Neuron k, ``s(z_k)``, is replaced by ``g_k s(v)`` with what enters its merged neuron, v (see `Merging` in
`nucleate.reduction.merging`; ``c_k`` is its inner, ``g_k`` its outer factor). With the Lipschitz constant S of s

    |s(z_k) - g_k s(v)|  <=  S |z_k - c_k v|  +  max over the reach of v of |s(c_k v) - g_k s(v)|.

What enters neuron k is ``z_k = w_k . h + b_k`` with the original activations h; these are the merged ones, spread out,
up to the changes before. So ``z_k - c_k v`` is affine in the merged activations, whose box interval arithmetic gives,
plus ``w_k`` times these changes. Both networks are computed with numbers of finite precision: what a layer of k inputs
rounds is at most ``(k + 3) u`` of the sum of its terms' sizes, u half the numbers' spacing, and is added for both.
The second term is a function of one number, bounded on a grid and by S between its
points. The outputs move by at most ``|W_L|`` times the last hidden layer's changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nucleate.activations import Activation
from nucleate.network import Network
from nucleate.reduction.layers import Affine, Bound, Method, activate, affine_layers
from nucleate.reduction.merging import Merging, merge

_GRID = 2001


@dataclass(frozen=True, eq=False)
class Box:
    """All points between two corners.

    Parameters
    ----------
    low, high : arrays of shape (d,)

    Examples
    --------
    >>> middle, radius = Box(np.array([-1.0, 0.0]), np.array([1.0, 2.0])).reach(Affine(np.eye(2), np.zeros(2)))
    >>> middle, radius
    (array([0., 1.]), array([1., 1.]))
    """

    low: Float[np.ndarray, " d"]
    high: Float[np.ndarray, " d"]

    def reach(self, layer: Affine) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """The middle and the half-width of the interval that each affine function takes on the set.

        Parameters
        ----------
        layer : Affine

        Returns
        -------
        middle, radius : arrays of shape (m,)
        """
        radius = np.abs(layer.weights) @ (0.5 * (self.high - self.low))
        return layer.weights @ (0.5 * (self.high + self.low)) + layer.bias, radius


@dataclass(frozen=True, eq=False)
class Ball:
    """All points within a distance of a centre.

    Parameters
    ----------
    centre : array of shape (d,)
    radius : float
    """

    centre: Float[np.ndarray, " d"]
    radius: float

    def reach(self, layer: Affine) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """The middle and the half-width of the interval that each affine function takes on the set.

        Parameters
        ----------
        layer : Affine

        Returns
        -------
        middle, radius : arrays of shape (m,)
        """
        return layer(self.centre[None])[0], self.radius * np.linalg.norm(layer.weights, axis=1)


def merge_bound(
    layers: Sequence[Affine],
    mergings: Sequence[Merging],
    activation: Activation,
    domain: Box | Ball,
    dtype: str = "float64",
) -> Float[np.ndarray, " c"]:
    """For each output, a bound of its change by the mergings over all inputs in the domain.

    The layers are the original's; there is a merging for each hidden one, made from the first to the last, each on what
    the ones before left. The rounding of ``dtype`` counts, and an unknown ``lipschitz`` gives infinite bounds.
    """
    changes = np.zeros(layers[0].weights.shape[1])
    reached: Box | Ball = domain
    gathered = layers[0]
    for layer, following, merging in zip(layers, layers[1:], mergings, strict=False):
        labels, inner, outer, merged, _ = merging
        own = Affine(merged.weights[labels], merged.bias[labels])
        apart = Affine(gathered.weights - inner[:, None] * own.weights, gathered.bias - inner * own.bias)
        entering = _largest(*reached.reach(apart)) + np.abs(layer.weights) @ changes
        far = _largest(*reached.reach(own))
        changes = activation.lipschitz * entering + _curvature(activation, inner, outer, far)
        reached, _ = _behind(activation, *reached.reach(merged))
        gathered = merging.gather(following)
    narrow = [*(merging.merged for merging in mergings), gathered]
    unit = float(np.finfo(dtype).eps) / 2
    bound: np.ndarray = np.abs(layers[-1].weights) @ changes
    for network in (layers, narrow):
        bound = bound + _rounding(network, activation, domain, unit)
    return bound


def _rounding(
    layers: Sequence[Affine], activation: Activation, domain: Box | Ball, unit: float
) -> Float[np.ndarray, " c"]:
    """How far outputs computed with relative rounding ``unit`` are from the exact ones, at most, to first order."""
    inputs = layers[0].weights.shape[1]
    sizes = _largest(*domain.reach(Affine(np.eye(inputs), np.zeros(inputs))))
    error, reached = np.zeros(inputs), domain
    for place, layer in enumerate(layers):
        weights = np.abs(layer.weights)
        terms = weights @ sizes + np.abs(layer.bias)
        error = weights @ error + (layer.weights.shape[1] + 3) * unit * terms
        if place + 1 < len(layers):
            reached, sizes = _behind(activation, *reached.reach(layer))
            # Activations are computed to a few units in the last place.
            error = activation.lipschitz * error + 8 * unit * sizes
    return error


def _behind(
    activation: Activation, middle: Float[np.ndarray, " m"], radius: Float[np.ndarray, " m"]
) -> tuple[Box, Float[np.ndarray, " m"]]:
    """Where the activations of an interval lie, and how large they are at most."""
    level, reach = activate(activation, middle), activation.lipschitz * radius
    return Box(level - reach, level + reach), _largest(level, reach)


def _largest(middle: Float[np.ndarray, " m"], radius: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    return np.abs(middle) + radius


def _curvature(
    activation: Activation, inner: Float[np.ndarray, " m"], outer: Float[np.ndarray, " m"], far: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """``max over |v| <= far of |s(inner v) - outer s(v)|``, of s less its value at zero."""
    v = far[:, None] * np.linspace(-1, 1, _GRID)
    own, merged = (activate(activation, z) - activation.value for z in (inner[:, None] * v, v))
    gaps = np.abs(own - outer[:, None] * merged).max(axis=1)
    slope = activation.lipschitz * (np.abs(inner) + np.abs(outer))
    # Exactly nothing where the two are one function.
    between = np.where((inner == 1) & (outer == 1), 0.0, slope * far / (_GRID - 1))
    return gaps + between


def _bound(network: Network, traces: Sequence[Merging], x: Float[np.ndarray, "n d"]) -> Bound:
    box = Box(x.min(axis=0), x.max(axis=0))
    changed = merge_bound(affine_layers(network), traces, network.activation, box, str(np.dtype(network.dtype)))
    return Bound(float(changed.max()), "largest over the box of the training inputs")


MERGE = Method("merge", merge, _bound)
"""Lets neurons of one direction act as one, without data."""
