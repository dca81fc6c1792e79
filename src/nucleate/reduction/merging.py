"""Let neurons of one direction act as one; no data are needed.

Near zero, and for ReLU everywhere, ``s(r z) = r^p s(z)`` with the multiplicity p: the norms of neurons that point one
way can be moved outward, and their outgoing weights added up. For an odd or even activation opposite directions are
one (Zhou et al. 2022, arXiv 2105.11686; Chen and Luo 2024, arXiv 2402.15958).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from nucleate._wording import count
from nucleate.activations import Activation
from nucleate.observe import cosine_similarity, layers_of
from nucleate.observe.measures import evaluation_rows
from nucleate.reduction.layers import Affine, Narrow, NarrowLayer, WideLayer


@dataclass(frozen=True, eq=False)
class Groups:
    """Which neurons of a hidden layer do the same on data, up to what the next layer's weights and biases can change.

    Parameters
    ----------
    layer : int
        From 1.
    labels : array of int, shape (m,)
        The group of each neuron, largest first; -1 for a dead one.
    loss : float
        The share of the layer's output variance that is lost if one neuron of each group is left, see
        `nucleate.observe.alike`.
    """

    layer: int
    labels: Int[np.ndarray, " m"]
    loss: float

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of neurons in each group, largest first."""
        return tuple(np.bincount(self.labels[self.labels >= 0]).tolist())

    @property
    def count(self) -> int:
        """The number of groups."""
        return len(self.sizes)

    def __str__(self) -> str:
        """
        >>> print(Groups(1, np.array([0, 0, 0, 1, -1]), loss=0.012))
        layer 1: 3 neurons act as one, 1 alone, 1 dead (1.2 % of its variance lost)
        """
        alone = sum(size == 1 for size in self.sizes)
        dead = int(np.count_nonzero(self.labels < 0))
        said = [f"{size} neurons act as one" for size in self.sizes if size > 1]
        if len(said) > 3:
            said = [*said[:3], f"{count(len(said) - 3, 'more group')} of {self.sizes[3]} or fewer"]
        said += [f"{alone} alone"] * bool(alone) + [f"{dead} dead"] * bool(dead)
        lost = f"{100 * self.loss:.2g} %" if self.loss >= 0.001 else "less than 0.1 %"
        price = f" ({lost} of its variance lost)" if max(self.sizes, default=0) > 1 else ""
        return f"layer {self.layer}: {', '.join(said)}{price}"


class Merging(NamedTuple):
    """Neuron k, ``s(inner[k] v)``, is taken for ``s(0) + outer[k] (s(v) - s(0))``.

    ``v`` is what enters its merged neuron ``labels[k]``, and ``at_zero`` is s(0).
    """

    labels: Int[np.ndarray, " m"]
    inner: Float[np.ndarray, " m"]
    outer: Float[np.ndarray, " m"]
    merged: Affine
    at_zero: float

    def gather(self, outgoing: Affine) -> Affine:
        """What then reads the merged neurons: outgoing weights added up, and in the bias the constants left over."""
        weights = np.zeros((len(outgoing.weights), len(self.merged.weights)))
        np.add.at(weights.T, self.labels, (outgoing.weights * self.outer).T)
        return Affine(weights, outgoing.bias + self.at_zero * (outgoing.weights @ (1.0 - self.outer)))


def groups(model: Any, x: Float[np.ndarray, "n d"]) -> tuple[Groups, ...]:
    """The groups of each layer's neurons by what they do on rows of ``x``, evenly spaced and at most 512.

    Input weights mislead: behind a condensed layer different ones do the same.

    Parameters
    ----------
    model : model
        A `nucleate.Network`, or any model with layers, see `nucleate.observe.layers_of`.
    x : array of shape (n, d)

    Returns
    -------
    tuple of Groups

    Examples
    --------
    >>> from nucleate import InitScale, Network
    >>> network = Network.create(2, [5, 4], 1, scale=InitScale("gain", 1.0))
    >>> [found.labels.shape for found in groups(network, np.eye(2))]
    [(5,), (4,)]
    """
    return tuple(
        Groups(number, layer.alike.labels, layer.alike.loss)
        for number, layer in enumerate(layers_of(model, evaluation_rows(x)), start=1)
    )


def merge(layer: WideLayer) -> Narrow:
    """The method; see the module."""
    tree = _tree(layer.incoming, layer.activation)

    def narrow(width: int) -> NarrowLayer:
        merging = _merge_to(tree, width, layer.incoming, layer.outgoing, layer.activation)
        return NarrowLayer(merging.merged, merging.gather(layer.outgoing), merging)

    return narrow


def _tree(incoming: Affine, activation: Activation) -> Float[np.ndarray, "merges 4"]:
    cosine = cosine_similarity(_vectors(incoming))
    likeness = cosine if activation.parity == "none" else np.abs(cosine)
    return linkage(squareform(1.0 - likeness, checks=False), "average") if len(cosine) > 1 else np.empty((0, 4))


def _merge_to(
    tree: Float[np.ndarray, "merges 4"], width: int, incoming: Affine, outgoing: Affine, activation: Activation
) -> Merging:
    vectors = _vectors(incoming)
    norms = np.linalg.norm(vectors, axis=1)
    if len(vectors) > 1:
        labels = np.unique(fcluster(tree, width, "maxclust"), return_inverse=True)[1]
    else:
        labels = np.zeros(1, int)
    weight = norms * np.linalg.norm(outgoing.weights, axis=0)
    centres, inner = np.zeros((labels.max() + 1, vectors.shape[1])), np.zeros(len(vectors))
    for label in range(len(centres)):
        members = np.flatnonzero(labels == label)
        # Neurons that add nothing have no say, unless all are such.
        say = weight[members] if weight[members].any() else np.ones(len(members))
        direction = np.linalg.svd(say[:, None] * vectors[members], full_matrices=False)[2][0]
        along = vectors[members] @ direction
        if activation.parity == "none":
            direction, along = direction * (np.sign(say @ along) or 1.0), along * (np.sign(say @ along) or 1.0)
        length = float(say @ np.abs(along) / say.sum())
        centres[label] = length * direction
        inner[members] = along / length if length > 0 else 0.0
    sizes = np.abs(inner) ** activation.multiplicity
    outer = np.sign(inner) * sizes if activation.parity == "odd" else sizes
    if activation.parity == "none":
        # A neuron on the other side of its group's centre cannot be expressed by it.
        inner, outer = np.maximum(inner, 0.0), np.where(inner > 0, sizes, 0.0)
    return Merging(labels, inner, outer, Affine(centres[:, :-1], centres[:, -1]), activation.value)


def _vectors(incoming: Affine) -> Float[np.ndarray, "m fan_in_and_bias"]:
    return np.column_stack([incoming.weights, incoming.bias])
