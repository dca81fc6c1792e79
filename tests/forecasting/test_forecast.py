"""Forecasts against training: within the regime they hold, outside they say so."""

from dataclasses import replace

import numpy as np
import pytest

from nucleate import InitScale, Network, Problem, forecast, load_problem
from nucleate.forecasting import forecast_many, measure_outcomes, simulation
from nucleate.observe import alignment, neurons
from nucleate.problems import Split
from nucleate.training import engine, train

pytestmark = pytest.mark.slow


def starts(problem, epsilon, *, seeds=3, hidden=(40, 40), **options):
    bias = [True] + [False] * len(hidden)
    return [
        Network.create(
            problem.inputs,
            hidden,
            problem.outputs,
            scale=InitScale("epsilon", epsilon),
            bias=bias,
            seed=seed,
            **options,
        )
        for seed in range(seeds)
    ]


def forecast_and_outcome(name, epsilon, rate, *, optimizer="gd", **options):
    problem = load_problem(name)
    networks = starts(problem, epsilon, **options)
    forecasts = forecast_many(networks, problem, learning_rates=[rate] * len(networks), optimizer=optimizer)
    return forecasts, measure_outcomes(networks, problem, forecasts)


CASES = [
    ("diabetes", 0.003, 0.1, {}),
    ("diabetes", 0.01, 0.1, {}),
    ("diabetes", 0.003, 0.01, {"optimizer": "momentum"}),
    ("diabetes", 0.001, 0.001, {"optimizer": "adam"}),
    ("diabetes", 0.01, 0.1, {"activation": "relu"}),
    ("diabetes", 0.01, 0.1, {"activation": "gelu"}),
    ("diabetes", 0.01, 0.1, {"activation": "sigmoid"}),
    ("wine", 0.003, 0.1, {"activation": "softplus", "hidden": (40,)}),
    ("diabetes", 0.001, 0.01, {"activation": "selu", "hidden": (40,)}),
    ("diabetes", 0.001, 0.1, {"hidden": (40,)}),
    ("diabetes", 0.01, 0.1, {"hidden": (40, 40, 40)}),
    ("linnerud", 0.01, 0.1, {}),
    ("wine", 0.01, 0.1, {}),
    ("teacher-3", 0.01, 0.1, {}),
]


@pytest.mark.parametrize(("name", "epsilon", "rate", "options"), CASES)
def test_in_the_regime_the_measured_steps_lie_in_the_intervals_and_near_the_estimates(name, epsilon, rate, options):
    for expected, found in zip(*forecast_and_outcome(name, epsilon, rate, **options), strict=True):
        assert expected.in_regime
        reached = {share: step for share, step in expected.drop_steps.items() if step is not None}
        assert 0.1 in reached
        for share, step in reached.items():
            assert step.lower <= found.drop_steps[share] <= step.upper
            assert step.estimate == pytest.approx(found.drop_steps[share], rel=0.02 if share <= 0.1 else 0.04, abs=1)
        assert found.same_sides(expected) > 0.95
        assert expected.condensed_share == pytest.approx(found.condensed_share, abs=0.1)


@pytest.mark.parametrize(("activation", "epsilon"), [("silu", 0.003), ("tanh", 0.001)])
def test_under_adam_the_share_knows_of_weights_that_move_beyond_the_leading_order(activation, epsilon):
    # Targets have mean zero, so a first-layer bias has no gradient to leading order, and Adam moves it all the same:
    # with SiLU as far as everything else, with tanh hardly.
    options = {"optimizer": "adam", "activation": activation, "seeds": 2, "hidden": (30, 30)}
    for expected, found in zip(*forecast_and_outcome("diabetes", epsilon, 0.001, **options), strict=True):
        assert expected.in_regime
        assert (found.condensed_share > 0.4) == (activation == "tanh")
        assert expected.condensed_share == pytest.approx(found.condensed_share, abs=0.1)
        assert found.same_sides(expected) > 0.95


def test_at_a_standard_initialization_the_forecast_says_that_it_is_out_of_its_regime():
    for expected in forecast_and_outcome("diabetes", 0.2, 0.1)[0]:
        assert not expected.in_regime


@pytest.mark.parametrize(("rare", "times"), [(2, 60.0), (20, 12.0)])
def test_rare_extreme_rows_are_seen_and_their_saturation_is_in_the_interval(rare, times):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5000, 5))
    x[rng.choice(len(x), rare, replace=False)] *= times
    problem = Problem.from_arrays(x, x.sum(axis=1))
    networks = starts(problem, 0.03, seeds=2, hidden=(20, 20))
    forecasts = forecast_many(networks, problem, learning_rates=[0.05] * 2)
    for expected, found in zip(forecasts, measure_outcomes(networks, problem, forecasts), strict=True):
        assert not expected.in_regime
        step = expected.drop_steps[0.1]
        assert step.lower <= found.drop_steps[0.1] <= step.upper


def test_where_the_leading_part_cannot_fit_ten_percent_the_interval_is_wide_and_holds():
    # The linear part of sine-5d's target is about a tenth of it.
    for expected, found in zip(*forecast_and_outcome("sine-5d", 0.01, 0.01), strict=True):
        assert not expected.in_regime
        assert expected.drop_steps[0.3] is None
        step = expected.drop_steps[0.1]
        assert step.lower <= found.drop_steps[0.1] <= step.upper


@pytest.mark.parametrize(("name", "seed"), [("breast_cancer", 0), ("wine", 1)])
def test_fitting_the_mean_by_the_output_bias_does_not_end_the_plateau(name, seed):
    problem = load_problem(name)
    scale = InitScale("epsilon", 0.01)
    network = Network.create(problem.inputs, (40, 40), problem.outputs, scale=scale, bias=True, seed=seed)
    expected = forecast(network, problem, learning_rate=0.1)
    (found,) = measure_outcomes([network], problem, [expected])
    # The bias alone brings the 1 % drop, long before the others.
    assert 3 * found.drop_steps[0.01] < found.drop_steps[0.1]
    assert expected.in_regime
    assert expected.correction == pytest.approx(0, abs=0.03)
    for share, step in expected.drop_steps.items():
        assert step.lower <= found.drop_steps[share] <= step.upper
    assert expected.left_by == expected.drop_steps[0.3].upper


def test_what_fitting_the_mean_alone_brings_is_no_end_of_a_plateau_within_the_horizon():
    problem = load_problem("breast_cancer")
    scale = InitScale("epsilon", 0.003)
    network = Network.create(problem.inputs, (40, 40), problem.outputs, scale=scale, bias=True)
    expected = forecast(network, problem, learning_rate=0.1, horizon=50)
    assert expected.drop_steps[0.01].upper < 10
    assert expected.left_by is None
    assert not expected.in_regime


def test_a_missing_forecast_is_checked_as_far_as_asked():
    problem = load_problem("diabetes")
    (network,) = starts(problem, 0.01, seeds=1)
    short = forecast(network, problem, learning_rate=0.1, horizon=20)
    assert set(short.drop_steps.values()) == {None}
    # The same blank forecast, of a longer horizon: nothing known, all to be found out.
    blank = replace(short, horizon=1000)
    assert None not in measure_outcomes([network], problem, [blank])[0].drop_steps.values()
    assert set(measure_outcomes([network], problem, [blank], steps=50)[0].drop_steps.values()) == {None}


def test_in_the_regime_a_drop_that_the_network_reaches_late_has_a_wide_interval_that_holds():
    problem = load_problem("diabetes")
    scale = InitScale("epsilon", 0.01)
    network = Network.create(problem.inputs, (40, 40), problem.outputs, scale=scale, bias=True, activation="xtanh")
    expected = forecast(network, problem, "adam", 0.001)
    (found,) = measure_outcomes([network], problem, [expected])
    assert expected.in_regime
    step = expected.drop_steps[0.3]
    assert step.lower <= found.drop_steps[0.3] <= step.upper


def test_heavy_tails_have_every_drop_that_training_brings_forecast():
    rng = np.random.default_rng(0)
    x = rng.standard_t(2.1, (2000, 5))
    problem = Problem.from_arrays(x, x.sum(axis=1))
    networks = starts(problem, 0.003, seeds=2, hidden=(20, 20))
    forecasts = forecast_many(networks, problem, learning_rates=[0.1] * 2)
    for expected, found in zip(forecasts, measure_outcomes(networks, problem, forecasts), strict=True):
        assert expected.in_regime
        for share, step in expected.drop_steps.items():
            assert step.lower <= found.drop_steps[share] <= step.upper


def test_where_the_leading_part_diverges_nothing_is_said_of_directions():
    problem = load_problem("diabetes")
    network = Network.create(10, (128, 128), 1, scale=InitScale("gain", 1.0), bias=[True, False, False])
    expected = forecast(network, problem, learning_rate=0.05)
    assert set(expected.drop_steps.values()) == {None}
    assert expected.condensed_share is None
    assert expected.sides is None
    assert not expected.in_regime
    (found,) = measure_outcomes([network], problem, [expected], steps=100)
    assert None not in found.drop_steps.values()
    assert found.same_sides(expected) is None
    assert "—" in expected._repr_html_()


def test_a_plateau_longer_than_the_horizon_is_told_as_such():
    problem = load_problem("diabetes")
    expected = forecast(starts(problem, 1e-3)[0], problem, learning_rate=0.1, horizon=300)
    assert set(expected.drop_steps.values()) == {None}
    assert not expected.in_regime
    assert expected.horizon == 300


def test_smaller_starts_condense_more_onto_the_target_direction_and_training_agrees():
    problem = load_problem("diabetes")
    shares = []
    for epsilon in (0.03, 0.01, 0.001):
        (network,) = starts(problem, epsilon, seeds=1)
        expected = forecast(network, problem, learning_rate=0.1)
        shares.append(expected.condensed_share)
        run = train(network, problem, learning_rate=0.1, steps=expected.drop_steps[0.1].estimate)
        (target,) = expected.target_directions
        x, y = problem.train.x, problem.train.y[:, 0]
        u = np.append(x.T @ y, y.sum()) / len(y)
        np.testing.assert_allclose(target, u / np.linalg.norm(u), atol=1e-12)
        cosines = alignment(neurons(run.final, 1), target)
        assert np.mean(np.abs(cosines) > 0.9) == pytest.approx(expected.condensed_share, abs=0.08)
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.8


def test_the_forecast_curve_is_the_training_curve():
    problem = load_problem("diabetes")
    (network,) = starts(problem, 0.003, seeds=1)
    expected = forecast(network, problem, learning_rate=0.1)
    run = train(network, problem, learning_rate=0.1, steps=int(expected.steps[-1]), evaluations=60)
    steps, loss = run.trajectory["step"].to_numpy(), run.trajectory["train_loss"].to_numpy()
    # Across a cliff a shift of one step is a large difference, so steps are allowed a hundredth.
    low, high = (np.interp(steps * factor, expected.steps, expected.loss) for factor in (1.01, 0.99))
    assert np.all(low - 0.005 * loss[0] <= loss)
    assert np.all(loss <= high + 0.005 * loss[0])


@pytest.mark.parametrize(("hidden", "law"), [((40,), "logarithm"), ((40, 40), "power 1"), ((40, 40, 40), "power 2")])
def test_the_plateau_scales_with_the_start_as_the_depth_says(hidden, law):
    problem = load_problem("teacher-3")
    # Four layers from a thousandth would take millions of steps.
    scales = np.array([4e-3, 2e-3, 1e-3]) * (2 if len(hidden) == 3 else 1)
    times = []
    for scale in scales:
        (network,) = starts(problem, scale, seeds=1, hidden=hidden)
        times.append(forecast(network, problem, learning_rate=0.1, horizon=10**7).drop_steps[0.1].estimate)
    times = np.array(times)
    if law == "logarithm":
        # Equal factors of the scale add equal times.
        assert times[2] - times[1] == pytest.approx(times[1] - times[0], rel=0.1, abs=1)
    else:
        slope = -np.polyfit(np.log(scales), np.log(times), 1)[0]
        assert slope == pytest.approx(int(law[-1]), rel=0.05)


def planted(second):
    """A linear target of two outputs whose moment has the singular values 1.1 and ``second``."""
    x = np.linalg.qr(np.random.default_rng(0).standard_normal((200, 5)))[0] * 200**0.5
    y = x[:, :2] * [1.1, second]
    return replace(Problem.from_arrays(x, y), train=Split(x, y))


@pytest.mark.parametrize(("second", "counted"), [(0.3, "target directions"), (1.05, "axis of this start")])
def test_neurons_turn_to_the_axis_that_is_forecast_and_it_is_said_whether_that_is_the_target(second, counted):
    problem = planted(second)
    networks = [
        Network.create(5, (30, 30), 2, scale=InitScale("epsilon", 0.003), bias=False, seed=seed) for seed in range(4)
    ]
    forecasts = forecast_many(networks, problem, learning_rates=[0.1] * 4)
    for network, expected, found in zip(
        networks, forecasts, measure_outcomes(networks, problem, forecasts), strict=True
    ):
        assert expected.gap == pytest.approx(second / 1.1)
        assert expected.counts_against == counted
        np.testing.assert_allclose(np.abs(expected.target_directions), [[1, 0, 0, 0, 0]], atol=1e-12)
        np.testing.assert_allclose(
            np.abs(expected.candidates), np.eye(5)[: 1 + (counted != "target directions")], atol=1e-12
        )
        run = train(network, problem, learning_rate=0.1, steps=found.drop_steps[0.1])
        weights = np.asarray(run.final.weights[0], np.float64)
        assert abs(np.linalg.svd(weights)[2][0] @ expected.axis) > 0.98
        on_axis = np.abs(alignment(weights, expected.axes[0])) > 0.9
        assert expected.condensed_share == pytest.approx(on_axis.mean(), abs=0.1)
        assert expected.condensed_share > 0.5
        assert found.same_sides(expected) > 0.95
    cosines = [expected.axis_cosine for expected in forecasts]
    # Near-equal values leave some starts off the target direction; a clear gap none.
    assert (min(cosines) < 0.9) == (counted == "axis of this start")


def test_the_loss_at_a_budget_is_no_better_than_training_and_near_it():
    problem = load_problem("diabetes")
    (network,) = starts(problem, 0.01, seeds=1)
    expected = forecast(network, problem, learning_rate=0.1, budget=400)
    for budget in (expected.left_by, 400):
        run = train(network, problem, learning_rate=0.1, steps=budget)
        assert expected.loss_by(budget) == pytest.approx(run.trajectory["train_loss"][-1], rel=0.15)
    assert expected.loss_by(401 + expected.left_by) is None
    assert forecast(network, problem, learning_rate=0.1).loss_by(400) is None


def test_calls_are_as_long_as_the_clock_tells_and_the_bits_do_not_depend_on_it(monkeypatch):
    problem, taken = load_problem("diabetes"), []
    advance = engine.advance

    def noted(program, runs, data, until, push=None):
        taken.append(max(end - int(run.step) for run, end in zip(runs, until, strict=True)))
        return advance(program, runs, data, until, push)

    monkeypatch.setattr(engine, "advance", noted)
    networks = starts(problem, 0.01, seeds=2, hidden=(8, 8))
    found = {}
    for seconds in (1e-9, 1e9):
        taken.clear()
        monkeypatch.setattr(simulation, "_CALL_SECONDS", seconds)
        found[seconds] = forecast_many(networks, problem, learning_rates=[0.1, 0.05], budget=250)
        assert (max(taken) == 1) == (seconds < 1)
    for short, whole in zip(*found.values(), strict=True):
        assert short.drop_steps == whole.drop_steps
        for name in ("loss", "late_steps", "late_loss", "axis"):
            np.testing.assert_array_equal(getattr(short, name), getattr(whole, name))


def test_printed_a_forecast_is_a_line():
    problem = load_problem("diabetes")
    (expected,) = forecast_many(starts(problem, 0.01, seeds=1), problem, learning_rates=[0.1])
    at, condensed = "Forecast(gd, learning rate 0.1: ", f"{expected.condensed_share:.0%} of the first layer condensed"
    said = f"loss down by 10 % at step {expected.drop_steps[0.1]}, {condensed} by then, in the theory's regime)"
    assert str(expected) == at + said
    beyond = replace(expected, drop_steps=dict.fromkeys(expected.drop_steps), in_regime=False)
    assert str(beyond) == f"{at}no step at which the loss is down by 10 %, outside the theory's regime)"
    assert "the plateau never ends" in str(replace(beyond, decays_away=True))
