"""Every layer of a source measured, by the units that its parameters hold, and what of it was not."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from nucleate._wording import count, listed, name_parameter
from nucleate.activations import Activation
from nucleate.devices import single_blas_thread, spread
from nucleate.errors import ArchitectureError
from nucleate.inspection.inspection import LEFT_OUT, SCHEMA, Inspection, Place
from nucleate.inspection.measuring import (
    Map,
    Picture,
    Value,
    distance,
    effective_neurons_of,
    is_finite,
    picture_of,
    values_of_pairs,
    values_of_spectra,
    values_on_data,
)
from nucleate.inspection.spectra import Chance, lengths_of, row_sizes, spectra_of
from nucleate.inspection.units import Units, adds_beside, form_of, reader_of, says_activation, says_heads, units_of
from nucleate.observe.norms import norm, row_norms, scaled
from nucleate.sources.source import Form, Parameter, Source, Traced, shared_with

_LARGE = 2**18


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
        self.finite: set[str] = set()
        reasons: list[tuple[str, str]] = []
        for parameter in source.parameters:
            form = form_of(parameter, self.names)
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

        So of these the singular values are computed beside the rest, which is mostly Python's.
        """
        if max(math.prod(parameter.shape) for parameter in self.parameters) >= _LARGE:
            return spread(lambda parameter: self._measured([parameter])[0], self.parameters)
        return self._measured(self.parameters)

    def _measured(self, parameters: Sequence[Parameter]) -> list[list[tuple[Units, list[Value], Picture]]]:
        pieces = [
            list(self._units(parameter, self.forms[parameter.name], self.names, self.source.name))
            for parameter in parameters
        ]
        sizes = [[lengths_of(units.weights) for units in of] for of in pieces]
        rest: list[list[tuple[list[Value], Map, list[Value]]]] = []

        def measure_rest() -> None:
            rest.extend(
                list(self._beside_spectra(*of_parameter))
                for of_parameter in zip(parameters, pieces, sizes, strict=True)
            )

        spectra = iter(spectra_of(list(chain(*pieces)), list(chain(*sizes)), self.seed, self.chance, measure_rest))
        return [
            [
                (units, [*of_pairs, *values_of_spectra(of_units), *more], picture_of(shown, of_units))
                for units, (of_pairs, shown, more), of_units in zip(of_pieces, of_rest, spectra, strict=False)
            ]
            for of_pieces, of_rest in zip(pieces, rest, strict=True)
        ]

    def _beside_spectra(
        self, parameter: Parameter, pieces: Sequence[Units], sizes: Sequence[Float[np.ndarray, " m"]]
    ) -> Iterator[tuple[list[Value], Map, list[Value]]]:
        """Of each piece of a parameter the measures before and after those of its singular values."""
        starts: Iterable[Units | None] = [None] * len(pieces)
        if self.start is not None and parameter.name in self.start:
            form = self.forms[parameter.name]
            starts = self._units(self.start[parameter.name], form, self.start, "the reference")
        outgoing = self._outgoing(parameter)
        for units, of, before in zip(pieces, sizes, starts, strict=True):
            values = [Value("norm", norm(of)), Value("zero_units", float(np.count_nonzero(of == 0)))]
            if before is not None:
                both = units, before
                if (units.bias is None) != (before.bias is None):
                    both = replace(units, bias=None), replace(before, bias=None)
                values.append(Value("relative_distance", distance(*both, self.chance)))
            if outgoing is not None and units.head is None and len(outgoing) == len(units.weights):
                # Each of order one, whose product neither overflows nor is rounded to zero.
                (reads, size_in), (read, size_out) = scaled(row_sizes(units)), scaled(outgoing)
                amplitude = float(norm(reads * read) / len(read) ** 0.5)
                values.append(Value("amplitude", amplitude * float(size_in[0]) * float(size_out[0])))
            yield *values_of_pairs(units, of, self.seed, self.chance), values

    def _units(self, parameter: Parameter, form: Form, names: Mapping[str, Parameter], whose: str) -> Iterator[Units]:
        bias = names.get(parameter.bias_name or "")
        added = None if bias is None else self._read(bias, whose)
        array = self._read(parameter, whose)
        return units_of(parameter, form, self.source, array, added, self.parity, with_heads=self.with_heads)

    def _read(self, parameter: Parameter, whose: str) -> np.ndarray:
        array = parameter.read()
        # The reference stays as it is from one look to the next, and what reads units is read for itself too.
        known = self.finite if whose == self.source.name else self.chance.finite_in_reference
        if parameter.name not in known and not is_finite(array):
            bad = int(np.count_nonzero(~np.isfinite(array)))
            raise ArchitectureError(
                f"{parameter.name} of {whose} has {count(bad, 'number')} that {'is' if bad == 1 else 'are'} NaN or "
                "infinite, as diverged training leaves them; give weights that are finite, such as an earlier "
                "checkpoint's."
            )
        known.add(parameter.name)
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
        traced = self.chance.traced or Traced()
        readers = {layer: f"{reader}.weight" for layer, reader in traced.readers.items()}
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
            (name, _why_no_activity(layer, readers, traced.reasons))
            for layer, name in layers.items()
            if layer not in found
        ]
        measured = [layer for layer in found if layer in layers]
        random = self.chance.on_data(lambda: self._by_chance(inputs, readers))
        values = spread(lambda layer: list(values_on_data(found[layer], random.get(layer), self.seed)), measured)
        return {(layer, len(found[layer].leaving)): of for layer, of in zip(measured, values, strict=True)}

    def _by_chance(self, inputs: Any, readers: Mapping[str, str]) -> Mapping[str, float]:
        """The effective neurons of the layers if the matrices are random."""
        assert self.source.activity is not None
        activity = self.source.activity(inputs, dict(self._random()), readers)
        neurons = spread(lambda one: effective_neurons_of(one, self.seed), list(activity.values()))
        return dict(zip(activity, neurons, strict=True))

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
