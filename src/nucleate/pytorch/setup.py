"""What a PyTorch training loop is set up with, as a forecast takes it: the optimizer's settings, data and loss."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from nucleate._wording import count, first_line, listed, shown
from nucleate.errors import SpecError
from nucleate.network import Network
from nucleate.optimizers import Optimizer, get_optimizer
from nucleate.problems import CROSS_ENTROPY, SQUARED, Column, Loss, Preprocessing, Problem, Split, huber, quantile
from nucleate.pytorch.exchange import import_torch, read_network, same_random_numbers

_AT_ONCE = 4096
"""Rows taken from a data set in one batch."""


class Setup(NamedTuple):
    """A training run of PyTorch, in the package's own terms.

    The network has the module's parameters as they are, and all rows of the data are training rows of the problem. The
    optimizer makes the steps that PyTorch's makes, of which the loss is ``factor`` times the problem's. The weight
    decay is None where none was read. The batch size is that of a DataLoader that gives mini-batches in new orders;
    None for all rows at once.
    """

    network: Network
    problem: Problem
    optimizer: Optimizer
    learning_rate: float
    weight_decay: float | None
    factor: float
    batch_size: int | None


def read_setup(module: Any, data: Any, optimizer: Any, learning_rate: float, loss: Any = None) -> Setup:
    """The training run that a PyTorch loop over these would be.

    The module is a network as of `nucleate.from_torch`. The data are a Problem, a pair of arrays or tensors, or a
    Dataset or DataLoader of pairs, with targets of (n,) or (n, c) numbers, or (n,) class numbers for cross-entropy. The
    optimizer is PyTorch's, whose settings are read off, or one of this package, for which the learning rate is. The
    loss is one of either; by default that of the problem, or squared errors, halved.

    What is not known to be stepped or judged so is refused with what it is.
    """
    torch = import_torch()
    read = read_network(module)
    frozen = [name for name, parameter in module.named_parameters() if not parameter.requires_grad]
    if frozen:
        raise SpecError(f"The parameter {frozen[0]} is frozen, and forecasts are of networks that train whole.")
    hooked = [name for name, one in module.named_parameters() if one._backward_hooks]
    hooked += [name for name, part in module.named_modules() if part._backward_hooks or part._backward_pre_hooks]
    if hooked:
        raise SpecError(
            f"{hooked[0] or 'The module'} has a hook on its gradients, so its steps are not known; remove the hook."
        )
    dropping = [repr(part) for part in module.modules() if isinstance(part, torch.nn.Dropout) and part.p > 0]
    dropping += [f"a {where}" for where in read.dropouts]
    if dropping:
        raise SpecError(f"The module has {dropping[0]}, and forecasts are of training without dropout; take it out.")
    own, factor = _loss(torch, loss, read.network.widths[-1])
    batch_size = None
    if isinstance(data, Problem):
        problem = data
        own, factor = (data.loss, 1.0) if loss is None else (own, factor)
    else:
        rows = _rows(torch, data)
        if not (loss is None or isinstance(loss, Loss) or own.of_classes):
            _refuse_broadcast(rows[1].shape, read.network.widths[-1])
        problem = _problem(rows, own, read.network.widths[-1])
        if isinstance(data, torch.utils.data.DataLoader) and data.batch_size < len(rows[0]):
            batch_size = int(data.batch_size)
    if problem.loss != own:
        raise SpecError(f"The problem's loss is {problem.loss.name}, but the loss given is {own.name}; leave it out.")
    if isinstance(optimizer, Optimizer | str):
        if factor != 1:
            raise SpecError(
                f"A loss of PyTorch's goes with an optimizer of PyTorch's; give one, or leave the loss out, which is "
                f"{own.name} then."
            )
        return Setup(read.network, problem, get_optimizer(optimizer), learning_rate, None, factor, batch_size)
    return Setup(read.network, problem, *_optimizer(torch, optimizer, read.parameters, factor), factor, batch_size)


def _optimizer(
    torch: Any, optimizer: Any, parameters: list[Any], factor: float
) -> tuple[Optimizer, float, float | None]:
    """The same steps, rate and weight decay for a gradient that is PyTorch's divided by ``factor``."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise SpecError(
            f"The optimizer is {shown(optimizer)}; give the PyTorch optimizer that will train the module, such as "
            "torch.optim.SGD(module.parameters(), lr=0.05)."
        )
    name, groups = type(optimizer).__name__, optimizer.param_groups
    settings = [{key: value for key, value in group.items() if key not in _NO_SETTING} for group in groups]
    if any(one != settings[0] for one in settings):
        raise SpecError(
            f"The groups of parameters of this {name} have settings of their own; forecasts are of one rate for all."
        )
    held = {id(parameter) for group in groups for parameter in group["params"]}
    missing = sum(id(parameter) not in held for parameter in parameters)
    if missing:
        raise SpecError(f"This {name} does not train {count(missing, 'parameter')} of the module; give it all of them.")
    if any("initial_lr" in group for group in groups):
        raise SpecError(
            f"A scheduler holds the learning rate of this {name}, and it is not read; forecast with an optimizer that "
            "has none, and say the schedule by schedule= and warmup=."
        )
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        raise SpecError(f"This {name} has a hook on its steps, so they are not known; remove the hook.")
    if any(optimizer.state.values()):
        raise SpecError(
            f"This {name} has taken steps already, and forecasts begin with its first; make a new one, or forecast "
            "before training."
        )
    given = dict(settings[0])
    rate = float(given["lr"])
    if not 0 < rate < math.inf:
        raise SpecError(f"The learning rate of this {name} is {rate!r}; it must be a positive number.")
    decay, known = float(given.get("weight_decay", 0.0)), not given.get("maximize")
    if known and type(optimizer) is torch.optim.SGD and not given["dampening"]:
        momentum, nesterov = float(given["momentum"]), float(given["nesterov"])
        made = Optimizer("torch.optim.SGD", _sgd, momentum=momentum, nesterov=nesterov, factor=factor)
        return made, rate, decay / factor or None
    if known and type(optimizer) in (torch.optim.Adam, torch.optim.AdamW) and not given["amsgrad"]:
        (b1, b2), eps = given["betas"], float(given["eps"])
        decoupled = bool(given.get("decoupled_weight_decay", type(optimizer) is torch.optim.AdamW))
        numbers: dict[str, Any] = {"b1": float(b1), "b2": float(b2), "eps": eps / factor}
        made = Optimizer(f"torch.optim.{name}", optax.adam, decoupled=decoupled, **numbers)
        return made, rate, (decay if decoupled else decay / factor) or None
    raise SpecError(
        f"No forecast is made under {type(optimizer).__name__} as it is set; of PyTorch's optimizers SGD without "
        "dampening, Adam and AdamW without amsgrad, each minimizing, are known."
    )


_NO_SETTING = ("params", "foreach", "fused", "capturable", "differentiable", "param_names")
"""Of a group of parameters what does not change its steps."""


def _sgd(
    learning_rate: float | Float[Array, ""], momentum: float, nesterov: float, factor: float
) -> optax.GradientTransformation:
    return optax.chain(
        optax.scale(factor), optax.sgd(learning_rate, momentum=momentum or None, nesterov=bool(nesterov))
    )


def _loss(torch: Any, given: Any, outputs: int) -> tuple[Loss, float]:
    """The loss, and how many times that PyTorch's is."""
    if given is None or isinstance(given, Loss):
        return given or SQUARED, 1.0
    nn, functional = torch.nn, torch.nn.functional
    kinds = {functional.mse_loss: nn.MSELoss(), functional.cross_entropy: nn.CrossEntropyLoss()}
    kinds |= {functional.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss()}
    one = kinds.get(given, given) if callable(given) and not isinstance(given, nn.Module) else given
    if getattr(one, "reduction", "mean") == "mean":
        if type(one) is nn.MSELoss:
            return SQUARED, 2 / outputs
        # Rows of a class that is ignored are not in its mean.
        plain = type(one) is nn.CrossEntropyLoss and one.weight is None and not one.label_smoothing
        if plain and outputs == 1:
            raise SpecError(
                "The module has one output, of which CrossEntropyLoss is always 0; give it one for each class, or "
                "take BCEWithLogitsLoss."
            )
        if plain and one.ignore_index < 0:
            return CROSS_ENTROPY, 1.0
        if type(one) is nn.L1Loss:
            return quantile(0.5), 2 / outputs
        if type(one) is nn.HuberLoss:
            return huber(float(one.delta)), 1 / outputs
        if type(one) is nn.SmoothL1Loss and one.beta > 0:
            return huber(float(one.beta)), 1 / (one.beta * outputs)
        if type(one) is nn.BCEWithLogitsLoss and one.weight is None and one.pos_weight is None:
            return BINARY, 1 / outputs
    raise SpecError(
        f"No forecast is made under the loss {shown(given)}; known are torch.nn.MSELoss, L1Loss, HuberLoss, "
        "SmoothL1Loss, CrossEntropyLoss and BCEWithLogitsLoss, each the mean over all rows, without weights, and any "
        "nucleate.Loss."
    )


def _logistic(outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, " n"]:
    return jnp.sum(optax.sigmoid_binary_cross_entropy(outputs, y), axis=1)


BINARY = Loss("binary_cross_entropy", _logistic)
"""``-log`` of the probability of the true answers, each by a logistic function of its own."""


def _refuse_broadcast(targets: tuple[int, ...], outputs: int) -> None:
    """Where PyTorch would stretch targets along the outputs."""
    if len(targets) != 2 or targets[1] != outputs:
        rows = targets[0] if targets else 0
        raise SpecError(
            f"The targets have shape {targets} and the module's outputs ({rows}, {outputs}), of which PyTorch's losses "
            f"compare all rows with all, or nothing; give targets of shape ({rows}, {outputs})."
        )


def _problem(rows: tuple[np.ndarray, np.ndarray], loss: Loss, outputs: int) -> Problem:
    x, y = rows
    if x.ndim > 2:
        x = x.reshape(len(x), -1)
    if y.ndim == 1 and loss.of_classes:
        if not (np.equal(np.mod(y, 1), 0).all() and y.min() >= 0 and y.max() < outputs):
            raise SpecError(
                f"The classes are {y.min():g} to {y.max():g}; with {outputs} outputs they are 0 to {outputs - 1}."
            )
        y = np.eye(outputs)[y.astype(int)]
    y = y[:, None] if y.ndim == 1 else y
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or not len(x):
        raise SpecError(
            f"The inputs have shape {x.shape} and the targets {y.shape}; give (n, d) and (n,) or (n, c), a row each."
        )
    for what, array in (("inputs", x), ("targets", y)):
        if not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise SpecError(
                f"Of {array.size:,} {what} {bad:,} are NaN or infinite; fill them, or leave out their rows."
            )
    part = Split(x, y)
    columns = tuple(Column(name=f"y{place}", kind="numeric") for place in range(y.shape[1]))
    return Problem("PyTorch data", loss, part, part, part, Preprocessing(inputs=(), targets=columns), data_hash="")


def _rows(torch: Any, data: Any) -> tuple[Float[np.ndarray, "n ..."], Float[np.ndarray, "n ..."]]:
    if isinstance(data, torch.utils.data.DataLoader | torch.utils.data.Dataset):
        data = _read_through(torch, data)
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise SpecError(
            f"The data are {shown(data)}; give a pair of inputs and targets, a Dataset or DataLoader of such pairs, or "
            "a nucleate.Problem."
        )
    try:
        x, y = (np.asarray(part.detach().cpu() if torch.is_tensor(part) else part, np.float64) for part in data)
    except Exception as error:
        raise SpecError(f"The data are no numbers ({first_line(error)}); give tensors or arrays.") from None
    return x, y


def _read_through(torch: Any, data: Any) -> tuple[Any, Any]:
    """All rows in their order, without moving PyTorch's random numbers on."""
    dataset, options = data, {}
    if not hasattr(getattr(data, "dataset", data), "__len__"):
        raise SpecError("The data set has no length, so it cannot be read whole; give one whose rows can be counted.")
    if isinstance(data, torch.utils.data.DataLoader):
        dataset, options = data.dataset, {"collate_fn": data.collate_fn}
        rows = len(dataset)
        sampler = data.sampler
        whole = isinstance(sampler, torch.utils.data.SequentialSampler | torch.utils.data.RandomSampler)
        if not whole or getattr(sampler, "replacement", False) or len(sampler) != rows:
            raise SpecError(
                f"The DataLoader takes its rows by a {type(sampler).__name__}, and forecasts of modules are of each "
                "row once; give the data set of the rows that are trained on."
            )
        if data.batch_size is None or type(data.batch_sampler) is not torch.utils.data.BatchSampler:
            raise SpecError(
                "The DataLoader makes its batches in a way of its own, which is not known; make it with batch_size= "
                "and shuffle=True, or give its dataset to forecast training on all rows at once."
            )
        if data.batch_size < rows and isinstance(sampler, torch.utils.data.SequentialSampler):
            raise SpecError(
                "The DataLoader takes the same batches in every epoch, and forecasts are of new orders of the rows; "
                "make it with shuffle=True."
            )
        if data.batch_size < rows and rows % data.batch_size and not data.drop_last:
            raise SpecError(
                f"The DataLoader ends each epoch with a batch of {count(rows % data.batch_size, 'row')} beside those "
                f"of {data.batch_size}, and forecasts are of batches of one size; make it with drop_last=True."
            )
        if data.drop_last and data.batch_size > rows:
            raise SpecError(f"The DataLoader drops its only batch, which lacks rows; make it with batch_size={rows}.")
    loader = torch.utils.data.DataLoader(dataset, batch_size=_AT_ONCE, generator=torch.Generator(), **options)
    with same_random_numbers():
        return read_pairs(lambda: loader)


def read_pairs(batches: Callable[[], Iterable[Any]], most: float = math.inf) -> tuple[Any, Any]:
    """The inputs and targets of the batches of a data set, until there are so many rows."""
    torch, taken, rows = import_torch(), [], 0
    try:
        for batch in batches():
            if not isinstance(batch, tuple | list) or len(batch) != 2:
                what = f"holds {listed(map(repr, batch))}" if isinstance(batch, dict) else f"is {shown(batch)}"
                raise SpecError(f"A batch of the data set {what}; give a data set of pairs of inputs and targets.")
            taken.append(batch)
            rows += len(batch[1])
            if rows >= most:
                break
        if not rows:
            raise SpecError("The data set gives no rows; give one of pairs of inputs and targets.")
        x, y = (torch.cat([torch.as_tensor(part) for part in parts]) for parts in zip(*taken, strict=True))
    except SpecError:
        raise
    except Exception as error:
        raise SpecError(
            f"The data set cannot be read ({type(error).__name__}: {first_line(error)}); give one of pairs of inputs "
            "and targets, each of one shape."
        ) from None
    return x, y
