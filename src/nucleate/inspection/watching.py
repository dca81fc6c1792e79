"""`watch`: a model looked at while it trains, without a change to its training."""

import logging
import math
import sys
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from nucleate._arrays import is_whole
from nucleate._files import make_folder
from nucleate._wording import count, name_parameter, shown
from nucleate.activations import Activation
from nucleate.doctor import Evidence
from nucleate.doctor.diagnosis import judge
from nucleate.errors import ArchitectureError, NucleateError, SpecError
from nucleate.inspection.checkpoints import UNREADABLE, Checkpoints, inspections_in, packed, rows_at, unpacked
from nucleate.inspection.events import Event, by_layer, events_between
from nucleate.inspection.inspecting import check_seed, known_activation
from nucleate.inspection.inspection import SHOWN, Inspection
from nucleate.inspection.loop import SETTLED, Loop
from nucleate.inspection.of_source import inspect_source, refuse_unmeasurable
from nucleate.inspection.spectra import Chance
from nucleate.pytorch.exchange import is_module
from nucleate.sources.objects import open_model
from nucleate.sources.pytorch import is_flattened
from nucleate.sources.source import Source
from nucleate.sources.tensors import is_tensor

A_DECADE, WITH_HEADS, WITH_LOSS = 4, 1, 48
"""After how many steps in each tenfold number a record is made, one with single heads, and a loss kept, by default."""
LOG = logging.getLogger("nucleate.watch")
_ASIDE = "parts_without_gradient"


class Watch:
    """A model's record while it trains; `watch` makes one.

    Attributes
    ----------
    model : torch.nn.Module or Keras model
        The one that is watched.
    steps : int
        How many steps were taken.
    checkpoints : Checkpoints
        All records, as of the checkpoints of a run.
    losses : dict of int to float
        The loss of some of the steps, evenly spaced in the logarithm, by their number from 1 on. That of step s is of
        the weights before it.
    events : list of Event
    latest : Inspection
        The last record.
    """

    def __init__(
        self,
        model: Any,
        inputs: Any,
        every: int | None,
        *,
        out: str | Path | None,
        name: str,
        distances: bool,
        activation: str | Activation | None,
        seed: int,
    ) -> None:
        if isinstance(model, str | Path | Mapping):
            raise ArchitectureError(f"{shown(model)} does not train; watch the model that is trained.")
        if every is not None and (not is_whole(every) or every < 1):
            raise SpecError(
                f"{name_parameter('every')} is {shown(every)}; it must be a whole number of steps, 1 or more, or None."
            )
        check_seed(seed)
        if not isinstance(name, str) or not name:
            raise SpecError(f"{name_parameter('name')} is {shown(name)}; it must be a word that names begin with.")
        if out is not None and not isinstance(out, str | Path):
            raise SpecError(f"{name_parameter('out')} is {shown(out)}; it must be the path of a folder, or None.")
        self.model, self._inputs, self._every = _unwrapped(model), inputs, every
        self._dtype = _dtype_of(self.model)
        self._name, self._seed, self._activation = name, seed, known_activation(activation)
        self._out = None if out is None else Path(out)
        self.steps, self._next = 0, 0.0
        self._losses: dict[int, Any] = {}
        self.events: list[Event] = []
        self._said = ["fine"]
        self._steps: list[int] = []
        self._records: list[Inspection] = []
        self._start: dict[str, np.ndarray] = {}
        self._reference: Source | None = None
        self._chance = Chance()
        self._loop = Loop(self.model)
        self._run = ""
        self._ended = not _is_first_process()
        if self._ended:
            # Where the first process refuses the model, the others would wait for it.
            refuse_unmeasurable(open_model(self.model))
            return
        if self._out is not None:
            make_folder(self._out)
        if distances:
            source = open_model(self.model)
            self._start_from({parameter.name: np.array(parameter.read()) for parameter in source.parameters})
        self.latest = self._inspect()
        self._by_layer = by_layer(self.latest)
        self._loop.look(self.steps)
        self._keep()

    def step(self, loss: Any = None) -> dict[str, float]:
        """To be called after each step of the optimizer.

        Parameters
        ----------
        loss : number or scalar tensor, optional
            That of the step; a tensor is read when a record is made, and waited for at no other step. Of one that has
            its graph still, as behind ``backward``, `nucleate.diagnose` knows whether it pairs rows or squashes twice.

        Returns
        -------
        dict of str to float
            At a record the measures by names such as ``condensation/h.0.mlp.c_fc/effective_neurons``, for the host's
            own logging; at other steps nothing.
        """
        self.steps += 1
        # A comparison, since at most steps there is nothing to do.
        return {} if self.steps < self._next else self._look(loss)

    def _look(self, loss: Any) -> dict[str, float]:
        if self._ended:
            self._next = math.inf
            return {}
        self._next = min(next_record(self.steps, self._every), next_record(self.steps, None, WITH_LOSS))
        is_due = is_record(self.steps, self._every)
        if loss is not None and (is_due or is_record(self.steps, None, WITH_LOSS)):
            self._losses[self.steps] = _one_number(loss)
        return self._record(loss) if is_due else {}

    def record(self) -> dict[str, float]:
        """Make a record now, if the last step has none, such as at the end of a training.

        Returns
        -------
        dict of str to float
            As `step` returns them.
        """
        if self._ended or self._steps[-1] == self.steps:
            return self.metrics()
        return self._record()

    def _record(self, loss: Any = None) -> dict[str, float]:
        try:
            self.latest = self._inspect()
        except NucleateError as error:
            # Training goes on, whatever becomes of the model.
            self._ended = True
            self._tell(Event(self.steps, type(self.model).__name__, "model", "can no longer be measured", str(error)))
            if self._out is not None:
                self.checkpoints.save(self._out)
            return {}
        before, self._by_layer = self._by_layer, by_layer(self.latest)
        for event in (*events_between(self.steps, before, self._by_layer), *self._loop.look(self.steps, loss)):
            self._tell(event)
        self._keep()
        if self.steps >= SETTLED:
            self._tell_finding()
        return self.metrics()

    @property
    def is_due(self) -> bool:
        """Whether the next step makes a record."""
        return not self._ended and is_record(self.steps + 1, self._every)

    @property
    def losses(self) -> dict[int, float]:
        self._losses = {step: float(loss) for step, loss in self._losses.items()}
        return self._losses

    def note_loss(self, loss: Any) -> None:
        """The loss of the last step, where a host tells it later than the step.

        Parameters
        ----------
        loss : number or scalar tensor
        """
        if not self._ended:
            self._losses[self.steps] = _one_number(loss)

    def metrics(self) -> dict[str, float]:
        """The last record by names for a logger.

        Returns
        -------
        dict of str to float
        """
        if not self._records:
            return {}
        kinds = Counter(layer for layer, _ in self._by_layer)
        return {
            "/".join((self._name, layer, *([kind] if kinds[layer] > 1 else []), measure)): measures[measure][0]
            for (layer, kind), measures in self._by_layer.items()
            for measure in (*SHOWN, "constant_units")
            if measure in measures
        }

    @property
    def evidence(self) -> Evidence:
        """What the record gives `nucleate.diagnose`: the losses, and the layers at its beginning and its end.

        Shares are of the first loss, since no targets are known.

        Raises
        ------
        SpecError
            If there are fewer than two losses, or the first is none.
        """
        return self._loop.evidence(self.steps, self.losses, by_layer(self._records[0]), self._by_layer)

    @property
    def checkpoints(self) -> Checkpoints:
        """All records, as of the checkpoints of a run: a table, notes and maps, for ``nucleate.reporting``."""
        return self._since(0)

    def _since(self, record: int) -> Checkpoints:
        """The records from one on, with the losses and events since the one before it."""
        steps, records = self._steps[record:], self._records[record:]
        before = self._steps[record - 1] if record else -1
        return Checkpoints(
            type(self.model).__name__,
            pl.concat([rows_at(step, found) for step, found in zip(steps, records, strict=True)]),
            self.latest.left_out,
            self.latest.notes,
            tuple(steps),
            tuple(found.pictures for found in records),
            {step: loss for step, loss in self.losses.items() if step >= before},
            tuple(event for event in self.events if event.step > before),
            watched=True,
        )

    @property
    def table(self) -> pl.DataFrame:
        """`Inspection.table` of every record, with its step."""
        return self.checkpoints.table.drop("checkpoint")

    def state_dict(self) -> dict[str, Any]:
        """What goes into the host's checkpoint, so that a resumed training goes on with the same record.

        Returns
        -------
        dict
            Of plain values and arrays: the record as its folder has it, in text, and the weights of the start where
            distances from it are measured.
        """
        return {
            "steps": self.steps,
            "record": b64encode(packed(self.checkpoints)).decode() if self._records else None,
            "start": self._start_to_keep(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the record of a `state_dict`.

        Parameters
        ----------
        state : dict

        Raises
        ------
        SpecError
            If it is none of this model's.
        """
        try:
            steps, kept = int(state["steps"]), state["record"]
            found = None if kept is None else unpacked(b64decode(kept))[0]
            start = {str(name): np.asarray(array) for name, array in state["start"].items()}
        except (AttributeError, *UNREADABLE):
            raise SpecError("This is no state of a watch; give what its state_dict returned.") from None
        # A state without a start, as in JSON, goes on without distances.
        shapes = [{name: array.shape for name, array in of.items()} for of in (start, self._start)]
        # One that ended, as by NaN, goes on from where it is set back to.
        ended = not _is_first_process()
        both = () if ended or found is None else (found, self.latest)
        # Not every record has single heads.
        units = [set(of.layers.select("layer", "kind", "units").rows()) for of in both]
        if (start and shapes[0] != shapes[1]) or units[:1] != units[1:]:
            raise SpecError("This state is of a watch of another model; watch the model that it was made with.")
        self._ended, self.steps, self._next = ended, steps, 0.0
        self._loop = Loop(self.model)
        self._start_from(start)
        if found is not None:
            self._losses, self.events = dict(found.losses), list(found.events)
        if found is not None and not ended:
            self._steps, self._records = list(found.steps), inspections_in(found)
            self.latest = self._records[-1]
            self._by_layer = by_layer(self.latest)
            if self._out is not None:
                self._run = self.checkpoints.save(self._out)

    def _start_from(self, start: dict[str, np.ndarray]) -> None:
        """Measure distances from these weights; without any, none."""
        self._start, self._chance = start, Chance()
        self._reference = open_model(start) if start else None

    def _start_to_keep(self) -> dict[str, Any]:
        """Tensors for a module, since `torch.load` takes no arrays as it is set by default."""
        if not is_module(self.model):
            return dict(self._start)
        import torch

        return {name: torch.from_numpy(array) for name, array in self._start.items()}

    def __repr__(self) -> str:
        records, events = count(len(self._records), "record"), count(len(self.events), "event")
        return f"Watch({type(self.model).__name__}, {self.steps:,} steps, {records}, {events})"

    def _inspect(self) -> Inspection:
        with ExitStack() as stack:
            if is_module(self.model):
                import torch

                for device in ("cpu", "cuda"):
                    # A record within the autocast of a step would be of other numbers than one outside of it.
                    stack.enter_context(torch.autocast(device, enabled=False))
            with_heads = self._every is not None or not self.steps or is_record(self.steps, None, WITH_HEADS)
            return inspect_source(
                open_model(self.model),
                self._inputs_now(),
                self._reference,
                self._activation,
                self._seed,
                chance=self._chance,
                with_heads=with_heads,
            )

    def _inputs_now(self) -> Any:
        """The batch in the model's dtype, if that has been converted since the start."""
        now = _dtype_of(self.model)
        if now is None or now == self._dtype:
            return self._inputs

        def converted(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {name: converted(one) for name, one in value.items()}
            if isinstance(value, (tuple, list)):
                parts = map(converted, value)
                return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
            return value.to(now) if is_tensor(value) and value.dtype == self._dtype else value

        return converted(self._inputs)

    def _keep(self) -> None:
        self._steps.append(self.steps)
        self._records.append(self.latest)
        if self._out is not None and self._run:
            # In a file of its own, so that a record costs the same however many there are.
            self._since(len(self._steps) - 1).add_to(self._out, self._run)
        elif self._out is not None:
            self._run = self.checkpoints.save(self._out)

    def _tell_finding(self) -> None:
        """Log what the record says so far, when it says something new: the first verdict, and parts without a gradient.

        These may be meant, so that the first verdict is that of what is said beside them.
        """
        if self._loop.may_gather(self.steps):
            return
        try:
            findings = judge(self.evidence)
        except SpecError:
            return
        others = [one for one in findings if one.verdict != _ASIDE]
        told = [one for one in findings if one.verdict == _ASIDE or one in others[:1]]
        verdicts = [one.verdict for one in told]
        if verdicts != self._said:
            numbers = (", ".join(f"{name} {value}" for name, value in one.evidence.items()) for one in told)
            found = "; ".join(f"{verdict} ({of})" for verdict, of in zip(verdicts, numbers, strict=True))
            LOG.info("step %s: diagnosis: %s", f"{self.steps:,}", found)
        self._said = verdicts

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        LOG.info("%s", event)


def watch(
    model: Any,
    inputs: Any = None,
    *,
    every: int | None = None,
    out: str | Path | None = None,
    name: str = "condensation",
    distances: bool = True,
    activation: str | Activation | None = None,
    seed: int = 0,
) -> Watch:
    """Watch a model while it trains: what condenses, splits, collapses or dies, layer by layer.

    Nothing about the training changes: there are no hooks in its steps, no wrapping, and random numbers, modes,
    buffers, gradients and attributes that a forward pass sets are left as they are found. A record is made before the
    first step and then evenly in the logarithm of the step, as condensation happens. Among several processes the first
    alone records. What happens to a layer, and from step 100 on what `nucleate.diagnose` finds in the record, goes to
    the logger ``nucleate.watch`` at level INFO.

    Parameters
    ----------
    model : torch.nn.Module or Keras model
        The one that is trained; compiled or wrapped for several processes too.
    inputs : tensor or dict, optional
        A fixed batch, as the model takes it: then what the units do on it is measured too.
    every : int, optional
        Make a record every so many steps instead.
    out : path, optional
        A folder for the record so far, of which ``nucleate report FOLDER`` makes the page.
    name : str
        What the names of metrics begin with.
    distances : bool
        Keep a copy of the weights at the start, and measure how far they have moved.
    activation : str or Activation, optional
    seed : int
        Both as of `nucleate.inspect`.

    Returns
    -------
    Watch

    Raises
    ------
    NucleateError
        For a model that `nucleate.inspect` refuses, inputs that it does not take, or a folder that cannot be written.

    Examples
    --------
    >>> watch_it = watch(model, inputs=x[:256])  # doctest: +SKIP
    >>> for x, y in loader:  # doctest: +SKIP
    ...     loss = train_step(x, y)
    ...     logger.log(watch_it.step(loss))
    """
    return Watch(model, inputs, every, out=out, name=name, distances=distances, activation=activation, seed=seed)


def _one_number(loss: Any) -> Any:
    """A loss to be read later: a tensor as a copy, since a compiled step may write over it."""
    try:
        if is_tensor(loss) and loss.numel() == 1:
            return loss.detach().clone()
        return float(loss)
    except (TypeError, ValueError, RuntimeError):
        raise SpecError(f"The loss of the step is {shown(loss)}; give one number or a tensor of one.") from None


def is_record(step: int, every: int | None, a_decade: int = A_DECADE) -> bool:
    """Whether a record is made after a step: at multiples, or evenly in the logarithm.

    >>> [step for step in range(1, 40) if is_record(step, None)]
    [1, 2, 4, 6, 10, 18, 32]
    """
    if every is not None:
        return step % every == 0
    return math.floor(a_decade * math.log10(step)) > math.floor(a_decade * math.log10(step - 1)) if step > 1 else True


def next_record(step: int, every: int | None, a_decade: int = A_DECADE) -> int:
    """The first step after one at which a record is made.

    >>> [next_record(step, None) for step in (0, 1, 2, 3, 31, 32)], next_record(10, 4)
    ([1, 2, 4, 4, 32, 57], 12)
    """
    if every is not None:
        return step + every - step % every
    # Just below where the logarithm says, since it is rounded.
    below = int(10 ** ((math.floor(a_decade * math.log10(step)) + 1) / a_decade)) - 1 if step else 1
    found = max(step + 1, below)
    while not is_record(found, None, a_decade):
        found += 1
    return found


def _dtype_of(model: Any) -> Any:
    """The dtype of a module's first floating-point parameter; of another model None."""
    own = model.parameters() if is_module(model) else ()
    return next((one.dtype for one in own if one.is_floating_point()), None)


def _unwrapped(model: Any) -> Any:
    """The module itself: a forward pass of what distributes it would wait for the other processes.

    A module of one's own that holds another one as its ``module`` may do more than that one, so it stays.
    """
    while is_module(model) and len(list(model.children())) == 1 and not is_flattened(model):
        distributes = type(model).__module__.partition(".")[0] in _DISTRIBUTING
        names = ("_orig_mod", "module") if distributes else ("_orig_mod",)
        within = next((getattr(model, name) for name in names if hasattr(model, name)), None)
        if not is_module(within):
            break
        model = within
    return model


_DISTRIBUTING = ("torch", "deepspeed", "lightning", "pytorch_lightning", "fairscale", "apex", "megatron", "colossalai")
"""The packages whose wrappers give their inputs to the module that they hold, as it is."""


def _is_first_process() -> bool:
    torch = sys.modules.get("torch")
    if torch is None:
        return True
    distributed = torch.distributed
    return not (distributed.is_available() and distributed.is_initialized() and distributed.get_rank())
