"""The rows that a PyTorch module is reduced on: a loader's or arrays, divided, and what a module makes of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import jax
import numpy as np
from jaxtyping import Int, Shaped

from nucleate._wording import count, say_error, shown
from nucleate.errors import ArchitectureError, DataError
from nucleate.problems.copies import copies_in
from nucleate.pytorch.exchange import import_torch
from nucleate.reduction.certificate import FEWEST_ROWS

MOST_ROWS = 20_000
"""Of a loader with more rows, so many are read."""
BATCH = 256
SHARES = (0.6, 0.2, 0.2)
"""Of calibration, validation and certification, where none of them is given."""


@dataclass(frozen=True, eq=False)
class Rows:
    """What a module is called with, and the targets, if any.

    The inputs are a tensor, a tuple of tensors, or a dict: one argument, several, or by name.
    """

    inputs: Any
    targets: Any
    groups: ClassVar[None] = None

    def __len__(self) -> int:
        return len(jax.tree.leaves(self.inputs)[0])

    @cached_property
    def copies(self) -> Int[np.ndarray, " n"] | None:
        """Which of the different rows each is, as of a `nucleate.problems.Split`; of groups nothing is known."""
        return copies_in(*self.columns)

    @property
    def columns(self) -> tuple[Shaped[np.ndarray, "n _"], ...]:
        """What the rows hold, inputs and targets."""
        return tuple(one.reshape(len(self), -1).numpy() for one in jax.tree.leaves((self.inputs, self.targets)))

    def take(self, rows: Any) -> "Rows":
        """Some of the rows."""
        return self._each(lambda value: value[rows])

    def spread(self, number: int) -> "Rows":
        """So many of the rows at most, evenly over all: rows may be in the order of their classes."""
        if len(self) <= number:
            return self
        return self.take(import_torch().linspace(0, len(self) - 1, number, dtype=import_torch().float64).long())

    def of(self, dtype: Any) -> "Rows":
        """With what is of floating point in this kind of numbers."""
        return self._each(lambda value: value.to(dtype) if value.is_floating_point() else value)

    def _each(self, function: Callable[[Any], Any]) -> "Rows":
        return Rows(_each(function, self.inputs), _each(function, self.targets))

    def batches(self) -> Iterator["Rows"]:
        """All rows, `BATCH` at once."""
        for start in range(0, len(self), BATCH):
            yield self.take(slice(start, start + BATCH))

    def call(self, module: Any, **further: Any) -> Any:
        """What a module returns for these rows."""
        if isinstance(self.inputs, dict):
            return module(**self.inputs, **further)
        if isinstance(self.inputs, tuple):
            return module(*self.inputs, **further)
        return module(self.inputs, **further)


@dataclass(frozen=True, eq=False)
class Parts:
    """The rows by what they are for, and whether those for certification were drawn here or given."""

    calibration: Rows
    validation: Rows
    certification: Rows
    dealt: Literal["drawn", "given"]
    notes: tuple[str, ...] = ()

    def of(self, dtype: Any) -> "Parts":
        """With inputs and targets of floating point in a module's own kind of numbers."""
        parts = {name: getattr(self, name).of(dtype) for name in ("calibration", "validation", "certification")}
        return replace(self, **parts)


def divide(data: Any, validation: Any, test: Any, seed: int) -> Parts:
    """Calibration, validation and certification; those that are not given are drawn at random from ``data``."""
    notes: list[str] = []
    rows = _read(data, "data", notes)
    given = [
        None if part is None else _read(part, name, notes)
        for part, name in ((validation, "validation"), (test, "test"))
    ]
    shares = [SHARES[0], *(share if part is None else 0 for share, part in zip(SHARES[1:], given, strict=True))]
    counts = [int(len(rows) * share / sum(shares)) for share in shares]
    order = np.random.default_rng(seed).permutation(len(rows))
    edges = np.cumsum([len(rows) - sum(counts[1:]), *counts[1:]])
    drawn = [rows.take(import_torch().as_tensor(np.sort(part))) for part in np.split(order, edges[:-1])]
    calibration, valid, certification = drawn[0], given[0] or drawn[1], given[1] or drawn[2]
    for part, name in ((calibration, "calibrate on"), (valid, "validate on")):
        if len(part) < 2:
            raise DataError(f"The data leave {count(len(part), 'row')} to {name}; give more rows.")
    if len(certification) < FEWEST_ROWS:
        raise DataError(
            f"There are {count(len(certification), 'row')} to certify the reduced module on, and {FEWEST_ROWS} are "
            f"needed; give {'`test` more rows' if test is not None else f'data of {5 * FEWEST_ROWS} rows or more'}."
        )
    return Parts(calibration, valid, certification, "drawn" if test is None else "given", tuple(notes))


def output_of(returned: Any) -> Any:
    """The tensor in what a module returns: its logits, or the first one of floating point."""
    torch = import_torch()
    if isinstance(returned, torch.Tensor):
        return returned
    if isinstance(returned, Mapping):
        named = dict(returned)
        values = [named["logits"]] if "logits" in named else [value for key, value in named.items() if key != "loss"]
    else:
        values = list(returned) if isinstance(returned, (tuple, list)) else []
    for value in values:
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            return value
    raise ArchitectureError(
        f"The module returns a {type(returned).__name__} in which there is no tensor of real numbers, so nothing says "
        "whether a smaller one does the same; wrap it in a module that returns one."
    )


def tensors_of(returned: Any) -> Iterator[Any]:
    """All tensors of what a module returns, but for what a transformer keeps for its next call."""
    if isinstance(returned, import_torch().Tensor):
        yield returned
    elif isinstance(returned, Mapping):
        for key in returned:
            if key != "past_key_values":
                yield from tensors_of(returned[key])
    elif isinstance(returned, (tuple, list)):
        for value in returned:
            yield from tensors_of(value)


def outputs_of(module: Any, rows: Rows) -> Any:
    """The outputs for all rows, as one tensor."""
    torch = import_torch()
    with torch.no_grad():
        return torch.cat([output_of(batch.call(module)) for batch in rows.batches()])


def check_fit(module: Any, parts: Parts) -> Any:
    """The outputs on the validation rows, where they are twice the same, finite, and each of its own row alone."""
    torch = import_torch()
    try:
        first, second = (outputs_of(module, parts.validation) for _ in range(2))
    except ArchitectureError:
        raise
    except Exception as error:
        raise ArchitectureError(
            f"The data do not fit the {type(module).__name__} ({say_error(error)[:200]}); give batches as it is called "
            "with: (inputs, targets), a dict of its arguments, or inputs alone."
        ) from None
    if len(first) != len(parts.validation):
        raise ArchitectureError(
            f"The {type(module).__name__} returns {count(len(first), 'row')} for {len(parts.validation)}; the first "
            "dimension of inputs and outputs must be the rows."
        )
    if not first.is_floating_point():
        raise ArchitectureError(
            f"The {type(module).__name__} returns {str(first.dtype).removeprefix('torch.')} numbers, and how far "
            "outputs move is told of real numbers of floating point; give a module that returns these."
        )
    if not torch.isfinite(first).all():
        raise DataError(
            f"The outputs of the {type(module).__name__} are not finite on these data; give a module that has not "
            "diverged."
        )
    if not torch.equal(first, second):
        raise ArchitectureError(
            f"The {type(module).__name__} gives other outputs each time, even in evaluation mode, so nothing can be "
            "compared; remove what is random in it (such as functional dropout without training=self.training)."
        )
    if _depends_on_batch(module, parts.validation, first):
        raise ArchitectureError(
            f"What the {type(module).__name__} gives for a row depends on the other rows of its batch, even in "
            "evaluation mode, so nothing can be said of a row; let it take no means over rows (of a batch norm, pass "
            "track_running_stats=True)."
        )
    return first


def _depends_on_batch(module: Any, rows: Rows, outputs: Any) -> bool:
    """Whether rows of the first half give something else by themselves, beyond what rounding may do to one in 20."""
    half = (min(len(rows), BATCH) + 1) // 2
    if half < 2:
        return False
    alone = outputs_of(module, rows.take(slice(0, half)))
    moved = (alone - outputs[:half]).abs().reshape(half, -1).amax(1)
    return float((moved > 1e-3 * float(outputs.abs().max())).double().mean()) > 0.05


def outputs_of_smaller(module: Any, rows: Rows) -> Any:
    """The outputs of a narrowed module, refused if it does not run on these rows."""
    try:
        return outputs_of(module, rows)
    except RuntimeError as error:
        raise ArchitectureError(
            f"A narrower {type(module).__name__} does not run on all the data ({say_error(error)[:160]}): it calls "
            "other layers on some of them than on the first; give one that calls the same on all, or only data on "
            "which it does."
        ) from None


def check_certifies(outputs: Any, which: str, remedy: str) -> Any:
    """The same outputs on the rows that certify, refused if some are not finite."""
    if bad := _count_not_finite(outputs):
        raise DataError(
            f"The outputs of the {which} module are not finite on {bad} of the {len(outputs)} rows that certify, so "
            f"nothing is guaranteed; {remedy}."
        )
    return outputs


def _count_not_finite(values: Any) -> int:
    """In how many rows some are NaN or infinite."""
    return int((~values.isfinite())[:, None].flatten(1).any(1).sum())


def _read(data: Any, name: str, notes: list[str]) -> Rows:
    torch = import_torch()
    if isinstance(data, Rows):
        return data
    if isinstance(data, torch.utils.data.Dataset):
        data = torch.utils.data.DataLoader(data, batch_size=BATCH)
    if isinstance(data, Mapping) or _is_array(data) or (isinstance(data, tuple) and data):
        batches: Iterable[Any] = [data]
    elif isinstance(data, list) and data and all(_is_array(one) for one in data):
        batches = [tuple(data)]
    elif isinstance(data, Iterable) and not isinstance(data, (str, bytes)):
        batches = data
    else:
        raise DataError(
            f"`{name}` is {shown(data)}; give a DataLoader, or arrays or tensors such as (x, y), or a dict of the "
            "module's arguments."
        )
    read: list[Rows] = []
    total = 0
    for batch in batches:
        read.append(_batch(batch, name))
        total += len(read[-1])
        if total >= MOST_ROWS and not (isinstance(batches, list) and len(batches) == 1):
            notes.append(f"Of `{name}`, the first {total} rows are used.")
            break
    if not total:
        raise DataError(f"`{name}` has no rows; give some.")
    try:
        rows = together(read)
    except (RuntimeError, TypeError, ValueError):
        raise DataError(
            f"The batches of `{name}` have rows of several shapes; pad them to one, or drop what is not a tensor."
        ) from None
    for value in jax.tree.leaves(rows.inputs):
        if bad := _count_not_finite(value):
            raise DataError(f"The inputs of `{name}` are not finite in {count(bad, 'row')}; drop or fill them.")
    if rows.targets is not None and _count_not_finite(rows.targets):
        raise DataError(f"The targets of `{name}` are not all finite; drop these rows or fill them.")
    return rows


def _batch(batch: Any, name: str) -> Rows:
    """A batch as it is customary: (inputs, targets), several inputs and targets, named inputs, or inputs alone."""
    if isinstance(batch, Mapping):
        named = {str(key): _tensor(value, name) for key, value in batch.items()}
        targets = named.pop("labels", None)
        rows = Rows(named, targets)
    elif isinstance(batch, (tuple, list)) and batch:
        *inputs, targets = (
            {str(key): _tensor(value, name) for key, value in one.items()}
            if isinstance(one, Mapping)
            else _tensor(one, name)
            for one in (batch if len(batch) > 1 else (batch[0], None))
        )
        rows = Rows(inputs[0] if len(inputs) == 1 else tuple(inputs), targets)
    else:
        rows = Rows(_tensor(batch, name), None)
    if not jax.tree.leaves(rows.inputs):
        raise DataError(f"A batch of `{name}` has no inputs; give (inputs, targets), or inputs alone.")
    lengths = {value.shape[0] if value.ndim else 0 for value in jax.tree.leaves((rows.inputs, rows.targets))}
    if len(lengths) > 1:
        raise DataError(
            f"The inputs and targets of `{name}` have {' and '.join(map(str, sorted(lengths)))} rows; they must have "
            "as many each."
        )
    return rows


def _tensor(value: Any, name: str) -> Any:
    torch = import_torch()
    if value is None:
        return None
    if not isinstance(value, torch.Tensor):
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise DataError(f"`{name}` holds {shown(value)}, which is no array of numbers; give tensors or arrays.")
        value = torch.as_tensor(array)
    return value.detach().cpu()


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, import_torch().Tensor))


def together(read: Sequence[Rows]) -> Rows:
    """The rows one after the other."""

    def joined(*parts: Any) -> Any:
        return import_torch().cat(parts)

    return Rows(_each(joined, *(rows.inputs for rows in read)), _each(joined, *(rows.targets for rows in read)))


def _each(function: Callable[..., Any], *given: Any) -> Any:
    """The function of each tensor, of one batch or of several alike; names keep their order, which `jax.tree` sorts."""
    first = given[0]
    if len({type(one) for one in given}) > 1:
        raise ValueError("they are of several kinds")
    if isinstance(first, dict):
        if any(one.keys() != first.keys() for one in given):
            raise ValueError("they have other names")
        return {name: _each(function, *(one[name] for one in given)) for name in first}
    if isinstance(first, tuple):
        return tuple(_each(function, *parts) for parts in zip(*given, strict=True))
    return None if first is None else function(*given)
