"""Units that stay or go in all their layers at once, and a copy of a module that keeps some of them."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nucleate.pytorch.exchange import import_torch


@dataclass(frozen=True, eq=False)
class Cut:
    """What goes of a layer, or of a parameter, by its name, with each unit.

    The side is "in" where it reads the units, and "out" where it makes them or passes them on. The handler takes the
    layer and the places to remove, and narrows it in place.
    """

    layer: str
    side: str
    handler: Callable[[Any, list[int]], Any]
    places: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Units:
    """Neurons, channels or heads that stay or go in all their layers at once, called by the first that makes them.

    ``cuts`` are of layers that make them or pass them on, ``readers`` of those whose weights read them. ``settings`` is
    called with a narrowed module and the kept units, for numbers that its forward pass uses.
    """

    layer: str
    kind: str
    cuts: tuple[Cut, ...]
    readers: tuple[Cut, ...]
    settings: Callable[[Any, Sequence[int] | np.ndarray], None] | None = None

    @cached_property
    def number(self) -> int:
        """How many there are."""
        return len(self.readers[0].places)


def copied(module: Any) -> Any:
    """A copy, of modules too whose weights a hook of torch.nn.utils has computed with gradients."""
    tensor = import_torch().Tensor
    held = [value for child in module.modules() for value in vars(child).values()]
    computed = [value for value in held if isinstance(value, tensor) and not value.is_leaf]
    return copy.deepcopy(module, {id(value): value.detach().clone() for value in computed})


class Narrowing:
    """A copy of a module that is narrowed step by step; what reads the units keeps the weights of those left."""

    def __init__(self, module: Any) -> None:
        self.module = copied(module)
        self._removed: dict[tuple[str, str], np.ndarray] = {}

    def keep(self, units: Units, left: Sequence[int] | np.ndarray) -> None:
        """Keep these units alone."""
        removed = np.setdiff1d(np.arange(units.number), left)
        if not len(removed):
            return
        trainable = {name: parameter.requires_grad for name, parameter in self.module.named_parameters()}
        for cut in (*units.cuts, *units.readers):
            places = np.concatenate([cut.places[unit] for unit in removed])
            if len(places):
                _apply(self.module, cut.layer, cut.handler, sorted(self.now(cut.layer, cut.side, places).tolist()))
                self._removed[cut.layer, cut.side] = np.union1d(self.removed(cut.layer, cut.side), places)
        if units.settings is not None:
            units.settings(self.module, left)
        for name, parameter in self.module.named_parameters():
            parameter.requires_grad_(trainable[name])

    def removed(self, layer: str, side: str) -> np.ndarray:
        """The places of the original that are gone."""
        return self._removed.get((layer, side), np.array([], dtype=np.int64))

    def now(self, layer: str, side: str, places: np.ndarray) -> np.ndarray:
        """Where places of the original are by now."""
        return places - np.searchsorted(self.removed(layer, side), places)

    def alive(self, layer: str, side: str, size: int) -> np.ndarray:
        """The places of the original that are left."""
        return np.setdiff1d(np.arange(size), self.removed(layer, side))


def _apply(module: Any, layer: str, handler: Callable[[Any, list[int]], Any], places: list[int]) -> None:
    nn = import_torch().nn
    owner, _, own = layer.rpartition(".")
    parent = module.get_submodule(owner)
    if isinstance(getattr(parent, own, None) if own else parent, nn.Parameter):
        setattr(parent, own, handler(getattr(parent, own), places))
    else:
        handler(module.get_submodule(layer), places)
