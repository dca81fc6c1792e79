"""Held to what others measured: the public notebook of this phenomenon (github.com/dlphenomena/condensation).

Its setting: tanh, five inputs, n = 80 uniform on [-4, 2]^5, first-layer bias, all parameters N(0, (50^-gamma)^2) with
gamma = 4, mean squared error, full-batch Adam 0.001. Within 100 epochs the first layer is on one direction up to sign;
a PyTorch rerun for 1000 epochs saw new directions split off, and none of it at gamma = 0.5.
"""

import numpy as np
import pytest

from nucleate import InitScale, Network
from nucleate.optimizers import ADAM
from nucleate.problems import load_problem
from nucleate.training import train

pytestmark = pytest.mark.slow

SINE = load_problem("sine-5d")
SETTING = {"optimizer": ADAM, "learning_rate": 1e-3}


def notebook_network(hidden, gamma):
    bias = [True] + [False] * len(hidden)
    return Network.create(5, hidden, 1, scale=InitScale("gamma", gamma), bias=bias)


def course(hidden, gamma, steps):
    trajectory = train(notebook_network(hidden, gamma), SINE, steps=steps, **SETTING).trajectory
    return trajectory["step"].to_numpy(), trajectory["condensed_pairs_1"].to_numpy(), trajectory["directions_1"]


@pytest.mark.parametrize("hidden", [[50], [50, 50]])
def test_small_init_condenses_onto_one_direction_and_splits_again(hidden):
    steps, pairs, directions = course(hidden, 4.0, 1000)
    condensed = (steps >= 20) & (steps <= 100)
    assert pairs[0] < 0.02
    assert pairs[condensed].min() > 0.99
    assert set(directions.to_numpy()[condensed]) == {1}
    assert pairs[-1] < 0.2
    assert directions[-1] > 3


@pytest.mark.parametrize("hidden", [[50], [50, 50]])
def test_a_large_init_does_not_condense(hidden):
    _, pairs, directions = course(hidden, 0.5, 100)
    assert pairs.max() < 0.03
    assert directions.min() > 40


@pytest.mark.parametrize("hidden", [[50], [50, 50]])
def test_pytorch_trained_from_the_same_start_takes_the_same_course(hidden):
    torch = pytest.importorskip("torch", reason="PyTorch is an optional extra: pip install 'nucleate[bench]'")
    start = notebook_network(hidden, 4.0)
    layers = []
    for weight, bias in zip(start.weights, start.biases, strict=True):
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        layer.weight.data = torch.tensor(np.asarray(weight))
        if bias is not None:
            layer.bias.data = torch.tensor(np.asarray(bias))
        layers += [layer, torch.nn.Tanh()]
    baseline = torch.nn.Sequential(*layers[:-1])
    x, y = (torch.tensor(part, dtype=torch.float32) for part in (SINE.train.x, SINE.train.y))
    adam = torch.optim.Adam(baseline.parameters(), lr=1e-3)
    for _ in range(100):
        adam.zero_grad()
        (0.5 * ((baseline(x) - y) ** 2).mean()).backward()
        adam.step()
    run = train(start, SINE, steps=100, **SETTING)
    np.testing.assert_allclose(run.final.weights[0], baseline[0].weight.detach().numpy(), rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(run.final.biases[0], baseline[0].bias.detach().numpy(), rtol=2e-3, atol=1e-5)
