"""PyTorch modules reduced: what stays the same, what is found by itself, what is left whole, and what is refused.

They need PyTorch, Torch-Pruning and transformers (`make test-extras`).
"""

import copy
import io
import pickle
import re

import numpy as np
import pytest

from nucleate import ArchitectureError, DataError, Metric, SpecError, reduce
from nucleate.reduction.modules.blocks import BlockPath, Regression, refit, ridge_towards
from tests.torch.models import Block, gpt2, llama, mixtral

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("torch_pruning")
pytestmark = pytest.mark.filterwarnings("default")

nn, prune = torch.nn, pytest.importorskip("torch.nn.utils.prune")


class DenseNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.c, self.out = nn.Conv2d(10, 8, 3, padding=1), nn.Linear(18, 3)

    def forward(self, x):
        x = self.a(x).relu()
        x = torch.cat([x, self.b(x).relu()], 1)
        x = torch.cat([x, self.c(x).relu()], 1)
        return self.out(x.mean((2, 3)))


class Gated(nn.Module):
    """Halves of one layer are multiplied."""

    def __init__(self):
        super().__init__()
        self.both, self.out = nn.Linear(6, 16), nn.Linear(8, 3)

    def forward(self, x):
        value, gate = self.both(x).chunk(2, -1)
        return self.out(value * torch.sigmoid(gate))


class Rotary(nn.Module):
    """Pairs of numbers are turned by a buffer of complex ones, as rotary positions turn queries and keys."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(6, 8), nn.Linear(8, 4)
        self.register_buffer("turn", torch.polar(torch.ones(2), torch.tensor([0.5, 1.5])))

    def forward(self, x):
        pairs = torch.view_as_complex(self.out(torch.relu(self.hidden(x))).unflatten(-1, (2, 2)))
        return torch.view_as_real(pairs * self.turn).flatten(-2)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.hidden, self.out = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x):
        if x.sum() > 1e9:
            return None
        return self.out(torch.tanh(self.hidden(self.lstm(x)[0][:, -1])))


def mlp():
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 10), nn.LayerNorm(10), nn.Tanh(),
        nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3),
    )  # fmt: skip


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, stride=2, padding="valid", bias=False), nn.BatchNorm2d(12), nn.ReLU(), nn.Flatten(),
        nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 3),
    )  # fmt: skip


def mobile():
    return nn.Sequential(
        nn.Conv2d(1, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=4), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 16, 3),
    )  # fmt: skip


def resnet():
    return nn.Sequential(nn.Conv2d(1, 6, 3), Block(6), Block(6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))


def hf_resnet():
    config = transformers.ResNetConfig(
        num_channels=1, embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", num_labels=3
    )
    return transformers.ResNetForImageClassification(config)


def encoder():
    return nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Flatten(), nn.Linear(40, 3))


def bert():
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12, vocab_size=12, num_labels=3
    )
    return transformers.BertForSequenceClassification(config)


ROWS = 120
GENERATOR = torch.Generator().manual_seed(0)
FLAT, IMAGES = torch.randn(ROWS, 6, generator=GENERATOR), torch.randn(ROWS, 1, 6, 6, generator=GENERATOR)
SERIES = torch.randn(ROWS, 5, 8, generator=GENERATOR)
WORDS = {"input_ids": torch.randint(1, 12, (ROWS, 5), generator=GENERATOR)}
LABELS = torch.randint(0, 3, (ROWS,), generator=GENERATOR)
OF_WORDS = WORDS | {"labels": WORDS["input_ids"]}

MODULES = {
    "MLP": (mlp, FLAT, {"0", "7"}),
    "CNN": (cnn, IMAGES, {"0", "4", "8"}),
    "depthwise and grouped": (mobile, IMAGES, {"0", "5", "7"}),
    "ResNet": (resnet, IMAGES, {"0", "1.conv1", "2.conv1"}),
    "concatenation": (DenseNet, IMAGES, {"a", "b", "c"}),
    "halves multiplied": (Gated, FLAT, {"both"}),
    "complex buffer": (Rotary, FLAT, {"hidden"}),
    "ResNet of transformers": (hf_resnet, {"pixel_values": IMAGES}, None),
    "encoder": (encoder, SERIES, {"0.linear1"}),
    "GPT-2": (gpt2, OF_WORDS, {f"transformer.h.{n}.{part}" for n in (0, 1) for part in ("attn", "mlp.c_fc")}),
    "Llama": (llama, OF_WORDS, {"model.layers.0.self_attn", "model.layers.0.mlp.gate_proj"}),
    "BERT": (bert, WORDS | {"labels": LABELS}, {"bert.encoder.layer.0.attention.self",
                                                "bert.encoder.layer.0.intermediate.dense", "bert.pooler.dense"}),
    "LSTM": (Recurrent, torch.randn(ROWS, 4, 4, generator=GENERATOR), {"hidden"}),
}  # fmt: skip


ORDERS = set()


class Joined(nn.Module):
    """Its inputs one behind the other, in the order in which they are given."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, **inputs):
        ORDERS.add(tuple(inputs))
        return self.last(torch.relu(self.first(torch.cat(list(inputs.values()), 1))))


def test_named_inputs_keep_their_order():
    reduce(Joined(), ({"b": FLAT[:, :3], "a": FLAT[:, 3:]}, LABELS), keep=0.5)
    assert {("b", "a")} == ORDERS


def data_of(inputs):
    return inputs if isinstance(inputs, dict) else (inputs, LABELS)


def made(make):
    torch.manual_seed(0)
    module = make()
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            with torch.no_grad():
                norm.running_mean.uniform_(-0.1, 0.1)
                norm.running_var.uniform_(0.5, 2)
    return module.eval()


def outputs(module, inputs):
    with torch.no_grad():
        if isinstance(inputs, dict):
            found = module(**{name: value for name, value in inputs.items() if name != "labels"})
        else:
            found = module(inputs)
    return found if isinstance(found, torch.Tensor) else found.logits


@pytest.mark.parametrize(("make", "inputs", "narrowed"), MODULES.values(), ids=MODULES)
def test_a_smaller_module_of_the_same_class_is_called_and_saved_as_the_original_is(make, inputs, narrowed):
    module = made(make)
    found = reduce(module, data_of(inputs), keep=0.5)
    assert type(found.module) is type(module)
    assert found.original is module
    if narrowed is not None:
        assert set(found.widths["layer"]) == narrowed
    assert all(row["after"] == max(1, round(row["before"] / 2)) for row in found.widths.iter_rows(named=True))
    assert found.parameters.after < found.parameters.before
    assert found.flops.after < found.flops.before
    assert found.bytes.after < found.bytes.before
    said = outputs(found.module, inputs)
    assert said.shape == outputs(module, inputs).shape
    loaded = pickle.loads(pickle.dumps(found.module))
    assert torch.equal(outputs(loaded, inputs), said)
    assert str(found.certificate) in str(found)
    assert str(found.parameters.after) in found._repr_html_().replace(",", "")


@pytest.mark.parametrize("name", ["CNN", "ResNet", "GPT-2", "complex buffer"])
def test_with_all_units_the_outputs_are_the_originals(name):
    make, inputs, _ = MODULES[name]
    module = made(make)
    found = reduce(module, data_of(inputs), keep=1.0)
    assert torch.equal(outputs(found.module, inputs), outputs(module, inputs))
    assert found.certificate.largest_deviation == 0


def twice(layer, axis):
    """Each unit of a layer twice, or of one that reads them with half the weight each."""
    weight = layer.weight.detach()
    wide = copy.copy(layer)
    wide._parameters = dict(layer._parameters)
    doubled = torch.repeat_interleave(weight, 2, axis) / (1 if axis == 0 else 2)
    wide.weight = nn.Parameter(doubled)
    if axis == 0:
        wide.bias = nn.Parameter(torch.repeat_interleave(layer.bias.detach(), 2))
    names = {0: ("out_features", "out_channels"), 1: ("in_features", "in_channels")}[axis]
    for name in names:
        if hasattr(wide, name):
            setattr(wide, name, 2 * getattr(wide, name))
    return wide


def test_units_that_are_there_twice_are_found_and_one_of_each_does_the_same():
    torch.manual_seed(0)
    conv, middle, out = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 4, 3), nn.Linear(16, 3)
    small = nn.Sequential(conv, nn.Tanh(), middle, nn.Tanh(), nn.Flatten(), out)
    wide = nn.Sequential(twice(conv, 0), nn.Tanh(), twice(twice(middle, 1), 0), nn.Tanh(), nn.Flatten(), None)
    last = nn.Linear(32, 3)
    with torch.no_grad():
        last.weight.copy_((out.weight.reshape(3, 4, 4).repeat_interleave(2, 1) / 2).reshape(3, 32))
        last.bias.copy_(out.bias)
    wide[5] = last
    assert torch.allclose(outputs(wide, IMAGES), outputs(small, IMAGES), atol=1e-6)
    found = reduce(wide, IMAGES, tolerance=1e-3)
    assert dict(found.widths.select("layer", "after").rows()) == {"0": 3, "2": 4}
    assert found.certificate.relative_deviation < 1e-4
    assert found.metric.name == "deviation"


def test_the_refit_is_the_ridge_regression_towards_the_weights_as_they_were():
    rng = np.random.default_rng(0)
    x, y, prior = rng.standard_normal((50, 6)), rng.standard_normal((50, 2)), rng.standard_normal((6, 2))
    gram, cross = torch.tensor(x.T @ x), torch.tensor(x.T @ y)
    found = ridge_towards(gram, cross, torch.tensor(prior), 5.0).numpy()
    root = np.sqrt(5.0)
    stacked = np.linalg.lstsq(np.vstack([x, root * np.eye(6)]), np.vstack([y, root * prior]))[0]
    np.testing.assert_allclose(found, stacked, rtol=1e-9)


def regression_of(x, y, blocks, has_level=True):
    x, y = torch.tensor(x), torch.tensor(y)
    weights = torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64)
    return Regression(x, y, weights, torch.ones(y.shape[1]), blocks, has_level)


def test_blocks_are_chosen_by_what_they_take_off_least_squares():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((400, 8)) @ rng.standard_normal((8, 8)) + 3
    y = x @ rng.standard_normal((8, 3)) + 0.5 * rng.standard_normal((400, 3)) - 7
    blocks = tuple(np.arange(2 * unit, 2 * unit + 2) for unit in range(4))

    def left(units):
        columns = np.column_stack([np.ones(len(x)), *(x[:, blocks[unit]] for unit in units)])
        return np.square(y - columns @ np.linalg.lstsq(columns, y)[0]).sum() / len(y)

    path = BlockPath([regression_of(x, y, blocks)])
    path.first(4)
    for step in range(4):
        rest = [unit for unit in range(4) if unit not in path.order[:step]]
        assert path.order[step] == min(rest, key=lambda unit: left([*path.order[:step], unit]))
        assert path.left[step + 1] == pytest.approx(left(path.order[: step + 1]), rel=0.02)
    weights, level = refit(regression_of(x, y, blocks), np.arange(8))
    columns = np.column_stack([np.ones(len(x)), x])
    missed = np.square(y - columns @ np.vstack([level, weights])).sum() / len(y)
    assert missed == pytest.approx(left(range(4)), rel=0.01)


def test_the_persons_module_is_left_as_it_was_and_random_numbers_too():
    module = made(mlp).train()
    module[0].weight.requires_grad_(False)
    called = []
    module.register_forward_hook(lambda *_: called.append(1))
    before, state = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(FLAT, LABELS), batch_size=50, shuffle=True)
    found = reduce(module, loader, keep=0.5)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not called
    assert module.training
    assert all(child.training for child in module.modules())
    assert found.module.training
    assert [p.requires_grad for p in found.module.parameters()] == [p.requires_grad for p in module.parameters()]
    assert any("training mode" in note and "dropout" in note for note in found.notes)


def test_a_module_is_reduced_the_same_way_again():
    first, second = (reduce(made(cnn), (IMAGES, LABELS), keep=0.5) for _ in range(2))
    assert torch.equal(outputs(first.module, IMAGES), outputs(second.module, IMAGES))


def test_budgets_are_kept_and_the_smallest_within_a_tolerance_is_within_it():
    module = made(mlp)
    for budget in ("parameters", "flops"):
        most = getattr(reduce(module, (FLAT, LABELS), keep=1.0), budget).before // 2
        found = reduce(module, (FLAT, LABELS), **{budget: most})
        assert 0.7 * most < getattr(found, budget).after <= most
    found = reduce(module, FLAT, tolerance=0.5)
    assert found.validation.after <= 0.5
    assert found.share_kept < 1


def test_what_the_outputs_are_judged_by():
    module = made(mlp)
    one = reduce(module, (FLAT, LABELS), keep=0.5)
    assert one.metric.name == "accuracy"
    right = (outputs(one.module, FLAT).argmax(1) == LABELS).double().mean()
    assert abs(one.test.after - float(right)) < 0.3
    amounts = torch.randn(ROWS, 3)
    assert reduce(module, (FLAT, amounts), keep=0.5).metric.name == "rmse"
    options = {"metric": lambda out, y: float((out - y).abs().max()), "larger_is_better": False}
    own = reduce(module, (FLAT, amounts), keep=0.5, **options)
    assert own.metric.larger_is_better is False
    named = Metric("worst", lambda predicted, true: float(np.abs(predicted - true).max()))
    assert reduce(module, (FLAT, amounts), keep=0.5, metric=named).test.after == pytest.approx(own.test.after)
    assert reduce(module, (FLAT, LABELS), keep=0.5, metric=nn.CrossEntropyLoss()).metric.name == "CrossEntropyLoss"
    assert reduce(made(gpt2), OF_WORDS, keep=0.5).metric.name == "loss"


def test_without_targets_outputs_are_judged_beside_how_they_vary_over_the_rows():
    module = made(mlp)
    with torch.no_grad():
        module[-1].bias[0] += 1000
    found = reduce(module, FLAT, tolerance=0.3)
    held = found.parts.certification.inputs
    before, after = outputs(module, held).double(), outputs(found.module, held).double()
    moved = (after - before).square().mean().sqrt() / (before - before.mean(0)).square().mean().sqrt()
    assert found.certificate.relative_deviation == pytest.approx(float(moved), rel=0.05)
    assert 0 < moved < 0.6


def test_the_persons_own_training_ends_the_reduction():
    def train(module):
        with torch.no_grad():
            module[-1].bias += 1

    module = made(mlp)
    plain, tuned = (reduce(module, (FLAT, LABELS), keep=0.5, fine_tune=one) for one in (None, train))
    moved = outputs(tuned.module, FLAT) - outputs(plain.module, FLAT)
    assert torch.allclose(moved, torch.ones_like(moved), atol=1e-5)


def test_rows_are_divided_at_random_or_as_given():
    module = made(mlp)
    drawn = reduce(module, (FLAT, LABELS), keep=0.5)
    assert drawn.rows == (72, 24, 24)
    assert drawn.certificate.rows == 24
    assert "1 in 25" in str(drawn.certificate)
    assert "holds only if the module was not trained on them" in str(drawn.certificate)
    given = reduce(module, (FLAT, LABELS), keep=0.5, test=(FLAT[:30], LABELS[:30]))
    assert given.rows == (90, 30, 30)
    assert "only if new ones are drawn as they were and the module was not trained on them" in str(given.certificate)
    assert (drawn.certificate.repeated, given.certificate.repeated) == (0, 30)
    assert "30 of these rows are among those that the smaller module is made by too" in str(given)


def test_copies_of_a_row_are_one_chance():
    once, thrice = (
        reduce(made(mlp), (FLAT, LABELS), keep=0.5, test=(-FLAT[:40].repeat(times, 1), LABELS[:40].repeat(times)))
        for times in (1, 3)
    )
    assert (once.certificate.distinct, thrice.certificate.distinct) == (None, 40)
    assert thrice.certificate.probability == once.certificate.probability == 1 / 41
    assert "On 120 held-out rows (40 of them different), outputs" in str(thrice)


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_numbers_of_another_kind_stay_of_that_kind(kind):
    found = reduce(made(mlp).to(kind), (FLAT, LABELS), keep=0.5)
    assert all(parameter.dtype is kind for parameter in found.module.parameters())
    assert any("float32" in note for note in found.notes) is (kind is torch.bfloat16)
    assert found.bytes.after == sum(value.nbytes for value in found.module.state_dict().values())


def tied():
    module = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 8), nn.Linear(8, 3))
    module[2].weight = module[0].weight
    return module


def parametrized():
    module = mlp()
    nn.utils.parametrizations.weight_norm(module[0])
    return module


def repeated():
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


class Attentive(nn.Module):
    """Attention written out with its number of heads in the forward pass."""

    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)
        self.num_heads, self.up, self.down = 2, nn.Linear(8, 12), nn.Linear(12, 3)

    def forward(self, x):
        rows, length, size = x.shape
        parts = self.qkv(x).reshape(rows, length, 3, 2, size // 2).permute(2, 0, 3, 1, 4)
        found = nn.functional.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(rows, length, size)
        return self.down(torch.relu(self.up(x + self.proj(found)))).mean(1)


@pytest.mark.parametrize(
    ("make", "inputs", "layer", "reason"),
    [
        (Recurrent, torch.randn(ROWS, 4, 4), "lstm", "recurrent"),
        (encoder, SERIES, "0.self_attn", "MultiheadAttention"),
        (mlp, FLAT, "4", "norm 5 looks at all its units together"),
        (tied, FLAT, "0", "shared with 2"),
        (repeated, FLAT, "0", "called 2 times"),
        (parametrized, FLAT, "0", "parametrized"),
        (Attentive, SERIES, "", "does not run with fewer"),
        (gpt2, OF_WORDS, "lm_head", "shared with transformer.wte"),
        (mixtral, OF_WORDS, "model.layers.0.mlp.experts", "experts are in one array each"),
    ],
    ids=[
        "LSTM", "MultiheadAttention", "LayerNorm", "tied", "repeated", "parametrized", "own attention", "GPT-2",
        "Mixtral",
    ],
)  # fmt: skip
def test_what_cannot_be_narrowed_is_left_whole_and_the_reason_said(make, inputs, layer, reason):
    found = reduce(made(make), data_of(inputs), keep=0.5)
    assert reason in dict(found.left_whole)[layer]
    assert reason in str(found)


class Mixed(nn.Module):
    """Attention that goes by no customary name, whose parts Torch-Pruning cannot tell, and a network behind it."""

    def __init__(self):
        super().__init__()
        self.mix, self.back = transformers.pytorch_utils.Conv1D(24, 8), nn.Linear(8, 8)
        self.network = nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 3))

    def forward(self, x):
        parts = (part.view(*x.shape[:2], 2, 4).transpose(1, 2) for part in self.mix(x).split(8, dim=2))
        found = nn.functional.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(x.shape)
        return self.network(x + self.back(found)).mean(1)


def test_what_the_graph_has_wrong_is_found_by_trying_and_left_whole():
    found = reduce(made(Mixed), (SERIES, LABELS), keep=0.5)
    assert dict(found.widths.select("layer", "after").rows()) == {"network.0": 6}
    assert "does not run with fewer" in dict(found.left_whole)["mix"]


def test_where_the_whole_cannot_be_traced_its_parts_are(monkeypatch):
    graph = pytest.importorskip("torch_pruning").DependencyGraph
    build = graph.build_dependency

    def of_parts(self, model, *arguments, **options):
        if isinstance(model, Mixed):
            raise TypeError("an operation that is not known")
        return build(self, model, *arguments, **options)

    monkeypatch.setattr(graph, "build_dependency", of_parts)
    found = reduce(made(Mixed), (SERIES, LABELS), keep=0.5)
    assert dict(found.widths.select("layer", "after").rows()) == {"network.0": 6}
    assert "cannot be traced" in dict(found.left_whole)[""]
    assert "the module itself" in str(found)


class Random(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = mlp()

    def forward(self, x):
        return self.inner(nn.functional.dropout(x, 0.5))


def quantized():
    return torch.ao.quantization.quantize_dynamic(mlp(), {nn.Linear})


def not_finite(value):
    rows = FLAT.clone()
    rows[3, 2] = value
    return rows


def replaced():
    module = mlp()
    module[0].forward = module[0].forward
    return module


class OverRows(nn.Module):
    """Takes a mean over rows, in evaluation mode too."""

    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(6, 16), nn.Linear(16, 3)

    def forward(self, x):
        hidden = torch.relu(self.up(x))
        return self.down(hidden - hidden.mean(0))


class Undefined(OverRows):
    """Is not finite on rows with a small first input."""

    def forward(self, x):
        return self.down(torch.relu(self.up(x))) / (x[:, :1] > FLAT[:, 0].min()).float()


class OnSome(OverRows):
    """Calls a further layer on batches with a large number."""

    def __init__(self):
        super().__init__()
        self.further = nn.Linear(16, 16)

    def forward(self, x):
        hidden = torch.relu(self.up(x))
        return self.down(torch.relu(self.further(hidden)) if x.abs().max() > 2 else hidden)


class Returned(OverRows):
    """Returns what a function makes of its outputs."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(self.down(torch.relu(self.up(x))))


class Complex(OverRows):
    def __init__(self):
        super().__init__()
        self.phase = nn.Parameter(torch.ones(3, dtype=torch.complex64))


SMALL = FLAT.clamp(-1, 1)
ONE_LARGE = torch.cat([torch.full((1, 6), 3.0), SMALL[1:]])
REFUSED = {
    "a mean over rows": (OverRows, (FLAT, LABELS), {}, ArchitectureError, "depends on the other rows"),
    "a batch's own statistics": (
        lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.Linear(8, 3)),
        (FLAT, LABELS),
        {},
        ArchitectureError,
        "track_running_stats=True",
    ),
    "not finite where it is certified": (
        Undefined,
        (FLAT, LABELS),
        {"test": (FLAT, LABELS), "validation": (FLAT + 9, LABELS)},
        DataError,
        "given module are not finite on 1 of the 120 rows",
    ),
    "another layer on some rows": (
        OnSome,
        (SMALL, LABELS),
        {"validation": (ONE_LARGE, LABELS)},
        ArchitectureError,
        "narrower OnSome does not run",
    ),
    "class numbers as outputs": (
        lambda: Returned(lambda out: out.argmax(-1)),
        (FLAT, LABELS),
        {},
        ArchitectureError,
        "returns int64 numbers",
    ),
    "complex outputs": (
        lambda: Returned(lambda out: out * 1j),
        (FLAT, LABELS),
        {},
        ArchitectureError,
        "returns complex64 numbers",
    ),
    "complex parameters": (Complex, (FLAT, LABELS), {}, ArchitectureError, "phase of the Complex are complex64"),
    "no class": (mlp, (FLAT, LABELS * 0 - 100), {}, DataError, "negative"),
    "rows that do not fit": (mlp, (IMAGES, LABELS), {}, ArchitectureError, "do not fit"),
    "NaN": (mlp, (not_finite(float("nan")), LABELS), {}, DataError, "not finite in 1 row"),
    "no data": (mlp, None, {}, DataError, "`data` is None"),
    "an empty loader": (mlp, [], {}, DataError, "no rows"),
    "unequal": (mlp, (FLAT, LABELS[:50]), {}, DataError, "120"),
    "too few to certify": (mlp, (FLAT[:60], LABELS[:60]), {}, DataError, "19"),
    "labels out of range": (mlp, (FLAT, LABELS + 5), {}, DataError, "classes must be 0 to 2"),
    "other targets": (mlp, (FLAT, torch.randn(ROWS, 7)), {}, DataError, "shape (24, 7)"),
    "random": (Random, (FLAT, LABELS), {}, ArchitectureError, "other outputs each time"),
    "one layer": (lambda: nn.Linear(6, 3), (FLAT, LABELS), {}, ArchitectureError, "No layer of the Linear"),
    "recurrent alone": (lambda: nn.LSTM(4, 5), torch.randn(ROWS, 4, 4), {}, ArchitectureError, "recurrent"),
    "tolerance": (mlp, (FLAT, LABELS), {"tolerance": 1.5}, SpecError, "1.5"),
    "keep": (mlp, (FLAT, LABELS), {"keep": 25, "tolerance": 0.01}, SpecError, "between 0 and 1"),
    "two sizes": (mlp, (FLAT, LABELS), {"flops": 10}, SpecError, "give one"),
    "too small": (mlp, (FLAT, LABELS), {"parameters": 10}, SpecError, "with one unit a layer"),
    "metric": (mlp, (FLAT, LABELS), {"metric": "acuracy"}, SpecError, "did you mean 'accuracy'"),
    "no direction": (mlp, (FLAT, LABELS), {"metric": lambda out, y: 1.0}, SpecError, "larger_is_better"),
    "a size and a tolerance": (mlp, (FLAT, LABELS), {"keep": 0.5, "tolerance": 0.1}, SpecError, "give one"),
    "fine-tuning steps": (mlp, (FLAT, LABELS), {"fine_tune": 10}, SpecError, "function"),
    "TorchScript": (lambda: torch.jit.script(mlp()), (FLAT, LABELS), {}, ArchitectureError, "TorchScript"),
    "quantized": (quantized, (FLAT, LABELS), {}, ArchitectureError, "quantized"),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(3)), (FLAT, LABELS), {}, ArchitectureError, "run it once"),
    "replaced": (replaced, (FLAT, LABELS), {}, ArchitectureError, "forward of 0 was replaced"),
    "method": (mlp, (FLAT, LABELS), {"method": "merge"}, SpecError, "method"),
}


@pytest.mark.parametrize(("make", "data", "options", "kind", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_said_in_one_sentence(make, data, options, kind, said):
    torch.manual_seed(0)
    size = {} if {"tolerance", "parameters"} & set(options) else {"keep": 0.5}
    with pytest.raises(kind, match=re.escape(said)) as caught:
        reduce(make().eval(), data, **size, **options)
    assert "\n" not in str(caught.value)


def test_a_compiled_module_is_reduced_as_the_one_it_was_made_of():
    module = made(mlp)
    found = reduce(torch.compile(module), (FLAT, LABELS), keep=0.5)
    assert found.original is module
    saved = io.BytesIO()
    torch.save(found.module, saved)


class Both(nn.Module):
    """Returns its hidden layer too, or has a head for training alone."""

    def __init__(self, returns_hidden):
        super().__init__()
        self.up, self.down, self.beside = nn.Linear(6, 16), nn.Linear(16, 3), nn.Linear(16, 3)
        self.first, self.middle = nn.Linear(6, 6), nn.Tanh()
        self.returns_hidden = returns_hidden

    def forward(self, x):
        hidden = torch.relu(self.up(self.middle(self.first(x))))
        if self.returns_hidden:
            return self.down(hidden), hidden
        return self.down(hidden) + (self.beside(hidden) if self.training else 0)


class Squeezing(nn.Module):
    """Returns its hidden layer too in training, without its axis where one unit is left."""

    def __init__(self):
        super().__init__()
        self.first, self.up, self.down = nn.Linear(6, 6), nn.Linear(6, 2), nn.Linear(2, 3)

    def forward(self, x):
        hidden = torch.relu(self.up(torch.tanh(self.first(x))))
        return (self.down(hidden), hidden.squeeze()) if self.training else self.down(hidden)


def test_units_whose_axis_training_returns_are_left():
    found = reduce(made(Squeezing), (FLAT, LABELS), keep=0.5)
    assert "in training mode" in dict(found.left_whole)["up"]


class Dropping(nn.Module):
    """Leaves out rows of a batch in training, as many as come out of a draw."""

    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.5)), nn.Linear(16, 3)

    def forward(self, x):
        hidden = self.up(x)
        return self.down(hidden[torch.rand(len(x)) < 0.7] if self.training else hidden)


def test_a_module_that_drops_rows_in_training_is_reduced_as_others_are():
    found = reduce(made(Dropping), (FLAT, LABELS), keep=0.5)
    assert dict(found.widths.select("layer", "after").rows()) == {"up.0": 8}
    assert found.module.train()(FLAT).shape[1] == 3
    assert found.module.eval()(FLAT).shape == (len(FLAT), 3)


@pytest.mark.parametrize(
    ("returns_hidden", "reason"), [(True, "outputs would have another shape"), (False, "in training mode")]
)
def test_units_that_are_read_in_training_or_returned_beside_are_left(returns_hidden, reason):
    module = made(lambda: Both(returns_hidden))
    found = reduce(module, (FLAT, LABELS), keep=0.5)
    assert reason in dict(found.left_whole)["up"]
    assert dict(found.widths.select("layer", "after").rows()) == {"first": 3}
    assert any("1 further tensor" in note for note in found.notes) == returns_hidden
    found.module.train()(FLAT)


def test_weights_that_a_hook_of_pytorch_makes_are_left_whole():
    def hooked():
        layers = nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)
        prune.l1_unstructured(layers[0], "weight", 0.5)
        return nn.Sequential(*layers)

    module = made(hooked)
    module(FLAT).sum().backward()
    found = reduce(module, (FLAT, LABELS), keep=0.5)
    assert "parametrized" in dict(found.left_whole)["0"]
    assert dict(found.widths.select("layer", "after").rows()) == {"2": 4, "4": 4}
    again = found.module(FLAT)
    assert again.shape == (ROWS, 3)
    assert torch.equal(found.module[0].weight_mask, module[0].weight_mask)


def test_a_layer_that_is_the_same_on_all_rows_is_reduced():
    module = made(lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)))
    with torch.no_grad():
        module[0].weight.zero_()
        module[0].bias.fill_(-1)
    found = reduce(module, (FLAT, LABELS), keep=0.25)
    torch.testing.assert_close(found.module(FLAT), module(FLAT), atol=1e-5, rtol=1e-5)


def test_what_16_bits_cannot_hold_is_refused_and_what_they_round_is_certified():
    def alike():
        module = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
        with torch.no_grad():
            for value in (module[0].weight, module[0].bias):
                value.copy_(value[:1].expand_as(value) * 1e-4)
            module[2].weight.copy_(module[2].weight[:, :1].expand(3, 16) * 1e5)
        return module.half()

    with pytest.raises(DataError, match="smaller module are not finite"):
        reduce(made(alike), (FLAT, LABELS), keep=0.07)
    module = made(lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)).bfloat16())
    found = reduce(module, (FLAT, FLAT[:, :3]), keep=0.5)
    rows = found.parts.certification.inputs
    moved = (found.module.float()(rows) - copy.deepcopy(module).float()(rows)).detach()
    moved /= found.parts.validation.targets.std(0, correction=0)
    assert found.certificate.largest_deviation == pytest.approx(float(moved.abs().max()), rel=1e-5)


def test_probabilities_are_certified_as_they_are():
    module = made(lambda: nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3), nn.Softmax(-1)))
    found = reduce(module, (FLAT, LABELS), keep=0.25)
    rows = found.parts.certification.inputs
    moved = (found.module(rows) - module(rows)).detach().abs().max()
    assert found.certificate.largest_deviation == pytest.approx(float(moved), rel=1e-5)
    assert "The outputs are probabilities and are judged as they are." in found.notes


def test_targets_that_are_no_class_are_counted():
    found = reduce(made(mlp), (FLAT, torch.where(LABELS == 0, -1, LABELS)), keep=0.5)
    left_out = int((found.parts.validation.targets < 0).sum())
    assert any(f"{left_out} of the 24 targets that validate are negative (-1)" in note for note in found.notes)


def test_rows_in_the_order_of_their_classes_calibrate_all_of_them(monkeypatch):
    monkeypatch.setattr("nucleate.reduction.modules.reducing.MOST_CALIBRATION", 24)
    taken = []

    class Noting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = mlp()

        def forward(self, x):
            taken.append(x)
            return self.layers(x)

    rows = FLAT[torch.argsort(FLAT[:, 0])]
    found = reduce(made(Noting), (rows, LABELS), keep=0.5)
    assert found.rows == (24, 24, 24)
    of_graph = next(x for x in taken if len(x) == 8)
    assert of_graph[0, 0] < rows[20, 0]
    assert of_graph[-1, 0] > rows[100, 0]


def test_a_config_that_keeps_the_widths_of_before_is_told():
    small = reduce(made(gpt2), OF_WORDS, keep=0.5)
    assert any("torch.save" in note for note in small.notes)
    assert not any("torch.save" in note for note in reduce(made(gpt2), OF_WORDS, keep=1.0).notes)
    assert not any("torch.save" in note for note in reduce(made(mlp), (FLAT, LABELS), keep=0.5).notes)


def test_hooks_are_said_to_be_in_nothing_that_is_told():
    module = made(mlp)
    module[0].register_forward_hook(lambda layer, inputs, output: 3 * output)
    assert any("of the original without them" in note for note in reduce(module, (FLAT, LABELS), keep=0.5).notes)


def test_truth_values_are_classes():
    found = reduce(
        made(lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))), (FLAT, LABELS > 0), keep=0.5
    )
    assert 0 <= found.test.after <= 1


def test_adapters_are_to_be_merged_before():
    peft = pytest.importorskip("peft")
    plain = made(lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)))
    adapted = peft.get_peft_model(plain, peft.LoraConfig(r=2, target_modules=["2"])).eval()
    with pytest.raises(ArchitectureError, match=r"adapters of peft .*base_model\.model\.2, .*merge_and_unload"):
        reduce(adapted, (FLAT, LABELS), keep=0.5)
    assert reduce(adapted.merge_and_unload(), (FLAT, LABELS), keep=0.5).widths["after"].to_list() == [8, 4]
