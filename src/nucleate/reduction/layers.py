"""A network in NumPy and float64, layer by layer: what the methods of reduction take apart and put together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from nucleate.activations import Activation
from nucleate.devices import in_float64
from nucleate.network import Network

_PIECE = 1 << 16


class Affine(NamedTuple):
    """``W h + b``; rows of ``weights`` are neurons.

    Parameters
    ----------
    weights : array of shape (fan_out, fan_in)
    bias : array of shape (fan_out,)
    """

    weights: Float[np.ndarray, "fan_out fan_in"]
    bias: Float[np.ndarray, " fan_out"]

    def __call__(self, h: Float[np.ndarray, "n fan_in"]) -> Float[np.ndarray, "n fan_out"]:
        product: np.ndarray = h @ self.weights.T
        return product + self.bias


def affine_layers(network: Network) -> tuple[Affine, ...]:
    """The layers in float64, a missing bias being zero."""
    layers = []
    for weights, bias in zip(network.weights, network.biases, strict=True):
        wide = np.asarray(weights, np.float64)
        layers.append(Affine(wide, np.zeros(len(wide)) if bias is None else np.asarray(bias, np.float64)))
    return tuple(layers)


def network_of(layers: Sequence[Affine], activation: Activation, dtype: str) -> Network:
    """The network of these layers; one whose biases are all zero has none."""
    weights: tuple[Any, ...] = tuple(layer.weights.astype(dtype) for layer in layers)
    biases: tuple[Any, ...] = tuple(layer.bias.astype(dtype) if layer.bias.any() else None for layer in layers)
    return Network(weights, biases, activation)


def activate(activation: Activation, z: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """``s(z)`` for each entry."""
    return _in_pieces(activation.function, z)


def slope(activation: Activation, z: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """``s'(z)`` for each entry."""
    return _in_pieces(_derivative(activation), z)


def _in_pieces(function: Callable[[Any], Any], z: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The function of each entry, in pieces of one size, so that it is compiled once whatever the shape."""
    flat = np.ravel(z)
    padded = np.zeros(-(-flat.size // _PIECE) * _PIECE)
    padded[: flat.size] = flat
    pieces = [_of_piece(function, piece) for piece in padded.reshape(-1, _PIECE)]
    return np.concatenate(pieces)[: flat.size].reshape(z.shape)


@cache
def _derivative(activation: Activation) -> Callable[[Any], Any]:
    return jax.vmap(jax.grad(activation.function))


@in_float64
@partial(jax.jit, static_argnames="function")
def _of_piece(function: Callable[[Any], Any], piece: Float[Array, " piece"]) -> Float[Array, " piece"]:
    return function(piece)


class WideLayer(NamedTuple):
    """A hidden layer whose predecessors may already be reduced.

    Parameters
    ----------
    activation : Activation
    incoming, outgoing : Affine
        What makes the layer's pre-activations, and the next layer as the original network has it.
    features : array of shape (n, m)
        Its neurons' activations on the calibration rows.
    target : array of shape (n, t)
        What the ORIGINAL network makes of them: the next layer's pre-activations, or the outputs.
    importance : array of shape (t,)
        How much each of these matters for the outputs.
    weights : array of shape (n,) or None
        What each calibration row counts for, with mean 1; None where all count alike.
    """

    activation: Activation
    incoming: Affine
    outgoing: Affine
    features: Float[np.ndarray, "n m"]
    target: Float[np.ndarray, "n t"]
    importance: Float[np.ndarray, " t"]
    weights: Float[np.ndarray, " n"] | None = None


class NarrowLayer(NamedTuple):
    """The layer with fewer neurons, the next one as it then reads them, and what the method knows of the loss.

    Parameters
    ----------
    incoming, outgoing : Affine
    trace : object
        What the method's bound asks of it.
    """

    incoming: Affine
    outgoing: Affine
    trace: Any = None


Narrow = Callable[[int], NarrowLayer]
"""From a width, at most the layer's, to the narrow layer."""


@dataclass(frozen=True)
class Bound:
    """What the method itself guarantees, without looking at fresh rows.

    Parameters
    ----------
    value : float
        In standardized outputs.
    kind : {"largest over the box of the training inputs", "root mean square on the calibration rows"}
    """

    value: float
    kind: Literal["largest over the box of the training inputs", "root mean square on the calibration rows"]


@dataclass(frozen=True)
class Method:
    """How a layer gets fewer neurons.

    Parameters
    ----------
    name : str
    prepare : callable
        From a `WideLayer` to its `Narrow`: what any width has in common is computed once.
    bound : callable or None
        From the original network, the traces of the narrow layers from the first to the last, and the training inputs
        to the `Bound` of the outputs' change, for methods that have one.
    """

    name: str
    prepare: Callable[[WideLayer], Narrow] = field(repr=False)
    bound: Callable[[Network, Sequence[Any], Float[np.ndarray, "n d"]], Bound] | None = field(default=None, repr=False)


def keep_neurons(layer: WideLayer, neurons: np.ndarray, outgoing: Affine, trace: Any = None) -> NarrowLayer:
    """The layer with some of its neurons as they are.

    Parameters
    ----------
    layer : WideLayer
    neurons : array of int
        Which.
    outgoing : Affine
        What reads them.
    trace : object
        What the method's bound asks of it.

    Returns
    -------
    NarrowLayer
    """
    return NarrowLayer(Affine(layer.incoming.weights[neurons], layer.incoming.bias[neurons]), outgoing, trace)
