"""Deep matrix factorisation: what the measurements predict before training is what training does first."""

import jax.numpy as jnp
import numpy as np
import pytest

from nucleate import ArchitectureError, SpecError
from nucleate.theory import (
    compare,
    completion_loss,
    descend,
    draw_factors,
    escape_time,
    forecast_factorization,
    sensing_loss,
)
from nucleate.theory.factorization import leading_moment

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
    risen = np.asarray(descent.products[first])
    aligned = abs(forecast.left @ risen @ forecast.right) / norms[first]
    # At depth 1 the product is M itself; from depth 2 on M's top singular vectors outgrow the rest.
    expected = forecast.rate / np.linalg.norm(leading_moment(loss, factors)) if depth == 1 else 1.0
    assert aligned == pytest.approx(expected, abs=0.02)
    if depth > 2:
        assert time == pytest.approx(float(forecast.blowup.estimate), rel=0.2)


def test_small_and_deep_means_low_rank_and_a_small_test_error():
    rows = compare(COMPLETION, EVERY_ENTRY, (SIZE, SIZE), [1, 2, 3], [0.3, 0.01], learning_rate=0.1, steps=10_000)
    by = {(row.depth, row.scale): row for row in rows}
    assert all(row.train_loss < 1e-3 for row in rows)
    assert by[3, 0.01].effective_rank < by[3, 0.3].effective_rank
    assert by[3, 0.01].effective_rank < by[2, 0.01].effective_rank < by[1, 0.01].effective_rank
    assert by[3, 0.01].test_loss < 0.1 * by[1, 0.01].test_loss
    assert np.isinf(by[2, 0.01].blowup_step)
    assert np.isfinite(by[3, 0.01].blowup_step)


def test_singular_values_start_small_and_end_at_those_of_the_truth():
    descent = descend(SENSING, draw_factors((SIZE, SIZE), 3, 1e-2), 0.02, 4000, 100)
    assert descent.singular_values[0].max() < 1e-3
    np.testing.assert_allclose(descent.singular_values[-1][:2], [10.0, 4.0], rtol=1e-3)
    assert descent.effective_ranks[-1] < 2


def test_escape_times_at_depth_two_in_closed_form():
    # One known entry: a = b = eps exp(3 t).
    loss = completion_loss([0], [0], [3.0])
    assert float(escape_time(loss, [[[1e-3]], [[1e-3]]], 1.0)) == pytest.approx(np.log(1e3) / 3, rel=1e-9)
    assert np.isinf(escape_time(loss, [[[0.0]], [[0.0]]], 1.0))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ArchitectureError, match="one length"):
        completion_loss([0, 1], [0], [1.0])
    for rows in ([-1], [0.5]):
        with pytest.raises(ArchitectureError, match="whole numbers from 0 on"):
            completion_loss(rows, [0], [1.0])
    for loss in (completion_loss([5], [0], [1.0]), sensing_loss(np.ones((1, 3, 3)), [1.0])):
        with pytest.raises(ArchitectureError, match=r"do not fit a matrix of the factors' shape \(2, 2\)"):
            forecast_factorization(loss, draw_factors((2, 2), 3, 0.1))
    with pytest.raises(ArchitectureError, match="one value for each"):
        sensing_loss(np.ones((2, 1, 1)), [1.0])
    with pytest.raises(ArchitectureError, match="do not fit"):
        forecast_factorization(COMPLETION, [jnp.ones((3, 2)), jnp.ones((2, 2))])
    with pytest.raises(SpecError, match="depth"):
        draw_factors((2, 2), 0, 1.0)
    with pytest.raises(SpecError, match="positive"):
        descend(COMPLETION, draw_factors((SIZE, SIZE), 2, 1.0), 0.1, 5, 10)
    with pytest.raises(SpecError, match="height"):
        escape_time(COMPLETION, draw_factors((SIZE, SIZE), 2, 1.0), 0.0)
