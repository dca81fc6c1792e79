"""PyTorch's own training does what the forecast of the module says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from nucleate import NucleateError, Problem, SpecError, forecast, from_torch, train  # noqa: E402
from nucleate.problems import SOFTMAX, Loss  # noqa: E402

RNG = np.random.default_rng(0)
X = torch.tensor(RNG.standard_normal((60, 4)), dtype=torch.float32)
Y = (X @ torch.tensor([[1.0], [-0.5], [0.3], [0.0]])).tanh()
LABELS = (Y[:, 0] > 0).long()


def started(outputs=1, epsilon=0.02):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, outputs))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, epsilon) if parameter.ndim == 2 else parameter.zero_()
    return module


def step_of_drop(module, optimizer, loss, y, share=0.1, clip=None):
    first = None
    for step in range(3000):
        optimizer.zero_grad()
        value = loss(module(X), y)
        first = first or value.item()
        if value.item() < (1 - share) * first:
            return step
        value.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(module.parameters(), clip)
        optimizer.step()
    return None


OPTIMIZERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.02, momentum=0.9),
    "Nesterov": lambda parameters: torch.optim.SGD(parameters, lr=0.02, momentum=0.9, nesterov=True),
    "weight decay": lambda parameters: torch.optim.SGD(parameters, lr=0.1, weight_decay=0.02),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=2e-4, weight_decay=10.0),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=2e-4, betas=(0.8, 0.99)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_leaves_its_plateau_when_the_forecast_says(name):
    module = started()
    optimizer = OPTIMIZERS[name](module.parameters())
    expected = forecast(module, (X, Y), optimizer, loss=nn.MSELoss())
    measured = step_of_drop(module, optimizer, nn.MSELoss(), Y)
    assert expected.in_regime
    assert expected.drop_steps[0.1].lower <= measured <= expected.drop_steps[0.1].upper


LOSSES = {
    "MSELoss": (1, Y, nn.MSELoss(), nn.MSELoss()),
    "mse_loss": (2, torch.cat([Y, -Y], 1), nn.functional.mse_loss, nn.MSELoss()),
    "L1Loss": (1, Y, nn.L1Loss(), nn.L1Loss()),
    "HuberLoss": (1, Y, nn.HuberLoss(delta=0.3), nn.HuberLoss(delta=0.3)),
    "SmoothL1Loss": (1, Y, nn.SmoothL1Loss(beta=0.3), nn.SmoothL1Loss(beta=0.3)),
    "CrossEntropyLoss": (2, LABELS, nn.CrossEntropyLoss(), nn.CrossEntropyLoss()),
    "BCEWithLogitsLoss": (1, LABELS[:, None].float(), nn.BCEWithLogitsLoss(), nn.BCEWithLogitsLoss()),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_in_pytorch_s_own_terms(name):
    outputs, y, loss, own = LOSSES[name]
    module = started(outputs)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    expected = forecast(module, torch.utils.data.TensorDataset(X, y), optimizer, loss=loss)
    assert expected.loss[0] == pytest.approx(own(module(X), y).item(), rel=1e-4)
    measured = step_of_drop(module, optimizer, own, y)
    assert expected.drop_steps[0.1].lower <= measured <= expected.drop_steps[0.1].upper


@pytest.mark.parametrize("outputs", [1, 4])
def test_clipping_and_a_weight_decay_are_in_pytorch_s_own_terms(outputs):
    y, module = Y.repeat(1, outputs), started(outputs)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, weight_decay=0.002 / outputs)
    expected = forecast(module, (X, y), optimizer, loss=nn.MSELoss(), clip=0.01)
    assert expected.weight_decay == pytest.approx(0.002 / outputs)
    plain = torch.optim.SGD(module.parameters(), lr=0.1)
    given = forecast(module, (X, y), plain, loss=nn.MSELoss(), clip=0.01, weight_decay=0.002 / outputs)
    assert given.drop_steps == expected.drop_steps
    measured = step_of_drop(module, optimizer, nn.MSELoss(), y, clip=0.01)
    assert expected.drop_steps[0.1].lower <= measured <= expected.drop_steps[0.1].upper


def test_a_data_loader_of_all_rows_is_read_without_moving_random_numbers():
    module, state = started(), torch.get_rng_state()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    rows = torch.utils.data.TensorDataset(X, Y)
    loader = torch.utils.data.DataLoader(rows, batch_size=len(rows), shuffle=True)
    state = torch.get_rng_state()
    one, other = (forecast(module, data, optimizer, loss=nn.MSELoss()) for data in (loader, (X.numpy(), Y.numpy())))
    assert one.drop_steps == other.drop_steps
    assert torch.equal(state, torch.get_rng_state())


def test_numbers_of_classes_are_read_under_a_loss_of_ones_own():
    own = Loss("cross-entropy of one's own", lambda f, y: -jnp.sum(y * jax.nn.log_softmax(f), axis=1), SOFTMAX)
    module = started(outputs=2)
    sgd = torch.optim.SGD(module.parameters(), lr=0.1)
    one, other = (forecast(module, (X, LABELS), sgd, loss=loss) for loss in (own, nn.CrossEntropyLoss()))
    assert one.loss == pytest.approx(other.loss, rel=1e-6)


@pytest.mark.parametrize("seed", [1, 2])
def test_in_mini_batches_training_in_pytorch_s_own_order_does_what_the_forecast_says(seed):
    module = started()
    optimizer = sgd(module)
    batches = loader(batch_size=20, shuffle=True)
    expected = forecast(module, batches, optimizer, loss=nn.MSELoss())
    assert (expected.batch_size, expected.orders) == (20, 5)
    torch.manual_seed(seed)
    step, first = 0, nn.functional.mse_loss(module(X), Y).item()
    while nn.functional.mse_loss(module(X), Y).item() > 0.9 * first and step < 3000:
        for x, y in batches:
            optimizer.zero_grad()
            nn.functional.mse_loss(module(x), y).backward()
            optimizer.step()
            step += 1
    # It is looked at after whole epochs.
    assert expected.drop_steps[0.1].lower <= step <= expected.drop_steps[0.1].upper + 3


def test_a_module_s_forecast_is_that_of_its_network():
    problem = Problem.from_arrays(X.numpy(), Y.numpy()[:, 0])
    module = started()
    one, other = (forecast(given, problem, "adam", 1e-3) for given in (module, from_torch(module)))
    assert one.drop_steps == other.drop_steps


def frozen():
    module = started()
    module[0].weight.requires_grad_(False)
    return module


def stepped(module):
    optimizer = torch.optim.Adam(module.parameters())
    module(X).sum().backward()
    optimizer.step()
    return optimizer


def sgd(module, **settings):
    return torch.optim.SGD(module.parameters(), **({"lr": 0.1} | settings))


dropping = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 1))


def scheduled(module):
    optimizer = sgd(module)
    torch.optim.lr_scheduler.StepLR(optimizer, 5)
    return optimizer


def hooked():
    module = started()
    module[0].weight.register_hook(lambda gradient: 0 * gradient)
    return module


def loader(**settings):
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), **({"batch_size": 60} | settings))


class Broken(torch.utils.data.Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, row):
        return X[row, : row + 1], Y[row]


REFUSED = {
    "a frozen parameter": (frozen(), (X, Y), sgd, nn.MSELoss(), "0.weight is frozen"),
    "dropout": (dropping, (X, Y), sgd, nn.MSELoss(), r"Dropout\(p=0.5"),
    "parameters left out": (
        started(), (X, Y), lambda module: torch.optim.SGD(module[0].parameters(), lr=0.1), nn.MSELoss(),
        "does not train 4 parameters",
    ),
    "groups": (
        started(), (X, Y),
        lambda module: torch.optim.SGD(
            [{"params": module[0].parameters(), "lr": 1.0}, {"params": module[2:].parameters()}], lr=0.1
        ),
        nn.MSELoss(), "settings of their own",
    ),
    "steps taken": (started(), (X, Y), stepped, nn.MSELoss(), "taken steps already"),
    "another optimizer": (
        started(), (X, Y), lambda module: torch.optim.Rprop(module.parameters()), nn.MSELoss(), "under Rprop"
    ),
    "amsgrad": (
        started(), (X, Y), lambda module: torch.optim.Adam(module.parameters(), amsgrad=True), nn.MSELoss(), "amsgrad"
    ),
    "maximizing": (started(), (X, Y), lambda module: sgd(module, maximize=True), nn.MSELoss(), "minimizing"),
    "a loss by sums": (started(), (X, Y), sgd, nn.MSELoss(reduction="sum"), "mean over all rows"),
    "another loss": (started(), (X, Y), sgd, nn.CosineEmbeddingLoss(), "under the loss"),
    "one of PyTorch's two": (started(), (X, Y), lambda module: "adam", nn.MSELoss(), "goes with an optimizer"),
    "no optimizer": (started(), (X, Y), lambda module: 3, nn.MSELoss(), "The optimizer is 3"),
    "other rows": (started(), (X, Y[:5]), sgd, nn.MSELoss(), "a row each"),
    "no number": (started(), (X, Y * float("nan")), sgd, nn.MSELoss(), "Of 60 targets 60 are NaN"),
    "no data": (started(), "data", sgd, nn.MSELoss(), "The data are 'data'"),
    "batches of one order": (started(), loader(batch_size=6), sgd, nn.MSELoss(), "with shuffle=True"),
    "a smaller last batch": (
        started(), loader(batch_size=7, shuffle=True), sgd, nn.MSELoss(), "a batch of 4 rows beside those of 7"
    ),
    "batches of one's own": (
        started(), torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_sampler=[[0, 1], [2, 3]]),
        sgd, nn.MSELoss(), "a way of its own",
    ),
    "targets that PyTorch stretches": (
        started(), (X, Y[:, 0]), sgd, nn.MSELoss(), r"give targets of shape \(60, 1\)"
    ),
    "some of the rows": (
        started(), loader(sampler=torch.utils.data.SubsetRandomSampler(range(9))), sgd, nn.MSELoss(), "SubsetRandom"
    ),
    "no batch": (started(), loader(batch_size=64, drop_last=True), sgd, nn.MSELoss(), "drops its only batch"),
    "a broken data set": (started(), Broken(), sgd, nn.MSELoss(), "cannot be read"),
    "no rows": (
        started(), torch.utils.data.TensorDataset(X[:0], Y[:0]), sgd, nn.MSELoss(), "The data set gives no rows"
    ),
    "no targets": (started(), torch.utils.data.TensorDataset(X), sgd, nn.MSELoss(), "give a data set of pairs"),
    "a schedule": (started(), (X, Y), scheduled, nn.MSELoss(), "scheduler holds the learning rate"),
    "changed gradients": (hooked(), (X, Y), sgd, nn.MSELoss(), "0.weight has a hook on its gradients"),
    "an ignored class": (started(2), (X, LABELS), sgd, nn.CrossEntropyLoss(ignore_index=0), "mean over all rows"),
    "one class": (started(), (X, 0 * LABELS), sgd, nn.CrossEntropyLoss(), "is always 0"),
    "classes beyond the outputs": (started(2), (X, LABELS + 1), sgd, nn.CrossEntropyLoss(), "are 1 to 2"),
    "other columns": (started(), (X[:, :3], Y), sgd, nn.MSELoss(), "from 4 inputs"),
}  # fmt: skip


@pytest.mark.parametrize("mode", [True, False])
def test_dropout_as_a_function_is_refused_too(mode):
    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.last = nn.Linear(4, 5), nn.Linear(5, 1)

        def forward(self, x):
            return self.last(torch.tanh(nn.functional.dropout(self.inner(x), training=self.training)))

    module = Dropping().train(mode)
    with pytest.raises(SpecError, match="The module has a dropout, and forecasts are of training without dropout"):
        forecast(module, (X, Y), sgd(module), loss=nn.MSELoss())


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_known_to_train_so_is_refused(what):
    module, data, optimizer, loss, says = REFUSED[what]
    with pytest.raises(SpecError, match=says):
        forecast(module, data, optimizer(module), loss=loss)


def test_a_truth_value_of_pytorch_is_no_whole_number():
    module = started()
    for name in ("batch_size", "seed", "horizon", "warmup"):
        with pytest.raises(SpecError, match=r"tensor\(True\)"):
            forecast(module, (X, Y), torch.optim.SGD(module.parameters(), 0.1), **{name: torch.tensor(True)})
    network = from_torch(module)
    problem = Problem.from_arrays(X.numpy(), Y.numpy())
    for name in ("steps", "seed", "evaluations"):
        with pytest.raises(NucleateError, match=r"tensor\(True\)"):
            train(network, problem, **{"steps": 9} | {name: torch.tensor(True)})
