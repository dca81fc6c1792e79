"""Keras 3 models, on PyTorch and on JAX, are inspected and watched."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from nucleate import ArchitectureError, SpecError, diagnose, forecast, inspect
from nucleate.inspection import keras_callback

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    found = pytest.importorskip("keras")
    assert found.backend.backend() == "torch"
    return found


def made(keras):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((4,)), *layers])


def test_units_are_the_columns_of_a_dense_kernel(keras):
    model = made(keras)
    kernel = model.layers[0].kernel
    kernel.assign(np.outer([1.0, -2.0, 0.5, 3.0], np.arange(1.0, 9.0)))
    found = inspect(model)
    first = found.layers.row(0, named=True)
    assert (first["directions"], first["condensed_pairs"]) == (1.0, 1.0)


def test_on_pytorch_layers_are_of_the_kinds_that_they_are_of_on_jax(keras):
    layers = keras.layers
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.SeparableConv2D(6, 3)])
    assert inspect(model).layers.select("kind", "units").rows() == [("kernel", 4), ("kernel", 4), ("kernel", 6)]
    recurrent = keras.Sequential([keras.Input((5, 3)), layers.LSTM(4)])
    gates = [f"{name} gate" for name in ("input", "forget", "cell", "output")]
    assert inspect(recurrent).layers.select("kind", "units").rows() == [(gate, 4) for gate in 2 * gates]
    queries = keras.Input((5, 8))
    attention = keras.Model(queries, layers.MultiHeadAttention(2, 4)(queries, queries))
    assert sorted(inspect(attention).layers["kind"]) == ["key", "output", "query", "value"]
    wrapped = keras.Sequential([layers.TorchModuleWrapper(torch.nn.Linear(4, 8)), layers.Dense(3)])
    wrapped(np.zeros((2, 4), np.float32))
    assert inspect(wrapped).layers["units"].to_list() == [8, 3]
    with pytest.raises(ArchitectureError, match="is not built"):
        inspect(keras.Sequential([layers.Dense(3)]))
    inputs = np.zeros((4, 8, 8, 1), np.float32)
    assert any("effective neurons" in reason for reason in inspect(model, inputs).left_out["reason"])


def test_a_keras_model_is_told_what_is_done_with_it_instead(keras):
    model = made(keras)
    x = np.random.default_rng(0).standard_normal((40, 4)).astype("float32")
    with pytest.raises(SpecError, match=r"No forecast is made of a Keras model; build .* torch.nn.Sequential"):
        forecast(model, (x, x[:, :1]))
    with pytest.raises(SpecError, match=r"The doctor trains no Keras model; watch .*keras_callback"):
        diagnose(model, (x, x[:, :1]))
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1], epochs=2, verbose=0, callbacks=[callback := keras_callback()])
    assert diagnose(callback.watch).findings
    with pytest.raises(SpecError, match="The doctor trains no Keras model"):
        diagnose(callback.watch, (x, x[:, :1]))


def test_training_is_watched_and_not_changed(keras):
    x = np.random.default_rng(0).standard_normal((32, 4)).astype("float32")
    y = np.tanh(x[:, :1])
    weights = []
    for callbacks in ([], [keras_callback(x[:16])]):
        model = made(keras)
        model.compile(keras.optimizers.SGD(0.1), "mse")
        history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False, callbacks=callbacks)
        weights.append(model.get_weights())
    assert all((one == other).all() for one, other in zip(*weights, strict=True))
    assert callbacks[0].watch.steps == 8
    assert any(name.endswith("/effective_rank") for name in history.history)


WITH_JAX = """
import json, sys
import json
import os
import subprocess
import sys

import numpy as np
import keras
from nucleate import inspect
from nucleate.inspection import keras_callback

x = np.random.default_rng(0).standard_normal((32, 4)).astype("float32")
y = np.tanh(x[:, :1])


def fitted(callbacks):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    start = inspect(model)
    history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False, callbacks=callbacks)
    return model, start, history.history


callback = keras_callback(every=1)
(alone, _, _), (model, start, history) = fitted([]), fitted([callback])
norms = callback.watch.table.filter(measure="norm", layer=start.layers["layer"][0])
print(json.dumps({
    "backend": keras.backend.backend(),
    "torch": "torch" in sys.modules,
    "alike": all((a == b).all() for a, b in zip(alone.get_weights(), model.get_weights(), strict=True)),
    "steps": norms["step"].to_list(),
    "norms": norms["value"].to_list(),
    "first": start.layers["norm"][0],
    "name": start.layers["layer"][0],
    "last": float(np.linalg.norm(model.layers[0].kernel)),
    "logged": sorted(history),
    "table": inspect(model).layers.select("kind", "units").rows(),
}))
"""


def test_under_jax_each_record_is_of_the_weights_of_its_step(keras):
    # The backend of Keras is chosen once in a process; in this one it is PyTorch.
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    run = subprocess.run([sys.executable, "-c", WITH_JAX], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert (said["backend"], said["torch"], said["alike"]) == ("jax", False, True)
    assert said["steps"] == list(range(9))
    # Under JAX the model has the weights of the epoch's start until it is asked for those of the step.
    assert len(set(said["norms"])) == 9
    assert (said["norms"][0], said["norms"][-1]) == (pytest.approx(said["first"]), pytest.approx(said["last"]))
    assert f"condensation/{said['name']}/effective_rank" in said["logged"]
    assert said["table"] == [["linear", 8], ["linear", 1]]
