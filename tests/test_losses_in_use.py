"""Every loss for amounts goes all the way: forecast, train, sweep, compare, report, reduce, export, predict."""

import json

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, mean_poisson_deviance

import nucleate
from nucleate.exports import predict
from nucleate.problems import get_loss
from nucleate.studies import load_judgement
from tests.cli.asking import ask, refusal

pytestmark = pytest.mark.slow

LOSSES = ["poisson", "quantile:0.9"]
GRID = ["--hidden", "6", "--gains", "1,0.1", "--lrs", "0.1", "--steps", "100", "--evaluations", "5"]
TARGET = {"poisson": "claims", "quantile:0.9": "cost"}
METRIC = {
    "poisson": ("deviance", mean_poisson_deviance),
    "huber:0.5": ("mae", mean_absolute_error),
    "quantile:0.9": ("pinball_loss", lambda true, predicted: mean_pinball_loss(true, predicted, alpha=0.9)),
}
FURTHER = {"poisson": ["d2", "mae"], "quantile:0.9": ["coverage:0.9", "d2"]}
WORDS = {
    "poisson": ("Poisson deviance", "ポアソン逸脱度"),
    "quantile:0.9": ("at or below the prediction, which is asked for 0.9", "予測値以下の行の割合（指定値 0.9）"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("losses")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((160, 3))
    table = {f"x{k}": x[:, k] for k in range(3)}
    table["claims"] = rng.poisson(3 * np.exp(np.tanh(x[:, 0] - x[:, 1])))
    table["cost"] = 100 + 20 * (x[:, 0] + rng.standard_t(2, 160))
    pl.DataFrame(table).write_csv(folder / "data.csv")
    return folder


@pytest.fixture(scope="module", params=LOSSES)
def swept(request, folder):
    loss = request.param
    other = {"claims": "cost", "cost": "claims"}[TARGET[loss]]
    flags = ["--target", TARGET[loss], "--without", other, "--loss", loss, *GRID, "--json"]
    study = folder / f"study-{TARGET[loss]}"
    answer = ask("sweep", folder / "data.csv", *flags, "--out", study)
    assert answer.exit_code == 0, answer.stderr
    return loss, folder, study


def test_a_sweep_keeps_the_loss_and_judges_by_its_metric(swept):
    loss, _, path = swept
    study = nucleate.Study.load(path)
    problem = study.load_problem()
    assert study.spec.loss is problem.loss is get_loss(loss)
    name, value = METRIC[loss]
    predicted = problem.predict(study.network(0)(problem.test.x))
    expected = value(problem.preprocessing.in_units(problem.test.y)[:, 0], predicted[:, 0])
    assert study.results[f"test_{name}"][0] == pytest.approx(expected, rel=1e-5)
    judgement = load_judgement(study)
    assert list(judgement.further) == FURTHER[loss]
    constant, linear, _ = judgement.baselines
    assert linear.validation < constant.validation
    again = nucleate.sweep(study, progress=False)
    assert again.results.equals(study.results)


def test_the_page_says_the_metrics_in_both_languages(swept):
    loss, folder, path = swept
    for lang, words in zip(("en", "ja"), WORDS[loss], strict=True):
        page = nucleate.report(path, out=folder / "page.html", lang=lang).read_text("utf-8")
        assert words in page
        assert loss in page


def test_a_reduction_is_certified_in_the_targets_units_and_its_file_predicts_the_same(swept):
    loss, folder, path = swept
    answer = ask("reduce", path, "--out", "small.onnx", "--json", cwd=folder)
    assert answer.exit_code == 0, answer.stderr
    said = json.loads(answer.stdout)
    assert list(said["further"]["after"]) == FURTHER[loss]
    reduction, problem = nucleate.load_reduction(path / "reduction"), nucleate.Study.load(path).load_problem()
    moved = [problem.predict(network(problem.test.x)) for network in (reduction.original, reduction.network)]
    assert said["certificate"]["largest_deviation"] == pytest.approx(np.abs(np.subtract(*moved)).max(), rel=1e-4)
    table = pl.read_csv(folder / "data.csv")
    expected = problem.predict(reduction.network(problem.preprocessing.transform(table)))
    for model in ("small.onnx", path / "reduction" / "network.onnx"):
        found = predict(folder / model, folder / "data.csv").table[TARGET[loss]]
        np.testing.assert_allclose(found, expected[:, 0], rtol=1e-4)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (
            ["--loss", "quantile:1.5", "--target", "cost"],
            "--loss is 'quantile:1.5', but the level of the loss quantile",
        ),
        (
            ["--loss", "huber:-1", "--target", "cost"],
            "the delta of the loss huber is -1.0; it must be a positive number",
        ),
        (["--loss", "squared:2", "--target", "cost"], "the loss squared has no parameter"),
        (["--loss", "poisson", "--target", "cost"], "and the loss 'poisson' is for counts, which are whole numbers"),
        (["--loss", "hubber", "--target", "cost"], "there is no loss 'hubber'; did you mean 'huber'?"),
        (
            ["--loss", "huber", "--task", "classification"],
            "The loss 'huber:1' is for regression, not for classification",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(folder, flags, says):
    for command in ("sweep", "forecast"):
        said = refusal(command, "data.csv", *flags, "--hidden", "6", "--gains", "1", cwd=folder)
        assert says in said
        assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("loss", METRIC)
def test_several_targets_are_learned_together(folder, loss):
    table = pl.read_csv(folder / "data.csv")
    x = table.select("x0", "x1", "x2").to_numpy()
    y = table.select(claims="claims", more=pl.col("claims") * 10).to_numpy().astype(float)
    problem = nucleate.Problem.from_arrays(x, y, loss=loss)
    network = nucleate.Network.create(3, [6], 2, scale=nucleate.InitScale("gain", 0.5), bias=True)
    run = nucleate.train(network, problem, learning_rate=0.1, steps=200, measures=())
    start, end = (problem.metric(net(problem.train.x), problem.train.y) for net in (run.initial, run.final))
    assert end < 0.95 * start
    # What is ten times as large is predicted ten times as large.
    values = problem.predict(run.final(problem.test.x))
    np.testing.assert_allclose(values.mean(axis=0)[1], 10 * values.mean(axis=0)[0], rtol=0.2)


@pytest.mark.parametrize("loss", ["poisson", nucleate.problems.huber(0.5)], ids=["name", "object"])
def test_the_estimator_takes_a_loss_by_its_name_or_as_an_object(folder, loss):
    table = pl.read_csv(folder / "data.csv")
    model = clone(nucleate.CondensedRegressor(hidden=[6], loss=loss, scale=1.0, steps=100))
    x, y = table.select("x0", "x1", "x2").to_numpy(), table["claims"].to_numpy()
    predicted = model.fit(x, y).predict(x)
    assert mean_absolute_error(y, predicted) < 0.9 * mean_absolute_error(y, np.full(len(y), np.median(y)))
    assert loss != "poisson" or predicted.min() > 0


def test_an_estimator_refuses_a_loss_that_is_not_for_it(folder):
    x = np.random.default_rng(0).standard_normal((30, 2))
    with pytest.raises(nucleate.SpecError, match="'cross_entropy' is for classification, and a CondensedRegressor is"):
        nucleate.CondensedRegressor(loss="cross_entropy").fit(x, x[:, 0])
    with pytest.raises(nucleate.DataError, match="the loss 'poisson' is for counts"):
        nucleate.CondensedRegressor(loss="poisson").fit(x, x[:, 0])
