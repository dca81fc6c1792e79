"""The estimators are scikit-learn's: its own checks, its tools, and what ours say beside."""

import pickle

import numpy as np
import optax
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import parametrize_with_checks

from nucleate import ArchitectureError, CondensedClassifier, CondensedRegressor, DataError, SpecError
from nucleate.observe import measure
from nucleate.optimizers import Optimizer

pytestmark = pytest.mark.slow

SMALL = {"hidden": (12, 12), "scale": 0.3, "steps": 200, "reduce": True}
PLAIN = SMALL | {"reduce": False}
# For scikit-learn's checks, of which nearly each has data of another shape, and so a program of its own to compile.
TINY = SMALL | {"hidden": (6,), "steps": 100}


# The checks' data are often too few to certify a reduction, which is said; pandas is not among our requirements.
@pytest.mark.filterwarnings("ignore:There are .* rows, and 95 are needed", "ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [CondensedRegressor(**TINY | {"reduce": False}), CondensedClassifier(**TINY)],
    expected_failed_checks=lambda estimator: {
        f"check_sample_weight_equivalence_on_{kind}_data": "a repeated row may lie on both sides of the split"
        for kind in ("dense", "sparse")
    },
)
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True, scaled=False)


@pytest.fixture(scope="module")
def fitted(diabetes):
    return CondensedRegressor(**SMALL).fit(*diabetes)


def test_what_is_fitted_says_what_it_found(fitted):
    assert fitted.scale_ == 0.3
    assert len(fitted.n_effective_neurons_) == 2
    assert all(1 <= count <= 12 for count in fitted.n_effective_neurons_)
    assert fitted.network_ is fitted.reduction_.network
    assert fitted.reduction_.share_kept < 1
    assert fitted.reduction_.certificate.rows == 88
    assert fitted.reduction_.hidden.before == (12, 12)


def test_without_reduction_the_trained_network_predicts(diabetes, fitted):
    plain = CondensedRegressor(**PLAIN).fit(*diabetes)
    assert plain.reduction_ is None
    assert plain.network_.hidden == (12, 12)
    row = measure(plain.network_, plain.network_, plain.preprocessing_.transform(diabetes[0]))
    assert plain.n_effective_neurons_ == pytest.approx(
        [row["effective_neurons_1"], row["effective_neurons_2"]], rel=0.2
    )
    assert plain.score(*diabetes) == pytest.approx(fitted.score(*diabetes), abs=0.1)


def test_by_default_no_row_is_set_aside_to_certify():
    """On these few rows a fifth of them is what a network misses."""
    rng = np.random.default_rng(0)
    x, new = rng.standard_normal((100, 12)), rng.standard_normal((2000, 12))
    weights = rng.standard_normal(12)
    y, settings = x @ weights + 2 * rng.standard_normal(100), {k: v for k, v in SMALL.items() if k != "reduce"}
    default, reduced = (CondensedRegressor(**settings | change).fit(x, y) for change in ({}, {"reduce": True}))
    assert default.reduction_ is None
    assert reduced.reduction_.certificate.rows == 20
    # Standardized by the rows that were trained on: 80 of them, and 60 where 20 certify.
    means = [[column.mean for column in model.preprocessing_.inputs] for model in (default, reduced)]
    assert min(np.abs(np.subtract(*means))) > 0
    assert default.score(new, new @ weights) > reduced.score(new, new @ weights)


def test_of_classes_the_certificate_is_class_by_class():
    x, y = load_wine(return_X_y=True)
    certificate = CondensedClassifier(**SMALL).fit(x, y).reduction_.certificate
    assert [entry.label for entry in certificate.classes] == [0, 1, 2]
    assert sum(entry.seen for entry in certificate.classes) == 178
    assert sum(entry.held_out for entry in certificate.classes) == certificate.rows == 35
    assert 1 / 36 < certificate.probability < 1 / 28


def test_auto_tries_four_scales_and_takes_the_best_on_validation(diabetes):
    settings = {"hidden": (12, 12), "steps": 60}
    auto = CondensedRegressor(**settings).fit(*diabetes)
    chosen = CondensedRegressor(**settings, scale=auto.scale_).fit(*diabetes)
    assert auto.scale_ in (1.0, 0.3, 0.1, 0.03)
    np.testing.assert_array_equal(auto.predict(diabetes[0]), chosen.predict(diabetes[0]))


def test_a_gain_for_each_layer_is_taken_as_numbers_or_as_text(diabetes):
    small = PLAIN | {"steps": 2}
    models = [
        CondensedRegressor(**small | {"scale": scale}) for scale in ([1, 0.1, 3], "1x0.1x3", np.array([1, 0.1, 3]))
    ]
    fitted = [clone(model).fit(*diabetes) for model in models]
    sizes = [float(np.std(weight)) * weight.shape[1] ** 0.5 for weight in fitted[0].network_.weights]
    np.testing.assert_allclose(sizes, [1, 0.1, 3], rtol=0.4)
    assert str(fitted[0].scale_) == "1x0.1x3"
    for model in fitted[1:]:
        np.testing.assert_array_equal(model.predict(diabetes[0]), fitted[0].predict(diabetes[0]))


def test_dropout_changes_training_reproducibly_and_no_prediction(diabetes):
    plain, dropped, again = (
        CondensedRegressor(**PLAIN | {"dropout": dropout}).fit(*diabetes).predict(diabetes[0])
        for dropout in (0, 0.5, 0.5)
    )
    np.testing.assert_array_equal(dropped, again)
    assert not np.allclose(plain, dropped, rtol=1e-3)


def test_an_optimizer_of_ones_own_is_kept_as_it_is_given(diabetes):
    signs = Optimizer("signs", optax.sign_sgd)
    model = clone(CondensedRegressor(**PLAIN | {"optimizer": signs, "learning_rate": 0.003}))
    assert model.get_params()["optimizer"] == signs
    assert model.fit(*diabetes).score(*diabetes) > 0.3
    assert model.optimizer == signs


def test_patience_outlasts_the_plateau(diabetes):
    """From gain 0.01 gradient descent shows nothing for hundreds of steps, and then learns."""
    slow = CondensedRegressor(hidden=(12, 12), scale=0.01, optimizer="gd", learning_rate=0.05, steps=6000)
    assert slow.fit(*diabetes).score(*diabetes) > 0.45


def test_the_same_random_state_gives_the_same_bits_and_none_does_not(diabetes, fitted):
    x, y = diabetes
    again = clone(fitted).fit(x, y)
    np.testing.assert_array_equal(again.predict(x), fitted.predict(x))
    other = CondensedRegressor(**PLAIN, random_state=1).fit(x, y)
    assert not np.array_equal(other.predict(x), fitted.predict(x))


def test_a_pickle_predicts_the_same(diabetes, fitted):
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.predict(diabetes[0]), fitted.predict(diabetes[0]))
    assert str(loaded.reduction_) == str(fitted.reduction_)


def test_a_row_is_predicted_alike_alone_and_among_others(diabetes, fitted):
    x = diabetes[0]
    np.testing.assert_allclose(fitted.predict(x[:1]), fitted.predict(x)[:1], rtol=1e-12)


def test_it_works_in_a_pipeline_and_in_a_grid_search(diabetes):
    model = make_pipeline(PolynomialFeatures(1), CondensedRegressor(**PLAIN))
    search = GridSearchCV(model, {"condensedregressor__scale": [0.1, 0.3]}, cv=2, error_score="raise")
    search.fit(*diabetes)
    assert search.best_score_ > 0.3
    assert search.best_params_["condensedregressor__scale"] in (0.1, 0.3)


def test_labels_may_be_texts_and_probabilities_add_up():
    x, y = load_wine(return_X_y=True)
    names = np.array(["red", "rosé", "white"])[y]
    model = CondensedClassifier(**SMALL).fit(x, names)
    assert model.classes_.tolist() == ["red", "rosé", "white"]
    assert model.score(x, names) > 0.9
    proba = model.predict_proba(x)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    assert (model.classes_[proba.argmax(axis=1)] == model.predict(x)).all()
    assert model.reduction_.certificate.labels_changed <= 3


def test_several_targets_keep_their_shape_and_their_units(diabetes):
    x, y = diabetes
    model = CondensedRegressor(**PLAIN).fit(x, np.column_stack([y, 1000 - 2 * y]))
    predicted = model.predict(x)
    assert predicted.shape == (442, 2)
    assert np.sqrt(np.mean((1000 - 2 * predicted[:, 0] - predicted[:, 1]) ** 2)) < 0.2 * (2 * y).std()


def test_columns_with_names_are_known_by_them(diabetes):
    x, y = diabetes
    # A column may have the name that a target without one is given.
    table = pl.DataFrame(x[:, :3], schema=["age", "y", "bmi"])
    model = CondensedRegressor(**PLAIN).fit(table, y)
    assert [column.name for column in model.preprocessing_.inputs] == ["age", "y", "bmi"]
    with pytest.raises(ValueError, match=r"(?s)feature names.*bmi"):
        model.predict(table.rename({"bmi": "weight"}))


def test_too_few_rows_to_certify_are_said_and_nothing_is_reduced(diabetes):
    x, y = diabetes
    with pytest.warns(UserWarning, match="There are 94 rows, and 95 are needed to certify a smaller network"):
        model = CondensedRegressor(**SMALL).fit(x[:94], y[:94])
    assert model.reduction_ is None
    assert model.network_.hidden == (12, 12)
    assert CondensedRegressor(**SMALL).fit(x[:95], y[:95]).reduction_.certificate.rows == 19


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scale": "small"}, "The scale is 'small'; it must be 'auto', a positive number"),
        ({"scale": [1, 0, 1]}, r"The scale is \[1, 0, 1\]; it must be 'auto'"),
        ({"scale": None}, "The scale is None"),
        ({"scale": "1x0.1"}, "gain 1x0.1 has 2 numbers, and the network 3 layers, the output layer included"),
        ({"dropout": 1}, "'dropout' is 1; it must be less than 1"),
        ({"dropout": "half"}, "'dropout' is 'half'"),
        ({"scale": -1}, "The scale is -1"),
        ({"tolerance": 1.5}, "The tolerance is 1.5; it must be between 0 and 1"),
        ({"tolerance": None}, "The tolerance is None"),
        ({"learning_rate": -1}, "The learning rate is -1; it must be a positive number"),
        ({"learning_rate": 1e5, "optimizer": "gd"}, "diverged from every scale at learning rate 100000"),
        ({"optimizer": "sgd"}, "'optimizer' is 'sgd'"),
        ({"activation": "tan"}, "There is no activation 'tan'"),
        ({"hidden": ()}, "needs at least one hidden layer"),
        ({"batch_size": 500}, "The batch size is 500, but there are"),
    ],
)
def test_a_setting_out_of_range_is_said_in_a_sentence(diabetes, change, says):
    with pytest.raises(ValueError, match=says):
        CondensedRegressor(**SMALL | change).fit(*diabetes)


def test_what_is_masked_is_refused_not_read():
    x = np.ma.masked_greater(np.arange(40.0).reshape(20, 2), 38)
    for estimator in (CondensedRegressor(), CondensedClassifier()):
        with pytest.raises(DataError, match="have masked values"):
            estimator.fit(x, np.arange(20) % 2)
        with pytest.raises(DataError, match="have masked values"):
            estimator.fit(x.data, np.ma.masked_equal(np.arange(20) % 2, 1))


def test_unusable_data_are_said_in_a_sentence(diabetes, fitted):
    x, y = diabetes
    gap = x[:5].copy()
    gap[2, 3] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        fitted.predict(gap)
    with pytest.raises(ValueError, match="2 features, but CondensedRegressor is expecting 10"):
        fitted.predict(x[:, :2])
    with pytest.raises(NotFittedError):
        CondensedRegressor().predict(x)
    with pytest.raises(ValueError, match="never vary"):
        CondensedRegressor(**SMALL).fit(np.ones_like(x), y)
    with pytest.raises(ValueError, match=r"'y' is 1\.0 in every row"):
        CondensedRegressor(**SMALL).fit(x, np.ones(len(x)))
    with pytest.raises(ValueError, match="All labels are of one class, 1"):
        CondensedClassifier(**SMALL).fit(x, np.ones(len(x), int))
    with pytest.raises(SpecError):
        CondensedRegressor(**SMALL | {"scale": 0}).fit(x, y)


def test_what_is_refused_has_the_numbers_of_the_rows_that_were_given():
    x = np.linspace(-1, 1, 100)[:, None]
    y = x[:, 0].copy()
    y[[4, 40]] = 1e200
    with pytest.raises(DataError, match=r"beyond 1e\+100 in rows 5, 41;"):
        CondensedRegressor().fit(x, y)
    with pytest.raises(DataError, match=r"\(100 rows with such values\)"):
        CondensedRegressor(loss="poisson").fit(x, x[:, 0] - 3)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("reduce", [False, True])
def test_a_rare_class_has_the_rows_that_were_given_of_it(rows, reduce):
    x, labels = np.random.default_rng(0).standard_normal((200, 3)), np.array(["a", "c"] * 100)
    labels[:rows] = "b"
    with pytest.raises(DataError, match=rf"^The labels have 1 class .* 3 rows \('b' has {rows}\) among their 3"):
        CondensedClassifier(**SMALL | {"reduce": reduce, "steps": 2}).fit(x, labels)


def test_estimators_beyond_the_memory_are_refused_before_a_network_is_drawn(diabetes, monkeypatch):
    monkeypatch.setattr("nucleate.network.standard_normal", lambda *_: pytest.fail("a network was drawn"))
    # The parameters alone would fit.
    monkeypatch.setattr("nucleate.network.MEMORY", 1e12)
    monkeypatch.setattr("nucleate.training.checks.MEMORY", 1e12)
    with pytest.raises(SpecError, match=r"4 x Network\(10-10000000-1, float32\) together need about"):
        CondensedRegressor(hidden=[10**7]).fit(*diabetes)


@pytest.mark.parametrize("hidden", ["8", 8, None, (), (2.5,), (0,)])
def test_hidden_widths_that_no_network_has_are_refused_in_a_sentence(diabetes, hidden):
    with pytest.raises(ArchitectureError, match=r"widths|hidden layer"):
        CondensedRegressor(hidden=hidden, steps=2).fit(*diabetes)


@pytest.mark.parametrize("other", [None, 1])
def test_labels_of_several_types_are_refused_in_a_sentence(other):
    labels = np.array(["a", other] * 30, dtype=object)
    with pytest.raises(DataError, match=r"The labels are of several types, .*str.*; make all of them text"):
        CondensedClassifier(**SMALL).fit(np.random.default_rng(0).standard_normal((60, 2)), labels)


@pytest.mark.parametrize("given", [True, np.True_])
def test_a_truth_value_is_no_random_state(given):
    with pytest.raises(SpecError, match=r"random_state is .*True.*; give a whole number"):
        CondensedRegressor(**PLAIN, random_state=given).fit(np.eye(30), np.arange(30.0))
