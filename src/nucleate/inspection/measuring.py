"""The measures of units, beside what a random matrix of the same shape and row norms gives.

Everything holds at any scale, and without a copy of the whole matrix. It is in float64, but for the cosines between
units whose weights are in single precision, which are right to some 1e-6. Of more than 2,000 units the measures of
pairs and groups rest on samples; the others are exact.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from jaxtyping import Float, Int
from scipy.special import betainc

from nucleate.inspection.samples import (
    MOST_UNITS,
    directions_of_all,
    effective_neurons_of_all,
    pairs_of_all,
    sampled,
)
from nucleate.inspection.spectra import Chance, Spectra, blocks, stable_rank, with_bias
from nucleate.inspection.units import Units
from nucleate.observe import alike
from nucleate.observe.directions import THRESHOLD, cluster
from nucleate.observe.measures import MAX_ROWS
from nucleate.observe.norms import effective_number, norm, standardized, unit_rows
from nucleate.observe.snapshots import MOST_SINGULAR_VALUES, spaced
from nucleate.sources.source import Activity

LEADING = 4
"""How many singular values are listed."""
PAIRS_ABOVE = 0.9

_RARE = 1e-6


class Value(NamedTuple):
    """A measure of units, what it is of a random matrix, and the standard error that sampling units makes.

    The second is None where it is no other value or none, the third where there is no sampling.
    """

    measure: str
    value: float
    null: float | None = None
    error: float | None = None


class Picture(NamedTuple):
    """What is drawn of a layer: up to 48 evenly spaced units, and the largest singular values.

    Parameters
    ----------
    cosine : float32 array of shape (k, k)
        Between each two of the units.
    sizes : float32 array of shape (k,)
        Norms of what they read, relative to the largest.
    singular, random : float32 arrays of shape (s,)
        At most 12 singular values of the weights, and those of a random matrix, relative to the largest of the weights.
    """

    cosine: Float[np.ndarray, "k k"]
    sizes: Float[np.ndarray, " k"]
    singular: Float[np.ndarray, " s"]
    random: Float[np.ndarray, " s"]


Map = tuple[Float[np.ndarray, "k k"], Float[np.ndarray, " k"]]
"""The cosines and the sizes of a `Picture`."""


def values_of_pairs(units: Units, sizes: Float[np.ndarray, " m"], seed: int, chance: Chance) -> tuple[list[Value], Map]:
    """The measures of units that look at each two of them, and what is drawn; sizes are norms of their weights."""

    @cache
    def rng() -> np.random.Generator:
        # A generator of its own for each layer, so that what is left out of a model changes nothing in the rest. Most
        # looks at a model that trains draw nothing.
        return np.random.default_rng((seed, crc32(f"{units.layer} {units.kind} {units.head}".encode())))

    reads = with_bias(sizes, units)
    chosen = np.arange(len(sizes)) if len(sizes) <= MOST_UNITS else sampled(len(sizes), rng())
    cosine = _cosines(units, reads, chosen)
    values = list(_of_pairs(cosine, chosen, units, reads, rng, chance))
    shown = spaced(len(chosen))
    of_shown = reads[chosen[shown]]
    relative = (of_shown / (of_shown.max() or 1.0)).astype(np.float32)
    return values, (cosine[shown[:, None], shown].astype(np.float32), relative)


def values_of_spectra(spectra: Spectra) -> list[Value]:
    """The ranks, and the singular values that are listed."""
    singular, random = spectra
    leading = zip(singular[:LEADING], random.singular[:LEADING], strict=True)
    return [
        Value("stable_rank", stable_rank(singular), random.stable),
        Value("effective_rank", effective_number(singular), random.effective),
        *(
            Value(f"singular_value_{index}", float(value), float(by_chance))
            for index, (value, by_chance) in enumerate(leading, 1)
        ),
    ]


def picture_of(shown: Map, spectra: Spectra) -> Picture:
    """What is drawn of a layer."""
    largest = float(spectra.singular[0]) or 1.0
    of_spectra = (spectra.singular, spectra.random.singular)
    return Picture(*shown, *((values[:MOST_SINGULAR_VALUES] / largest).astype(np.float32) for values in of_spectra))


def _cosines(units: Units, sizes: Float[np.ndarray, " m"], chosen: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n n"]:
    """`nucleate.observe.cosine_similarity` of what units read, biases included, in the precision of the weights."""
    unit = _unit_rows(units, sizes, chosen)
    cosine: np.ndarray = unit @ unit.T
    np.clip(cosine, -1.0, 1.0, out=cosine)
    cosine.ravel()[:: len(cosine) + 1] = sizes[chosen] > 0
    return cosine


def _unit_rows(units: Units, sizes: Float[np.ndarray, " m"], chosen: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n k"]:
    """What some units read, biases included, divided by its norm, in the precision of the weights."""
    everyone = slice(None) if len(chosen) == len(sizes) else chosen
    weights, bias = units.weights[everyone], None if units.bias is None else units.bias[everyone]
    if weights.dtype == np.float64:
        return unit_rows(weights if bias is None else np.column_stack([weights, bias]))
    by = np.divide(1.0, sizes[chosen], out=np.zeros(len(chosen)), where=sizes[chosen] > 0)
    if by.max(initial=0.0) < np.finfo(np.float32).max:
        # Several times faster than to round each product.
        by = by.astype(np.float32)
    unit = np.empty((len(chosen), weights.shape[1] + (bias is not None)), np.float32)
    np.multiply(weights, by[:, None], out=unit[:, : weights.shape[1]], casting="same_kind")
    if bias is not None:
        unit[:, -1] = bias * by
    return unit


def is_finite(array: np.ndarray) -> bool:
    """Whether no number is NaN or infinite."""
    return array.size == 0 or all(np.isfinite(block).all() for block in blocks(array.reshape(len(array), -1)))


def _of_pairs(
    cosine: Float[np.ndarray, "n n"],
    chosen: Int[np.ndarray, " n"],
    units: Units,
    sizes: Float[np.ndarray, " m"],
    rng: Callable[[], np.random.Generator],
    chance: Chance,
) -> Iterator[Value]:
    """Directions and condensed pairs, from the cosines between all units or those chosen; sizes include biases."""
    is_all, entries = len(chosen) == len(sizes), units.weights.shape[1] + (units.bias is not None)
    near = cosine > PAIRS_ABOVE
    near |= cosine < -PAIRS_ABOVE
    signed, alive = not units.opposites_are_one, np.count_nonzero(cosine.diagonal())
    if np.count_nonzero(near) == alive:
        # None is near another, so each has a direction of its own.
        labels = np.where(cosine.diagonal() > 0, np.cumsum(cosine.diagonal() > 0) - 1, -1)
    else:
        labels = cluster(cosine, signed=signed, threshold=THRESHOLD)
    value, error = float(labels.max(initial=-1) + 1), 0.0
    if not is_all:
        rows = partial(_unit_rows, units, sizes)
        value, error = directions_of_all(rows, np.flatnonzero(sizes > 0), chosen, labels, signed=signed, rng=rng())
    random = float(np.count_nonzero(sizes > 0))
    if _tail(entries, THRESHOLD) * random * (random - 1) / 2 >= _RARE:
        random = chance.directions(units, int(random), entries, rng)
    yield Value("directions", value, random, None if is_all else error)
    if len(chosen) < 2:
        # There is no pair, so nothing is condensed or not.
        return
    pairs, error = pairs_of_all(near, len(sizes))
    by_chance = _tail(entries, PAIRS_ABOVE) * (alive * (alive - 1)) / (len(chosen) * (len(chosen) - 1))
    yield Value("condensed_pairs", pairs, by_chance, None if is_all else error)


@cache
def _tail(entries: int, threshold: float) -> float:
    """How probably two random directions have a cosine beyond the threshold, up to sign."""
    return 1.0 if entries == 1 else float(betainc((entries - 1) / 2, 0.5, 1 - threshold**2))


def distance(now: Units, start: Units, chance: Chance) -> float:
    """`nucleate.observe.relative_distance` of what units read, without a copy of the whole."""
    pairs = [(now.weights, start.weights)]
    if now.bias is not None or start.bias is not None:
        none = np.zeros(len(now.weights), now.weights.dtype)
        of_bias = [none if one.bias is None else one.bias for one in (now, start)]
        pairs.append((of_bias[0][:, None], of_bias[1][:, None]))
    moved = [
        _length(np.subtract(end, begin, dtype=np.float64), end.dtype)
        for ends, begins in pairs
        for end, begin in zip(blocks(ends), blocks(begins), strict=True)
    ]
    total = chance.size_of_reference(start)
    if total == 0:
        return math.inf if any(moved) else 0.0
    return norm(np.array(moved)) / total


def _length(array: Float[np.ndarray, "..."], of: np.dtype[Any]) -> float:
    """The root of the sum of squares; float64 holds those of single precision as they are."""
    return norm(array) if of == np.float64 else math.sqrt(float(np.vdot(array, array)))


def values_on_data(activity: Activity, random: float | None, seed: int) -> Iterator[Value]:
    """What units do on data: as how many different ones they work, what merging loses, and which are constant.

    Beside the first stands the number that the model has whose matrices are random.
    """
    looked_at = _looked_at(activity)
    if len(looked_at.leaving) <= MOST_UNITS:
        found = alike(*looked_at)
        yield Value("effective_neurons", found.effective_neurons, random)
        yield Value("merging_loss", found.loss)
        yield Value("constant_units", float(np.count_nonzero(found.labels < 0)))
    else:
        value, error = effective_neurons_of_all(*looked_at, np.random.default_rng(seed))
        yield Value("effective_neurons", value, random, error)
        yield Value("constant_units", float(np.count_nonzero(standardized(looked_at.leaving)[1] == 0)))


def effective_neurons_of(activity: Activity, seed: int) -> float:
    """The effective neurons of `values_on_data` alone."""
    return next(values_on_data(activity, None, seed)).value


def _looked_at(activity: Activity) -> Activity:
    """At most 512 evenly spaced rows of data, as in `nucleate.observe`, in float64."""
    columns = np.linspace(0, activity.leaving.shape[1] - 1, min(activity.leaving.shape[1], MAX_ROWS)).astype(int)
    leaving = np.asarray(activity.leaving[:, columns], np.float64)
    return Activity(leaving, np.asarray(activity.outgoing, np.float64))
