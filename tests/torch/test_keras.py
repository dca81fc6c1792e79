"""Keras 3 models, here on PyTorch, are inspected and watched."""

import numpy as np
import pytest

from nucleate import inspect
from nucleate.inspection import keras_callback

pytest.importorskip("torch")
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
