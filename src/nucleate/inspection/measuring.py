"""The measures of units, beside what a random matrix of the same shape and row norms gives.

Everything holds at any scale, and without a copy of the whole matrix. It is in float64, but for the cosines between
units whose weights are in single precision, which are right to some 1e-6. Of more than 2,000 units the measures of
pairs and groups look at a sample of 2,000; the others are exact.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import betainc

from nucleate.devices import spread
from nucleate.inspection.sources import Activity, Traced
from nucleate.inspection.units import Units
from nucleate.observe import Alike, alike, cosine_similarity
from nucleate.observe.directions import THRESHOLD, cluster
from nucleate.observe.measures import MAX_ROWS
from nucleate.observe.norms import effective_number, norm, row_norms, scaled, standardized
from nucleate.observe.snapshots import MOST_SINGULAR_VALUES, spaced

MOST_UNITS = 2000
"""Up to so many units everything is exact."""
LEADING = 4
"""How many singular values are listed."""
PAIRS_ABOVE = 0.9

_BLOCK = 2**22
# The sum of the cubes of matrices' smaller sides from which their singular values gain more on a thread of their own
# than the waits for Python's lock take.
_LONG = 2**23
_BY_SVD = 256
_RARE = 1e-6
_NEAR, _NEAR_ON_DATA = 1.1, 1.05


class Value(NamedTuple):
    """A measure of units.

    Parameters
    ----------
    measure : str
    value : float
    null : float or None
        Of a random matrix; None where it has no other value than the matrix itself, or none.
    error : float or None
        The standard error that sampling units makes; None where there is no sampling.
    """

    measure: str
    value: float
    null: float | None = None
    error: float | None = None


class Chance:
    """What chance gives, kept from one look at a model to the next while its row norms stay nearly what they were.

    Other row norms D' in the place of D change each singular value of a random matrix by a factor between the smallest
    and the largest of D'/D. So a spectrum is computed anew only once these are more than 10 % apart, up to where
    another draw would move it as much; until then it grows as the norm of D does, which is that of the spectrum. Which
    layer reads which is kept beside it, how large the reference is, and what of it was found to be finite.
    """

    def __init__(self) -> None:
        self.traced: Traced | None = None
        self.finite_in_reference: set[str] = set()
        self._sizes: dict[_Of, np.ndarray] = {}
        self._spectra: dict[_Of, tuple[np.ndarray, Random]] = {}
        self._drawn: dict[tuple[int, int], _Draw] = {}
        self._groups: dict[tuple[_Of, int], np.ndarray] = {}
        self._on_data: tuple[dict[_Of, np.ndarray], dict[str, float]] | None = None
        self._references: dict[_Of, float] = {}

    def size_of_reference(self, reference: Units) -> float:
        """The norm of what units of the reference read, biases included."""
        place = reference.layer, reference.kind, reference.head
        if place not in self._references:
            self._references[place] = norm(row_sizes(reference))
        return self._references[place]

    def kept(self, units: Units, sizes: Float[np.ndarray, " m"]) -> "Random | None":
        """What was drawn before for nearly these row norms."""
        place = units.layer, units.kind, units.head
        if units.head is None:
            self._sizes[place] = sizes
        if place not in self._spectra:
            return None
        then, random = self._spectra[place]
        least, most = _factors(sizes, then)
        if most > _NEAR * least:
            return None
        return random._replace(singular=norm(sizes) / (norm(then) or 1.0) * random.singular)

    def draw(self, units: Units, sizes: Float[np.ndarray, " m"], seed: int) -> "Random":
        """What a random matrix of these row norms has; those of one shape are of one draw."""
        shape = len(sizes), units.weights.shape[1]
        if shape not in self._drawn:
            self._drawn[shape] = _Draw(*shape, seed)
        null = self._drawn[shape].singular_values(sizes)
        random = Random(null, _stable(null), effective_number(null))
        self._spectra[units.layer, units.kind, units.head] = sizes, random
        return random

    def groups(
        self, units: Units, alive: int, entries: int, rng: Callable[[], np.random.Generator]
    ) -> Int[np.ndarray, " n"]:
        """How so many random units gather into directions."""
        asked = (units.layer, units.kind, units.head), alive
        if asked not in self._groups:
            drawn = cosine_similarity(rng().standard_normal((alive, entries)))
            self._groups[asked] = cluster(drawn, signed=not units.opposites_are_one, threshold=THRESHOLD)
        return self._groups[asked]

    def on_data(self, draw: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
        """The effective neurons of the random model, layer by layer, drawn anew once a row norm has moved by 5 %."""
        if self._on_data is not None:
            sizes, values = self._on_data
            factors = [_factors(now, sizes[place]) for place, now in self._sizes.items() if place in sizes]
            if all(least * _NEAR_ON_DATA >= 1 and most <= _NEAR_ON_DATA for least, most in factors):
                return values
        self._on_data = dict(self._sizes), dict(draw())
        return self._on_data[1]


_Of = tuple[str, str, int | None]


def _factors(now: Float[np.ndarray, " m"], then: Float[np.ndarray, " m"]) -> tuple[float, float]:
    """Between which factors the row norms have changed."""
    alive = then > 0
    if not np.array_equal(now > 0, alive):
        return 0.0, math.inf
    factors = now[alive] / then[alive] if alive.any() else np.ones(1)
    return float(factors.min()), float(factors.max())


class Random(NamedTuple):
    """The singular values of a random matrix, and its ranks."""

    singular: Float[np.ndarray, " k"]
    stable: float
    effective: float


class Spectra(NamedTuple):
    """The singular values of units' weights, and those by chance."""

    singular: Float[np.ndarray, " k"]
    random: Random


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


class Map(NamedTuple):
    """What `Picture` shows of the units that are drawn."""

    cosine: Float[np.ndarray, "k k"]
    sizes: Float[np.ndarray, " k"]


def values_of_pairs(units: Units, sizes: Float[np.ndarray, " m"], seed: int, chance: Chance) -> tuple[list[Value], Map]:
    """The measures of units that look at each two of them, and what is drawn of these.

    Parameters
    ----------
    units : Units
    sizes : array of shape (m,)
        The norms of their weights.
    seed : int
        Of the sample and of the random matrix.
    chance : Chance
    """

    @cache
    def rng() -> np.random.Generator:
        # A generator of its own for each layer, so that what is left out of a model changes nothing in the rest. Most
        # looks at a model that trains draw nothing.
        return np.random.default_rng((seed, crc32(f"{units.layer} {units.kind} {units.head}".encode())))

    with_bias = _with_bias(sizes, units)
    chosen = np.arange(len(sizes)) if len(sizes) <= MOST_UNITS else sampled(len(sizes), rng())
    cosine = _cosines(units, with_bias, chosen)
    values = list(_of_pairs(cosine, units, len(sizes), rng, chance))
    shown = spaced(len(chosen))
    of_shown = with_bias[chosen[shown]]
    return values, Map(
        cosine[shown[:, None], shown].astype(np.float32), (of_shown / (of_shown.max() or 1.0)).astype(np.float32)
    )


def values_of_spectra(spectra: Spectra) -> list[Value]:
    """The ranks, and the singular values that are listed."""
    singular, random = spectra
    leading = zip(singular[:LEADING], random.singular[:LEADING], strict=True)
    return [
        Value("stable_rank", _stable(singular), random.stable),
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


def sampled(count: int, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """The units that are looked at, in order."""
    return np.arange(count) if count <= MOST_UNITS else np.sort(rng.choice(count, MOST_UNITS, replace=False))


def row_sizes(units: Units) -> Float[np.ndarray, " m"]:
    """The norm of what each unit reads, its bias included."""
    return _with_bias(lengths_of(units.weights), units)


def _with_bias(sizes: Float[np.ndarray, " m"], units: Units) -> Float[np.ndarray, " m"]:
    return sizes if units.bias is None else np.hypot(sizes, np.asarray(units.bias, np.float64))


def lengths_of(matrix: np.ndarray) -> Float[np.ndarray, " m"]:
    """The norm of each row, at any scale; float64 holds the squares of single precision as they are."""
    if matrix.dtype == np.float64:
        return np.concatenate([row_norms(block) for block in _blocks(matrix)])
    return np.sqrt(np.concatenate([_squares(np.asarray(block, np.float64)) for block in _blocks(matrix)]))


def _squares(rows: Float[np.ndarray, "m k"]) -> Float[np.ndarray, " m"]:
    squares: np.ndarray = np.einsum("mk,mk->m", rows, rows)
    return squares


def _cosines(units: Units, sizes: Float[np.ndarray, " m"], chosen: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n n"]:
    """`nucleate.observe.cosine_similarity` of what units read, biases included, in the precision of the weights."""
    everyone = slice(None) if len(chosen) == len(sizes) else chosen
    weights, bias = units.weights[everyone], None if units.bias is None else units.bias[everyone]
    if weights.dtype == np.float64:
        return cosine_similarity(weights if bias is None else np.column_stack([weights, bias]))
    alive = sizes[chosen] > 0
    by = np.divide(1.0, sizes[chosen], out=np.zeros(len(chosen)), where=alive)
    if by.max(initial=0.0) < np.finfo(np.float32).max:
        # Several times faster than to round each product.
        by = by.astype(np.float32)
    unit = np.empty((len(chosen), weights.shape[1] + (bias is not None)), np.float32)
    np.multiply(weights, by[:, None], out=unit[:, : weights.shape[1]], casting="same_kind")
    if bias is not None:
        unit[:, -1] = bias * by
    cosine: np.ndarray = unit @ unit.T
    np.clip(cosine, -1.0, 1.0, out=cosine)
    cosine.ravel()[:: len(cosine) + 1] = alive
    return cosine


def is_finite(array: np.ndarray) -> bool:
    """Whether no number is NaN or infinite."""
    return array.size == 0 or all(np.isfinite(block).all() for block in _blocks(array.reshape(len(array), -1)))


def _blocks(matrix: np.ndarray) -> Iterator[np.ndarray]:
    """The matrix by blocks of rows that are a few megabytes each."""
    step = max(1, _BLOCK // max(matrix.shape[1], 1))
    for start in range(0, len(matrix), step):
        yield matrix[start : start + step]


def _of_pairs(
    cosine: Float[np.ndarray, "n n"],
    units: Units,
    count: int,
    rng: Callable[[], np.random.Generator],
    chance: Chance,
) -> Iterator[Value]:
    """Directions and condensed pairs, from the cosines between all of ``count`` units or a sample of them."""
    is_all, entries = len(cosine) == count, units.weights.shape[1] + (units.bias is not None)
    near = cosine > PAIRS_ABOVE
    near |= cosine < -PAIRS_ABOVE
    alive = np.count_nonzero(cosine.diagonal())
    if np.count_nonzero(near) == alive:
        # None is near another, so each has a direction of its own.
        labels = np.where(cosine.diagonal() > 0, np.cumsum(cosine.diagonal() > 0) - 1, -1)
    else:
        labels = cluster(cosine, signed=not units.opposites_are_one, threshold=THRESHOLD)
    value, error = groups_of_all(labels, count)
    if _tail(entries, THRESHOLD) * alive * (alive - 1) / 2 < _RARE:
        random = float(alive / len(labels) * count)
    else:
        in_random = np.full(len(labels), -1)
        in_random[:alive] = chance.groups(units, int(alive), entries, rng)
        random = groups_of_all(in_random, count)[0]
    yield Value("directions", value, random, None if is_all else error)
    if len(labels) < 2:
        # There is no pair, so nothing is condensed or not.
        return
    pairs, error = _pairs(near, count)
    by_chance = _tail(entries, PAIRS_ABOVE) * alive * (alive - 1) / (len(labels) * (len(labels) - 1))
    yield Value("condensed_pairs", pairs, by_chance, None if is_all else error)


@cache
def _tail(entries: int, threshold: float) -> float:
    """How probably two random directions have a cosine beyond the threshold, up to sign."""
    return 1.0 if entries == 1 else float(betainc((entries - 1) / 2, 0.5, 1 - threshold**2))


def _pairs(near: Bool[np.ndarray, "n n"], count: int) -> tuple[float, float]:
    """The share of condensed pairs among all units, and the standard error that the sample makes."""
    n = len(near)
    # The matrix has each pair twice, and each living unit with itself once.
    share = (np.count_nonzero(near) - np.count_nonzero(near.diagonal())) / (n * (n - 1))
    if n == count:
        return share, 0.0
    # By leaving out one unit at a time; a pair counts for both of its units.
    of_each = near.sum(axis=1) - near.diagonal()
    without = (of_each.sum() - 2 * of_each) / ((n - 1) * (n - 2))
    variance = (n - 1) / n * np.square(without - without.mean()).sum() * (1 - n / count)
    return share, math.sqrt(variance)


def groups_of_all(labels: Int[np.ndarray, " n"], count: int) -> tuple[float, float]:
    """How many groups there are among ``count`` units, from the groups of a sample of them, and its standard error.

    Groups seen once, f1 of them, and twice, f2, tell how many were not seen: of n units that are a share q of all at
    least ``f1^2 / (2 n / (n-1) f2 + q / (1-q) f1)``, after Chao and Lin (Biometrics 68, 2012). That is Chao's bound for
    samples with replacement as q goes to 0, and nothing as it goes to 1. Value and error are tested against samples. It
    is the number of groups itself where all units were looked at, the number seen where none was seen once, and all
    units where each was seen once.

    Parameters
    ----------
    labels : array of int, shape (n,)
        -1 for units of no group.
    count : int

    Examples
    --------
    >>> groups_of_all(np.array([0, 0, 1, -1]), 4)
    (2.0, 0.0)
    >>> round(groups_of_all(np.arange(100), 1000)[0], 6)
    1000.0
    """
    n = len(labels)
    sizes = np.bincount(labels[labels >= 0])
    seen, once, twice = len(sizes), np.count_nonzero(sizes == 1), np.count_nonzero(sizes == 2)
    if n == count or once == 0:
        return float(seen), 0.0
    left, often = n / count / (1 - n / count), n / (n - 1)
    unseen = once**2 / (2 * often * twice + left * once)
    variance = unseen + (2 * often * twice * unseen**2 + once**2 * unseen) ** 2 / once**5
    variance += 4 * often**2 * twice * (unseen / once) ** 4
    return float(min(seen + unseen, count)), math.sqrt(variance)


def _stable(values: Float[np.ndarray, " k"]) -> float:
    return float(np.square(values / values[0]).sum()) if values[0] > 0 else 0.0


def _spectrum(matrix: np.ndarray) -> Float[np.ndarray, " k"]:
    """The singular values, descending.

    Of a matrix in single precision, and of one whose smaller side has more than 256 entries, they are the roots of the
    eigenvalues of its product with itself, in which those below some 1e-7 of the largest cannot be told from zero, and
    are zero. So small ones are rounding in single precision anyway.
    """
    wide = matrix.T if matrix.shape[0] < matrix.shape[1] else matrix
    largest = 1.0
    if wide.dtype == np.float64:
        largest = max((float(np.abs(block).max(initial=0.0)) for block in _blocks(wide)), default=0.0)
        if largest == 0:
            return np.zeros(wide.shape[1])
        if wide.shape[1] <= _BY_SVD and wide.size <= _BLOCK:
            unit, scale = scaled(wide)
            return scale.item() * np.linalg.svd(unit, compute_uv=False)
    product = np.zeros((wide.shape[1], wide.shape[1]))
    for block in _blocks(wide):
        unit = block / largest if wide.dtype == np.float64 else np.asarray(block, np.float64)
        product += unit.T @ unit
    return largest * _roots(product)


def spectra_of(
    pieces: Sequence[Units],
    sizes: Sequence[Float[np.ndarray, " m"]],
    seed: int,
    chance: Chance,
    beside: Callable[[], None],
) -> list[Spectra]:
    """The spectra of several pieces on a thread a core, those of one shape together, beside something else.

    They are those that each has by itself, to the bit.

    Parameters
    ----------
    pieces : sequence of Units
    sizes : sequence of arrays
        The norms of their weights.
    seed : int
        Of the random matrices.
    chance : Chance
    beside : callable
        What is done meanwhile.
    """
    kept = [chance.kept(units, of) for units, of in zip(pieces, sizes, strict=True)]
    random = {place: known for place, known in enumerate(kept) if known is not None}
    singular: dict[int, np.ndarray] = {}

    def decompose(places: Sequence[int]) -> None:
        if len(places) == 1:
            singular[places[0]] = _spectrum(pieces[places[0]].weights)
            return
        stack = np.stack([pieces[place].weights for place in places]).astype(np.float64)
        wide = stack.swapaxes(1, 2) if stack.shape[1] < stack.shape[2] else stack
        for place, values in zip(places, _roots(wide.swapaxes(1, 2) @ wide), strict=True):
            singular[place] = values

    def draw(place: int) -> None:
        random[place] = chance.draw(pieces[place], sizes[place], seed)

    alike: dict[tuple[int, ...], list[int]] = {}
    for place, units in enumerate(pieces):
        # Those in double precision have small singular values too, each its own way.
        of_shape = units.weights.shape if units.weights.dtype != np.float64 else (place,)
        alike.setdefault(of_shape, []).append(place)
    jobs: list[Callable[[], None]] = [beside, *(partial(decompose, places) for places in alike.values())]
    jobs += [partial(draw, place) for place in range(len(pieces)) if place not in random]
    if sum(min(units.weights.shape) ** 3 for units in pieces) >= _LONG:
        spread(lambda job: job(), jobs)
    else:
        for job in jobs:
            job()
    return [Spectra(singular[place], random[place]) for place in range(len(pieces))]


class _Draw:
    """A random matrix of one shape, whose rows have norm 1.

    Of a wide one the product of its rows with each other is kept, of a tall one the rows; where they are large, they
    are drawn again each time.
    """

    def __init__(self, count: int, entries: int, seed: int) -> None:
        self._count, self._entries, self._seed = count, entries, seed
        self._is_wide, is_small = count <= entries, count * min(count, entries) <= _BLOCK
        self._product = self._product_of_rows() if self._is_wide and is_small else None
        self._rows = list(self._drawn_rows()) if is_small and not self._is_wide else None

    def _normal(self, along: int, across: int) -> Iterator[Float[np.ndarray, "..."]]:
        """Single precision is far beyond what chance leaves open."""
        rng, step = np.random.default_rng((self._seed, self._count, self._entries)), max(1, _BLOCK // across)
        for start in range(0, along, step):
            yield rng.standard_normal((min(step, along - start), across), np.float32)

    def _product_of_rows(self) -> Float[np.ndarray, "m m"]:
        product = np.zeros((self._count, self._count))
        for block in self._normal(self._entries, self._count):
            product += block.T @ block
        drawn = np.sqrt(product.diagonal())
        by = np.divide(1.0, drawn, out=np.zeros_like(drawn), where=drawn > 0)
        return product * np.outer(by, by)

    def _drawn_rows(self) -> Iterator[Float[np.ndarray, "n k"]]:
        for block in self._normal(self._count, self._entries):
            block /= np.linalg.norm(block, axis=1, keepdims=True)
            yield block

    def singular_values(self, sizes: Float[np.ndarray, " m"]) -> Float[np.ndarray, " k"]:
        """Those of the matrix whose rows have these norms."""
        largest = sizes.max(initial=0.0)
        if largest == 0:
            return np.zeros(min(self._count, self._entries))
        relative = sizes / largest
        if self._is_wide:
            of_rows = self._product_of_rows() if self._product is None else self._product
            return largest * _roots(of_rows * np.outer(relative, relative))
        product, start = np.zeros((self._entries, self._entries)), 0
        for rows in self._rows or self._drawn_rows():
            block = rows * relative[start : start + len(rows), None].astype(np.float32)
            product += block.T @ block
            start += len(rows)
        return largest * _roots(product)


def _roots(product: Float[np.ndarray, "... k k"]) -> Float[np.ndarray, "... k"]:
    eigenvalues = np.linalg.eigvalsh(product)[..., ::-1]
    rounding = eigenvalues.shape[-1] * np.finfo(np.float64).eps * eigenvalues[..., :1]
    return np.sqrt(np.where(eigenvalues > rounding, eigenvalues, 0.0))


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
        for end, begin in zip(_blocks(ends), _blocks(begins), strict=True)
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

    Parameters
    ----------
    activity : Activity
    random : float or None
        The effective neurons of the model whose matrices are random.
    seed : int
        Of the sample.
    """
    looked_at = _looked_at(activity)
    value, error, found = _effective(looked_at, seed)
    if len(looked_at.leaving) <= MOST_UNITS:
        yield Value("effective_neurons", value, random)
        yield Value("merging_loss", found.loss)
        yield Value("constant_units", float(np.count_nonzero(found.labels < 0)))
    else:
        yield Value("effective_neurons", value, random, error)
        yield Value("constant_units", float(np.count_nonzero(standardized(looked_at.leaving)[1] == 0)))


def effective_neurons_of(activity: Activity, seed: int) -> float:
    """The effective neurons of `values_on_data` alone."""
    return _effective(_looked_at(activity), seed)[0]


def _looked_at(activity: Activity) -> Activity:
    """At most 512 evenly spaced rows of data, as in `nucleate.observe`, in float64."""
    columns = np.linspace(0, activity.leaving.shape[1] - 1, min(activity.leaving.shape[1], MAX_ROWS)).astype(int)
    leaving = np.asarray(activity.leaving[:, columns], np.float64)
    return Activity(leaving, np.asarray(activity.outgoing, np.float64))


def _effective(activity: Activity, seed: int) -> tuple[float, float, Alike]:
    """The effective neurons of all units, the error that a sample of them makes, and what acts alike in the sample.

    How evenly the groups of the sample contribute is taken for how evenly all do.
    """
    count = len(activity.leaving)
    if count <= MOST_UNITS:
        found = alike(activity.leaving, activity.outgoing)
        return found.effective_neurons, 0.0, found
    chosen = sampled(count, np.random.default_rng(seed))
    found = alike(activity.leaving[chosen], activity.outgoing[chosen])
    if not (seen := len(found.contributions)):
        return found.effective_neurons, 0.0, found
    groups, error = groups_of_all(found.labels, count)
    share = found.effective_neurons / seen
    return share * groups, share * error, found
