"""A layer as measures see it: its units' incoming and outgoing vectors, and what they do on data.

`nucleate.Network` is one maker of such layers; a model of another kind gives its own by a method ``layers(x)``.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from nucleate._arrays import real_array
from nucleate.devices import SMALL, entry, in_float64, with_entry
from nucleate.errors import ArchitectureError
from nucleate.network import Network
from nucleate.observe.alike import ActAsOne, Alike, act_as_one, alike
from nucleate.observe.directions import cosine_similarity, count_directions
from nucleate.observe.norms import row_norms, standardized
from nucleate.observe.ranks import Ranks, ranks

T = TypeVar("T")


class _kept(cached_property[T]):
    """A property that is computed once, without the lock by which Python 3.11's lets only one thread at any instance.

    Two threads that measure one layer may both compute it, to the same value.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        super().__init__(function)
        self.lock = nullcontext()


MOST_SIGNALS = 2048
"""Signals of a unit that measures see: rows times positions, of more of them evenly spaced ones."""
_ARRAYS = ("incoming", "weights", "outgoing", "entering", "leaving")
_MOST_STACKED = 32
_IN_PROGRAM = 8
_STACKED_BYTES = 4e7
_HELD = 12
"""About so many arrays as large as a layer's largest are held while it is measured."""


class Ranges(NamedTuple):
    """The least and the largest number that enters each unit, and that leaves it."""

    least_entering: Float[np.ndarray, "... m"]
    most_entering: Float[np.ndarray, "... m"]
    least_leaving: Float[np.ndarray, "... m"]
    most_leaving: Float[np.ndarray, "... m"]


class _Units:
    """What measures ask of a layer, of one run or of a stack of runs; arrays have an axis of runs in front then."""

    incoming: Float[np.ndarray, "... m k"]
    weights: Float[np.ndarray, "... m fan_in"]
    outgoing: Float[np.ndarray, "... m t"]
    entering: Float[np.ndarray, "... m n"]
    leaving: Float[np.ndarray, "... m n"]
    opposites_are_one: bool

    @property
    def width(self) -> int:
        """The number m of units."""
        return int(self.incoming.shape[-2])

    @_kept
    def ranges(self) -> Ranges:
        """Between which numbers lies what enters and what leaves each unit."""
        return Ranges(*(part(axis=-1) for array in (self.entering, self.leaving) for part in (array.min, array.max)))

    @_kept
    def cosine(self) -> Float[np.ndarray, "... m m"]:
        """`nucleate.observe.cosine_similarity` of the incoming vectors."""
        return cosine_similarity(self.incoming)

    @_kept
    def weight_ranks(self) -> Ranks:
        """The ranks of the weight matrix."""
        return ranks(self.weights)

    @_kept
    def activation_ranks(self) -> Ranks:
        """The ranks of the activations on the data."""
        return ranks(self.leaving)

    @_kept
    def amplitudes(self) -> Float[np.ndarray, "... m"]:
        """``|incoming| |outgoing|`` of each unit."""
        return row_norms(self.incoming) * row_norms(self.outgoing)

    @_kept
    def contributions(self) -> Float[np.ndarray, "... m"]:
        """What each unit adds to the next layer: the standard deviation of its activation times ``|outgoing|``."""
        return standardized(self.leaving)[1] * row_norms(self.outgoing)


@dataclass(frozen=True, eq=False)
class Layer(_Units):
    """One layer of m units; arrays of any kind are kept as NumPy's in float64.

    Parameters
    ----------
    name : str
        Columns of tables carry it: ``effective_neurons_<name>``.
    incoming : array of shape (m, k)
        What each unit reads, its bias included.
    weights : array of shape (m, fan_in)
        The matrix whose ranks are measured: the incoming weights without biases.
    outgoing : array of shape (m, t)
        What each unit adds to the next layer.
    entering, leaving : arrays of shape (m, n)
        Before and behind the activation, on n rows of data.
    opposites_are_one : bool
        Whether opposite incoming vectors do the same work, as for an odd or even activation.
    at_zero : float
        What leaves a unit that nothing enters: the middle between the two bounds of an activation that has two.

    Examples
    --------
    >>> twins = Layer("1", *(np.eye(2, 3)[[0, 0]] for _ in range(5)), opposites_are_one=True)
    >>> twins.width, twins.effective_neurons
    (2, 1.0)
    """

    name: str
    incoming: Float[np.ndarray, "m k"]
    weights: Float[np.ndarray, "m fan_in"]
    outgoing: Float[np.ndarray, "m t"]
    entering: Float[np.ndarray, "m n"]
    leaving: Float[np.ndarray, "m n"]
    opposites_are_one: bool
    at_zero: float = 0.0

    def __post_init__(self) -> None:
        for array in _ARRAYS:
            kept = np.asarray(getattr(self, array), np.float64).view()
            # No measure may change what the next one sees.
            kept.flags.writeable = False
            object.__setattr__(self, array, kept)
        shapes = {array: getattr(self, array).shape for array in _ARRAYS}
        units, rows = {shape[0] for shape in shapes.values() if shape}, shapes["entering"][1:]
        if any(len(shape) != 2 for shape in shapes.values()) or len(units) != 1 or shapes["leaving"][1:] != rows:
            told = ", ".join(f"{array} {shape}" for array, shape in shapes.items())
            raise ArchitectureError(
                f"The arrays of layer {self.name!r} have shapes {told}; each needs a row for every unit, and entering "
                "and leaving a column for every row of data."
            )
        if 0 in units | {*rows}:
            lacks = "units" if 0 in units else "rows of data"
            raise ArchitectureError(f"The layer {self.name!r} has no {lacks}, so nothing can be measured; give some.")

    @classmethod
    def linear(cls, name: str, weights: Any, outgoing: Any, signals: Any, bias: Any = None) -> "Layer":
        """The layer of a matrix without an activation behind it, as those of attention are.

        Parameters
        ----------
        name : str
        weights : array of shape (m, k)
            A row for each unit.
        outgoing : array of shape (m, t)
        signals : array of shape (m, ...)
            What the units give at all positions of all rows; of more than 2048, as many evenly spaced ones are seen.
        bias : array of shape (m,), optional

        Returns
        -------
        Layer

        Examples
        --------
        >>> layer = Layer.linear("value", np.eye(2, 3), np.ones((2, 1)), np.zeros((2, 9, 500)))
        >>> layer.leaving.shape
        (2, 2048)
        """
        seen, weights = signals_seen(signals), np.asarray(weights, np.float64)
        incoming = weights if bias is None else np.column_stack([weights, np.asarray(bias, np.float64)])
        return cls(name, incoming, weights, outgoing, seen, seen, opposites_are_one=True)

    @property
    def form(self) -> tuple[Any, ...]:
        """What layers have in common that can be measured together: all but the numbers in their arrays."""
        shapes = tuple(getattr(self, array).shape for array in _ARRAYS)
        return self.name, shapes, self.opposites_are_one, self.at_zero

    @property
    def directions(self) -> int:
        """How many directions the incoming vectors take."""
        return int(count_directions(self.cosine[None], signed=not self.opposites_are_one)[0])

    @_kept
    def alike(self) -> Alike:
        """`nucleate.observe.alike` of the units: which of them act as one."""
        return alike(self.leaving, self.outgoing)

    @property
    def effective_neurons(self) -> float:
        """`nucleate.observe.effective_neurons` of the units."""
        return self.alike.effective_neurons

    @property
    def merging_loss(self) -> float:
        """`nucleate.observe.merging_loss` of the units."""
        return self.alike.loss


class LayerStack(_Units):
    """The same layer of several runs: what it is asked has an axis of runs in front, and costs little more than of one.

    Parameters
    ----------
    layers : sequence of Layer
        One for each run, of the same `form`.
    **arrays
        Those of the layers that are known as a stack.

    Examples
    --------
    >>> twins, two = (Layer("1", *(np.eye(2, 3)[rows] for _ in range(5)), opposites_are_one=True)
    ...               for rows in ([0, 0], [0, 1]))
    >>> LayerStack([twins, two]).effective_neurons
    array([1., 2.])
    """

    def __init__(self, layers: Sequence[Layer], **arrays: np.ndarray) -> None:
        vars(self).update(arrays)
        self._layers = layers
        self.name, self.at_zero = layers[0].name, layers[0].at_zero
        self.opposites_are_one = layers[0].opposites_are_one

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, run: int) -> Layer:
        return self._layers[run]

    def only(self, runs: Sequence[int]) -> "LayerStack":
        """The stack of some of the runs.

        Parameters
        ----------
        runs : sequence of int

        Returns
        -------
        LayerStack
        """
        return LayerStack([self._layers[run] for run in runs])

    def __getattr__(self, array: str) -> np.ndarray:
        if array not in _ARRAYS:
            raise AttributeError(array)
        stacked = vars(self)[array] = np.stack([getattr(layer, array) for layer in self._layers])
        return stacked

    @property
    def directions(self) -> Int[np.ndarray, " runs"]:
        """`Layer.directions` of each run."""
        return count_directions(self.cosine, signed=not self.opposites_are_one)

    @_kept
    def _act_as_one(self) -> ActAsOne:
        return act_as_one(self.leaving, self.outgoing)

    @property
    def effective_neurons(self) -> Float[np.ndarray, " runs"]:
        """`Layer.effective_neurons` of each run."""
        return self._act_as_one.effective_neurons

    @property
    def merging_loss(self) -> Float[np.ndarray, " runs"]:
        """`Layer.merging_loss` of each run."""
        return self._act_as_one.loss


def signals_seen(signals: Any) -> Float[np.ndarray, "m n"]:
    """Each unit's signals at all positions of all rows as a row: all, or of more than 2048 as many evenly spaced ones.

    They come as (m, ...).
    """
    flat: np.ndarray = np.asarray(signals, np.float64).reshape(len(signals), -1)
    if flat.shape[1] <= MOST_SIGNALS:
        return flat
    return flat[:, np.linspace(0, flat.shape[1] - 1, MOST_SIGNALS).astype(int)]


def layers_of(model: Any, x: Float[np.ndarray, "n d"]) -> tuple[Layer, ...]:
    """The layers of a model on rows of ``x``: a network's hidden ones, or what the model's method ``layers(x)`` gives.

    A model of another kind without that method has none, and nothing of it is measured but its losses.

    Parameters
    ----------
    model : model
    x : array of shape (n, d)

    Returns
    -------
    tuple of Layer

    Raises
    ------
    ArchitectureError
        If the model's own method fails, or gives something else.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = Network.create(5, [50, 40], 1, scale=InitScale("gain", 0.1), bias=[True, False, False])
    >>> [(layer.name, layer.incoming.shape, layer.leaving.shape) for layer in layers_of(network, np.eye(5))]
    [('1', (50, 6), (50, 5)), ('2', (40, 50), (40, 5))]
    """
    if not isinstance(model, Network):
        return _own_layers(model, x) if callable(getattr(model, "layers", None)) else ()
    return tuple(stack[0] for stack in _stacks_of_networks([model], x, 1))


def stacks_of(
    models: Sequence[Any], x: Float[np.ndarray, "n d"], most: int
) -> list[tuple[list[int], tuple[LayerStack, ...]]]:
    """`layers_of` of models of one architecture, put together as far as their layers have the same names and shapes.

    Returned are the places of some of the models, each time with their layers. There are one to ``most`` models, and
    ``most`` is the same for all calls that share a program; so, to the last bit, what is found of a model depends on no
    other.
    """
    if isinstance(models[0], Network):
        return [(list(range(len(models))), _stacks_of_networks(models, x, most))]
    alike: dict[Any, list[int]] = {}
    layers = [layers_of(model, x) for model in models]
    for place, own in enumerate(layers):
        alike.setdefault(tuple(layer.form for layer in own), []).append(place)
    return [
        (places, tuple(map(LayerStack, zip(*(layers[place] for place in places), strict=True))))
        for places in alike.values()
    ]


def most_in_stack(layers: Sequence[Layer]) -> int:
    """How many runs with such layers are measured at once: 32, and of wide ones fewer, which every core has some of."""
    entries = (getattr(layer, array).shape[1] * layer.width for layer in layers for array in _ARRAYS)
    largest = max(*entries, *(layer.width**2 for layer in layers), 1, 1)
    return int(np.clip(_STACKED_BYTES / (_HELD * 8 * largest), 1, _MOST_STACKED))


def _stacks_of_networks(models: Sequence[Network], x: Float[np.ndarray, "n d"], most: int) -> tuple[LayerStack, ...]:
    rows, model = real_array("The input", x), models[0]
    if rows.ndim != 2 or rows.shape[1] != model.widths[0]:
        raise ArchitectureError(f"The input has shape {rows.shape}; expected (rows, {model.widths[0]}).")
    # NumPy widens: XLA would flush float32's denormal numbers to zero.
    wide = jax.tree.map(lambda *leaves: np.stack(leaves).astype(np.float64), *models)
    # Of small ones as many at every call, one network included.
    signals = 16 * _IN_PROGRAM * len(rows) * sum(model.hidden)
    size, parts = _IN_PROGRAM if signals <= SMALL else min(most, _IN_PROGRAM), []
    for first in range(0, len(models), size):
        # Filled up, so that there is one program.
        places = np.minimum(np.arange(first, first + size), len(models) - 1)
        count = min(size, len(models) - first)
        found = _activity(jax.tree.map(lambda leaf, places=places: leaf[places], wide), np.int32(count), rows.T)
        parts.append(jax.tree.map(lambda array, count=count: array[:count], found))
    entering, leaving = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts) if len(parts) > 1 else parts[0]
    stacks = []
    for layer in range(1, model.depth):
        weights, bias = wide.weights[layer - 1], wide.biases[layer - 1]
        arrays = {
            "incoming": weights if bias is None else np.concatenate([weights, bias[:, :, None]], axis=2),
            "weights": weights,
            "outgoing": np.ascontiguousarray(wide.weights[layer].swapaxes(1, 2)),
            "entering": entering[layer - 1],
            "leaving": leaving[layer - 1],
        }
        arrays = {name: array[: len(models)] for name, array in arrays.items()}
        stacks.append(
            LayerStack(
                [
                    Layer(
                        str(layer),
                        **{name: array[run] for name, array in arrays.items()},
                        opposites_are_one=model.activation.parity != "none",
                        at_zero=model.activation.value,
                    )
                    for run in range(len(models))
                ],
                **arrays,
            )
        )
    return tuple(stacks)


def _own_layers(model: Any, x: Float[np.ndarray, "n d"]) -> tuple[Layer, ...]:
    name = type(model).__name__
    try:
        layers = tuple(model.layers(x))
    except ArchitectureError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        raise ArchitectureError(
            f"The layers of the model {name} cannot be read ({reason}); correct layers(x)."
        ) from error
    if not all(isinstance(layer, Layer) for layer in layers):
        raise ArchitectureError(f"layers(x) of the model {name} must give a list of nucleate.Layer.")
    names = [layer.name for layer in layers]
    if len(set(names)) < len(names):
        raise ArchitectureError(
            f"The layers of the model {name} are called {', '.join(names)}; give each its own name."
        )
    return layers


@in_float64
@jax.jit
def _activity(
    networks: Network, count: Int[Array, ""], x: Float[Array, "d n"]
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """What enters and leaves the activations of the first so many networks of a stack."""

    def of(run: Any) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        network = jax.tree.map(lambda leaf: entry(leaf, run), networks)
        entering = network.pre_activations(x)
        return entering, tuple(map(network.activation, entering))

    # One after another and not as a batch, whose products and functions may round by their place in it.
    nothing = jax.tree.map(
        lambda one: jnp.zeros((len(networks.weights[0]), *one.shape), one.dtype), jax.eval_shape(of, 0)
    )
    return jax.lax.fori_loop(
        0, count, lambda run, found: jax.tree.map(lambda all, own: with_entry(all, run, own), found, of(run)), nothing
    )


def neurons(network: Network, layer: int) -> Float[np.ndarray, "m fan_in_and_bias"]:
    """The input weights of a hidden layer's neurons in float64, with their bias as last column where there is one.

    Parameters
    ----------
    network : Network
    layer : int
        1 for the first hidden layer, up to L - 1.

    Returns
    -------
    array of shape (m, fan_in), or (m, fan_in + 1) with a bias

    Raises
    ------
    ArchitectureError
        If the network has no such hidden layer.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = Network.create(5, [50, 40], 1, scale=InitScale("gain", 0.1), bias=[True, False, False])
    >>> neurons(network, 1).shape, neurons(network, 2).shape
    ((50, 6), (40, 50))
    """
    if not 1 <= layer < network.depth:
        raise ArchitectureError(
            f"There is no hidden layer {layer}; {network} has hidden layers 1 to {network.depth - 1}."
        )
    weight, bias = network.weights[layer - 1], network.biases[layer - 1]
    vectors = np.asarray(weight, np.float64)
    return vectors if bias is None else np.column_stack([vectors, np.asarray(bias, np.float64)])


def amplitudes(network: Network) -> tuple[Float[np.ndarray, " m"], ...]:
    """``|input weights, with bias| |output weights|`` of each neuron, a hidden layer each.

    For a homogeneous activation of degree 1 it is the same for all weights that make the same function.

    Parameters
    ----------
    network : Network

    Returns
    -------
    tuple of arrays of shape (m_l,)

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = Network.create(5, [4, 3], 1, scale=InitScale("epsilon", 1e-3))
    >>> [amplitude.shape for amplitude in amplitudes(network)]
    [(4,), (3,)]
    """
    return tuple(
        row_norms(neurons(network, layer)) * row_norms(np.asarray(network.weights[layer]).T)
        for layer in range(1, network.depth)
    )


def contributions(network: Network, x: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, " m"], ...]:
    """What each neuron adds to the next layer on data, a hidden layer each.

    The standard deviation of its activation over the rows of ``x`` times the norm of its outgoing weights. The mean
    adds nothing that the next layer's biases would not.

    Parameters
    ----------
    network : Network
    x : array of shape (n, d)

    Returns
    -------
    tuple of arrays of shape (m_l,)

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = Network.create(5, [4, 3], 1, scale=InitScale("epsilon", 1e-3))
    >>> [contribution.shape for contribution in contributions(network, np.ones((8, 5)))]
    [(4,), (3,)]
    """
    return tuple(layer.contributions for layer in layers_of(network, x))
