"""Convolutions from a small start: to leading order a linear map of patches, one direction for the kernels of a layer.

With one layer it is a two-layer linear network of the patches, with a moment that stacks what is read at each position.
With more it is one multilinear form of all kernels, whose largest value over unit kernels one channel attains. Kernels
that condense were observed by Zhou et al. (arXiv 2305.09947); the forms are derived here, in docs/theory.md.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from nucleate import devices
from nucleate._arrays import is_whole
from nucleate.errors import ArchitectureError, SpecError
from nucleate.theory import checks

# The search for the largest value: random starts, and sweeps over the layers.
_STARTS, _SWEEPS = 16, 100


class Convolution(NamedTuple):
    """How the kernels of a layer move, and what of their signals is averaged behind them.

    Attributes
    ----------
    kernel, stride : int
        Along every axis.
    padding : {"same", "valid", "circular"} or int
        Zeros that keep the size, nothing, what is at the other end, or so many zeros on every side.
    pool : int
        How many neighbours along each axis are averaged to one; a rest that does not fill a window is left out.
    """

    kernel: int
    stride: int = 1
    padding: Literal["same", "valid", "circular"] | int = "same"
    pool: int = 1


class KernelDirections(NamedTuple):
    """Where the kernels of each layer turn to.

    Attributes
    ----------
    directions : tuple of arrays of shape (k c,) for the first layer, (k,) for the others
        Unit vectors, ``k`` over one or two axes, in NumPy's order, channels last: the kernels of the first layer turn
        to the first one or its opposite, those of a later layer, one for each pair of channels, to its.
    value : float
        The largest value of the form over unit kernels and a unit head: no state of ``D`` layers with ``N = D`` has a
        larger correlation, so this is the ``supremum`` of `potential_blowup_time`. It is what the search found.
    """

    directions: tuple[Float[np.ndarray, " k"], ...]
    value: float


@devices.in_float64
def patch_moment(
    x: ArrayLike, residuals: ArrayLike, layer: Convolution, *, readout: Literal["mean", "flatten"] = "mean"
) -> Float[np.ndarray, "features k"]:
    """``M`` such that one convolutional layer has ``C = <H K, M>``, with K the kernels as rows and H the head.

    For ``readout="mean"`` it is ``(1/n) sum_i r_i p_i^T`` with the mean patch ``p_i``, of shape (c, k); for "flatten"
    that of each position, stacked, of shape (c positions, k), the outputs first. Times the activation's slope at zero,
    it is the moment of a two-layer linear network: `two_layer_solution` and the singular vectors hold as they stand
    (derived here, docs/theory.md).

    Parameters
    ----------
    x : array of shape (n, length, channels) or (n, height, width, channels)
    residuals : array of shape (n, c)
    layer : Convolution
    readout : {"mean", "flatten"}
        Whether the head reads each channel's mean over the positions, or each position by weights of its own.

    Returns
    -------
    array of float64

    Raises
    ------
    ArchitectureError
        For shapes that do not fit, NaN or infinity, or kernels that do not fit the inputs.
    SpecError
        For another readout or padding, or sizes below 1.

    Examples
    --------
    >>> x = np.array([[[1.0], [2.0], [4.0]]])
    >>> patch_moment(x, [[1.0]], Convolution(2, padding="valid"), readout="flatten")
    array([[1., 2.],
           [2., 4.]])
    """
    inputs, r = _checked(x, residuals, [layer], readout)
    patches = _pooled_patches(inputs, layer)
    places = patches.reshape(len(inputs), -1, patches.shape[-1])
    places = places.mean(axis=1, keepdims=True) if readout == "mean" else places
    moment = np.einsum("ic,ipk->cpk", r, places) / len(inputs)
    return np.asarray(moment.reshape(-1, moment.shape[-1]))


@devices.in_float64
def kernel_directions(
    x: ArrayLike, residuals: ArrayLike, layers: Sequence[Convolution], *, readout: Literal["mean", "flatten"] = "mean"
) -> KernelDirections:
    """The directions that the kernels of every layer turn to: where one channel a layer does most.

    Derived here (docs/theory.md).

    Found by ascent in one layer after the other, each of which has a closed form, from 16 random starts.

    Parameters
    ----------
    x : array of shape (n, length, channels) or (n, height, width, channels)
    residuals : array of shape (n, c)
    layers : sequence of Convolution
    readout : {"mean", "flatten"}

    Returns
    -------
    KernelDirections

    Raises
    ------
    ArchitectureError, SpecError
        As `patch_moment`.

    Examples
    --------
    >>> x = np.array([[[1.0], [2.0], [4.0]]])
    >>> found = kernel_directions(x, [[1.0]], [Convolution(2, padding="valid")], readout="flatten")
    >>> found.directions[0].round(6).tolist(), round(found.value, 6)
    ([0.447214, 0.894427], 5.0)
    """
    inputs, r = _checked(x, residuals, layers, readout)
    axes = inputs.ndim - 2
    sizes = [layer.kernel**axes * (inputs.shape[-1] if number == 0 else 1) for number, layer in enumerate(layers)]
    rng = np.random.default_rng(0)
    drawn = [rng.standard_normal((_STARTS, size)) for size in sizes]
    starts = tuple(rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in drawn)
    kernels, values = _ascend(starts, jnp.asarray(inputs), jnp.asarray(r), tuple(layers), readout == "mean")
    best = int(np.argmax(values))
    found = [np.asarray(kernel)[best] for kernel in kernels]
    # The sign of each is its own choice: so that its largest entry is positive.
    signed = tuple(kernel * np.sign(kernel[np.abs(kernel).argmax()]) for kernel in found)
    return KernelDirections(signed, float(values[best]))


@partial(jax.jit, static_argnames=("layers", "mean"))
def _ascend(
    starts: tuple[Float[Array, "starts k"], ...],
    x: Float[Array, "n ..."],
    residuals: Float[Array, "n c"],
    layers: tuple[Convolution, ...],
    mean: bool,
) -> tuple[tuple[Float[Array, "starts k"], ...], Float[Array, " starts"]]:
    def head(kernels: tuple[Float[Array, " k"], ...]) -> Float[Array, "..."]:
        """What an entry of the head would gain, for one channel a layer."""
        signal, axes = x, x.ndim - 2
        for kernel, layer in zip(kernels, layers, strict=True):
            signal = _pooled((_patches(signal, layer) @ kernel)[..., None], layer.pool, axes)
        features = signal.reshape(len(x), -1)
        features = features.mean(axis=1, keepdims=True) if mean else features
        return residuals.T @ features / len(x)

    def sweep(_: Any, kernels: tuple[Float[Array, " k"], ...]) -> tuple[Float[Array, " k"], ...]:
        for place in range(len(kernels)):

            def value(kernel: Float[Array, " k"], place: int = place, kernels: Any = kernels) -> Float[Array, ""]:
                square = jnp.sum(head((*kernels[:place], kernel, *kernels[place + 1 :])) ** 2)
                return jnp.sqrt(jnp.where(square > 0, square, 1.0))

            gradient = jax.grad(value)(kernels[place])
            length = jnp.linalg.norm(gradient)
            turned = jnp.where(length > 0, gradient / jnp.where(length > 0, length, 1.0), kernels[place])
            kernels = (*kernels[:place], turned, *kernels[place + 1 :])
        return kernels

    ends = jax.vmap(lambda kernels: jax.lax.fori_loop(0, _SWEEPS, sweep, kernels))(starts)
    return ends, jax.vmap(lambda kernels: jnp.linalg.norm(head(kernels)))(ends)


def _patches(x: Float[Array, "n ..."], layer: Convolution) -> Float[Array, "n ..."]:
    """Of shape (n, positions..., k c): what a kernel sees at each place, in NumPy's order, channels last."""
    axes = x.ndim - 2
    before, behind = _edges(layer)
    widths = [(0, 0), *[(before, behind)] * axes, (0, 0)]
    x = jnp.pad(x, widths, mode="wrap" if layer.padding == "circular" else "constant")
    for axis in range(axes):
        # Behind the axes that have been taken apart their offsets stand in turn, before the channels.
        count = (x.shape[1 + axis] - layer.kernel) // layer.stride + 1
        places = layer.stride * np.arange(count)[:, None] + np.arange(layer.kernel)
        x = jnp.moveaxis(jnp.take(x, places, axis=1 + axis), 2 + axis, -2)
    return x.reshape(*x.shape[: 1 + axes], -1)


@devices.in_float64
@partial(jax.jit, static_argnames="layer")
def _pooled_patches(x: Float[Array, "n ..."], layer: Convolution) -> Float[Array, "n ..."]:
    return _pooled(_patches(x, layer), layer.pool, x.ndim - 2)


def _pooled(signal: Float[Array, "n ..."], pool: int, axes: int) -> Float[Array, "n ..."]:
    for axis in range(1, 1 + axes):
        count = signal.shape[axis] // pool
        kept = jax.lax.slice_in_dim(signal, 0, count * pool, axis=axis)
        signal = kept.reshape(*kept.shape[:axis], count, pool, *kept.shape[axis + 1 :]).mean(axis=axis + 1)
    return signal


def _edges(layer: Convolution) -> tuple[int, int]:
    if isinstance(layer.padding, int):
        return layer.padding, layer.padding
    return (0, 0) if layer.padding == "valid" else ((layer.kernel - 1) // 2, layer.kernel // 2)


def _checked(
    x: ArrayLike, residuals: ArrayLike, layers: Sequence[Convolution], readout: str
) -> tuple[Float[np.ndarray, "n ..."], Float[np.ndarray, "n c"]]:
    inputs, r = checks.finite("The input", x), checks.finite("The residuals", residuals, rank=2)
    if inputs.ndim not in (3, 4) or 0 in inputs.shape or len(r) != len(inputs):
        raise ArchitectureError(
            f"Inputs {inputs.shape} and residuals {r.shape} given; expected (n, length, channels) or (n, height, "
            "width, channels), and (n, c)."
        )
    if readout not in ("mean", "flatten"):
        raise SpecError(f"The readout is {readout!r:.60}; choose mean or flatten.")
    if not layers:
        raise SpecError("No layers are given; give at least one nucleate.theory.Convolution.")
    sizes: tuple[int, ...] = inputs.shape[1:-1]
    for number, layer in enumerate(layers, 1):
        known = layer.padding in ("same", "valid", "circular") or (is_whole(layer.padding) and int(layer.padding) >= 0)
        if not known or not all(is_whole(one) and one >= 1 for one in (layer.kernel, layer.stride, layer.pool)):
            raise SpecError(
                f"Layer {number} is {layer!r}; kernel, stride and pool must be whole numbers from 1 on, and the "
                "padding same, valid, circular or a number of zeros."
            )
        behind = [((size + sum(_edges(layer)) - layer.kernel) // layer.stride + 1) // layer.pool for size in sizes]
        if min(behind) < 1:
            raise ArchitectureError(f"Layer {number}, {layer!r}, leaves nothing of inputs of size {sizes}.")
        sizes = tuple(behind)
    return inputs, r
