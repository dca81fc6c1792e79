"""The verb, from a trained network to a Reduction."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import nucleate
from nucleate import InitScale, Network
from nucleate.models import count_parameters
from nucleate.reduction import Affine, Method, keep_neurons

from .networks import counts, drawn, regression, with_copies

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained():
    problem = nucleate.load_problem("diabetes")
    network = Network.create(10, [24, 24], 1, scale=InitScale("gain", 0.1), bias=[True, False, False])
    return nucleate.train(network, problem, learning_rate=0.1, steps=400, evaluations=20).best, problem


@pytest.mark.parametrize("method", ["select", "interpolate", "merge"])
def test_a_condensed_network_becomes_a_small_one_that_does_the_same(trained, method):
    network, problem = trained
    small = nucleate.reduce(network, problem, 0.02, method, baselines=False)
    assert small.share_kept < 0.5
    assert small.validation.after <= 1.02 * small.validation.before
    assert small.certificate.relative_deviation < 0.4
    assert small.parameters.after == count_parameters(small.network)
    assert small.network.dtype == network.dtype
    assert small.hidden.before == (24, 24)
    if small.bound is not None:
        assert small.bound.value > 0
    assert (small.bound is None) == (method == "select")


def test_it_says_what_it_did(trained):
    text = str(nucleate.reduce(*trained, fine_tune=4, distill=4))
    assert "hidden widths 24,24 become" in text
    assert "linear model of 11 parameters" in text
    assert "narrow network of" in text
    assert "held-out rows" in text
    assert "layer 2: 21 neurons act as one, 3 alone" in text


def test_a_network_that_keeps_all_but_a_little_is_said_to(trained):
    network, problem = trained
    small = nucleate.reduce(network, problem, baselines=False)
    assert "parameters become 864 (100 %)" in str(replace(small, network=network))
    narrower = replace(network, weights=(*network.weights[:2], network.weights[2][:, :-1]))
    assert "parameters become 863 (99.9 %)" in str(replace(small, network=narrower))


def test_the_same_call_gives_the_same_bits(trained):
    first, second = (nucleate.reduce(*trained, baselines=False).network for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))


def test_the_test_rows_play_no_part_in_the_search(trained):
    network, problem = trained
    other = nucleate.problems.Split(problem.test.x[::-1] + 1.0, problem.test.y)
    first = nucleate.reduce(network, problem, baselines=False).network
    second = nucleate.reduce(network, replace(problem, test=other), baselines=False).network
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))


@pytest.mark.parametrize("activation", ["relu", "xtanh", "gelu"])
def test_planted_copies_are_found_at_any_activation(activation):
    rng = np.random.default_rng(0)
    network = with_copies(drawn((3, 3, 2, 1), activation=activation, gain=1.5), 4, rng, resize=False)
    small = nucleate.reduce(network, regression(rng, network, rows=300), baselines=False)
    assert small.hidden.after <= (3, 2)


def test_fine_tuning_never_loses_on_validation(trained):
    network, problem = trained
    plain = nucleate.reduce(network, problem, baselines=False)
    tuned = nucleate.reduce(network, problem, fine_tune=20, baselines=False)

    def loss(reduction):
        return problem.loss(reduction.network(problem.validation.x), problem.validation.y)

    assert loss(tuned) <= loss(plain)


def test_a_loss_of_ones_own_is_reduced_within_its_metric(tmp_path):
    """The outputs may move by a share of the root mean squared error, whatever the metric; see docs/reduce.md."""
    problem = counts(np.random.default_rng(0), lambda x: np.exp(1 + np.tanh(x[:, 0])), rows=500)
    start = drawn((3, 16, 1), gain=0.3, dtype="float32")
    network = nucleate.train(start, problem, learning_rate=0.05, steps=500, evaluations=10).best
    small = nucleate.reduce(network, problem, 0.05, fine_tune=4, distill=4)
    assert small.hidden.after < (16,)
    assert small.metric_name == "mean error"
    assert 0 < small.certificate.relative_deviation < 0.5
    assert [baseline.name for baseline in small.baselines] == ["constant", "linear model", "narrow network"]
    assert small.export(problem, tmp_path / "small.onnx").largest_difference < 1e-4


def test_a_method_of_ones_own_is_one_definition(trained):
    def first_neurons(layer):
        return lambda width: keep_neurons(
            layer, np.arange(width), Affine(layer.outgoing.weights[:, :width], layer.outgoing.bias)
        )

    small = nucleate.reduce(*trained, method=Method("first", first_neurons), baselines=False)
    assert small.method == "first"
    assert small.bound is None
    assert small.validation.after <= 1.01 * small.validation.before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"method": "prune"}, "There is no method 'prune'; choose one of select, interpolate, merge."),
        ({"tolerance": 2.0}, "The tolerance is 2.0; it must be between 0 and 1"),
        ({"fine_tune": -1}, "they must be whole numbers, 0 or more"),
        ({"distill": 2.0}, "to fine-tune and 2.0 to distill; they must be whole numbers"),
        ({"network": lambda x: x}, "A function cannot be reduced, for reductions are of fully connected networks"),
        ({"network": drawn((3, 4, 1))}, "goes from 3 inputs to 1 outputs, but problem 'diabetes' from 10 to 1"),
    ],
)
def test_what_cannot_be_reduced_is_refused_in_a_sentence(trained, change, says):
    network, problem = trained
    with pytest.raises(nucleate.SpecError, match=says.replace(".", r"\.")):
        nucleate.reduce(**{"network": network, "problem": problem} | change)


def test_a_diverged_network_is_refused(trained):
    network, problem = trained
    broken = jax.tree.map(lambda leaf: leaf * np.nan, network)
    with pytest.raises(nucleate.SpecError, match="not finite on these data; its run has diverged"):
        nucleate.reduce(broken, problem)
