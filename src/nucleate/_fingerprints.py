"""Whether a definition of one's own is still the one that it was: a hash of what it does, not of what it is called."""

import dis
import functools
import hashlib
import inspect
import re
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import CodeType, MethodType, ModuleType
from typing import Any

import jax
import numpy as np

VERSIONED = ("nucleate", "jax", "jaxlib", "numpy", "optax", "scipy")
"""Packages whose versions are kept with what they compute, so that their functions go by name."""
_STANDARD = tuple(Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib"))
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def fingerprint(*definitions: Any) -> str:
    """Sixteen hexadecimal digits that stay the same from process to process while the definitions do the same.

    Of a function count its code, defaults and closure, and the functions and values it takes from its module; of an
    object its class and what it holds; of an array its bytes. Functions of the packages in `VERSIONED` and of the
    standard library count by name, those of other installed packages by name and code. It holds for one minor version
    of Python, since another compiles to other code.

    >>> half, same, third = (lambda x: x / 2), (lambda x: x / 2), (lambda x: x / 3)
    >>> fingerprint(half) == fingerprint(same), fingerprint(half) == fingerprint(third)
    (True, False)
    """
    return _Teller().hash(definitions)[:16]


class _Teller:
    """Hashes objects by what they hold; one that holds itself is told once."""

    def __init__(self) -> None:
        # The objects are kept too, so that no other gets the identity of one that is gone.
        self._told: dict[int, tuple[Any, str]] = {}

    def hash(self, one: Any) -> str:
        if id(one) not in self._told:
            self._told[id(one)] = one, "itself"
            told = hashlib.sha256()
            for part in self._parts(one):
                told.update(part if isinstance(part, bytes) else part.encode())
                told.update(b"\0")
            self._told[id(one)] = one, told.hexdigest()
        return self._told[id(one)][1]

    def _parts(self, one: Any) -> list[str | bytes]:
        """What tells this object from others."""
        if one is None or isinstance(one, (bool, int, float, complex, str, bytes)):
            return [type(one).__name__, repr(one)]
        if isinstance(one, (set, frozenset)):
            return ["set", *sorted(map(self.hash, one))]
        if isinstance(one, Mapping):
            return ["mapping", *(self.hash(part) for pair in one.items() for part in pair)]
        if isinstance(one, (tuple, list)):
            return ["sequence", *map(self.hash, one)]
        if isinstance(one, (np.ndarray, np.generic, jax.Array)):
            return self._array(one)
        if isinstance(one, CodeType):
            return ["code", one.co_code, *map(self.hash, one.co_consts), *one.co_names]
        if isinstance(one, functools.partial):
            return ["partial", *map(self.hash, (one.func, one.args, one.keywords))]
        if isinstance(one, MethodType):
            return ["method", self.hash(one.__func__), self.hash(one.__self__)]
        if isinstance(one, (staticmethod, classmethod)):
            return [type(one).__name__, self.hash(one.__func__)]
        if isinstance(one, property):
            return ["property", *map(self.hash, (one.fget, one.fset))]
        if inspect.isfunction(one):
            return self._function(one)
        if isinstance(one, ModuleType):
            return ["module", one.__name__]
        if isinstance(one, type):
            return self._class(one)
        return self._object(one)

    def _array(self, one: Any) -> list[str | bytes]:
        is_key = isinstance(one, jax.Array) and jax.numpy.issubdtype(one.dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(one) if is_key else one)
        content = self.hash(array.tolist()) if array.dtype.hasobject else array.tobytes()
        return ["array", str(array.dtype), str(array.shape), content]

    def _function(self, one: Any) -> list[str | bytes]:
        parts: list[str | bytes] = ["function"]
        parts += [self.hash(part) for part in (one.__defaults__, one.__kwdefaults__, _closed_over(one))]
        if hasattr(one, "__wrapped__"):
            parts.append(self.hash(one.__wrapped__))
        installed = _is_installed(one.__code__.co_filename)
        if installed:
            parts += [_package(one), one.__qualname__]
        if not installed or (_package(one) not in VERSIONED and not _is_standard(one.__code__.co_filename)):
            code = one.__code__
            constants = tuple(constant for constant in code.co_consts if constant != one.__doc__)
            parts += [code.co_code, *map(self.hash, constants), *code.co_names]
        if not installed:
            parts += [self.hash(value) for value in _from_module(one)]
        return parts

    def _class(self, one: type) -> list[str | bytes]:
        parts: list[str | bytes] = ["class", one.__qualname__]
        for base in one.__mro__:
            if not _is_own(base):
                parts += [_package(base), base.__qualname__]
                continue
            for name, held in sorted(vars(base).items()):
                kinds = (staticmethod, classmethod, property, bool, int, float, str, tuple)
                dunder = name.startswith("__") and not inspect.isfunction(held)
                if not dunder and (inspect.isfunction(held) or isinstance(held, kinds)):
                    parts += [name, self.hash(held)]
        return parts

    def _object(self, one: Any) -> list[str | bytes]:
        own, name = _is_own(type(one)), getattr(one, "__qualname__", None) or getattr(one, "__name__", None)
        if not own and isinstance(name, str):
            # What Python or a package made of a function: a built-in one, a compiled one, one with its own derivative.
            made_of = [] if _package(one) in VERSIONED else _functions_in(one)
            return ["callable", _package(one), name, *map(self.hash, made_of)]
        parts: list[str | bytes] = ["object", self.hash(type(one))]
        held = getattr(one, "__dict__", None)
        if held and (own or callable(one) or hasattr(one, "__dataclass_fields__")):
            return [*parts, self.hash(held)]
        # Of others, such as a generator of random numbers, what they say of themselves.
        return [*parts, _ADDRESS.sub("", repr(one))]


def _closed_over(function: Any) -> list[Any]:
    held = []
    for cell in function.__closure__ or ():
        # A cell is empty before its variable has a value.
        with suppress(ValueError):
            held.append(cell.cell_contents)
    return held


def _functions_in(one: Any) -> list[Any]:
    held = getattr(one, "__dict__", {})
    return [value for name, value in sorted(held.items()) if name == "__wrapped__" or inspect.isfunction(value)]


def _from_module(function: Any) -> list[Any]:
    """What a function of one's own takes from its module: values, functions, and those of own modules by attribute."""
    known, taken = function.__globals__, []
    codes = [function.__code__]
    for code in codes:
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        names = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
        for name in sorted(names & known.keys()):
            value = known[name]
            taken += [name, value]
            if isinstance(value, ModuleType) and not _is_installed(getattr(value, "__file__", None)):
                taken += [getattr(value, attribute, None) for attribute in code.co_names]
    return taken


def _package(one: Any) -> str:
    return str(getattr(one, "__module__", None)).partition(".")[0]


def _is_own(kind: type) -> bool:
    """Whether a class is neither Python's nor an installed package's."""
    module = sys.modules.get(kind.__module__)
    return kind.__module__ == "__main__" or module is None or not _is_installed(getattr(module, "__file__", None))


def _is_installed(file: str | None) -> bool:
    """Whether code comes with Python or from an installed package; what has no file is built in."""
    if file is None or file.startswith("<frozen"):
        return True
    if file.startswith("<"):
        return False
    packages = {"site-packages", "dist-packages"}
    return (
        not packages.isdisjoint(Path(file).parts) or _is_standard(file) or Path(__file__).parent in Path(file).parents
    )


def _is_standard(file: str) -> bool:
    return any(root in Path(file).resolve().parents for root in _STANDARD)
