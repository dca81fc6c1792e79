"""Rows of different weight trained, forecast, reduced, kept and predicted: as the rows repeated, where that can be."""

import json

import numpy as np
import polars as pl
import pytest

import nucleate
from nucleate import CondensedRegressor, InitScale, Network, forecast, train
from nucleate.problems import Problem
from nucleate.problems.moments import relative_weights
from nucleate.reduction.search import calibration_rows, calibration_weights
from nucleate.reduction.selection import GreedyPath
from nucleate.studies import Study

from .cli.asking import ask, refusal


def table(rows=48, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 2))
    y = np.tanh(x[:, 0]) - 0.3 * x[:, 1] + 0.1 * rng.standard_normal(rows)
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y, "weight": rng.permutation([1, 2, 3] * (rows // 3))})


def repeated(rows):
    return rows[np.repeat(np.arange(len(rows)), rows["weight"].to_numpy())].drop("weight")


@pytest.fixture(scope="module")
def pair():
    """The same problem by weights and by rows that are repeated."""
    tables = [table(seed=part) for part in range(3)]
    return Problem.from_parts(*tables, target="y", weights="weight"), Problem.from_parts(
        *map(repeated, tables), target="y"
    )


def start(gain=0.3):
    return Network.create(2, [5], 1, scale=InitScale("gain", gain), bias=[True, False], dtype="float64")


def test_training_is_that_of_repeated_rows(pair):
    ours, theirs = (train(start(), problem, learning_rate=0.1, steps=30, evaluations=5) for problem in pair)
    columns = ["train_loss", "validation_loss"]
    np.testing.assert_allclose(ours.trajectory[columns].to_numpy(), theirs.trajectory[columns].to_numpy(), rtol=1e-9)
    for mine, other in zip(ours.final.weights, theirs.final.weights, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_forecasts_are_those_of_repeated_rows(pair, activation):
    network = Network.create(2, [5], 1, scale=InitScale("gain", 0.1), activation=activation, dtype="float64")
    ours, theirs = (forecast(network, problem, learning_rate=0.1, horizon=2000) for problem in pair)
    assert {drop: step and step.estimate for drop, step in ours.drop_steps.items()} == {
        drop: step and step.estimate for drop, step in theirs.drop_steps.items()
    }
    np.testing.assert_allclose(np.abs(ours.target_directions), np.abs(theirs.target_directions), atol=1e-5)


def test_what_a_reduction_refits_is_that_of_repeated_rows():
    rng = np.random.default_rng(0)
    features, target = rng.standard_normal((30, 6)), rng.standard_normal((30, 2))
    weights = rng.integers(1, 4, 30)
    more = [np.repeat(part, weights, axis=0) for part in (features, target)]
    ours = GreedyPath(features, target, np.ones(2), relative_weights(weights.astype(float)))
    theirs = GreedyPath(*more, np.ones(2))
    for count in (2, 4):
        (chosen, affine), (expected, other) = ours.first(count), theirs.first(count)
        np.testing.assert_array_equal(chosen, expected)
        np.testing.assert_allclose(affine.weights, other.weights, atol=1e-6)
        np.testing.assert_allclose(affine.bias, other.bias, atol=1e-6)


def test_calibration_rows_weigh_as_what_they_are_made_of():
    weights = np.arange(1.0, 51.0)
    found = calibration_weights(weights)
    assert len(found) == len(calibration_rows(np.random.default_rng(0).standard_normal((50, 2))))
    assert found.mean() == pytest.approx(1.0)
    assert calibration_weights(None) is None


def test_a_certificate_says_what_weights_are_in():
    rows = table(120)
    problem = Problem.from_table(rows, target="y", weights="weight")
    network = train(start(1.0), problem, learning_rate=0.1, steps=50, evaluations=4).best
    reduction = nucleate.reduce(network, problem, baselines=False)
    moved = reduction.network(problem.test.x) - network(problem.test.x)
    moved = np.asarray(moved) * problem.preprocessing.units
    certificate = reduction.certificate
    assert certificate.rms_deviation == pytest.approx(
        np.sqrt(np.average(moved[:, 0] ** 2, weights=problem.test.weights))
    )
    assert certificate.largest_deviation == pytest.approx(np.abs(moved).max())
    assert certificate.weighted
    assert certificate.probability == 1 / (len(problem.test.x) + 1)
    assert "The root mean square is weighted; the largest and the chance count each row once" in str(certificate)


def test_an_estimator_weighs_its_samples():
    rows = table(90)
    x, y = rows.select("a", "b").to_numpy(), rows["y"].to_numpy()
    model = CondensedRegressor(hidden=[4], scale=0.3, steps=20)
    plain = model.fit(x, y).predict(x)
    np.testing.assert_array_equal(model.fit(x, y, sample_weight=np.full(90, 0.1)).predict(x), plain)
    # Rows of weight zero are as if they were not there.
    counts = np.arange(90) < 60
    without = model.fit(x[:60], y[:60]).predict(x)
    np.testing.assert_array_equal(model.fit(x, y, sample_weight=counts.astype(float)).predict(x), without)
    heavy = model.fit(x, y, sample_weight=np.where(x[:, 0] > 0, 50.0, 1.0)).predict(x)
    assert not np.allclose(heavy, plain)
    with pytest.raises(ValueError, match="Sample weights must contain at least one non-zero"):
        model.fit(x, y, sample_weight=np.zeros(90))
    with pytest.raises(ValueError, match="Negative"):
        model.fit(x, y, sample_weight=-np.ones(90))


@pytest.mark.slow
def test_weights_go_from_a_flag_to_the_page(tmp_path):
    table(120).write_csv(tmp_path / "rows.csv")
    arguments = ["rows.csv", "--target", "y", "--weights", "weight", "--hidden", "3", "--gains", "1"]
    told = ask("sweep", *arguments, "--steps", "20", "--evaluations", "4", "--out", "study", cwd=tmp_path)
    assert told.exit_code == 0, told.stderr
    assert "Rows count as column 'weight' says." in told.stderr
    study = Study.load(tmp_path / "study")
    assert study.weighted_by == study.spec.weights == "weight"
    assert ask("reduce", "study", cwd=tmp_path).exit_code == 0
    for lang, said in (("en", "Rows count as the column weight says"), ("ja", "各行には列 weight の重みがあり")):
        ask("report", "study", "--lang", lang, "--out", "page.html", cwd=tmp_path)
        page = (tmp_path / "page.html").read_text("utf-8")
        assert said in page
    network = ["reduce", "study/weights/run-00000-best.safetensors", "--data", "rows.csv", "--json"]
    assert json.loads(ask(*network, cwd=tmp_path).stdout)["certificate"]["weighted"]
    table(120).with_columns(weight=-pl.col("weight")).write_csv(tmp_path / "negative.csv")
    assert "has the weight -" in refusal("sweep", "negative.csv", *arguments[1:], cwd=tmp_path)
