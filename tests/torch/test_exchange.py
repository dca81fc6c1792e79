"""Networks become PyTorch modules and modules networks, every number as it is."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from nucleate import ArchitectureError, InitScale, Network, from_torch, init_, inspect, to_torch, watch  # noqa: E402
from nucleate.activations import get_activation  # noqa: E402

NAMES = (
    "linear", "tanh", "relu", "leaky_relu", "xtanh", "sigmoid_shifted", "softplus_shifted", "gelu", "silu", "sigmoid",
    "softplus", "elu", "selu",
)  # fmt: skip


def made(activation="tanh", dtype="float64", bias=(True, False, True)):
    return Network.create(
        4, [6, 5], 2, scale=InitScale("gain", 1.0), bias=list(bias), activation=activation, dtype=dtype
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_module_gives_the_network_s_outputs_and_gradients(name):
    network = made(name)
    x = np.random.default_rng(0).standard_normal((7, 4))
    module = to_torch(network)
    outputs = module(torch.tensor(x))
    np.testing.assert_allclose(outputs.detach().numpy(), network(x), rtol=1e-12, atol=1e-14)

    outputs.pow(2).sum().backward()
    # By central differences of the network itself.
    weight, step = network.weights[1], 1e-6
    for place in ((0, 0), (4, 5), (2, 3)):
        values = []
        for sign in (1, -1):
            moved = weight.copy()
            moved[place] += sign * step
            shifted = Network((network.weights[0], moved, network.weights[2]), network.biases, network.activation)
            values.append(float(np.sum(shifted(x) ** 2)))
        second = [part for part in module if isinstance(part, nn.Linear)][1]
        assert second.weight.grad[place].item() == pytest.approx(
            (values[0] - values[1]) / (2 * step), rel=1e-5, abs=1e-8
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_there_and_back_changes_no_bit(name, dtype):
    network = made(name, dtype)
    back = from_torch(to_torch(network))
    assert (back.activation, back.dtype) == (get_activation(name), dtype)
    for one, other in zip((*network.weights, *network.biases), (*back.weights, *back.biases), strict=True):
        assert (one is None and other is None) or np.array_equal(one, other)


def test_the_copy_is_a_copy_and_moves_no_random_numbers():
    network, state = made(), torch.get_rng_state()
    module = to_torch(network)
    back = from_torch(module)
    with torch.no_grad():
        module[0].weight.zero_()
    assert network.weights[0].any()
    assert back.weights[0].any()
    assert torch.equal(state, torch.get_rng_state())


class Written(nn.Module):
    """A network as people write it."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 5), nn.Linear(5, 3), nn.Linear(3, 2)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        return self.last(self.dropout(torch.relu(self.second(nn.functional.relu(self.first(x.flatten(1)))))))


def test_a_module_that_is_a_network_by_its_graph_is_read():
    module, x = Written().eval(), torch.randn(6, 4)
    network = from_torch(module)
    assert network.hidden == (5, 3)
    np.testing.assert_allclose(network(x.numpy()), module(x).detach().numpy(), rtol=1e-5, atol=1e-6)


class Residual(Written):
    def forward(self, x):
        hidden = torch.relu(self.first(x))
        return self.last(self.second(hidden) + self.second(torch.relu(hidden)))


class Branching(Written):
    def forward(self, x):
        return self.first(x) if x.sum() > 0 else x


class Frozen(Written):
    def forward(self, x):
        with torch.no_grad():
            hidden = self.first(x)
        return self.last(torch.relu(self.second(torch.relu(hidden))))


class Dropping(nn.Module):
    """It drops units by a function: in training, or in evaluation mode too."""

    def __init__(self, always):
        super().__init__()
        self.first, self.last, self.always = nn.Linear(2, 3), nn.Linear(3, 1), always

    def forward(self, x):
        return self.last(nn.functional.dropout(torch.relu(self.first(x)), 0.5, self.always or self.training))


@pytest.mark.parametrize("mode", [True, False])
def test_dropout_as_a_function_is_left_out_where_evaluation_leaves_it_out(mode):
    module, x = Dropping(always=False).train(mode), torch.randn(5, 2)
    network = from_torch(module)
    assert module.training is mode
    np.testing.assert_allclose(network(x.numpy()), module.eval()(x).detach().numpy(), rtol=1e-6)
    with pytest.raises(ArchitectureError, match="drops units in evaluation mode too"):
        from_torch(Dropping(always=True).train(mode))


def hooked():
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    module[0].register_forward_hook(lambda _, inputs, outputs: 3 * outputs)
    return module


tied = nn.Linear(3, 3)
REFUSED = {
    "a convolution": (nn.Sequential(nn.Conv1d(3, 2, 1)), "0 is a Conv1d"),
    "a norm": (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)), "1 is a BatchNorm1d"),
    "one layer": (nn.Sequential(nn.Linear(3, 1)), "no hidden layer; a network needs one"),
    "a bare layer": (nn.Linear(3, 1), "This Linear has 1 linear layer and so no hidden layer"),
    "two activations": (
        nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1)),
        "brings tanh beside relu",
    ),
    "an activation at the end": (
        nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1), nn.ReLU()),
        "to the outputs",
    ),
    "an activation twice": (nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.ReLU(), nn.Linear(3, 1)), "without a linear"),
    "another slope": (nn.Sequential(nn.Linear(2, 3), nn.LeakyReLU(0.2), nn.Linear(3, 1)), "negative_slope=0.2"),
    "half precision": (nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).bfloat16(), "bfloat16"),
    "no numbers": (nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).to("meta"), "meta device"),
    "tied layers": (nn.Sequential(tied, nn.ReLU(), tied), "share their weights"),
    "a residual": (Residual(), "one after another"),
    "a branch": (Branching(), "cannot trace"),
    "a part without gradients": (Frozen(), "first is under no_grad"),
    "a hook": (hooked(), "0 has a forward hook"),
    "widths that do not meet": (nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(4, 1)), "gives 3 numbers"),
    "no shape": (nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.LazyLinear(1)), "no shape yet"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_anything_else_is_refused_with_the_layer_that_is(what):
    module, says = REFUSED[what]
    with pytest.raises(ArchitectureError, match=says):
        from_torch(module)


def test_what_pytorch_does_not_know_is_said(monkeypatch):
    with pytest.raises(ArchitectureError, match="no PyTorch module"):
        from_torch("module")
    with pytest.raises(ArchitectureError, match=r"no nucleate\.Network"):
        to_torch(nn.Linear(2, 1))


def test_what_compiles_or_distributes_a_module_is_looked_through():
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    for around in (torch.compile(module, backend="eager"), nn.DataParallel(module)):
        assert repr(from_torch(around)) == repr(from_torch(module))


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_torchscript_is_refused_by_all():
    module = torch.jit.script(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)))
    for call in (from_torch, inspect, watch, lambda module: init_(module, InitScale("gain", 0.1))):
        with pytest.raises(ArchitectureError, match="This Sequential is a TorchScript module"):
            call(module)
