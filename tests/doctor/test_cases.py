"""Cases like those that people ask about, made anew: the first finding names the cause, and its remedy helps."""

import numpy as np
import optax
import pytest

from nucleate import InitScale, Network, Problem, diagnose, train, train_many
from nucleate.schedules import Schedule

pytestmark = pytest.mark.slow

CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)[np.arange(100) % 4]
RNG = np.random.default_rng


def xor(task="regression"):
    return Problem.from_arrays(CORNERS, (CORNERS.sum(axis=1) == 1).astype(int), task=task, standardize=False)


def network(problem, hidden, activation, scale, seed=0):
    return Network.create(
        problem.inputs, hidden, problem.outputs, scale=scale, activation=activation, bias=True, seed=seed
    )


def gain(value):
    return InitScale("gain", value)


def spread(outputs):
    return float(np.ptp(outputs))


def named(run, problem, *verdicts):
    """The diagnosis, whose first finding is one of these and has a remedy that was tried and helped."""
    found = diagnose(run, problem)
    assert found.first.verdict in verdicts, found
    assert found.first.helped is not None, found
    assert found.first.helped.explained > max(found.evidence.explained, 0) + 0.05
    return found


@pytest.mark.parametrize("units", [2, 3])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_xor_of_a_small_start_gives_one_half_for_all(units, activation):
    problem = xor()
    run = train(
        network(problem, [units], activation, InitScale("epsilon", 0.1)), problem, learning_rate=0.01, steps=2000
    )
    assert np.abs(run.final(CORNERS) - 0.5).max() < 0.05
    found = named(run, problem, "initial_plateau")
    assert found.first.evidence["steps"] == 2000


def test_adam_at_a_rate_of_one_kills_relus_that_compare_two_bits():
    same = (CORNERS[:, 0] == CORNERS[:, 1]).astype(float)
    problem = Problem.from_arrays(CORNERS, same, task="regression", standardize=False)
    run = train(
        network(problem, [5, 10, 5], "relu", gain(1.0)), problem, optimizer="adam", learning_rate=1.0, steps=300
    )
    assert 2 * run.trajectory["train_loss"][-1] == pytest.approx(0.25, abs=0.01)
    found = named(run, problem, "rate_too_large", "dead_layer")
    assert found.first.helped.setting == "lr"


def test_two_logistic_layers_hardly_tell_the_sides_of_a_parabola():
    x = RNG(0).uniform(0, 1, (500, 2))
    side = (x[:, 1] > 4 * (x[:, 0] - 0.5) ** 2).astype(int)
    problem = Problem.from_arrays(x, side, task="classification", standardize=False)
    start = network(problem, [20, 20], "sigmoid", gain(0.5))
    run = train(start, problem, optimizer="adam", learning_rate=0.001, batch_size=200, steps=60)
    assert np.ptp(problem.predict(run.final(x)), axis=0).max() < 0.1
    named(run, problem, "initial_plateau", "rate_too_small", "stopped_too_early")


def test_price_rows_all_get_one_number():
    rng = RNG(1)
    x = rng.uniform(0, 1, (600, 7))
    price = np.exp(11 + x @ np.array([1.5, -0.4, -0.8, 0.1, 0.3, 0.2, 0.6]) + 0.1 * rng.standard_normal(600))
    problem = Problem.from_arrays(x, price / price.max(), standardize=False)
    # A uniform start of 0.05 has this standard deviation.
    start = network(problem, [4], "sigmoid", InitScale("epsilon", 0.05 / 3**0.5))
    run = train(start, problem, learning_rate=0.06, batch_size=32, steps=24)
    assert spread(run.final(x)) < 0.02
    named(run, problem, "initial_plateau", "rate_too_small", "stopped_too_early")


def test_one_small_relu_layer_before_the_output_is_off():
    rng = RNG(2)
    x = rng.standard_normal((200, 3)) + 3
    problem = Problem.from_arrays(x, np.sin(x[:, 0]) + x[:, 1], standardize=False)
    dead = network(problem, [3], "relu", gain(1.4))
    dead = Network((-np.abs(dead.weights[0]), dead.weights[1]), (dead.biases[0] - 3, dead.biases[1]), dead.activation)
    run = train(dead, problem, learning_rate=0.05, steps=500)
    assert spread(run.final(x)) == 0
    found = named(run, problem, "dead_layer")
    assert found.first.layer == "1"


def test_an_autoencoder_whose_code_is_off_gives_one_reconstruction_for_all():
    rng = RNG(3)
    latent = rng.standard_normal((200, 2))
    x = latent @ rng.standard_normal((2, 6)) + 0.05 * rng.standard_normal((200, 6))
    problem = Problem.from_arrays(x, x)
    model = network(problem, [4], "relu", gain(1.4))
    model = Network(model.weights, (np.full(4, -40, np.float32), model.biases[1]), model.activation)
    run = train(model, problem, learning_rate=0.05, steps=400)
    assert np.ptp(run.final(problem.train.x), axis=0).max() == 0
    named(run, problem, "dead_layer")


@pytest.mark.parametrize("start", [0.01, 0.1])
def test_a_product_of_two_factors_waits_the_longer_the_smaller_both_are(start):
    x = RNG(4).standard_normal((100, 1))
    problem = Problem.from_arrays(x, 1.0 * x[:, 0] + 0.01 * RNG(5).standard_normal(100))
    factors = tuple(np.full((1, 1), start, np.float32) for _ in range(2))
    linear = Network.create(1, [1], 1, scale=gain(1.0), activation="linear")
    run = train(Network(factors, (None, None), linear.activation), problem, learning_rate=0.05, steps=30)
    found = diagnose(run, problem)
    if start == 0.1:
        # It has left its plateau, and is on its way.
        assert run.stages.plateau_end is not None
        assert "initial_plateau" not in found.verdicts
        return
    assert run.trajectory["train_loss"][-1] > 0.97 * run.trajectory["train_loss"][0]
    named(run, problem, "initial_plateau")


def test_four_relu_layers_that_were_stopped_after_two_epochs():
    rng = RNG(6)
    x = rng.standard_normal((300, 5))
    problem = Problem.from_arrays(x, np.sin(2 * x[:, 0]) * x[:, 1] + x[:, 2])
    start = network(problem, [50] * 4, "relu", gain(1.0))
    run = train(start, problem, optimizer="adam", learning_rate=0.001, batch_size=60, steps=6, evaluations=4)
    named(run, problem, "stopped_too_early", "rate_too_small", "initial_plateau")


def test_a_rate_that_was_divided_after_a_lucky_loss_is_too_small():
    x = RNG(7).uniform(-1, 1, (200, 1))
    problem = Problem.from_arrays(x, np.sin(4 * x[:, 0]))
    # The loss of one batch was by luck below all later ones, so every few steps without a better one cost a division.
    divided = Schedule("divided", lambda steps: optax.exponential_decay(1.0, 20, 0.2, staircase=True))
    start = network(problem, [30], "tanh", gain(1.0))
    run = train(start, problem, learning_rate=0.1, schedule=divided, batch_size=20, steps=1500)
    found = named(run, problem, "rate_too_small")
    assert (found.first.helped.setting, found.first.helped.value) == ("schedule", "constant")


@pytest.mark.parametrize(
    ("optimizer", "rate", "decay"), [("gd", 0.1, 10.0), ("adam", 0.01, 10.0), ("adamw", 0.01, 30.0)]
)
def test_a_weight_decay_that_leaves_nothing_to_what_is_learned(optimizer, rate, decay):
    x = RNG(9).uniform(-1, 1, (200, 1))
    problem = Problem.from_arrays(x, np.sin(3 * x[:, 0]))
    start = network(problem, [30], "tanh", gain(1.0))
    run = train(start, problem, optimizer=optimizer, learning_rate=rate, weight_decay=decay, steps=500)
    found = named(run, problem, "decay_too_large")
    assert (found.first.helped.setting, found.first.helped.value) == ("weight_decay", 0.0)


@pytest.mark.parametrize(("optimizer", "rate", "decay"), [("adamw", 0.01, 3.0), ("gd", 1.0, 1.0), ("adam", 0.01, 1.0)])
def test_a_weight_decay_by_which_all_is_forgotten(optimizer, rate, decay):
    x = RNG(0).standard_normal((150, 3))
    problem = Problem.from_arrays(x, np.sin(2 * x[:, 0]) + 0.5 * x[:, 1])
    run = train(
        network(problem, [16, 16], "tanh", gain(1.0)),
        problem,
        optimizer=optimizer,
        learning_rate=rate,
        weight_decay=decay,
        steps=1000,
    )
    found = diagnose(run, problem)
    assert found.first.verdict == "decay_too_large", found
    assert found.first.helped.explained > max(found.evidence.kept, 0) + 0.2
    assert not {"fine", "overfitting"} & {*found.verdicts}


def test_a_wave_on_a_wide_interval_is_fitted_by_its_mean():
    x = np.linspace(-40, 40, 300)[:, None]
    problem = Problem.from_arrays(x, np.cos(2**0.5 * x[:, 0]), standardize=False)
    run = train(network(problem, [50] * 3, "tanh", gain(1.0)), problem, learning_rate=0.01, steps=500)
    assert run.trajectory["train_loss"][-1] > 0.5 * problem.loss.constant_loss(problem.train.y)
    found = diagnose(run, problem)
    assert found.first.verdict in ("unscaled_input", "saturated")


def test_of_many_columns_and_few_rows_the_units_are_not_the_question():
    rng = RNG(8)
    x = rng.standard_normal((400, 60))
    problem = Problem.from_arrays(x, x[:, :5].sum(axis=1) + 0.5 * rng.standard_normal(400))
    few, many = (
        train(network(problem, [units], "tanh", gain(1.0)), problem, learning_rate=0.05, steps=500) for units in (4, 40)
    )
    for run in (few, many):
        verdicts = diagnose(run, problem).verdicts
        assert "linear_is_enough" in verdicts
        assert "too_few_units" not in verdicts


def test_of_four_relu_units_on_xor_some_starts_stay_at_three_quarters():
    problem = xor()
    starts = [network(problem, [4], "relu", gain(1.0), seed) for seed in range(12, 18)]
    runs = train_many(starts, problem, learning_rates=[0.1] * 6, steps=2000, measures=())
    truth = CORNERS.sum(axis=1) == 1
    right = [float(np.mean((run.final(CORNERS)[:, 0] > 0.5) == truth)) for run in runs]
    assert right == [1.0, 0.75, 1.0, 0.75, 1.0, 0.75]
    on_plateau, *stuck = (run for run, share in zip(runs, right, strict=True) if share == 0.75)
    named(on_plateau, problem, "initial_plateau")
    for run in stuck:
        chances = named(run, problem, "too_few_units").first.evidence
        assert chances["stuck"] > chances["stuck_wider"]
