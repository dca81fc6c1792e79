"""A network in NumPy and float64, layer by layer: what the methods of reduction take apart and put together."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nucleate.activations import Activation
from nucleate.network import Network

_PIECE = 1 << 16


class Affine(NamedTuple):
    """``W h + b``; rows of ``weights`` are neurons."""

    weights: Float[np.ndarray, "fan_out fan_in"]
    bias: Float[np.ndarray, " fan_out"]

    def __call__(self, h: Float[np.ndarray, "n fan_in"]) -> Float[np.ndarray, "n fan_out"]:
        product: np.ndarray = h @ self.weights.T
        return product + self.bias


def layers_of(network: Network) -> tuple[Affine, ...]:
    """The layers in float64, a missing bias being zero."""
    layers = []
    for weights, bias in zip(network.weights, network.biases, strict=True):
        wide = np.asarray(weights, np.float64)
        layers.append(Affine(wide, np.zeros(len(wide)) if bias is None else np.asarray(bias, np.float64)))
    return tuple(layers)


def network_of(layers: Sequence[Affine], activation: Activation, dtype: str) -> Network:
    """The network of these layers; one whose biases are all zero has none."""
    weights = tuple(jnp.asarray(layer.weights, dtype) for layer in layers)
    biases = tuple(jnp.asarray(layer.bias, dtype) if layer.bias.any() else None for layer in layers)
    return Network(weights, biases, activation)


def activate(activation: Activation, z: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """``s(z)`` for each entry."""
    return _in_pieces(activation, z)


def slope(activation: Activation, z: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """``s'(z)`` for each entry."""
    return _in_pieces(_derivative(activation), z)


def _in_pieces(function: Callable[[Any], Any], z: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The function of each entry, in pieces of one size, so that it is compiled once whatever the shape."""
    flat = np.ravel(z)
    padded = np.zeros(-(-flat.size // _PIECE) * _PIECE)
    padded[: flat.size] = flat
    pieces = [np.asarray(_of_piece(function, piece)) for piece in padded.reshape(-1, _PIECE)]
    done: np.ndarray = np.concatenate(pieces)[: flat.size].reshape(z.shape)
    return done


@cache
def _derivative(activation: Activation) -> Callable[[Any], Any]:
    return jax.vmap(jax.grad(activation.function))


@partial(jax.jit, static_argnames="function")
def _of_piece(function: Callable[[Any], Any], piece: Float[Array, " piece"]) -> Float[Array, " piece"]:
    return function(piece)


class Layer(NamedTuple):
    """A hidden layer whose predecessors may already be reduced.

    ``features`` are its neurons' activations on the calibration rows, ``target`` what the ORIGINAL network makes of
    them: the next layer's pre-activations, or the outputs; ``importance`` is how much each of these matters for the
    outputs. ``outgoing`` is the next layer as the original network has it.
    """

    activation: Activation
    incoming: Affine
    outgoing: Affine
    features: Float[np.ndarray, "n m"]
    target: Float[np.ndarray, "n t"]
    importance: Float[np.ndarray, " t"]


class Narrowed(NamedTuple):
    """The layer with fewer neurons, the next one as it then reads them, and what the method knows of the loss."""

    incoming: Affine
    outgoing: Affine
    trace: Any = None


Narrow = Callable[[int], Narrowed]
"""From a width, at most the layer's, to the narrowed layer."""

Method = Callable[[Layer], Narrow]
"""Prepares a layer once, for any width."""


def keep(layer: Layer, neurons: np.ndarray, outgoing: Affine, trace: Any = None) -> Narrowed:
    """The layer with some of its neurons as they are."""
    return Narrowed(Affine(layer.incoming.weights[neurons], layer.incoming.bias[neurons]), outgoing, trace)
