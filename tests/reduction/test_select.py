"""Greedy selection against all its alternatives, and against scikit-learn's ridge regression."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from nucleate.reduction.selection import RIDGE, GreedyPath

seeds = st.integers(0, 2**32 - 1)


def penalty(features):
    return RIDGE**2 * np.square(features - features.mean(axis=0)).sum(axis=0).max()


def left_over(features, target, importance, chosen):
    """The ridge objective of the target on the chosen neurons, with an intercept."""
    fit = Ridge(alpha=penalty(features), solver="svd").fit(features[:, chosen], target * importance)
    error = np.square(target * importance - fit.predict(features[:, chosen]).reshape(target.shape)).sum()
    return error + penalty(features) * np.square(fit.coef_).sum()


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(2, 6), st.integers(1, 3))
def test_each_choice_is_the_best_there_is(seed, m, t):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((30, m)) @ rng.standard_normal((m, m)) + rng.standard_normal(m)
    target, importance = rng.standard_normal((30, t)), rng.uniform(0.5, 2, t)
    path = GreedyPath(features, target, importance)
    path.first(m - 1)
    for count in range(m - 1):
        before = path.order[:count]
        alternatives = [left_over(features, target, importance, [*before, k]) for k in range(m) if k not in before]
        assert left_over(features, target, importance, path.order[: count + 1]) <= min(alternatives) * (1 + 1e-9)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(2, 8))
def test_what_reads_the_chosen_is_their_ridge_regression(seed, m):
    rng = np.random.default_rng(seed)
    features, target = rng.standard_normal((40, m)) + 3.0, rng.standard_normal((40, 2)) - 1.0
    for count in (1, m - 1, m):
        chosen, outgoing = GreedyPath(features, target, np.array([1.0, 0.0])).first(count)
        fit = Ridge(alpha=penalty(features), solver="svd").fit(features[:, chosen], target[:, 0])
        np.testing.assert_allclose(outgoing.weights[0], fit.coef_, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(outgoing.bias[0], fit.intercept_, rtol=1e-6, atol=1e-9)


def test_neurons_that_do_the_same_are_chosen_once():
    rng = np.random.default_rng(0)
    distinct = rng.standard_normal((50, 3))
    source = np.array([0, 1, 0, 2, 1, 0])
    features = distinct[:, source] * [1.0, 2.0, -3.0, 1.0, 1.0, 0.5]
    chosen, outgoing = GreedyPath(features, distinct @ rng.standard_normal((3, 2)), np.ones(2)).first(3)
    assert sorted(source[chosen]) == [0, 1, 2]
    assert np.abs(outgoing.weights).max() < 10


def test_dead_neurons_are_no_trouble():
    features = np.zeros((20, 4))
    chosen, outgoing = GreedyPath(features, np.arange(20.0)[:, None], np.ones(1)).first(2)
    assert len(chosen) == 2
    assert outgoing(features[:, chosen])[:, 0] == pytest.approx(9.5)
