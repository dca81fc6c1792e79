"""Forecasts under weight decay, schedules and clipping, against training; and plateaus that decay makes endless."""

import optax
import pytest

from nucleate import InitScale, Network, SpecError, forecast, forecast_many, load_problem
from nucleate.forecasting import measure_outcomes
from nucleate.optimizers import Optimizer
from nucleate.theory import singular_directions

PROBLEM = load_problem("diabetes")
GD, ADAM = {"rate": 0.1}, {"rate": 0.0005, "optimizer": "adam"}


def network(gain, hidden=(20, 20), seed=0):
    return Network.create(10, hidden, 1, scale=InitScale("gain", gain), bias=[True, *[False] * len(hidden)], seed=seed)


@pytest.mark.parametrize(
    "given",
    [
        GD | {"decay": 0.02},
        GD | {"decay": 0.02, "schedule": "cosine", "warmup": 50, "steps": 400},
        GD | {"clip": 0.05},
        {"rate": 0.01, "optimizer": "momentum", "decay": 0.02},
        ADAM | {"decay": 0.01},
        ADAM | {"decay": 0.1, "optimizer": "adamw"},
        ADAM | {"schedule": "linear", "warmup": 30, "steps": 100},
    ],
    ids=str,
)
def test_the_measured_drop_is_in_the_interval(given):
    rule = dict(given)
    rate, decay = rule.pop("rate"), rule.pop("decay", None)
    networks = [network(gain) for gain in (0.1, 0.05)]
    decays = None if decay is None else [decay] * 2
    forecasts = forecast_many(networks, PROBLEM, learning_rates=[rate] * 2, weight_decays=decays, horizon=2000, **rule)
    assert all(expected.in_regime for expected in forecasts)
    for expected, found in zip(forecasts, measure_outcomes(networks, PROBLEM, forecasts), strict=True):
        step = expected.drop_steps[0.1]
        assert step.lower <= found.drop_steps[0.1] <= step.upper


def test_decay_delays_the_end_of_the_plateau_by_what_it_takes_from_the_growth():
    """Of two layers the leading mode grows at the rate sigma - decay instead of sigma."""
    start = network(1e-3, hidden=(20,))
    sigma = singular_directions(start, PROBLEM.train.x, PROBLEM.train.y).values[0]
    without, with_decay = (
        forecast(start, PROBLEM, "gd", 0.01, weight_decay=share * sigma, horizon=20_000).drop_steps[0.1].estimate
        for share in (0.0, 0.5)
    )
    assert with_decay == pytest.approx(2 * without, rel=0.1)


@pytest.mark.parametrize("hidden", [(20,), (20, 20)], ids=["two layers", "three layers"])
def test_a_plateau_never_ends_where_decay_exceeds_growth_and_in_training_it_does_not(hidden):
    start = network(0.03, hidden)
    sigma = singular_directions(start, PROBLEM.train.x, PROBLEM.train.y).values[0]
    ends, never = forecast_many(
        [start] * 2, PROBLEM, learning_rates=[0.1] * 2, weight_decays=[0.01 * sigma, 1.05 * sigma], horizon=2000
    )
    assert not ends.decays_away
    assert ends.left_by is not None
    assert never.decays_away
    assert set(never.drop_steps.values()) == {None}
    (found,) = measure_outcomes([start], PROBLEM, [never])
    assert set(found.drop_steps.values()) == {None}


def test_without_an_honest_forecast_one_sentence_says_so():
    own = Optimizer("sgdw", optax.sgd, decoupled=True, momentum=0.9)
    with pytest.raises(SpecError, match=r"No forecast can be made under Optimizer\(sgdw.* with weight decay"):
        forecast(network(0.1), PROBLEM, own, 0.01, weight_decay=0.1)
    with pytest.raises(SpecError, match="a weight decay of its own does so: give the weight decay beside it instead"):
        forecast(network(0.1), PROBLEM, Optimizer("own", optax.adamw, weight_decay=0.1), 0.01)
    with pytest.raises(SpecError, match="'warmup' is 500 steps, and the run has 500"):
        forecast(network(0.1), PROBLEM, warmup=500, budget=500)
