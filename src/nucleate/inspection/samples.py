"""What samples of a layer's units tell of all of them, with the standard error that they leave.

A first sample says which groups there are, and all units are asked to which of them they belong, so that these groups
are known as they are. Of the units that belong to none a second sample is taken. There a group of s of N units is among
n sampled ones with the probability 1 - C(N - s, n) / C(N, n), by whose inverse it counts (Horvitz and Thompson 1952)
for those that were not seen. How many units these have is known, so that only ratios are estimated, and nothing where
none is left.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int
from scipy.special import xlogy

from nucleate.observe.alike import CANCELS, act_as_one, centres_within, what_they_add
from nucleate.observe.directions import THRESHOLD, cluster
from nucleate.observe.norms import effective_number, row_norms

MOST_UNITS = 2000
"""Up to so many units everything is exact."""

_AT_ONCE = 2048

Rows = Callable[[Int[np.ndarray, " n"]], Float[np.ndarray, "n k"]]
"""The unit vectors of the units of these numbers."""


def sampled(count: int, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """The units that are looked at, in order."""
    return np.arange(count) if count <= MOST_UNITS else np.sort(rng.choice(count, MOST_UNITS, replace=False))


def pairs_of_all(near: Bool[np.ndarray, "n n"], count: int) -> tuple[float, float]:
    """The share of condensed pairs among all units, and the standard error that the sample makes.

    The error is found by leaving out one unit at a time. Of a group with c units in the sample its square is c^3, in
    pairs; where c is small by chance, so is the error. So the largest group, of one unit where no two are near each
    other, counts with two units more.

    Of the units sampled it is given which are near each other, where living ones are near themselves.
    """
    n = len(near)
    # The matrix has each pair twice, and each living unit with itself once; a pair counts for both of its units.
    of_each = near.sum(axis=1) - near.diagonal()
    share = float(of_each.sum() / (n * (n - 1)))
    if n == count:
        return share, 0.0
    without = (of_each.sum() - 2 * of_each) / ((n - 1) * (n - 2))
    variance = (n - 1) / n * np.square(without - without.mean()).sum()
    largest = float(of_each.max() + 1)
    variance += ((largest + 2) ** 3 - largest * (largest - 1) ** 2) * (2 / (n * (n - 1))) ** 2
    return share, math.sqrt(variance * (1 - n / count))


def directions_of_all(
    rows: Rows,
    alive: Int[np.ndarray, " m"],
    chosen: Int[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    *,
    signed: bool,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """How many directions units take, and the standard error of that, from those that a sample of them takes.

    A unit belongs to a direction that was seen if its mean cosine with the units sampled there is as large as within
    directions. Units go by their numbers: those that are not zero, and those sampled, with their labels as of
    `nucleate.observe.directions`.
    """
    known, left = labels.max(initial=-1) + 1, np.setdiff1d(alive, chosen)
    _, cosine = _joined(rows, left, rows(chosen[labels >= 0]), labels[labels >= 0], signed=signed)
    left = left[cosine < THRESHOLD]
    if not left.size:
        return float(known), 0.0
    fresh = left[sampled(len(left), rng)]
    some = rows(fresh)
    labels = cluster(np.clip(some @ some.T, -1.0, 1.0), signed=signed, threshold=THRESHOLD)
    joined, cosine = _joined(rows, np.setdiff1d(left, fresh), some, labels, signed=signed)
    members = np.bincount(np.append(labels, joined[cosine >= THRESHOLD]))
    rest = len(left) - int(members.sum())
    unseen = Unseen.of(members, members, len(left), len(fresh))
    # Units that are left have a group at least, and each its own at most.
    more = min(max(rest * unseen.ratio(np.ones(len(members))), 1.0), rest)
    error = unseen.error(np.ones(len(members)))
    return float(known + len(members) + more), error if rest else 0.0


def _joined(
    rows: Rows,
    units: Int[np.ndarray, " m"],
    some: Float[np.ndarray, "n k"],
    labels: Int[np.ndarray, " n"],
    *,
    signed: bool,
) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Of each unit the direction with which it has the largest mean cosine, without signs if not ``signed``, and that.

    The directions are those of some unit vectors; where there are none, the mean cosine is -1.
    """
    group, mean = np.zeros(len(units), int), np.full(len(units), -1.0)
    by_label, members = some[np.argsort(labels, kind="stable")], np.bincount(labels)
    begins = np.cumsum(members) - members
    for place in _parts(np.arange(len(units))) if len(members) else ():
        cosine = rows(units[place]) @ by_label.T
        if not signed:
            np.abs(cosine, out=cosine)
        means = np.add.reduceat(cosine, begins, axis=1) / members
        group[place] = means.argmax(axis=1)
        mean[place] = means.max(axis=1)
    return group, mean


def _parts(units: Int[np.ndarray, " m"]) -> Iterator[Int[np.ndarray, " n"]]:
    for start in range(0, len(units), _AT_ONCE):
        yield units[start : start + _AT_ONCE]


def effective_neurons_of_all(
    leaving: Float[np.ndarray, "m n"], outgoing: Float[np.ndarray, "m t"], rng: np.random.Generator
) -> tuple[float, float]:
    """As how many different neurons many units work, `nucleate.observe.effective_neurons`, and its standard error.

    The first sample has the units that add most, and says how near the units of a group are. A unit belongs to the
    group of the centre that is nearest to it.
    """
    standard, _, sizes, adding = what_they_add(leaving, outgoing)
    layer = _Layer(standard, adding, sizes)
    left = np.flatnonzero(layer.sizes > 0)
    if not left.size:
        return 0.0, 0.0
    first = left[np.argsort(-layer.sizes[left], kind="stable")[:MOST_UNITS]]
    found = act_as_one(leaving[first][None], outgoing[first][None])
    distance = float(found.distances[0])
    if distance == 0:
        return float(effective_number(layer.sizes)), 0.0
    known, left = layer.gathered(left, first[found.centres[0] == np.arange(len(first))], distance)
    fresh = left[sampled(len(left), rng)]
    centres = centres_within(leaving[fresh], outgoing[fresh], distance)
    more, rest = layer.gathered(left, fresh[centres == np.arange(len(fresh))], distance)
    sizes, unseen = layer.sizes[rest], Unseen.of(more.members, more.alone, len(left), len(fresh))
    # Of each sum what is known, and what the units that are left add by the ratio of the groups like theirs.
    total = known.together.sum() + more.together.sum() + sizes.sum() * unseen.ratio(more.together)
    logs = known.logs.sum() + more.logs.sum() + xlogy(sizes, sizes).sum() + sizes.sum() * unseen.ratio(more.gained)
    if total == 0:
        return 0.0, 0.0
    entropy = math.log(total) - logs / total
    moved = ((1 + math.log(total) - entropy) * more.together - more.gained) / total
    value = math.exp(entropy)
    return value, value * unseen.error(moved) if rest.size else 0.0


class _Groups(NamedTuple):
    """Groups of units.

    How many each has, what these add when one acts for all, and the sum of what each adds by itself; of the first of
    these amounts the product with its logarithm, and by how much that is above the sum of such products of the units.
    """

    members: Int[np.ndarray, " g"]
    together: Float[np.ndarray, " g"]
    alone: Float[np.ndarray, " g"]
    logs: Float[np.ndarray, " g"]
    gained: Float[np.ndarray, " g"]


class _Layer(NamedTuple):
    """What units add to the next layer, in units of the largest."""

    standard: Float[np.ndarray, "m n"]
    adding: Float[np.ndarray, "m t"]
    sizes: Float[np.ndarray, " m"]

    def gathered(
        self, units: Int[np.ndarray, " k"], centres: Int[np.ndarray, " g"], distance: float
    ) -> tuple[_Groups, Int[np.ndarray, " rest"]]:
        """The groups of these units around these centres, and the units that belong to none."""
        count, rows = len(centres), self.standard.shape[1]
        members, alone, logs_alone = np.zeros(count, int), np.zeros(count), np.zeros(count)
        taken_on, left = np.zeros((count, self.adding.shape[1])), []
        for part in _parts(units) if count else ():
            correlation = self.standard[part] @ self.standard[centres].T / rows
            nearest = np.abs(correlation).argmax(axis=1)
            shares = correlation[np.arange(len(part)), nearest]
            near = np.abs(shares) >= 1 - distance
            left.append(part[~near])
            part, nearest, shares = part[near], nearest[near], shares[near]
            by_group = scipy.sparse.csr_array((shares, (nearest, np.arange(len(part)))), shape=(count, len(part)))
            taken_on += by_group @ self.adding[part]
            members += np.bincount(nearest, minlength=count)
            alone += np.bincount(nearest, self.sizes[part], count)
            logs_alone += np.bincount(nearest, xlogy(self.sizes[part], self.sizes[part]), count)
        together = row_norms(taken_on) if count else alone
        together = np.where(together > CANCELS * alone, together, 0.0)
        logs = xlogy(together, together)
        return _Groups(members, together, alone, logs, logs - logs_alone), np.concatenate(left) if count else units


class Unseen(NamedTuple):
    """The groups of which no unit was sampled, as far as those that were seen tell of them.

    Of each of these: how probably none of its units would have been seen, and an amount whose sum over all unseen
    groups is known.
    """

    missed: Float[np.ndarray, " g"]
    beside: Float[np.ndarray, " g"]

    @classmethod
    def of(
        cls, members: Int[np.ndarray, " g"], beside: Float[np.ndarray, " g"], units: int, looked_at: int
    ) -> "Unseen":
        """From the numbers of units in each group, in all and in the sample."""
        by_size = np.zeros(units + 1)
        by_size[: units - looked_at + 1] = np.append(1.0, np.cumprod(1 - looked_at / np.arange(units, looked_at, -1)))
        return cls(by_size[members], beside)

    def ratio(self, values: Float[np.ndarray, " g"]) -> float:
        """The sum of a value over all unseen groups, as a multiple of that of the amount.

        Examples
        --------
        A group of one unit in ten is missed by samples of two four times in five, one of five units twice in nine:

        >>> unseen = Unseen.of(np.array([1, 5]), np.array([1.0, 5.0]), units=10, looked_at=2)
        >>> unseen.missed.round(3), round(unseen.ratio(np.ones(2)), 3)
        (array([0.8  , 0.222]), 0.789)
        """
        odds = self.missed / (1 - self.missed)
        # Groups so large that they are not missed tell little of those that are, and these all that is told.
        odds = odds if odds @ self.beside > 0 else np.ones(len(odds))
        amount = odds @ self.beside
        return float(odds @ values / amount) if amount > 0 else 0.0

    def error(self, values: Float[np.ndarray, " g"]) -> float:
        """The standard error of that sum, where the amount is known."""
        apart = values - self.ratio(values) * self.beside
        return math.sqrt(float(np.sum(self.missed * np.square(apart / (1 - self.missed)))))
