"""Exported files answer as the network does, on raw rows, and say what was guaranteed."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import onnxruntime
import polars as pl
import pytest
from scipy.special import softmax

import nucleate
from nucleate import InitScale, Network, Problem
from nucleate.activations import activation_names
from nucleate.exports import export
from nucleate.exports.graph import Session, onnx_bytes, raw_rows
from tests.reduction.networks import drawn, regression


@pytest.fixture(scope="module")
def reduced():
    rng = np.random.default_rng(0)
    network = drawn((3, 6, 6, 1), dtype="float32")
    x = rng.standard_normal((200, 3))
    y = 1000 + 50 * np.asarray(network(x)) + rng.standard_normal((200, 1))
    problem = Problem.from_arrays(x, y, task="regression")
    return nucleate.reduce(network, problem, 0.1, baselines=False), problem


def mixed_table(rows=120):
    rng = np.random.default_rng(0)
    size, town = rng.normal(5000, 1000, rows), rng.choice(["Bern", "Apia", "Lomé"], rows)
    garden = rng.choice([True, False], rows)
    price = size / 100 + 7 * (town == "Apia") + 3 * garden
    columns = {"town": town, "size": size, "planet": ["Earth"] * rows, "garden": garden, "price": price}
    return pl.DataFrame(columns)


@pytest.mark.parametrize(
    "name",
    sorted(
        set(activation_names())
        & {"linear", "tanh", "relu", "leaky_relu", "xtanh", "sigmoid_shifted", "softplus_shifted", "gelu", "silu"}
    ),
)
def test_every_activation_is_the_same_function_in_the_file(name):
    network = drawn((3, 8, 1), activation=name, gain=2.0, dtype="float32")
    problem = regression(np.random.default_rng(0), network)
    rows = raw_rows(problem.preprocessing, problem.test.x)
    got = Session(onnx_bytes(network, problem.preprocessing, {}))(rows)["prediction"]
    np.testing.assert_allclose(got, network(problem.test.x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [5, 600])
def test_a_file_takes_raw_rows_with_texts_truth_values_and_unknown_categories(width):
    table = mixed_table()
    problem = Problem.from_table(table, target="price", task="regression")
    network = Network.create(problem.inputs, [width], 1, scale=InitScale("gain", 1.0), bias=True)
    session = Session(onnx_bytes(network, problem.preprocessing, {}))
    assert session.feeds(table)["numbers"].flags.c_contiguous
    fresh = pl.DataFrame(
        {"size": [4000.0, 6000.5], "town": ["Rome", "Lomé"], "garden": [True, False], "planet": ["Mars"] * 2}
    )
    expected = problem.preprocessing.inverse_target(network(problem.preprocessing.transform(fresh)))
    np.testing.assert_allclose(session(fresh)["prediction"], expected, rtol=1e-6)


@pytest.mark.parametrize("labels", [["no", "yes", "maybe"], [3, 7, 11], [False, True]])
def test_labels_are_those_of_the_data(labels):
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"x": rng.standard_normal(90), "z": rng.standard_normal(90), "kind": (labels * 45)[:90]})
    problem = Problem.from_table(table, target="kind", task="classification")
    network = Network.create(2, [4, 3], len(labels), scale=InitScale("gain", 1.0), bias=True)
    answers = Session(onnx_bytes(network, problem.preprocessing, {}))(table)
    outputs = network(problem.preprocessing.transform(table))
    assert answers["label"].tolist() == problem.preprocessing.inverse_target(outputs).tolist()
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
    got = Session(onnx_bytes(network, problem.preprocessing, {}))(raw_rows(problem.preprocessing, problem.test.x))
    expected = problem.preprocessing.inverse_target(network(problem.test.x))
    np.testing.assert_allclose(got["prediction"], expected, atol=1e-5 * x.std(), rtol=1e-7)


@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
def test_an_export_is_run_and_the_difference_reported(reduced, tmp_path, ending):
    reduction, problem = reduced
    done = export(reduction, problem, tmp_path / f"small.{ending}")
    assert done.path.exists()
    assert done.rows == len(problem.test.x)
    assert done.largest_difference < 1e-3
    assert "answers as the network does on 40 rows" in str(done)


def test_the_difference_is_of_the_file_and_not_taken_for_granted(reduced, tmp_path, monkeypatch):
    reduction, problem = reduced

    def wrong(network, preprocessing, metadata):
        weights = (network.weights[0] + jnp.float32(0.1), *network.weights[1:])
        return onnx_bytes(replace(network, weights=weights), preprocessing, metadata)

    monkeypatch.setattr("nucleate.exports.files.onnx_bytes", wrong)
    with pytest.raises(nucleate.NucleateError, match="departs from the network by"):
        export(reduction, problem, tmp_path / "small.onnx")
    assert not (tmp_path / "small.onnx").exists()


def test_the_file_says_what_was_guaranteed(reduced, tmp_path):
    reduction, problem = reduced
    export(reduction, problem, tmp_path / "small.onnx")
    says = onnxruntime.InferenceSession(tmp_path / "small.onnx").get_modelmeta().custom_metadata_map
    assert says["certificate"] == str(reduction.certificate)
    assert says["numbers"] == '["x1", "x2", "x3"]'
    export(reduction, problem, tmp_path / "small.safetensors")
    kept = nucleate.network.read_metadata(tmp_path / "small.safetensors")
    assert kept["certificate"] == says["certificate"]
    assert kept["preprocessing"] == problem.preprocessing.to_json()


@pytest.mark.parametrize(
    ("path", "says"),
    [("small.pt", "ends in '.pt'; expected .onnx or .safetensors"), ("no/small.onnx", "does not exist; make it")],
)
def test_a_path_where_nothing_can_go_is_refused(reduced, tmp_path, path, says):
    with pytest.raises(nucleate.SpecError, match=says):
        export(*reduced, tmp_path / path)


def test_an_activation_of_ones_own_has_no_onnx_form_and_the_message_says_what_has(reduced, tmp_path):
    reduction, problem = reduced
    own = nucleate.Activation("sine", jnp.sin, 1, 1.0, 1.0, parity="odd")
    with pytest.raises(nucleate.ArchitectureError, match=r"'sine' has no ONNX form here; export to a .safetensors"):
        export(replace(reduction, network=replace(reduction.network, activation=own)), problem, tmp_path / "small.onnx")
