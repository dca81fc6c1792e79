"""Runs measured at once: each has the numbers of its layers alone, to the bit whichever runs are beside it."""

from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate import ConvNetwork, InitScale, Layer, Measure, Network, SpecError
from nucleate.observe import MEASURES, LayerStack, layers_of, measure
from nucleate.observe.layers import most_in_stack, stacks_of
from nucleate.observe.measures import measure_layers

X = np.random.default_rng(0).standard_normal((30, 12))
seeds = st.integers(0, 2**31 - 1)


def condensed(network, rng, kind):
    """The network with its first layer on a few directions, off, of zeros, or diverged; the second cut in part."""
    first, second, *rest = (np.array(weight) for weight in network.weights)
    axes = rng.standard_normal((2, first.shape[1]))
    if kind == "condensed":
        first = np.outer(rng.standard_normal(len(first)), axes[0])
    elif kind == "two directions":
        noise = 0.3 * rng.standard_normal(first.shape)
        first = rng.exponential(size=(len(first), 1)) * (axes[rng.integers(0, 2, len(first))] + noise)
    elif kind == "dead neurons":
        first[:2], second[:, 2:4] = 0.0, 0.0
    elif kind == "zero":
        first[:], second[:] = 0.0, 0.0
    elif kind == "NaN":
        first[0, 0] = np.nan
    elif kind == "canceling":
        first[1::2], second[:, 1::2] = first[::2], -second[:, ::2]
    weights = (first.astype(network.dtype), second.astype(network.dtype), *rest)
    return replace(network, weights=weights)


KINDS = ("random", "condensed", "two directions", "dead neurons", "zero", "NaN", "canceling")


def measured(models, start, x=X, measures=MEASURES, most=8):
    """The rows of some models that are measured at once."""
    rows = {}
    for places, layers in stacks_of(models, x, most):
        first = [LayerStack([layer] * len(places)) for layer in layers_of(start, x)]
        rows |= dict(zip(places, measure_layers(layers, first, measures), strict=True))
    return [rows[place] for place in range(len(models))]


def the_same(row, other):
    assert list(row) == list(other)
    np.testing.assert_array_equal(list(row.values()), list(other.values()))


@settings(max_examples=12, deadline=None)
@given(
    seeds,
    st.lists(st.sampled_from(KINDS), min_size=2, max_size=6),
    st.sampled_from(["tanh", "relu"]),
    st.booleans(),
    st.sampled_from(["float32", "float64"]),
)
def test_each_network_measures_what_its_layers_say_alone(seed, kinds, activation, bias, dtype):
    rng = np.random.default_rng(seed)
    networks = [
        Network.create(
            12, [8, 6], 2, scale=InitScale("gain", gain), activation=activation, bias=bias, dtype=dtype, seed=k
        )
        for k, gain in enumerate(rng.choice([1.0, 0.1, 1e-3], len(kinds)))
    ]
    start = networks[0]
    models = [condensed(network, rng, kind) for network, kind in zip(networks, kinds, strict=True)]
    rows = measured(models, start)
    for model, kind, row in zip(models, kinds, rows, strict=True):
        # Beside none, and beside others at other places.
        the_same(row, measured([model], start)[0])
        the_same(row, measured([*models[::-1], model], start)[-1])
        if kind == "NaN":
            assert all(np.isnan(list(row.values())))
            continue
        for layer, first in zip(layers_of(model, X), layers_of(start, X), strict=True):
            alone = {
                "effective_neurons": layer.effective_neurons,
                "merging_loss": layer.merging_loss,
                "directions": layer.directions,
                "effective_rank": layer.weight_ranks.effective,
                "stable_rank": layer.weight_ranks.stable,
                "activation_rank": layer.activation_ranks.effective,
                "activation_numerical_rank": layer.activation_ranks.numerical,
                "relative_distance": np.linalg.norm(layer.incoming - first.incoming) / np.linalg.norm(first.incoming),
                "amplitude": np.sqrt(np.mean(layer.amplitudes**2)),
            }
            for name, value in alone.items():
                assert row[f"{name}_{layer.name}"] == pytest.approx(value, rel=1e-10, abs=1e-10), name


def test_a_convolutional_network_measures_the_same_in_company():
    models = [
        ConvNetwork.create((4, 3), [5, 4], 1, scale=InitScale("gain", gain), kernel=2, seed=seed)
        for seed, gain in enumerate((1.0, 0.1, 0.01))
    ]
    rows = measured(models, models[0])
    for model, row in zip(models, rows, strict=True):
        the_same(row, measured([model], models[0])[0])
        assert row == pytest.approx(measure(model, models[0], X), rel=1e-12, abs=1e-12)


class Grows(eqx.Module):
    """A model whose layer has as many units as its gate says: of one architecture, and of several shapes."""

    weight: np.ndarray

    def __call__(self, x):
        return jnp.tanh(x @ self.weight.T)

    def layers(self, x):
        units = self.weight[np.abs(self.weight[:, 0]) > 0.5]
        signal = units @ x.T
        return [Layer("open", units, units, np.ones((len(units), 1)), signal, np.tanh(signal), opposites_are_one=True)]


def test_layers_of_other_shapes_are_measured_apart():
    weight = np.random.default_rng(1).standard_normal((6, 12)).astype("float32")
    models = [Grows(np.where(np.arange(6)[:, None] < units, np.float32(2), np.float32(0)) * weight) for units in (6, 3)]
    groups = stacks_of([*models, *models], X, 8)
    assert [places for places, _ in groups] == [[0, 2], [1, 3]]
    for places, (stack,) in groups:
        (alone,) = layers_of(models[places[0]], X)
        np.testing.assert_array_equal(stack.effective_neurons, alone.effective_neurons)


def test_a_measure_of_ones_own_sees_the_layers_of_one_run():
    networks = [Network.create(12, [5, 4], 1, scale=InitScale("gain", 1.0), seed=seed) for seed in range(3)]

    def seen(layer, start):
        assert isinstance(layer, Layer)
        return float(layer.amplitudes.max() / start.amplitudes.max())

    rows = measured(networks, networks[0], measures=[Measure("own", seen)])
    assert [list(row) for row in rows] == [["own_1", "own_2"]] * 3
    for network, row in zip(networks, rows, strict=True):
        assert row == measure(network, networks[0], X, measures=[Measure("own", seen)])
    assert rows[0] == {"own_1": 1.0, "own_2": 1.0}


def test_wide_layers_are_measured_in_smaller_stacks():
    def with_width(width):
        return [Layer("1", *(np.zeros((width, 2)) for _ in range(5)), opposites_are_one=True)]

    assert [most_in_stack(with_width(width)) for width in (20, 200, 5000)] == [32, 10, 1]
    assert most_in_stack([]) == 32


@pytest.mark.parametrize("given", [lambda layer, start: np.ones(77), lambda layer, start: 1.0])
def test_a_measure_of_stacks_gives_a_number_for_each_run(given):
    network = Network.create(3, [4], 1, scale=InitScale("gain", 1.0))
    with pytest.raises(SpecError, match=r"The measure 'mine' fails on layer '1' \(it gave an array of shape .* of 1\)"):
        measure(network, network, np.eye(3), measures=[Measure("mine", given, of_stacks=True)])


@pytest.mark.parametrize(("name", "said"), [("", "name is ''"), (3, "name is 3")])
def test_a_measure_has_a_text_for_a_name(name, said):
    network = Network.create(3, [4], 1, scale=InitScale("gain", 1.0))
    with pytest.raises(SpecError, match=said):
        measure(network, network, np.eye(3), measures=[Measure(name, lambda layer, start: 1.0)])
