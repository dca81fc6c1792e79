"""What a reduced module is judged by: a metric where there are targets, and how far its outputs move."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nucleate._wording import choose_one, count, listed, say_error, shown
from nucleate.baselines.comparison import count_units
from nucleate.errors import DataError, SpecError
from nucleate.problems import ACCURACY, BALANCED_ACCURACY, LOG_LOSS, MAE, R2, RMSE, Loss, Metric
from nucleate.problems.copies import count_repeated
from nucleate.pytorch.exchange import import_torch
from nucleate.reduction.certificate import Certificate, certificate_of
from nucleate.reduction.modules.rows import BATCH, Parts, Rows, outputs_of
from nucleate.reduction.tolerance import (
    OfAmounts,
    OfClasses,
    Tolerance,
    Yardstick,
    root_mean_square,
    root_mean_squares,
    spread,
)

OF_CLASSES = {metric.name: metric for metric in (ACCURACY, BALANCED_ACCURACY, LOG_LOSS)}
OF_AMOUNTS = {metric.name: metric for metric in (RMSE, MAE, R2)}
DEVIATION = Metric("deviation", None)
"""The root mean square by which outputs move, over their own standard deviation."""
LOSS = Metric("loss", None)
"""What the module itself returns as its loss where it is given labels."""


class OfOutputs(Yardstick):
    """How far outputs move, over their own standard deviation; the tolerance itself is allowed."""

    def deviation(self, before: np.ndarray, after: np.ndarray) -> float:
        # Over the rows, since how far apart the means of several outputs are says nothing of either.
        over_rows = float(np.sqrt(before.var(axis=0, ddof=1).mean()))
        return root_mean_square(after - before) / (over_rows or 1.0)

    def details(self, before: np.ndarray, after: np.ndarray, rows: int) -> dict[str, Any]:
        return {"relative_deviation": self.deviation(before, after), "relative_to": "spread"}


class Targets:
    """Targets of one kind beside a module's outputs; this is the kind where there are none, or a metric's own."""

    metrics: Mapping[str, Metric] = {}
    metric = DEVIATION

    def predictions(self, outputs: Any, targets: Any = None) -> np.ndarray:
        """What outputs predict, as a `Metric` takes it; where targets are given, where there are some."""
        return outputs.double().reshape(len(outputs), -1).numpy()

    def truth(self, outputs: Any, targets: Any) -> np.ndarray:
        """The targets as a `Metric` takes them."""
        raise SpecError(
            "The targets are neither class numbers nor amounts beside the outputs, so no nucleate.Metric can judge "
            "them; give a function of outputs and targets as `metric`, and `larger_is_better`."
        )

    def arrays(self, outputs: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
        """Predictions and truth as a `Metric` takes them."""
        return self.predictions(outputs, targets), self.truth(outputs, targets)

    def yardstick(self, outputs: Any, targets: Any) -> Yardstick:
        """By what the change of predictions is judged."""
        return OfOutputs()

    def notes(self, outputs: Any, targets: Any) -> tuple[str, ...]:
        """What else to know of how these outputs are judged."""
        return ()


@dataclass(frozen=True, eq=False)
class Amounts(Targets):
    """Real numbers, one for each output; several targets are along an axis, each with a spread."""

    axis: int
    spread: np.ndarray
    metrics = OF_AMOUNTS
    metric = RMSE

    def predictions(self, outputs: Any, targets: Any = None) -> np.ndarray:
        return _along(outputs.double(), self.axis)

    def truth(self, outputs: Any, targets: Any) -> np.ndarray:
        return _along(targets.reshape(outputs.shape).double(), self.axis)

    def yardstick(self, outputs: Any, targets: Any) -> Yardstick:
        return OfAmounts(self.truth(outputs, targets), self.spread)


@dataclass(frozen=True)
class Classes(Targets):
    """Class numbers beside logits, whose classes are along an axis; negative ones (as -100) are left out.

    The outputs may be probabilities already; then they are taken as they are. The labels may be of other places than
    the outputs that they stand beside, as those of a language model are, whose own loss shifts them.
    """

    axis: int
    are_probabilities: bool = False
    are_shifted: bool = False
    metrics = OF_CLASSES
    metric = ACCURACY

    def predictions(self, outputs: Any, targets: Any = None) -> np.ndarray:
        logits = outputs.double()
        chances = _along(logits if self.are_probabilities else logits.softmax(self.axis), self.axis)
        return chances if targets is None else chances[(targets >= 0).flatten().numpy()]

    def truth(self, outputs: Any, targets: Any) -> np.ndarray:
        labels = targets[targets >= 0].long().numpy()
        told = np.zeros((len(labels), outputs.shape[self.axis]))
        told[np.arange(len(labels)), labels] = 1
        return told

    def yardstick(self, outputs: Any, targets: Any) -> Yardstick:
        return OfClasses(None if self.are_shifted else self.truth(outputs, targets))

    def notes(self, outputs: Any, targets: Any) -> tuple[str, ...]:
        said = []
        if outputs.ndim > 2:
            said.append("A row has several labels; the certificate counts it as changed where one of them is.")
        if self.are_probabilities:
            said.append("The outputs are probabilities and are judged as they are.")
        if self.are_shifted:
            said.append(
                "The module's own loss is not that of its outputs and the labels beside them, as where it shifts the "
                "labels; so its balanced accuracy is not known, and was not held to the tolerance. An accuracy or log "
                "loss that is asked for by name is of the labels beside the outputs."
            )
        left_out = targets[targets < 0]
        if len(left_out):
            said.append(
                f"{len(left_out):,} of the {count(targets.numel(), 'target')} that validate are negative "
                f"({listed(map(str, left_out.unique().tolist()))}) and no class; they are left out of what tolerance "
                "and metric ask for."
            )
        return tuple(said)


@dataclass(frozen=True)
class Judge:
    """The metric's name and direction, the kind of targets, and the metric of a module, rows and their outputs."""

    metric: Metric
    targets: Targets
    value: Callable[[Any, Rows, Any], float]

    def fits(self, module: Any, rows: Rows, before: Any, tolerance: float) -> Callable[[Any], bool]:
        """Whether a module is within a relative change of the metric, and its outputs of what would explain that."""

        def cost(one: Any, outputs: Any) -> float:
            # That of the deviation itself is nothing but that.
            return 0.0 if self.metric is DEVIATION else self.metric.cost(self.value(one, rows, outputs))

        targets, yardstick = rows.targets, self.targets.yardstick(before, rows.targets)
        within = Tolerance(yardstick, self.targets.predictions(before, targets), cost(module, before), tolerance)

        def fits(small: Any) -> bool:
            after = outputs_of(small, rows)
            return bool(after.isfinite().all()) and within(
                self.targets.predictions(after, targets), lambda: cost(small, after)
            )

        return fits

    def distance(self, rows: Rows, before: Any, after: Any) -> float:
        """How far the outputs moved, in one number to choose by."""
        predicted = (self.targets.predictions(outputs, rows.targets) for outputs in (before, after))
        return self.targets.yardstick(before, rows.targets).distance(*predicted)

    def certify(self, parts: Parts, before: Any, after: Any) -> Certificate:
        """How far the outputs moved on held-out rows."""
        rows = parts.certification
        return certificate_of(
            self.targets.yardstick(before, rows.targets),
            self.targets.predictions(before),
            self.targets.predictions(after),
            len(rows),
            dealt=parts.dealt,
            repeated=count_repeated(rows.columns, parts.calibration.columns, parts.validation.columns),
            **count_units(rows),
        )


def judge_of(metric: Any, larger_is_better: bool | None, module: Any, parts: Parts, before: Any) -> Judge:
    """The judge that is asked for; with none, that of the targets' kind. The outputs are those that validate."""
    torch, rows = import_torch(), parts.validation
    if larger_is_better is not None and not isinstance(larger_is_better, bool):
        raise SpecError(f"`larger_is_better` is {shown(larger_is_better)}; it must be True or False.")
    own = callable(metric) and not isinstance(metric, Metric)
    targets = _kind(module, parts, before, asked=not own and metric not in ("loss", "deviation"))
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
            return OfOutputs().deviation(*map(Targets().predictions, (first, outputs)))

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


def _kind(module: Any, parts: Parts, outputs: Any, asked: bool) -> Targets:
    rows, targets = parts.validation, parts.validation.targets
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
                # Also of the rows that certify, lest these are refused when all is done.
                last = max(int(part.targets.max()) for part in (rows, parts.certification))
                if asked and last >= outputs.shape[axis]:
                    raise DataError(
                        f"The targets have class {last}, but the module has {outputs.shape[axis]} outputs; classes "
                        f"must be 0 to {outputs.shape[axis] - 1}."
                    )
                if last >= outputs.shape[axis] or int(targets.max()) < 0:
                    return Targets()
                kind = Classes(axis, _sum_to_one(outputs, axis))
                return replace(kind, are_shifted=_are_shifted(kind, module, rows, outputs))
    if targets.numel() == outputs.numel():
        are_binary = set(targets.unique().tolist()) <= {0, 1}
        if asked and are_binary:
            raise SpecError(
                "The targets are 0 and 1 and the module has one output for each, of which it is not said whether it is "
                "a logit or a probability; pass a function of outputs and targets as `metric`, and `larger_is_better`."
            )
        # Of images (n, c, h, w) targets are the channels; of series (n, t, c), as of (n, c), what stands last.
        axis = 2 if outputs.ndim == 3 else 1
        if are_binary:
            return Targets()
        true, predicted = (_along(values.reshape(outputs.shape).double(), axis) for values in (targets, outputs))
        return Amounts(axis, spread(true, otherwise=root_mean_squares(predicted - true)))
    if asked:
        raise DataError(
            f"The targets have the shape {tuple(targets.shape)} and the outputs {tuple(outputs.shape)}; give class "
            "numbers, or as many numbers as outputs, or pass a function of both as `metric`, and `larger_is_better`."
        )
    return Targets()


def _sum_to_one(outputs: Any, axis: int) -> bool:
    return bool((outputs >= 0).all()) and float((outputs.double().sum(axis) - 1).abs().max()) < 1e-3


def _are_shifted(kind: Classes, module: Any, rows: Rows, outputs: Any) -> bool:
    """Whether a loss that the module itself says of labels is another than that of the outputs they stand beside."""
    if outputs.ndim == 2 or not _has_loss(module, rows):
        return False
    start, batch = next((at * BATCH, one) for at, one in enumerate(rows.batches()) if bool((one.targets >= 0).any()))
    beside = LOG_LOSS(*kind.arrays(outputs[start : start + len(batch)], batch.targets))
    return not np.isclose(_loss_of(module, batch), beside, rtol=0.01)


def _along(values: Any, axis: int) -> np.ndarray:
    """A column for each place of an axis, a row for each of all others."""
    values = values if values.ndim > 1 else values[:, None]
    return np.asarray(values.movedim(axis, -1).reshape(-1, values.shape[axis]))
