"""What a reduced module is judged by: a metric where there are targets, and how far its outputs move."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nucleate._wording import choose_one, count, listed, say_error, shown
from nucleate.errors import DataError, SpecError
from nucleate.problems import ACCURACY, BALANCED_ACCURACY, LOG_LOSS, MAE, R2, RMSE, Loss, Metric
from nucleate.pytorch.exchange import import_torch
from nucleate.reduction.certificate import Certificate
from nucleate.reduction.modules.rows import Rows, outputs_of
from nucleate.reduction.tolerance import allowed_deviation, most_cost, root_mean_square

OF_CLASSES = {metric.name: metric for metric in (ACCURACY, BALANCED_ACCURACY, LOG_LOSS)}
OF_AMOUNTS = {metric.name: metric for metric in (RMSE, MAE, R2)}
DEVIATION = Metric("deviation", None)
"""The root mean square by which outputs move, over their own standard deviation."""
LOSS = Metric("loss", None)
"""What the module itself returns as its loss where it is given labels."""


class Targets:
    """Targets of one kind beside a module's outputs; this is the kind where there are none, or a metric's own.

    Outputs are judged by how far they move, over their own standard deviation over the rows.
    """

    metrics: Mapping[str, Metric] = {}
    metric = DEVIATION

    def arrays(self, outputs: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
        """Predictions and truth as a `Metric` takes them."""
        raise SpecError(
            "The targets are neither class numbers nor amounts beside the outputs, so no nucleate.Metric can judge "
            "them; give a function of outputs and targets as `metric`, and `larger_is_better`."
        )

    def moved(self, before: Any, after: Any) -> np.ndarray:
        """How far the outputs of each row move."""
        return _rows(after - before)

    def deviation(self, before: Any, after: Any) -> float:
        """By what a tolerance judges."""
        # Over the rows, since how far apart the means of several outputs are says nothing of either.
        spread = float(before.double().var(0).mean().sqrt())
        return root_mean_square(self.moved(before, after)) / (spread or 1.0)

    def allowed(self, before: Any, targets: Any, tolerance: float) -> float:
        """How large that may be."""
        return tolerance

    def notes(self, outputs: Any, targets: Any) -> tuple[str, ...]:
        """What else to know of how these outputs are judged."""
        return ()

    def details(self, before: Any, after: Any, targets: Any) -> dict[str, Any]:
        """What a certificate says beside the deviations."""
        return {"relative_deviation": self.deviation(before, after), "relative_to": "spread"}


class Amounts(Targets):
    """Real numbers, one for each output."""

    metrics = OF_AMOUNTS
    metric = RMSE

    def arrays(self, outputs: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
        return _rows(outputs), _rows(targets.reshape(outputs.shape))

    def deviation(self, before: Any, after: Any) -> float:
        return root_mean_square(self.moved(before, after))

    def allowed(self, before: Any, targets: Any, tolerance: float) -> float:
        return allowed_deviation(RMSE(*self.arrays(before, targets)), tolerance)

    def details(self, before: Any, after: Any, targets: Any) -> dict[str, Any]:
        error = RMSE(*self.arrays(before, targets))
        return {"relative_deviation": self.deviation(before, after) / error if error > 0 else np.inf}


@dataclass(frozen=True)
class Classes(Targets):
    """Class numbers beside logits, whose classes are along an axis; negative ones (as -100) are left out.

    The outputs may be probabilities already; then they are taken as they are.
    """

    axis: int
    are_probabilities: bool = False
    metrics = OF_CLASSES
    metric = ACCURACY

    def arrays(self, outputs: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
        chances = self._chances(outputs)
        classes, told = chances.shape[-1], targets.flatten().long().numpy()
        known = told >= 0
        return chances.reshape(-1, classes)[known], np.eye(classes)[told[known]]

    def moved(self, before: Any, after: Any) -> np.ndarray:
        return (self._chances(after) - self._chances(before)).reshape(len(before), -1)

    def deviation(self, before: Any, after: Any) -> float:
        return float((before.argmax(self.axis) != after.argmax(self.axis)).double().mean())

    def details(self, before: Any, after: Any, targets: Any) -> dict[str, Any]:
        other = (before.argmax(self.axis) != after.argmax(self.axis)).reshape(len(before), -1)
        return {"labels_changed": int(other.any(1).sum())}

    def notes(self, outputs: Any, targets: Any) -> tuple[str, ...]:
        said = []
        if outputs.ndim > 2:
            said.append("A row has several labels; the certificate counts it as changed where one of them is.")
        if self.are_probabilities:
            said.append("The outputs are probabilities and are judged as they are.")
        left_out = targets[targets < 0]
        if len(left_out):
            said.append(
                f"{len(left_out):,} of the {count(targets.numel(), 'target')} that validate are negative "
                f"({listed(map(str, left_out.unique().tolist()))}) and no class; the metric leaves them out."
            )
        return tuple(said)

    def _chances(self, outputs: Any) -> np.ndarray:
        logits = outputs.double()
        chances = logits if self.are_probabilities else logits.softmax(self.axis)
        return chances.movedim(self.axis, -1).numpy()


@dataclass(frozen=True)
class Judge:
    """The metric's name and direction, the kind of targets, and the metric of a module, rows and their outputs."""

    metric: Metric
    targets: Targets
    value: Callable[[Any, Rows, Any], float]

    def fits(self, module: Any, rows: Rows, before: Any, tolerance: float) -> Callable[[Any], bool]:
        """Whether a module is within a relative change of the metric, and its outputs of what would explain that."""
        most = self.targets.allowed(before, rows.targets, tolerance)
        compares = self.metric is not DEVIATION
        most_of_metric = most_cost(self.metric.cost(self.value(module, rows, before)), tolerance) if compares else 0.0

        def fits(small: Any) -> bool:
            after = outputs_of(small, rows)
            if not bool(after.isfinite().all()) or self.targets.deviation(before, after) > most:
                return False
            return not compares or self.metric.cost(self.value(small, rows, after)) <= most_of_metric

        return fits

    def certify(self, rows: Rows, before: Any, after: Any, dealt: Literal["drawn", "given"]) -> Certificate:
        """How far the outputs moved on held-out rows."""
        moved = self.targets.moved(before, after)
        return Certificate(
            rows=len(rows),
            largest_deviation=float(np.abs(moved).max()),
            rms_deviation=root_mean_square(moved),
            dealt=dealt,
            **self.targets.details(before, after, rows.targets),
        )


def judge_of(metric: Any, larger_is_better: bool | None, module: Any, rows: Rows, before: Any) -> Judge:
    """The judge that is asked for; with none, that of the targets' kind."""
    torch = import_torch()
    if larger_is_better is not None and not isinstance(larger_is_better, bool):
        raise SpecError(f"`larger_is_better` is {shown(larger_is_better)}; it must be True or False.")
    own = callable(metric) and not isinstance(metric, Metric)
    targets = _kind(rows, before, asked=not own and metric not in ("loss", "deviation"))
    if metric is None:
        metric = LOSS.name if _has_loss(module, rows) else targets.metric.name
    if isinstance(metric, str):
        return _named(metric, targets, module, rows)
    if isinstance(metric, (Metric, Loss)):
        measure = metric.metric if isinstance(metric, Loss) else metric
        return Judge(measure, targets, lambda _, part, outputs: float(measure(*targets.arrays(outputs, part.targets))))
    if not callable(metric):
        raise SpecError(
            f"The metric is {shown(metric)}; give a name, a function of outputs and targets, or a nucleate.Metric."
        )
    if larger_is_better is None:
        if not isinstance(metric, torch.nn.modules.loss._Loss):
            raise SpecError(
                "The metric is a function of which it is not said whether more is better; pass larger_is_better=True "
                "or larger_is_better=False."
            )
        larger_is_better = False
    if rows.targets is None:
        raise SpecError("The metric is of outputs and targets, but the data have no targets; give (inputs, targets).")

    def value(_: Any, part: Rows, outputs: Any) -> float:
        try:
            number = float(metric(outputs, part.targets))
        except Exception as error:
            raise SpecError(
                f"The metric cannot be computed of the outputs and targets ({say_error(error)[:160]}); it is called "
                "with both as tensors of all rows, and returns a number."
            ) from None
        if not np.isfinite(number):
            raise SpecError(f"The metric of the outputs is {number}; it must be a finite number.")
        return number

    value(module, rows, before)
    name = getattr(metric, "__name__", type(metric).__name__)
    return Judge(Metric(name, None, larger_is_better), targets, value)


def _named(name: str, targets: Targets, module: Any, rows: Rows) -> Judge:
    choices = {**targets.metrics, **({LOSS.name: LOSS} if _has_loss(module, rows) else {}), DEVIATION.name: DEVIATION}
    if name not in choices:
        raise SpecError(f"There is no metric {name!r} of these outputs and targets{choose_one(name, choices)}.")
    metric = choices[name]
    if metric is LOSS:
        return Judge(metric, targets, lambda one, part, _: _loss_of(one, part))
    if metric is DEVIATION:
        before: dict[int, Any] = {}

        def moved(_: Any, part: Rows, outputs: Any) -> float:
            first = before.setdefault(id(part), outputs)
            return Targets().deviation(first, outputs)

        return Judge(metric, Targets(), moved)
    return Judge(metric, targets, lambda _, part, outputs: float(metric(*targets.arrays(outputs, part.targets))))


def _has_loss(module: Any, rows: Rows) -> bool:
    """Whether the module is given labels by name and says a loss of them, as those of transformers do."""
    if not isinstance(rows.inputs, dict) or rows.targets is None:
        return False
    return "labels" in inspect.signature(module.forward).parameters


def _loss_of(module: Any, rows: Rows) -> float:
    torch = import_torch()
    with torch.no_grad():
        losses = [(len(batch), batch.call(module, labels=batch.targets)) for batch in rows.batches()]
    return float(sum(size * float(said["loss"]) for size, said in losses) / len(rows))


def _kind(rows: Rows, outputs: Any, asked: bool) -> Targets:
    targets = rows.targets
    if targets is None:
        return Targets()
    if not targets.is_floating_point():
        for axis in (outputs.ndim - 1, 1):
            shape = [size for at, size in enumerate(outputs.shape) if at != axis]
            if 0 < axis < outputs.ndim and list(targets.shape) == shape and outputs.shape[axis] > 1:
                if asked and int(targets.max()) < 0:
                    raise DataError(
                        "All targets that validate are negative, which stands for no class; give class numbers from 0 "
                        "on."
                    )
                if int(targets.max()) < outputs.shape[axis]:
                    return Classes(axis, _sum_to_one(outputs, axis))
                if asked:
                    raise DataError(
                        f"The targets have class {int(targets.max())}, but the module has {outputs.shape[axis]} "
                        f"outputs; classes must be 0 to {outputs.shape[axis] - 1}."
                    )
                return Targets()
    if targets.numel() == outputs.numel():
        are_binary = set(targets.unique().tolist()) <= {0, 1}
        if asked and are_binary:
            raise SpecError(
                "The targets are 0 and 1 and the module has one output for each, of which it is not said whether it is "
                "a logit or a probability; pass a function of outputs and targets as `metric`, and `larger_is_better`."
            )
        return Targets() if are_binary else Amounts()
    if asked:
        raise DataError(
            f"The targets have the shape {tuple(targets.shape)} and the outputs {tuple(outputs.shape)}; give class "
            "numbers, or as many numbers as outputs, or pass a function of both as `metric`, and `larger_is_better`."
        )
    return Targets()


def _sum_to_one(outputs: Any, axis: int) -> bool:
    return bool((outputs >= 0).all()) and float((outputs.double().sum(axis) - 1).abs().max()) < 1e-3


def _rows(values: Any) -> np.ndarray:
    return values.double().reshape(len(values), -1).numpy()
