"""What is wrong with a loop, its loader or its modes is named, and loops with nothing wrong are not."""

import pytest

from nucleate import diagnose, watch
from nucleate.pytorch.of_loss import making_of
from nucleate.reporting import LANGUAGES, say_diagnosis

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("one_thread")]
nn, functional = torch.nn, torch.nn.functional
DataLoader, TensorDataset = torch.utils.data.DataLoader, torch.utils.data.TensorDataset
OF_LOOPS = {"gradients_add_up", "other_rows", "eval_mode", "sorted_rows", "repeated_rows"}


def numbers(n=640):
    drawn = torch.Generator().manual_seed(0)
    x = torch.randn(n, 5, generator=drawn)
    return x, torch.sin(2 * x[:, :1]) + x[:, 1:2]


def classes(n=640, kinds=4):
    drawn = torch.Generator().manual_seed(0)
    centers = 1.6 * torch.randn(kinds, 5, generator=drawn)
    y = torch.randint(0, kinds, (n,), generator=drawn)
    return centers[y] + torch.randn(n, 5, generator=drawn), y


def in_batches(rows, size=32, *, shuffle=True, seed=0):
    return DataLoader(TensorDataset(*rows), size, shuffle=shuffle, generator=torch.Generator().manual_seed(seed))


def mlp(outputs=1, between=(), width=32, seed=0):
    torch.manual_seed(seed)
    first, second = ([make() for make in between] for _ in range(2))
    return nn.Sequential(
        *(nn.Linear(5, width), *first, nn.ReLU()),
        *(nn.Linear(width, width), *second, nn.ReLU()),
        nn.Linear(width, outputs),
    )


def adam(module, rate=3e-3):
    return torch.optim.Adam(module.parameters(), lr=rate)


def trained(module, batches, loss, optimizer, *, steps=200, zero=True, mode=True, set_to_none=True):
    module.train(mode)
    watching, step = watch(module), 0
    while step < steps:
        for x, y in batches:
            if zero:
                optimizer.zero_grad(set_to_none=set_to_none)
            value = loss(module(x), y)
            value.backward()
            optimizer.step()
            watching.step(value)
            step += 1
    return watching


MEAN_SQUARES, CROSS_ENTROPY = nn.MSELoss(), nn.CrossEntropyLoss()


@pytest.mark.parametrize("whole", [False, True], ids=["batches", "all rows"])
def test_gradients_that_are_never_set_to_zero_are_named_under_adam(whole):
    rows, module = numbers(), mlp()
    batches, optimizer = in_batches(rows), adam(module, 1e-3)
    watching = trained(module, [rows] if whole else batches, MEAN_SQUARES, optimizer, steps=300, zero=False)
    given = rows if whole else batches
    for found in (
        diagnose(watching),
        diagnose(module, given, MEAN_SQUARES, optimizer),
        diagnose(watching, given, MEAN_SQUARES, optimizer),
    ):
        assert found.first.verdict == "gradients_add_up", found
        assert found.first.evidence["times"] > 5
        assert found.first.evidence["steps"] in (300, watching.evidence.added_steps)
        assert all(f"{found.first.evidence['steps']}" in say_diagnosis(found, lang)[0] for lang in LANGUAGES)
    # The copies set them to zero, and learn.
    assert found.evidence.explained > 0.65 or found.first.helped.setting == "zero_grad"


@pytest.mark.parametrize("set_to_none", [False, True])
@pytest.mark.parametrize("whole", [False, True], ids=["batches", "all rows"])
def test_gradients_that_are_set_to_zero_do_not_add_up(set_to_none, whole):
    rows, module = numbers(), mlp()
    batches, optimizer = [rows] if whole else in_batches(rows), adam(module)
    watching = trained(module, batches, MEAN_SQUARES, optimizer, set_to_none=set_to_none)
    assert watching.evidence.added_steps == 0
    found = diagnose(watching, rows if whole else batches, MEAN_SQUARES, optimizer)
    assert found.first.verdict == "fine", found
    assert not OF_LOOPS & {*found.verdicts, *diagnose(watching).verdicts}


def test_gradients_that_are_gathered_over_batches_are_set_to_zero():
    batches, module = in_batches(numbers()), mlp()
    optimizer, watching = adam(module), watch(module)
    for _ in range(20):
        for place, (x, y) in enumerate(batches):
            value = MEAN_SQUARES(module(x), y)
            value.backward()
            if place % 4 == 3:
                optimizer.step()
                watching.step(value)
                optimizer.zero_grad()
    assert watching.evidence.added_steps == 0


def test_gradients_of_what_an_optimizer_is_not_given_may_add_up():
    batches, module = in_batches(numbers()), mlp()
    optimizer = torch.optim.Adam(module[4].parameters(), lr=3e-3)
    watching = trained(module, batches, MEAN_SQUARES, optimizer, steps=150)
    found = diagnose(watching, batches, MEAN_SQUARES, optimizer, trials=False)
    assert "gradients_add_up" not in {*found.verdicts, *diagnose(watching).verdicts}


def test_a_loop_that_takes_one_batch_is_told_by_the_rows_beside_it():
    batches, module = in_batches(classes()), mlp(4)
    one, optimizer = next(iter(batches)), adam(module)
    watching = trained(module, [one], CROSS_ENTROPY, optimizer, steps=300)
    found = diagnose(watching, batches, CROSS_ENTROPY, optimizer)
    assert found.first.verdict == "other_rows", found
    assert found.first.evidence["loss"] < 0.1 < found.first.evidence["mean"]
    # By its losses alone nothing is to be seen.
    assert diagnose(watching).first.verdict == "fine"


@pytest.mark.parametrize("between", [(), (lambda: nn.Dropout(0.3),), (lambda: nn.BatchNorm1d(32),)])
@pytest.mark.parametrize("steps", [100, 1500])
def test_a_loop_over_all_rows_learns_these(between, steps):
    batches, module = in_batches(classes()), mlp(4, between)
    optimizer = adam(module, 0.01)
    watching = trained(module, batches, CROSS_ENTROPY, optimizer, steps=steps)
    found = diagnose(watching, batches, CROSS_ENTROPY, optimizer, trials=False)
    assert not OF_LOOPS & set(found.verdicts)
    assert found.evidence.loop_loss == found.evidence.loop_loss


def test_a_loop_whose_loss_is_divided_is_not_held_against_the_rows():
    batches, module = in_batches(numbers()), mlp()
    optimizer = adam(module)
    watching = trained(module, batches, lambda outputs, y: MEAN_SQUARES(outputs, y) / 8, optimizer)
    assert "other_rows" not in diagnose(watching, batches, MEAN_SQUARES, optimizer).verdicts


def in_order(rows):
    x, y = rows
    place = torch.argsort(y.reshape(-1), stable=True)
    return x[place], y[place]


@pytest.mark.parametrize(("n", "size"), [(9600, 32), (640, 2)])
def test_rows_that_come_sorted_by_their_classes_are_named_and_shuffled(n, size):
    batches, module = in_batches(in_order(classes(n)), size, shuffle=False), mlp(4)
    found = diagnose(module, batches, CROSS_ENTROPY, adam(module))
    assert found.first.verdict == "sorted_rows", found
    assert found.first.helped.setting == "shuffle"
    assert found.first.evidence["share"] > 0.9
    assert found.evidence.rows == round(0.8 * min(n, 2048))


@pytest.mark.parametrize("of", [numbers, classes])
@pytest.mark.parametrize(("given", "shuffle"), [("sorted", True), ("drawn", False), ("drawn", True)])
def test_rows_that_come_in_an_order_of_chance_are_not_sorted(of, given, shuffle):
    rows = in_order(of()) if given == "sorted" else of()
    module = mlp(1 if of is numbers else 4)
    loss = MEAN_SQUARES if of is numbers else CROSS_ENTROPY
    found = diagnose(module, in_batches(rows, shuffle=shuffle), loss, adam(module, 0.01))
    assert found.first.verdict == "fine", found
    assert found.evidence.between_batches == 0


def test_sorted_rows_that_are_learned_nevertheless_are_fine():
    module = mlp(4)
    found = diagnose(module, in_batches(in_order(classes()), shuffle=False), CROSS_ENTROPY, adam(module))
    assert found.first.verdict == "fine", found
    assert found.evidence.between_batches > 0.9


def test_of_a_large_sorted_data_set_rows_are_read_from_all_of_it():
    rows, module = in_order(classes(9600)), mlp(4)
    found = diagnose(module, TensorDataset(*rows), CROSS_ENTROPY, adam(module, 0.01))
    assert found.first.verdict == "fine", found


def test_rows_that_come_again_and_again_are_counted_and_judged_once():
    x, y = numbers(24)
    module = mlp()
    loader = in_batches((x.repeat(30, 1), y.repeat(30, 1)))
    found = diagnose(module, loader, MEAN_SQUARES, adam(module, 0.01), trials=False)
    assert found.first.verdict == "repeated_rows", found
    assert (found.evidence.rows_read, found.evidence.rows_distinct) == (720, 24)
    assert (found.evidence.rows, found.evidence.validation_rows) == (19, 5)
    drawn = torch.randint(0, 640, (640,), generator=torch.Generator().manual_seed(0))
    x, y = numbers()
    found = diagnose(module, (x[drawn], y[drawn]), MEAN_SQUARES, adam(module, 0.01), trials=False)
    assert "repeated_rows" not in found.verdicts


def test_corners_that_come_again_are_all_that_there_are():
    x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]).repeat(50, 1)
    module = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    data = (x, (x[:, :1] != x[:, 1:]).float())
    assert "repeated_rows" not in diagnose(module, data, MEAN_SQUARES, adam(module, 0.05), trials=False).verdicts


@pytest.mark.parametrize("of", [numbers, classes])
def test_a_strong_dropout_is_named_and_left_out(of):
    module = mlp(1 if of is numbers else 4, (lambda: nn.Dropout(0.9),), 64)
    loss = MEAN_SQUARES if of is numbers else CROSS_ENTROPY
    found = diagnose(module, in_batches(of()), loss, adam(module))
    assert found.first.verdict == "dropout_too_large", found
    assert (found.first.helped.setting, found.first.helped.value) == ("dropout", 0.0)
    assert module[1].p == 0.9


@pytest.mark.parametrize("share", [0.1, 0.5, 0.6])
def test_a_dropout_that_lets_a_module_learn_is_fine(share):
    module = mlp(4, (lambda: nn.Dropout(share),), 64)
    found = diagnose(module, in_batches(classes()), CROSS_ENTROPY, adam(module))
    assert found.first.verdict == "fine", found


def test_the_dropout_of_attention_is_one_too():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.8, batch_first=True)
    module = nn.Sequential(nn.Linear(5, 8), nn.Unflatten(1, (1, 8)), layer, nn.Flatten(), nn.Linear(8, 1))
    found = diagnose(module, numbers(100), MEAN_SQUARES, adam(module), steps=2, trials=False)
    assert found.evidence.dropout == 0.8


@pytest.mark.parametrize("of", [numbers, classes])
def test_norms_over_batches_of_two_rows_are_named(of):
    module = mlp(1 if of is numbers else 4, (lambda: nn.BatchNorm1d(32),))
    loss = MEAN_SQUARES if of is numbers else CROSS_ENTROPY
    found = diagnose(module, in_batches(of(), 2), loss, adam(module))
    assert found.first.verdict == "norm_over_batch", found
    assert found.first.evidence["rows"] == 2
    assert found.first.helped.setting in ("norm", "batch_size")


def test_statistics_that_are_not_those_of_the_batches_are_named():
    module = mlp(1, (lambda: nn.BatchNorm1d(32, momentum=1e-4),))
    found = diagnose(module, in_batches(numbers(), 16), MEAN_SQUARES, adam(module))
    assert found.first.verdict == "norm_over_batch", found
    assert found.first.evidence["evaluation"] > 2 * found.first.evidence["training"]


@pytest.mark.parametrize("size", [16, 64])
@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm])
def test_norms_over_batches_of_many_rows_are_fine(size, norm):
    module = mlp(4, (lambda: norm(32),))
    found = diagnose(module, in_batches(classes(), size), CROSS_ENTROPY, adam(module))
    assert found.first.verdict == "fine", found


@pytest.mark.parametrize(
    ("optimizer", "rate", "scale"), [(torch.optim.SGD, 1e-4, 200.0), (torch.optim.Adam, 1e-5, 300.0)]
)
def test_inputs_in_the_hundreds_at_a_low_rate_are_named_with_a_rate_for_standardized_ones(optimizer, rate, scale):
    x, y = numbers()
    x[:, 0] *= scale
    module = mlp()
    found = diagnose(module, in_batches((x, y)), MEAN_SQUARES, optimizer(module.parameters(), lr=rate))
    assert found.first.verdict == "unscaled_input", found
    assert found.first.helped is not None


def test_a_watch_tells_of_a_model_that_is_trained_in_eval_mode():
    batches, module = in_batches(classes()), mlp(4, (lambda: nn.BatchNorm1d(32), lambda: nn.Dropout(0.2)))
    watching = trained(module, batches, CROSS_ENTROPY, adam(module), mode=False)
    found = next(one for one in diagnose(watching).findings if one.verdict == "eval_mode")
    assert found.evidence["records"] == found.evidence["of"] > 5
    assert found.evidence["parts"] == "BatchNorm1d, Dropout"
    both = diagnose(watching, batches, CROSS_ENTROPY, adam(module), trials=False)
    assert "eval_mode" in both.verdicts
    assert "other_rows" not in both.verdicts
    for between, mode in (((), False), ((lambda: nn.Dropout(0.2),), True)):
        module = mlp(4, between)
        watching = trained(module, batches, CROSS_ENTROPY, adam(module), mode=mode)
        assert "eval_mode" not in diagnose(watching).verdicts


class Headed(nn.Module):
    """A trunk, the head that is trained, and one that may be left out; the trunk may be cut off."""

    def __init__(self, *, detach=False, other=False):
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.head, self.other = nn.Linear(32, 1), nn.Linear(32, 3) if other else None
        self.detach = detach

    def forward(self, x):
        features = self.trunk(x)
        return self.head(features.detach() if self.detach else features)


@pytest.mark.parametrize("set_to_none", [False, True])
def test_a_watch_tells_of_layers_that_are_cut_off_from_the_gradient(set_to_none):
    rows, module = numbers(), Headed(detach=True)
    watching = trained(module, [rows], MEAN_SQUARES, adam(module, 1e-3), set_to_none=set_to_none)
    found = diagnose(watching)
    (named,) = [one for one in found.findings if one.verdict == "parts_without_gradient"]
    assert named.evidence["since"] == 1
    assert named.evidence["parts"] == "trunk.0, trunk.2"
    assert named.evidence["share"] == pytest.approx((6 * 32 + 33 * 32) / (6 * 32 + 33 * 32 + 33))
    assert all("trunk.0, trunk.2" in say_diagnosis(found, lang)[found.findings.index(named)] for lang in LANGUAGES)
    # With the rows it is told which of the two it is.
    both = diagnose(watching, rows, MEAN_SQUARES, adam(module), trials=False).verdicts
    assert "no_gradient" in both
    assert "parts_without_gradient" not in both


@pytest.mark.parametrize(("rate", "beside"), [(1e-6, "initial_plateau"), (1e-2, "fine")])
def test_the_log_names_parts_without_a_gradient_and_what_else_is_found(rate, beside, caplog):
    module = Headed(detach=True)
    with caplog.at_level("INFO", "nucleate.watch"):
        found = diagnose(trained(module, [numbers()], MEAN_SQUARES, adam(module, rate)))
    assert {"parts_without_gradient", beside} <= set(found.verdicts)
    told = [line for line in caplog.messages if "diagnosis" in line]
    assert told
    assert all(f"{verdict} (" in told[-1] for verdict in ("parts_without_gradient", beside))
    assert len(told) == len(set(told)) < 3


def test_a_head_that_is_not_used_is_good_to_know_and_no_fault():
    batches, module = in_batches(numbers()), Headed(other=True)
    watching = trained(module, batches, MEAN_SQUARES, adam(module))
    found = diagnose(watching)
    assert found.first.verdict == "fine", found
    (aside,) = [one for one in found.findings if one.verdict == "parts_without_gradient"]
    assert aside.evidence["parts"] == "other"
    assert "If it is meant, nothing is to be done." in say_diagnosis(found)[found.findings.index(aside)]
    both = diagnose(watching, batches, MEAN_SQUARES, adam(module), trials=False).verdicts
    assert not {"no_gradient", "parts_without_gradient"} & set(both)


@pytest.mark.parametrize("rate", [1e-3, 3e-3])
def test_what_chance_makes_of_single_batches_is_no_rise(rate):
    for seed in range(3):
        module = Headed(detach=True)
        watching = trained(module, in_batches(numbers(), seed=seed), MEAN_SQUARES, adam(module, rate))
        assert "rate_too_large" not in diagnose(watching).verdicts


def of_rate(module, optimizer):
    optimizer.param_groups[0]["lr"] = 0.3


def of_weights(module, optimizer):
    torch.nn.init.zeros_(module[2].weight)
    torch.nn.init.constant_(module[2].bias, -100.0)


@pytest.mark.parametrize("size", [8, 32])
@pytest.mark.parametrize("spoil", [of_rate, of_weights])
def test_a_watch_tells_of_single_batches_that_a_run_has_lost_what_it_learned(spoil, size):
    batches, module = in_batches(numbers(), size), mlp()
    optimizer, watching = adam(module, 0.01), watch(module)
    for step, (x, y) in enumerate(rows for _ in range(480 * size // 640) for rows in batches):
        if step == 240:
            spoil(module, optimizer)
        optimizer.zero_grad()
        value = MEAN_SQUARES(module(x), y)
        value.backward()
        optimizer.step()
        watching.step(value)
    found = diagnose(watching)
    assert found.first.verdict == "rate_too_large", found
    assert found.first.evidence["by"] == "rise"


def test_a_watch_tells_of_single_batches_that_the_loss_left_all_bounds():
    module = mlp()
    optimizer = torch.optim.SGD(module.parameters(), lr=30.0)
    found = diagnose(trained(module, in_batches(numbers()), MEAN_SQUARES, optimizer))
    assert found.first.verdict == "rate_too_large", found
    assert found.first.evidence["by"] == "bounds"


def frozen(module):
    module.trunk.requires_grad_(False)


def all_used(module):
    pass


@pytest.mark.parametrize("prepare", [frozen, all_used])
@pytest.mark.parametrize("set_to_none", [False, True])
def test_parameters_that_are_frozen_or_all_in_use_lack_no_gradient(prepare, set_to_none):
    batches, module = in_batches(numbers()), Headed()
    prepare(module)
    watching = trained(module, batches, MEAN_SQUARES, adam(module), set_to_none=set_to_none)
    assert "parts_without_gradient" not in diagnose(watching).verdicts


@pytest.mark.parametrize("behind", [False, True], ids=["zeroed before backward", "zeroed behind the step"])
@pytest.mark.parametrize("detach", [False, True])
def test_gradients_that_are_gathered_or_taken_away_before_a_record_are_no_lack(behind, detach):
    batches, module = in_batches(numbers()), Headed(detach=detach)
    optimizer, watching = adam(module), watch(module)
    for _ in range(20):
        for place, (x, y) in enumerate(batches):
            value = MEAN_SQUARES(module(x), y)
            value.backward()
            if place % 2:
                optimizer.step()
                if behind:
                    optimizer.zero_grad()
                watching.step(value)
                optimizer.zero_grad()
    # Where none is left nothing is told.
    assert ("parts_without_gradient" in diagnose(watching).verdicts) == (detach and not behind)


def test_heads_that_take_turns_have_gradients_though_not_at_a_record():
    (x, y), module = numbers(), Headed(other=True)
    optimizer, watching = adam(module), watch(module)
    for step in range(1, 201):
        optimizer.zero_grad()
        features = module.trunk(x)
        # No record is made after the third step of four.
        outputs = module.other(features)[:, :1] if step in (3, 7, 15, 31, 51, 99, 151) else module.head(features)
        value = MEAN_SQUARES(outputs, y)
        value.backward()
        optimizer.step()
        watching.step(value)
    assert not {3, 7, 15, 31, 51, 99, 151} & set(watching.table["step"])
    assert watching.evidence.without_gradient_parts == ()


def test_a_part_that_is_frozen_at_first_is_not_held_to_its_past():
    batches, module = in_batches(numbers()), Headed()
    module.trunk.requires_grad_(False)
    optimizer, watching = adam(module), watch(module, every=10)
    for step, (x, y) in enumerate(rows for _ in range(10) for rows in batches):
        if step == 95:
            module.trunk.requires_grad_(True)
        optimizer.zero_grad()
        value = MEAN_SQUARES(module(x), y)
        value.backward()
        optimizer.step()
        watching.step(value)
        assert watching.steps < 2 or watching.evidence.without_gradient_parts == ()


def in_autocast(loss):
    def of(outputs, y):
        with torch.autocast("cpu", torch.bfloat16):
            return loss(outputs, y)

    return of


def smoothed(outputs, y):
    return functional.cross_entropy(outputs, y, label_smoothing=0.1)


PAIRING = {
    "the library's": MEAN_SQUARES,
    "of absolute values": nn.L1Loss(),
    "by hand": lambda outputs, y: ((y - outputs) ** 2).mean(),
    "with a penalty": lambda outputs, y: MEAN_SQUARES(outputs, y) / 2 + 1e-3 * outputs.abs().mean(),
    "of the margins": lambda outputs, y: torch.relu(1 - y * outputs).mean(),
    "in autocast": in_autocast(MEAN_SQUARES),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("flat", ["outputs", "targets"])
@pytest.mark.parametrize("how", PAIRING)
def test_a_watch_tells_of_a_loss_that_takes_each_row_with_every_other(how, flat):
    (x, y), module = numbers(), mlp()
    if flat == "outputs":
        module.append(nn.Flatten(0))
    else:
        y = y[:, 0]
    watching = trained(module, in_batches((x, y)), PAIRING[how], adam(module), steps=60)
    found = diagnose(watching)
    assert found.first.verdict == "paired_rows", found
    shapes = ["(32,)", "(32, 1)"]
    assert [found.first.evidence[name] for name in ("shape", "other")] == shapes[:: 1 if flat == "outputs" else -1]
    assert all("(32, 32)" in say_diagnosis(found, lang)[0] for lang in LANGUAGES)
    if how == "the library's":
        both = diagnose(watching, (x, y), MEAN_SQUARES, adam(module), trials=False).verdicts
        assert "mismatched_shapes" in both
        assert "paired_rows" not in both
        # Of rows whose shapes agree the copies have no such loss, and the loop had.
        agreeing = numbers() if flat == "targets" else (x, y[:, 0])
        assert diagnose(watching, agreeing, MEAN_SQUARES, adam(module), trials=False).first.verdict == "paired_rows"


SQUASHING = {
    "softmax": (nn.Softmax(1), 4, CROSS_ENTROPY, "softmax"),
    "softmax, labels smoothed": (nn.Softmax(1), 4, smoothed, "softmax"),
    "softmax in autocast": (nn.Softmax(1), 4, in_autocast(CROSS_ENTROPY), "softmax"),
    "sigmoid": (
        nn.Sigmoid(),
        1,
        lambda outputs, y: functional.binary_cross_entropy_with_logits(outputs[:, 0], y % 2.0),
        "sigmoid",
    ),
}


@pytest.mark.parametrize("how", SQUASHING)
def test_a_watch_tells_of_outputs_that_pass_a_softmax_twice(how):
    last, outputs, loss, function = SQUASHING[how]
    module = mlp(outputs).append(last)
    watching = trained(module, in_batches(classes()), loss, adam(module))
    found = diagnose(watching)
    assert found.first.verdict == "softmax_twice", found
    assert found.first.evidence == {"function": function}
    assert all(function in say_diagnosis(found, lang)[0] for lang in LANGUAGES)


def energy(outputs, y):
    between = (outputs[:, 0][:, None] - y[:, 0][None, :]).abs().mean()
    return 2 * between - (outputs - outputs.T).abs().mean() - (y - y.T).abs().mean()


def ranking(outputs, y):
    return torch.relu(1 - (outputs - outputs.T) * (y - y.T).sign()).mean()


def kernel(outputs, y):
    squares = (outputs**2).sum(1, keepdim=True) + (y**2).sum(1) - 2 * outputs @ y.T
    return 1 - torch.exp(-squares).mean() + torch.exp(-torch.cdist(outputs, outputs)).mean()


def energy_by_shapes(outputs, y):
    return (outputs.view(-1, 1) - y.view(1, -1)).abs().mean()


def risks(outputs, y):
    """The partial likelihood of Cox: each row beside those that are at risk."""
    at_risk = (y <= y.T).float()
    return (torch.log((outputs[:, 0].exp() * at_risk).sum(1)) - outputs[:, 0]).mean()


def determinant(outputs, y):
    return torch.logdet(y @ y.T + functional.softplus(outputs[:, 0]) * torch.eye(len(y)) + torch.eye(len(y)))


def levels(outputs, y):
    at = torch.tensor([0.1, 0.5, 0.9])
    return torch.maximum(at * (y - outputs), (at - 1) * (y - outputs)).mean()


HEALTHY = {
    "mean squares": (1, (), MEAN_SQUARES),
    "a distance between sets": (1, (), energy),
    "a distance between sets, by shapes": (1, (), energy_by_shapes),
    "risks": (1, (), risks),
    "a determinant": (1, (), determinant),
    "a ranking": (1, (), ranking),
    "a kernel": (1, (), kernel),
    "quantiles": (1, (), levels),
    "cross entropy": (4, (), CROSS_ENTROPY),
    "the logarithm of a softmax": (4, (nn.Softmax(1),), lambda outputs, y: functional.nll_loss(outputs.log(), y)),
    "a log softmax": (4, (nn.LogSoftmax(1),), functional.nll_loss),
    "a sigmoid": (
        1,
        (nn.Sigmoid(),),
        lambda outputs, y: functional.binary_cross_entropy(outputs[:, 0], y % 2.0),
    ),
}


@pytest.mark.parametrize("how", HEALTHY)
def test_losses_with_nothing_wrong_are_not_said_to_pair_rows_or_to_squash_twice(how):
    outputs, last, loss = HEALTHY[how]
    module = mlp(outputs).extend(last)
    is_of_classes = outputs == 4 or "sigmoid" in how
    watching = trained(module, in_batches((classes if is_of_classes else numbers)()), loss, adam(module), steps=60)
    assert (watching.evidence.paired, watching.evidence.squashed) == (None, None)
    assert not {"paired_rows", "softmax_twice"} & set(diagnose(watching).verdicts)


def test_pairs_that_the_loss_makes_of_the_rows_too_are_meant():
    def among_pairs(outputs, y):
        return (outputs - y.T).abs().mean()

    rows, module = numbers(), mlp()
    watching = trained(module, in_batches(rows), among_pairs, adam(module), steps=60)
    assert diagnose(watching).first.verdict == "paired_rows"
    assert "paired_rows" not in diagnose(watching, rows, among_pairs, adam(module), trials=False).verdicts


def test_a_loss_that_is_mended_is_judged_as_it_is_now():
    (x, y), module = numbers(64), mlp()
    watching = watch(module, every=1)
    for step in range(60):
        value = ((module(x) - (y[:, 0] if step < 5 else y)) ** 2).mean()
        value.backward()
        watching.step(value if step < 10 else value.item())
        assert (watching.steps < 2 or watching.evidence.paired is None) == (step >= 5 or step == 0)


def test_a_softmax_over_other_numbers_than_the_last_one_is_no_second():
    outputs, labels = torch.randn(6, 5, 4, requires_grad=True), torch.zeros(6, 4, dtype=torch.long)
    assert making_of(functional.cross_entropy(outputs.softmax(1), labels)).squashed == "softmax"
    assert making_of(functional.cross_entropy(outputs.softmax(-1), labels)).squashed is None
    # Of each place, as a language model has it.
    by_place = outputs.softmax(-1).view(-1, 4)
    assert making_of(functional.cross_entropy(by_place, labels.new_zeros(30))).squashed == "softmax"


class Squares(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.name = "squares"
        return (x**2).mean()

    @staticmethod
    def backward(ctx, slope):
        (x,) = ctx.saved_tensors
        return slope * 2 * x / x.numel()


def test_a_training_goes_on_whatever_its_graph_and_its_unused_parts_are():
    (x, y), module = numbers(64), mlp()
    module.unused = nn.ModuleList([nn.Linear(3, 3), nn.LazyLinear(2)])
    forward = module.forward
    module.forward = lambda x: nn.Sequential(*list(module)[:5])(x)
    watching, optimizer = watch(module, every=10), adam(module[:5])
    for _ in range(120):
        optimizer.zero_grad()
        value = Squares.apply(module(x) - y)
        value.backward()
        optimizer.step()
        watching.step(value)
    assert watching.evidence.without_gradient_parts == ("unused.0",)
    del module.unused, module.forward
    assert forward(x).shape == y.shape
    assert watching.evidence.without_gradient_parts == ()


def test_of_losses_given_as_numbers_and_of_nested_ones_nothing_more_is_told():
    (x, y), module = numbers(), mlp()
    watching, y = watch(module, every=1), y[:, 0]
    for loss in (torch.Tensor.item, torch.Tensor.detach):
        value = ((module(x) - y) ** 2).mean()
        value.backward()
        watching.step(loss(value))
    assert watching.evidence.paired is None
    nested = torch.nested.nested_tensor([x[:3], x[:2]], requires_grad=True)
    watching.step(nested.to_padded_tensor(0.0).square().mean())
    assert watching.evidence.paired is None
