"""Dropout: what a step leaves out is drawn from seed, step and layer alone, and evaluations leave out nothing."""

import equinox as eqx
import jax
import numpy as np
import pytest

import nucleate
from nucleate import InitScale, Network, SpecError, load_problem, train, train_many
from nucleate.models import take_apart
from nucleate.problems import SQUARED, Problem
from nucleate.studies import make_spec
from nucleate.training import Batch, engine, make_settings

X = np.random.default_rng(0).standard_normal((40, 3))
PROBLEM = Problem.from_arrays(X, X[:, 0] - X[:, 1])
SETTINGS = {"steps": 12, "evaluations": 4}


def network(seed=0, hidden=(6, 5), **options):
    return Network.create(3, hidden, 1, scale=InitScale("gain", 1.0), seed=seed, dtype="float64", **options)


def same(one, other):
    return all((a == b).all() for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def test_one_step_is_that_of_a_network_whose_neurons_are_left_out_by_hand():
    """Two linear layers: with masks d of 0 or 1 / (1 - P) the output weights step by the mean of (y - f) d h."""
    chance, rate = 0.25, 0.1
    start = network(hidden=(200,), activation="linear")
    run = train(start, PROBLEM, dropout=chance, learning_rate=rate, steps=1, evaluations=4)
    y, a, h = PROBLEM.train.y, start.weights[1], PROBLEM.train.x @ start.weights[0].T
    moved = (run.final.weights[1] - a)[0] / rate
    # In expectation that is without the masks, less the share of each neuron's own square by which E[d^2] exceeds 1.
    r = y[:, 0] - h @ a[0]
    mean = (r[:, None] * h).mean(axis=0) - chance / (1 - chance) * a[0] * (h**2).mean(axis=0)
    spread = np.abs(moved - mean).mean()
    assert 0 < spread < np.abs((r[:, None] * h).mean(axis=0)).mean()
    np.testing.assert_allclose(moved.mean(), mean.mean(), atol=4 * spread / 200**0.5)


def test_so_many_neurons_are_left_out_as_the_chance_says():
    program = engine.Program(take_apart(network())[1], SQUARED, make_settings().rule(decays=False))
    (run,) = engine.start(program, [network()], [0.1], [3], 40)
    ones = np.ones((100, 501))
    dropped = np.asarray(engine.drop_neurons(0.3, run, 0, ones))
    np.testing.assert_allclose(np.unique(dropped), [0.0, 1 / 0.7], rtol=1e-6)
    # Of 50,100 draws the share is known to 0.002; five times that.
    assert (dropped == 0).mean() == pytest.approx(0.3, abs=0.01)
    for other in (
        engine.drop_neurons(0.3, run, 1, ones),
        engine.drop_neurons(0.3, run._replace(step=np.int32(1)), 0, ones),
    ):
        assert np.corrcoef(dropped.ravel(), np.asarray(other).ravel())[0, 1] == pytest.approx(0, abs=0.025)


def test_the_same_seed_is_the_same_run_and_another_is_not():
    first, again, other = (train(network(), PROBLEM, dropout=0.5, seed=seed, **SETTINGS).final for seed in (1, 1, 2))
    assert same(first, again)
    assert not same(first, other)


def test_no_dropout_is_no_dropout():
    plain, zero = (train(network(), PROBLEM, **options, **SETTINGS).final for options in ({}, {"dropout": 0.0}))
    assert same(plain, zero)


def test_a_run_does_not_depend_on_those_beside_it_nor_on_where_it_was_interrupted():
    settings = make_settings(dropout=0.4, batch_size=16, **SETTINGS)
    alone = train(network(1), PROBLEM, seed=5, dropout=0.4, batch_size=16, **SETTINGS)
    both = train_many(
        [network(0), network(1)],
        PROBLEM,
        learning_rates=[0.05] * 2,
        seeds=[4, 5],
        dropout=0.4,
        batch_size=16,
        **SETTINGS,
    )
    assert same(both[1].final, alone.final)
    batch, resumed = (Batch(PROBLEM, [network(1)], [0.05], [5], settings) for _ in range(2))
    batch.advance()
    resumed.resume(batch.checkpoint())
    while not resumed.done:
        resumed.advance()
    assert same(resumed.runs()[0].final, alone.final)


def test_losses_and_falls_are_of_the_network_without_dropout():
    start = network()
    run = train(start, PROBLEM, dropout=0.5, learning_rate=0.05, steps=400, evaluations=8)
    for at, row in ((start, 0), (run.final, -1)):
        loss = np.mean((PROBLEM.train.y - np.asarray(at(PROBLEM.train.x))) ** 2) / 2
        assert run.trajectory["train_loss"][row] == pytest.approx(loss, rel=1e-9)
    step = run.drop_steps[0.1]
    assert step is not None
    fallen = run.trajectory.filter(run.trajectory["train_loss"] <= 0.9 * run.trajectory["train_loss"][0])["step"]
    assert step <= fallen.min()


class Gate(eqx.Module):
    w: jax.Array

    def __call__(self, x):
        return x @ self.w


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (lambda: train(network(), PROBLEM, dropout=1.0), "'dropout' is 1.0; it must be less than 1"),
        (lambda: train(network(), PROBLEM, dropout=-0.1), "'dropout' is -0.1; it must be 0.0 or more"),
        (lambda: train(network(), PROBLEM, dropout=float("nan")), "'dropout' is nan; it must be"),
        (lambda: train(network(), PROBLEM, dropout=True), "'dropout' is True, but true and false"),
        (lambda: train(Gate(np.ones((3, 1))), PROBLEM, dropout=0.1), "a Gate has to drop by itself"),
        (
            lambda: make_spec(data="diabetes", gains=1, model=lambda i, o, scale, seed: None, dropout=0.1),
            "'dropout' is 0.1, but it drops hidden neurons of fully connected networks",
        ),
        (
            lambda: nucleate.forecast_study(
                make_spec(data="sine-5d", gains=1, hidden=4, dropout=0.1), load_problem("sine-5d"), horizon=9
            ),
            "Forecasts are of training without dropout; leave out the dropout",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(use, sentence):
    with pytest.raises(SpecError, match=sentence):
        use()


def test_a_study_with_dropout_says_so_and_is_made_again_to_the_same_bits(tmp_path):
    grid = {"gains": [1.0], "hidden": [5], "seeds": 2, "dropout": 0.2, **SETTINGS}
    study = nucleate.sweep("sine-5d", **grid, out=tmp_path / "study", progress=False)
    before = study.results
    assert study.forecasts.is_empty()
    assert study.no_forecast == "Forecasts are of training without dropout, and these runs have it."
    (study.path / "results" / "chunk-00000.parquet").unlink()
    assert nucleate.sweep("sine-5d", **grid, out=tmp_path / "study", progress=False).results.equals(before)
    for lang, word in (("en", "left out with a chance of 0.2"), ("ja", "確率 0.2 で休ませました")):
        assert word in nucleate.report(study, out=tmp_path / "page.html", lang=lang).read_text("utf-8")
    (stuck,) = nucleate.sweeping.outlooks(study) or (None,)
    assert stuck is None or "dropout" in stuck.reason
