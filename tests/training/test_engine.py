"""The engine against the update rules as their papers write them, and what must not change a run's bits."""

from dataclasses import replace
from itertools import count

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nucleate import Activation, InitScale, Network, devices
from nucleate.devices import float64
from nucleate.optimizers import get_optimizer
from nucleate.problems import Loss, load_problem
from nucleate.training import Batch, engine, make_settings, train, train_many

pytestmark = pytest.mark.slow

PROBLEM = load_problem("sine-5d")


def networks(count, *, scale=0.7, dtype="float64", **options):
    return [
        Network.create(5, [7, 6], 1, scale=InitScale("gain", scale), seed=seed, dtype=dtype, **options)
        for seed in range(count)
    ]


def test_training_is_told_of_in_time_though_evaluations_come_to_be_far_apart():
    asked = count()
    batch = Batch(PROBLEM, networks(1), [0.01], [0], make_settings(steps=10**9))
    for _ in range(3):
        batch.advance(lambda: next(asked) > 100, seconds=0.3)
    assert 0 < batch.step < 10**9
    assert next(asked) < 100


def gradients(parameters, x, y):
    """Backpropagation by hand through W3 tanh(W2 tanh(W1 x + b1)), of 1/(2n) sum (f - y)^2."""
    w1, b1, w2, w3 = parameters
    h1 = np.tanh(x @ w1.T + b1)
    h2 = np.tanh(h1 @ w2.T)
    error = (h2 @ w3.T - y) / len(x)
    d2 = error @ w3 * (1 - h2**2)
    d1 = d2 @ w2 * (1 - h1**2)
    return [d1.T @ x, d1.sum(axis=0), d2.T @ h1, error.T @ h2]


def by_hand(network, rule, steps):
    w1, w2, w3 = (np.asarray(weight) for weight in network.weights)
    parameters = [w1, np.asarray(network.biases[0]), w2, w3]
    memory = [[np.zeros_like(p), np.zeros_like(p)] for p in parameters]
    for step in range(1, steps + 1):
        slopes = gradients(parameters, PROBLEM.train.x, PROBLEM.train.y)
        parameters = [p - rule(g, m, step) for p, g, m in zip(parameters, slopes, memory, strict=True)]
    return parameters


def gd(slope, memory, step):
    return 0.01 * slope


def momentum(slope, memory, step):
    memory[0] = 0.9 * memory[0] + slope
    return 0.01 * memory[0]


def adam(slope, memory, step):
    memory[0] = 0.9 * memory[0] + 0.1 * slope
    memory[1] = 0.999 * memory[1] + 0.001 * slope**2
    return 0.01 * (memory[0] / (1 - 0.9**step)) / (np.sqrt(memory[1] / (1 - 0.999**step)) + 1e-8)


@pytest.mark.parametrize(("optimizer", "rule"), [("gd", gd), ("momentum", momentum), ("adam", adam)])
def test_a_run_follows_the_optimizers_rule(optimizer, rule):
    (network,) = networks(1, bias=[True, False, False])
    run = train(network, PROBLEM, optimizer=optimizer, learning_rate=0.01, steps=60, evaluations=4)
    w1, b1, w2, w3 = by_hand(network, rule, 60)
    for got, expected in zip((*run.final.weights, run.final.biases[0]), (w1, w2, w3, b1), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_float32_follows_float64_to_single_precision():
    (single,), (double,) = networks(1, dtype="float32"), networks(1)
    runs = [train(network, PROBLEM, learning_rate=0.01, steps=50) for network in (single, double)]
    np.testing.assert_allclose(runs[0].trajectory["train_loss"], runs[1].trajectory["train_loss"], rtol=1e-4)
    assert runs[0].final.dtype == "float32"


def bits(network):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(network)]


def test_numbers_of_numpy_in_definitions_of_ones_own_leave_training_in_float32():
    root = np.sqrt(2.0)
    scaled = Loss("scaled", lambda outputs, y: root * jnp.sum((outputs - y) ** 2, axis=1))
    bent = Activation("bent", lambda z: root * jnp.tanh(z), 1, root, root)
    problem = replace(PROBLEM, loss=scaled)
    ours, plain = (
        train(networks(1, dtype="float32", activation=own)[0], problem, learning_rate=0.01, steps=20)
        for own in (bent, Activation("plain", lambda z: 2**0.5 * jnp.tanh(z), 1, root, root))
    )
    assert ours.final.dtype == "float32"
    assert ours.trajectory["train_loss"].to_numpy() == pytest.approx(plain.trajectory["train_loss"].to_numpy(), 1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [None, 16])
def test_a_runs_bits_do_not_depend_on_the_runs_beside_it_nor_on_when_it_is_evaluated(dtype, batch_size):
    settings = {"steps": 90, "batch_size": batch_size}
    starts = networks(5, dtype=dtype)
    rates, seeds = [0.01, 0.02, 0.03, 0.04, 0.05], [0, 1, 2, 3, 4]
    together = train_many(starts, PROBLEM, learning_rates=rates, seeds=seeds, evaluations=8, **settings)
    for start, rate, seed, run in zip(starts, rates, seeds, together, strict=True):
        alone = train(start, PROBLEM, learning_rate=rate, seed=seed, evaluations=30, **settings)
        assert bits(alone.final) == bits(run.final)


@pytest.mark.parametrize("batch_size", [None, 16])
def test_runs_that_were_stopped_at_different_evaluations_go_on_to_the_same_bits(batch_size):
    settings = make_settings(steps=90, evaluations=12, batch_size=batch_size)

    def batch():
        return Batch(PROBLEM, networks(5), [0.01] * 5, [0, 1, 2, 3, 4], settings)

    straight, stopped, resumed = batch(), batch(), batch()
    while not straight.done:
        straight.advance()
    # Each core asks before its runs' next steps, so that the one that is told first leaves its own behind.
    asked = count()
    stopped.advance(lambda: next(asked) > 3, seconds=60)
    resumed.resume(stopped.checkpoint())
    while not resumed.done:
        resumed.advance(seconds=60)
    for one, other in zip(straight.runs(), resumed.runs(), strict=True):
        assert one.trajectory.equals(other.trajectory)
        assert one.drop_steps == other.drop_steps
        assert bits(one.final) == bits(other.final)


def test_a_run_that_diverges_ends_alone_and_keeps_what_was_recorded():
    calm, wild, later = train_many(networks(3), PROBLEM, learning_rates=[0.01, 1e3, 0.01], steps=200, evaluations=50)
    assert wild.status in ("diverged", "nan")
    assert wild.steps < 200
    assert np.isfinite(wild.trajectory["train_loss"].to_numpy()).all()
    assert np.isfinite(wild.final.weights[0]).all()
    assert calm.status == later.status == "finished"
    assert bits(calm.final) == bits(train(networks(1)[0], PROBLEM, learning_rate=0.01, steps=200).final)


def test_mini_batches_visit_every_row_once_an_epoch_in_a_seeded_order():
    # A linear step is additive over rows: after an epoch of tiny steps the sum of the gradients is that of all rows.
    (network,) = networks(1)
    rate, n = 1e-9, len(PROBLEM.train.x)
    run = train(network, PROBLEM, learning_rate=rate, steps=n // 16, batch_size=16, seed=1)
    with float64():
        full = jax.grad(lambda net: PROBLEM.loss(net(jnp.asarray(PROBLEM.train.x)), PROBLEM.train.y))(network)
    for start, end, slope in zip(*map(jax.tree.leaves, (network, run.final, full)), strict=True):
        np.testing.assert_allclose((start - end) / (rate * (n // 16)), slope, rtol=1e-3, atol=1e-5)
    orders = [train(network, PROBLEM, learning_rate=0.01, steps=40, batch_size=16, seed=s) for s in (1, 1, 2)]
    assert bits(orders[0].final) == bits(orders[1].final) != bits(orders[2].final)


@pytest.mark.parametrize("n", [1, 2, 7, 1700, 3000])
def test_the_order_of_rows_is_told_without_training(n):
    """It is JAX's own permutation, under the key that a run folds the epoch into."""
    with float64():
        for seed, epoch in ((0, 0), (3, 2), (2**31 - 1, 40)):
            key = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), epoch)
            expected = jax.random.permutation(key, jnp.arange(n, dtype="int32"))
            np.testing.assert_array_equal(engine.row_order(seed, epoch, n), expected)


def test_classification_trains_by_cross_entropy():
    iris = load_problem("iris")
    network = Network.create(4, [10, 10], 3, scale=InitScale("gain", 0.5), bias=True)
    run = train(network, iris, optimizer="adam", learning_rate=0.02, steps=150)
    assert run.trajectory["train_loss"][0] == pytest.approx(np.log(3), rel=0.1)
    assert iris.metric(run.final(iris.test.x), iris.test.y) > 0.85


def test_drop_steps_are_the_first_steps_at_which_the_loss_had_fallen():
    (network,) = networks(1, scale=0.3)
    run = train(network, PROBLEM, learning_rate=0.02, steps=400, evaluations=10_000)
    assert len(run.trajectory) == 401  # every step is evaluated
    loss = run.trajectory["train_loss"].to_numpy()
    for share, step in run.drop_steps.items():
        below = np.flatnonzero(loss <= (1 - share) * loss[0])
        assert step == (int(below[0]) if below.size and below[0] < 400 else None)


def test_where_runs_step_together_as_on_a_gpu_they_end_alike(monkeypatch):
    starts, rates = networks(4), [0.01, 1e3, 0.02, 0.03]
    settings = {"optimizer": get_optimizer({"name": "momentum", "momentum": 0.5}), "steps": 80, "evaluations": 10}
    walked = train_many(starts, PROBLEM, learning_rates=rates, **settings)
    monkeypatch.setattr(devices, "steps_together", lambda: True)
    together = train_many(starts, PROBLEM, learning_rates=rates, **settings)
    for one, other in zip(walked, together, strict=True):
        assert (one.status, one.steps, one.drop_steps) == (other.status, other.steps, other.drop_steps)
        for a, b in zip(jax.tree.leaves(one.final), jax.tree.leaves(other.final), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
