"""The search over unequal widths, against all of them."""

import itertools

import numpy as np
import pytest

from nucleate.activations import get_activation
from nucleate.models import count_parameters
from nucleate.reduction import METHODS, SELECT
from nucleate.reduction.layers import activate, affine_layers, network_of
from nucleate.reduction.search import Search

from .networks import drawn, with_copies


def search(network, method, allowed, rng):
    calibration, validation = (
        rng.standard_normal((200, network.widths[0])),
        rng.standard_normal((60, network.widths[0])),
    )
    expected = np.asarray(network(validation))

    def fits(outputs):
        return np.abs(outputs - expected).max() <= allowed

    found = Search(network, method, calibration, validation, fits).cheapest()
    return network_of(found.layers, network.activation, "float64"), found.traces, fits, validation


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("hidden", [(4,), (3, 2), (4, 3, 2)])
def test_it_finds_the_widths_that_were_planted(method, hidden):
    rng = np.random.default_rng(1)
    network = with_copies(drawn((3, *hidden, 2), seed=3, gain=1.5), 5, rng, resize=False)
    small, traces, fits, validation = search(network, METHODS[method], 0.01, rng)
    assert small.hidden <= hidden
    assert fits(np.asarray(small(validation)))
    assert len(traces) == len(hidden)


def test_no_combination_of_widths_is_cheaper():
    rng = np.random.default_rng(2)
    network = drawn((2, 6, 5, 1), seed=1)
    small, _, _, _ = search(network, SELECT, 0.05, np.random.default_rng(2))
    calibration, validation = rng.standard_normal((200, 2)), rng.standard_normal((60, 2))
    expected = np.asarray(network(validation))
    costs = []
    for first, second in itertools.product(range(1, 7), range(1, 6)):
        trial = Search(network, SELECT, calibration, validation, lambda outputs: True)
        start = trial.start()
        partial = trial.extend(start, trial.prepare(start)(first))
        done = trial.extend(partial, trial.prepare(partial)(second))
        if np.abs(done.incoming(done.features[200:]) - expected).max() <= 0.05:
            costs.append(first * 3 + second * (first + 1) + second + 1)
    assert count_parameters(small) == min(costs)


def test_where_nothing_smaller_fits_the_original_comes_back():
    network = drawn((3, 4, 4, 2), gain=2.0)
    small, traces, _, _ = search(network, SELECT, 1e-9, np.random.default_rng(0))
    assert small.hidden == (4, 4)
    assert traces == ()


def test_upstream_errors_are_corrected_downstream():
    rng = np.random.default_rng(5)
    network = drawn((4, 12, 12, 1), seed=2)
    calibration = rng.standard_normal((300, 4))
    trial = Search(network, SELECT, calibration, calibration, lambda outputs: True)
    start = trial.start()
    coarse = trial.extend(start, trial.prepare(start)(4))
    refitted = trial.extend(coarse, trial.prepare(coarse)(12))
    expected = np.asarray(network(calibration))
    as_it_was = coarse.incoming(coarse.features[:300])
    blind = affine_layers(network)[-1](activate(get_activation("tanh"), as_it_was))
    assert (
        np.square(refitted.incoming(refitted.features[:300]) - expected).mean()
        < 0.9 * np.square(blind - expected).mean()
    )
