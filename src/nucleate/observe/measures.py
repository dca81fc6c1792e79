"""Measures of a model's layers, and all of them at once as one flat row."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from nucleate.devices import single_blas_thread
from nucleate.errors import SpecError
from nucleate.observe.directions import alignment, share_of_pairs
from nucleate.observe.layers import Layer, layers_of, neurons
from nucleate.observe.norms import norm
from nucleate.observe.ranks import relative_distance

MAX_ROWS = 512
_LARGEST = 1e100


@dataclass(frozen=True)
class Measure:
    """A number for each layer of a model.

    Parameters
    ----------
    name : str
        Columns of tables carry it and the layer's: ``<name>_<layer>``.
    value : callable
        From a `Layer` and the same layer at the start of the run to the number.

    Examples
    --------
    >>> widest = Measure("largest_amplitude", lambda layer, start: float(layer.amplitudes.max()))
    >>> from nucleate import InitScale, Network
    >>> network = Network.create(2, [3], 1, scale=InitScale("gain", 1.0))
    >>> list(measure(network, network, np.eye(2), measures=[widest]))
    ['largest_amplitude_1']
    """

    name: str
    value: Callable[[Layer, Layer], float] = field(repr=False)


MEASURES = (
    Measure("effective_neurons", lambda layer, start: layer.effective_neurons),
    Measure("merging_loss", lambda layer, start: layer.merging_loss),
    Measure("directions", lambda layer, start: float(layer.directions)),
    Measure("condensed_pairs", lambda layer, start: share_of_pairs(layer.cosine, 0.9)),
    Measure("stable_rank", lambda layer, start: layer.weight_ranks.stable),
    Measure("effective_rank", lambda layer, start: layer.weight_ranks.effective),
    Measure("numerical_rank", lambda layer, start: float(layer.weight_ranks.numerical)),
    Measure("activation_rank", lambda layer, start: layer.activation_ranks.effective),
    Measure("activation_stable_rank", lambda layer, start: layer.activation_ranks.stable),
    Measure("activation_numerical_rank", lambda layer, start: float(layer.activation_ranks.numerical)),
    Measure("relative_distance", lambda layer, start: relative_distance(layer.incoming, start.incoming)),
    Measure("amplitude", lambda layer, start: norm(layer.amplitudes) / layer.width**0.5),
)
"""What is measured when nothing else is said; see `measure`."""


def measure(
    model: Any,
    start: Any,
    x: Float[np.ndarray, "n d"],
    *,
    measures: Sequence[Measure] = MEASURES,
    targets: Float[np.ndarray, "... k"] | None = None,
) -> dict[str, float]:
    """The measures of every layer ``l``, as ``{"effective_neurons_1": ..., "effective_neurons_2": ..., ...}``.

    - ``effective_neurons_l``: as how many different neurons the layer works, by what they do on the data.
    - ``merging_loss_l``: the share of the layer's output variance, at most 0.05, that is lost if those that do the same
      act as one.
    - ``directions_l``: number of directions of the input weights.
    - ``condensed_pairs_l``: share of the pairs with ``|cos| > 0.9`` of the input weights.
    - ``stable_rank_l``, ``effective_rank_l``, ``numerical_rank_l``: of the weight matrix, without biases.
    - ``activation_rank_l``, ``activation_stable_rank_l``, ``activation_numerical_rank_l``: of the activations on the
      data, the first being the effective rank.
    - ``relative_distance_l``: of the input weights from those of ``start``.
    - ``amplitude_l``: root mean square of the amplitudes.
    - ``alignment_1``: mean of ``|cos|`` between the neurons of the first layer and the target, where one is given.

    Input weights have the bias with them. Opposite directions count as one for an odd or even activation, as two for
    others. A layer with NaN, infinity or numbers beyond 1e100, as a diverged run leaves it, measures NaN throughout.

    Parameters
    ----------
    model, start : model
        As it is now, and at the start of the run; a `Network`, or any model with a method ``layers(x)``.
    x : array, shape (n, d)
        The data. Of more than 512 rows, 512 evenly spaced ones are used.
    measures : sequence of Measure
    targets : array, shape (k,) or (count, k), optional
        For a `Network`: the direction, or directions, which neurons of the first layer are to take, bias included where
        there is one. Of several, the nearest to a neuron counts.

    Returns
    -------
    dict of str to float

    Examples
    --------
    >>> from nucleate import InitScale, Network
    >>> network = Network.create(5, [50, 50], 1, scale=InitScale("gain", 0.1))
    >>> row = measure(network, network, np.eye(5), targets=np.ones(5))
    >>> row["relative_distance_1"], row["directions_2"], len(row)
    (0.0, 50.0, 25)
    """
    x = evaluation_rows(x)
    row = measure_layers(layers_of(model, x), layers_of(start, x), check_measures(measures))
    if targets is not None:
        row["alignment_1"] = _nearest_alignment(neurons(model, 1), np.atleast_2d(targets))
    return row


def evaluation_rows(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "rows d"]:
    """The rows on which layers are looked at: all, or 512 evenly spaced ones.

    Parameters
    ----------
    x : array of shape (n, d)

    Returns
    -------
    array of shape (rows, d)
    """
    x = np.asarray(x)
    return x[np.linspace(0, len(x) - 1, MAX_ROWS).astype(int)] if len(x) > MAX_ROWS else x


def measure_layers(layers: Sequence[Layer], start: Sequence[Layer], measures: Sequence[Measure]) -> dict[str, float]:
    """`measure` of layers that are known already, and were at the start.

    Parameters
    ----------
    layers, start : sequence of Layer
        Now, and at the start of the run.
    measures : sequence of Measure

    Returns
    -------
    dict of str to float
    """
    with single_blas_thread():
        rows = [_measure_layer(layer, first, measures) for layer, first in zip(layers, start, strict=True)]
    return {
        f"{one.name}_{layer.name}": row[index]
        for index, one in enumerate(measures)
        for layer, row in zip(layers, rows, strict=True)
    }


def _measure_layer(layer: Layer, start: Layer, measures: Sequence[Measure]) -> list[float]:
    if not _usable(layer.incoming, layer.outgoing, layer.entering, layer.leaving):
        return [math.nan] * len(measures)
    return [_number(one, layer, start) for one in measures]


def _number(measure: Measure, layer: Layer, start: Layer) -> float:
    try:
        value: Any = measure.value(layer, start)
        if type(value) is float:
            return value
        if isinstance(value, str) or np.ndim(value) or np.iscomplexobj(value):
            raise TypeError(f"it gave {value!r:.60}")
        return float(value)
    except SpecError:
        raise
    except Exception as error:
        raise SpecError(
            f"The measure {measure.name!r} fails on layer {layer.name!r} ({error}); it takes the layer as it is and as "
            "it was at the start, and gives a number."
        ) from error


def check_measures(measures: Sequence[Measure]) -> tuple[Measure, ...]:
    """The measures, if that is what they are.

    Parameters
    ----------
    measures : sequence of Measure

    Returns
    -------
    tuple of Measure

    Raises
    ------
    SpecError
        For something else, or two of one name.
    """
    given = tuple(measures) if isinstance(measures, (list, tuple)) else (measures,)
    if not all(isinstance(one, Measure) for one in given):
        raise SpecError(f"The measures are {measures!r:.100}; give a list of nucleate.Measure.")
    names = [one.name for one in given]
    if len(set(names)) < len(names):
        raise SpecError(f"The measures are called {', '.join(names)}; give each its own name.")
    return given


def _usable(*arrays: np.ndarray) -> bool:
    # The comparison is false for NaN; the bound leaves room for the squares and products of the measures.
    return all(np.abs(array).max() < _LARGEST for array in arrays)


def _nearest_alignment(vectors: Float[np.ndarray, "m k"], targets: Float[np.ndarray, "count k"]) -> float:
    if not _usable(vectors):
        return math.nan
    return float(np.max([np.abs(alignment(vectors, target)) for target in targets], axis=0).mean())
