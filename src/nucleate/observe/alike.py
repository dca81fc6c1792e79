"""Neurons that do the same on data: one of them can act for all, and what that loses.

A neuron reaches the next layer through its activation times its outgoing weights. The next layer's weights can stretch
an activation or turn its sign, and its biases shift it: so two neurons do the same where one activation is an affine
function of the other, that is where their correlation is 1 or -1. The mean of an activation does no work that a bias
would not do, and a neuron that is constant on the data does none.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

from nucleate.errors import ArchitectureError
from nucleate.observe.directions import THRESHOLD, numbered_by_size
from nucleate.observe.norms import effective_number, row_norms, standardized, unit_rows

MOST_LOST = 0.05
"""The share of a layer's output variance that its groups may lose."""

CANCELS = 1e-6
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
        return float(effective_number(self.contributions))


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
        If the two are not of the same neurons, empty, or not finite.

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
    if 0 in leaving.shape:
        raise ArchitectureError(
            f"The activations have shape {leaving.shape}, a row a neuron and a column a row of data; give some of both."
        )
    if not (np.isfinite(leaving).all() and np.isfinite(outgoing).all()):
        raise ArchitectureError(
            "Activations or outgoing weights are NaN or infinite, as diverged runs leave them; take an earlier network."
        )
    found = act_as_one(leaving[None], outgoing[None])
    labels, acting = numbered_by_size(found.centres[0])
    return Alike(labels, found.contributions[0, acting], float(found.loss[0]))


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


class ActAsOne(NamedTuple):
    """The neurons of a layer of some runs in groups that each act as one.

    ``centres`` has for each neuron the one that can act for its group, -1 for one that is constant; ``contributions``
    those of the groups at the places of these, and zeros; ``loss`` what is lost in each run; ``distances`` by how much
    correlations within a group of each run are at most below 1, 0 where each neuron is left to itself.
    """

    centres: Int[np.ndarray, "runs m"]
    contributions: Float[np.ndarray, "runs m"]
    loss: Float[np.ndarray, " runs"]
    distances: Float[np.ndarray, " runs"]

    @property
    def effective_neurons(self) -> Float[np.ndarray, " runs"]:
        """`Alike.effective_neurons` of each run."""
        return effective_number(self.contributions)


def act_as_one(leaving: Float[np.ndarray, "runs m n"], outgoing: Float[np.ndarray, "runs m t"]) -> ActAsOne:
    """`alike` of finite arrays, for a layer of some runs at once."""
    layer = _Correlated.of(leaving, outgoing)
    shape = layer.sizes.shape
    found = ActAsOne(np.zeros(shape, int), np.zeros(shape), np.zeros(shape[0]), np.zeros(shape[0]))
    left = np.arange(len(leaving))
    for distance in (1.0 - THRESHOLD) / 2.0 ** np.arange(_HALVINGS):
        here = layer if len(left) == len(leaving) else _Correlated(*(array[left] for array in layer))
        gathered = _judge(here, _gather(here, distance), distance)
        enough = gathered.loss <= MOST_LOST
        for whole, part in zip(found, gathered, strict=True):
            whole[left[enough]] = part[enough]
        left = left[~enough]
        if not left.size:
            return found
    here = _Correlated(*(array[left] for array in layer))
    for whole, part in zip(found, _judge(here, _each_its_own(here), 0.0), strict=True):
        whole[left] = part
    return found


def centres_within(
    leaving: Float[np.ndarray, "m n"], outgoing: Float[np.ndarray, "m t"], distance: float
) -> Int[np.ndarray, " m"]:
    """For each neuron the one at the centre of its group, where correlations with it are that far below 1 at most."""
    return _gather(_Correlated.of(leaving[None], outgoing[None]), distance)[0]


def what_they_add(
    leaving: Float[np.ndarray, "... m n"], outgoing: Float[np.ndarray, "... m t"]
) -> tuple[
    Float[np.ndarray, "... m n"], Float[np.ndarray, "... m"], Float[np.ndarray, "... m"], Float[np.ndarray, "... m t"]
]:
    """Activations, standardized, and their deviations; and what neurons add, in size and as vectors, relative to the
    most that one of them adds."""
    standard, deviation = standardized(leaving)
    with np.errstate(divide="ignore"):
        # The product of two small numbers would be rounded to zero.
        sizes = np.log(deviation) + np.log(row_norms(outgoing))
    largest = sizes.max(axis=-1, keepdims=True, initial=-np.inf)
    sizes = np.exp(sizes - np.where(np.isfinite(largest), largest, 0.0))
    return standard, deviation, sizes, sizes[..., None] * unit_rows(outgoing)


class _Correlated(NamedTuple):
    """What the neurons of a layer of some runs add to the next, in units of the largest of the run."""

    correlation: Float[np.ndarray, "runs m m"]
    adding: Float[np.ndarray, "runs m t"]
    sizes: Float[np.ndarray, "runs m"]
    # What the layer adds as a whole, along each neuron's standardized activation.
    along: Float[np.ndarray, "runs m t"]

    @classmethod
    def of(cls, leaving: Float[np.ndarray, "runs m n"], outgoing: Float[np.ndarray, "runs m t"]) -> "_Correlated":
        standard, deviation, sizes, adding = what_they_add(leaving, outgoing)
        correlation = np.clip(standard @ standard.swapaxes(1, 2) / standard.shape[2], -1.0, 1.0)
        same = np.arange(standard.shape[1])
        correlation[:, same, same] = deviation > 0
        return cls(correlation, adding, sizes, correlation @ adding)

    @property
    def alive(self) -> Bool[np.ndarray, "runs m"]:
        return self.correlation.diagonal(axis1=1, axis2=2) > 0

    @property
    def variance(self) -> Float[np.ndarray, " runs"]:
        """Of all that the layer adds; 0 where its neurons cancel."""
        variance = _dot(self.adding, self.along)
        return np.where(variance > (CANCELS * self.sizes.sum(axis=1)) ** 2, variance, 0.0)


def _each_its_own(layer: _Correlated) -> Int[np.ndarray, "runs m"]:
    return np.where(layer.alive, np.arange(layer.sizes.shape[1]), -1)


def _gather(layer: _Correlated, distance: float) -> Int[np.ndarray, "runs m"]:
    """For each neuron the one at the centre of its group, -1 for the dead."""
    likeness = np.abs(layer.correlation)
    near = likeness >= 1.0 - distance
    centres = _each_its_own(layer)
    left = np.count_nonzero(near, axis=2) > 1
    runs = np.flatnonzero(left.any(axis=1))
    if not runs.size:
        return centres
    explains = np.square(likeness) * near
    explained = (explains @ layer.sizes[:, :, None])[:, :, 0]
    while runs.size:
        centre = np.where(left[runs], explained[runs], -1.0).argmax(axis=1)
        group = near[runs, centre] & left[runs]
        which, member = np.nonzero(group)
        run = runs[which]
        centres[run, member] = centre[which]
        left[run, member] = False
        gone = layer.sizes[run, member][:, None] * explains[run, member]
        explained[runs] -= np.add.reduceat(gone, np.searchsorted(which, np.arange(len(runs))), axis=0)
        runs = runs[left[runs].any(axis=1)]
    return centres


def _judge(layer: _Correlated, centres: Int[np.ndarray, "runs m"], distance: float) -> ActAsOne:
    """The groups, when what they add is left to the neurons at their centres."""
    runs, m = centres.shape
    run, neuron = np.nonzero(centres >= 0)
    centre = centres[run, neuron]
    group = run * m + centre
    shares = layer.correlation[run, neuron, centre][:, None] * layer.adding[run, neuron]
    by_group = np.argsort(group, kind="stable")
    acting, begins = np.unique(group[by_group], return_index=True)
    taken_on = np.zeros((runs * m, layer.adding.shape[2]))
    if acting.size:
        taken_on[acting] = np.add.reduceat(shares[by_group], begins, axis=0)
    contributions = row_norms(taken_on)
    cancel = contributions <= CANCELS * np.bincount(group, layer.sizes[run, neuron], runs * m)
    contributions[cancel], taken_on[cancel] = 0.0, 0.0
    variance = layer.variance
    # A layer that adds nothing loses nothing.
    something = variance > 0
    lost = _lost(layer, ~cancel.reshape(runs, m), taken_on.reshape(layer.adding.shape), something)
    return ActAsOne(
        centres,
        contributions.reshape(runs, m) * something[:, None],
        lost / np.where(something, variance, 1.0),
        np.full(runs, distance),
    )


def _lost(
    layer: _Correlated,
    acts: Bool[np.ndarray, "runs m"],
    taken_on: Float[np.ndarray, "runs m t"],
    asked: Bool[np.ndarray, " runs"],
) -> Float[np.ndarray, " runs"]:
    """The variance that the acting neurons cannot express, whatever their outgoing weights."""
    beyond, lost = layer.adding - taken_on, np.zeros(len(acts))
    for run in np.flatnonzero(asked & beyond.any(axis=(1, 2))):
        acting = np.flatnonzero(acts[run])
        here = layer.correlation[run][:, acting]
        along = layer.along[run] - here @ taken_on[run, acting]
        # The ridge is for neurons that depend on each other, as more of them than rows do.
        own = here[acting]
        own.ravel()[:: len(acting) + 1] += _RIDGE
        # LAPACK by itself, as SciPy's checks take longer than it does.
        fitted, _ = scipy.linalg.lapack.dtrtrs(np.linalg.cholesky(own).T, along[acting], lower=0, trans=1)
        lost[run] = max(_dot(beyond[run], along) - _dot(fitted, fitted), 0.0)
    return lost


def _dot(a: Float[np.ndarray, "... m t"], b: Float[np.ndarray, "... m t"]) -> Any:
    return np.einsum("...mt,...mt->...", a, b)
