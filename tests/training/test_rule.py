"""Weight decay, schedules and clipping against loops written by hand and against optax's own optimizers."""

import jax
import numpy as np
import optax
import pytest

from nucleate import InitScale, Network, SpecError, load_problem, train, train_many
from nucleate.devices import float64
from nucleate.optimizers import Optimizer
from nucleate.schedules import COSINE

PROBLEM = load_problem("sine-5d")
RATE, DECAY, STEPS = 0.02, 0.3, 12


def network(seed=0):
    scale = InitScale("gain", 0.7)
    return Network.create(5, [6], 1, scale=scale, bias=[True, True], seed=seed, dtype="float64")


def parts(model):
    return [np.asarray(part) for part in (*model.weights, *model.biases)]


def gradient(w1, w2, b1, b2):
    """Of the mean of (f - y)^2 / 2 by the parameters of w2 tanh(w1 x + b1) + b2."""
    x, y = PROBLEM.train.x, PROBLEM.train.y
    h = np.tanh(x @ w1.T + b1)
    error = (h @ w2.T + b2 - y) / len(x)
    back = error @ w2 * (1 - h**2)
    return [back.T @ x, error.T @ h, back.sum(axis=0), error.sum(axis=0)]


def by_hand(step, *, clip=np.inf):
    """``step(parameter, gradient, memory, number)`` is the parameter after it."""
    parameters = parts(network())
    memory = [[0.0, 0.0] for _ in parameters]
    for number in range(STEPS):
        slopes = gradient(*parameters)
        norm = np.sqrt(sum((slope**2).sum() for slope in slopes))
        slopes = [slope * min(1.0, clip / norm) for slope in slopes]
        parameters = [step(*one, number) for one in zip(parameters, slopes, memory, strict=True)]
    return parameters


def adam(slope, memory, number):
    memory[0] = 0.9 * memory[0] + 0.1 * slope
    memory[1] = 0.999 * memory[1] + 0.001 * slope**2
    corrected = memory[1] / (1 - 0.999 ** (number + 1))
    return memory[0] / (1 - 0.9 ** (number + 1)) / (np.sqrt(corrected) + 1e-8)


def momentum(slope, memory, number):
    memory[0] = 0.9 * memory[0] + slope
    return memory[0]


RULES = {
    "gd, coupled or decoupled": ("gd", lambda p, g, m, k: p - RATE * g - RATE * DECAY * p),
    "momentum, coupled": ("momentum", lambda p, g, m, k: p - RATE * momentum(g + DECAY * p, m, k)),
    "adam, coupled": ("adam", lambda p, g, m, k: p - RATE * adam(g + DECAY * p, m, k)),
    "adamw, decoupled": ("adamw", lambda p, g, m, k: p - RATE * adam(g, m, k) - RATE * DECAY * p),
}


def ends(expected, **settings):
    found = train(network(), PROBLEM, learning_rate=RATE, steps=STEPS, evaluations=4, **settings).final
    for one, other in zip(parts(found), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("optimizer", "step"), RULES.values(), ids=RULES)
def test_both_kinds_of_decay_shrink_weights_and_biases_by_the_rate(optimizer, step):
    ends(by_hand(step), optimizer=optimizer, weight_decay=DECAY)


def test_a_clipped_gradient_has_that_norm_over_all_parameters_and_decays_unclipped():
    step = RULES["gd, coupled or decoupled"][1]
    ends(by_hand(step, clip=0.5), weight_decay=DECAY, clip=0.5)


def test_a_schedule_and_its_warm_up_multiply_the_rate_of_step_and_decay():
    factor = COSINE.factors(STEPS, warmup=3)
    ends(
        by_hand(lambda p, g, m, k: p - RATE * factor[k] * (adam(g, m, k) + DECAY * p)),
        optimizer="adamw",
        weight_decay=DECAY,
        schedule="cosine",
        warmup=3,
    )


def test_adamw_is_that_of_optax_under_an_optax_schedule():
    schedule = optax.warmup_cosine_decay_schedule(0.1, 1.0, 4, STEPS)
    with float64():
        rule = optax.adamw(lambda step: RATE * schedule(step), weight_decay=DECAY)
        parameters = parts(network())
        state, update = rule.init(parameters), jax.jit(rule.update)
        for _ in range(STEPS):
            updates, state = update(gradient(*parameters), state, parameters)
            parameters = [one + more for one, more in zip(parameters, updates, strict=True)]
    # Optax has its schedules in float32.
    found = train(
        network(), PROBLEM, optimizer="adamw", learning_rate=RATE, weight_decay=DECAY, schedule=schedule, steps=STEPS
    )
    for one, other in zip(parts(found.final), parameters, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_every_run_of_a_batch_has_its_own_decay_whatever_is_beside_it():
    given = {"steps": STEPS, "evaluations": 4, "schedule": "linear", "clip": 1.0}
    starts, decays = [network(), network(1), network()], [0.0, DECAY, DECAY]
    together = train_many(starts, PROBLEM, learning_rates=[RATE] * 3, weight_decays=decays, **given)
    assert [run.weight_decay for run in together] == decays
    for start, decay, run in zip(starts, decays, together, strict=True):
        alone = train(start, PROBLEM, learning_rate=RATE, weight_decay=decay, **given)
        assert [part.tobytes() for part in parts(alone.final)] == [part.tobytes() for part in parts(run.final)]


def test_the_foot_of_a_warm_up_is_no_underflow():
    """At a millionth of the rate a step in float32 is rounded away."""
    run = train(network().astype("float32"), PROBLEM, learning_rate=1e-2, warmup=999, steps=1000, evaluations=4)
    assert run.status == "finished"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"weight_decay": -0.1}, "weight decay is -0.1; it must be a finite number, 0 or more"),
        ({"weight_decay": float("nan")}, "weight decay is nan"),
        ({"weight_decay": "much"}, "weight decay is 'much'"),
        ({"optimizer": "adamw"}, "'adamw' decays weights, and nothing says by how much; give the weight decay too"),
        (
            {"optimizer": Optimizer("own", optax.adamw, weight_decay=0.1), "weight_decay": 0.1},
            "'own' decays weights itself, and a weight decay is given beside it; leave out one of the two",
        ),
        ({"warmup": 50}, "'warmup' is 50 steps, and the run has 50; make it shorter, or the run longer"),
        ({"warmup": -1}, "'warmup' is -1; it must be 0 or more"),
        ({"clip": 0}, "'clip' is 0; it must be more than 0"),
        ({"clip": float("nan")}, "'clip' is nan; it must be"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"schedule": optax.constant_schedule(0.1)}, "it must be 1, for the learning rate that is given is the peak"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(given, said):
    with pytest.raises(SpecError, match=said):
        train(network(), PROBLEM, steps=50, **given)


def test_there_is_a_weight_decay_for_every_run():
    with pytest.raises(SpecError, match="There are 2 networks and 1 weight decays"):
        train_many([network(), network()], PROBLEM, learning_rates=[0.1, 0.1], weight_decays=[0.1], steps=5)
