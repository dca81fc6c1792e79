"""When weight decay exceeds growth, against the closed form of two layers and flows integrated step by step."""

import jax
import numpy as np
import pytest

from nucleate import InitScale, Network
from nucleate.devices import float64
from nucleate.theory import correlation, shrinks_for_ever, singular_directions

RNG = np.random.default_rng(0)
X, R = RNG.standard_normal((30, 3)), RNG.standard_normal((30, 2))


def network(hidden, scale=0.1, activation="tanh", seed=0, **options):
    return Network.create(
        3, hidden, 2, scale=InitScale("gain", scale), activation=activation, seed=seed, dtype="float64", **options
    )


def norm(given):
    return np.sqrt(sum(np.sum(np.asarray(part) ** 2) for part in jax.tree.leaves(given)))


def flow(start, decay, *, time, step=0.02):
    """Euler's steps along the gradient of the correlation less the decay; the norms on the way."""
    with float64():
        ascend = jax.jit(jax.grad(lambda given: correlation(given, X, R)))
        norms, at = [norm(start)], start
        for _ in range(int(time / step)):
            at = jax.tree.map(lambda p, g: p + step * (g - decay * p), at, ascend(at))
            norms.append(norm(at))
    return np.array(norms)


@pytest.mark.parametrize("options", [{}, {"bias": [True, False]}], ids=["no bias", "first bias"])
def test_of_two_layers_the_first_singular_value_decides_alone(options):
    value = singular_directions(network([6], **options), X, R).values[0]
    for scale in (1e-3, 1.0):
        start = network([6], scale, **options)
        assert [shrinks_for_ever(start, X, R, share * value) for share in (0.99, 1.01)] == [False, True]
    small = network([6], 1e-3, **options)
    assert flow(small, 0.8 * value, time=60)[-1] > 2 * norm(small)
    assert (np.diff(flow(small, 1.01 * value, time=60)) < 0)[5:].all()


@pytest.mark.parametrize(("hidden", "activation"), [([5, 4], "tanh"), ([6], "relu"), ([5, 4], "relu"), ([6], "xtanh")])
def test_where_it_says_so_the_norm_never_grows_again(hidden, activation):
    start = network(hidden, 0.5, activation)
    decays = np.geomspace(0.01, 20, 40)
    least = next(decay for decay in decays if shrinks_for_ever(start, X, R, decay))
    assert not shrinks_for_ever(start, X, R, 0.01)
    norms = flow(start, least, time=6 / least, step=0.02 / least)
    assert norms[-1] < 0.5 * norms[0]
    assert (np.diff(norms) < 0).all()


def test_of_three_layers_a_larger_start_outgrows_the_same_decay():
    assert shrinks_for_ever(network([5, 4], 0.01), X, R, 0.05)
    assert not shrinks_for_ever(network([5, 4], 1.0), X, R, 0.05)


def test_a_bias_that_fits_the_mean_is_not_judged():
    for residuals in (R - R.mean(axis=0), R):
        assert not shrinks_for_ever(network([6], bias=[True, True]), X, residuals, 1e6)
