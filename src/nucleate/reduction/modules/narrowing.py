"""A copy of a module that becomes narrower, layer by layer, and what its layers read and are to read."""

import itertools
import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from nucleate.pytorch.exchange import hooked, import_torch
from nucleate.pytorch.layers import is_conv1d, kind_of, norm_of, weights_in
from nucleate.reduction.modules.blocks import BlockPath, Regression, refit
from nucleate.reduction.modules.rows import Rows, output_of
from nucleate.reduction.modules.units import Cut, Narrowing, Units

MOST_POSITIONS = 16_384
FEWEST_POSITIONS = 4096


class Original:
    """What the original, in evaluation mode, gives to the readers of its units at sampled positions, and how much that
    matters; ``order`` says when each layer is called.
    """

    def __init__(self, module: Any, units: Sequence[Units], rows: Rows, order: Mapping[str, int]) -> None:
        self.module, self.units, self.rows, self.order = module, tuple(units), rows, order
        self.readers = sorted({reader.layer for one in units for reader in one.readers}, key=lambda name: order[name])
        self.wanted = {name: wanted for name, (_, wanted) in self.sample(module, self.readers).items()}
        self.importance = _importance(module, self.readers, rows)
        self.norms = _norms_behind(module, self.readers, rows)

    def sample(self, module: Any, readers: Iterable[str]) -> dict[str, tuple[Any, Any]]:
        """What enters and leaves layers at positions that are the same for every module."""
        torch = import_torch()
        taken: dict[str, list[tuple[Any, Any]]] = {name: [] for name in readers}
        size = 0

        def take(name: str) -> Callable[..., None]:
            def called(layer: Any, inputs: tuple[Any, ...], output: Any) -> None:
                generator = torch.Generator().manual_seed(zlib.crc32(f"{name} {len(taken[name])}".encode()))
                taken[name].append(_positions(layer, inputs[0], output, size / len(self.rows), generator))
                if all(len(pieces) == len(taken[name]) for pieces in taken.values()):
                    raise _Enough

            return called

        with hooked([module.get_submodule(name).register_forward_hook(take(name)) for name in taken]), torch.no_grad():
            for batch in self.rows.batches():
                size = len(batch)
                with suppress(_Enough):
                    batch.call(module)
        return {name: tuple(map(torch.cat, zip(*pieces, strict=True))) for name, pieces in taken.items()}


class _Enough(Exception):
    """Nothing behind this layer is asked for."""


class Reducer:
    """Narrows a copy of the original from its first units to the last."""

    def __init__(self, original: Original) -> None:
        self._original = original
        self._narrowing = Narrowing(original.module)

    @property
    def module(self) -> Any:
        """As narrow as it is by now."""
        return self._narrowing.module

    def path(self, units: Units) -> BlockPath:
        """Units in the order in which they are to stay, beside what is narrowed already."""
        return BlockPath([regression for _, split in self._regressions(units) for regression in split])

    def keep(self, units: Units, number: int) -> None:
        """Keep so many units alone, and refit what reads them."""
        readings = self._regressions(units)
        left = BlockPath([regression for _, split in readings for regression in split]).first(number)
        self._narrowing.keep(units, left)
        for reader, split in readings:
            self._write(reader, [refit(regression, regression.without_others(left)) for regression in split])

    def refit(self, name: str) -> None:
        """Refit a layer to give what the original's gives, of what enters it now."""
        columns, _ = self._original.sample(self.module, [name])[name]
        split = self._split(name, columns, None)
        self._write(name, [refit(regression, np.arange(regression.columns.shape[1])) for regression in split])

    def _write(self, name: str, fitted: Sequence[tuple[Any, Any]]) -> None:
        torch = import_torch()
        layer = self.module.get_submodule(name)
        norm = self._original.norms.get(name)
        matrix, level = torch.cat([weights.T for weights, _ in fitted]), torch.cat([level for _, level in fitted])
        with torch.no_grad():
            layer.weight.copy_((matrix.T if is_conv1d(layer) else matrix).reshape(layer.weight.shape))
            if layer.bias is not None:
                layer.bias.copy_(level)
            elif norm is not None:
                before = self._original.module.get_submodule(norm).running_mean
                alive = torch.as_tensor(self._narrowing.alive(name, "out", len(before)))
                self.module.get_submodule(norm).running_mean.copy_(before[alive] - level)

    def _regressions(self, units: Units) -> list[tuple[str, list[Regression]]]:
        """What each layer that reads the units is to give, and what it reads of them."""
        found = self._original.sample(self.module, [reader.layer for reader in units.readers])
        return [(reader.layer, self._split(reader.layer, found[reader.layer][0], reader)) for reader in units.readers]

    def _split(self, name: str, columns: Any, reader: Cut | None) -> list[Regression]:
        """A regression for each group of a layer, one where it has no groups."""
        torch = import_torch()
        layer = self.module.get_submodule(name)
        groups = getattr(layer, "groups", 1)
        wanted = self._original.wanted[name]
        alive = torch.as_tensor(self._narrowing.alive(name, "out", wanted.shape[1]))
        wanted, importance = wanted[:, alive], self._original.importance[name][alive]
        weights = layer.weight.detach()
        matrix = (weights if is_conv1d(layer) else weights.flatten(1).T).double()
        each, outputs = columns.shape[1] // groups, wanted.shape[1] // groups
        shifts = int(np.prod(weights.shape[2:])) if weights.ndim > 2 else 1
        has_level = layer.bias is not None or name in self._original.norms
        found = []
        for group in range(groups):
            blocks: tuple[np.ndarray, ...] = ()
            if reader is not None:
                blocks = tuple(
                    _columns(self._narrowing.now(name, "in", places), group, each // shifts, shifts)
                    for places in reader.places
                )
            ours = slice(group * outputs, (group + 1) * outputs)
            found.append(
                Regression(
                    columns=columns[:, group * each : (group + 1) * each],
                    wanted=wanted[:, ours],
                    weights=matrix[:, ours],
                    importance=importance[ours],
                    blocks=blocks,
                    has_level=has_level,
                )
            )
        return found


def _columns(places: np.ndarray, group: int, each: int, shifts: int) -> np.ndarray:
    """The columns of some inputs of a layer within one of its groups."""
    within = places[(places >= group * each) & (places < (group + 1) * each)] - group * each
    return (within[:, None] * shifts + np.arange(shifts)).ravel()


def _positions(layer: Any, entering: Any, leaving: Any, share: float, generator: Any) -> tuple[Any, Any]:
    """What enters and leaves a layer at some positions of a batch, which is this share of the rows."""
    torch = import_torch()
    if kind_of(layer) != "kernel":
        entering, leaving = (value.flatten(0, -2) for value in (entering, leaving))
        places = _drawn(1, len(entering), entering.shape[1], share, generator)[0]
        return entering[places], leaving[places]
    of_kernel = layer.kernel_size
    shape = leaving.shape[2:]
    columns = entering.shape[1] * int(np.prod(of_kernel)) // layer.groups
    places = _drawn(len(leaving), int(np.prod(shape)), columns, share, generator)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = torch.nn.functional.pad(entering, layer._reversed_padding_repeated_twice, mode=mode)
    corners = torch.unravel_index(places, shape)
    size = padded.shape[2:]
    flat = padded.flatten(2)
    shifts = []
    for shift in itertools.product(*map(range, of_kernel)):
        at: Any = 0
        for corner, offset, stride, dilation, length in zip(
            corners, shift, layer.stride, layer.dilation, size, strict=True
        ):
            at = at * length + corner * stride + offset * dilation
        shifts.append(torch.gather(flat, 2, at[:, None, :].expand(-1, flat.shape[1], -1)))
    columns_ = torch.stack(shifts, 2).permute(0, 3, 1, 2).flatten(2).flatten(0, 1)
    given = torch.gather(leaving.flatten(2), 2, places[:, None, :].expand(-1, leaving.shape[1], -1))
    return columns_, given.transpose(1, 2).flatten(0, 1)


def _drawn(batch: int, positions: int, columns: int, share: float, generator: Any) -> Any:
    """For each row of a batch some positions: all of them where there are few."""
    torch = import_torch()
    each = math.ceil(share * min(max(FEWEST_POSITIONS, 4 * columns), MOST_POSITIONS) / batch)
    if each >= positions:
        return torch.arange(positions).expand(batch, -1)
    return torch.randint(positions, (batch, each), generator=generator)


def _importance(module: Any, readers: Sequence[str], rows: Rows) -> dict[str, Any]:
    """How far the outputs move with each pre-activation: the root mean square over random signs of the outputs."""
    torch = import_torch()
    squares: dict[str, Any] = {}
    generator = torch.Generator().manual_seed(0)

    def watch(name: str) -> Callable[..., None]:
        def called(layer: Any, _: Any, output: Any) -> None:
            axis = 1 if kind_of(layer) == "kernel" else output.ndim - 1

            def add(gradient: Any) -> None:
                own = gradient.double().square().movedim(axis, -1).flatten(0, -2).sum(0)
                squares[name] = squares.get(name, 0) + own

            if output.requires_grad:
                output.register_hook(add)

        return called

    few = rows.spread(512)
    with (
        hooked([module.get_submodule(name).register_forward_hook(watch(name)) for name in readers]),
        torch.enable_grad(),
    ):
        for batch in few.batches():
            outputs = output_of(batch.call(module))
            signs = torch.randint(0, 2, outputs.shape, generator=generator) * 2 - 1
            parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
            torch.autograd.grad((outputs * signs).sum(), parameters, allow_unused=True)
    found = {}
    for name in readers:
        layer = module.get_submodule(name)
        _, size = weights_in(layer)["weight"].fans(layer.weight.shape)
        root = (squares[name] / len(few)).sqrt() if name in squares else torch.ones(size, dtype=torch.float64)
        # A pre-activation that no output depends on weighs little, not nothing: it may do so on other rows.
        found[name] = root.clamp(min=float(root.max()) * 1e-3 or 1.0)
    return found


def _norms_behind(module: Any, readers: Sequence[str], rows: Rows) -> dict[str, str]:
    """The batch norm that alone takes what a layer without a bias gives: it takes the constant of a refit."""
    torch = import_torch()
    made: dict[int, tuple[str, Any]] = {}
    taken: dict[str, list[str]] = {}

    def note(name: str) -> Callable[..., None]:
        def called(layer: Any, inputs: tuple[Any, ...], output: Any) -> None:
            for value in inputs:
                if id(value) in made and made[id(value)][1] is value:
                    taken.setdefault(made[id(value)][0], []).append(name)
            if name in readers and layer.bias is None:
                made[id(output)] = name, output

        return called

    with hooked([one.register_forward_hook(note(name)) for name, one in module.named_modules()]), torch.no_grad():
        rows.take(slice(0, 2)).call(module)
    found = {}
    for name, behind in taken.items():
        inner = [one for one in behind if not list(module.get_submodule(one).children())]
        norm = module.get_submodule(inner[0]) if len(inner) == 1 else None
        if norm is not None and norm_of(norm) == "batch" and norm.running_mean is not None:
            found[name] = inner[0]
    return found
