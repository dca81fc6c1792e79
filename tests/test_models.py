"""Any JAX pytree with a forward pass is trained, measured and kept as networks are."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nucleate import ArchitectureError, InitScale, Network, SpecError, load_problem, train, train_many
from nucleate.models import count_parameters, describe, dtype_of, load_model, outputs_of, save_model, take_apart
from nucleate.observe import Layer, layers_of, measure

PROBLEM = load_problem("sine-5d")


class Gated(eqx.Module):
    """One hidden layer whose units are gated: ``v (sigmoid(G x) * tanh(W x))``."""

    W: jax.Array
    G: jax.Array
    v: jax.Array
    gate: object = jax.nn.sigmoid

    def __call__(self, x):
        return (self.gate(x @ self.G.T) * jnp.tanh(x @ self.W.T)) @ self.v.T

    def layers(self, x):
        entering = np.asarray(x @ self.W.T).T
        leaving = np.asarray(self.gate(x @ self.G.T) * np.tanh(x @ self.W.T)).T
        return [Layer("gated", self.W, self.W, self.v.T, entering, leaving, opposites_are_one=True)]


def gated(seed=0, width=7, dtype="float32"):
    rng = np.random.default_rng(seed)
    return Gated(*(0.3 * rng.standard_normal(shape).astype(dtype) for shape in ((width, 5), (width, 5), (1, width))))


def by_hand(model, rate, steps):
    x, y = PROBLEM.train.x, PROBLEM.train.y
    with jax.enable_x64(True):
        parameters = [model.W, model.G, model.v]

        def loss(parameters):
            W, G, v = parameters
            return jnp.mean((jax.nn.sigmoid(x @ G.T) * jnp.tanh(x @ W.T) @ v.T - y) ** 2) / 2

        for _ in range(steps):
            parameters = [p - rate * g for p, g in zip(parameters, jax.grad(loss)(parameters), strict=True)]
        return [np.asarray(p) for p in parameters]


def test_a_model_of_ones_own_follows_its_gradient():
    model = gated(dtype="float64")
    run = train(model, PROBLEM, learning_rate=0.01, steps=40, evaluations=5)
    for got, expected in zip((run.final.W, run.final.G, run.final.v), by_hand(model, 0.01, 40), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)
    assert run.final.gate is jax.nn.sigmoid


def test_its_layers_are_measured_by_name():
    run = train(gated(), PROBLEM, learning_rate=0.01, steps=10)
    assert run.trajectory["effective_neurons_gated"][0] > 1
    assert measure(run.final, run.initial, PROBLEM.train.x)["relative_distance_gated"] > 0


def test_a_model_without_layers_is_trained_and_its_losses_kept():
    parameters = {"w": np.full((5, 1), 0.1, np.float32)}

    @jax.tree_util.register_pytree_node_class
    class Linear:
        def __init__(self, w):
            self.w = w

        def __call__(self, x):
            return x @ self.w

        def tree_flatten(self):
            return (self.w,), None

        @classmethod
        def tree_unflatten(cls, _, leaves):
            return cls(*leaves)

    run = train(Linear(parameters["w"]), PROBLEM, learning_rate=0.01, steps=20)
    assert run.trajectory.columns == ["step", "train_loss", "validation_loss"]
    assert run.trajectory["train_loss"][-1] < run.trajectory["train_loss"][0]
    assert layers_of(run.final, PROBLEM.train.x) == ()


def test_models_of_one_architecture_train_together_and_others_are_refused():
    alone = [train(gated(seed), PROBLEM, learning_rate=0.01, steps=15) for seed in (0, 1)]
    together = train_many([gated(0), gated(1)], PROBLEM, learning_rates=[0.01, 0.01], steps=15)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.final.W, other.final.W)
    with pytest.raises(SpecError, match=r"one architecture, but there are Gated\(\.W \(7, 5\)"):
        train_many([gated(), gated(width=8)], PROBLEM, learning_rates=[0.01, 0.01])


def test_a_saved_model_comes_back_bit_for_bit_into_one_like_it(tmp_path):
    model = gated(3)
    save_model(model, tmp_path / "model.safetensors")
    back = load_model(tmp_path / "model.safetensors", like=gated(0))
    np.testing.assert_array_equal(outputs_of(back, PROBLEM.test.x), outputs_of(model, PROBLEM.test.x))
    with pytest.raises(ArchitectureError, match="holds parameters of another model"):
        load_model(tmp_path / "model.safetensors", like=gated(width=9))
    with pytest.raises(ArchitectureError, match="There is no model file"):
        load_model(tmp_path / "absent.safetensors", like=gated())


def test_what_cannot_be_trained_is_refused_in_a_sentence():
    with pytest.raises(ArchitectureError, match="has parameters of dtype none"):
        take_apart({"steps": 3})
    with pytest.raises(ArchitectureError, match="dtype float32, float64; make all its arrays float32"):
        take_apart([np.ones(2), np.ones(2, np.float32)])
    with pytest.raises(SpecError, match=r"cannot be called with rows of 5 inputs"):
        train(gated(width=7).__class__(np.ones((7, 4)), np.ones((7, 4)), np.ones((1, 7))), PROBLEM)
    with pytest.raises(SpecError, match=r"makes outputs of shape \(3, 2\) for 3 rows"):
        train(Gated(np.ones((7, 5)), np.ones((7, 5)), np.ones((2, 7))), PROBLEM)


def test_a_network_is_described_counted_and_computed_as_what_it_is():
    network = Network.create(5, [4], 2, scale=InitScale("gain", 1.0), bias=True)
    assert (describe(network), count_parameters(network), dtype_of(network)) == (repr(network), 34, "float32")
    np.testing.assert_array_equal(outputs_of(network, PROBLEM.test.x), network(PROBLEM.test.x))
