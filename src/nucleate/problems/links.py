"""What a network's outputs predict, and which values of a target that is for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from nucleate.devices import in_float64


@dataclass(frozen=True)
class Link:
    """From a network's outputs to what they predict.

    Parameters
    ----------
    name : str
    function : callable
        From outputs of shape (n, c) to predictions of the same shape, by `jax.numpy`.
    target_kind : {"numeric", "categorical"}
        Of the target columns it is for: amounts, or the classes of one column, one output a class.
    task : str
        What people call such a problem.
    standardized : bool
        Whether numeric targets are standardized for it.
    relative : bool
        Whether they are divided by their mean on the training rows instead, so that an output of zero predicts it under
        the exponential.
    onnx : callable or None
        The function as nodes of an ONNX graph, as in `nucleate.Activation`.
    """

    name: str
    function: Callable[[Float[Array, "n c"]], Float[Array, "n c"]] = field(repr=False)
    target_kind: Literal["numeric", "categorical"] = "numeric"
    task: str = "regression"
    standardized: bool = True
    relative: bool = False
    onnx: Callable[[Any, str], str] | None = field(default=None, repr=False)

    @property
    def is_built_in(self) -> bool:
        """Whether it is one of the package's own."""
        return self in (IDENTITY, SOFTMAX, EXPONENTIAL)

    @in_float64
    def __call__(self, outputs: Float[Array | np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
        # What hands on all as it is needs no program for each number of rows.
        as_is = self.function is _same and isinstance(outputs, np.ndarray)
        return np.array(outputs) if as_is else _predictions(self, outputs)


@in_float64
@partial(jax.jit, static_argnames="link")
def _predictions(link: Link, outputs: Float[Array, "n c"]) -> Float[Array, "n c"]:
    return link.function(outputs)


@dataclass(frozen=True)
class Domain:
    """The values of a target that a loss is for.

    Parameters
    ----------
    name : str
        For a sentence.
    has : callable
        From values of shape (n,), which are finite, to whether each belongs to it.
    """

    name: str
    has: Callable[[Float[np.ndarray, " n"]], Bool[np.ndarray, " n"]] = field(repr=False)


def _same(outputs: Float[Array, "n c"]) -> Float[Array, "n c"]:
    return outputs


def _same_signal(graph: Any, signal: str) -> str:
    return signal


def _softmax(outputs: Float[Array, "n c"]) -> Float[Array, "n c"]:
    return jax.nn.softmax(outputs, axis=1)


def _exponential(outputs: Float[Array, "n c"]) -> Float[Array, "n c"]:
    return jnp.exp(outputs)


def _exponential_signal(graph: Any, signal: str) -> str:
    return graph.add("Exp", signal)


def _are_counts(values: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    return (values >= 0) & (values == np.floor(values))


IDENTITY = Link("identity", _same, onnx=_same_signal)
SOFTMAX = Link("softmax", _softmax, "categorical", "classification")
EXPONENTIAL = Link("exponential", _exponential, standardized=False, relative=True, onnx=_exponential_signal)
"""Outputs are the logarithms of rates, in units of the target's mean on the training rows."""
COUNTS = Domain("counts, which are whole numbers of 0 or more", _are_counts)
