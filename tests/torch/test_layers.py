"""What is known of PyTorch's layers is what they do, and the same for all who ask."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402

from nucleate import InitScale, diagnose, init_, inspect  # noqa: E402
from nucleate.doctor.modules.setting import read_setting  # noqa: E402
from nucleate.pytorch.layers import maker_of, weights_in  # noqa: E402

Conv1D = transformers.pytorch_utils.Conv1D


class Renamed(Conv1D):
    """A layer of another name that stores its weight as the one above."""


class WithNoise(nn.Linear):
    """A linear layer with a matrix beside its weight."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.noise_weight = nn.Parameter(torch.ones_like(self.weight))


LAYERS = {
    "Linear": (lambda: nn.Linear(6, 4), (6,)),
    "Conv1D": (lambda: Conv1D(4, 6), (6,)),
    "a Conv1D of another name": (lambda: Renamed(4, 6), (6,)),
    "Conv1d": (lambda: nn.Conv1d(6, 4, 3), (6, 9)),
    "Conv2d in groups": (lambda: nn.Conv2d(6, 4, (3, 2), groups=2), (6, 9, 9)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(6, 4, 3), (6, 9)),
    "ConvTranspose2d in groups": (lambda: nn.ConvTranspose2d(6, 4, (3, 2), groups=2), (6, 9, 9)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_unit_reads_as_many_numbers_as_it_has_gradients_of_the_weight(name):
    make, shape = LAYERS[name]
    layer = make()
    outputs = layer(torch.randn(5, *shape))
    by_unit = outputs.movedim(1, 0)
    (gradient,) = torch.autograd.grad(by_unit[0].sum(), layer.weight)
    fan_in, units = weights_in(layer)["weight"].fans(layer.weight.shape)
    assert (fan_in, units) == (int((gradient != 0).sum()), len(by_unit))
    said = init_(nn.Sequential(layer), InitScale("gain", 0.1), quiet=True).row(0, named=True)
    assert (said["fan_in"], said["fan_out"]) == (fan_in, units)
    assert inspect(nn.Sequential(layer)).layers["units"].item() == units


@pytest.mark.parametrize(("make", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_a_unit_of_a_recurrent_layer_has_rows_for_each_of_its_gates(make, gates):
    layer, state = make(4, 5), torch.ones(1, 2, 5)
    # In one step no other unit acts on it.
    outputs, _ = layer(torch.randn(1, 2, 4), (state, state) if make is nn.LSTM else state)
    (gradient,) = torch.autograd.grad(outputs[..., 0].sum(), layer.weight_ih_l0)
    weights = weights_in(layer)["weight_ih_l0"]
    assert int((gradient != 0).any(dim=1).sum()) == gates == weights.blocks
    assert weights.fans(layer.weight_ih_l0.shape) == (4, 5)


# Some processors have no fast way for it, which PyTorch says.
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_a_projection_of_an_lstm_has_its_own_units():
    layer = nn.LSTM(4, 5, proj_size=3)
    outputs, _ = layer(torch.randn(1, 2, 4))
    (gradient,) = torch.autograd.grad(outputs[..., 0].sum(), layer.weight_hr_l0)
    fans = int((gradient != 0).sum()), outputs.shape[-1]
    table = init_(layer, InitScale("gamma", 1.0), quiet=True).filter(layer="weight_hr_l0")
    assert table.select("fan_in", "fan_out").row(0) == fans == (5, 3)
    units = dict(inspect(layer).layers.select("layer", "units").iter_rows())
    assert units["weight_hr_l0"] == 3


def test_a_parametrized_conv1d_stays_transposed():
    layer = Conv1D(4, 6)
    torch.nn.utils.parametrizations.weight_norm(layer)
    assert inspect(nn.Sequential(layer)).layers["units"].item() == 4


def test_a_matrix_beside_the_weight_of_a_layer_stays_as_it_is():
    layer = WithNoise(6, 4)
    said = dict(init_(layer, InitScale("gain", 0.1), quiet=True).select("layer", "what").iter_rows())
    assert "whose fan-in is not known" in said["noise_weight"]
    assert torch.equal(layer.noise_weight, torch.ones(4, 6))


def transposed(layer, kind, *options):
    """The same function by a layer that has its weight the other way round."""
    other = kind(*layer.weight.shape[:2], *options) if kind is Conv1D else kind(*layer.weight.shape[1::-1], *options)
    with torch.no_grad():
        other.weight.copy_(layer.weight.transpose(0, 1))
        other.bias.copy_(layer.bias)
    return other


def on_data(model, inputs):
    return inspect(model, inputs).table.filter(measure="effective_neurons").select("layer", "value").rows()


@pytest.mark.parametrize("in_sequence", [True, False])
def test_a_layer_that_has_its_weight_the_other_way_round_reads_and_is_read_all_the_same(in_sequence):
    class Called(nn.Sequential):
        def forward(self, x):
            return super().forward(x)

    torch.manual_seed(0)
    kind = nn.Sequential if in_sequence else Called
    one, two, three = nn.Linear(4, 12), nn.Linear(12, 7), nn.Linear(7, 3)
    x = torch.randn(50, 4)
    expected = on_data(kind(one, nn.Tanh(), two, nn.Tanh(), three), x)
    found = on_data(kind(one, nn.Tanh(), transposed(two, Conv1D), nn.Tanh(), three), x)
    assert [layer for layer, _ in found] == ["0", "2"]
    assert found == [(layer, pytest.approx(value)) for layer, value in expected]
    one, two, x = nn.Conv1d(2, 8, 3), nn.Conv1d(8, 3, 1), torch.randn(9, 2, 12)
    expected = on_data(kind(one, nn.Tanh(), two), x)
    found = on_data(kind(one, nn.Tanh(), transposed(two, nn.ConvTranspose1d, 1)), x)
    assert found == [("0", pytest.approx(expected[0][1]))]


def test_an_instance_norm_is_of_each_channel_alone_and_behind_a_linear_layer_over_its_units():
    model = nn.Sequential(nn.Conv1d(2, 8, 3), nn.InstanceNorm1d(8), nn.Tanh(), nn.Conv1d(8, 2, 1))
    assert [layer for layer, _ in on_data(model, torch.randn(9, 2, 12))] == ["0"]
    model = nn.Sequential(nn.Linear(6, 8), nn.InstanceNorm1d(5), nn.Linear(8, 2))
    assert "(InstanceNorm1d) mixes its units" in dict(inspect(model, torch.randn(9, 5, 6)).left_out.rows())["0.weight"]


class Named(nn.Tanh):
    """PyTorch's activation by another name."""


class Flipped(nn.Tanh):
    """A subclass that mixes units."""

    def forward(self, x):
        return super().forward(x).flip(-1)


def test_an_activation_is_what_its_forward_pass_is():
    half = torch.eye(3, 4)
    first = nn.Linear(4, 6, bias=False)
    first.weight.data = torch.cat([half, -half])
    found = inspect(nn.Sequential(first, Named(), nn.Linear(6, 2))).table
    assert found.filter(layer="0", measure="directions")["value"].item() == 3
    found = inspect(nn.Sequential(first, Flipped(), nn.Linear(6, 2)), torch.randn(9, 4))
    assert "(Flipped) mixes its units" in dict(found.left_out.rows())["0.weight"]


def loop(module, x, y):
    return module, (x, y), nn.MSELoss(), torch.optim.SGD(module.parameters(), lr=0.01)


def test_gains_are_those_that_a_start_was_given():
    module = nn.Sequential(
        nn.Conv1d(2, 6, 3),
        nn.ConvTranspose1d(6, 4, 3, groups=2),
        nn.Tanh(),
        nn.Flatten(),
        Conv1D(5, 32),
        nn.Linear(5, 1),
    )
    init_(module, InitScale("gain", 0.1), quiet=True)
    found = diagnose(*loop(module, torch.randn(60, 2, 8), torch.randn(60, 1)), steps=5, trials=False)
    assert found.evidence.gains == pytest.approx([0.1] * 4)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.last = nn.Embedding(9, 4), nn.Linear(4, 9, bias=False)
        self.last.weight = self.tokens.weight

    def forward(self, x):
        return self.last(self.tokens(x).mean(dim=1))


def test_tied_weights_are_brought_to_a_gain_once():
    module, x = Tied(), torch.randint(0, 9, (60, 5))
    with torch.no_grad():
        module.tokens.weight.mul_(0.01)
    made = read_setting(*loop(module, x, torch.randn(60, 9))).copied(("gain", 1.0))
    # That of the embedding, whose rows are read as they are.
    assert float(made.module.tokens.weight.detach().pow(2).mean().sqrt()) == pytest.approx(1.0)


def test_any_of_pytorch_s_activations_that_has_no_parameters_is_swapped():
    module = nn.Sequential(nn.Linear(3, 8), nn.Hardtanh(), nn.Linear(8, 8), nn.PReLU(), nn.Linear(8, 8), nn.ReLU6())
    setting = read_setting(*loop(module, torch.randn(60, 3), torch.randn(60, 8)))
    made = setting.copied(("activation", "leaky_relu")).module
    assert [type(part).__name__ for part in made if not isinstance(part, nn.Linear)] == [
        "LeakyReLU",
        "PReLU",
        "LeakyReLU",
    ]


def named_conv1d(base, *sizes):
    """A layer that is called as transformers' is, and has the number of its units too."""

    class Conv1D(base):
        nf = 4

    return Conv1D(*sizes)


def test_a_layer_that_is_called_conv1d_and_is_none_is_what_it_is():
    assert weights_in(named_conv1d(nn.Conv1d, 6, 4, 3))["weight"] == weights_in(nn.Conv1d(6, 4, 3))["weight"]
    assert weights_in(named_conv1d(nn.Linear, 6, 4))["weight"] == weights_in(nn.Linear(6, 4))["weight"]
    old = named_conv1d(nn.Module)
    old.w = nn.Parameter(torch.ones(6, 4))
    assert weights_in(old) == {}
    assert inspect(nn.Sequential(old, nn.Linear(4, 2))).layers["units"][-1] == 2


def test_a_pruning_of_ones_own_makes_weights_as_pytorchs_do():
    class Half(prune.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t, default_mask):
            return default_mask * (torch.arange(t.numel()).reshape(t.shape) % 2)

    layer = nn.Linear(6, 4)
    Half.apply(layer, "weight")
    assert maker_of(layer)


def test_a_layer_without_units_has_no_fans_to_divide_by():
    assert weights_in(nn.Linear(3, 1))["weight"].fans((0, 3)) == (0, 0)
