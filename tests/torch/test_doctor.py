"""Of a PyTorch module that does not learn the first finding names the cause, and what was tried against it helps."""

import copy
import logging

import numpy as np
import pytest

from nucleate import SpecError, diagnose, watch
from nucleate.reporting import say_diagnosis

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("one_thread")]
nn, functional = torch.nn, torch.nn.functional


def rows(n=200):
    drawn = torch.Generator().manual_seed(0)
    x = torch.randn(n, 3, generator=drawn)
    return x, torch.sin(2 * x[:, :1]) + x[:, 1:2]


def network(activation=nn.Tanh, width=16, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), activation(), nn.Linear(width, width), activation(), nn.Linear(width, 1))


def sgd(module, rate=0.1):
    return torch.optim.SGD(module.parameters(), lr=rate)


def off(module, layer=0, bias=-40.0):
    with torch.no_grad():
        module[layer].bias.fill_(bias)
    return module


def helped(found, verdict):
    assert found.first.verdict == verdict, found
    assert found.first.helped is not None, found.first
    return found.first.helped


def test_a_module_that_learns_is_fine():
    module = network()
    found = diagnose(module, rows(), nn.MSELoss(), sgd(module))
    assert found.first.verdict == "fine"
    assert found.evidence.explained > 0.8


def test_nothing_of_the_training_is_changed():
    module = off(network(nn.ReLU))
    optimizer = torch.optim.Adam(module.parameters())
    module(rows()[0]).sum().backward()
    optimizer.step()
    before, state = copy.deepcopy(module.state_dict()), copy.deepcopy(optimizer.state_dict())
    slopes = [parameter.grad.clone() for parameter in module.parameters()]
    random = torch.get_rng_state()
    diagnose(module, rows(), nn.MSELoss(), optimizer, steps=20)
    assert all(torch.equal(before[name], now) for name, now in module.state_dict().items())
    assert all(torch.equal(*pair) for pair in zip(slopes, [one.grad for one in module.parameters()], strict=True))
    assert str(state) == str(optimizer.state_dict())
    assert torch.equal(random, torch.get_rng_state())
    assert module.training
    assert not any(part._forward_hooks for part in module.modules())


def test_what_a_module_keeps_from_one_pass_to_the_next_stays():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.passes, self.last = network(), 0, None

        def forward(self, x):
            self.passes, self.last = self.passes + 1, x
            return self.inner(x)

    module = Counting()
    diagnose(module, rows(), nn.MSELoss(), sgd(module), steps=20)
    assert (module.passes, module.last) == (0, None)


def test_a_dead_layer_is_named_and_another_activation_tried():
    module = off(network(nn.ReLU), layer=2)
    found = diagnose(module, rows(), nn.MSELoss(), sgd(module))
    remedy = helped(found, "dead_layer")
    assert found.first.layer == "2"
    assert remedy.setting in ("activation", "fresh")


class Functional(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.first, self.last = nn.Linear(3, 16), nn.Linear(16, 1)
        with torch.no_grad():
            self.first.weight.mul_(factor)

    def forward(self, x):
        return self.last(torch.sigmoid(self.first(x)))


def test_units_at_their_bounds_are_seen_behind_a_function_too():
    torch.manual_seed(0)
    module = Functional(3000.0)
    found = diagnose(module, rows(), nn.MSELoss(), sgd(module), trials=False)
    assert "saturated" in found.verdicts or found.first.verdict == "fine"
    (layer,) = found.evidence.layers
    assert (layer.name, layer.width) == ("first", 16)
    assert layer.saturated > 0.95


def test_a_relu_on_the_output_under_a_log_error_gives_zero_for_all():
    x, y = rows()
    module = off(nn.Sequential(network(nn.ReLU), nn.ReLU())[0], layer=4, bias=-5.0)
    module = nn.Sequential(*module, nn.ReLU())
    found = diagnose(
        module, (x, y.abs()), lambda given, true: ((torch.log1p(given) - torch.log1p(true)) ** 2).mean(), sgd(module)
    )
    helped(found, "dead_layer")
    assert found.first.layer == "4"
    assert "constant_output" in found.verdicts


def test_targets_of_another_shape_are_named_before_all():
    x, y = rows()
    module = network()
    found = diagnose(module, (x, y[:, 0]), nn.MSELoss(), sgd(module))
    remedy = helped(found, "mismatched_shapes")
    assert remedy.value == (-1, 1)
    assert found.first.evidence["targets"] == "(160,)"


@pytest.mark.parametrize("how", ["the optimizer is given the last layer alone", "the others require no gradient"])
def test_parameters_that_are_kept_from_training_are_named(how):
    module = network()
    if "gradient" in how:
        module[:4].requires_grad_(False)
    trained = module.parameters() if "gradient" in how else module[4].parameters()
    with torch.no_grad():
        # So that what the last layer reads tells it little.
        module[0].weight.mul_(0.01)
    kept = [one.requires_grad for one in module.parameters()]
    found = diagnose(module, rows(), nn.MSELoss(), torch.optim.Adam(trained, lr=0.01))
    assert helped(found, "kept_from_training").setting == "train"
    assert found.first.evidence["parts"] == "0, 2"
    assert found.first.evidence["share"] == pytest.approx(336 / 353)
    assert [one.requires_grad for one in module.parameters()] == kept


@pytest.mark.parametrize("optimizer", [torch.optim.Adagrad, torch.optim.Muon], ids=["Adagrad", "Muon"])
def test_what_an_optimizer_is_not_given_is_tried_with_any_optimizer(optimizer):
    module = network()
    module.places = nn.Parameter(torch.arange(3), requires_grad=False)
    with torch.no_grad():
        module[0].weight.mul_(0.01)
    found = diagnose(module, rows(), nn.MSELoss(), optimizer([module[2].weight], lr=0.01))
    assert found.evidence.untrained_parts == ("0", "2", "4")


def test_a_module_that_learns_with_some_parameters_frozen_is_fine():
    module = network(width=64)
    module[0].requires_grad_(False)
    found = diagnose(module, rows(), nn.MSELoss(), torch.optim.Adam(module.parameters(), lr=0.01))
    assert "kept_from_training" not in found.verdicts
    assert found.evidence.untrained_parts == ("0",)


@pytest.mark.parametrize(
    ("function", "classes", "loss"),
    [(nn.Softmax(dim=1), 3, nn.CrossEntropyLoss()), (nn.Sigmoid(), 1, nn.BCEWithLogitsLoss())],
    ids=["softmax", "sigmoid"],
)
def test_probabilities_that_the_loss_takes_for_logits_are_named(function, classes, loss):
    x, y = rows()
    labels = (y[:, 0] > 0).long() + (y[:, 0] > 1).long() if classes == 3 else (y > 0).float()
    module = nn.Sequential(*network(), nn.Linear(1, classes), function)
    found = diagnose(module, (x, labels), loss, torch.optim.Adam(module.parameters(), lr=0.01))
    assert helped(found, "softmax_twice").setting == "unsquash"
    assert found.first.evidence["function"] == type(function).__name__.lower()


@pytest.mark.parametrize(
    ("function", "loss"), [(nn.Sigmoid(), nn.BCELoss()), (nn.Sigmoid(), nn.MSELoss()), (nn.Identity(), nn.MSELoss())]
)
def test_probabilities_are_in_place_where_the_loss_is_of_probabilities(function, loss):
    x, y = rows(60)
    module = nn.Sequential(*network(), function)
    found = diagnose(module, (x, (y > 0).float()), loss, sgd(module), steps=5, trials=False)
    assert found.evidence.squashed is None


def test_a_target_that_is_the_same_on_all_rows_is_named():
    module = network()
    found = diagnose(module, (rows()[0], torch.ones(200, 1)), nn.MSELoss(), sgd(module), steps=5)
    assert found.verdicts == ("constant_target",)


def test_of_four_rows_all_are_trained_on_and_none_is_called_fine():
    torch.manual_seed(0)
    corners = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    module = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    data = (corners, torch.tensor([[0.0], [1], [1], [0]]))
    found = diagnose(module, data, nn.MSELoss(), torch.optim.Adam(module.parameters(), lr=0.05))
    assert found.evidence.explained > 0.9
    assert found.first.verdict == "too_few_rows"


@pytest.mark.parametrize(
    ("verdict", "rate", "factor"),
    [("rate_too_large", 30.0, 1), ("rate_too_small", 1e-5, 1), ("unscaled_input", 0.1, 1000)],
)
def test_rates_and_scales_are_named(verdict, rate, factor):
    x, y = rows()
    module = network()
    helped(diagnose(module, (factor * x, y), nn.MSELoss(), sgd(module, rate)), verdict)


class Transformer(nn.Module):
    """Two blocks of attention and MLP; the task is the token before the last."""

    def __init__(self, std):
        super().__init__()
        torch.manual_seed(0)
        self.tokens, self.places = nn.Embedding(6, 24), nn.Embedding(5, 24)
        self.attention = nn.ModuleList(nn.MultiheadAttention(24, 2, batch_first=True) for _ in range(2))
        self.mlp = nn.ModuleList(nn.Sequential(nn.Linear(24, 48), nn.GELU(), nn.Linear(48, 24)) for _ in range(2))
        self.head = nn.Linear(24, 6)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=std)

    def forward(self, tokens):
        signal = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        for attention, mlp in zip(self.attention, self.mlp, strict=True):
            signal = signal + attention(signal, signal, signal, need_weights=False)[0]
            signal = signal + mlp(signal)
        return self.head(signal[:, -1])


def test_a_small_start_of_a_transformer_keeps_it_on_its_plateau():
    tokens = torch.randint(0, 6, (300, 5), generator=torch.Generator().manual_seed(0))
    small = Transformer(0.006)
    found = diagnose(small, (tokens, tokens[:, -1]), nn.CrossEntropyLoss(), sgd(small, 0.1), steps=60)
    helped(found, "initial_plateau")
    usual = Transformer(0.02)
    course = diagnose(usual, (tokens, tokens[:, -1]), nn.CrossEntropyLoss(), sgd(usual, 0.1), steps=60, trials=False)
    assert course.evidence.train_loss[-1] < found.evidence.train_loss[-1]


def test_a_data_loader_is_read_and_its_batches_are_as_large():
    module = network()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*rows()), batch_size=32, shuffle=True)
    state = torch.get_rng_state()
    assert diagnose(module, loader, nn.MSELoss(), sgd(module)).first.verdict == "fine"
    assert torch.equal(state, torch.get_rng_state())


def test_a_watch_is_diagnosed_by_its_record_and_logs_what_it_finds(caplog):
    module, (x, y) = network(), rows()
    optimizer = sgd(module, 1e-6)
    watching = watch(module, x)
    with pytest.raises(SpecError, match="no losses to judge"):
        diagnose(watching)
    with caplog.at_level(logging.INFO, "nucleate.watch"):
        for _ in range(130):
            loss = functional.mse_loss(module(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watching.step(loss)
    assert diagnose(watching).first.verdict == "initial_plateau"
    assert "step 100: diagnosis: initial_plateau" in caplog.text


def trained(module, watching, steps, rate=0.1):
    x, y = rows()
    optimizer = sgd(module, rate)
    for step in range(1, steps + 1):
        loss = functional.mse_loss(module(x[step % 8 :: 8]), y[step % 8 :: 8])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watching.step(loss)


def test_a_watch_of_another_model_than_the_one_that_is_trained_is_told_so():
    module = network()
    watching = watch(module)
    trained(copy.deepcopy(module), watching, 130)
    found = diagnose(watching)
    assert found.verdicts == ("stands_still",)
    assert found.first.evidence == {"since": 0, "gradients": False}
    trained(module, watching, 400)
    assert "stands_still" not in diagnose(watching).verdicts


def test_weights_that_gradients_reach_and_no_step_moves_are_told_so():
    module = network()
    watching = watch(module)
    trained(module, watching, 130, rate=0.0)
    assert diagnose(watching).first.evidence == {"since": 0, "gradients": True}


def test_weights_at_the_bottom_of_their_loss_are_not_said_to_stand_still():
    module = nn.Linear(1, 1)
    watching = watch(module)
    optimizer = sgd(module, 0.25)
    for _ in range(300):
        loss = (module.weight.sum() - 1).relu() + (module.bias.sum() - 1).square()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watching.step(loss)
    assert watching.losses[max(watching.losses)] == 0
    assert diagnose(watching).verdicts == ("fine",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss": None}, "The loss is None"),
        ({"optimizer": "adam"}, "give the PyTorch optimizer"),
        ({"data": 3}, "give a pair of inputs and targets"),
        ({"data": (torch.ones(4, 3), torch.ones(3))}, "as many of the one as of the other"),
        ({"data": (torch.ones(4, 7), torch.ones(4, 1))}, "cannot take the data"),
        ({"loss": lambda outputs, y: torch.tensor(1.0)}, "No gradient reaches the parameters"),
        ({"loss": lambda outputs, y: (outputs.detach() - y).square().mean()}, "No gradient reaches the parameters"),
        ({"optimizer": torch.optim.LBFGS([nn.Parameter(torch.ones(1))])}, "LBFGS evaluates the loss itself"),
        ({"steps": 0}, "must be a whole number, 1 or more"),
    ],
)
def test_what_cannot_be_diagnosed_gets_a_sentence(change, said):
    module = network()
    given = {"data": rows(20), "loss": nn.MSELoss(), "optimizer": sgd(module), "steps": 5} | change
    with pytest.raises(SpecError, match=said):
        diagnose(module, given["data"], given["loss"], given["optimizer"], steps=given["steps"])


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.L1Loss(), nn.SmoothL1Loss()])
def test_pytorch_s_own_warning_of_shapes_does_not_stand_beside_the_verdict(loss, recwarn):
    x, y = rows()
    module = network()
    found = diagnose(module, (x, y[:, 0]), loss, sgd(module), steps=20)
    assert found.first.verdict == "mismatched_shapes"
    assert not [str(one.message) for one in recwarn]
    with pytest.warns(UserWarning, match="Using a target size"):
        loss(module(x), y[:, 0])


def test_targets_of_more_numbers_than_outputs_are_refused():
    x, _ = rows()
    module = network()
    with pytest.raises(SpecError, match=r"outputs have shape \(2, 1\) and the targets \(2, 3\).*; give as many"):
        diagnose(module, (x, x), nn.MSELoss(), sgd(module))


def test_a_loss_that_is_a_class_is_told_to_be_one():
    module = network()
    with pytest.raises(SpecError, match=r"The loss is the class MSELoss; give an object of it, MSELoss\(\)"):
        diagnose(module, rows(), nn.MSELoss, sgd(module))


@pytest.mark.parametrize(
    ("function", "loss"),
    [
        (nn.LogSoftmax(1), nn.NLLLoss()),
        (nn.Softmax(1), lambda outputs, y: 1 - outputs[torch.arange(len(y)), y].mean()),
        (nn.Sigmoid(), lambda outputs, y: nn.functional.binary_cross_entropy(outputs[:, 1], y.float())),
    ],
    ids=["logarithms", "probabilities", "sigmoid"],
)
def test_a_loss_of_probabilities_alone_is_held_against_the_frequencies(function, loss):
    x, y = rows()
    module = nn.Sequential(*network()[:-1], nn.Linear(16, 2), function)
    labels = (y[:, 0] > 0.5).long()
    found = diagnose(module, (x, labels), loss, torch.optim.Adam(module.parameters(), lr=0.01))
    assert found.first.verdict == "fine"
    # The rows are drawn from a seed; the share of ones among those of training is the best constant.
    setting_rows = torch.randperm(200, generator=torch.Generator().manual_seed(0))[:160]
    share = float(labels[setting_rows].double().mean())
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    expected = 1 - max(share, 1 - share) if isinstance(function, nn.Softmax) else entropy
    assert found.evidence.constant_loss == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    "loss",
    [
        lambda outputs, y: -nn.functional.mse_loss(outputs, y),
        lambda outputs, y: nn.functional.poisson_nll_loss(outputs, torch.full_like(y, 20.0) + y.abs()),
    ],
    ids=["turned round", "Poisson"],
)
def test_a_loss_below_zero_of_which_no_share_can_be_told_is_refused(loss):
    module = network()
    with pytest.raises(SpecError, match=r"The loss of the best constant output is -.*; give such a loss"):
        diagnose(module, rows(), loss, sgd(module, 0.001), steps=5)


def test_pictures_of_classes_are_held_against_the_frequencies_of_the_classes():
    torch.manual_seed(0)
    x = torch.randn(40, 2, 5, 4)
    labels = (x[:, 0] > 1).long()
    module = nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    found = diagnose(module, (x, labels), nn.CrossEntropyLoss(), sgd(module), steps=3, trials=False)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))[:32]
    share = float(labels[order].double().mean())
    assert found.evidence.constant_loss == pytest.approx(
        -share * np.log(share) - (1 - share) * np.log(1 - share), rel=1e-3
    )


def test_a_module_of_which_the_output_bias_alone_is_trained_is_not_said_to_have_nothing_to_learn():
    module = network()
    module.requires_grad_(False)
    module[-1].bias.requires_grad_(True)
    found = diagnose(module, rows(), nn.MSELoss(), torch.optim.SGD([module[-1].bias], lr=0.1), steps=60)
    assert "nothing_to_learn" not in found.verdicts
    assert helped(found, "kept_from_training").setting == "train"
    assert not module[0].weight.requires_grad


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y": torch.full((200,), 3)}, "cannot take the data .*out of bounds"),
        ({"x": torch.full((200, 3), float("nan"))}, "inputs of 200 of the 200 rows are not finite"),
    ],
)
def test_what_single_rows_have_wrong_is_said_before_training(change, said):
    x = change.get("x", rows()[0])
    labels = torch.zeros(200, dtype=torch.long)
    # The last of the rows in their order is of none of the first batches.
    last = int(torch.randperm(200, generator=torch.Generator().manual_seed(0))[-1])
    labels[last] = change.get("y", labels)[last]
    module = nn.Sequential(*network()[:-1], nn.Linear(16, 3))
    with pytest.raises(SpecError, match=said):
        diagnose(module, (x, labels), nn.CrossEntropyLoss(), sgd(module))


def test_a_loss_that_leaves_out_unknown_targets_is_told_that_the_doctor_reads_them():
    x, y = rows()
    y = y.clone()
    y[:3] = float("nan")

    def masked(outputs, y):
        return nn.functional.mse_loss(outputs[~y.isnan()], y[~y.isnan()])

    module = network()
    with pytest.raises(SpecError, match=r"targets of 3 of the 200 rows .* this loss leaves out .*all known"):
        diagnose(module, (x, y), masked, sgd(module))
    with pytest.raises(SpecError, match=r"targets of 3 of the 200 rows are not finite; drop these rows or fill them"):
        diagnose(module, (x, y), nn.MSELoss(), sgd(module))


@pytest.mark.parametrize("decay", [100.0, 1e4])
def test_a_weight_decay_that_undoes_what_is_learned_is_named(decay):
    module = network()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01, weight_decay=decay)
    remedy = helped(diagnose(module, rows(), nn.MSELoss(), optimizer), "decay_too_large")
    assert (remedy.setting, remedy.value) == ("weight_decay", 0.0)


def test_the_decay_of_any_group_is_looked_at():
    module = network()
    weights = [one for one in module.parameters() if one.ndim == 2]
    biases = [one for one in module.parameters() if one.ndim == 1]
    groups = [{"params": biases, "weight_decay": 0.0}, {"params": weights, "weight_decay": 100.0}]
    remedy = helped(diagnose(module, rows(), nn.MSELoss(), torch.optim.AdamW(groups, lr=0.01)), "decay_too_large")
    assert (remedy.setting, remedy.value) == ("weight_decay", 0.0)


@pytest.mark.parametrize(
    ("optimizer", "rate", "decay", "setting"),
    [("Adam", 1.0, 1.0, "weight_decay"), ("SGD", 1.0, 1.0, "undecayed"), ("SGD", 1.0, 3.0, "fresh")],
)
def test_a_weight_decay_by_which_all_is_forgotten_is_named_at_whatever_rate(optimizer, rate, decay, setting):
    module = network()
    given = getattr(torch.optim, optimizer)(module.parameters(), lr=rate, weight_decay=decay)
    assert helped(diagnose(module, rows(), nn.MSELoss(), given), "decay_too_large").setting == setting


@pytest.mark.parametrize("batch", [None, 32])
def test_a_loss_that_is_summed_over_the_rows_is_named_where_its_steps_are_too_long(batch):
    module = network(nn.ReLU, width=32)
    data = rows()
    if batch is not None:
        data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data), batch_size=batch, shuffle=True)
    found = diagnose(module, data, nn.MSELoss(reduction="sum"), sgd(module, 0.1))
    assert helped(found, "summed_loss").setting == "reduction"
    assert found.first.evidence == {"rows": batch or 160, "rate": 0.1}
    assert "rate_too_large" in found.verdicts


@pytest.mark.parametrize(("optimizer", "rate"), [(torch.optim.SGD, 5e-4), (torch.optim.Adam, 0.01)])
def test_a_summed_loss_that_is_learned_is_fine(optimizer, rate):
    module = network()
    found = diagnose(module, rows(), nn.MSELoss(reduction="sum"), optimizer(module.parameters(), lr=rate))
    assert found.evidence.summed_rows == 160
    assert found.verdicts == ("fine",)


def test_the_curvature_of_a_summed_loss_is_that_of_a_batch():
    module = network()
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*rows()), batch_size=40)
    mean, summed = (
        diagnose(module, data, nn.MSELoss(reduction=how), sgd(module, 0.0), steps=1, trials=False).evidence
        for how in ("mean", "sum")
    )
    assert mean.summed_rows is None
    assert summed.sharpness == pytest.approx(40 * mean.sharpness, rel=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_noise_has_nothing_to_be_learned(seed):
    drawn = torch.Generator().manual_seed(10 + seed)
    x, y = torch.randn(200, 5, generator=drawn), torch.randn(200, 1, generator=drawn)
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    found = diagnose(module, (x, y), nn.MSELoss(), torch.optim.Adam(module.parameters(), lr=0.01))
    assert found.evidence.explained_in_training > 0.9
    assert found.evidence.beside_constant == "alike"
    assert found.first.verdict == "nothing_to_learn"


def test_a_module_is_held_against_the_constant_row_by_row():
    x, y = rows(400)
    # The last fifth of the rows in their order judges; they are noise but for a small share.
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    module = network()

    def of(share):
        found = diagnose(
            module, (x, share * y + noise), nn.MSELoss(), torch.optim.Adam(module.parameters(), lr=0.01), trials=False
        )
        return found.evidence

    assert of(2.0).beside_constant == "better"
    assert of(0.0).beside_constant == "alike"
    evidence = of(2.0)
    assert evidence.losses_of_rows.shape == (80,)
    assert evidence.losses_of_rows.mean() == pytest.approx(evidence.validation_loss.min(), rel=1e-5)


def test_a_loss_that_is_none_of_single_rows_is_held_against_the_constant_by_its_share():
    module = network()

    def of_pairs(outputs, y):
        return ((outputs - y) - (outputs - y).roll(1, 0)).square().mean()

    found = diagnose(module, rows(), of_pairs, torch.optim.Adam(module.parameters(), lr=0.01), steps=60, trials=False)
    assert found.evidence.losses_of_rows is None
    assert found.evidence.beside_constant == "better"


def test_a_usual_weight_decay_is_not_blamed():
    module = network()
    optimizer = torch.optim.AdamW(module.parameters(), lr=30.0)
    assert diagnose(module, rows(), nn.MSELoss(), optimizer).first.verdict != "decay_too_large"


def test_a_penalty_on_the_module_s_own_parameters_is_refused():
    module = network()

    def loss(outputs, y):
        return nn.functional.mse_loss(outputs, y) + 1e-3 * sum(one.square().sum() for one in module.parameters())

    with pytest.raises(SpecError, match="reads parameters of the module itself"):
        diagnose(module, rows(), loss, sgd(module))
    assert all(parameter.grad is None for parameter in module.parameters())


def test_units_of_a_convolution_over_time_are_its_channels():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv1d(2, 8, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 1)
    )
    for part in (module[1], module[3]):
        with torch.no_grad():
            part.bias[:6] = -60
    x = torch.randn(60, 2, 16)
    found = diagnose(module, (x, x[:, 0].mean(1, keepdim=True)), nn.MSELoss(), sgd(module), steps=3, trials=False)
    assert [(layer.width, layer.dead) for layer in found.evidence.layers] == [(8, 0.75), (8, 0.75)]


class Pooled(nn.Module):
    """A convolution over time, pooled by a function before its activation."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv1d(2, 8, 3), nn.Linear(56, 1)

    def forward(self, x):
        return self.last(torch.relu(functional.max_pool1d(self.first(x), 2)).flatten(1))


@pytest.mark.parametrize(
    ("between", "name"),
    [
        ([nn.MaxPool1d(2)], "0"),
        ([nn.Dropout(0.5), nn.AvgPool1d(2)], "0"),
        ([nn.AdaptiveAvgPool1d(7)], "0"),
        (None, "first"),
    ],
)
def test_pooling_and_dropout_before_an_activation_leave_units_the_channels(between, name):
    torch.manual_seed(0)
    layers = (nn.Conv1d(2, 8, 3), *(between or ()), nn.ReLU(), nn.Flatten(), nn.Linear(56, 1))
    module = Pooled() if between is None else nn.Sequential(*layers)
    with torch.no_grad():
        next(module.children()).bias[:6] = -60
    x = torch.randn(60, 2, 16)
    found = diagnose(module, (x, x[:, 0].mean(1, keepdim=True)), nn.MSELoss(), sgd(module), steps=3, trials=False)
    (layer,) = found.evidence.layers
    assert (layer.name, layer.width, layer.dead) == (name, 8, 0.75)
    assert layer.gradient > 0


def test_a_loss_that_rounding_brings_below_zero_is_not_refused():
    x, _ = rows()
    shares = torch.tensor([0.1, 0.2, 0.7]).expand(len(x), 3)
    module = nn.Sequential(*network()[:-1], nn.Linear(16, 3), nn.LogSoftmax(1))
    found = diagnose(module, (x, shares), nn.KLDivLoss(reduction="batchmean"), sgd(module), steps=20)
    assert found.first.verdict == "constant_target"


def test_a_loss_that_refuses_some_numbers_is_held_against_the_constants_that_it_takes():
    x, y = rows()
    module = nn.Sequential(*network()[:-1], nn.Linear(16, 2), nn.Softmax(1))
    labels = (y[:, 0] > 0.5).long()

    def loss(outputs, y):
        return -torch.distributions.Categorical(probs=outputs).log_prob(y).mean()

    found = diagnose(module, (x, labels), loss, torch.optim.Adam(module.parameters(), lr=0.01), steps=60)
    share = float(labels[torch.randperm(200, generator=torch.Generator().manual_seed(0))[:160]].double().mean())
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert found.evidence.constant_loss == pytest.approx(entropy, rel=1e-3)


def test_a_loss_that_falls_below_zero_is_refused():
    x, _ = rows()
    module = nn.Sequential(*network()[:-1], nn.Linear(16, 2))

    def loss(outputs, y):
        return nn.functional.gaussian_nll_loss(outputs[:, :1], y, nn.functional.softplus(outputs[:, 1:]) + 1e-3)

    with pytest.raises(SpecError, match=r"The loss falls to -"):
        diagnose(module, (x, x[:, :1]), loss, torch.optim.Adam(module.parameters(), lr=0.01))


class Detached(nn.Module):
    """What lies before the last layer is cut off from it, or a part is not used."""

    def __init__(self, how):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Linear(3, 16), nn.Linear(16, 16), nn.Linear(16, 1)
        self.how = how
        with torch.no_grad():
            self.first.weight.mul_(0.01)

    def forward(self, x):
        hidden = torch.tanh(self.second(torch.tanh(self.first(x))))
        if self.how == "detach":
            hidden = hidden.detach()
        elif self.how == "data":
            hidden = hidden.data
        elif self.how == "aside":
            # Its value is read, and it changes nothing.
            hidden = torch.tanh(self.first(x)) + 0 * hidden.detach()
        return self.last(hidden)


@pytest.mark.parametrize("how", ["detach", "data"])
def test_what_no_gradient_reaches_though_the_outputs_depend_on_it_is_named(how):
    module = Detached(how)
    found = diagnose(module, rows(), nn.MSELoss(), torch.optim.Adam(module.parameters(), lr=0.01))
    assert found.first.verdict == "no_gradient"
    assert found.first.evidence == {"share": pytest.approx(336 / 353), "parts": "first, second"}
    assert "fine" not in found.verdicts


def test_a_part_that_the_outputs_do_not_depend_on_lacks_no_gradient():
    module = Detached("aside")
    found = diagnose(module, rows(), nn.MSELoss(), sgd(module), steps=20, trials=False)
    assert found.evidence.unreached_parts == ()


class Unused(nn.Module):
    """Has a layer that is not used, and draws in eval mode too, or has gradients in training alone."""

    def __init__(self, how):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.unused = nn.Linear(3, 16), nn.Linear(16, 1), nn.Linear(16, 1)
        self.how, self.calls = how, 0

    def forward(self, x):
        if self.how == "gradients in training":
            torch.set_grad_enabled(self.training)
        hidden = torch.tanh(self.first(x))
        if self.how == "dropout":
            hidden = functional.dropout(hidden, 0.1)
        elif self.how == "NumPy":
            hidden = hidden + 0.01 * torch.tensor(np.random.standard_normal(16), dtype=x.dtype)  # noqa: NPY002
        elif self.how == "remembers":
            self.calls += 1
            hidden = hidden + 1e-4 * self.calls
        return self.last(hidden)


@pytest.mark.parametrize("how", ["dropout", "NumPy", "remembers", "gradients in training"])
def test_a_part_that_is_not_used_lacks_no_gradient_where_passes_differ_or_have_none(how):
    module = Unused(how)
    found = diagnose(module, rows(), nn.MSELoss(), sgd(module), steps=20, trials=False)
    assert found.evidence.unreached_parts == ()


def test_what_no_gradient_reaches_is_named_where_the_module_draws():
    module = nn.Sequential(Detached("detach"), Drawing())
    found = diagnose(module, rows(), nn.MSELoss(), sgd(module), steps=20, trials=False)
    assert found.evidence.unreached_parts == ("0.first", "0.second")


class Drawing(nn.Module):
    """Adds noise in eval mode too."""

    def forward(self, x):
        return x + 0.01 * torch.randn_like(x)


@pytest.mark.parametrize(("last", "interval"), [(nn.ReLU, "[0, ∞)"), (nn.Sigmoid, "(0, 1)"), (nn.Tanh, "(-1, 1)")])
def test_targets_that_the_outputs_cannot_reach_are_named_and_the_activation_is_left_off(last, interval):
    x, y = rows()
    module = nn.Sequential(*network(), last())
    found = diagnose(module, (x, 3 * y - 2), nn.MSELoss(), torch.optim.Adam(module.parameters(), lr=0.01))
    assert helped(found, "out_of_reach").setting == "unbound"
    assert found.first.evidence["interval"] == interval
    assert isinstance(module[-1], last)


def test_of_a_module_that_learns_targets_out_of_reach_are_good_to_know():
    x, y = rows()
    module = nn.Sequential(*network(), nn.Tanh())
    found = diagnose(module, (x, y), nn.MSELoss(), torch.optim.Adam(module.parameters(), lr=0.01))
    assert (found.holds_back, found.verdicts) == (False, ("fine", "out_of_reach"))


def test_targets_within_the_outputs_interval_are_in_reach():
    x, y = rows()
    module = nn.Sequential(*network(), nn.ReLU())
    found = diagnose(module, (x, y.abs()), nn.MSELoss(), sgd(module), steps=20, trials=False)
    assert found.evidence.bound == ("relu", "[0, ∞)")
    assert "out_of_reach" not in found.verdicts


@pytest.mark.parametrize(("base", "scheduled"), [(torch.optim.SGD, 0.1), (torch.optim.Adam, 0.01)])
def test_a_rate_that_a_scheduler_has_set_is_told_so_and_its_own_is_tried_first(base, scheduled):
    module = network()
    optimizer = base(module.parameters(), lr=scheduled)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 100)
    found = diagnose(module, rows(), nn.MSELoss(), optimizer)
    remedy = helped(found, "rate_too_small")
    assert (remedy.setting, remedy.value) == ("lr", scheduled)
    assert (found.first.evidence["rate"], found.first.evidence["scheduled"]) == (0.0, scheduled)
    assert "underflow" not in found.verdicts
    assert all(one.value != 0 for finding in found.findings for one in finding.remedies)


@pytest.mark.parametrize(("base", "rate"), [(torch.optim.SGD, 0.1), (torch.optim.Adam, 0.01)])
def test_a_rate_that_was_cut_on_a_plateau_is_told_with_that_of_the_start(base, rate):
    module = network()
    optimizer = base(module.parameters(), lr=rate)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=1e-3, patience=0)
    for loss in (1.0, 1.1):
        scheduler.step(loss)
    found = diagnose(module, rows(), nn.MSELoss(), optimizer)
    remedy = helped(found, "rate_too_small")
    assert (remedy.setting, remedy.value) == ("lr", rate)
    assert found.first.evidence["scheduled"] == rate


def test_groups_of_parameters_have_rates_of_their_own():
    module = network()
    groups = [{"params": module[:4].parameters(), "lr": 1e-4}, {"params": module[4].parameters()}]
    optimizer = torch.optim.Adam(groups, lr=0.01)
    assert diagnose(module, rows(), nn.MSELoss(), optimizer, steps=5, trials=False).evidence.scheduled_rate == 0


def test_a_norm_over_batches_of_one_row_is_refused_in_a_sentence():
    module = nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*rows(20)), batch_size=1)
    with pytest.raises(
        SpecError, match=r"cannot be trained on batches of one row \(Expected more .* give larger batches"
    ):
        diagnose(module, loader, nn.MSELoss(), sgd(module))


def test_a_compiled_module_is_diagnosed_as_the_module_itself():
    module = network()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    compiled = torch.compile(module, backend="eager")
    assert diagnose(compiled, rows(), nn.MSELoss(), optimizer).first.verdict == "fine"


def test_classes_in_another_whole_number_are_told_the_remedy():
    module = nn.Linear(3, 2)
    data = rows()[0], torch.zeros(len(rows()[0]), dtype=torch.int32)
    with pytest.raises(SpecError, match=r"give classes as 64-bit whole numbers, y\.long\(\)\."):
        diagnose(module, data, nn.CrossEntropyLoss(), sgd(module))


def test_a_softmax_over_the_rows_is_named():
    x, y = rows()
    labels = (y[:, 0] > 0).long() + (y[:, 0] > 1).long()
    module = nn.Sequential(*network(), nn.Linear(1, 3), nn.Softmax(dim=0))
    found = diagnose(module, (x, labels), nn.CrossEntropyLoss(), torch.optim.Adam(module.parameters(), lr=0.01))
    assert helped(found, "softmax_twice").value == "softmax (dim=0)"


def test_outputs_that_never_vary_are_not_blamed_on_the_inputs_or_on_a_layer():
    x, y = rows()
    module = nn.Sequential(*network(), nn.Softmax(dim=1))
    found = diagnose(module, (x, (y > 0).float()), nn.BCELoss(), torch.optim.Adam(module.parameters(), lr=0.01))
    assert found.first.verdict == "constant_output"
    assert found.first.evidence == {"since": 0, "layer": None, "always": True}
    assert not {"nothing_to_learn", "adam_epsilon"} & {*found.verdicts}


CLASSES = (rows()[1][:, 0] > 0).long()
"""Of two outputs."""


@pytest.mark.parametrize(
    ("outputs", "targets", "loss", "said"),
    [
        (2, CLASSES + 1, nn.CrossEntropyLoss(), "classes from 1 to 2, and the module has 2 outputs.*: give y - 1"),
        (2, 3 * CLASSES, nn.CrossEntropyLoss(), "classes from 0 to 3, .*: number the classes so"),
        (2, CLASSES[:, None], nn.CrossEntropyLoss(), r"give classes of shape \(n,\), as y\[:, 0\]"),
        (2, CLASSES.float(), nn.CrossEntropyLoss(), r"give classes as whole numbers, y.long\(\)"),
        (1, CLASSES[:, None], nn.BCEWithLogitsLoss(), r"give targets of the outputs' type, y.float\(\)"),
        (1, CLASSES.float(), nn.BCEWithLogitsLoss(), r"give targets of the outputs' shape, y.reshape\(-1, 1\)"),
        (
            1,
            2.0 * CLASSES[:, None] - 1,
            nn.BCEWithLogitsLoss(),
            "from -1 to 1, and BCEWithLogitsLoss takes labels of 0",
        ),
        (1, CLASSES[:, None].float(), nn.BCELoss(), "give BCEWithLogitsLoss, .*, or put a Sigmoid behind the module"),
        (2, CLASSES, nn.NLLLoss(), "NLLLoss takes logarithms of probabilities, and the outputs are none"),
        (2, CLASSES + 1, functional.cross_entropy, "classes from 1 to 2, and the module has 2 outputs.*: give y - 1"),
        (1, CLASSES[:, None].float(), functional.binary_cross_entropy, "give BCEWithLogitsLoss, .*, or put a Sigmoid"),
        (
            1,
            CLASSES[:, None].float(),
            lambda outputs, y: functional.binary_cross_entropy(outputs, y),
            "give BCEWithLogitsLoss, .*, or put a Sigmoid behind the module",
        ),
        (
            1,
            2.0 * CLASSES[:, None] - 1,
            lambda outputs, y: functional.binary_cross_entropy_with_logits(outputs, y),
            "from -1 to 1, and binary_cross_entropy_with_logits takes labels of 0",
        ),
        (2, CLASSES, lambda outputs, y: functional.nll_loss(outputs, y), "nll_loss takes logarithms of probabilities"),
    ],
)
def test_targets_that_a_loss_does_not_take_get_the_remedy(outputs, targets, loss, said):
    module = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, outputs))
    with pytest.raises(SpecError, match=said):
        diagnose(module, (rows()[0], targets), loss, sgd(module))


@pytest.mark.parametrize(
    "loss",
    [
        lambda outputs, y: functional.binary_cross_entropy_with_logits(outputs, (y + 1) / 2),
        lambda outputs, y: functional.cross_entropy(outputs.expand(-1, 2), (y[:, 0] > 0).long()),
        lambda outputs, y: functional.nll_loss(
            functional.logsigmoid(torch.cat([outputs, -outputs], 1)), y[:, 0].gt(0).long()
        ),
    ],
    ids=["labels", "classes", "logarithms"],
)
def test_what_a_function_makes_of_targets_and_outputs_is_what_the_loss_in_it_takes(loss):
    module = network()
    assert diagnose(module, (rows()[0], 2.0 * CLASSES[:, None] - 1), loss, sgd(module), steps=5, trials=False).findings


def test_outputs_beyond_probabilities_are_told_where_those_of_the_first_rows_are_within():
    x, _ = rows()
    # The rows in the order in which they are looked at.
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    x[order[:2]] = 0
    module = nn.Linear(3, 1)
    with torch.no_grad():
        module.weight.fill_(1.0)
        module.bias.fill_(0.5)
    with pytest.raises(SpecError, match=r"give BCEWithLogitsLoss"):
        diagnose(module, (x, CLASSES[:, None].float()), nn.BCELoss(), sgd(module))


def test_labels_of_minus_one_and_one_are_told_a_loss_of_probabilities_takes_0_and_1():
    module = nn.Sequential(nn.Linear(3, 1), nn.Sigmoid())
    with pytest.raises(SpecError, match=r"the targets are from -1 to 1: give labels of 0 and 1"):
        diagnose(module, (rows()[0], 2.0 * CLASSES[:, None] - 1), nn.BCELoss(), sgd(module))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([{"x": torch.ones(3), "y": torch.ones(1)}] * 20, "holds 'x', 'y'; give a data set of pairs"),
        ([(torch.ones(3), torch.ones(3), torch.ones(1))] * 20, "give a data set of pairs of inputs and targets"),
        ([], "The data set gives no rows"),
        (((rows()[0], rows()[0]), rows()[1]), "The inputs are 2 tensors, and the doctor takes modules of one"),
    ],
    ids=["dicts", "triples", "none", "two inputs"],
)
def test_data_that_are_no_pairs_are_said_to_be_none(data, said):
    module = network()
    given = torch.utils.data.DataLoader(data, batch_size=4) if isinstance(data, list) else data
    with pytest.raises(SpecError, match=said):
        diagnose(module, given, nn.MSELoss(), sgd(module))


def test_one_row_far_off_is_what_is_named_where_the_loss_is_squared():
    x, y = rows()
    # The rows that judge are drawn, so this one is for training or for judging.
    for place in (5, 150):
        far_off = y.clone()
        far_off[place] = 1e6
        module = network()
        found = diagnose(module, (x, far_off), nn.MSELoss(), sgd(module, 1e-3), steps=50)
        assert found.first.verdict == "unscaled_target"
        assert found.first.evidence["top"] > 0.99
        assert "fine" not in found.verdicts
    module = network()
    assert not diagnose(module, (x, far_off), nn.L1Loss(), sgd(module), steps=50).evidence.target_top


def test_no_linear_model_is_told_of_where_none_is_fitted():
    x, y = rows()
    module = network()
    # The inputs are of other rows.
    found = diagnose(module, (x.roll(1, 0), y), nn.MSELoss(), sgd(module), steps=50)
    assert found.first.verdict == "nothing_to_learn"
    assert found.first.evidence["linear"] is None


class Listed(nn.Module):
    """Its hidden layers are in a Python list, where PyTorch does not see them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.last = [nn.Linear(3, 16), nn.Linear(16, 16)], nn.Linear(16, 1)

    def forward(self, x):
        for layer in self.hidden:
            x = torch.tanh(layer(x))
        return self.last(x)


def test_layers_in_a_python_list_are_told_where_to_go():
    module = Listed()
    with pytest.raises(SpecError, match=r"shapes .*\(16, 3\).* that it does not hold, .* torch\.nn\.ModuleList"):
        diagnose(module, rows(), nn.MSELoss(), sgd(module))
    module.hidden = nn.ModuleList(module.hidden)
    assert diagnose(module, rows(), nn.MSELoss(), sgd(module)).first.verdict == "fine"


def test_inputs_that_are_the_same_on_all_rows_are_named():
    x, y = rows()
    module = network()
    found = diagnose(module, (x[:1].expand(len(x), -1), y), nn.MSELoss(), sgd(module), steps=5)
    assert found.verdicts == ("constant_inputs",)


def test_a_log_softmax_over_the_rows_is_told_its_axis():
    module = nn.Sequential(*network()[:-1], nn.Linear(16, 3), nn.LogSoftmax(0))
    classes = torch.arange(200) % 3
    with pytest.raises(SpecError, match="those of the outputs are of the rows; take the LogSoftmax over the classes"):
        diagnose(module, (rows()[0], classes), nn.NLLLoss(), sgd(module))


@pytest.mark.parametrize("fault", ["no step", "another's parameters"])
def test_of_a_watch_whose_model_is_not_trained_that_comes_first(fault):
    module, (x, y) = network(), rows()
    trained = copy.deepcopy(module) if fault == "another's parameters" else module
    optimizer, watching = sgd(trained), watch(module)
    for _ in range(130):
        optimizer.zero_grad()
        loss = functional.mse_loss(trained(x), y)
        loss.backward()
        if fault != "no step":
            optimizer.step()
        watching.step(loss)
    found = diagnose(watching)
    assert found.verdicts == ("stands_still",)
    assert found.first.evidence["since"] == 0
    for lang, said in (
        ("en", "No weight of the model that is watched has moved since step 0"),
        ("ja", "ステップ 0 以降"),
    ):
        assert said in say_diagnosis(found, lang)[0]


def test_of_a_watch_whose_gradients_add_up_the_steps_are_said_to_grow():
    module, (x, y) = network(), rows()
    optimizer, watching = sgd(module, 0.2), watch(module)
    for _ in range(130):
        loss = functional.mse_loss(module(x), y)
        loss.backward()
        optimizer.step()
        watching.step(loss)
    found = diagnose(watching)
    assert found.verdicts[:2] == ("gradients_add_up", "rate_too_large"), found
    assert "zero_grad" in say_diagnosis(found)[0]
    module = network()
    optimizer, watching = sgd(module), watch(module)
    for _ in range(130):
        loss = functional.mse_loss(module(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watching.step(loss)
    found = diagnose(watching)
    assert found.first.verdict == "fine"
    assert "of its first loss" in say_diagnosis(found)[0]
