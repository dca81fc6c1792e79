"""The door of the room: arrays of finite numbers, in float64, whose shapes fit together."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import numpy as np
from jaxtyping import ArrayLike, Float, PyTree

from nucleate._arrays import is_whole, real_array
from nucleate.errors import ArchitectureError, SpecError

FloatArray = Float[np.ndarray, "..."]


def finite(name: str, values: ArrayLike, *, rank: int | None = None) -> FloatArray:
    """The values as a NumPy array in float64, with ``rank`` axes if that is given; ``name`` is what an error calls
    them.
    """
    array = real_array(name, values, rank=rank)
    if not np.isfinite(array).all():
        raise ArchitectureError(f"{name} holds NaN or infinity; give finite numbers.")
    return array


def state(values: PyTree[ArrayLike], degree: int) -> PyTree[FloatArray]:
    """The state of a homogeneous potential of this degree, in float64."""
    if not is_whole(degree) or degree < 1:
        raise SpecError(f"The degree is {degree}; it must be 1 or more.")
    if not jax.tree.leaves(values):
        raise ArchitectureError("The state holds no arrays; give a list, a tuple or another pytree of arrays.")
    return jax.tree.map(lambda leaf: finite("The state", leaf), values)


def chain(layers: Sequence[ArrayLike]) -> tuple[FloatArray, ...]:
    """The layers ``a, W_{L-1}, ..., W_2, b``, single states or ensembles along a leading axis, in float64."""
    if not isinstance(layers, Sequence):
        raise ArchitectureError(f"The layers are {layers!r:.60}; give a list of arrays, a, W2, b.")
    if len(layers) < 2:
        raise ArchitectureError(
            f"Layers given: {len(layers)}; give at least two, a and b, with the matrices between them."
        )
    batch = real_array("a", layers[0]).ndim - 1
    if batch not in (0, 1):
        raise ArchitectureError(f"a has {batch + 1} axes; expected 1, or 2 for an ensemble of states.")
    ranks = [1, *[2] * (len(layers) - 2), 1]
    names = ["a", *(f"W{layer}" for layer in range(len(layers) - 1, 1, -1)), "b"]
    arrays = [finite(n, layer, rank=r + batch) for n, layer, r in zip(names, layers, ranks, strict=True)]
    shapes = [array.shape[batch:] for array in arrays]
    ensembles = {array.shape[:batch] for array in arrays}
    fit = all(left[-1] == right[0] for left, right in pairwise(shapes))
    if not fit or len(ensembles) > 1 or 0 in [n for array in arrays for n in array.shape]:
        found = ", ".join(f"{name} {array.shape}" for name, array in zip(names, arrays, strict=True))
        raise ArchitectureError(
            f"The layers {found} do not fit; expected shapes such as a (m2,), W2 (m2, m1), b (m1,)."
        )
    return tuple(arrays)


def weights_and_moment(
    weights: Sequence[ArrayLike], moment: ArrayLike
) -> tuple[tuple[Float[np.ndarray, "fan_out fan_in"], ...], Float[np.ndarray, "c d"]]:
    """The weights ``W_1, ..., W_L`` of a deep linear network and the moment ``M``, in float64."""
    if not isinstance(weights, Sequence | np.ndarray):
        raise ArchitectureError(f"The weights are {weights!r:.60}; give a list of matrices, W_1 to W_L.")
    arrays = tuple(finite(f"W{layer}", weight, rank=2) for layer, weight in enumerate(weights, 1))
    matrix = finite("The moment", moment, rank=2)
    fit = all(after.shape[1] == before.shape[0] for before, after in pairwise(arrays))
    if not arrays or not fit or matrix.shape != (arrays[-1].shape[0], arrays[0].shape[1]):
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ArchitectureError(
            f"Weights {shapes or 'none'} and moment {matrix.shape} do not fit; expected (c, d) overall."
        )
    return arrays, matrix


def three_layers(state: Any) -> Any:
    """A state ``a, W2, b`` as it is; concrete arrays are checked, traced ones were."""
    if not isinstance(state, tuple | list) or len(state) != 3:
        raise ArchitectureError(f"The state is {state!r:.60}; give a nucleate.theory.State of a, W2 and b.")
    if any(isinstance(layer, jax.core.Tracer) for layer in state):
        return state
    for name, layer, rank in zip(("a", "W2", "b"), state, (1, 2, 1), strict=True):
        real_array(name, layer, rank=rank)
    a, W2, b = map(np.shape, state)
    if (*a, *b) != W2:
        raise ArchitectureError(f"The layers a {a}, W2 {W2}, b {b} do not fit; expected W2 of shape {(*a, *b)}.")
    return tuple(map(_kept, state))


def _kept(layer: Any) -> Any:
    return layer if isinstance(layer, jax.Array | np.ndarray) else np.asarray(layer, np.float64)
