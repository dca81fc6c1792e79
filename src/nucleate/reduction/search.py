"""The fewest parameters within a tolerance, over unequal widths of the layers."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from nucleate.models import count_parameters
from nucleate.network import Network
from nucleate.problems.moments import relative_weights
from nucleate.reduction.layers import Affine, Method, Narrow, NarrowLayer, WideLayer, activate, affine_layers, slope

MOST_ROWS = 2000
JITTER = 0.1
"""The standard deviation of the jitter, in those of the columns."""


def calibration_rows(x: Float[np.ndarray, "n d"], seed: int = 0) -> Float[np.ndarray, "rows d"]:
    """Training inputs, 2000 at most, as many with jitter, and as many between two of them; labels play no part.

    Between and around the training rows the reduced network is to do what the original does, not only on them.

    >>> calibration_rows(np.random.default_rng(0).standard_normal((100, 3))).shape
    (300, 3)
    """
    rng = np.random.default_rng(seed)
    x = x[np.linspace(0, len(x) - 1, min(len(x), MOST_ROWS)).astype(np.int64)]
    jittered = x + JITTER * x.std(axis=0) * rng.standard_normal(x.shape)
    share = rng.uniform(size=(len(x), 1))
    between = share * x + (1 - share) * x[rng.permutation(len(x))]
    return np.vstack([x, jittered, between])


def calibration_weights(weights: Float[np.ndarray, " n"] | None) -> Float[np.ndarray, " rows"] | None:
    """What the `calibration_rows` count for: each as the training row it is made of, with mean 1."""
    if weights is None:
        return None
    of_rows = weights[np.linspace(0, len(weights) - 1, min(len(weights), MOST_ROWS)).astype(np.int64)]
    return np.tile(relative_weights(of_rows), 3)


Fits = Callable[[Float[np.ndarray, "v c"]], bool]
"""Whether outputs on the validation rows are within the tolerance."""

_MOST_WIDTHS, _MOST_TRIALS = 32, 400
"""How many widths of a layer, and how many combinations of all layers but the last, are tried at most."""


class PartialNetwork(NamedTuple):
    """A network whose first layers are narrowed.

    ``features`` are the activations of the last of them on all rows (the inputs, where there is none yet), ``incoming``
    is the affine map into the next layer, which still has all its neurons; ``traces`` are those of the narrowed layers.
    """

    done: tuple[Affine, ...]
    traces: tuple[Any, ...]
    features: Float[np.ndarray, "rows k"]
    incoming: Affine


class SearchResult(NamedTuple):
    """A network's layers, and the method's trace for each hidden one; no traces if nothing was narrowed."""

    layers: tuple[Affine, ...]
    traces: tuple[Any, ...]


class Search:
    """Narrow a network's layers from the first to the last; ``weights`` are of the calibration rows, with mean 1."""

    def __init__(
        self,
        network: Network,
        method: Method,
        calibration: Float[np.ndarray, "n d"],
        validation: Float[np.ndarray, "v d"],
        fits: Fits,
        weights: Float[np.ndarray, " n"] | None = None,
    ) -> None:
        self._network, self._method, self._fits = network, method, fits
        self._layers = affine_layers(network)
        self._rows = np.vstack([calibration, validation])
        self._n = len(calibration)
        self._weights = weights
        self._targets, self._importance = _original(network, self._layers, self._rows[: self._n], weights)
        self._best = SearchResult(self._layers, ())
        self._cost = count_parameters(network)

    def cheapest(self) -> SearchResult:
        """The cheapest network that fits, on a grid of widths; the original where no smaller one does."""
        self._descend(self.start())
        return self._best

    def start(self) -> PartialNetwork:
        """The network with all its neurons."""
        return PartialNetwork((), (), self._rows, self._layers[0])

    def prepare(self, partial: PartialNetwork) -> Narrow:
        """The method, prepared for the first layer that still has all its neurons."""
        at = len(partial.done)
        features = activate(self._network.activation, partial.incoming(partial.features[: self._n]))
        return self._method.prepare(
            WideLayer(
                activation=self._network.activation,
                incoming=partial.incoming,
                outgoing=self._layers[at + 1],
                features=features,
                target=self._targets[at],
                importance=self._importance[at],
                weights=self._weights,
            )
        )

    def extend(self, partial: PartialNetwork, layer: NarrowLayer) -> PartialNetwork:
        """With one more layer narrowed."""
        incoming, outgoing, trace = layer
        features = activate(self._network.activation, incoming(partial.features))
        return PartialNetwork((*partial.done, incoming), (*partial.traces, trace), features, outgoing)

    def _descend(self, partial: PartialNetwork) -> None:
        narrow = self.prepare(partial)
        full = len(partial.incoming.weights)
        if len(partial.done) == len(self._layers) - 2:
            self._last(partial, narrow, full)
            return
        points = min(_MOST_WIDTHS, math.ceil(_MOST_TRIALS ** (1 / (len(self._layers) - 2))))
        for width in _grid(full, points):
            if self._cost_of(partial, width) >= self._cost:
                return
            self._descend(self.extend(partial, narrow(width)))

    def _last(self, partial: PartialNetwork, narrow: Narrow, full: int) -> None:
        """The narrowest last hidden layer that fits, if it is cheaper than the best so far."""
        most = full
        while most and self._cost_of(partial, most) >= self._cost:
            most -= 1
        tried: dict[int, PartialNetwork] = {}

        def fits(width: int) -> bool:
            tried[width] = self.extend(partial, narrow(width))
            return self._fits(tried[width].incoming(tried[width].features[self._n :]))

        if not most or not fits(most):
            return
        low, high = 0, 1
        while high < most and not fits(high):
            low, high = high, min(2 * high, most)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if fits(middle) else (middle, high)
        self._cost = self._cost_of(partial, high)
        self._best = SearchResult((*tried[high].done, tried[high].incoming), tried[high].traces)

    def _cost_of(self, partial: PartialNetwork, width: int) -> int:
        """The parameters of the network if this layer has ``width`` neurons and those after it one."""
        widths = [self._rows.shape[1], *(len(layer.weights) for layer in partial.done), width]
        widths += [1] * (len(self._layers) - len(widths))
        widths += [len(self._layers[-1].weights)]
        return sum((fan_in + 1) * fan_out for fan_in, fan_out in itertools.pairwise(widths))


def _original(
    network: Network, layers: Sequence[Affine], rows: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"] | None
) -> tuple[list[Float[np.ndarray, "n t"]], list[Float[np.ndarray, " t"]]]:
    """What the original has behind each hidden layer, and the root mean square of the outputs' slopes by it."""
    targets = [layers[0](rows)]
    for layer in layers[1:]:
        targets.append(layer(activate(network.activation, targets[-1])))
    outputs = targets[-1].shape[1]
    importance = [np.ones(outputs)]
    slopes = np.repeat(np.eye(outputs)[:, None], len(rows), axis=1)
    for at in range(len(layers) - 1, 1, -1):
        steepness = slope(network.activation, targets[at - 1])
        slopes = slopes @ layers[at].weights * steepness
        squares = np.square(slopes).sum(axis=0)
        importance.insert(0, np.sqrt(squares.mean(axis=0) if weights is None else weights @ squares / len(squares)))
    return targets[1:], importance


def _grid(full: int, points: int) -> list[int]:
    """Widths up to ``full``, as even in the logarithm as whole numbers are.

    >>> _grid(20, 8)
    [1, 2, 4, 6, 8, 13, 20]
    """
    return np.unique(np.geomspace(1, full, points).round().astype(int)).tolist()
