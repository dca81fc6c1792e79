"""`inspect`: the measures of every layer of any model, and what of it was not measured."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from jaxtyping import Float

from nucleate._arrays import is_whole
from nucleate._wording import aligned, card, count, listed, name_parameter, plain, shown
from nucleate.activations import Activation, get_activation
from nucleate.devices import single_blas_thread, spread
from nucleate.errors import ArchitectureError, SpecError
from nucleate.inspection.files import find_checkpoints
from nucleate.inspection.measuring import (
    Chance,
    Picture,
    Value,
    distance,
    effective_neurons_of,
    is_finite,
    lengths_of,
    measure_units,
    row_sizes,
    spectra,
    values_on_data,
)
from nucleate.inspection.objects import open_model
from nucleate.inspection.sources import Form, Parameter, Source, Traced, shared_with
from nucleate.inspection.units import Units, adds_beside, form_of, reader_of, says_activation, says_heads, units_of
from nucleate.observe.norms import norm, row_norms

if TYPE_CHECKING:
    from nucleate.inspection.checkpoints import Checkpoints

SCHEMA = {
    "layer": pl.String,
    "kind": pl.String,
    "units": pl.Int64,
    "measure": pl.String,
    "value": pl.Float64,
    "null": pl.Float64,
    "error": pl.Float64,
    "head": pl.Int64,
}
LEFT_OUT = {"parameter": pl.String, "reason": pl.String}
_SHOWN = (
    "directions",
    "condensed_pairs",
    "effective_neurons",
    "stable_rank",
    "effective_rank",
    "norm",
    "relative_distance",
)
_MOST_LINES, _LARGE = 24, 2**18
Place = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Inspection:
    """What `inspect` found in a model.

    Parameters
    ----------
    name : str
        Of the model, or of its file.
    table : polars DataFrame
        A row a layer and measure, with the columns ``layer``, ``kind`` (what its units are), ``units`` (how many),
        ``measure``, ``value``, ``null`` (what a random matrix of the same shape and row norms gives), ``error`` (the
        standard error of a value that a sample of 2,000 units estimates) and ``head`` (of a single head its number).
    left_out : polars DataFrame
        ``parameter`` and ``reason``: everything that was not measured.
    notes : tuple of str
        What was decided where the model does not say it.
    pictures : mapping of (str, str) to Picture
        Of each layer and kind the cosines between up to 48 evenly spaced units, biases included, how long these are,
        and the largest singular values.
    """

    name: str
    table: pl.DataFrame
    left_out: pl.DataFrame
    notes: tuple[str, ...] = ()
    pictures: Mapping[Place, Picture] = field(default_factory=dict, repr=False)

    @property
    def layers(self) -> pl.DataFrame:
        """A row a layer, without single heads: its measures, and beside some what is random."""
        return layers_in(self.table)

    @property
    def heads(self) -> int:
        """How many single heads of attention are in the table, those of queries, keys, values and outputs each."""
        return heads_in(self.table)

    def __repr__(self) -> str:
        return "\n".join([f"Inspection of {plain(self.name)}: {self._said}", *first_lines(self.layers)])

    @property
    def _said(self) -> str:
        heads = f", {count(self.heads, 'single head')}" if self.heads else ""
        return f"{count(len(self.layers), 'layer')}{heads}, {count(len(self.left_out), 'parameter')} left out"

    def _repr_html_(self) -> str:
        layers = self.layers.head(_MOST_LINES)
        rows = {
            f"{row['layer']} ({row['kind']})": ", ".join(
                said for measure in _SHOWN if measure in row and (said := _beside(measure, row))
            )
            for row in layers.iter_rows(named=True)
        }
        return card(f"Inspection of {self.name}", {"in all": self._said, **rows})

    def plot(self) -> Any:
        """The cosines between the units of up to 12 layers, and for every layer two measures beside what is random.

        Returns
        -------
        matplotlib Figure
        """
        from nucleate.inspection.drawing import draw

        return draw(self)


def heads_in(table: pl.DataFrame) -> int:
    """How many single heads of attention an inspection's table has."""
    return table.filter(pl.col("head").is_not_null()).select("layer", "kind", "head").n_unique()


def layers_in(table: pl.DataFrame) -> pl.DataFrame:
    """A row a layer of an inspection's table, without single heads."""
    whole = table.filter(pl.col("head").is_null())
    order = whole.select("layer", "kind", "units").unique(maintain_order=True)
    for measure in _SHOWN:
        rows = whole.filter(pl.col("measure") == measure)
        if rows.is_empty():
            continue
        named = rows.select("layer", "kind", pl.col("value").alias(measure), pl.col("null").alias(f"{measure}_null"))
        order = order.join(named, on=["layer", "kind"], how="left", maintain_order="left")
    return order.select(column for column in order if column.null_count() < len(order))


def inspect(
    model: Any,
    inputs: Any = None,
    *,
    reference: Any = None,
    activation: str | Activation | None = None,
    seed: int = 0,
) -> "Inspection | Checkpoints":
    """Measure every layer of any model: how condensed it is, beyond what chance makes of its shape.

    Nothing of the model is changed, and nothing is left out in silence: what was not measured stands in ``left_out``.

    Parameters
    ----------
    model : model, path or mapping
        A PyTorch module, a `Network`, a scikit-learn MLP, a Keras model, a dict of arrays or a state dict, a JAX
        pytree; or the path of a ``.safetensors``, ``.npz`` or ``torch.save`` file or of a Hugging Face folder. A
        pattern such as ``"checkpoints/*.safetensors"`` names the checkpoints of a run.
    inputs : array, tensor or dict, optional
        A batch as the model takes it: then what the units do on it is measured too.
    reference : model, path or mapping, optional
        Such as the model at its start: then the relative distance from it is measured too.
    activation : str or Activation, optional
        That of layers of which the model does not say it. It decides whether opposite vectors are one direction (odd
        and even activations) or two; where it is not known they are two.
    seed : int
        Of what is drawn at random: matrices to compare with, and samples of layers with more than 2,000 units.

    Returns
    -------
    Inspection, or of several checkpoints Checkpoints

    Raises
    ------
    NucleateError
        If the model cannot be read, has no layer that can be measured, has weights that are NaN or infinite, or does
        not take the inputs, and if the reference has other shapes.

    Examples
    --------
    >>> found = inspect({"w": np.outer([1.0, 3.0, 2.0], np.arange(20))})
    >>> found.table.filter(measure="directions").select("layer", "kind", "units", "value", "null").row(0)
    ('w', 'linear', 3, 1.0, 3.0)
    >>> found
    Inspection of arrays: 1 layer, 0 parameters left out
    layer  kind    units  directions  condensed pairs  stable rank  effective rank  norm
    w      linear      3       1 (3)  100.00% (0.00%)    1.0 (1.5)       1.0 (2.7)   186
    """
    if not is_whole(seed) or seed < 0:
        raise SpecError(f"{name_parameter('seed')} is {shown(seed)}; it must be a whole number, 0 or more.")
    known = known_activation(activation)
    start = None if reference is None else open_model(reference)
    if isinstance(model, (str, Path)) and len(found := find_checkpoints(model)) > 1:
        from nucleate.inspection.checkpoints import inspect_checkpoints

        if inputs is not None:
            raise ArchitectureError(f"{model} names checkpoints, which have no forward pass; leave the inputs out.")
        return inspect_checkpoints(str(model), found, start, known, int(seed))
    return inspect_source(open_model(model), inputs, start, known, int(seed))


def known_activation(activation: Any) -> Activation | None:
    """The activation by its name or itself, of layers of which the model does not say it."""
    known = get_activation(activation) if isinstance(activation, str) else activation
    if known is not None and not isinstance(known, Activation):
        raise SpecError(
            f"{name_parameter('activation')} is {shown(known)}; give a name such as 'tanh', or an Activation."
        )
    return known


def inspect_source(
    source: Source,
    inputs: Any = None,
    start: Source | None = None,
    activation: Activation | None = None,
    seed: int = 0,
    *,
    chance: Chance | None = None,
    with_heads: bool = True,
) -> Inspection:
    """`inspect` of what is open already; for the many looks at a model that trains, with what chance gave before."""
    chance = chance or Chance()
    if inputs is not None:
        source = _traced(source, chance)
    work = _Work(source, start, activation, seed, chance, with_heads)
    with single_blas_thread():
        found = work.measure_all()
        whole = {(of.layer, len(of.weights)) for pieces in found for of, *_ in pieces if of.head is None}
        doing = work.on_data(inputs, whole) if inputs is not None else {}
    rows, pictures = [], {}
    for of_parameter in found:
        for units, values, picture in of_parameter:
            if units.head is None:
                pictures[units.layer, units.kind] = picture
            more = doing.get((units.layer, len(units.weights)), []) if units.head is None else []
            rows += [
                (units.layer, units.kind, len(units.weights), *value[:3], value.error, units.head)
                for value in (*values, *more)
            ]
    table = pl.DataFrame(rows, SCHEMA, orient="row")
    return Inspection(
        source.name,
        table,
        pl.DataFrame(work.left_out, LEFT_OUT, orient="row"),
        (*what_is_unknown(source, activation, table), *source.notes()),
        pictures,
    )


def _traced(source: Source, chance: Chance) -> Source:
    """The source that knows what its forward pass says, which is followed once for many looks."""
    if chance.traced is None:
        chance.traced = Traced() if source.trace is None else source.trace()
    symmetric, known = chance.traced.symmetric, source.opposites_are_one

    def opposites_are_one(layer: str) -> bool | None:
        said = known(layer)
        return symmetric.get(layer) if said is None else said

    return replace(source, opposites_are_one=opposites_are_one)


def what_is_unknown(source: Source, activation: Activation | None, table: pl.DataFrame) -> Iterator[str]:
    """What a model does not say, where it made a difference to what was measured of it, at one step or at several."""
    whole: dict[Place, bool] = {}
    for layer, kind, measure, value, head in table.select("layer", "kind", "measure", "value", "head").iter_rows():
        if head is None:
            any_pair = measure == "condensed_pairs" and value > 0
            whole[layer, kind] = whole.get((layer, kind), False) or any_pair
    unsaid = [
        layer for (layer, kind), any_pair in whole.items() if any_pair and not says_activation(kind, layer, source)
    ]
    if unsaid and activation is None:
        yield (
            f"Opposite vectors count as two directions in {listed(dict.fromkeys(unsaid))}, whose activation is not "
            f"known; name it by {name_parameter('activation')}."
        )
    if any(adds_beside(layer) for layer, _ in whole):
        yield (
            "The weights of adapters (LoRA) and those beside them are measured each by itself, and not their sum; "
            "merge them to inspect what the model computes."
        )
    headless = [layer for layer, kind in whole if not says_heads(layer, kind, source)]
    if headless:
        yield (
            f"How many heads there are is not known in {listed(dict.fromkeys(headless))}, so they are measured as "
            "a whole; inspect the model's folder with its config.json, or the module."
        )


def refuse_unmeasurable(source: Source) -> None:
    """Raise what `inspect_source` raises of a source without a layer that can be measured, and measure nothing."""
    _Work(source, None, None, 0, Chance(), with_heads=False)


class _Work:
    """What is to be measured of a source."""

    def __init__(
        self,
        source: Source,
        start: Source | None,
        activation: Activation | None,
        seed: int,
        chance: Chance,
        with_heads: bool,
    ) -> None:
        self.source, self.seed, self.chance, self.with_heads = source, seed, chance, with_heads
        self.left_out = list(source.left_out)
        self.names = source.names()
        self.start = None if start is None else _as_reference(start, source)
        self.parity = None if activation is None else activation.parity != "none"
        self.forms: dict[str, Form] = {}
        reasons: list[tuple[str, str]] = []
        for parameter in source.parameters:
            form = form_of(parameter, source, self.names)
            if isinstance(form, Form):
                self.forms[parameter.name] = form
            else:
                reasons.append((parameter.name, form))
        self.parameters = [self.names[name] for name in self.forms]
        biases = {parameter.bias_name for parameter in self.parameters}
        self.left_out += [(name, reason) for name, reason in reasons if name not in biases]
        if not self.parameters:
            raise ArchitectureError(
                f"There is no layer that can be measured in {source.name}{_why(self.left_out)}; give a model with "
                "matrices of weights, such as linear layers."
            )
        self._compare_shapes(start)

    def _compare_shapes(self, start: Source | None) -> None:
        if start is None or self.start is None:
            return
        there = [parameter for parameter in self.parameters if parameter.name in self.start]
        if not there:
            raise ArchitectureError(
                f"The reference {start.name} has none of the weights of {self.source.name} "
                f"({listed(one.name for one in self.parameters)}); give a model of the same architecture."
            )
        for parameter in there:
            shape = self.start[parameter.name].shape
            if shape != parameter.shape:
                raise ArchitectureError(
                    f"{parameter.name} has shape {parameter.shape} in {self.source.name} and {shape} in the reference "
                    f"{start.name}; give models of the same architecture."
                )
        read = [*self.parameters, *(self.names[one.bias_name] for one in there if one.bias_name in self.names)]
        missing = [parameter.name for parameter in read if parameter.name not in self.start]
        self.left_out += [(name, "no relative distance: the reference lacks it") for name in missing]
        alone = [one.bias_name for one in there if one.bias_name in self.start and one.bias_name not in self.names]
        self.left_out += [(str(name), "no relative distance: the reference alone has it") for name in alone]

    def measure_all(self) -> list[list[tuple[Units, list[Value], Picture]]]:
        """Every parameter, on a thread a core where matrices are large; small ones would wait for Python's lock.

        So of these what takes longest is computed together.
        """
        if max(math.prod(parameter.shape) for parameter in self.parameters) >= _LARGE:
            return spread(self.measure, self.parameters)
        pieces = [list(self._pieces(parameter)) for parameter in self.parameters]
        known = iter(spectra([units.weights for of in pieces for units in of]))
        return [
            self.measure(parameter, [(units, next(known)) for units in of])
            for parameter, of in zip(self.parameters, pieces, strict=True)
        ]

    def _pieces(self, parameter: Parameter) -> Iterator[Units]:
        return self._units(parameter, self.forms[parameter.name], self.names, self.source.name)

    def measure(
        self, parameter: Parameter, pieces: Sequence[tuple[Units, np.ndarray | None]] | None = None
    ) -> list[tuple[Units, list[Value], Picture]]:
        """The pieces of a parameter, with their singular values where they are known already."""
        form, starts = self.forms[parameter.name], None
        if self.start is not None and parameter.name in self.start:
            starts = self._units(self.start[parameter.name], form, self.start, "the reference")
        outgoing = self._outgoing(parameter)
        found = []
        for units, singular in pieces or ((units, None) for units in self._pieces(parameter)):
            before = None if starts is None else next(starts)
            values, picture = measure_units(units, self.seed, self.chance, singular)
            if before is not None:
                both = units, before
                if (units.bias is None) != (before.bias is None):
                    both = replace(units, bias=None), replace(before, bias=None)
                values.append(Value("relative_distance", distance(*both, self.chance)))
            if outgoing is not None and units.head is None and len(outgoing) == len(units.weights):
                sizes = row_sizes(units) * outgoing
                values.append(Value("amplitude", norm(sizes) / len(sizes) ** 0.5))
            found.append((units, values, picture))
        return found

    def _units(self, parameter: Parameter, form: Form, names: Mapping[str, Parameter], whose: str) -> Iterator[Units]:
        bias = names.get(parameter.bias_name or "")
        added = None if bias is None else self._read(bias, whose)
        array = self._read(parameter, whose)
        return units_of(parameter, form, self.source, array, added, self.parity, with_heads=self.with_heads)

    def _read(self, parameter: Parameter, whose: str) -> np.ndarray:
        array = parameter.read()
        if not is_finite(array):
            bad = int(np.count_nonzero(~np.isfinite(array)))
            raise ArchitectureError(
                f"{parameter.name} of {whose} has {count(bad, 'number')} that {'is' if bad == 1 else 'are'} NaN or "
                "infinite, as diverged training leaves them; give weights that are finite, such as an earlier "
                "checkpoint's."
            )
        return array

    def _outgoing(self, parameter: Parameter) -> Float[np.ndarray, " m"] | None:
        """How strongly each unit is read."""
        reader = reader_of(parameter.layer, self.source, self.names)
        if reader is None or (form := self.forms.get(reader.name)) is None or form.columns is None:
            return None
        return lengths_of(form.columns(self._read(reader, self.source.name)))

    def on_data(self, inputs: Any, whole: set[tuple[str, int]]) -> Mapping[tuple[str, int], list[Value]]:
        """The measures of what the units of layers do on a batch, by layer and how many they are."""
        if self.source.activity is None:
            raise ArchitectureError(
                f"{self.source.name} holds weights and no forward pass that can be looked into, so inputs tell nothing "
                "of it; give a PyTorch module, a model of this package or an MLP of scikit-learn, or no inputs."
            )
        read_by = {one.layer: reader_of(one.layer, self.source, self.names) for one in self.parameters}
        traced, reasons, _ = self.chance.traced or Traced()
        readers = {layer: f"{reader}.weight" for layer, reader in traced.items()}
        readers |= {layer: reader.name for layer, reader in read_by.items() if reader is not None}
        layers = {parameter.layer: parameter.name for parameter in self.parameters}
        # Where a reader takes the positions of a unit apart, as after flattening, none of its slices reads a unit.
        entering = self.source.activity(inputs, {}, readers)
        found = {layer: of for layer, of in entering.items() if (layer, len(of.leaving)) in whole}
        for layer, activity in found.items():
            if not (np.isfinite(activity.leaving).all() and np.isfinite(activity.outgoing).all()):
                raise ArchitectureError(
                    f"On these inputs the units of {layer} in {self.source.name} give NaN or infinite numbers; give "
                    "inputs as the model was trained on."
                )
        self.left_out += [
            (name, _why_no_activity(layer, readers, reasons)) for layer, name in layers.items() if layer not in found
        ]
        measured = [layer for layer in found if layer in layers]
        random = self.chance.on_data(lambda: self._by_chance(inputs, readers))
        values = spread(lambda layer: list(values_on_data(found[layer], random.get(layer), self.seed)), measured)
        return {(layer, len(found[layer].leaving)): of for layer, of in zip(measured, values, strict=True)}

    def _by_chance(self, inputs: Any, readers: Mapping[str, str]) -> Mapping[str, float]:
        """The effective neurons of the layers if the matrices are random."""
        assert self.source.activity is not None
        activity = self.source.activity(inputs, dict(self._random()), readers)
        return dict(
            zip(
                activity, spread(lambda one: effective_neurons_of(one, self.seed), list(activity.values())), strict=True
            )
        )

    def _random(self) -> Iterator[tuple[str, np.ndarray]]:
        """For each matrix a random one with the same row norms."""
        rng = np.random.default_rng(self.seed)
        for parameter in self.parameters:
            form, array = self.forms[parameter.name], parameter.read()
            drawn = rng.standard_normal(parameter.shape, np.float64 if array.dtype == np.float64 else np.float32)
            rows, now = form.rows(drawn), form.rows(array)
            if np.shares_memory(rows, drawn):
                sizes = row_norms(np.asarray(rows, np.float64))
                wanted = row_norms(np.asarray(now, np.float64))
                rows *= np.divide(wanted, sizes, out=np.zeros_like(sizes), where=sizes > 0)[:, None]
                yield parameter.name, drawn


def _as_reference(start: Source, source: Source) -> dict[str, Parameter]:
    """What a reference has under the names of a model: what the model would make of its parts, and what it shares."""
    names = start.names() | {parameter.name: parameter for parameter in source.remake(start.parts)}
    shared = {shared_with(name): parameter for name, parameter in names.items()}
    same = {name: replace(shared[why], name=name) for name, why in start.left_out if why in shared}
    return same | names


def _why_no_activity(layer: str, readers: Mapping[str, str], reasons: Mapping[str, str]) -> str:
    if layer in readers:
        reader = f"{readers[layer].removesuffix('.weight')}, which reads its units,"
        return f"no effective neurons: {reader} is not given several rows of them one by one on these inputs"
    return reasons.get(layer, "no effective neurons: which layer alone reads its units is not known")


def _why(left_out: Sequence[tuple[str, str]]) -> str:
    if not left_out:
        return ""
    return f" ({'; '.join(f'{name}: {reason}' for name, reason in left_out[:2])}{'; ...' if left_out[2:] else ''})"


_BESIDE = {"directions": "{:.0f}", "condensed_pairs": "{:.2%}", "norm": "{:.3g}", "relative_distance": "{:.3g}"}


def _beside(measure: str, row: Mapping[str, Any]) -> str:
    """A measure with what is random in brackets."""
    value, null, said = row[measure], row.get(f"{measure}_null"), _BESIDE.get(measure, "{:.1f}")
    if value is None:
        return ""
    return said.format(value) + ("" if null is None else f" ({said.format(null)})")


def first_lines(layers: pl.DataFrame) -> list[str]:
    """`as_lines` of the first 24 layers, and how many more there are."""
    more = len(layers) - _MOST_LINES
    return as_lines(layers.head(_MOST_LINES)) + ([f"... and {more} more; .layers has them all"] if more > 0 else [])


def as_lines(layers: pl.DataFrame) -> list[str]:
    """The table of `Inspection.layers` as text, with what is random in brackets.

    Parameters
    ----------
    layers : polars DataFrame

    Returns
    -------
    list of str
    """
    measures = [name for name in _SHOWN if name in layers.columns]
    cells = [["layer", "kind", "units", *(name.replace("_", " ") for name in measures)]]
    for row in layers.iter_rows(named=True):
        cells.append([plain(row["layer"]), row["kind"], str(row["units"]), *(_beside(name, row) for name in measures)])
    return aligned(cells, 2)
