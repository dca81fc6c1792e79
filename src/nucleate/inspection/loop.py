"""What a loop does with the model that it trains, as far as it shows at the records of a watch."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nucleate.doctor import Evidence, LayerEvidence
from nucleate.doctor.evidence import parts_of
from nucleate.errors import SpecError
from nucleate.inspection.events import Event, Measured, constant_share, effective_neurons_in
from nucleate.observe.curve import ends_higher, smoothed
from nucleate.pytorch.exchange import import_torch, is_module, size_of
from nucleate.pytorch.of_loss import Making, making_of
from nucleate.sources.objects import open_model
from nucleate.sources.tensors import to_numpy, why_no_parameter
from nucleate.training import Status

ENTRIES = 64
"""Of each parameter about so many entries are kept to see whether it has moved."""
SETTLED = 100
"""From this step on it is told what is found."""
GATHERED = 1000
"""From this step on weights stand still that gradients reach; until then these may be gathered for a later step."""
_MANY_STEPS = 50
"""Over fewer gradients may be gathered on purpose, before a step of the optimizer, and parts not be used yet."""


@dataclass(frozen=True)
class _Added:
    """The gradients since a record from which on each step has only added to them."""

    since: int
    step: int
    written: Mapping[str, int]
    first: float
    largest: float


@dataclass(frozen=True)
class _Still:
    """The weights as they are since some step, by what tells whether they move, and whether gradients reach them."""

    since: int
    sums: Mapping[str, tuple[float, bytes]]
    gradients: bytes
    has_gradients: bool = False
    is_told: bool = False


class Loop:
    """What a loop has done with a model so far, looked at after some of its steps."""

    def __init__(self, model: Any) -> None:
        self._model, self._modes = model, Counter[bool]()
        self._still: _Still | None = None
        self._added: _Added | None = None
        self._bare: dict[str, int] = {}
        self._looked_at, self._making = 0, Making()

    def look(self, step: int, loss: Any = None) -> list[Event]:
        """Look at parameters, gradients, modes and the loss after a step; that no weight moves is told once."""
        self._making = self._making if loss is None else making_of(loss)
        own = dict(self._model.named_parameters()) if is_module(self._model) else {}
        found = {name: one.grad.detach() for name, one in own.items() if one.grad is not None}
        slopes = {name: one for name, one in found.items() if why_no_parameter(one) is None}
        sizes, sums = [size_of([one]) for one in slopes.values()], _sums_in(self._model)
        if step and is_module(self._model):
            self._modes[self._model.training] += 1
            self._note_gradients(step, {name: one._version for name, one in slopes.items()}, math.hypot(*sizes))
            # Where a loop has taken all gradients away, nothing new is known.
            bare = [name for name, one in own.items() if one.requires_grad and name not in found]
            self._note_bare(step, bare if found else list(self._bare), sums)
            self._looked_at = step if found else self._looked_at
        # As bytes, since NaN is no equal of itself.
        self._note_weights(step, sums, np.array(sizes).tobytes())
        return self._standing_still(step)

    def _note_bare(self, step: int, bare: Iterable[str], sums: Mapping[str, tuple[float, bytes]]) -> None:
        """Since when parameters have no gradient; one that has moved had some between two records."""
        then = {} if self._still is None else self._still.sums
        self._bare = {name: self._bare.get(name, step) for name in bare if sums.get(name) == then.get(name, ())}

    def _note_gradients(self, step: int, written: Mapping[str, int], size: float) -> None:
        """Whether steps set gradients to zero.

        PyTorch counts how often a tensor was written. One that zero_grad took away is new, and one that it set to zero
        was written twice in a step at least.
        """
        before, self._added = self._added, None
        if not size > 0:
            return
        self._added = _Added(step, step, written, size, size)
        if before is None or before.written.keys() != written.keys():
            return
        # An optimizer sets to zero what it is given, as of a module of which it trains one layer.
        if {written[name] - before.written[name] for name in written} == {step - before.step}:
            self._added = _Added(before.since, step, written, before.first, max(size, before.largest))

    def _note_weights(self, step: int, sums: Mapping[str, tuple[float, bytes]], gradients: bytes) -> None:
        """Whether any weight has moved, and where none has whether gradients come."""
        before = self._still
        if before is None or before.sums != sums:
            self._still = _Still(step, sums, gradients)
        else:
            # Those that stay as they are were left by a training that has ended.
            come = bool(gradients) and gradients != before.gradients
            self._still = replace(before, gradients=gradients, has_gradients=come)

    def _standing_still(self, step: int) -> list[Event]:
        """That no weight has moved for more than half of the steps, as where another model is trained."""
        still = self._still
        if still is None or still.is_told or step < SETTLED or 2 * still.since > step or self.may_gather(step):
            return []
        self._still = replace(still, is_told=True)
        are_all = is_module(self._model) and len(still.sums) == len(list(self._model.parameters()))
        what = "no weight" if are_all else "no weight that is measured"
        remedy = "watch the model that the optimizer trains, at each step it takes"
        said = f"{what} has moved since step {still.since:,}; {remedy}"
        return [Event(step, type(self._model).__name__, "model", "stands still", said)]

    def may_gather(self, step: int) -> bool:
        """Whether the weights stand still because gradients are gathered for a later step, as it may be until then."""
        return self._still is not None and self._still.has_gradients and step < GATHERED

    def evidence(self, steps: int, losses: Mapping[int, float], first: Measured, last: Measured) -> Evidence:
        """What `nucleate.diagnose` judges: losses of so many steps, and the layers at the first record and the last.

        Shares are of the first loss, since no targets are known.
        """
        known = sorted(losses)
        course = np.array([losses[step] for step in known])
        if len(known) < 2 or not np.isfinite(course[0]):
            raise SpecError("This watch has no losses to judge; give each step's, a finite one first: step(loss).")
        # The first is finite.
        end = int(np.argmin(np.isfinite(course))) or len(course)
        # Each is the loss of a batch.
        may_rise, course, start = ends_higher(course[:end]), smoothed(course[:end]), float(course[0])
        still = self._still_while(steps, losses)
        own = _parameters_of(self._model) if self._bare else {}
        bare = {
            name: since for name, since in self._bare.items() if name in own and self._looked_at - since >= _MANY_STEPS
        }
        added = None if self._added is None or self._added.step - self._added.since < _MANY_STEPS else self._added
        return Evidence(
            status=Status.FINISHED if end == len(known) else Status.NAN,
            # A watch is given its first loss with its first step.
            steps=np.array(known[:end]) - known[0],
            train_loss=course,
            validation_loss=course,
            constant_loss=start,
            constant_validation=start,
            linear_validation=math.nan,
            budget=steps,
            learning_rate=math.nan,
            layers=tuple(
                LayerEvidence(
                    layer,
                    int(now["units"][0]),
                    dead=constant_share(now),
                    dead_at_start=constant_share(first.get((layer, kind), now)),
                    effective=effective_neurons_in(now),
                    effective_at_start=effective_neurons_in(first.get((layer, kind), now)),
                )
                for (layer, kind), now in last.items()
            ),
            beside_constant="better",
            beside_linear="better",
            is_over=False,
            may_rise=may_rise,
            still_since=None if still is None else still.since,
            has_gradients=still is not None and still.has_gradients,
            without_gradient=sum(own[name].numel() for name in bare) / max(1, sum(one.numel() for one in own.values())),
            without_gradient_parts=parts_of(bare),
            without_gradient_since=max(bare.values(), default=0),
            squashed=self._making.squashed,
            paired=self._making.paired,
            added_steps=0 if added is None else added.step - added.since,
            added_up=0.0 if added is None else added.largest / added.first,
            in_eval=self._modes[False],
            records=self._modes.total(),
            eval_parts=_of_training_alone(self._model),
        )

    def _still_while(self, steps: int, losses: Mapping[int, float]) -> _Still | None:
        """How the weights stand still, where they do for most of the steps and it is not that all is learned."""
        still = self._still
        # Between two records weights may have moved.
        if still is None or 2 * still.since > steps or still.sums != _sums_in(self._model):
            return None
        since = {loss for step, loss in losses.items() if step > still.since}
        return still if still.since == 0 or len(since) > 1 else None


def _sums_in(model: Any) -> dict[str, tuple[float, bytes]]:
    """The sum and some entries of each parameter that can be read, of biases and prompts too.

    One at least is another once a parameter has moved.
    """
    arrays: Iterable[tuple[str, np.ndarray]]
    if is_module(model):
        arrays = ((name, to_numpy(one)) for name, one in _parameters_of(model).items())
    else:
        arrays = ((one.name, one.read()) for one in open_model(model).parameters)
    with np.errstate(invalid="ignore"):
        return {
            name: (float(array.sum(dtype=np.float64)), array.flat[:: 1 + array.size // ENTRIES].tobytes())
            for name, array in arrays
        }


def _parameters_of(module: Any) -> dict[str, Any]:
    """A module's parameters that can be read, complex ones as real numbers."""
    as_real = import_torch().view_as_real
    own = ((name, as_real(one.detach()) if one.is_complex() else one) for name, one in module.named_parameters())
    return {name: one for name, one in own if why_no_parameter(one) is None}


def _of_training_alone(model: Any) -> tuple[str, ...]:
    """The kinds of a module's parts that do something else in training."""
    named = [(type(part).__name__, part) for part in (model.modules() if is_module(model) else ())]
    # A share of zero drops nothing in training either, and frozen norms keep their statistics.
    of_training = (
        name
        for name, part in named
        if ("Dropout" in name and getattr(part, "p", 1) != 0) or ("BatchNorm" in name and "Frozen" not in name)
    )
    return tuple(dict.fromkeys(of_training))
