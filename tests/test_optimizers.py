"""Optimizers: which optax transformation a name is, and what each does at small gradients."""

import json
import pickle
import re

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
    with pytest.raises(SpecError, match="The optimizer 'lion' is known by its name alone; pass it as an Optimizer"):
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


def updating(update, init=lambda parameters: ()):
    return Optimizer("own", lambda rate: optax.GradientTransformation(init, update))


def each(change):
    return lambda gradients, state, parameters=None: (jax.tree.map(change, gradients), state)


ASKS = "it asks what number an array holds, as float.., if, an index or NumPy does, before there is one"


@pytest.mark.parametrize(
    ("own", "what", "cause", "remedy"),
    [
        (updating(each(lambda g: g if g.sum() > 0 else -g)), "take a step", ASKS, "its update takes gradients, state"),
        (updating(each(np.asarray)), "take a step", ASKS, "its update takes"),
        (updating(each(lambda g: g * float(g.sum()))), "take a step", ASKS, "its update takes"),
        (updating(each(lambda g: g * range(9)[g.sum().astype(int)])), "take a step", ASKS, "its update takes"),
        (updating(each(lambda g: g[: g.sum().astype(int)])), "take a step", "IndexError: .*", "its update takes"),
        (updating(each(lambda g: g.mul_(2.0))), "take a step", "AttributeError: .*mul_.*", "its update takes"),
        (updating(each(lambda g: g + "x")), "take a step", "TypeError: .*", "its update takes"),
        (updating(each(jax.numpy.negative), init=lambda _: 1 / 0), "begin", "ZeroDivisionError: .*", "its init takes"),
        (Optimizer("own", lambda rate: optax.sgd(float(rate))), "be made", ASKS, "its make takes the learning rate"),
    ],
)
def test_an_error_is_said_of_the_function_that_raised_it_without_what_jax_calls_its_parts(own, what, cause, remedy):
    network, problem = Network.create(5, [6], 1, scale=InitScale("gain", 0.5)), load_problem("sine-5d")
    for call in (
        lambda: train(network, problem, optimizer=own, steps=2),
        lambda: forecast(network, problem, own),
        lambda: own.follows_gradient,
    ):
        with pytest.raises(SpecError, match=rf"^The optimizer 'own' cannot {what} \({cause}\); {remedy}") as refused:
            call()
        assert not re.search("[Tt]rac", str(refused.value))
        assert "\n" not in str(refused.value)


def test_steps_that_are_nan_are_no_weight_decay():
    own = Optimizer("lost", lambda rate: optax.chain(optax.sgd(rate), optax.scale(float("nan"))))
    network = Network.create(5, [6], 1, scale=InitScale("gain", 0.5))
    said = "The optimizer 'lost' takes steps that are NaN or infinite, along gradients of size 0.01 at a learning rate"
    with pytest.raises(SpecError, match=said):
        forecast(network, load_problem("sine-5d"), own)
    with pytest.raises(SpecError, match=said):
        train(network, load_problem("sine-5d"), optimizer=own, weight_decay=0.1, steps=2)
    run = train(network, load_problem("sine-5d"), optimizer=own, steps=2)
    assert run.status == "nan"
    assert "or correct the optimizer 'lost'" in run.notes[0]


def test_only_what_moves_without_a_gradient_is_said_to_decay_weights():
    network, problem = Network.create(10, [6], 1, scale=InitScale("gain", 0.1)), load_problem("diabetes")
    # Of no gradient at all these steps are NaN, which is no decay either.
    normed = Optimizer("normed", lambda rate: optax.stateless(lambda g, _: jax.tree.map(_normed(rate), g)))
    assert (normed.follows_gradient, normed.moves_alone) == (None, False)
    for own in (normed, Optimizer("rmsprop", optax.rmsprop)):
        with pytest.raises(SpecError, match=r"neither shrink with the gradient.*nor are independent") as refused:
            forecast(network, problem, own)
        assert "decay" not in str(refused.value)
    decayed = Optimizer("decayed", optax.adamw, weight_decay=0.1)
    assert decayed.moves_alone
    with pytest.raises(SpecError, match="a weight decay of its own does so"):
        forecast(network, problem, decayed)


def _normed(rate):
    return lambda g: -rate * g / jax.numpy.sqrt(jax.numpy.sum(g**2))
