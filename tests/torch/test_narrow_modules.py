"""The narrow module beside a reduced one: new starts of the same widths, trained by a function of one's own.

They need PyTorch and Torch-Pruning (`make test-extras`).
"""

import pytest

import nucleate
from nucleate import SpecError

torch = pytest.importorskip("torch")
pytest.importorskip("torch_pruning")
pytestmark = pytest.mark.filterwarnings("default")

nn = torch.nn


class Scaled(nn.Module):
    """Two layers, and a parameter of which no layer says how it starts."""

    def __init__(self):
        super().__init__()
        self.up, self.down, self.scale = nn.Linear(2, 16), nn.Linear(16, 1), nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.scale * self.down(torch.tanh(self.up(x)))


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    x = torch.randn(300, 2)
    y = torch.sin(x[:, :1]) + 0.5 * x[:, 1:]
    module = Scaled()
    fit(module, x, y)
    return module, x, y


def fit(module, x, y, steps=150):
    optimizer = torch.optim.Adam(module.parameters(), 0.03)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.mse_loss(module(x), y).backward()
        optimizer.step()


def test_modules_of_the_reduced_widths_are_trained_from_three_new_starts(trained):
    module, x, y = trained
    given = []

    def train(narrow):
        assert narrow.training
        given.append(narrow.up.weight.detach().clone())
        fit(narrow, x, y, 100)

    small = nucleate.reduce(module, (x, y), keep=0.5, train=train)
    assert [len(weight) for weight in given] == [8, 8, 8] == [len(small.module.up.weight)] * 3
    assert not torch.equal(given[0], given[1])
    assert small.narrow.parameters == small.parameters.after
    assert small.narrow.comparison.seeds == (1, 3)
    assert small.narrow.comparison.rows == small.rows[2]
    assert small.narrow.comparison.network == pytest.approx(small.test.after)
    assert str(small.narrow.comparison) in str(small)
    assert "1 parameter of the narrow module (scale) have no start" in str(small)


def test_a_narrow_module_that_learns_nothing_is_worse_beyond_the_noise(trained):
    module, x, y = trained
    small = nucleate.reduce(module, (x, y), keep=0.5, train=lambda narrow: None)
    assert small.narrow.comparison.verdict == "worse"


def test_copies_of_a_row_do_not_make_the_comparison_surer(trained):
    module, x, y = trained
    once, often = (
        nucleate.reduce(
            module,
            (x, y),
            keep=0.5,
            train=lambda narrow: None,
            test=(-x[:60].repeat(times, 1), y[:60].repeat(times, 1)),
        ).narrow.comparison
        for times in (1, 4)
    )
    assert (often.rows, often.distinct) == (240, 60)
    assert (often.lower, often.upper) == pytest.approx((once.lower, once.upper))
    assert "on 240 rows (60 of them different)" in str(often)


def test_the_same_seed_gives_the_same_starts(trained):
    module, x, y = trained
    one, again, other = (
        nucleate.reduce(
            module, (x, y), keep=0.5, train=lambda narrow: narrow, validation=(x, y), test=(x, y), seed=seed
        )
        for seed in (0, 0, 5)
    )
    assert one.narrow.test == again.narrow.test != other.narrow.test


@pytest.mark.parametrize(
    ("train", "said"),
    [
        (lambda narrow: 0.3, "`train` returned something else than the module it was given"),
        (lambda narrow: nn.Linear(2, 1), "`train` returned something else than the module it was given"),
        (lambda narrow: 1 / 0, "`train` failed on a module of the reduced shapes .ZeroDivisionError"),
        (3, "`train` is 3; for a PyTorch module it must be a function"),
    ],
    ids=["number", "other-module", "fails", "no-function"],
)
def test_a_training_that_cannot_be_used_is_told_in_one_sentence(trained, train, said):
    module, x, y = trained
    with pytest.raises(SpecError, match=said):
        nucleate.reduce(module, (x, y), keep=0.5, train=train)


def test_without_targets_there_is_nothing_to_be_better_on(trained):
    module, x, _ = trained
    with pytest.raises(SpecError, match=r"that needs a metric of targets"):
        nucleate.reduce(module, x, keep=0.5, train=lambda narrow: None)
