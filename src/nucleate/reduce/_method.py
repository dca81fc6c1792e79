"""What a method of reduction is: from one hidden layer and a width to the layer with so many neurons."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from nucleate.activations import Activation
from nucleate.reduce._layers import Affine


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
