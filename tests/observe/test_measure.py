"""The row of a snapshot: each entry is the measure of its name, and known networks measure what they are."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate import ArchitectureError, InitScale, Network, observe
from nucleate.observe import measure

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3))
FAMILIES = [
    "effective_neurons",
    "merging_loss",
    "directions",
    "condensed_pairs",
    "stable_rank",
    "effective_rank",
    "numerical_rank",
    "activation_rank",
    "activation_stable_rank",
    "activation_numerical_rank",
    "relative_distance",
    "amplitude",
]


def changed(array, value):
    array = np.array(array)
    array[0, 0] = value
    return array


def create(seed=0, activation="tanh", gain=1.0, **options):
    scale = InitScale("gain", gain)
    return Network.create(3, [8, 6], 1, scale=scale, activation=activation, seed=seed, **options)


def test_the_columns_go_by_family_then_layer_and_the_target_comes_last():
    row = measure(create(), create(), X, targets=np.ones(3))
    assert list(row) == [f"{family}_{layer}" for family in FAMILIES for layer in (1, 2)] + ["alignment_1"]
    assert all(type(value) is float for value in row.values())


@pytest.mark.parametrize(("activation", "signed"), [("tanh", False), ("xtanh", False), ("relu", True)])
def test_each_entry_is_the_measure_of_its_name(activation, signed):
    network, start = create(1, activation, bias=True), create(2, activation, bias=True)
    target = RNG.standard_normal(4)
    row = measure(network, start, X, targets=target)
    entering = network.astype("float64").pre_activations(X.T)
    for layer in (1, 2):
        vectors, before = observe.neurons(network, layer), observe.neurons(start, layer)
        weight, z = np.asarray(network.weights[layer - 1]), np.asarray(entering[layer - 1])
        activations = np.asarray(network.activation(z))
        outgoing = np.asarray(network.weights[layer]).T
        expected = {
            "effective_neurons": observe.effective_neurons(activations, outgoing),
            "merging_loss": observe.merging_loss(activations, outgoing),
            "directions": observe.directions(vectors, signed=signed).count,
            "condensed_pairs": observe.condensed_pairs(vectors),
            "stable_rank": observe.stable_rank(weight),
            "effective_rank": observe.effective_rank(weight),
            "numerical_rank": observe.numerical_rank(weight),
            "activation_rank": observe.effective_rank(activations),
            "activation_stable_rank": observe.stable_rank(activations),
            "activation_numerical_rank": observe.numerical_rank(activations),
            "relative_distance": observe.relative_distance(vectors, before),
            "amplitude": np.sqrt(np.mean(observe.amplitudes(network)[layer - 1] ** 2)),
        }
        for family, value in expected.items():
            assert row[f"{family}_{layer}"] == pytest.approx(value), family
    expected = np.abs(observe.alignment(observe.neurons(network, 1), target)).mean()
    assert row["alignment_1"] == pytest.approx(expected)


@pytest.mark.parametrize("scale", [0.01, 1e-30])
def test_a_condensed_network_works_as_one_neuron_and_behind_it_directions_mislead(scale):
    target = np.array([1.0, -2.0, 0.5])
    network = create()
    condensed = np.asarray(scale * np.outer(RNG.standard_normal(8), target), np.float32)
    network = replace(network, weights=(condensed, *network.weights[1:]))
    row = measure(network, create(), X, targets=target)
    for family in ("effective_neurons_1", "effective_neurons_2", "directions_1", "condensed_pairs_1", "alignment_1"):
        assert row[family] == pytest.approx(1), family
    for family in ("stable_rank_1", "effective_rank_1", "numerical_rank_1"):
        assert row[family] == pytest.approx(1, abs=1e-5), family
    # The second layer reads copies of one signal: six different rows of weights do the same.
    assert row["directions_2"] == 6


@settings(max_examples=15)
@given(st.integers(0, 2**31 - 1))
def test_the_order_and_the_signs_of_tanh_neurons_do_not_count(seed):
    rng = np.random.default_rng(seed)
    network, start = create(seed, dtype="float64"), create(seed + 1, dtype="float64")
    order, signs = rng.permutation(8), rng.choice([-1, 1], 8)

    def shuffled(network):
        first, second, last = network.weights
        return replace(network, weights=(signs[:, None] * first[order], second[:, order] * signs, last))

    row = measure(network, start, X, targets=np.ones(3))
    assert measure(shuffled(network), shuffled(start), X, targets=np.ones(3)) == pytest.approx(row, rel=1e-9)


def test_the_start_is_at_no_distance():
    row = measure(create(), create(), X)
    assert row["relative_distance_1"] == row["relative_distance_2"] == 0


def test_of_several_targets_the_nearest_to_each_neuron_counts():
    network = replace(
        create(), weights=(np.eye(8, 3, dtype=np.float32) + np.eye(8, 3, -3, dtype=np.float32), *create().weights[1:])
    )
    alone, together = (measure(network, network, X, targets=targets) for targets in (np.eye(3)[0], np.eye(3)))
    assert alone["alignment_1"] == pytest.approx(2 / 8)
    assert together["alignment_1"] == pytest.approx(6 / 8)


def test_many_rows_are_thinned_evenly_to_512_and_few_are_all_used():
    x = RNG.standard_normal((1023, 3))
    assert measure(create(), create(), x) == measure(create(), create(), x[::2])
    assert measure(create(), create(), x[:512]) != measure(create(), create(), x[:511])


def test_dead_relu_neurons_do_no_work():
    network = create(activation="relu")
    network = replace(
        network, weights=(np.array([[1.0, 0, 0]] * 2 + [[-1.0, 0, 0]] * 6, np.float32), *network.weights[1:])
    )
    row = measure(network, network, np.abs(X))
    assert row["directions_1"] == 2
    assert row["effective_neurons_1"] == 1
    assert row["activation_rank_1"] == pytest.approx(1)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_a_diverged_layer_measures_nan_and_does_not_fail(value):
    network = create(dtype="float64")
    diverged = jax.tree.map(lambda leaf: changed(leaf, value), network)
    row = measure(diverged, network, X, targets=np.ones(3))
    assert list(row) == list(measure(network, network, X, targets=np.ones(3)))
    assert all(np.isnan(list(row.values())))


def test_a_layer_before_the_diverged_one_is_still_measured():
    network = create()
    last = changed(network.weights[2], np.nan)
    row = measure(replace(network, weights=(*network.weights[:2], last)), network, X)
    assert row["directions_1"] == measure(network, network, X)["directions_1"]
    assert np.isnan(row["directions_2"])


def test_a_target_that_does_not_fit_is_refused():
    with pytest.raises(ArchitectureError, match=r"shape \(3,\) for neurons with 4 entries"):
        measure(create(bias=True), create(bias=True), X, targets=np.ones(3))


def test_where_there_are_no_rows_or_no_units_nothing_is_measured():
    network = create()
    with pytest.raises(ArchitectureError, match="The layer '1' has no rows of data"):
        measure(network, network, X[:0])
    arrays = {name: np.zeros((0, 3)) for name in ("incoming", "weights", "outgoing", "entering", "leaving")}
    with pytest.raises(ArchitectureError, match="The layer 'mine' has no units"):
        observe.Layer("mine", **arrays, opposites_are_one=True)
    with pytest.raises(ArchitectureError, match=r"activations have shape \(3, 0\)"):
        observe.effective_neurons(np.zeros((3, 0)), np.ones((3, 1)))
