"""Keep the neurons that explain most, and refit what reads them.

Neurons are chosen one by one: the next is the one that, together with those before, brings the ridge regression of the
target on the chosen neurons down furthest. This is orthogonal least squares (Chen, Cowan and Grant 1991,
doi:10.1109/72.80341), the form of orthogonal matching pursuit that looks at what a neuron adds, not at its correlation
alone. It needs inputs and no labels, and as the target is the original network's, it corrects what layers before lost.
"""

import numpy as np
from jaxtyping import Float
from scipy.linalg import cholesky, solve_triangular

from nucleate.reduction.layers import Affine, Method, Narrow, NarrowLayer, WideLayer, keep_neurons

RIDGE = 1e-4
"""The ridge, in units of the strongest neuron's standard deviation: below it neurons are not told apart."""


def select(layer: WideLayer) -> Narrow:
    """The method; see the module."""
    path = GreedyPath(layer.features, layer.target, layer.importance, layer.weights)

    def narrow(width: int) -> NarrowLayer:
        chosen, outgoing = path.first(width)
        return keep_neurons(layer, chosen, outgoing)

    return narrow


SELECT = Method("select", select)
"""Keeps the neurons that explain most and refits what reads them; has no bound, as the refit may change more than it
undoes."""


class GreedyPath:
    """The neurons in the order in which they are chosen, found as far as asked for.

    ``importance`` is what an error in each column of the target weighs, ``weights`` what each row counts for, with mean
    1.
    """

    def __init__(
        self,
        features: Float[np.ndarray, "n m"],
        target: Float[np.ndarray, "n t"],
        importance: Float[np.ndarray, " t"],
        weights: Float[np.ndarray, " n"] | None = None,
    ) -> None:
        self._centre, self._level = (np.average(one, axis=0, weights=weights) for one in (features, target))
        self._importance = np.where(importance > 0, importance, 1.0)
        known, wanted = features - self._centre, (target - self._level) * importance
        if weights is not None:
            known, wanted = (np.sqrt(weights)[:, None] * one for one in (known, wanted))
        squares = known.T @ known
        ridge = RIDGE**2 * squares.diagonal().max(initial=1e-300)
        # Inner products of n rows are those of m in the triangle; the ridge is far above the rounding of the squares.
        self._known = cholesky(squares + ridge * np.eye(len(squares)))
        self._wanted = solve_triangular(self._known, known.T @ wanted, trans="T")
        self._rest = self._known.T.copy()
        self._explains = self._rest @ self._wanted
        self._energy = np.square(self._rest).sum(axis=1)
        self._basis: list[Float[np.ndarray, " r"]] = []
        self._components: list[Float[np.ndarray, " m"]] = []
        self.order: list[int] = []

    def first(self, count: int) -> tuple[np.ndarray, Affine]:
        """The first ``count`` neurons, in ascending order, and the affine map that reads the target off them."""
        if count == len(self._centre):
            # All of them need no order.
            weights = np.linalg.lstsq(self._known, self._wanted)[0].T / self._importance[:, None]
            return np.arange(count), Affine(weights, self._level - weights @ self._centre)
        while len(self.order) < count:
            self._choose()
        chosen = np.array(self.order[:count])
        triangle = np.array(self._components[:count])[:, chosen]
        projections = np.array(self._basis[:count]) @ self._wanted
        weights = solve_triangular(triangle, projections).T / self._importance[:, None]
        ascending = np.argsort(chosen)
        chosen, weights = chosen[ascending], weights[:, ascending]
        return chosen, Affine(weights, self._level - weights @ self._centre[chosen])

    def _choose(self) -> None:
        scores = np.square(self._explains).sum(axis=1) / np.maximum(self._energy, 1e-300)
        scores[self.order] = -1.0
        best = int(scores.argmax())
        direction = self._rest[best] / np.linalg.norm(self._rest[best])
        components = self._rest @ direction
        self._rest -= np.outer(components, direction)
        self._explains -= np.outer(components, direction @ self._wanted)
        self._energy -= components**2
        self._basis.append(direction)
        self._components.append(components)
        self.order.append(best)
