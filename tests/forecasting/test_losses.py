"""Under the losses for amounts, smooth or not, what is forecast is what training does."""

import numpy as np
import pytest

from nucleate import InitScale, Network, Problem
from nucleate.forecasting import forecast_many, measure_outcomes

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 5))
AXIS = X @ [1.0, -0.7, 0.4, 0.0, 0.0]
COUNTS = RNG.poisson(np.exp([0.8 * np.tanh(AXIS) + 1, 0.8 * X[:, 3] + 2])).T.astype(float)
AMOUNTS = AXIS + RNG.standard_t(2, 200)


def test_a_leading_part_that_diverges_under_rates_is_told_without_a_warning(recwarn):
    problem = Problem.from_arrays(X, COUNTS[:, 0], loss="poisson", task="regression")
    network = Network.create(5, [6, 5], 1, scale=InitScale("gain", 0.5), activation="selu")
    expected = forecast_many([network], problem, learning_rates=[2.0], horizon=60)[0]
    assert expected.drop_steps[0.3] is None
    assert np.isfinite(expected.loss).all()
    assert not [str(one.message) for one in recwarn]


@pytest.mark.parametrize(
    ("loss", "y", "bias", "activation"),
    [
        ("poisson", COUNTS[:, 0], [True, False, False], "tanh"),
        ("poisson", COUNTS, [True, False, False], "tanh"),
        ("huber:0.5", AMOUNTS, [True, True, True], "tanh"),
        ("quantile:0.9", AMOUNTS, [True, False, False], "tanh"),
        # The best constant is one of the rows, where the loss has a kink.
        ("quantile:0.5", AMOUNTS, [True, True, True], "tanh"),
    ],
    ids=["counts", "several counts", "huber", "high quantile", "median"],
)
def test_the_measured_steps_lie_in_the_intervals(loss, y, bias, activation):
    problem = Problem.from_arrays(X, y, loss=loss, task="regression")
    scale = InitScale("epsilon", 0.03)
    options = {"scale": scale, "bias": bias, "activation": activation}
    networks = [Network.create(5, [20, 20], problem.outputs, **options, seed=seed) for seed in range(2)]
    forecasts = forecast_many(networks, problem, learning_rates=[0.1] * 2)
    for expected, found in zip(forecasts, measure_outcomes(networks, problem, forecasts, steps=500), strict=True):
        assert expected.in_regime
        reached = {share: step for share, step in expected.drop_steps.items() if step is not None}
        assert 0.1 in reached
        for share, step in reached.items():
            assert step.lower <= found.drop_steps[share] <= step.upper
        assert reached[0.1].estimate == pytest.approx(found.drop_steps[0.1], rel=0.03, abs=1)
        assert found.same_sides(expected) > 0.9
        assert expected.condensed_share == pytest.approx(found.condensed_share, abs=0.15)
