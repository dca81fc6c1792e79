"""Optimizers: which optax transformation a name is, and what each does at small gradients."""

import json
import pickle

import jax
import numpy as np
import optax
import pytest

from nucleate import InitScale, Network, SpecError, forecast, load_problem, train
from nucleate.optimizers import ADAM, GD, MOMENTUM, Optimizer, get_optimizer


@pytest.mark.parametrize(
    ("optimizer", "follows"),
    [
        (GD, True),
        (MOMENTUM, True),
        (ADAM, False),
        (Optimizer("sign", optax.sign_sgd), False),
        # Its epsilon stands inside the root, and is larger than the square of small gradients.
        (Optimizer("rmsprop", optax.rmsprop), None),
        (Optimizer("clipped", lambda rate: optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(rate))), True),
        (Optimizer("decayed", lambda rate: optax.chain(optax.add_decayed_weights(0.1), optax.sgd(rate))), None),
        (Optimizer("adamw", optax.adamw, weight_decay=0.1), None),
        (
            Optimizer(
                "root", lambda rate: optax.stateless(lambda g, _: jax.tree.map(lambda x: -rate * abs(x) ** 0.5, g))
            ),
            None,
        ),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_what_an_optimizer_does_at_small_gradients_is_measured(optimizer, follows):
    assert optimizer.follows_gradient is follows


def test_parameters_are_part_of_what_an_optimizer_is():
    half = get_optimizer({"name": "momentum", "momentum": 0.5})
    assert half != MOMENTUM
    assert half == get_optimizer({"name": "momentum", "momentum": 0.5})
    assert hash(half) != hash(MOMENTUM)
    assert get_optimizer("momentum") == MOMENTUM


@pytest.mark.parametrize("optimizer", [GD, MOMENTUM, ADAM, get_optimizer({"name": "adam", "b1": 0.8})])
def test_json_and_pickles_give_the_same_optimizer_back(optimizer):
    assert get_optimizer(json.loads(json.dumps(optimizer.to_json()))) == optimizer
    assert pickle.loads(pickle.dumps(optimizer)) == optimizer


def test_an_unknown_name_is_answered_with_the_names_there_are():
    with pytest.raises(
        SpecError, match=r"no optimizer 'sgd'; did you mean 'gd'\? Choose one of gd, momentum, adam, adamw, or in Py"
    ):
        get_optimizer("sgd")
    named = get_optimizer("lion", known=False)
    with pytest.raises(
        SpecError, match="The optimizer 'lion' is not one of gd, momentum, adam, adamw; pass it as an Optimizer"
    ):
        named.transformation(0.1)


def test_any_optax_transformation_trains_as_optax_says():
    problem = load_problem("sine-5d")
    network = Network.create(5, [6], 1, scale=InitScale("gain", 0.5), dtype="float64")
    run = train(network, problem, optimizer=Optimizer("sign", optax.sign_sgd), learning_rate=2.0**-10, steps=1)
    for start, end in zip(jax.tree.leaves(network), jax.tree.leaves(run.final), strict=True):
        np.testing.assert_allclose(np.abs(end - start), 2.0**-10, rtol=1e-12)


@pytest.mark.parametrize(
    "own",
    [
        Optimizer("adam", optax.sgd),
        Optimizer("gd", lambda rate: optax.sgd(rate)),
        Optimizer("adam", optax.adam, decoupled=True),
    ],
)
def test_one_of_ones_own_has_a_name_of_its_own_as_files_keep_no_more(own):
    with pytest.raises(SpecError, match=f"The optimizer '{own.name}' is one of your own and has the name of one of"):
        get_optimizer(own)
    assert get_optimizer(Optimizer("adam", optax.adam, eps=1e-6)).parameters == (("eps", 1e-6),)


def test_a_forecast_is_refused_where_none_can_be_honest():
    network = Network.create(10, [6], 1, scale=InitScale("epsilon", 0.01))
    decayed = Optimizer("decayed", optax.adamw, weight_decay=0.1)
    with pytest.raises(SpecError, match=r"No forecast can be made under Optimizer\(decayed, weight_decay=0.1\)"):
        forecast(network, load_problem("diabetes"), decayed)


@pytest.mark.filterwarnings("ignore:Specifying a key")
def test_a_state_that_files_cannot_keep_is_refused_and_its_numbers_are_not():
    def noise(key_of, kept):
        def update(updates, state, params=None):
            key, own = jax.random.split(key_of(state))
            noisy = jax.tree.map(lambda g: -0.01 * g + 1e-6 * jax.random.normal(own, g.shape, g.dtype), updates)
            return noisy, kept(key)

        return optax.GradientTransformation(lambda params: kept(jax.random.key(0)), update)

    network, problem = Network.create(10, [6], 1, scale=InitScale("gain", 0.1)), load_problem("diabetes")
    for make in (optax.noisy_sgd, lambda rate: noise(lambda key: key, lambda key: key)):
        with pytest.raises(SpecError, match="The optimizer 'noisy' keeps a random key of JAX's in its state"):
            train(network, problem, optimizer=Optimizer("noisy", make), learning_rate=0.01, steps=3)
    numbers = Optimizer("numbers", lambda rate: noise(jax.random.wrap_key_data, jax.random.key_data))
    run = train(network, problem, optimizer=numbers, learning_rate=0.01, steps=3)
    assert run.status == "finished"
