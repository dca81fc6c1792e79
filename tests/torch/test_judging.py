"""By what a smaller PyTorch module is judged: rare classes, targets of other units, and labels of other places.

They need PyTorch, Torch-Pruning and transformers (`make test-extras`).
"""

import numpy as np
import pytest

from nucleate import DataError, Metric, reduce
from nucleate.reduction.modules.judging import judge_of
from nucleate.reduction.modules.rows import Parts, Rows, outputs_of
from tests.torch.models import gpt2

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("torch_pruning")
pytestmark = pytest.mark.filterwarnings("default")

nn = torch.nn
X = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0))


class Function(nn.Module):
    """What a function makes of its inputs."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def logits(x):
    """Two classes, of which the second is seldom."""
    return torch.stack([torch.zeros_like(x), 9 * (x - 2)], -1)


def never(x):
    return torch.stack([torch.ones_like(x), torch.zeros_like(x)], -1)


def judged(original, targets, tolerance, x=X, metric=None, larger_is_better=None):
    """Whether a function is within the tolerance of an original."""
    module, rows = Function(original), Rows(x, targets)
    before = outputs_of(module, rows)
    fits = judge_of(metric, larger_is_better, module, Parts(rows, rows, rows, "given"), before).fits(
        module, rows, before, tolerance
    )
    return lambda function: fits(Function(function))


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"metric": lambda outputs, targets: 1.0, "larger_is_better": True},
        {"metric": Metric("same", lambda *_: 1.0)},
    ],
    ids=["accuracy", "function", "metric"],
)
def test_a_rare_class_is_not_given_up_for_the_common_one(asked):
    labels = (X[:, 0] > 2).long()
    assert 0 < labels.double().mean() < 0.03
    fits = judged(lambda x: logits(x[:, 0]), labels, 0.05, **asked)
    assert fits(lambda x: 2 * logits(x[:, 0]))
    assert not fits(lambda x: never(x[:, 0]))


@pytest.mark.parametrize("axis", [-1, 1])
def test_nor_where_a_row_has_several_labels_and_some_are_no_class(axis):
    labels = (X > 2).long()
    # Of the third place no label is known, so it may be whatever it is.
    labels[:, 2] = -100
    fits = judged(lambda x: logits(x).movedim(-1, axis), labels, 0.05)
    assert fits(lambda x: torch.cat([logits(x[:, :2]), never(x[:, 2:])], 1).movedim(-1, axis))
    assert not fits(lambda x: torch.cat([never(x[:, :2]), logits(x[:, 2:])], 1).movedim(-1, axis))


def words_of(module, labels):
    torch.manual_seed(0)
    words = torch.randint(1, 12, (120, 5))
    return reduce(module.eval(), {"input_ids": words, "labels": labels(words)}, keep=0.5)


def test_of_a_language_model_whose_labels_are_of_other_places_it_is_said_that_they_are():
    said = "balanced accuracy is not known"
    assert any(said in note for note in words_of(gpt2(), lambda words: words).notes)
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12, vocab_size=12, num_labels=3
    )
    tagger = transformers.BertForTokenClassification(config)
    found = words_of(tagger, lambda words: torch.where(words < 4, -100, words % 3))
    assert found.metric.name == "loss"
    assert not any(said in note for note in found.notes)


@pytest.mark.parametrize(
    "shape", [lambda y: y, lambda y: y[:, None], lambda y: y.movedim(-1, 1)[:, :, None, None]], ids=["rows", "t", "c"]
)
def test_each_of_several_targets_is_held_to_its_own_error(shape):
    torch.manual_seed(0)
    units = torch.tensor([1e5, 1e-3])

    def original(x):
        return shape(x[:, :2] * units)

    targets = shape((X[:, :2] + 0.5 * torch.randn(2000, 2)) * units)

    def moved(share):
        return lambda x: shape((x[:, :2] + 0.5 * share * x[:, 2:].sign() * torch.tensor([0, 1])) * units)

    fits = judged(original, targets, 0.01)
    assert fits(moved(0.13))
    assert not fits(moved(0.16))


def test_among_sizes_within_a_budget_all_targets_count_alike():
    units = torch.tensor([1e5, 1e-3])
    rows = Rows(X, X[:, :2] * units)
    before = rows.targets + units
    judge = judge_of(None, None, Function(lambda x: before), Parts(rows, rows, rows, "given"), before)
    of_small, of_large = (judge.distance(rows, before, before + units * torch.tensor(by)) for by in ([0, 1], [0.1, 0]))
    assert of_small == pytest.approx(10 * of_large, rel=0.1)


def test_of_several_targets_deviations_are_told_in_the_spread_of_each():
    units = torch.tensor([1e5, 1e-3])
    module = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2)).eval()
    with torch.no_grad():
        module[2].weight.mul_(units[:, None])
        module[2].bias.mul_(units)
        small = reduce(module, (X, module(X) + torch.randn(2000, 2) * units), keep=0.25)
        rows = small.parts.certification.inputs
        moved = (small.module(rows) - module(rows)).abs().amax(0) / small.parts.validation.targets.std(0)
    assert small.certificate.largest_deviation == pytest.approx(float(moved.max()), rel=1e-2)
    reached = moved / moved.max()
    assert reached.min() > 0.1
    assert small.certificate.by_target == pytest.approx((units * float(moved.max())).tolist(), rel=0.5)


def test_a_class_beyond_the_outputs_is_told_wherever_it_is():
    module = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    labels = torch.zeros(120, dtype=torch.long)
    with pytest.raises(DataError, match="have class 7, but the module has 2 outputs"):
        reduce(module, (X[:120], labels), keep=0.5, test=(X[:120], labels + 7))


def test_an_own_metric_may_leave_out_what_is_no_class():
    """As ``ignore_index`` of PyTorch's loss does, here in the rows that certify alone."""
    module = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    labels = (X[:, 0] > 0).long()
    held_out = torch.where(torch.arange(120) % 3 == 0, 255, labels[:120])
    loss = nn.CrossEntropyLoss(ignore_index=255)
    assert reduce(module, (X, labels), keep=0.5, metric=loss, test=(X[:120], held_out)).certificate.rows == 120


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_a_constant_target_is_told_in_its_own_error(unit):
    units = torch.tensor([unit, 1.0])
    targets = torch.cat([torch.full((len(X), 1), 5.0), X[:, :1]], -1) * units
    before = (targets / units + 0.2) * units
    rows = Rows(X, targets)
    parts = Parts(rows, rows, rows, "given")
    judge = judge_of(None, None, Function(lambda x: before), parts, before)
    told = judge.certify(parts, before, before + torch.tensor([0.1, 0.0]) * units)
    assert told.largest_deviation == pytest.approx(0.5, rel=1e-3)
    assert told.by_target[0] == pytest.approx(0.1 * unit, rel=1e-3)


def test_a_target_that_is_met_exactly_and_stays_does_not_hide_the_other():
    targets = torch.cat([torch.zeros(len(X), 1), X[:, :1]], -1)
    before = targets + torch.tensor([0.0, 0.2])
    rows = Rows(X, targets)
    parts = Parts(rows, rows, rows, "given")
    judge = judge_of(None, None, Function(lambda x: before), parts, before)
    relative = [
        judge.certify(parts, before, before + torch.tensor(moved)).relative_deviation
        for moved in ([0.0, 0.1], [0.1, 0.1])
    ]
    assert relative == [pytest.approx(0.5, rel=1e-3), np.inf]
