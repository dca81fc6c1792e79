"""What is refused before runs are trained or forecast: one clear sentence each, the same for both."""

import pytest

from nucleate import InitScale, Network, SpecError, forecast_many, load_problem, train_many

PROBLEM = load_problem("sine-5d")


def network(inputs=5, hidden=(7,)):
    return Network.create(inputs, hidden, 1, scale=InitScale("gain", 0.3))


@pytest.mark.parametrize("verb", [train_many, forecast_many])
@pytest.mark.parametrize(
    ("networks", "rates", "sentence"),
    [
        ([], [], "There are 0 networks and 0 learning rates; give one of each for every run"),
        ([network()], [0.1, 0.2], "There are 1 networks and 2 learning rates"),
        ([network(inputs=4)], [0.1], "goes from 4 inputs to 1 outputs, but problem 'sine-5d' from 5 to 1"),
        ([network(), network(hidden=(8,))], [0.1, 0.1], "must have one architecture"),
        ([network()], [-0.1], "The learning rate is -0.1; it must be a positive number"),
        ([network()], [float("nan")], "The learning rate is nan"),
    ],
)
def test_runs_that_do_not_fit(verb, networks, rates, sentence):
    with pytest.raises(SpecError, match=sentence):
        verb(networks, PROBLEM, learning_rates=rates)


def test_networks_beyond_this_machines_memory_are_refused_before_they_are_trained(monkeypatch):
    monkeypatch.setattr("nucleate.training.checks.MEMORY", 1e3)
    with pytest.raises(
        SpecError, match=r"2 x Network\(5-7-1, .* together need about .* GB, and this machine has 1e-06"
    ):
        train_many([network(), network()], PROBLEM, learning_rates=[0.1, 0.1])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"optimizer": "sgd"},
            "'optimizer' is 'sgd', but there is no optimizer 'sgd'; did you mean 'gd'",
        ),
        (
            {"optimizer": {"name": "momentum", "momentum": 2.0}},
            "the momentum is 2.0; it must be at least 0 and below 1",
        ),
        ({"horizon": 0}, "The horizon is 0 steps; it must be a whole number from 1"),
        ({"horizon": 2**40}, "The horizon is 1099511627776 steps"),
    ],
)
def test_settings_of_a_forecast_out_of_range(settings, sentence):
    with pytest.raises(SpecError, match=sentence):
        forecast_many([network()], PROBLEM, learning_rates=[0.1], **settings)
