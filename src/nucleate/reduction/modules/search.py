"""How many units each layer keeps: as many of each, or by what the outputs lose for what a unit costs."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from nucleate.pytorch.exchange import import_torch
from nucleate.reduction.modules.narrowing import Original, Reducer
from nucleate.reduction.modules.rows import Rows
from nucleate.reduction.modules.units import Narrowing, copied

Widths = tuple[int, ...]
Size = Callable[[Any], int]
_STEPS = 8


def count_parameters(module: Any) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_flops(module: Any, row: Rows) -> int:
    """Multiplications and additions for one row, as PyTorch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    # Without gradients PyTorch's own encoder layer is one operation, which is not counted.
    with FlopCounterMode(display=False) as counter, import_torch().enable_grad():
        row.call(module)
    return int(counter.get_total_flops())


class Search:
    """Reductions of one module to several widths; ``size`` is what a module costs."""

    def __init__(self, original: Original, size: Size) -> None:
        self._original, self._size = original, size
        self._made: dict[Widths, Any] = {self.whole: copied(original.module)}
        self._sizes: dict[Widths, int] = {}

    @property
    def whole(self) -> Widths:
        """All units."""
        return tuple(units.number for units in self._original.units)

    def make(self, widths: Widths) -> Any:
        """The module reduced to these widths."""
        if widths not in self._made:
            reducer = Reducer(self._original)
            narrowed = [
                (units, width)
                for units, width in zip(self._original.units, widths, strict=True)
                if width < units.number
            ]
            for units, width in narrowed:
                reducer.keep(units, width)
            # What several layers read was chosen before these were narrow.
            if any(len(units.readers) > 1 for units, _ in narrowed):
                for name in self._original.readers:
                    reducer.refit(name)
            self._made[widths] = reducer.module
        return self._made[widths]

    def size(self, widths: Widths) -> int:
        """What a module of these widths costs."""
        if widths not in self._sizes:
            narrowing = Narrowing(self._original.module)
            for units, width in zip(self._original.units, widths, strict=True):
                narrowing.keep(units, range(width))
            self._sizes[widths] = self._size(narrowing.module)
        return self._sizes[widths]

    def share(self, keep: float) -> Widths:
        """That share of the units of every layer, one at least."""
        return tuple(max(1, round(keep * number)) for number in self.whole)

    def smallest_within(self, fits: Callable[[Any], bool]) -> Widths:
        """The cheapest of both families that fits; all units where none does."""
        best = self.whole
        for family in (self.share, self._by_loss):
            low, high = 0.0, 1.0
            for _ in range(_STEPS):
                middle = (low + high) / 2
                widths = family(middle)
                # What is not cheaper than the best so far needs no trial.
                if self.size(widths) >= self.size(best):
                    high = middle
                elif fits(self.make(widths)):
                    high, best = middle, widths
                else:
                    del self._made[widths]
                    low = middle
        return best

    def largest_below(self, budget: int) -> list[Widths]:
        """Of each family the widest that costs no more."""
        found = []
        for family in (self.share, self._by_loss):
            low, high = 0.0, 1.0
            for _ in range(20):
                middle = (low + high) / 2
                low, high = (middle, high) if self.size(family(middle)) <= budget else (low, middle)
            if self.size(family(low)) <= budget:
                found.append(family(low))
        return list(dict.fromkeys(found))

    def _by_loss(self, at: float) -> Widths:
        """Widths from one unit a layer (0) to all (1), a unit staying if it saves the outputs more than it costs."""
        rates, left = self._losses
        steepest = [np.diff(-curve) / rate for curve, rate in zip(left, rates, strict=True)]
        prices = np.concatenate(steepest)
        prices = prices[prices > 0]
        if at >= 1 or not len(prices):
            return self.whole
        low, high = np.log(prices.min()), np.log(prices.max())
        price = np.exp(high + 1 - at * (high - low + 2))
        return tuple(
            int(np.argmin(curve[1:] + price * rate * np.arange(1, len(curve)))) + 1
            for curve, rate in zip(left, rates, strict=True)
        )

    @cached_property
    def _losses(self) -> tuple[list[float], list[np.ndarray]]:
        """What a unit of each layer costs, and what the outputs lose with none, one, ... of them alone."""
        rates, left = [], []
        for at, units in enumerate(self._original.units):
            path = Reducer(self._original).path(units)
            path.first(units.number)
            left.append(np.minimum.accumulate(np.maximum(path.left, 0)))
            fewer = tuple(1 if at == other else number for other, number in enumerate(self.whole))
            rates.append(max(1e-9, (self.size(self.whole) - self.size(fewer)) / (units.number - 1)))
        return rates, left
