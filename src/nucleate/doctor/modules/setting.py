"""A PyTorch module as it is set up to be trained, and copies of that with one setting changed."""

import copy
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

from nucleate._wording import count, first_line, listed, shown
from nucleate.doctor.remedies import Change
from nucleate.doctor.verdicts import SORTED
from nucleate.errors import SpecError
from nucleate.pytorch.exchange import evaluating, hooked, import_torch, same_random_numbers
from nucleate.pytorch.layers import Weights, activation_of, norm_of, weights_in
from nucleate.pytorch.setup import read_pairs

MOST_ROWS = 2048
"""Rows that are looked at; more are left out."""
HELD_OUT = 0.2
"""The share of the rows on which copies are judged."""
FEW_ROWS = 10
"""Of fewer rows none are held out."""
_BLOCK = 16
"""Of smaller batches so many rows in a row are one, since of two rows chance tells a half."""
REPEATED = 4
"""Rows that each come so many times in one pass are more than what weighting of rare classes draws."""
_RECIPE_RATE = 1e-3
_OF_LOGARITHMS = 0.1
"""By so much the logarithm of the sum of probabilities may be off zero."""
_IGNORED = -100
"""The class that PyTorch's losses leave out by default."""
_OF_SHAPES = "Using a target size"
"""What PyTorch warns with where its losses pair outputs with targets of another shape."""


@dataclass(frozen=True, eq=False)
class Setting:
    """A training loop of PyTorch: the module as it is, rows, a loss of outputs and targets, and the optimizer."""

    module: Any
    x: Any
    y: Any
    loss: Callable[[Any, Any], Any]
    optimizer: Any
    batch_size: int
    between: float = 0.0
    """The share of the targets' variance that is between batches as they came, beyond chance."""
    in_order: bool = False
    """Whether copies are given the rows as they came, and not in an order of chance."""
    stretch: float = 1.0
    """How many batches of all rows one of those that are looked at stands for, where they come in order."""
    read: int = 0
    """How many rows were read, where most of them were others again; otherwise 0."""

    @property
    def train(self) -> slice:
        """The rows that copies are trained on: all, where there are few, as of XOR."""
        held_out = HELD_OUT if len(self.y) >= FEW_ROWS else 0
        return slice(0, round((1 - held_out) * len(self.y)))

    @property
    def validation(self) -> slice:
        """The rows that copies are judged on; those of training where there are few."""
        first = self.train.stop
        return slice(first, None) if len(self.y) - first >= 2 else self.train

    def trains(self, parameter: Any) -> bool:
        """Whether steps are meant to change a parameter."""
        given = (one for group in self.optimizer.param_groups for one in group["params"])
        return parameter.requires_grad and any(one is parameter for one in given)

    def outputs(self, part: slice) -> Any:
        """The module's outputs for some rows, in evaluation mode and without gradients."""
        with evaluating(self.module), import_torch().no_grad():
            return self.module(self.x[part])

    def cost(self, outputs: Any, part: slice) -> float:
        """The loss of outputs for some rows."""
        with import_torch().no_grad():
            return float(self.loss(outputs, self.y[part]))

    def copied(self, change: Change | None = None) -> "Setting":
        """A copy that can be trained, with one setting changed."""
        torch = import_torch()
        try:
            module = copy.deepcopy(self.module)
        except Exception as error:
            raise SpecError(
                f"This {type(self.module).__name__} cannot be copied ({first_line(error)}), and the doctor trains "
                "nothing but copies; give a module that copy.deepcopy takes."
            ) from None
        setting, (name, value) = self, change or ("", None)
        if name == "reshape":
            setting = replace(self, y=self.y.reshape(value))
        elif name == "unsquash":
            setting = replace(self, loss=_unsquashed(torch, self.loss, str(value)))
        elif name == "reduction":
            setting = replace(self, loss=lambda outputs, y: self.loss(outputs, y) / len(y))
        elif name == "unbound":
            _leave_off_last(torch, module, self.x)
        elif (name == "rescaled" or (name == "standardize" and value == "inputs")) and torch.is_floating_point(self.x):
            setting = replace(self, x=_standardized(self.x, self.x[self.train]))
        elif name == "standardize" and value == "target" and torch.is_floating_point(self.y):
            setting = replace(self, y=_standardized(self.y, self.y[self.train]))
        elif name == "activation":
            _swap(torch, module, str(value))
            # As of a network: a unit that is dead or at its bound stays so, whatever the activation.
            _start_anew(module)
        elif name == "gain":
            with torch.no_grad():
                for weight, gain in gains_in(module):
                    if gain > 0:
                        weight.mul_(float(value or 1.0) / gain)
        elif name == "scale":
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter.mul_(value)
        elif name == "dtype":
            module = module.double()
            rows = [one.double() if torch.is_floating_point(one) else one for one in (self.x, self.y)]
            setting = replace(self, x=rows[0], y=rows[1])
        elif name in ("recipe", "seed"):
            _start_anew(module)
        elif name == "train":
            _train_all(module)
        elif name == "norm":
            _norm_by_row(torch, module)
        elif name == "batch_size":
            setting = replace(self, batch_size=int(value or 1))
        elif name == "shuffle":
            setting = replace(self, in_order=not value)
        elif name == "dropout":
            for part, field, _ in dropouts_in(module):
                setattr(part, field, float(value or 0.0))
        elif name not in ("", "lr", "eps", "weight_decay", "undecayed", "clip", "steps", "zero_grad", "rescaled"):
            raise SpecError(f"{name} is not changed in a module.")
        optimizer = _optimizer_of(
            self.module,
            module,
            self.optimizer,
            fresh=name in ("activation", "gain", "recipe", "seed", "scale", "dtype", "train", "norm", "zero_grad"),
            trains_all=name == "train",
        )
        changed = {"undecayed": {"lr": value, "weight_decay": 0.0}, "rescaled": {"lr": value}}.get(name, {name: value})
        for group in optimizer.param_groups:
            for key in changed.keys() & {"lr", "eps", "weight_decay"}:
                if key not in group:
                    raise SpecError(f"This optimizer has no {key}.")
                group[key] = changed[key]
        if name == "recipe":
            _train_all(module)
            optimizer = torch.optim.Adam(module.parameters(), lr=_RECIPE_RATE)
            if torch.is_floating_point(setting.x):
                setting = replace(setting, x=_standardized(setting.x, setting.x[self.train]))
            if torch.is_floating_point(setting.y) and not are_shares(setting.y):
                setting = replace(setting, y=_standardized(setting.y, setting.y[self.train]))
        return replace(setting, module=module, optimizer=optimizer)


def read_setting(module: Any, data: Any, loss: Any, optimizer: Any) -> Setting:
    """What a training loop is made of, checked; nothing of it is changed, nor any random number taken.

    The data are a pair of tensors or arrays, or a Dataset or DataLoader of such pairs; the loss is a scalar tensor.
    """
    torch = import_torch()
    module = getattr(module, "_orig_mod", module)
    if loss is None or not callable(loss):
        raise SpecError(
            f"The loss is {shown(loss)}; give the function of outputs and targets that training makes small, such as "
            "torch.nn.MSELoss()."
        )
    if isinstance(loss, type):
        raise SpecError(f"The loss is the class {loss.__name__}; give an object of it, {loss.__name__}().")
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise SpecError(
            f"The optimizer is {shown(optimizer)}; give the PyTorch optimizer that trains the module, such as "
            "torch.optim.Adam(module.parameters())."
        )
    if isinstance(optimizer, torch.optim.LBFGS):
        raise SpecError(
            "LBFGS evaluates the loss itself, several times a step; give an optimizer that takes gradients."
        )
    with undisturbed(torch):
        x, y, batch_size = _rows(torch, data)
        between = 0.0 if batch_size is None else _between(torch, y, max(batch_size, _BLOCK))
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))[:MOST_ROWS]
        read = len(order)
        order = order[_without_repeats(torch, x[order], y[order])]
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    stretch = 1.0
    if in_order := between > SORTED:
        held = round((1 - HELD_OUT) * len(order))
        stretch = max(1.0, _rows_in(data) / held)
        order = torch.cat([order[:held].sort().values, order[held:]])
    x, y = x[order].to(device), y[order].to(device)
    kind = next((one.dtype for one in module.parameters() if one.is_floating_point()), torch.float32)
    # Arrays are float64 by default, modules float32.
    x = x.to(kind) if torch.is_floating_point(x) else x
    y = y.to(kind) if torch.is_floating_point(y) else y
    read = read if read > len(y) else 0
    setting = Setting(module, x, y, loss, optimizer, batch_size or len(y), between, in_order, stretch, read)
    for rows, name in ((x, "inputs"), (y, "targets")):
        bad = int((~torch.isfinite(rows.reshape(len(rows), -1))).any(1).sum())
        if bad:
            told = f"The {name} of {bad} of the {len(rows)} rows are not finite"
            if name == "targets" and _leaves_out(torch, setting):
                raise SpecError(
                    f"{told}, and this loss leaves out what is not. The doctor reads the targets beside the loss, so "
                    "give it rows whose targets are all known, or one target at a time."
                )
            raise SpecError(f"{told}; drop these rows or fill them.")
    outputs = of_all = None
    with undisturbed(torch):
        made = setting.copied()
        try:
            outputs = made.module(x[:2])
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                value = loss(outputs, y[:2])
                with torch.no_grad():
                    # Class numbers beyond the outputs may stand in any row.
                    of_all = made.module.eval()(x)
                    loss(of_all, y)
        except Exception as error:
            with suppress(Exception), torch.no_grad():
                # Which targets are beyond the outputs all rows tell.
                of_all = made.module.eval()(x) if of_all is None else of_all
            raise SpecError(
                f"The module and the loss cannot take the data ({first_line(error)[:200]}); "
                f"{_what_they_take(torch, loss, x, y, outputs if of_all is None else of_all)}."
            ) from None
        if batch_size == 1:
            try:
                made.module.train()(x[:1])
            except Exception as error:
                raise SpecError(
                    f"The module cannot be trained on batches of one row ({first_line(error)[:200]}); give larger "
                    "batches, which norms over the batch need."
                ) from None
    _refuse_misread(torch, loss, of_all, y)
    # Of as many numbers in another shape it is a verdict.
    if any(_OF_SHAPES in str(one.message) for one in warned) and outputs.numel() != y[:2].numel():
        raise SpecError(
            f"For 2 rows the outputs have shape {tuple(outputs.shape)} and the targets {tuple(y[:2].shape)}, so the "
            "loss compares one number with several; give as many targets for each row as the module has outputs."
        )
    if not torch.is_tensor(value) or value.numel() != 1:
        raise SpecError("The loss does not give one number; give one with the mean over the rows.")
    if not value.requires_grad:
        raise SpecError(
            "No gradient reaches the parameters, so nothing can be learned: none of them requires one (requires_grad), "
            "or the outputs or the loss are detached from them (detach, no_grad, item, NumPy)."
        )
    if astray := _not_held(outputs, made.module):
        shapes = listed(dict.fromkeys(f"{tuple(one.shape)}" for one in astray))
        raise SpecError(
            f"The module uses parameters of the shapes {shapes} that it does not hold, as of layers in a Python list: "
            "parameters() lacks them, so they are not trained. Put such layers into a torch.nn.ModuleList or "
            "ModuleDict, and a tensor into a torch.nn.Parameter."
        )
    own = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if own and any(one is not None for one in torch.autograd.grad(value, own, allow_unused=True)):
        raise SpecError(
            "The loss reads parameters of the module itself, as a penalty on them does, and what is trained are "
            "copies; give the loss of outputs and targets alone, and the penalty as the optimizer's weight_decay."
        )
    return setting


def _not_held(outputs: Any, module: Any) -> list[Any]:
    """The tensors that outputs are made of and a gradient is asked for, without the module's parameters."""
    held = {id(one) for one in module.parameters()}
    seen: set[Any] = set()
    pending, found = [getattr(outputs, "grad_fn", None)], []
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = node.variable if type(node).__name__ == "AccumulateGrad" else None
        if leaf is not None and id(leaf) not in held:
            found.append(leaf)
        pending += [before for before, _ in node.next_functions]
    return found[::-1]


def _leaves_out(torch: Any, setting: Setting) -> bool:
    """Whether the loss gives a number where some targets are NaN."""
    try:
        with undisturbed(torch), torch.no_grad():
            value = setting.loss(setting.copied().module.eval()(setting.x), setting.y)
            return bool(torch.isfinite(value).all())
    except Exception:
        return False


def _what_they_take(torch: Any, loss: Any, x: Any, y: Any, outputs: Any) -> str:
    """What to give in the place of data that a module or its loss does not take."""
    if not torch.is_tensor(outputs):
        of_whole = "" if torch.is_floating_point(x) else ", such as x.float() in the place of whole numbers"
        return f"give inputs as the module takes them{of_whole}"
    calls = _calls_in(torch, loss, outputs, y[: len(outputs)])
    # The last one is that which failed.
    name, outputs, y, ignored = calls[-1] if calls else _Call("", outputs, y, _IGNORED)
    classes = name in ("cross_entropy", "nll_loss")
    if classes and y.shape == (len(y), 1):
        return "give classes of shape (n,), as y[:, 0]"
    if classes and torch.is_floating_point(y) and y.shape[1:] != outputs.shape[1:]:
        return "give classes as whole numbers, y.long()"
    if classes and not torch.is_floating_point(y) and outputs.ndim > 1:
        known, of = y[y != ignored], outputs.shape[1]
        low, high = (int(known.min()), int(known.max())) if known.numel() else (0, 0)
        if low < 0 or high >= of:
            is_shifted = low > 0 and high - low < of
            remedy = f"give y - {low}" if is_shifted else "number the classes so, or give more outputs"
            return (
                f"the targets are classes from {low} to {high}, and the module has {count(of, 'output')}, for classes "
                f"from 0 to {of - 1}: {remedy}"
            )
    if classes and not torch.is_floating_point(y) and y.dtype != torch.int64:
        return "give classes as 64-bit whole numbers, y.long()"
    if not torch.is_floating_point(y) and y.shape[1:] == outputs.shape[1:]:
        return "give targets of the outputs' type, y.float()"
    if name == "binary_cross_entropy" and y.shape[1:] == outputs.shape[1:]:
        if not are_shares(outputs):
            return "give BCEWithLogitsLoss, which takes outputs of any size, or put a Sigmoid behind the module"
        if not are_shares(y):
            return (
                f"the targets are from {float(y.min()):.4g} to {float(y.max()):.4g}: give labels of 0 and 1, or "
                "probabilities between them"
            )
    is_reshaped = y.shape[1:] != outputs.shape[1:] and y.numel() == len(y) * outputs[0].numel()
    if torch.is_floating_point(y) and is_reshaped:
        return f"give targets of the outputs' shape, y.reshape{(-1, *outputs.shape[1:])}"
    return "give inputs as the module takes them, and targets as the loss does"


def _refuse_misread(torch: Any, loss: Any, outputs: Any, y: Any) -> None:
    """Refuse targets or outputs that a loss of PyTorch takes for what they are not, without saying so."""
    for kind, given, true, _ in _calls_in(torch, loss, outputs, y):
        name = type(loss).__name__ if isinstance(loss, torch.nn.Module) else kind
        if kind in ("binary_cross_entropy", "binary_cross_entropy_with_logits") and not are_shares(true):
            raise SpecError(
                f"The targets are from {float(true.min()):.4g} to {float(true.max()):.4g}, and {name} takes labels of "
                "0 and 1, or probabilities between them; give these."
            )
        if kind == "nll_loss" and given.ndim > 1:
            sums = given.detach().double().logsumexp(1)
            if float(sums.abs().max()) > _OF_LOGARITHMS:
                if float(given.detach().double().logsumexp(0).abs().max()) <= _OF_LOGARITHMS:
                    raise SpecError(
                        f"{name} takes logarithms of probabilities of the classes, and those of the outputs are of the "
                        "rows; take the LogSoftmax over the classes, dim=1."
                    )
                raise SpecError(
                    f"{name} takes logarithms of probabilities, and the outputs are none; give CrossEntropyLoss, "
                    "which takes logits as a linear layer gives them, or put LogSoftmax behind them."
                )


class _Call(NamedTuple):
    """One of PyTorch's losses, and what it was given."""

    kind: str
    outputs: Any
    targets: Any
    ignored: int


def _calls_in(torch: Any, loss: Any, outputs: Any, y: Any) -> list[_Call]:
    """Which of PyTorch's losses of classes and labels a loss calls, be it one of these or a function of one's own."""
    functional = torch.nn.functional
    kinds = {
        getattr(functional, kind): kind
        for kind in ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")
    }
    calls: list[_Call] = []

    class Listening(torch.overrides.TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            options = kwargs or {}
            if function in kinds and len(args) >= 2:
                calls.append(_Call(kinds[function], args[0], args[1], options.get("ignore_index", _IGNORED)))
            return function(*args, **options)

    with suppress(Exception), undisturbed(torch), torch.no_grad(), Listening():
        loss(outputs, y)
    return calls


@contextmanager
def undisturbed(torch: Any) -> Iterator[None]:
    """Leaves all random numbers as they were, and in between has the same ones every time.

    What PyTorch warns of, targets of another shape than the outputs, is a verdict here.
    """
    with same_random_numbers(), torch.enable_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", _OF_SHAPES, UserWarning)
        torch.manual_seed(0)
        yield


def _rows(torch: Any, data: Any) -> tuple[Any, Any, int | None]:
    if isinstance(data, torch.utils.data.DataLoader | torch.utils.data.Dataset):
        x, y = read_pairs(lambda: _spread(torch, data), MOST_ROWS)
        return x, y, getattr(data, "batch_size", None)
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise SpecError(
            f"The data are {shown(data)}; give a pair of inputs and targets, or a Dataset or DataLoader of such pairs."
        )
    if isinstance(data[0], tuple | list) and all(torch.is_tensor(one) and one.ndim > 1 for one in data[0]):
        raise SpecError(
            f"The inputs are {len(data[0])} tensors, and the doctor takes modules of one; give a module that takes one "
            "apart, and that one."
        )
    try:
        x, y = (torch.as_tensor(part).detach() for part in data)
    except Exception as error:
        raise SpecError(f"The data are no numbers ({first_line(error)}); give tensors or arrays.") from None
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y) or len(y) < 2:
        raise SpecError(
            f"The inputs have shape {tuple(x.shape)} and the targets {tuple(y.shape)}; give two rows or more, as many "
            "of the one as of the other."
        )
    return x, y, None


def _spread(torch: Any, data: Any) -> Any:
    """Batches of a data set; of one with more rows than are looked at those of chance, in their order.

    The first ones may be of one class.
    """
    usual, drawn = torch.utils.data.DataLoader, random.Random(0)
    if not isinstance(data, usual):
        known = getattr(data, "__len__", None)
        if known is None or isinstance(data, torch.utils.data.IterableDataset) or known() <= MOST_ROWS:
            return usual(data, batch_size=64)
        return usual(data, batch_size=64, sampler=sorted(drawn.sample(range(known()), MOST_ROWS)))
    has_places = data.batch_sampler is not None and not isinstance(data.dataset, torch.utils.data.IterableDataset)
    try:
        count = len(data)
    except TypeError:  # its sampler does not say when it ends
        return data
    if not has_places or type(data).__iter__ is not usual.__iter__ or count * (data.batch_size or 1) <= MOST_ROWS:
        return data
    batches = list(islice(data.batch_sampler, count))
    wanted = min(len(batches), -(-MOST_ROWS // max(1, len(batches[0]))))
    chosen = [batches[place] for place in sorted(drawn.sample(range(len(batches)), wanted))]
    as_before = ("collate_fn", "num_workers", "worker_init_fn", "multiprocessing_context")
    return usual(data.dataset, batch_sampler=chosen, **{name: getattr(data, name) for name in as_before})


def _rows_in(loader: Any) -> int:
    """How many rows a loader gives in all, as far as it says so."""
    try:
        return len(loader) * int(loader.batch_size)
    except TypeError:
        return 0


def _between(torch: Any, y: Any, size: int) -> float:
    """The share of the targets' variance that is between stretches of so many rows, beyond what chance gives."""
    stretches = -(-len(y) // size)
    if y.ndim > 2 or stretches < 3:
        return 0.0
    if torch.is_floating_point(y):
        numbers = y.reshape(len(y), -1).double()
    else:
        numbers = (y.reshape(len(y), -1)[:, :1] == y.reshape(len(y), -1)[:, 0].unique()).double()
    off = numbers - numbers.mean(dim=0)
    within = sum(float(((part - part.mean(dim=0)) ** 2).sum()) for part in off.split(size))
    whole, chance = float((off**2).sum()), (stretches - 1) / (len(y) - 1)
    return (1 - within / whole - chance) / (1 - chance) if whole > 0 else 0.0


def _without_repeats(torch: Any, x: Any, y: Any) -> Any:
    """The places of the rows, or of the first of each where most of them come again and again.

    Whole numbers, as tokens are, may be the same by chance.
    """
    places: dict[tuple[int, ...], int] = {}
    if torch.is_floating_point(x) and not all(bool((row == row.round()).all()) for row in x):
        for place, pair in enumerate(zip(x, y, strict=True)):
            known = tuple(hash(one.detach().cpu().double().numpy().tobytes()) for one in pair)
            places.setdefault(known, place)
    few = 1 < len(places) <= len(y) // REPEATED
    return torch.tensor(list(places.values())) if few else torch.arange(len(y))


def _standardized(rows: Any, of: Any) -> Any:
    torch = import_torch()
    mean, std = of.mean(dim=0), of.std(dim=0, correction=0)
    return (rows - mean) / torch.where(std > 0, std, torch.ones_like(std))


def are_shares(y: Any) -> bool:
    """Whether targets are probabilities or labels of 0 and 1, which no scale may change."""
    return bool(((y >= 0) & (y <= 1)).all())


def _replace(module: Any, are_meant: Callable[[Any], bool], make: Callable[[Any], Any]) -> int:
    """Put others in the place of some parts of a module, and say how many these were."""
    places = [(above, *one) for above in module.modules() for one in above.named_children() if are_meant(one[1])]
    for above, name, part in places:
        setattr(above, name, make(part))
    return len(places)


def _swap(torch: Any, module: Any, activation: str) -> None:
    kinds = {"relu": torch.nn.ReLU, "leaky_relu": torch.nn.LeakyReLU, "tanh": torch.nn.Tanh}
    wanted = kinds[activation]
    if not _replace(module, lambda part: _is_activation(part) and not isinstance(part, wanted), lambda _: wanted()):
        raise SpecError("The module's activations are not modules of its own.")


def gains_in(module: Any) -> list[tuple[Any, float]]:
    """Each weight with its root mean square times the root of its fan-in, that of an embedding is 1; tied ones once."""
    found: list[tuple[Any, float]] = []
    for part in module.modules():
        known = weights_in(part)
        for name, weight in part.named_parameters(recurse=False):
            if weight.ndim >= 2 and "weight" in name and all(weight is not one for one, _ in found):
                held = known.get(name, Weights("matrix"))
                fan_in = 1 if held.kind == "embedding" else held.fans(weight.shape)[0]
                found.append((weight, float(weight.detach().float().pow(2).mean().sqrt()) * fan_in**0.5))
    return found


def dropouts_in(module: Any) -> list[tuple[Any, str, float]]:
    """Each part that drops something at random in training, with the name and the value of its probability."""
    fields = [(part, name, value) for part in module.modules() for name, value in vars(part).items()]
    return [
        (part, name, value)
        for part, name, value in fields
        if "drop" in (type(part).__name__ if name == "p" else name).lower()
        and isinstance(value, float)
        and 0 < value <= 1
    ]


def _norm_by_row(torch: Any, module: Any) -> None:
    """Norms over all units of a row in the place of those over a batch, with their weights and biases."""

    def by_row(part: Any) -> Any:
        norm, own = torch.nn.GroupNorm(1, part.num_features, part.eps, part.affine), dict(part.named_parameters())
        norm.load_state_dict(own)
        return norm.to(next(iter(own.values()), torch.empty(0)))

    _replace(module, lambda part: norm_of(part) == "batch", by_row)


def _is_activation(part: Any) -> bool:
    """Whether it is an activation that has no parameters, so that another one can take its place."""
    return bool(activation_of(part)) and next(part.parameters(), None) is None


def _leave_off_last(torch: Any, module: Any, x: Any) -> None:
    """Leave off the activation that gives the outputs, where it is a module of its own that does nothing else."""
    calls: list[tuple[Any, Any]] = []
    hooks = [
        part.register_forward_hook(lambda part, given, result: calls.append((part, result)))
        for part in module.modules()
        if _is_activation(part)
    ]
    with hooked(hooks), torch.no_grad():
        outputs = module.eval()(x[:2])
    last = next((part for part, result in calls if torch.equal(result.reshape(-1), outputs.reshape(-1))), None)
    if last is None or sum(part is last for part, _ in calls) > 1:
        raise SpecError("The activation of the outputs is not a module of its own.")
    _replace(module, lambda part: part is last, lambda _: torch.nn.Identity())


def _start_anew(module: Any) -> None:
    parts = [part for part in module.modules() if callable(getattr(part, "reset_parameters", None))]
    if not parts:
        raise SpecError("No part of the module says how its parameters start.")
    for part in parts:
        part.reset_parameters()


def _train_all(module: Any) -> None:
    for parameter in module.parameters():
        # Whole numbers have no gradient.
        if parameter.is_floating_point():
            parameter.requires_grad_(True)


def _optimizer_of(module: Any, made: Any, optimizer: Any, *, fresh: bool, trains_all: bool) -> Any:
    """The same optimizer over a copy's parameters, with what it remembers; or over all that can be trained."""
    own = {id(old): new for old, new in zip(module.parameters(), made.parameters(), strict=True)}
    groups = [{**group, "params": [own.get(id(one)) for one in group["params"]]} for group in optimizer.param_groups]
    if any(one is None for group in groups for one in group["params"]):
        raise SpecError("The optimizer has parameters that are not the module's; give it those of this module.")
    if trains_all:
        given = {id(one) for group in groups for one in group["params"]}
        groups[-1]["params"] += [one for one in made.parameters() if one.requires_grad and id(one) not in given]
    try:
        another = type(optimizer)(groups, **{k: v for k, v in optimizer.defaults.items() if k != "params"})
    except TypeError:
        another = type(optimizer)(groups, lr=optimizer.defaults.get("lr"))
    except ValueError as error:
        raise SpecError(f"The optimizer does not take these parameters ({first_line(error)}).") from None
    if not fresh and optimizer.state:
        another.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return another


def _unsquashed(torch: Any, loss: Callable[[Any, Any], Any], function: str) -> Callable[[Any, Any], Any]:
    """The loss of the logits, which are those that the outputs were made of but for what is added to all."""
    if function.startswith("softmax"):
        return lambda outputs, y: loss(torch.log(outputs.clamp_min(1e-30)), y)
    return lambda outputs, y: loss(torch.logit(outputs, 1e-6), y)
