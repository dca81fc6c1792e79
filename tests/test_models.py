"""Any JAX pytree with a forward pass is trained, measured and kept as networks are."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nucleate import ArchitectureError, InitScale, Network, SpecError, load_problem, train, train_many
from nucleate.models import count_parameters, describe, dtype_of, load_model, outputs_of, save_model, take_apart
from nucleate.observe import Layer, Measure, layers_of, measure

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


class Summed(eqx.Module):
    """A linear model of two parts, of which one may have no rows."""

    W: jax.Array
    none: jax.Array

    def __call__(self, x):
        return (x @ self.W.T) + (x @ self.none.T).sum(axis=1, keepdims=True)


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


def test_a_parameter_without_entries_is_no_hindrance():
    whole = {"W": np.full((1, 5), 0.1, np.float32), "none": np.zeros((0, 5), np.float32)}
    run = train(Summed(**whole), PROBLEM, learning_rate=0.01, steps=4)
    assert run.final.none.shape == (0, 5)
    assert (whole["W"] != run.final.W).all()


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


def test_the_file_of_another_model_is_not_called_a_damaged_network(tmp_path):
    save_model(gated(3), tmp_path / "model.safetensors")
    with pytest.raises(ArchitectureError, match=r"no fully connected network; nucleate\.models\.load_model reads it"):
        Network.load(tmp_path / "model.safetensors")


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
    with pytest.raises(ArchitectureError, match="has no floating-point arrays among its leaves"):
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


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        (lambda x: [layer_of(1), layer_of(1)], "are called gated, gated; give each its own name"),
        (lambda x: layer_of(1), "cannot be read"),
        (lambda x: [3], r"must give a list of nucleate\.Layer"),
        (lambda x: [Layer("a", *(np.ones((2, 3)),) * 4, np.ones((3, 2)), opposites_are_one=True)], "have shapes"),
        (lambda x: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_layers_that_cannot_be_measured_are_refused(layers, sentence):
    class Model(Gated):
        def layers(self, x):
            return layers(x)

    weights = gated()
    with pytest.raises(ArchitectureError, match=sentence):
        layers_of(Model(weights.W, weights.G, weights.v), PROBLEM.train.x)


def test_layers_that_are_others_than_at_the_start_are_refused():
    said = r"were gated of 7 units with 5 entries at the start, and are gated of 6 units with 5 entries now"
    with pytest.raises(ArchitectureError, match=said):
        measure(gated(width=6), gated(width=7), PROBLEM.train.x)

    asked = []

    class Growing(Gated):
        def layers(self, x):
            asked.append(x)
            return super().layers(x) if len(asked) < 5 else []

    weights = gated()
    with pytest.raises(ArchitectureError, match="and are none now; give a model and a start of one architecture"):
        train(Growing(weights.W, weights.G, weights.v), PROBLEM, steps=40, evaluations=8)


def layer_of(value):
    return Layer("gated", *(np.full((2, 3), value),) * 5, opposites_are_one=True)


@pytest.mark.parametrize(
    ("measures", "sentence"),
    [
        ([Measure("own", lambda layer, start: layer.leaving)], "The measure 'own' fails on layer '1'"),
        ([Measure("own", lambda layer, start: None)], "The measure 'own' fails"),
        ([Measure("own", lambda layer, start: 1 / 0)], "The measure 'own' fails .*division by zero"),
        ([Measure("own", lambda layer, start: 1.0)] * 2, "are called own, own; give each its own name"),
        (["directions"], r"give a list of nucleate\.Measure"),
    ],
)
def test_what_is_no_measure_is_refused(measures, sentence):
    network = Network.create(5, [4], 1, scale=InitScale("gain", 1.0))
    with pytest.raises(SpecError, match=sentence):
        train(network, PROBLEM, steps=3, measures=measures)


def test_a_measure_cannot_change_what_the_next_one_sees():
    def spoil(layer, start):
        layer.incoming[:] = 0
        return 0.0

    network = Network.create(5, [4], 1, scale=InitScale("gain", 1.0))
    with pytest.raises(SpecError, match="read-only"):
        train(network, PROBLEM, steps=3, measures=[Measure("spoil", spoil)])


def test_a_name_is_not_a_problem_and_a_text_not_a_rate():
    network = Network.create(5, [4], 1, scale=InitScale("gain", 1.0))
    with pytest.raises(SpecError, match=r"The problem is 'sine-5d'; make it one first, as by nucleate\.load_problem"):
        train(network, "sine-5d")
    with pytest.raises(SpecError, match=r"The learning rate is '0\.1'; it must be a positive number"):
        train(network, PROBLEM, learning_rate="0.1")


def test_a_loss_that_is_nan_before_the_first_step_is_refused():
    model = gated()
    spoiled = Gated(model.W, model.G, np.full_like(model.v, np.nan))
    with pytest.raises(SpecError, match="The loss of run 1 is NaN or infinite before its first step"):
        train_many([model, spoiled], PROBLEM, learning_rates=[0.1, 0.1], steps=5)
