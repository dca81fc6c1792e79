"""What any model is near zero, read off what it does as all its parameters are scaled: no derivation asked of anybody.

Along ``h theta`` the outputs of a model are ``sum_d h^d f_d(x; theta)``, one-sided, so that ReLU is no exception. The
lowest degree D at which they depend on x is the degree of the leading part ``f_D``; constants may come before. Both are
found by fitting powers of h to the outputs at a few small h, which is a weighted sum of them and so can be
differentiated, compiled and trained as the model itself (derived here, docs/theory.md).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from nucleate import devices
from nucleate.errors import ArchitectureError
from nucleate.models import Frame, take_apart
from nucleate.theory import checks
from nucleate.theory.effective import AnyArray

# Powers beyond D that are fitted too, so that they are not taken for it.
_BEYOND = 4
# The readings start at the model's own size, and shrink by this factor until the powers are clear.
_SHRINK, _TRIES = 0.25, 24
# From there on so many scales, each half of the one before, are tried for the one that errs least.
_HALVINGS = 8
_CLEAR = 0.05
# Of what is constant, the share below which what depends on x is rounding.
_ROUNDING = 1e-12


@partial(
    jax.tree_util.register_dataclass, data_fields=["parameters"], meta_fields=["frame", "degree", "lowest", "reach"]
)
@dataclass(frozen=True)
class NearZero:
    """A model near zero: the part of lowest degree that depends on the inputs, with the constants of lower degree.

    A model itself, with the same parameters in the same order.

    Parameters
    ----------
    parameters : pytree of arrays
        Those of the model, in float64.
    frame : Frame
        The rest of the model.
    degree : int
        D, of the leading part in the parameters.
    lowest : int
        The lowest degree at which there is anything: that of the constants, or D where there are none before.
    reach : float
        The norm of all parameters up to which the powers are read.
    """

    parameters: Any
    frame: Frame
    degree: int
    lowest: int
    reach: float

    @property
    def fits_constants(self) -> bool:
        """Whether it has constants of lower degree than what depends on the inputs, which it fits before."""
        return self.lowest < self.degree

    def __call__(self, x: Float[AnyArray, "n d"]) -> Float[AnyArray, "n c"]:
        """Everything up to degree D; in float64 as a NumPy array, and while JAX traces as a tracer."""
        return self._outputs(x, range(self.lowest, self.degree + 1))

    def leading(self, x: Float[AnyArray, "n d"]) -> Float[AnyArray, "n c"]:
        """The part of degree D alone, as `__call__` gives it.

        Parameters
        ----------
        x : array of shape (n, d)

        Returns
        -------
        array of shape (n, c)
        """
        return self._outputs(x, [self.degree])

    def _outputs(self, x: Any, degrees: Sequence[int]) -> Any:
        if any(isinstance(one, jax.core.Tracer) for one in (x, *jax.tree.leaves(self.parameters))):
            return self._sum(x, degrees)
        # Powers are told apart by differences, for which float32 has too few digits.
        with devices.float64():
            return np.asarray(_compiled_sum(self, np.asarray(x, np.float64), tuple(degrees)))

    def _sum(self, x: Float[Array, "n d"], degrees: Sequence[int]) -> Float[Array, "n c"]:
        # The parts are homogeneous, so at which size they are read is no matter to their derivatives.
        size = jax.lax.stop_gradient(jnp.sqrt(_squares(self.parameters)))
        ratio = jnp.where(size > 0, self.reach / size, 1.0)
        shares, powers = _nodes(self.degree - self.lowest)
        wanted = [degree - self.lowest for degree in degrees]
        scales = jnp.stack([(1 / ratio) ** (self.lowest + power) for power in wanted])
        outputs = jax.vmap(lambda share: self.frame(_scaled(self.parameters, share * ratio))(x))(jnp.asarray(shares))
        weights = scales.astype(outputs.dtype) @ jnp.asarray(powers[wanted], outputs.dtype)
        # Each was divided by its share to the lowest power, so that none of them is lost beside the others.
        divided = outputs / jnp.asarray(shares**self.lowest, outputs.dtype)[:, None, None]
        return jnp.tensordot(weights, divided, axes=1)


@partial(jax.jit, static_argnames="degrees")
def _compiled_sum(near: NearZero, x: Float[Array, "n d"], degrees: tuple[int, ...]) -> Float[Array, "n c"]:
    return near._sum(x, degrees)


class _Reading(NamedTuple):
    """Outputs at one scale: how far they vary with x, and how large they are."""

    varying: float
    size: float


@devices.in_float64
def near_zero(model: Any, x: ArrayLike) -> NearZero:
    """What a model is near zero, whatever it is made of (derived here, docs/theory.md).

    Parameters
    ----------
    model : model
        Any JAX pytree of parameters with ``__call__(x)``. Its parameters are scaled down together from where they are;
        their proportions decide nothing but what is found at this start.
    x : array of shape (n, d)
        Rows that show how outputs depend on inputs.

    Returns
    -------
    NearZero

    Raises
    ------
    ArchitectureError
        If outputs do not depend on the inputs, or do not become a power of the scale.

    Examples
    --------
    >>> from nucleate import InitScale, Network
    >>> network = Network.create(2, [3, 3], 1, scale=InitScale("epsilon", 0.1))
    >>> near_zero(network, np.eye(2)).degree
    3
    """
    rows = checks.finite("The input", x, rank=2)
    parameters, frame = take_apart(model)
    parameters = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), parameters)
    name = type(model).__name__
    with np.errstate(over="ignore"):
        size = float(np.sqrt(_squares(parameters)))
    if not np.isfinite(size) or size == 0:
        raise ArchitectureError(
            f"The parameters of the {name} are {'all zero' if size == 0 else 'not finite'}, so there is nothing to "
            "scale; draw them anew."
        )

    @jax.jit
    def outputs(by: Float[Array, ""]) -> Float[Array, "n c"]:
        return frame(_scaled(parameters, by))(jnp.asarray(rows))

    def read(by: float) -> _Reading:
        found = np.asarray(outputs(jnp.asarray(by)), np.float64)
        if not np.isfinite(found).all():
            raise ArchitectureError(
                f"The {name} gives NaN or infinity when its parameters are scaled by {by:.3g}, so it has no leading "
                "part there; a norm without an eps is such a thing."
            )
        # Without the loss of digits that a mean may have: equal rows differ by nothing.
        varying, largest = float(np.abs(found - found[:1]).max()), float(np.abs(found).max())
        return _Reading(varying if varying > _ROUNDING * largest else 0.0, largest)

    by, seen = 1.0, [read(1.0), read(0.5), read(0.25)]
    slopes = _slopes(seen)
    for _ in range(_TRIES):
        if _is_power([slope.varying for slope in slopes]) and _is_power([slope.size for slope in slopes]):
            degree, lowest = round(slopes[-1].varying), round(slopes[-1].size)
            if degree < 1:
                raise ArchitectureError(
                    f"The outputs of the {name} stay as they are when its parameters become small, so it has no "
                    "leading part: a norm does so whose eps is zero, or below what enters it; leave the norm out or "
                    "start smaller."
                )
            lowest = min(lowest, degree)
            return NearZero(parameters, frame, degree, lowest, size * _clearest(outputs, by, degree, lowest))
        by *= _SHRINK
        seen = [read(by), read(by / 2), read(by / 4)]
        slopes = _slopes(seen)
    if not any(reading.varying for reading in seen):
        raise ArchitectureError(
            f"The outputs of the {name} near zero are the same for all rows, so no part of it leads; train it to see."
        )
    raise ArchitectureError(
        f"The outputs of the {name} do not become a power of the scale of its parameters: from one scale to half of "
        f"it they fall by 2^{slopes[-1].varying:.3g}; no leading part is known of such a model."
    )


def _clearest(outputs: Any, by: float, degree: int, lowest: int) -> float:
    """The scale at which reading the leading part errs least: above it powers beyond are in the way, below rounding."""
    shares, powers = _nodes(degree - lowest)
    scales = by * 0.5 ** np.arange(_HALVINGS)
    found = []
    for scale in scales:
        # As in `NearZero`, read at scales that end there.
        read = np.stack([np.asarray(outputs(jnp.asarray(scale * share))) for share in shares])
        leading = np.tensordot(powers[degree - lowest] / shares**lowest, read, axes=1) / scale**degree
        found.append(leading - leading[:1])
    apart = [float(np.abs(one - other).max()) for one, other in itertools.pairwise(found)]
    return float(scales[int(np.argmin(apart))])


def _slopes(seen: list[_Reading]) -> list[_Reading]:
    """By which powers of two the readings fall from one scale to the next."""

    def between(larger: float, smaller: float) -> float:
        return float(np.log2(larger / smaller)) if larger > 0 and smaller > 0 else np.nan

    return [
        _Reading(*(between(*pair) for pair in zip(one, next_one, strict=True)))
        for one, next_one in itertools.pairwise(seen)
    ]


def _is_power(slopes: list[float]) -> bool:
    whole = np.round(slopes)
    return bool(np.all(whole == whole[0]) and np.all(np.abs(np.subtract(slopes, whole)) < _CLEAR))


def _nodes(above: int) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k k"]]:
    """Shares of the reach at which a model is read, and for each power from the lowest on the weights that find it.

    The shares lie as Chebyshev's points do, where a fit of powers keeps most digits.
    """
    count = above + 1 + _BEYOND
    shares = (1 - np.cos((2 * np.arange(count) + 1) * np.pi / (2 * count))) / 2
    return shares, np.linalg.inv(np.vander(shares, increasing=True))


def _scaled(parameters: Any, by: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf * jnp.asarray(by, leaf.dtype), parameters)


def _squares(parameters: Any) -> Any:
    """The sum of all squares, in NumPy of NumPy's arrays."""
    return sum((leaf * leaf).sum() for leaf in jax.tree.leaves(parameters))
