"""Each way in which a run ends, by a run that ends so."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import expit

from nucleate import InitScale, Network, SpecError
from nucleate.models import outputs_of
from nucleate.observe import stages
from nucleate.optimizers import Optimizer
from nucleate.problems import Loss, Problem, load_problem
from nucleate.training import train, train_many
from nucleate.training.stopping import has_converged

pytestmark = pytest.mark.slow

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


def bits():
    """Whether two bits are equal, for regression: 0 or 1."""
    x = np.random.default_rng(0).integers(0, 2, (120, 2)).astype(float)
    return Problem.from_arrays(x, (x[:, 0] == x[:, 1]).astype(float), task="regression")


def test_relu_networks_that_die_after_they_have_learned_are_dead_and_keep_their_best():
    problem = bits()
    starts = [
        Network.create(2, [5, 10, 5], 1, scale=InitScale("gain", 1.0), activation="relu", bias=True, seed=seed)
        for seed in range(6)
    ]
    runs = train_many(starts, problem, learning_rates=[0.3] * 6, optimizer="adam", steps=300)
    constant = [np.ptp(outputs_of(run.final, problem.train.x)) < 1e-6 for run in runs]
    assert 0 < sum(constant) < 6
    assert [run.status == "dead" for run in runs] == constant
    dead = [run for run in runs if run.status == "dead"]
    for run in dead:
        assert "has no live unit" in run.notes[0]
        assert min(run.trajectory.row(-1, named=True)[f"effective_neurons_{layer}"] for layer in (1, 2, 3)) == 0
        assert run.steps < 300
    assert max(np.ptp(outputs_of(run.best, problem.train.x)) for run in dead) > 0.01


class Shift(eqx.Module):
    b: jax.Array

    def __call__(self, x):
        return 0 * x[:, :1] + self.b


class Slope(eqx.Module):
    w: jax.Array

    def __call__(self, x):
        return x * self.w


def shifted(start, layer, by):
    biases = [bias if number != layer else bias + np.float32(by) for number, bias in enumerate(start.biases)]
    return Network(start.weights, tuple(biases), start.activation)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "sigmoid", "selu"])
def test_a_layer_that_gives_the_same_on_all_rows_is_dead_though_the_output_bias_learns(activation):
    start = network(1.0, activation=activation, bias=True)
    run = train(shifted(start, 1, -1e3), SINE, steps=50)
    assert (run.status, run.stages.current) == ("dead", "initial plateau")
    assert "layer 2 has no live unit" in run.notes[0]
    assert train(shifted(start, 2, 5.0), SINE, learning_rate=1e-3, steps=50).status == "finished"


def test_a_unit_that_is_on_for_one_row_of_thousands_is_alive():
    x = np.random.default_rng(0).standard_normal((4000, 5))
    problem = Problem.from_arrays(x, x[:, 0], task="regression")
    start = network(1.0, activation="relu", bias=True)
    entering = np.sort(problem.train.x @ start.weights[0].T + start.biases[0], axis=0)
    lowered = start.biases[0] - entering[-2:].mean(axis=0).astype(np.float32)
    start = Network(start.weights, (lowered, *start.biases[1:]), start.activation)
    assert train(start, problem, learning_rate=1e-3, steps=5).status == "finished"


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_units_at_both_bounds_are_saturated_not_dead(activation):
    start = network(1.0, activation=activation)
    run = train(Network((1e4 * start.weights[0], *start.weights[1:]), start.biases, start.activation), SINE, steps=30)
    assert run.status == "finished"
    assert "layer 1 is saturated" in run.notes[0]


@pytest.mark.parametrize("constants", [{"bias": True}, {"activation": "sigmoid"}], ids=["by biases", "by s(0) = 1/2"])
def test_noise_is_not_past_its_plateau_once_the_class_frequencies_are_learned(constants):
    rng = np.random.default_rng(0)
    noise = Problem.from_arrays(rng.standard_normal((150, 6)), rng.random(150) < 0.75, task="classification")
    start = Network.create(6, [12, 12], 2, scale=InitScale("gain", 0.01), **constants)
    run = train(start, noise, learning_rate=0.1, steps=600)
    assert run.trajectory["train_loss"][-1] < 0.85 * run.trajectory["train_loss"][0]
    assert run.stages.current == "initial plateau"
    assert run.stages.plateau_end is None


def test_a_model_of_another_kind_is_past_its_plateau_only_below_every_constant():
    y = SINE.train.y
    run = train(Shift(np.full(1, 3.0, np.float32)), SINE, learning_rate=0.5, steps=50)
    assert run.trajectory["train_loss"][-1] == pytest.approx(0.5 * y.var(), rel=1e-3)
    assert run.stages.current == "initial plateau"


def test_a_loss_that_rises_again_is_noted_with_the_step_of_the_best_network():
    x = np.linspace(-1, 1, 40)[:, None]
    problem = Problem.from_arrays(x, x[:, 0], task="regression")
    swings = Optimizer("heavy", optax.sgd, momentum=0.99)
    run = train(Slope(np.zeros(1, np.float32)), problem, optimizer=swings, learning_rate=0.1, steps=10)
    best = run.best_step
    assert 2 < best < 10
    assert run.stages.current == "rise"
    assert f"the best network is that of step {best}" in run.notes[0]


def test_a_run_that_validation_never_thanks_for_is_noted():
    # The validation rows ask for the opposite of what the training rows say.
    x = np.linspace(-1, 1, 40)[:, None]
    problem = Problem.from_arrays(x, x[:, 0], task="regression")
    problem = replace(problem, validation=replace(problem.validation, y=-problem.validation.y))
    run = train(Slope(np.zeros(1, np.float32)), problem, learning_rate=0.1, steps=100)
    assert run.best_step == 0
    assert run.stages.current != "initial plateau"
    (said,) = run.notes
    assert said.startswith("on validation it was never better than at its start")
    assert "weight decay" not in said
    decayed = train(Slope(np.zeros(1, np.float32)), problem, learning_rate=0.1, steps=100, weight_decay=0.01)
    assert "use less weight decay, a smaller learning rate" in decayed.notes[0]


def test_adams_epsilon_above_the_gradients_is_said_and_does_not_end_the_run():
    run = train(network(1e-6), SINE, optimizer="adam", learning_rate=1e-3, steps=30)
    assert run.status == "finished"
    assert "the epsilon of adam (1e-08) exceeds most gradients" in run.notes[0]


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


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05])
def test_early_stopping_waits_on_a_plateau_in_noise_and_stops_behind_a_descent_in_noise(share):
    rng = np.random.default_rng(0)
    steps = np.arange(0, 1600, 20)
    flat = 1 + share * rng.standard_normal((2, len(steps)))
    assert not any(has_converged(steps[:k], *flat[:, :k]) for k in range(10, len(steps)))
    steps, train_loss, validation_loss = plateau_then_fit(100)
    noisy = (train_loss, validation_loss) * (1 + share * rng.standard_normal((2, len(steps))))
    assert steps[np.argmin(validation_loss)] < first_stop(steps, *noisy) < 800


def first_stop(steps, train_loss, validation_loss):
    ends = range(2, len(steps) + 1)
    return next(steps[end - 1] for end in ends if has_converged(steps[:end], train_loss[:end], validation_loss[:end]))


def two_descents(length, *, rate, offset=0.02):
    """A descent at ``length``, validation above the loss by a share of it from then on, a second descent at five."""
    steps = np.unique(np.concatenate([[0], np.geomspace(1, 40 * length, 400).round().astype(int)]))
    train_loss = 1 - 0.5 * expit(50 * (steps / length - 1)) - 0.2 * expit(rate * (steps / length - 5))
    overfit = 0.1 * np.maximum(steps / length - 8, 0)
    return steps, train_loss, train_loss + 0.5 * offset * (steps > 1.15 * length) + overfit


@pytest.mark.parametrize("length", [200, 20_000])
def test_a_secondary_plateau_on_which_the_training_loss_falls_ever_faster_is_outlasted(length):
    steps, train_loss, validation_loss = two_descents(length, rate=2)
    assert stages(steps, train_loss).boundaries[2] > 4 * length
    best = steps[np.argmin(validation_loss)]
    assert best > 6 * length
    assert 2 * best <= first_stop(steps, train_loss, validation_loss) < 2.1 * best


def test_a_secondary_plateau_that_shows_no_end_is_left_at_34_tenths_of_its_beginning():
    steps, train_loss, validation_loss = two_descents(1000, rate=1000)
    began = stages(steps, train_loss).descent_end
    assert first_stop(steps, train_loss, validation_loss) == pytest.approx(1.5**3 * began, rel=0.05)


def test_once_validation_has_risen_a_plateau_that_seems_to_end_is_not_waited_for():
    steps, train_loss, validation_loss = two_descents(1000, rate=2, offset=0.1)
    assert first_stop(steps, train_loss, validation_loss) < 2500


def test_a_plateau_that_seems_to_end_and_does_not_is_left_at_ten_times_its_beginning():
    steps, train_loss, _ = two_descents(1000, rate=1000)
    flat = train_loss[(steps > 1150) & (steps < 4000)].mean()
    creeping = np.where(steps < 1150, train_loss, flat * (1 - 1e-6 * (steps / 1000) ** 2))
    stopped = first_stop(steps, creeping, creeping + 0.01 * (steps > 1150))
    assert stopped == pytest.approx(10 * stages(steps, creeping).descent_end, rel=0.05)


def test_early_stopping_finds_the_best_step_of_diabetes_beyond_its_secondary_plateau():
    problem = load_problem("diabetes")
    start = Network.create(10, [50, 50], 1, scale=InitScale("gain", 0.01), bias=[True, False, False])
    run = train(start, problem, learning_rate=0.1, steps=20_000, early_stopping=True)
    assert run.status == "early_stopped"
    assert run.best_step > 3 * run.stages.descent_end
    assert run.steps < 20_000


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


class Switched(eqx.Module):
    """A slope times a switch that is off below zero."""

    slope: jax.Array
    switch: jax.Array

    def __call__(self, x):
        return x * self.slope * jnp.maximum(self.switch, 0)


@pytest.mark.parametrize(("rate", "is_constant"), [(1.5, True), (0.5, False)])
def test_outputs_that_have_become_the_same_on_all_rows_are_noted(rate, is_constant):
    # With rows of variance 1 and y = x the first step at rate 1.5 makes the slope 1.5, and the second the switch -1/8.
    x = np.array([[-1.0], [1.0]] * 20)
    problem = Problem.from_arrays(x, x[:, 0], loss="squared")
    run = train(
        Switched(np.zeros(1, "float32"), np.ones(1, "float32")), problem, learning_rate=rate, steps=8, evaluations=8
    )
    outputs = outputs_of(run.final, problem.train.x)
    assert (np.ptp(outputs) == 0) == is_constant
    assert any("the outputs are the same on all training rows" in note for note in run.notes) == is_constant


def nearby_alone(outputs, y):
    """The squared error, which is NaN of outputs beyond 0.05."""
    return jnp.sum(jnp.where(jnp.abs(outputs) < 0.05, 0.5 * (outputs - y) ** 2, jnp.nan), axis=1)


def test_a_loss_of_ones_own_that_becomes_nan_is_named_with_the_outputs_of_which_it_was_not():
    problem = load_problem("sine-5d", loss=Loss("nearby", nearby_alone))
    run = train(network(0.01), problem, learning_rate=0.1, steps=2000)
    assert run.status == "nan"
    largest = np.abs(outputs_of(run.final, problem.train.x)).max()
    assert largest < 0.05
    (note,) = run.notes
    assert f"of step {run.trajectory['step'][-1]:g}, the largest output was {largest:.4g} in size" in note
    assert "correct the loss 'nearby' where it or its gradient is NaN" in note


def test_a_loss_of_ones_own_that_is_nan_from_the_start_is_blamed_and_not_the_parameters():
    problem = load_problem("sine-5d", loss=Loss("nearby", nearby_alone))
    large = network(1.0)
    size = max(np.abs(outputs_of(large, part.x)).max() for part in (problem.train, problem.validation))
    assert size > 0.05
    with pytest.raises(SpecError, match=f"outputs are finite, of size {size:.4g} at most; correct the loss 'nearby'"):
        train(large, problem, learning_rate=0.1, steps=20)
