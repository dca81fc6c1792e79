"""Packages whose names load on first use, so that a command imports what it needs and no more."""

from __future__ import annotations

import sys

# Light, as `nucleate.__init__` is: the command can be interrupted once this is imported.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any


def loader(
    package: str, homes: Mapping[str, Iterable[str]]
) -> tuple[Callable[[str], Any], Callable[[], Sequence[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package, by its modules and the names that each has for it.

    A package hides the former from type checkers, which would take any name for one that it has.

    >>> load, names = loader("json", {"decoder": ("JSONDecoder",)})
    >>> load("JSONDecoder"), names()[-1]
    (<class 'json.decoder.JSONDecoder'>, 'JSONEncoder')
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def load(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_quietly(f"{package}.{home_of[name]}"), name)

    return load, lambda: sys.modules[package].__all__


def import_quietly(name: str) -> Any:
    """A module, with the global random numbers as they were: the first imports of JAX and of rich draw some."""
    from importlib import import_module

    if name in sys.modules:
        return import_module(name)
    python, numpy = sys.modules.get("random"), sys.modules.get("numpy")
    states = python and python.getstate(), numpy and numpy.random.get_state()
    module = import_module(name)
    if python is not None:
        python.setstate(states[0])
    if numpy is not None:
        numpy.random.set_state(states[1])
    return module
