"""Exported files answer as the network does, on raw rows, and say what they are told."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import polars as pl
import pytest
from scipy.special import softmax

import nucleate
from nucleate import InitScale, Network, Problem
from nucleate.activations import activation_names, get_activation
from nucleate.exports import Session, export, onnx_bytes, predict, time_inference
from nucleate.exports.graph import has_onnx_form, raw_rows
from nucleate.problems import CROSS_ENTROPY, SQUARED, Link
from tests.reduction.networks import LOG, counts, drawn, regression


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    network = drawn((3, 6, 6, 1), dtype="float32")
    x = rng.standard_normal((200, 3))
    y = 1000 + 50 * np.asarray(network(x)) + rng.standard_normal((200, 1))
    return network, Problem.from_arrays(x, y, task="regression")


def mixed_table(rows=120):
    rng = np.random.default_rng(0)
    size, town = rng.normal(5000, 1000, rows), rng.choice(["Bern", "Apia", "Lomé"], rows)
    garden = rng.choice([True, False], rows)
    price = size / 100 + 7 * (town == "Apia") + 3 * garden
    columns = {"town": town, "size": size, "planet": ["Earth"] * rows, "garden": garden, "price": price}
    return pl.DataFrame(columns)


@pytest.mark.parametrize("name", [name for name in activation_names() if get_activation(name).onnx is not None])
def test_every_activation_is_the_same_function_in_the_file(name):
    network = drawn((3, 8, 1), activation=name, gain=2.0, dtype="float32")
    problem = regression(np.random.default_rng(0), network)
    rows = raw_rows(problem.preprocessing, problem.test.x)
    got = Session(onnx_bytes(network, problem.preprocessing, problem.loss)).predictions(rows)
    np.testing.assert_allclose(got, network(problem.test.x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [5, 600])
def test_a_file_takes_raw_rows_with_texts_truth_values_and_unknown_categories(width):
    table = mixed_table()
    problem = Problem.from_table(table, target="price", task="regression")
    network = Network.create(problem.inputs, [width], 1, scale=InitScale("gain", 1.0), bias=True)
    session = Session(onnx_bytes(network, problem.preprocessing, problem.loss))
    assert session.feeds(table)["numbers"].flags.c_contiguous
    fresh = pl.DataFrame(
        {"size": [4000.0, 6000.5], "town": ["Rome", "Lomé"], "garden": [True, False], "planet": ["Mars"] * 2}
    )
    expected = problem.preprocessing.decode(network(problem.preprocessing.transform(fresh)))
    np.testing.assert_allclose(session(fresh)["prediction"], expected, rtol=1e-6)


def test_texts_count_in_any_case_and_width_where_that_tells_them_from_others():
    rng = np.random.default_rng(0)
    names = ["Yes", "no", "バス", "Zoé (x|y)", "mW", "MW"]
    table = mixed_table().with_columns(town=pl.Series(rng.choice(names, 120)))
    problem = Problem.from_table(table, target="price", task="regression")
    network = Network.create(problem.inputs, [5], 1, scale=InitScale("gain", 1.0), bias=True)
    session = Session(onnx_bytes(network, problem.preprocessing, problem.loss))
    known = ["Yes", "YES ", "ｙｅｓ", "No", "ﾊﾞｽ", "zoÉ (x|y)", "Zoe\u0301 (X|Y)", "mW", "MW"]
    unknown = ["yess", "ハス", "zoe (x|y)", "Zoé (xzy)", "Mw"]
    rows = mixed_table(14).with_columns(town=pl.Series(known + unknown))
    assert session(rows)["unknown"].tolist() == [0] * 9 + [1] * 5
    assert problem.preprocessing.unknown(rows)["town"].to_list() == [False] * 9 + [True] * 5
    expected = problem.preprocessing.decode(network(problem.preprocessing.transform(rows)))
    np.testing.assert_allclose(session(rows)["prediction"], expected, rtol=1e-6)


def with_gaps(rows=120):
    table, rng = mixed_table(rows), np.random.default_rng(1)
    gaps = {name: pl.when(pl.Series(rng.random(rows) < 0.8)).then(pl.col(name)) for name in ("town", "size", "garden")}
    return table.with_columns(**gaps)


@pytest.mark.parametrize("impute", ["median", "mean", "most_frequent"])
@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
def test_missing_cells_are_imputed_in_the_file_as_in_python(impute, ending, tmp_path):
    table = with_gaps()
    problem = Problem.from_table(table, target="price", task="regression", impute=impute)
    network = Network.create(problem.inputs, [7], 1, scale=InitScale("gain", 1.0), bias=True)
    assert export(network, problem, tmp_path / f"model.{ending}").largest_difference < 1e-4
    expected = problem.predict(network(problem.preprocessing.transform(table)))
    done = predict(tmp_path / f"model.{ending}", table.drop("price"))
    np.testing.assert_allclose(done.table["price"], expected[:, 0], rtol=1e-5)
    assert done.table["unknown"].to_list() == [0] * len(table)
    fill = problem.preprocessing.inputs[1].fill
    assert any(
        "'size' has no value in rows" in note and f"imputed as in training: {fill}" in note for note in done.notes
    )


def test_a_file_without_texts_is_predicted(case, tmp_path):
    network, problem = case
    export(network, problem, tmp_path / "small.onnx")
    rows = raw_rows(problem.preprocessing, problem.test.x)
    rows.write_csv(tmp_path / "rows.csv")
    done = predict(tmp_path / "small.onnx", tmp_path / "rows.csv")
    np.testing.assert_allclose(done.table["y"], problem.predict(network(problem.test.x))[:, 0], rtol=1e-5)
    assert done.table.columns == ["row", "y"]


@pytest.mark.parametrize("name", ["row", "deviation", "unknown"])
def test_a_target_may_have_the_name_of_a_column_beside_its_predictions(tmp_path, name):
    table = mixed_table().rename({"price": name})
    problem = Problem.from_table(table, target=name)
    network = Network.create(problem.inputs, [5], 1, scale=InitScale("gain", 1.0), bias=True)
    export(network, problem, tmp_path / "network.onnx", {"certificate": "Close.", "deviation": "0.5"})
    done = predict(tmp_path / "network.onnx", table).table
    assert done.columns == ["row", f"prediction of {name}", "deviation", "unknown"]
    expected = problem.preprocessing.decode(network(problem.preprocessing.transform(table)))
    np.testing.assert_allclose(done[f"prediction of {name}"], expected[:, 0], rtol=1e-5)
    assert (done["row"].to_list(), done["deviation"].unique().to_list()) == ([*range(1, 121)], [0.5])


@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
def test_each_of_several_targets_has_its_own_deviation(tmp_path, ending):
    table = mixed_table().with_columns(pl.col("price").alias("deviation of price") * 1000)
    problem = Problem.from_table(table, target=["price", "deviation of price"])
    network = Network.create(problem.inputs, [5], 2, scale=InitScale("gain", 1.0), bias=True)
    model = tmp_path / f"network.{ending}"
    export(network, problem, model, {"certificate": "Close.", "deviation": "[0.5, 500.0]"})
    done = predict(model, table).table
    both = ["price", "prediction of deviation of price", "deviation of price", "deviation of deviation of price"]
    assert done.columns == ["row", *both, "unknown"]
    assert done.select(both[2:]).unique().rows() == [(0.5, 500.0)]
    export(network, problem, model, {"certificate": "Close.", "deviation": "[0.5, 1, 2]"})
    with pytest.raises(nucleate.ArchitectureError, match="no readable certificate"):
        predict(model, table)


def test_what_a_reader_takes_for_missing_is_imputed_in_plain_onnxruntime(tmp_path):
    (tmp_path / "homes.csv").write_text(with_gaps().write_csv(null_value="NA"))
    problem = nucleate.load_problem(tmp_path / "homes.csv", target="price", task="regression", impute="median")
    network = Network.create(problem.inputs, [7], 1, scale=InitScale("gain", 1.0), bias=True)
    run = onnxruntime.InferenceSession(onnx_bytes(network, problem.preprocessing, problem.loss)).run
    town, _, _, garden = problem.preprocessing.inputs
    cells = [["", "NA"], ["NA ", "true"], ["null", "?"], [town.fill, str(garden.fill)]]
    numbers = np.array([[np.nan], [np.nan], [5000.0], [np.nan]])
    answers, unknown = run(["prediction", "unknown"], {"numbers": numbers, "texts": np.array(cells, object)})
    rows = pl.DataFrame({"town": [None] * 4, "garden": [None, True, None, None], "size": [None, None, 5000.0, None]})
    rows = rows.with_columns(planet=pl.lit("Earth")).cast({"town": pl.String})
    expected = problem.predict(network(problem.preprocessing.transform(rows)))
    np.testing.assert_allclose(answers, expected, rtol=1e-5)
    assert unknown.tolist() == [0] * 4


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_row_without_a_number_has_no_answer_in_plain_onnxruntime(activation):
    table = mixed_table().with_columns(area=pl.int_range(120) % 7)
    numbers = np.array([[5000.0, 3.0], [np.nan, 3.0], [5000.0, np.nan]])
    texts = np.array([["Bern", "True"]] * 3, object)
    for target, labels in (("price", None), ("town", 3), ("garden", 2)):
        problem = Problem.from_table(table, target=target)
        network = Network.create(problem.inputs, [7], labels or 1, scale=InitScale("gain", 1.0), activation=activation)
        session = onnxruntime.InferenceSession(onnx_bytes(network, problem.preprocessing, problem.loss))
        kept = [name for name in ("town", "garden") if name != target]
        feeds = {"texts": texts[:, [["town", "garden"].index(name) for name in kept]]}
        more = [] if target == "price" else [[50.0]] * 3
        feeds["numbers"] = np.hstack([numbers, more]) if more else numbers
        got = dict(zip([one.name for one in session.get_outputs()], session.run(None, feeds), strict=True))
        answers = got["prediction" if labels is None else "probabilities"]
        assert np.isfinite(answers[0]).all()
        assert np.isnan(answers[1:]).all()
        if target == "town":
            assert got["label"][0] in problem.preprocessing.labels
            assert got["label"][1:].tolist() == ["", ""]


@pytest.mark.parametrize("labels", [["no", "yes", "maybe"], [3, 7, 11], [False, True]])
def test_labels_are_those_of_the_data(labels):
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"x": rng.standard_normal(90), "z": rng.standard_normal(90), "kind": (labels * 45)[:90]})
    problem = Problem.from_table(table, target="kind", task="classification")
    network = Network.create(2, [4, 3], len(labels), scale=InitScale("gain", 1.0), bias=True)
    answers = Session(onnx_bytes(network, problem.preprocessing, problem.loss))(table)
    outputs = network(problem.preprocessing.transform(table))
    assert answers["label"].tolist() == problem.preprocessing.decode(outputs).tolist()
    np.testing.assert_allclose(answers["probabilities"], softmax(outputs, axis=1), rtol=1e-5)


def test_raw_rows_encode_to_what_they_were_made_from():
    problem = Problem.from_table(mixed_table(), target="price", task="regression")
    rows = raw_rows(problem.preprocessing, problem.test.x)
    garden = pl.col("garden") == "True"
    np.testing.assert_allclose(problem.preprocessing.transform(rows.with_columns(garden)), problem.test.x, atol=1e-12)


@pytest.mark.parametrize("level", [0.0, 1e5, 1e9, 1e14])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e30])
@pytest.mark.parametrize("width", [4, 600])
def test_numbers_of_any_level_and_spread_keep_their_digits(level, spread, width):
    x = spread * (level + np.random.default_rng(0).standard_normal((100, 1)))
    problem = Problem.from_arrays(x, x[:, 0])
    network = drawn((1, width, 1), dtype="float32")
    got = Session(onnx_bytes(network, problem.preprocessing, problem.loss))(
        raw_rows(problem.preprocessing, problem.test.x)
    )
    expected = problem.preprocessing.decode(network(problem.test.x))
    np.testing.assert_allclose(got["prediction"], expected, atol=1e-5 * x.std(), rtol=1e-7)


def test_the_link_of_a_loss_of_ones_own_is_in_the_file(tmp_path):
    problem = counts(np.random.default_rng(0), lambda x: np.exp(5 + x[:, 0]), rows=100)
    network = drawn((3, 8, 1), gain=2.0, dtype="float32")
    doubled = replace(
        LOG,
        function=lambda outputs: jnp.exp(2.0 * outputs),
        onnx=lambda graph, z: graph.add("Exp", graph.add("Mul", graph.number(2.0), z)),
    )
    twice = replace(problem.loss, link=doubled)
    for one in (problem, replace(problem, loss=twice)):
        done = export(network, one, tmp_path / "network.onnx")
        assert done.largest_difference < 1e-4 * one.predict(network(one.test.x)).std()


def test_a_link_to_classes_of_ones_own_is_in_the_file():
    def sharp(outputs):
        return jax.nn.softmax(3.0 * outputs, axis=1)

    def nodes(graph, z):
        return graph.add("Softmax", graph.add("Mul", graph.number(3.0), z), axis=1)

    link = Link("sharp", sharp, "categorical", "classification", onnx=nodes)
    loss = replace(CROSS_ENTROPY, name="sharp", link=link)
    problem = replace(nucleate.load_problem("iris"), loss=loss)
    network = drawn((4, 5, 3), dtype="float32")
    session = Session(onnx_bytes(network, problem.preprocessing, loss))
    rows = raw_rows(problem.preprocessing, problem.test.x)
    predicted = problem.predict(network(problem.test.x))
    np.testing.assert_allclose(session.predictions(rows), predicted, rtol=1e-5)
    assert session(rows)["label"].tolist() == problem.preprocessing.decode(predicted).tolist()


@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
def test_an_export_is_run_and_the_difference_reported(case, tmp_path, ending):
    done = export(*case, tmp_path / f"small.{ending}")
    assert done.path.exists()
    assert done.rows == 40
    assert done.largest_difference < 1e-3
    assert "answers as the network does on 40 rows" in str(done)


def test_the_difference_is_of_the_file_and_not_taken_for_granted(case, tmp_path, monkeypatch):
    def wrong(network, *others):
        weights = (network.weights[0] + np.float32(0.1), *network.weights[1:])
        return onnx_bytes(replace(network, weights=weights), *others)

    monkeypatch.setattr("nucleate.exports.files.onnx_bytes", wrong)
    with pytest.raises(nucleate.NucleateError, match="departs from the network by"):
        export(*case, tmp_path / "small.onnx")
    assert not (tmp_path / "small.onnx").exists()


def test_the_file_must_answer_for_each_of_several_targets(tmp_path, monkeypatch):
    def wrong(network, *others):
        weights = (*network.weights[:-1], network.weights[-1] * np.float32([[1.0], [1.1]]))
        return onnx_bytes(replace(network, weights=weights), *others)

    rng = np.random.default_rng(0)
    problem = Problem.from_arrays(rng.standard_normal((100, 3)), rng.standard_normal((100, 2)) * [1e6, 1.0])
    network = drawn((3, 6, 2), dtype="float32")
    assert export(network, problem, tmp_path / "small.onnx").rows == 20
    monkeypatch.setattr("nucleate.exports.files.onnx_bytes", wrong)
    with pytest.raises(nucleate.NucleateError, match="departs from the network by"):
        export(network, problem, tmp_path / "small.onnx")


def test_the_file_says_what_it_is_told_and_how_to_read_it(case, tmp_path):
    network, problem = case
    export(network, problem, tmp_path / "small.onnx", {"certificate": "none"})
    says = onnxruntime.InferenceSession(tmp_path / "small.onnx").get_modelmeta().custom_metadata_map
    assert says["certificate"] == "none"
    assert says["numbers"] == '["x1", "x2", "x3"]'
    export(network, problem, tmp_path / "small.safetensors", {"certificate": "none"})
    kept = nucleate.network.read_metadata(tmp_path / "small.safetensors")
    assert kept["certificate"] == "none"
    assert kept["loss"] == "squared"
    assert kept["preprocessing"] == problem.preprocessing.to_json()


def test_more_neurons_take_longer():
    problem = nucleate.load_problem("diabetes")
    wide, narrow = (drawn((10, width, width, 1), dtype="float32") for width in (512, 4))
    assert time_inference(wide, problem) > time_inference(narrow, problem) > 0


@pytest.mark.parametrize(
    ("path", "says"),
    [("small.pt", "ends in '.pt'; expected .onnx or .safetensors"), ("no/small.onnx", "does not exist; make it")],
)
def test_a_path_where_nothing_can_go_is_refused(case, tmp_path, path, says):
    with pytest.raises(nucleate.SpecError, match=says):
        export(*case, tmp_path / path)


def test_what_is_no_network_or_not_of_these_data_is_refused_in_a_sentence(case, tmp_path):
    _, problem = case
    with pytest.raises(nucleate.SpecError, match="A tuple cannot be exported, for files are of fully connected"):
        export((np.ones((3, 1)),), problem, tmp_path / "small.onnx")
    with pytest.raises(nucleate.SpecError, match="from 2 inputs to 1 outputs"):
        export(drawn((2, 3, 1)), problem, tmp_path / "small.onnx")


def test_without_an_onnx_form_the_message_says_what_has_one(case, tmp_path):
    network, problem = case
    sine = nucleate.Activation("sine", jnp.sin, 1, 1.0, 1.0, parity="odd")
    odd = replace(network, activation=sine)
    with pytest.raises(nucleate.ArchitectureError, match=r"activation 'sine' has no ONNX form; .* a .safetensors"):
        export(odd, problem, tmp_path / "small.onnx")
    cubic = replace(SQUARED, link=Link("cubic", lambda outputs: outputs**3))
    with pytest.raises(nucleate.ArchitectureError, match="link 'cubic' has no ONNX form"):
        export(network, replace(problem, loss=cubic), tmp_path / "small.onnx")
    assert not has_onnx_form(odd, SQUARED)
    assert has_onnx_form(replace(network, activation=replace(sine, onnx=lambda graph, z: graph.add("Sin", z))), SQUARED)


def test_a_safetensors_file_of_an_activation_of_ones_own_is_checked_by_what_its_name_means(case, tmp_path, monkeypatch):
    network, problem = case
    monkeypatch.setattr("nucleate.activations._REGISTERED", {})
    first, second = (nucleate.Activation("bent", function, 1, 1.0, 1.0) for function in (jnp.sin, jnp.arctan))
    odd = replace(network, activation=first)
    # Not registered, it is given to whoever loads the file.
    assert export(odd, problem, tmp_path / "own.safetensors").largest_difference == 0
    nucleate.register_activation(second)
    with pytest.raises(
        nucleate.NucleateError, match="another activation has been registered by the name 'bent'"
    ) as told:
        export(odd, problem, tmp_path / "own.safetensors")
    assert "ONNX" not in str(told.value)
    assert not (tmp_path / "own.safetensors").exists()
