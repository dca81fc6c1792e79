"""Copies of a PyTorch module that are trained: as they are, and with one setting changed."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nucleate.doctor.evidence import Evidence, explained
from nucleate.doctor.module_setting import Setting, undisturbed
from nucleate.doctor.remedies import HELD_BACK, LEAST, Attempts, Remedy
from nucleate.errors import SpecError
from nucleate.pytorch import import_torch
from nucleate.training import BLOWN_UP, Status

STEPS = 300
EVALUATIONS = 24
_BLOWN_UP = 1e4
"""A copy whose loss exceeds its start so many times has diverged."""
_CONSTANT_STEPS = 200
_RECIPE_STEPS = 1000
_OF_ONE = 1e-3
"""So near to one do probabilities sum."""


@dataclass(frozen=True, eq=False)
class Course:
    """What came of training a copy: how it ended, its losses at the steps, and the setting at the end."""

    setting: Setting
    status: Status
    steps: list[int]
    train: list[float]
    validation: list[float]

    @property
    def blown_up(self) -> bool:
        """Whether the loss left all bounds."""
        return self.status in BLOWN_UP


def run_copy(setting: Setting, steps: int, clip: float | None = None) -> Course:
    """Train a copy, which is a setting's own already."""
    torch = import_torch()
    at = sorted({0, steps, *np.unique(np.geomspace(1, steps, EVALUATIONS).astype(int)).tolist()})
    course = Course(setting, Status.FINISHED, [], [], [])
    setting.module.train()
    rows = setting.train.stop
    drawn = torch.Generator().manual_seed(0)
    order = torch.randperm(rows, generator=drawn)
    place = 0
    status = Status.FINISHED
    for step in range(steps + 1):
        if step in at:
            losses = [_loss(setting, part) for part in (setting.train, setting.validation)]
            if not math.isfinite(losses[0]):
                status = Status.NAN
                break
            course.steps.append(step)
            course.train.append(losses[0])
            course.validation.append(losses[1] if math.isfinite(losses[1]) else course.train[0] * _BLOWN_UP)
            if losses[0] > _BLOWN_UP * max(course.train[0], 1e-300):
                status = Status.DIVERGED
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
        helped = not course.blown_up and share > LEAST and HELD_BACK * share > own
        name, value = ("fresh", "start") if name == "recipe" else (name, value)
        return Remedy(name, value, "tried", None, share, steps, helped)


def constant_loss(torch: Any, setting: Setting, part: slice) -> float:
    """The loss of the outputs that do not depend on the inputs and are best on the training rows.

    Infinite where none is best. Where a loss takes probabilities or their logarithms alone, the constant is one too.
    """
    with evaluating(setting.module), torch.no_grad():
        outputs = setting.module(setting.x[setting.train])
    y, shape = setting.y, outputs.shape
    axis = _feature_axis(torch, outputs, y[setting.train])
    start = (outputs if axis is None else outputs.movedim(axis, -1).reshape(-1, shape[axis])).float().mean(dim=0)
    starts = [start.to(outputs.dtype), torch.zeros_like(start).to(outputs.dtype)]
    if torch.is_floating_point(y) and y.numel() == outputs.numel() and len(shape) <= 2:
        starts.append(y[setting.train].reshape(shape).mean(dim=0))

    def loss(constant: Any, rows: slice) -> Any:
        if axis is not None:
            constant = constant.reshape([-1 if at == axis else 1 for at in range(1, len(shape))])
        return setting.loss(constant.expand(len(y[rows]), *shape[1:]), y[rows])

    found = _best_constant(torch, lambda constant: loss(constant, setting.train), starts)
    link = _link(torch, outputs, axis)
    if link is not None:
        linked = _best_constant(torch, lambda constant: loss(link(constant, -1), setting.train), starts[1:2])
        known = [one for one in (found, None if linked is None else link(linked, -1)) if one is not None]
        found = min(known, key=lambda one: float(loss(one, setting.train)), default=None)
    return math.inf if found is None else float(loss(found, part))


def _best_constant(torch: Any, loss: Callable[[Any], Any], starts: Sequence[Any]) -> Any:
    """The constant at which a loss is least; None where it falls below all bounds, or is not finite."""

    def value(constant: Any) -> float:
        try:
            found = float(loss(constant))
        except (RuntimeError, ValueError):
            # It takes some numbers alone, such as probabilities.
            return math.inf
        return found if math.isfinite(found) else math.inf

    best = min(starts, key=value)
    constant = best.clone().requires_grad_()
    search = torch.optim.LBFGS([constant], max_iter=_CONSTANT_STEPS, line_search_fn="strong_wolfe")
    values: list[float] = []

    def closure() -> Any:
        search.zero_grad()
        found = loss(constant)
        found.backward()
        values.append(float(found.detach()))
        return found

    # A step may leave the numbers that a loss of probabilities takes.
    with suppress(RuntimeError, ValueError):
        search.step(closure)
        if math.isfinite(value(constant.detach())):
            best = constant.detach()
        elif min(values) < min(0.0, values[0]):
            return None
    least = value(best)
    if least < 0 and value(10 * best) < 3 * least:
        return None
    return best if math.isfinite(least) else None


def _feature_axis(torch: Any, outputs: Any, y: Any) -> int | None:
    """Along which axis a constant may differ: channels of pictures, and classes where targets lack that axis."""
    if outputs.ndim < 2:
        return None
    of_classes = not torch.is_floating_point(y) and y.shape[1:] == outputs.shape[2:] != outputs.shape[1:2]
    return 1 if outputs.ndim != 3 or of_classes else 2


def _link(torch: Any, outputs: Any, axis: int | None) -> Any:
    """Softmax of outputs that are probabilities, its logarithm of theirs, None of others."""
    if axis is None or outputs.shape[axis] < 2:
        return None
    numbers = outputs.double()
    if bool((numbers >= 0).all()) and float((numbers.sum(axis) - 1).abs().max()) < _OF_ONE:
        return torch.softmax
    return torch.log_softmax if float(numbers.logsumexp(axis).abs().max()) < _OF_ONE else None
