"""Copies of a PyTorch module that are trained: as they are, and with one setting changed."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from nucleate.baselines import Entrant, compare_entrants, judge
from nucleate.doctor.evidence import LEAST, Evidence, are_more_better, explained, has_forgotten
from nucleate.doctor.modules.setting import Setting, undisturbed
from nucleate.doctor.remedies import FEW_ROWS, Attempts, Remedy
from nucleate.errors import SpecError
from nucleate.problems import Metric
from nucleate.pytorch.exchange import import_torch
from nucleate.training import BLOWN_UP, Status

STEPS = 300
EVALUATIONS = 24
_BLOWN_UP = 1e4
"""A copy whose loss exceeds its start so many times has diverged."""
_CONSTANT_STEPS = 200
_RECIPE_STEPS = 1000
_OF_ONE = 1e-3
"""So near to one do probabilities sum."""
_LOSS = Metric("loss", lambda losses, _: float(losses.mean()), each=lambda losses, _: losses)

Rows = Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Course:
    """What came of training a copy: how it ended, its losses at the steps, and the setting at the end.

    The outputs are those on the validation rows, at the evaluation that was best there and at the last one.
    """

    setting: Setting
    status: Status
    steps: list[int]
    train: list[float]
    validation: list[float]
    best_outputs: Any = None
    last_outputs: Any = None

    @property
    def blown_up(self) -> bool:
        """Whether the loss left all bounds."""
        return self.status in BLOWN_UP

    def forgets(self, of_train: float, of_validation: float) -> bool:
        """Whether the copy ends with much of what it had learned lost again, beside a constant of these losses."""
        course = np.array(self.train), of_train, np.array(self.validation), of_validation
        return not self.blown_up and has_forgotten(*course)

    def losses_of_rows(self, *, at_the_end: bool) -> Rows | None:
        """The loss of each validation row; None where the loss is neither their mean nor their sum."""
        outputs = self.last_outputs if at_the_end else self.best_outputs
        return losses_of_rows(self.setting, outputs)


def run_copy(setting: Setting, steps: int, clip: float | None = None) -> Course:
    """Train a copy, which is a setting's own already."""
    torch = import_torch()
    at = sorted({0, steps, *np.unique(np.geomspace(1, steps, EVALUATIONS).astype(int)).tolist()})
    course = Course(setting, Status.FINISHED, [], [], [])
    best = last = None
    setting.module.train()
    rows = setting.train.stop
    drawn = torch.Generator().manual_seed(0)
    order, place = torch.randperm(rows, generator=drawn), 0
    sorted_ones = torch.arange(rows).split(setting.batch_size)[: max(1, rows // setting.batch_size)]
    status = Status.FINISHED
    for step in range(steps + 1):
        if step in at:
            outputs, last = (setting.outputs(part) for part in (setting.train, setting.validation))
            of_train, of_validation = setting.cost(outputs, setting.train), setting.cost(last, setting.validation)
            if not math.isfinite(of_train):
                status = Status.NAN
                break
            course.steps.append(step)
            course.train.append(of_train)
            course.validation.append(of_validation if math.isfinite(of_validation) else course.train[0] * _BLOWN_UP)
            best = last if course.validation[-1] == min(course.validation) else best
            if of_train > _BLOWN_UP * max(course.train[0], 1e-300):
                status = Status.DIVERGED
                break
        if step == steps:
            break
        if setting.in_order:
            batch = sorted_ones[int(step / setting.stretch) % len(sorted_ones)]
        else:
            if place + setting.batch_size > rows:
                order, place = torch.randperm(rows, generator=drawn), 0
            batch = order[place : place + setting.batch_size]
            place += setting.batch_size
        take_step(torch, setting, batch.to(setting.y.device), clip)
    return replace(course, status=status, best_outputs=best, last_outputs=last)


def take_step(torch: Any, setting: Setting, batch: Any, clip: float | None = None) -> None:
    """One step of a copy's optimizer on these rows."""
    setting.optimizer.zero_grad()
    value = setting.loss(setting.module(setting.x[batch]), setting.y[batch])
    if value.requires_grad:
        value.backward()
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(setting.module.parameters(), clip)
    setting.optimizer.step()


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
                constant = constant_outputs(torch, made)
                course = run_copy(made, steps, value if name == "clip" else None)
        except SpecError:
            return Remedy(name, value)
        if not course.steps:
            return Remedy(name, value)
        of_train, of_validation = (loss_of(made, constant, part) for part in (made.train, made.validation))
        if not (math.isfinite(of_train) and math.isfinite(of_validation)):
            of_train, of_validation = course.train[0], course.validation[0]
        forgets = course.forgets(of_train, of_validation)
        share = explained(course.validation[-1] if forgets else min(course.validation), of_validation)
        helped = not course.blown_up and share > max(LEAST, self.evidence.to_beat)
        helped = helped and self._is_beyond_noise(course, constant, at_the_end=forgets)
        name, value = ("fresh", "start") if name == "recipe" else (name, value)
        return Remedy(name, value, "tried", None, share, steps, helped)

    def _is_beyond_noise(self, course: Course, constant: Callable[[slice], Any] | None, *, at_the_end: bool) -> bool:
        """As of a run, where there are rows enough; of other targets or another loss beside the constant of these."""
        made, own = course.setting, self.evidence.losses_of_rows
        theirs = course.losses_of_rows(at_the_end=at_the_end)
        if theirs is None or len(theirs) < FEW_ROWS:
            return True
        if made.y is self.setting.y and made.loss is self.setting.loss:
            return own is None or compare_rows(theirs, own) == "better" or are_more_better(theirs, own)
        of_constant = None if constant is None else losses_of_rows(made, constant(made.validation))
        return of_constant is None or compare_rows(theirs, of_constant) == "better"


def compare_rows(ours: Rows, theirs: Rows) -> str:
    """What a module is on rows beside another one, by the loss of each: better, worse or alike; undefined."""
    network, other = (Entrant([judge(_LOSS, one[:, None], one[:, None])], varies=False) for one in (theirs, ours))
    return compare_entrants(_LOSS, len(ours), network, other).verdict


def losses_of_rows(setting: Setting, outputs: Any) -> Rows | None:
    """The loss of each validation row; None where that of all is neither their mean nor their sum."""
    y = setting.y[setting.validation]
    try:
        with import_torch().no_grad():
            whole = float(setting.loss(outputs, y))
            each = np.array([float(setting.loss(outputs[row : row + 1], y[row : row + 1])) for row in range(len(y))])
    except Exception:
        # A loss may need several rows.
        return None
    return each if any(math.isclose(whole, one, rel_tol=1e-3) for one in (each.mean(), each.sum())) else None


def loss_of(setting: Setting, constant: Callable[[slice], Any] | None, part: slice) -> float:
    """The loss of outputs that are given for any rows; infinite where there are none."""
    return math.inf if constant is None else setting.cost(constant(part), part)


def constant_outputs(torch: Any, setting: Setting) -> Callable[[slice], Any] | None:
    """The outputs that do not depend on the inputs and are best on the training rows, for any rows.

    None where none is best. Where a loss takes probabilities or their logarithms alone, the constant is one too.
    """
    outputs = setting.outputs(setting.train)
    y, shape = setting.y, outputs.shape
    axis = _feature_axis(torch, outputs, y[setting.train])
    start = (outputs if axis is None else outputs.movedim(axis, -1).reshape(-1, shape[axis])).float().mean(dim=0)
    starts = [start.to(outputs.dtype), torch.zeros_like(start).to(outputs.dtype)]
    if torch.is_floating_point(y) and y.numel() == outputs.numel() and len(shape) <= 2:
        starts.append(y[setting.train].reshape(shape).mean(dim=0))

    def of_rows(constant: Any, rows: slice) -> Any:
        if axis is not None:
            constant = constant.reshape([-1 if at == axis else 1 for at in range(1, len(shape))])
        return constant.expand(len(y[rows]), *shape[1:])

    def loss(constant: Any) -> Any:
        return setting.loss(of_rows(constant, setting.train), y[setting.train])

    found = _best_constant(torch, loss, starts)
    link = _link(torch, outputs, axis)
    if link is not None:
        linked = _best_constant(torch, lambda constant: loss(link(constant, -1)), starts[1:2])
        known = [one for one in (found, None if linked is None else link(linked, -1)) if one is not None]
        found = min(known, key=lambda one: float(loss(one)), default=None)
    return None if found is None else lambda rows: of_rows(found, rows)


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
