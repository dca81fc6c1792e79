"""Which neurons of a layer act as one, as how many it works, and what that loses: by what they do on data."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate import ArchitectureError, InitScale, Network
from nucleate.observe import MOST_LOST, alike, effective_neurons, layers_of, merging_loss

from .planted import same_partition

seeds = st.integers(0, 2**32 - 1)
LINE = np.linspace(-2, 2, 801)


def relu(z):
    return np.maximum(z, 0.0)


def correlated(rng, correlations, rows=40):
    """Activations with these correlations, and deviations and means of their own."""
    frame = rng.standard_normal((rows, len(correlations)))
    frame = np.linalg.qr(frame - frame.mean(axis=0))[0].T * rows**0.5
    exact = np.linalg.cholesky(correlations) @ frame
    return np.exp(rng.uniform(-3, 3, (len(exact), 1))) * exact + rng.standard_normal((len(exact), 1))


def grouped(rng, sizes, noise=0.05):
    """Activations in groups of affine images of one signal each, nearly; and the group of each."""
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    signals = correlated(rng, np.eye(len(sizes)), rows=60)
    signals = (signals - signals.mean(axis=1, keepdims=True)) / signals.std(axis=1, keepdims=True)
    rough = signals[truth] + noise * rng.standard_normal((truth.size, 60))
    return rng.choice([-1, 1], (truth.size, 1)) * rng.exponential(size=(truth.size, 1)) * (rough + 3.0), truth


def variance_left(target, regressors):
    """By least squares with an intercept: the summed variance of the columns that is left, as a share."""
    design = np.column_stack([np.ones(len(target)), *regressors])
    rest = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    return rest.var(axis=0).sum() / target.var(axis=0).sum()


def best_merging(leaving, outgoing, labels):
    """The least that can be lost by keeping one neuron of each group, by trying them all."""
    kept = np.array(np.meshgrid(*(np.flatnonzero(labels == label) for label in range(labels.max() + 1)))).reshape(
        labels.max() + 1, -1
    )
    return min(variance_left(leaving.T @ outgoing, leaving[choice]) for choice in kept.T)


@pytest.mark.parametrize("common_bias", [1.0, 50.0])
def test_different_relus_with_a_common_bias_do_not_act_as_one(common_bias):
    rng = np.random.default_rng(0)
    leaving = relu(rng.standard_normal((6, 5)) @ rng.standard_normal((5, 400)) + common_bias)
    outgoing = rng.standard_normal((6, 3))
    one = min(variance_left(leaving.T @ outgoing, [neuron]) for neuron in leaving)
    assert one > 0.4
    assert effective_neurons(leaving, outgoing) > 4
    assert variance_left(leaving.T @ outgoing, leaving) < 1e-20


def test_a_steep_tanh_is_another_neuron_than_a_flat_one_and_the_correlation_is_that_of_numpy():
    leaving = np.tanh(np.outer([0.5, 50.0, 0.4], LINE))
    r = np.corrcoef(leaving)
    assert abs(r[0, 1]) < 0.95 < r[0, 2]
    assert same_partition(alike(leaving, np.ones((3, 1))).labels, np.array([0, 1, 0]))


@pytest.mark.parametrize("outgoing", [[1.0, -1.0, 0, 0], [0.1, 0.2, -0.3, 0], [0, 1.0, 1.0, -2.0]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_neurons_that_cancel_count_nothing(outgoing, dtype):
    outgoing = np.array(outgoing, dtype)[:, None]
    leaving = np.tanh(np.ones((4, 1), dtype) * LINE.astype(dtype))
    assert effective_neurons(leaving, outgoing) == merging_loss(leaving, outgoing) == 0
    # Not copies: it takes three different neurons to be constant together.
    together = np.array([relu(LINE), relu(-LINE), np.abs(LINE)], dtype)
    assert effective_neurons(together, np.array([[1.0], [1.0], [-1.0]])) == 0


def test_a_group_that_cancels_leaves_the_others_as_they_are():
    leaving = np.array([LINE, LINE, np.cos(LINE), np.sin(3 * LINE)])
    with_it = effective_neurons(leaving, np.array([[1.0], [-1.0], [1.0], [0.5]]))
    assert with_it == pytest.approx(effective_neurons(leaving[2:], np.array([[1.0], [0.5]])))


def test_a_dead_or_constant_layer_works_as_no_neuron():
    for leaving in (np.zeros((3, 5)), np.full((3, 5), 0.1), np.tanh(np.linspace(30, 40, 15)).reshape(3, 5)):
        found = alike(leaving, np.ones((3, 2)))
        np.testing.assert_array_equal(found.labels, -1)
        assert (found.effective_neurons, found.loss) == (0, 0)
    assert effective_neurons(np.eye(3), np.zeros((3, 2))) == 0
    assert effective_neurons(np.eye(3)[:, :1], np.ones((3, 2))) == 0


@pytest.mark.parametrize("m", [1, 2, 7])
def test_one_when_all_do_the_same_and_m_when_all_differ(m):
    shifted = np.outer(np.arange(1.0, m + 1), LINE) + np.arange(m)[:, None]
    assert effective_neurons(shifted, np.ones((m, 1))) == 1
    assert merging_loss(shifted, np.ones((m, 1))) == pytest.approx(0, abs=1e-12)
    assert effective_neurons(np.eye(m, 20) - np.eye(m, 20, 10), np.ones((m, 1))) == pytest.approx(m)


@given(st.floats(0.96, 0.999), st.sampled_from([-1.0, 1.0]), seeds)
def test_the_loss_of_a_pair_is_that_of_the_formula(r, sign, seed):
    leaving = correlated(np.random.default_rng(seed), np.array([[1.0, sign * r], [sign * r, 1.0]]))
    # Of two equal shares one expresses the other up to 1 - r^2, of 2 + 2 r in all.
    outgoing = np.array([[1.0], [sign]]) / leaving.std(axis=1)[:, None]
    assert effective_neurons(leaving, outgoing) == 1
    assert merging_loss(leaving, outgoing) == pytest.approx((1 - r) / 2, rel=1e-6)


@given(st.floats(0.96, 0.999), seeds)
def test_a_pair_whose_difference_is_what_counts_is_two_neurons(r, seed):
    leaving = correlated(np.random.default_rng(seed), np.array([[1.0, r], [r, 1.0]]))
    outgoing = np.array([[1.0], [-1.0]]) / leaving.std(axis=1)[:, None]
    assert variance_left(leaving.T @ outgoing, leaving[:1]) > 0.9
    assert effective_neurons(leaving, outgoing) == pytest.approx(2)
    assert merging_loss(leaving, outgoing) == 0


@settings(max_examples=30)
@given(seeds, st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 3))
def test_groups_and_contributions_are_the_planted_ones_and_the_loss_is_that_of_least_squares(seed, sizes, outputs):
    rng = np.random.default_rng(seed)
    leaving, truth = grouped(rng, sizes)
    outgoing = rng.uniform(0.5, 1, (truth.size, outputs)) * np.sign(leaving.mean(axis=1))[:, None]
    found = alike(leaving, outgoing)
    assert same_partition(found.labels, truth)
    np.testing.assert_array_equal(np.bincount(found.labels), sorted(sizes, reverse=True))
    adding = [(leaving.T[:, truth == group] @ outgoing[truth == group]).std(axis=0) for group in range(len(sizes))]
    expected = np.exp(scipy.stats.entropy(np.linalg.norm(adding, axis=1)))
    assert found.effective_neurons == pytest.approx(expected, rel=0.01)
    assert best_merging(leaving, outgoing, truth) - 1e-9 <= found.loss <= MOST_LOST


@settings(max_examples=30)
@given(seeds, st.integers(2, 12), st.integers(3, 20), st.floats(0.05, 3.0))
def test_one_neuron_of_each_group_is_enough_whatever_the_layer(seed, m, rows, gain):
    rng = np.random.default_rng(seed)
    leaving = relu(gain * rng.standard_normal((m, 2)) @ rng.standard_normal((2, rows)) + rng.standard_normal())
    outgoing = rng.standard_normal((m, 2))
    found = alike(leaving, outgoing)
    assert 0 <= found.loss <= MOST_LOST
    assert found.effective_neurons <= found.labels.max() + 1 + 1e-9
    if found.effective_neurons > 0:
        assert best_merging(leaving, outgoing, found.labels) <= found.loss + 1e-7


@given(seeds)
def test_it_minds_neither_order_nor_shifts_nor_what_a_neuron_and_its_reader_share(seed):
    rng = np.random.default_rng(seed)
    leaving, _ = grouped(rng, [4, 3, 1], noise=0.15)
    outgoing = rng.standard_normal((8, 2))
    order, factor = rng.permutation(8), np.exp(rng.uniform(-5, 5, (8, 1))) * rng.choice([-1, 1], (8, 1))
    halves = rng.uniform(0, 1, (8, 1))
    turn = np.linalg.qr(rng.standard_normal((2, 2)))[0]
    before = alike(leaving, outgoing)
    for changed in (
        (leaving[order], outgoing[order]),
        (leaving + 10 * rng.standard_normal((8, 1)), outgoing),
        (factor * leaving, outgoing / factor),
        (1e-150 * leaving, outgoing),
        (1e-150 * leaving, 1e-150 * outgoing),
        (leaving, outgoing @ turn),
        (leaving[:, rng.permutation(60)], outgoing),
        (np.vstack([leaving, leaving]), np.vstack([halves * outgoing, (1 - halves) * outgoing])),
        (np.vstack([leaving, np.zeros((2, 60)), np.full((1, 60), 0.1)]), np.vstack([outgoing, np.ones((3, 2))])),
    ):
        after = alike(*changed)
        assert after.effective_neurons == pytest.approx(before.effective_neurons, rel=1e-6)
        assert after.loss == pytest.approx(before.loss, rel=1e-6, abs=1e-9)


def test_a_relu_networks_norms_can_be_moved_outward():
    network = Network.create(3, [8], 1, scale=InitScale("gain", 1.0), activation="relu", bias=True, dtype="float64")
    factor = np.exp(np.linspace(-3, 3, 8))
    moved = Network(
        (factor[:, None] * network.weights[0], network.weights[1] / factor),
        (factor * network.biases[0], network.biases[1]),
        network.activation,
    )
    x = np.random.default_rng(0).standard_normal((50, 3))
    (before,), (after,) = (layers_of(one, x) for one in (network, moved))
    assert after.effective_neurons == pytest.approx(before.effective_neurons)


def test_activations_and_weights_of_different_neurons_are_refused():
    with pytest.raises(ArchitectureError, match="activations of 3 neurons and outgoing weights of 2"):
        alike(np.eye(3), np.ones((2, 1)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_rather_than_dead(value):
    for leaving, outgoing in ((np.full((2, 3), value), np.ones((2, 1))), (np.eye(2, 3), np.full((2, 1), value))):
        with pytest.raises(ArchitectureError, match="NaN or infinite"):
            effective_neurons(leaving, outgoing)
