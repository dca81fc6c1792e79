"""Measures of a model's layers, and all of them at once as one flat row."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from nucleate._wording import shown
from nucleate.devices import single_blas_thread
from nucleate.errors import ArchitectureError, SpecError
from nucleate.observe.directions import alignment, share_of_pairs
from nucleate.observe.layers import LayerStack, layers_of, neurons
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
    of_stacks : bool
        Whether ``value`` takes the layer of many runs at once instead, a `LayerStack` and that at their starts, and
        gives an array of their numbers; what is asked of a `Layer` can be asked of it.

    Examples
    --------
    >>> widest = Measure("largest_amplitude", lambda layer, start: float(layer.amplitudes.max()))
    >>> from nucleate import InitScale, Network
    >>> network = Network.create(2, [3], 1, scale=InitScale("gain", 1.0))
    >>> list(measure(network, network, np.eye(2), measures=[widest]))
    ['largest_amplitude_1']
    """

    name: str
    value: Callable[[Any, Any], Any] = field(repr=False)
    of_stacks: bool = field(default=False, repr=False)


MEASURES = tuple(
    Measure(name, value, of_stacks=True)
    for name, value in {
        "effective_neurons": lambda layer, start: layer.effective_neurons,
        "merging_loss": lambda layer, start: layer.merging_loss,
        "directions": lambda layer, start: layer.directions,
        "condensed_pairs": lambda layer, start: share_of_pairs(layer.cosine, 0.9),
        "stable_rank": lambda layer, start: layer.weight_ranks.stable,
        "effective_rank": lambda layer, start: layer.weight_ranks.effective,
        "numerical_rank": lambda layer, start: layer.weight_ranks.numerical,
        "activation_rank": lambda layer, start: layer.activation_ranks.effective,
        "activation_stable_rank": lambda layer, start: layer.activation_ranks.stable,
        "activation_numerical_rank": lambda layer, start: layer.activation_ranks.numerical,
        "relative_distance": lambda layer, start: relative_distance(layer.incoming, start.incoming, axis=(-2, -1)),
        "amplitude": lambda layer, start: norm(layer.amplitudes, axis=-1) / layer.width**0.5,
    }.items()
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

    Raises
    ------
    ArchitectureError
        If the two are not of one architecture.

    Examples
    --------
    >>> from nucleate import InitScale, Network
    >>> network = Network.create(5, [50, 50], 1, scale=InitScale("gain", 0.1))
    >>> row = measure(network, network, np.eye(5), targets=np.ones(5))
    >>> row["relative_distance_1"], row["directions_2"], len(row)
    (0.0, 50.0, 25)
    """
    x = evaluation_rows(x)
    now, before = ([LayerStack([layer]) for layer in layers_of(one, x)] for one in (model, start))
    (row,) = measure_layers(now, before, check_measures(measures)) if now or before else ({},)
    if targets is not None:
        row["alignment_1"] = _nearest_alignment(neurons(model, 1), np.atleast_2d(targets))
    return row


def evaluation_rows(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "rows d"]:
    """The rows on which layers are looked at: all, or 512 evenly spaced ones."""
    x = np.asarray(x)
    return x[np.linspace(0, len(x) - 1, MAX_ROWS).astype(int)] if len(x) > MAX_ROWS else x


def measure_layers(
    layers: Sequence[LayerStack], start: Sequence[LayerStack], measures: Sequence[Measure]
) -> list[dict[str, float]]:
    """`measure` of the layers of some runs, now and at their start, that are known already; a mapping for each run.

    Refused as an ArchitectureError are layers, or what their units read, that are others than at the start.
    """
    now, before = (
        [f"{layer.name} of {layer.width} units with {layer.incoming.shape[-1]} entries" for layer in stacks]
        for stacks in (layers, start)
    )
    if now != before:
        raise ArchitectureError(
            f"The model's layers were {', '.join(before) or 'none'} at the start, and are {', '.join(now) or 'none'} "
            "now; give a model and a start of one architecture, and from its method layers the same at every step."
        )
    with single_blas_thread():
        of_layers = [_measure_stack(layer, first, measures) for layer, first in zip(layers, start, strict=True)]
    names = [f"{one.name}_{layer.name}" for one in measures for layer in layers]
    if not names:
        return [{} for _ in range(len(layers[0]) if layers else 0)]
    # By measure, then by layer.
    columns = [values for of_measure in zip(*of_layers, strict=True) for values in of_measure]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _measure_stack(layer: LayerStack, start: LayerStack, measures: Sequence[Measure]) -> list[list[float]]:
    """For each measure the numbers of all runs."""
    fit = _usable(layer.incoming, layer.outgoing, *(ends[:, None] for ends in layer.ranges))
    values, runs = np.full((len(measures), len(fit)), math.nan), np.flatnonzero(fit)
    if runs.size:
        if not fit.all():
            layer, start = (stack.only(runs.tolist()) for stack in (layer, start))
        for place, one in enumerate(measures):
            values[place, runs] = _numbers(one, layer, start)
    return values.tolist()


def _numbers(measure: Measure, layer: LayerStack, start: LayerStack) -> Any:
    try:
        if measure.of_stacks:
            numbers = np.asarray(measure.value(layer, start))
            if numbers.shape != (len(layer),):
                raise TypeError(f"it gave an array of shape {numbers.shape} for a stack of {len(layer)}")
            return numbers
        return [_number(measure.value(layer[run], start[run])) for run in range(len(layer))]
    except SpecError:
        raise
    except Exception as error:
        raise SpecError(
            f"The measure {measure.name!r} fails on layer {layer.name!r} ({error}); it takes the layer as it is and as "
            "it was at the start, and gives a number."
        ) from error


def _number(value: Any) -> float:
    if isinstance(value, str) or np.ndim(value) or np.iscomplexobj(value):
        raise TypeError(f"it gave {value!r:.60}")
    return float(value)


def check_measures(measures: Sequence[Measure]) -> tuple[Measure, ...]:
    """The measures, if that is what they are, with texts as names, none of them twice."""
    given = tuple(measures) if isinstance(measures, (list, tuple)) else (measures,)
    if not all(isinstance(one, Measure) for one in given):
        raise SpecError(f"The measures are {measures!r:.100}; give a list of nucleate.Measure.")
    names = [one.name for one in given]
    for one in given:
        if not isinstance(one.name, str) or not one.name:
            raise SpecError(f"A measure's name is {shown(one.name)}; give a text, by which its columns are called.")
    if len(set(names)) < len(names):
        raise SpecError(f"The measures are called {', '.join(names)}; give each its own name.")
    return given


def _usable(*arrays: Float[np.ndarray, "... m k"]) -> Bool[np.ndarray, "..."]:
    """Whether all matrices are of numbers that leave room for the squares and products of the measures."""
    # The comparison is false for NaN.
    return np.all([np.abs(array).max(axis=(-2, -1)) < _LARGEST for array in arrays], axis=0)


def _nearest_alignment(vectors: Float[np.ndarray, "m k"], targets: Float[np.ndarray, "count k"]) -> float:
    if not _usable(vectors).all():
        return math.nan
    return float(np.max([np.abs(alignment(vectors, target)) for target in targets], axis=0).mean())
