"""A PyTorch module as it is set up: copies of it that are trained as they are, and with one setting changed."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nucleate._wording import first_line, shown
from nucleate.doctor.evidence import Evidence, explained
from nucleate.doctor.remedies import HELD_BACK, LEAST, Attempts, Change, Remedy
from nucleate.errors import SpecError
from nucleate.pytorch import import_torch, same_random_numbers
from nucleate.training import Status

MOST_ROWS = 2048
"""Rows that are looked at; more are left out."""
HELD_OUT = 0.2
"""The share of the rows on which copies are judged."""
FEW_ROWS = 10
"""Of fewer rows none are held out."""
STEPS = 300
EVALUATIONS = 24
BLOWN_UP = 1e4
"""A copy whose loss exceeds its start so many times has diverged."""
_CONSTANT_STEPS = 200
_RECIPE_RATE, _RECIPE_STEPS = 1e-3, 1000


@dataclass(frozen=True, eq=False)
class Setting:
    """A training loop of PyTorch: the module as it is, rows, a loss of outputs and targets, and the optimizer."""

    module: Any
    x: Any
    y: Any
    loss: Callable[[Any, Any], Any]
    optimizer: Any
    batch_size: int

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
        elif name == "standardize" and value == "inputs" and torch.is_floating_point(self.x):
            setting = replace(self, x=_standardized(self.x, self.x[self.train]))
        elif name == "standardize" and value == "target" and torch.is_floating_point(self.y):
            setting = replace(self, y=_standardized(self.y, self.y[self.train]))
        elif name == "activation":
            _swap(torch, module, str(value))
            # As of a network: a unit that is dead or at its bound stays so, whatever the activation.
            _start_anew(module)
        elif name == "gain":
            with torch.no_grad():
                for weight, gain in gains_in(torch, module):
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
        elif name not in ("", "lr", "eps", "clip", "steps"):
            raise SpecError(f"{name} is not changed in a module.")
        optimizer = _optimizer_of(
            self.module,
            module,
            self.optimizer,
            fresh=name in ("activation", "gain", "recipe", "seed", "scale", "dtype"),
        )
        for group in optimizer.param_groups:
            if name in ("lr", "eps"):
                if name not in group:
                    raise SpecError(f"This optimizer has no {name}.")
                group[name] = value
        if name == "recipe":
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
    if loss is None or not callable(loss):
        raise SpecError(
            f"The loss is {shown(loss)}; give the function of outputs and targets that training makes small, such as "
            "torch.nn.MSELoss()."
        )
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
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))[:MOST_ROWS]
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    x, y = x[order].to(device), y[order].to(device)
    kind = next((parameter.dtype for parameter in module.parameters()), torch.float32)
    # Arrays are float64 by default, modules float32.
    x = x.to(kind) if torch.is_floating_point(x) else x
    y = y.to(kind) if torch.is_floating_point(y) else y
    setting = Setting(module, x, y, loss, optimizer, batch_size or len(y))
    with undisturbed(torch):
        made = setting.copied()
        try:
            value = loss(made.module(x[:2]), y[:2])
        except Exception as error:
            raise SpecError(
                f"The module and the loss cannot take the data ({first_line(error)[:200]}); give inputs as the module "
                "takes them, and targets as the loss does."
            ) from None
    if not torch.is_tensor(value) or value.numel() != 1:
        raise SpecError("The loss does not give one number; give one with the mean over the rows.")
    if not value.requires_grad:
        raise SpecError(
            "No gradient reaches the parameters, so nothing can be learned: none of them requires one (requires_grad), "
            "or the outputs or the loss are detached from them (detach, no_grad, item, NumPy)."
        )
    return setting


@contextmanager
def undisturbed(torch: Any) -> Iterator[None]:
    """Leaves all random numbers as they were, and in between has the same ones every time."""
    with same_random_numbers(), torch.enable_grad():
        torch.manual_seed(0)
        yield


@dataclass(frozen=True, eq=False)
class Course:
    """What came of training a copy: how it ended, its losses at the steps, and the setting at the end."""

    setting: Setting
    status: Status
    steps: list[int]
    train: list[float]
    validation: list[float]


def run_copy(setting: Setting, steps: int, clip: float | None = None) -> Course:
    """Train a copy, which is a setting's own already."""
    torch = import_torch()
    at = sorted({0, steps, *np.unique(np.geomspace(1, steps, EVALUATIONS).astype(int)).tolist()})
    course = Course(setting, "finished", [], [], [])
    setting.module.train()
    rows = setting.train.stop
    drawn = torch.Generator().manual_seed(0)
    order = torch.randperm(rows, generator=drawn)
    place = 0
    status: Status = "finished"
    for step in range(steps + 1):
        if step in at:
            losses = [_loss(setting, part) for part in (setting.train, setting.validation)]
            if not math.isfinite(losses[0]):
                status = "nan"
                break
            course.steps.append(step)
            course.train.append(losses[0])
            course.validation.append(losses[1] if math.isfinite(losses[1]) else course.train[0] * BLOWN_UP)
            if losses[0] > BLOWN_UP * max(course.train[0], 1e-300):
                status = "diverged"
                break
        if step == steps:
            break
        if place + setting.batch_size > rows:
            order, place = torch.randperm(rows, generator=drawn), 0
        batch = order[place : place + setting.batch_size].to(setting.y.device)
        place += setting.batch_size
        take_step(torch, setting, batch, clip)
    return replace(course, status=status)


def take_step(torch: Any, setting: Setting, batch: Any, clip: float | None = None) -> None:
    """One step of a copy's optimizer on these rows."""
    setting.optimizer.zero_grad()
    value = setting.loss(setting.module(setting.x[batch]), setting.y[batch])
    if value.requires_grad:
        value.backward()
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(setting.module.parameters(), clip)
    setting.optimizer.step()


def _loss(setting: Setting, part: slice) -> float:
    with evaluating(setting.module), import_torch().no_grad():
        return float(setting.loss(setting.module(setting.x[part]), setting.y[part]))


@contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """Without dropout and what else is of training alone; in between each part is as it was."""
    modes = {one: one.training for one in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for one, mode in modes.items():
            one.training = mode


@dataclass(frozen=True, eq=False)
class ModuleTrials(Attempts):
    """Trains copies of a module with one setting changed."""

    setting: Setting
    evidence: Evidence

    def _attempt(self, name: str, value: Any) -> Remedy:
        torch = import_torch()
        steps = int(value) if name == "steps" else self.evidence.budget
        steps = max(steps, _RECIPE_STEPS) if name == "recipe" else steps
        try:
            with undisturbed(torch):
                made = self.setting.copied((name, value))
                constant = constant_loss(torch, made, made.validation)
                course = run_copy(made, steps, value if name == "clip" else None)
        except SpecError:
            return Remedy(name, value)
        if not course.steps:
            return Remedy(name, value)
        share = explained(min(course.validation), constant if math.isfinite(constant) else course.validation[0])
        own = max(self.evidence.explained, 0.0)
        helped = course.status == "finished" and share > LEAST and HELD_BACK * share > own
        name, value = ("fresh", "start") if name == "recipe" else (name, value)
        return Remedy(name, value, "tried", None, share, steps, helped)


def _rows(torch: Any, data: Any) -> tuple[Any, Any, int | None]:
    if isinstance(data, torch.utils.data.DataLoader | torch.utils.data.Dataset):
        loader, batch_size = data, getattr(data, "batch_size", None)
        if not isinstance(data, torch.utils.data.DataLoader):
            loader = torch.utils.data.DataLoader(data, batch_size=64)
        taken: list[Any] = []
        try:
            for batch in loader:
                taken.append(batch)
                if sum(len(one[1]) for one in taken) >= MOST_ROWS:
                    break
            x, y = (torch.cat([torch.as_tensor(part) for part in parts]) for parts in zip(*taken, strict=True))
        except Exception as error:
            raise SpecError(
                f"The data set cannot be read ({first_line(error)}); give one of pairs of inputs and targets, each of "
                "one shape."
            ) from None
        return x, y, batch_size
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise SpecError(
            f"The data are {shown(data)}; give a pair of inputs and targets, or a Dataset or DataLoader of such pairs."
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


def _standardized(rows: Any, of: Any) -> Any:
    torch = import_torch()
    mean, std = of.mean(dim=0), of.std(dim=0, correction=0)
    return (rows - mean) / torch.where(std > 0, std, torch.ones_like(std))


def are_shares(y: Any) -> bool:
    """Whether targets are probabilities or labels of 0 and 1, which no scale may change."""
    return bool(((y >= 0) & (y <= 1)).all())


def _swap(torch: Any, module: Any, activation: str) -> None:
    kinds = {"relu": torch.nn.ReLU, "leaky_relu": torch.nn.LeakyReLU, "tanh": torch.nn.Tanh}
    wanted, swapped = kinds[activation], 0
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _activations(torch)) and not isinstance(child, wanted):
                setattr(parent, name, wanted())
                swapped += 1
    if not swapped:
        raise SpecError("The module's activations are not modules of its own.")


def gains_in(torch: Any, module: Any) -> list[tuple[Any, float]]:
    """Each weight with its root mean square times the root of its fan-in, which of an embedding is 1."""
    found: list[tuple[Any, float]] = []
    for part in module.modules():
        embeds = isinstance(part, torch.nn.Embedding | torch.nn.EmbeddingBag)
        for name, weight in part.named_parameters(recurse=False):
            if weight.ndim >= 2 and "weight" in name:
                fan_in = 1 if embeds else weight[0].numel()
                found.append((weight, float(weight.detach().float().pow(2).mean().sqrt()) * fan_in**0.5))
    return found


def _activations(torch: Any) -> tuple[Any, ...]:
    nn = torch.nn
    return nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.SELU, nn.Softplus


def _start_anew(module: Any) -> None:
    parts = [part for part in module.modules() if callable(getattr(part, "reset_parameters", None))]
    if not parts:
        raise SpecError("No part of the module says how its parameters start.")
    for part in parts:
        part.reset_parameters()


def _optimizer_of(module: Any, made: Any, optimizer: Any, *, fresh: bool) -> Any:
    """The same optimizer over a copy's parameters, with what it remembers."""
    own = {id(old): new for old, new in zip(module.parameters(), made.parameters(), strict=True)}
    groups = [{**group, "params": [own.get(id(one)) for one in group["params"]]} for group in optimizer.param_groups]
    if any(one is None for group in groups for one in group["params"]):
        raise SpecError("The optimizer has parameters that are not the module's; give it those of this module.")
    try:
        another = type(optimizer)(groups, **{k: v for k, v in optimizer.defaults.items() if k != "params"})
    except TypeError:
        another = type(optimizer)(groups, lr=optimizer.defaults.get("lr"))
    if not fresh and optimizer.state:
        another.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return another


def constant_loss(torch: Any, setting: Setting, part: slice) -> float:
    """The loss of the outputs that do not depend on the inputs and are best on the training rows."""
    with evaluating(setting.module), torch.no_grad():
        outputs = setting.module(setting.x[setting.train])
    y, shape = setting.y, outputs.shape
    features = shape[1:] if len(shape) == 2 else shape[-1:] if len(shape) > 2 else ()
    start = outputs.reshape(-1, *features).float().mean(dim=0).to(outputs.dtype)
    starts = [start, torch.zeros_like(start)]
    if torch.is_floating_point(y) and y.numel() == outputs.numel() and len(shape) <= 2:
        starts.append(y[setting.train].reshape(shape).mean(dim=0))

    def loss(constant: Any, rows: slice) -> Any:
        return setting.loss(constant.expand(len(y[rows]), *shape[1:]), y[rows])

    best = min(starts, key=lambda one: _finite(float(loss(one, setting.train))))
    constant = best.clone().requires_grad_()
    search = torch.optim.LBFGS([constant], max_iter=_CONSTANT_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Any:
        search.zero_grad()
        value = loss(constant, setting.train)
        value.backward()
        return value

    search.step(closure)
    found = [one for one in (constant.detach(), best) if math.isfinite(float(loss(one, setting.train)))]
    return min((float(loss(one, part)) for one in found[:1]), default=math.inf)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _unsquashed(torch: Any, loss: Callable[[Any, Any], Any], function: str) -> Callable[[Any, Any], Any]:
    """The loss of the logits, which are those that the outputs were made of but for what is added to all."""
    if function == "softmax":
        return lambda outputs, y: loss(torch.log(outputs.clamp_min(1e-30)), y)
    return lambda outputs, y: loss(torch.logit(outputs, 1e-6), y)
