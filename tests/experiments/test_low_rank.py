"""Training of deep matrix factorizations: it does first what the measurements predict, and ends at a low rank."""

from itertools import product

import numpy as np
import pytest

from nucleate import SpecError
from nucleate.experiments.low_rank import descend
from nucleate.observe import effective_rank
from nucleate.theory import (
    completion_loss,
    draw_factors,
    escape_time,
    forecast_factorization,
    leading_moment,
    sensing_loss,
)

pytestmark = pytest.mark.slow

SIZE = 8
RNG = np.random.default_rng(5)
LEFT, _ = np.linalg.qr(RNG.standard_normal((SIZE, 2)))
RIGHT, _ = np.linalg.qr(RNG.standard_normal((SIZE, 2)))
TRUTH = LEFT @ np.diag([10.0, 4.0]) @ RIGHT.T
ROWS, COLUMNS = np.where(RNG.random((SIZE, SIZE)) < 0.75)
ALL_ROWS, ALL_COLUMNS = np.where(np.ones((SIZE, SIZE)))
COMPLETION = completion_loss(ROWS, COLUMNS, TRUTH[ROWS, COLUMNS])
EVERY_ENTRY = completion_loss(ALL_ROWS, ALL_COLUMNS, TRUTH[ALL_ROWS, ALL_COLUMNS])
OPERATORS = RNG.standard_normal((150, SIZE, SIZE))
SENSING = sensing_loss(OPERATORS, np.einsum("icd,cd->i", OPERATORS, TRUTH))


@pytest.mark.parametrize(
    ("loss", "depth", "scale"),
    [
        (COMPLETION, 1, 1e-3),
        (COMPLETION, 2, 1e-5),
        (COMPLETION, 3, 1e-3),
        (COMPLETION, 4, 1e-2),
        (SENSING, 2, 1e-5),
        (SENSING, 3, 1e-3),
    ],
    ids=lambda value: getattr(getattr(value, "func", value), "__name__", value),
)
def test_the_product_first_grows_in_the_predicted_direction_at_the_predicted_time(loss, depth, scale):
    height = 0.1
    factors = draw_factors((SIZE, SIZE), depth, scale)
    forecast = forecast_factorization(loss, factors)
    time = float(escape_time(loss, factors, height))
    learning_rate = min(0.1 / forecast.rate, time / 200)
    steps = int(1.5 * time / learning_rate)
    every = max(steps // 1000, 1)
    descent = descend(loss, factors, learning_rate, steps, every)
    norms = np.linalg.norm(descent.products, axis=(1, 2))
    first = (norms > height).argmax()
    assert descent.steps[first] * learning_rate == pytest.approx(time, rel=0.03)
    risen = descent.products[first]
    aligned = abs(forecast.left @ risen @ forecast.right) / norms[first]
    # At depth 1 the product is M itself; from depth 2 on M's top singular vectors outgrow the rest.
    expected = forecast.rate / np.linalg.norm(leading_moment(loss, factors)) if depth == 1 else 1.0
    assert aligned == pytest.approx(expected, abs=0.02)
    if depth > 2:
        assert time == pytest.approx(float(forecast.blowup.estimate), rel=0.2)


def test_small_and_deep_means_low_rank_and_a_small_test_error():
    rank, hidden_loss, blowup = {}, {}, {}
    for depth, scale in product([1, 2, 3], [0.3, 0.01]):
        factors = draw_factors((SIZE, SIZE), depth, scale)
        descent = descend(COMPLETION, factors, learning_rate=0.1, steps=10_000, every=10)
        assert descent.losses[-1] < 1e-3
        rank[depth, scale] = effective_rank(descent.products[-1])
        hidden_loss[depth, scale] = float(EVERY_ENTRY(descent.products[-1]))
        blowup[depth, scale] = forecast_factorization(COMPLETION, factors).blowup.estimate
    assert rank[3, 0.01] < rank[3, 0.3]
    assert rank[3, 0.01] < rank[2, 0.01] < rank[1, 0.01]
    assert hidden_loss[3, 0.01] < 0.1 * hidden_loss[1, 0.01]
    assert np.isinf(blowup[2, 0.01])
    assert np.isfinite(blowup[3, 0.01])


def test_singular_values_start_small_and_end_at_those_of_the_truth():
    descent = descend(SENSING, draw_factors((SIZE, SIZE), 3, 1e-2), 0.02, 4000, 100)
    assert descent.singular_values[0].max() < 1e-3
    np.testing.assert_allclose(descent.singular_values[-1][:2], [10.0, 4.0], rtol=1e-3)
    assert effective_rank(descent.products[-1]) < 2


def test_a_descent_needs_positive_numbers():
    with pytest.raises(SpecError, match="positive"):
        descend(COMPLETION, draw_factors((SIZE, SIZE), 2, 1.0), 0.1, 5, 10)
