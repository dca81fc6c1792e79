"""The norms and the singular values of units' weights, beside what chance gives for the same shape and row norms."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nucleate.devices import spread
from nucleate.inspection.samples import directions_of_all, sampled
from nucleate.inspection.units import Units
from nucleate.observe import cosine_similarity
from nucleate.observe.directions import THRESHOLD, cluster
from nucleate.observe.norms import effective_number, norm, row_norms, scaled, unit_rows
from nucleate.sources.source import Traced

_BLOCK = 2**22
# The sum of the cubes of matrices' smaller sides from which their singular values gain more on a thread of their own
# than the waits for Python's lock take.
_LONG = 2**23
_BY_SVD = 256
_NEAR, _NEAR_ON_DATA = 1.1, 1.05


class Random(NamedTuple):
    """The singular values of a random matrix, and its ranks."""

    singular: Float[np.ndarray, " k"]
    stable: float
    effective: float


class Spectra(NamedTuple):
    """The singular values of units' weights, and those by chance."""

    singular: Float[np.ndarray, " k"]
    random: Random


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
        self._directions: dict[tuple[_Of, int], float] = {}
        self._on_data: tuple[dict[_Of, np.ndarray], dict[str, float]] | None = None
        self._references: dict[_Of, float] = {}

    def size_of_reference(self, reference: Units) -> float:
        """The norm of what units of the reference read, biases included."""
        if reference.place not in self._references:
            self._references[reference.place] = norm(row_sizes(reference))
        return self._references[reference.place]

    def kept(self, units: Units, sizes: Float[np.ndarray, " m"]) -> Random | None:
        """What was drawn before for nearly these row norms."""
        if units.head is None:
            self._sizes[units.place] = sizes
        if units.place not in self._spectra:
            return None
        then, random = self._spectra[units.place]
        least, most = _factors(sizes, then)
        if most > _NEAR * least:
            return None
        return random._replace(singular=norm(sizes) / (norm(then) or 1.0) * random.singular)

    def draw(self, units: Units, sizes: Float[np.ndarray, " m"], seed: int) -> Random:
        """What a random matrix of these row norms has; those of one shape are of one draw."""
        shape = len(sizes), units.weights.shape[1]
        if shape not in self._drawn:
            self._drawn[shape] = _Draw(*shape, seed)
        null = self._drawn[shape].singular_values(sizes)
        random = Random(null, stable_rank(null), effective_number(null))
        self._spectra[units.place] = sizes, random
        return random

    def directions(self, units: Units, alive: int, entries: int, rng: Callable[[], np.random.Generator]) -> float:
        """How many directions so many random units take."""
        asked = units.place, alive
        if asked not in self._directions:
            drawn, signed = unit_rows(rng().standard_normal((alive, entries))), not units.opposites_are_one
            chosen = sampled(alive, rng())
            labels = cluster(cosine_similarity(drawn[chosen]), signed=signed, threshold=THRESHOLD)
            self._directions[asked], _ = directions_of_all(
                drawn.__getitem__, np.arange(alive), chosen, labels, signed=signed, rng=rng()
            )
        return self._directions[asked]

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


def row_sizes(units: Units) -> Float[np.ndarray, " m"]:
    """The norm of what each unit reads, its bias included."""
    return with_bias(lengths_of(units.weights), units)


def with_bias(sizes: Float[np.ndarray, " m"], units: Units) -> Float[np.ndarray, " m"]:
    return sizes if units.bias is None else np.hypot(sizes, np.asarray(units.bias, np.float64))


def lengths_of(matrix: np.ndarray) -> Float[np.ndarray, " m"]:
    """The norm of each row, at any scale; float64 holds the squares of single precision as they are."""
    if matrix.dtype == np.float64:
        return np.concatenate([row_norms(block) for block in blocks(matrix)])
    wide = (np.asarray(block, np.float64) for block in blocks(matrix))
    return np.sqrt(np.concatenate([np.einsum("mk,mk->m", rows, rows) for rows in wide]))


def blocks(matrix: np.ndarray) -> Iterator[np.ndarray]:
    """The matrix by blocks of rows that are a few megabytes each."""
    step = max(1, _BLOCK // max(matrix.shape[1], 1))
    for start in range(0, len(matrix), step):
        yield matrix[start : start + step]


def stable_rank(values: Float[np.ndarray, " k"]) -> float:
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
        largest = max((float(np.abs(block).max(initial=0.0)) for block in blocks(wide)), default=0.0)
        if largest == 0:
            return np.zeros(wide.shape[1])
        if wide.shape[1] <= _BY_SVD and wide.size <= _BLOCK:
            unit, scale = scaled(wide)
            return scale.item() * np.linalg.svd(unit, compute_uv=False)
    product = np.zeros((wide.shape[1], wide.shape[1]))
    for block in blocks(wide):
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

    They are those that each has by itself, to the bit. The sizes are the norms of their weights.
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
