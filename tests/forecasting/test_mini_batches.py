"""Forecasts of runs in mini-batches: of the very batches that the run will take."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nucleate import InitScale, Network, Problem, SpecError, forecast, load_problem
from nucleate.forecasting import forecast_many, measure_outcomes
from nucleate.forecasting.leading import leading
from nucleate.models import outputs_of
from nucleate.optimizers import Optimizer
from nucleate.training import train

DIABETES = load_problem("diabetes")


def starts(problem=DIABETES, *, epsilon=0.02, seeds=2, bias=(True, False, False), **options):
    scale = InitScale("epsilon", epsilon)
    sizes = (problem.inputs, [20, 20], problem.outputs)
    return [Network.create(*sizes, scale=scale, bias=bias, seed=seed, **options) for seed in range(seeds)]


def forecast_and_outcome(batch_size, rate, problem=DIABETES, optimizer="gd", **options):
    networks = starts(problem, **options)
    forecasts = forecast_many(
        networks,
        problem,
        learning_rates=[rate] * len(networks),
        optimizer=optimizer,
        batch_size=batch_size,
        seeds=range(len(networks)),
    )
    return forecasts, measure_outcomes(networks, problem, forecasts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch_size", "rate", "options"),
    [
        (4, 0.05, {}),
        (16, 0.001, {"optimizer": "adam", "epsilon": 0.003}),
        (16, 0.1, {"activation": "relu"}),
        (16, 0.1, {"problem": load_problem("wine"), "bias": True}),
    ],
    ids=["gd", "adam", "relu", "classes"],
)
def test_in_the_regime_steps_lie_in_the_intervals_and_neurons_turn_as_forecast(batch_size, rate, options):
    for expected, found in zip(*forecast_and_outcome(batch_size, rate, **options), strict=True):
        assert expected.in_regime
        for share, step in expected.drop_steps.items():
            assert step.lower <= found.drop_steps[share] <= step.upper
        assert expected.drop_steps[0.1].estimate == pytest.approx(found.drop_steps[0.1], rel=0.03, abs=1)
        assert found.same_sides(expected) > 0.9
        assert expected.condensed_share == pytest.approx(found.condensed_share, abs=0.15)


def test_another_seed_is_another_run_and_has_another_forecast():
    (network,) = starts(seeds=1)
    first, again, other = (
        forecast(network, DIABETES, learning_rate=0.1, batch_size=4, seed=seed, horizon=2000) for seed in (0, 0, 1)
    )
    assert first.drop_steps == again.drop_steps != other.drop_steps
    assert (first.batch_size, first.seed) == (4, 0)


def test_all_rows_in_one_batch_are_the_full_batch():
    (network,) = starts(seeds=1)
    full, one_batch = (
        forecast(network, DIABETES, learning_rate=0.1, batch_size=size, seed=3)
        for size in (None, len(DIABETES.train.x))
    )
    assert full.drop_steps == one_batch.drop_steps
    assert one_batch.batch_size is None


@pytest.mark.parametrize("bias", [(True, False, False), True])
def test_the_leading_part_multiplied_out_gives_what_it_gives_layer_by_layer(bias):
    (network,) = starts(activation="gelu", bias=bias, seeds=1, dtype="float64")
    own = leading([network], DIABETES, batches=True)
    x, value = own.stepped.x.T, own.stepped.x.T
    (lead,) = own.networks
    for weight, constant in zip(lead.weights[:-1], lead.biases[:-1], strict=True):
        value = (weight @ value + (0 if constant is None else constant[:, None])) / 2
    value = lead.weights[-1] @ value + (0 if lead.biases[-1] is None else lead.biases[-1][:, None])
    np.testing.assert_allclose(outputs_of(lead, x.T).T, value, rtol=1e-12)
    assert jnp.shape(own.stepped.x)[0] == len(DIABETES.train.x)


TWO_TARGETS = Problem.from_arrays(
    DIABETES.train.x[:90], np.tanh(DIABETES.train.x[:90, :2]), task="regression", validation=0.1, test=0.1
)
WEIGHED = replace(DIABETES, train=replace(DIABETES.train, weights=1.0 + np.arange(len(DIABETES.train.x)) % 3))


@pytest.mark.parametrize(
    ("problem", "start", "options"),
    [
        (DIABETES, {}, {}),
        (DIABETES, {"bias": True}, {}),
        (DIABETES, {"activation": "gelu", "dtype": "float64"}, {}),
        (TWO_TARGETS, {}, {"weight_decays": [0.01]}),
        (WEIGHED, {"epsilon": 0.005}, {"schedule": "cosine", "warmup": 50, "steps": 1500, "horizon": 1500}),
    ],
    ids=["three layers", "biases", "half a slope", "two targets, decay", "weights, schedule"],
)
def test_many_batches_at_once_come_where_one_after_another_come(problem, start, options):
    networks = starts(problem, seeds=1, **start)

    def made(optimizer):
        (found,) = forecast_many(
            networks, problem, learning_rates=[0.1], optimizer=optimizer, batch_size=8, seeds=[1], **options
        )
        return found

    at_once, one_by_one = made("gd"), made(Optimizer("plain", optax.sgd))
    assert one_by_one.drop_steps[0.01] is not None
    for drop, step in one_by_one.drop_steps.items():
        if step is None:
            assert at_once.drop_steps[drop] is None
            continue
        assert at_once.drop_steps[drop].estimate == pytest.approx(step.estimate, rel=0.02, abs=1)
    assert at_once.in_regime == one_by_one.in_regime
    if at_once.condensed_share is not None:
        # Up to one neuron in twenty.
        assert at_once.condensed_share == pytest.approx(one_by_one.condensed_share, abs=0.051)


def test_networks_of_many_scales_and_rates_together_come_where_each_does_alone():
    networks = [start for epsilon in (0.3, 0.05, 0.02) for start in starts(seeds=2, epsilon=epsilon)]
    rates = [0.1, 0.05, 0.1, 0.05, 0.1, 1e6]

    def made(which):
        chosen = [networks[run] for run in which], [rates[run] for run in which], [run % 3 for run in which]
        options = {"learning_rates": chosen[1], "seeds": chosen[2], "batch_size": 16, "horizon": 2000}
        return forecast_many(chosen[0], DIABETES, **options)

    together, alone = made(range(6)), [made([run])[0] for run in range(6)]
    for one, other in zip(together[:5], alone[:5], strict=True):
        for drop, step in one.drop_steps.items():
            assert step.estimate == pytest.approx(other.drop_steps[drop].estimate, rel=0.02, abs=1)
    assert not together[5].in_regime
    assert together[5].drop_steps[0.1] is None


def test_stairs_in_mini_batches_come_where_one_batch_after_another_brings_them():
    networks = starts(TWO_TARGETS, seeds=1, epsilon=0.05)

    def made(optimizer):
        options = {"optimizer": optimizer, "batch_size": 8, "stairs": 2, "horizon": 3000}
        (found,) = forecast_many(networks, TWO_TARGETS, learning_rates=[0.1], **options)
        return found.stairs

    for at_once, one_by_one in zip(made("gd"), made(Optimizer("plain", optax.sgd)), strict=True):
        assert at_once.begins.estimate == pytest.approx(one_by_one.begins.estimate, rel=0.02, abs=1)


@pytest.mark.slow
def test_a_run_notes_the_steps_at_which_the_loss_of_all_rows_fell_as_the_forecast_means_them():
    (network,) = starts(seeds=1)
    _, (found,) = forecast_and_outcome(16, 0.1, seeds=1)
    run = train(network, DIABETES, learning_rate=0.1, steps=300, batch_size=16)
    assert run.drop_steps == found.drop_steps
    each = train(network, DIABETES, learning_rate=0.1, steps=300, batch_size=16, evaluations=10_000)
    loss = each.trajectory["train_loss"].to_numpy()
    for share, step in run.drop_steps.items():
        assert step == pytest.approx(np.flatnonzero(loss <= (1 - share) * loss[0])[0], abs=1)


@pytest.mark.parametrize(
    ("batch_size", "sentence"),
    [
        (0, "'batch_size' is 0; it must be 1 or more"),
        (-3, "'batch_size' is -3; it must be 1 or more"),
        (2.5, "'batch_size' is 2.5; it must be a whole number"),
        (True, "'batch_size' is True, but true and false are no values of it"),
        (9999, "The batch size is 9999, but there are 266 training rows; make it smaller, or leave it out"),
    ],
)
def test_a_batch_size_that_cannot_be_is_refused_in_a_sentence(batch_size, sentence):
    with pytest.raises(SpecError, match=sentence):
        forecast(starts(seeds=1)[0], DIABETES, batch_size=batch_size)


@pytest.mark.parametrize("seed", [-1, 0.5, 2**31])
def test_a_seed_that_cannot_be_is_refused_in_a_sentence(seed):
    with pytest.raises(SpecError, match=f"The seed is {seed}; it must be a whole number"):
        forecast(starts(seeds=1)[0], DIABETES, batch_size=8, seed=seed)


@pytest.mark.parametrize("rate", [0.3, 100.0])
def test_at_a_rate_at_which_a_path_leaves_the_numbers_nothing_is_promised(rate):
    problem, scale = load_problem("sine-5d"), InitScale("gain", 0.5)
    starts = [Network.create(5, [4], 1, scale=scale, seed=seed, bias=[True, False]) for seed in range(8)]
    for found in forecast_many(
        starts, problem, learning_rates=[rate] * 8, batch_size=16, seeds=list(range(8)), horizon=400
    ):
        assert not found.in_regime
