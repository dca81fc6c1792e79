"""Behind the first descent: the stairs of the linear part, against closed forms, other integrators and training."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from nucleate import InitScale, Network, Problem, SpecError, load_problem
from nucleate.forecasting import forecast_many, measure_outcomes
from nucleate.observe import neurons
from nucleate.problems import Split
from nucleate.training import train_many
from tests.cli.asking import ask, refusal

pytestmark = pytest.mark.slow

STRENGTHS = np.array([1.0, 0.5, 0.25])
RATE = 0.05


def teacher(*, spread=1.0, rows=200, noise=0.0, strengths=STRENGTHS, offset=0.0):
    """Outputs that are a linear function of the inputs; with a spread of 1 these have the second moment one."""
    rng = np.random.default_rng(0)
    k, d = len(strengths), 5
    x = np.linalg.qr(rng.standard_normal((rows, d)))[0] * rows**0.5 * np.geomspace(1, spread, d)
    left, right = (np.linalg.qr(rng.standard_normal((size, k)))[0] for size in (k, d))
    y = x @ (right * strengths) @ left.T + noise * rng.standard_normal((rows, k)) + offset
    # All rows are for training, so that their moments are what they were made to be.
    return replace(Problem.from_arrays(x, y, standardize=False), train=Split(x, y))


def starts(problem, epsilon=0.01, *, hidden=(16, 16), seeds=2, **options):
    scale = InitScale("epsilon", epsilon)
    return [
        Network.create(problem.inputs, hidden, problem.outputs, scale=scale, seed=seed, **options)
        for seed in range(seeds)
    ]


def forecasts(networks, problem, stairs=3, rate=RATE, **options):
    options = {"horizon": 20_000, "budget": 1, **options}
    return forecast_many(networks, problem, learning_rates=[rate] * len(networks), stairs=stairs, **options)


def test_from_an_aligned_start_two_layers_take_the_closed_form_of_every_mode():
    # Saxe, McClelland and Ganguli: a' = 2 a (sigma - a) for every mode, whatever the others do.
    problem, start = teacher(), 1e-4
    left, _, right = np.linalg.svd(problem.train.y.T @ problem.train.x / len(problem.train.x), full_matrices=False)
    between = np.linalg.qr(np.random.default_rng(1).standard_normal((8, 3)))[0]
    weights = (start**0.5 * between @ right, start**0.5 * left @ between.T)
    network = Network(weights, (None, None), starts(problem, activation="linear")[0].activation)
    (expected,) = forecasts([network], problem, rate=0.01)
    for stair, strength, direction, output in zip(expected.stairs, STRENGTHS, right, left.T, strict=True):
        for step, share in ((stair.begins, 0.1), (stair.ends, 0.9)):
            time = np.log(share / (1 - share) * (strength / start - 1)) / (2 * strength)
            assert step.estimate * 0.01 == pytest.approx(time, rel=0.01)
        assert abs(stair.direction @ direction) == pytest.approx(1, abs=1e-6)
        assert abs(stair.output @ output) == pytest.approx(1, abs=1e-6)
    assert [stair.gap for stair in expected.stairs] == pytest.approx([0.5, 0.5, 0.0], abs=1e-6)


def test_from_any_start_the_steps_are_those_of_an_independent_integration():
    problem = teacher(spread=0.6)
    (network,) = starts(problem, 0.03, activation="linear", seeds=1, dtype="float64")
    (expected,) = forecasts([network], problem, rate=0.01)
    x, y = problem.train.x.astype(float), problem.train.y.astype(float)
    moment, inputs = y.T @ x / len(x), x.T @ x / len(x)
    shapes = [weight.shape for weight in network.weights]
    ends = np.cumsum([np.prod(shape) for shape in shapes])

    def unpack(state):
        return [part.reshape(shape) for part, shape in zip(np.split(state, ends[:-1]), shapes, strict=True)]

    def field(_, state):
        first, second, third = unpack(state)
        left = moment - third @ second @ first @ inputs
        grown = [(third @ second).T @ left, third.T @ left @ first.T, left @ (second @ first).T]
        return np.concatenate([part.ravel() for part in grown])

    state = np.concatenate([np.ravel(weight) for weight in network.weights])
    time = 1.1 * 0.01 * expected.stairs[-1].ends.estimate
    solution = solve_ivp(field, (0, time), state, rtol=1e-8, atol=1e-10, dense_output=True)
    times = np.linspace(0, time, 4000)
    products = [np.linalg.multi_dot(unpack(solution.sol(t))[::-1]) for t in times]
    fit = np.linalg.solve(inputs, moment.T).T
    for stair in expected.stairs:
        u = stair.output
        size = u @ fit @ inputs @ fit.T @ u
        amplitudes = np.array([u @ product @ inputs @ fit.T @ u / size for product in products])
        for step, share in ((stair.begins, 0.1), (stair.ends, 0.9)):
            assert step.estimate * 0.01 == pytest.approx(times[np.argmax(amplitudes >= share)], rel=0.01)


CASES = [
    ("tanh", (16,), 0.001, {}),
    ("gelu", (16,), 0.003, {}),
    ("tanh", (32, 32), 0.005, {"stairs": 2, "rate": 0.1}),
    ("tanh", (16,), 0.003, {"batch_size": 32, "seeds": [0, 1], "stairs": 2}),
]


@pytest.mark.parametrize(("activation", "hidden", "epsilon", "options"), CASES)
def test_in_the_regime_training_takes_the_stairs_within_their_intervals(activation, hidden, epsilon, options):
    problem = teacher(spread=0.8, noise=0.05)
    networks = starts(problem, epsilon, hidden=hidden, activation=activation, bias=[True, *[False] * len(hidden)])
    expected = forecasts(networks, problem, **options)
    in_regime = 0
    for run, outcome in zip(expected, measure_outcomes(networks, problem, expected), strict=True):
        assert len(run.stairs) == len(outcome.stairs) == options.get("stairs", 3)
        for stair, found in zip(run.stairs, outcome.stairs, strict=True):
            if stair.in_regime:
                in_regime += 1
                assert stair.begins.lower <= found.begins <= stair.begins.upper
                assert stair.begins.estimate == pytest.approx(found.begins, rel=0.03)
                assert stair.share == pytest.approx(found.share, abs=0.15)
            if stair.end_in_regime:
                assert stair.ends.lower <= found.ends <= stair.ends.upper
    assert in_regime >= 2


def test_between_stairs_the_loss_is_that_of_the_saddle_and_new_weights_grow_along_the_direction_forecast():
    problem = teacher(spread=0.8, noise=0.05, offset=1.0)
    # An output bias fits the mean first, which is no stair.
    networks = starts(problem, bias=[False, False, True], seeds=1)
    (expected,) = forecasts(networks, problem, stairs=2)
    (outcome,) = measure_outcomes(networks, problem, [expected])
    first, second = outcome.stairs[:2]
    states = {}
    half_way = int((first.ends * second.begins) ** 0.5)
    for steps in (half_way, second.begins):
        (run,) = train_many(networks, problem, learning_rates=[RATE], steps=steps, evaluations=4)
        states[steps] = run
    x, y = problem.train.x, problem.train.y
    assert problem.loss(states[half_way].final(x), y) == pytest.approx(expected.stairs[0].loss_level, rel=0.05)
    grown = neurons(states[second.begins].final, 1) - neurons(states[half_way].final, 1)
    axis = np.linalg.svd(grown)[2][0]
    assert abs(axis @ expected.stairs[1].direction) > 0.95
    assert abs(axis @ expected.stairs[0].direction) < 0.3


def test_a_large_start_is_declared_out_of_the_regime_and_so_is_all_behind_it():
    problem = teacher()
    for run in forecasts(starts(problem, 0.3), problem):
        assert not any(stair.in_regime or stair.end_in_regime for stair in run.stairs)


def test_stairs_leave_the_rest_of_a_forecast_as_it_was_bit_for_bit():
    problem = load_problem("linnerud")
    networks = starts(problem, bias=[True, False, False])
    with_stairs, without = (forecasts(networks, problem, stairs=stairs, budget=2000) for stairs in (2, 0))
    for one, other in zip(with_stairs, without, strict=True):
        assert len(one.stairs) == 2
        assert other.stairs == ()
        for field in fields(one):
            if field.name != "stairs":
                np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_a_whole_weight_is_so_many_rows():
    problem = teacher(spread=0.8, noise=0.3, rows=40)
    times = np.random.default_rng(2).integers(1, 4, 40)
    x, y = problem.train.x, problem.train.y
    weighted = replace(problem, train=Split(x, y, weights=times.astype(float)))
    repeated = replace(problem, train=Split(np.repeat(x, times, axis=0), np.repeat(y, times, axis=0)))
    networks = starts(problem, seeds=1)
    (one,), (other,) = (forecasts(networks, given) for given in (weighted, repeated))
    for left, right in zip(one.stairs, other.stairs, strict=True):
        assert left.begins.estimate == pytest.approx(right.begins.estimate, abs=2)
        assert left.loss_level == pytest.approx(right.loss_level, rel=1e-4)


def test_one_output_makes_one_stair_however_many_are_asked_for():
    problem = load_problem("diabetes")
    (expected,) = forecasts(starts(problem, seeds=1), problem, stairs=5)
    assert len(expected.stairs) == 1
    assert expected.stairs[0].share == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"activation": "relu"}, "relu has no slope at zero"),
        ({"data": "wine"}, "under cross_entropy only the first descent is forecast"),
        ({"weight_decays": [1e-3]}, "Leave out the stairs or the weight decay"),
        ({"stairs": -1}, "Stairs asked for: -1; give a whole number of 0 or more"),
        ({"stairs": True}, "Stairs asked for: True; give a whole number of 0 or more"),
    ],
)
def test_what_has_no_stairs_is_refused_with_the_reason(options, said):
    problem = load_problem(options.pop("data", "diabetes"))
    (network,) = starts(problem, seeds=1, activation=options.pop("activation", "tanh"))
    with pytest.raises(SpecError, match=said):
        forecasts([network], problem, **options)


def test_the_command_puts_the_stairs_beside_training_and_says_why_there_are_no_more():
    flags = ["forecast", "linnerud", "--hidden", "12", "--epsilons", "0.01", "--lrs", "0.05", "--seeds", "1"]
    asked = [*flags, "--stairs", "3", "--budget", "2000"]
    (row,) = json.loads(ask(*asked, "--check", "--json").stdout)["forecasts"]
    first, second = row["stairs"]
    assert first["lower"] <= first["measured_begin"] <= first["upper"]
    assert set(first["output"]) == {"weight", "waist", "pulse"}
    assert first["loss_behind"] > second["loss_behind"]
    said = ask(*asked).stdout
    assert "Stair 2 fits" in said
    assert "Stairs of the linear part: 2, each at least 1 % of the loss on the plateau" in said
    assert "Stairs are forecast under the squared loss" in refusal("forecast", "wine", "--stairs", "2", "--budget", "9")
