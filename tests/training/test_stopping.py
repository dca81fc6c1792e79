"""Each way in which a run ends, by a run that ends so."""

import jax
import numpy as np
import pytest

from nucleate import InitScale, Network
from nucleate.problems import Problem, load_problem
from nucleate.training import train, train_many
from nucleate.training._stopping import has_converged

SINE = load_problem("sine-5d")


def network(scale, seed=0, **options):
    return Network.create(5, [10, 10], 1, scale=InitScale("epsilon", scale), seed=seed, **options)


def test_float32_steps_that_rounding_eats_are_told_as_underflow_and_float64_goes_on():
    single = train(network(1e-12), SINE, learning_rate=0.01, steps=200)
    assert single.status == "underflow"
    assert "float32 rounds the steps of most parameters away at this scale; use float64" in single.notes[0]
    assert single.steps < 200
    double = train(network(1e-12, dtype="float64"), SINE, learning_rate=0.01, steps=200)
    assert double.status == "finished"
    assert not double.notes


def test_gradients_that_vanish_altogether_are_underflow_too():
    run = train(network(1e-25), SINE, learning_rate=0.01, steps=50)
    assert run.status == "underflow"


def test_underflow_ends_that_run_alone():
    tiny, usual = train_many([network(1e-12), network(0.3)], SINE, learning_rates=[0.01, 0.01], steps=100)
    assert (tiny.status, usual.status) == ("underflow", "finished")


def test_relu_layers_off_on_all_data_are_dead_not_underflow():
    start = network(0.1, activation="relu", bias=[True, False, False])
    off = jax.tree.map(lambda leaf: leaf, start).__class__(
        start.weights, (start.biases[0] - 1e3, None, None), start.activation
    )
    assert train(off, SINE, steps=50).status == "dead"


def test_adams_epsilon_above_the_gradients_is_said_and_does_not_end_the_run():
    run = train(network(1e-6), SINE, optimizer="adam", learning_rate=1e-3, steps=30)
    assert run.status == "finished"
    assert "Adam's epsilon (1e-8) exceeds most gradients" in run.notes[0]


def plateau_then_fit(length):
    """A curve that waits, falls and then overfits: train loss, validation loss."""
    steps = np.arange(0, 10 * length + 1, length // 20)
    falling = 1 - 0.9 / (1 + np.exp((length - steps) / (length / 20)))
    overfit = falling + 0.1 * np.maximum(steps - 1.5 * length, 0) / length
    return steps, falling, overfit


@pytest.mark.parametrize("length", [100, 10_000, 1_000_000])
def test_early_stopping_outlasts_the_plateau_and_its_patience_grows_with_it(length):
    steps, train_loss, validation_loss = plateau_then_fit(length)
    stops = [k for k in range(2, len(steps)) if has_converged(steps[:k], train_loss[:k], validation_loss[:k])]
    best = steps[np.argmin(validation_loss)]
    assert stops, "it must stop in the end"
    assert steps[stops[0] - 1] >= 2 * best
    assert steps[stops[0] - 1] < 4 * best


def test_early_stopping_never_stops_on_the_initial_plateau_however_validation_drifts():
    steps = np.arange(0, 100_000, 100)
    assert not has_converged(steps, np.full(1000, 2.0), 2.0 + 1e-3 * np.arange(1000))


def test_a_run_with_early_stopping_waits_through_its_plateau_and_then_stops():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 5))
    y = x @ np.ones(5) + 1.5 * rng.standard_normal(120)
    problem = Problem.from_arrays(x, y, task="regression")
    start = Network.create(5, [30, 30], 1, scale=InitScale("epsilon", 0.01))
    run = train(start, problem, learning_rate=0.1, steps=60_000, early_stopping=True)
    assert run.status == "early_stopped"
    assert run.stages.plateau_end is not None
    assert run.steps > run.best_step >= run.stages.plateau_end > 100
