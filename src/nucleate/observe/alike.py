"""Neurons that do the same on data: one of them can act for all, and what that loses.

A neuron reaches the next layer through its activation times its outgoing weights. The next layer's weights can stretch
an activation or turn its sign, and its biases shift it: so two neurons do the same where one activation is an affine
function of the other, that is where their correlation is 1 or -1. The mean of an activation does no work that a bias
would not do, and a neuron that is constant on the data does none.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import solve_triangular

from nucleate.errors import ArchitectureError
from nucleate.observe.directions import THRESHOLD
from nucleate.observe.norms import effective_number, row_norms, standardized, unit_rows

MOST_LOST = 0.05
"""The share of a layer's output variance that its groups may lose."""

_CANCELS = 1e-6
_RIDGE = 1e-10
_HALVINGS = 48


@dataclass(frozen=True, eq=False)
class Alike:
    """The neurons of a layer in groups that each act as one.

    Parameters
    ----------
    labels : array of int, shape (m,)
        The group of each neuron, numbered from 0 by the number of its neurons, largest first (of two as large, that of
        the earlier neuron); -1 for a neuron that is constant on the data.
    contributions : array, shape (count,)
        What each group adds to the next layer when one of its neurons acts for all: its standard deviation times the
        norm of the outgoing weights that it takes on, in units of the largest single neuron's. 0 where they cancel.
    loss : float
        The share of the variance of all that the layer adds, from 0 to 0.05, that is lost if one neuron of each group
        is left and the next layer's weights and biases are fitted anew. 0 of a layer that adds nothing.
    """

    labels: Int[np.ndarray, " m"]
    contributions: Float[np.ndarray, " count"]
    loss: float

    @property
    def effective_neurons(self) -> float:
        """The exponential of the entropy of the groups' contributions."""
        return effective_number(self.contributions)


def alike(leaving: Float[np.ndarray, "m n"], outgoing: Float[np.ndarray, "m t"]) -> Alike:
    """Gather the neurons that do the same, as far as little is lost if they act as one.

    A group is a neuron and those that have a correlation of at least 0.95 with it, up to sign. First comes the group of
    the neuron that so explains most of what the neurons add, then that of the next. Where the groups would lose more
    than 5 % of the layer's output variance, as neurons do that nearly cancel, they are gathered more narrowly: the
    distance of the correlation from 1 is halved until they do not.

    Parameters
    ----------
    leaving : array, shape (m, n)
        The neurons' activations on n rows of data, of any scale.
    outgoing : array, shape (m, t)
        What reads them: the next layer's weights, transposed.

    Returns
    -------
    Alike

    Raises
    ------
    ArchitectureError
        If the two are not of the same neurons, or not finite.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 9)
    >>> found = alike(np.array([x, 3 - 2 * x, x**2, np.ones(9)]), np.ones((4, 1)))
    >>> found.labels, round(found.loss, 12)
    (array([ 0,  0,  1, -1]), 0.0)
    """
    if len(leaving) != len(outgoing):
        raise ArchitectureError(
            f"There are activations of {len(leaving)} neurons and outgoing weights of {len(outgoing)}; each neuron "
            "needs a row of both."
        )
    if not (np.isfinite(leaving).all() and np.isfinite(outgoing).all()):
        raise ArchitectureError(
            "Activations or outgoing weights are NaN or infinite, as diverged runs leave them; take an earlier network."
        )
    layer = _Correlated.of(leaving, outgoing)
    for distance in (1.0 - THRESHOLD) / 2.0 ** np.arange(_HALVINGS):
        found = _act_as_one(layer, _gather(layer, distance))
        if found.loss <= MOST_LOST:
            return found
    return _act_as_one(layer, np.where(layer.alive, np.arange(len(layer.sizes)), -1))


def effective_neurons(leaving: Float[np.ndarray, "m n"], outgoing: Float[np.ndarray, "m t"]) -> float:
    """As how many different neurons a layer works: the exponential of the entropy of its groups' contributions.

    1 where all neurons do the same, m where m different ones contribute equally, 0 where the layer is constant or its
    neurons cancel. A group that contributes little counts little. See `nucleate.observe.alike`.

    Parameters
    ----------
    leaving : array, shape (m, n)
        The neurons' activations on n rows of data.
    outgoing : array, shape (m, t)
        The next layer's weights, transposed.

    Returns
    -------
    float

    Raises
    ------
    ArchitectureError
        If the two are not of the same neurons, or not finite.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 9)
    >>> round(effective_neurons(np.array([x, 3 - x, -2 * x**2]), np.eye(3)), 2)
    1.99
    """
    return alike(leaving, outgoing).effective_neurons


def merging_loss(leaving: Float[np.ndarray, "m n"], outgoing: Float[np.ndarray, "m t"]) -> float:
    """The share of a layer's output variance that is lost where the neurons that `effective_neurons` groups act as one.

    From 0 to 0.05; 0 of a single neuron, and of a layer that adds nothing. See `nucleate.observe.alike`.

    Parameters
    ----------
    leaving : array, shape (m, n)
    outgoing : array, shape (m, t)

    Returns
    -------
    float

    Raises
    ------
    ArchitectureError
        If the two are not of the same neurons, or not finite.

    Examples
    --------
    >>> x = np.linspace(0, 1, 101)
    >>> round(merging_loss(np.array([x, x**1.5]), np.ones((2, 1))), 3)
    0.005
    """
    return alike(leaving, outgoing).loss


class _Correlated(NamedTuple):
    """What the neurons of a layer add to the next, in units of the largest."""

    correlation: Float[np.ndarray, "m m"]
    adding: Float[np.ndarray, "m t"]
    sizes: Float[np.ndarray, " m"]
    # What the layer adds as a whole, along each neuron's standardized activation.
    along: Float[np.ndarray, "m t"]

    @classmethod
    def of(cls, leaving: Float[np.ndarray, "m n"], outgoing: Float[np.ndarray, "m t"]) -> "_Correlated":
        standard, deviation = standardized(leaving)
        correlation = np.clip(standard @ standard.T / standard.shape[1], -1.0, 1.0)
        np.fill_diagonal(correlation, deviation > 0)
        with np.errstate(divide="ignore"):
            # The product of two small numbers would be rounded to zero.
            sizes = np.log(deviation) + np.log(row_norms(outgoing))
        largest = sizes.max(initial=-np.inf)
        sizes = np.exp(sizes - largest) if np.isfinite(largest) else np.zeros(len(sizes))
        adding = sizes[:, None] * unit_rows(outgoing)
        return cls(correlation, adding, sizes, correlation @ adding)

    @property
    def alive(self) -> Bool[np.ndarray, " m"]:
        alive: np.ndarray = self.correlation.diagonal() > 0
        return alive

    @property
    def variance(self) -> float:
        """Of all that the layer adds; 0 where its neurons cancel."""
        variance = _dot(self.adding, self.along)
        return variance if variance > (_CANCELS * self.sizes.sum()) ** 2 else 0.0


def _gather(layer: _Correlated, distance: float) -> Int[np.ndarray, " m"]:
    """For each neuron the one at the centre of its group, -1 for the dead."""
    likeness = np.abs(layer.correlation)
    near = likeness >= 1.0 - distance
    centres = np.where(layer.alive, np.arange(len(near)), -1)
    left = np.count_nonzero(near, axis=1) > 1
    if not left.any():
        return centres
    explains = np.square(likeness) * near
    explained = explains @ layer.sizes
    while left.any():
        centre = np.where(left, explained, -1.0).argmax()
        group = np.flatnonzero(near[centre] & left)
        centres[group] = centre
        left[group] = False
        explained -= explains[:, group] @ layer.sizes[group]
    return centres


def _act_as_one(layer: _Correlated, centres: Int[np.ndarray, " m"]) -> Alike:
    """The groups, when what they add is left to the neurons at their centres."""
    alive = np.flatnonzero(centres >= 0)
    acting, first, group, members = np.unique(
        centres[alive], return_index=True, return_inverse=True, return_counts=True
    )
    taken_on = np.zeros((len(acting), layer.adding.shape[1]))
    if len(acting):
        shares = layer.correlation[alive, centres[alive]][:, None] * layer.adding[alive]
        by_group = np.argsort(group, kind="stable")
        taken_on = np.add.reduceat(shares[by_group], np.cumsum(members) - members, axis=0)
    contributions = row_norms(taken_on)
    cancel = contributions <= _CANCELS * np.bincount(group, layer.sizes[alive])
    contributions[cancel] = 0.0
    variance = layer.variance
    loss = _lost(layer, acting[~cancel], taken_on[~cancel]) / variance if variance else 0.0
    labels, by_size = np.full(len(centres), -1), np.lexsort((first, -members))
    labels[alive] = np.argsort(by_size)[group]
    return Alike(labels, contributions[by_size] if variance else np.zeros(len(acting)), loss)


def _lost(layer: _Correlated, acting: Int[np.ndarray, " k"], taken_on: Float[np.ndarray, "k t"]) -> float:
    """The variance that the acting neurons cannot express, whatever their outgoing weights."""
    beyond = layer.adding.copy()
    beyond[acting] -= taken_on
    if not beyond.any():
        return 0.0
    along = layer.along - layer.correlation[:, acting] @ taken_on
    # The ridge is for neurons that depend on each other, as more of them than rows do.
    own = layer.correlation[np.ix_(acting, acting)] + _RIDGE * np.eye(len(acting))
    fitted = solve_triangular(np.linalg.cholesky(own), along[acting], lower=True, check_finite=False)
    return max(_dot(beyond, along) - _dot(fitted, fitted), 0.0)


def _dot(a: Float[np.ndarray, "m t"], b: Float[np.ndarray, "m t"]) -> float:
    return float(np.einsum("mt,mt->", a, b))
