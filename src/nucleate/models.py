"""What can be trained: any JAX pytree with a forward pass. `nucleate.Network` is one; your own need not know of us.

A model is a pytree whose floating-point arrays are its parameters, all of one dtype, and which is called with rows of
inputs, ``model(x)`` with ``x`` of shape (n, d), for outputs of shape (n, c). Other leaves (functions, numbers) stay as
they are. Equinox modules, registered dataclasses and named tuples with a ``__call__`` are such models.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from nucleate._arrays import is_whole
from nucleate._files import pack_tensors, parse_tensors, seal_tensors, write_atomically
from nucleate.devices import in_float64, on_host
from nucleate.errors import ArchitectureError
from nucleate.network import Drop, Network, _read

_FORMAT = "nucleate model 1"


@dataclass(frozen=True)
class Frame:
    """What of a model is not a parameter: its structure, and its other leaves, with ``...`` for each parameter.

    It can be hashed, so that JAX can compile it in.
    """

    structure: Any
    leaves: tuple[Any, ...]

    def __call__(self, parameters: Any) -> Any:
        """The model with these parameters, taken in order."""
        given = iter(jax.tree.leaves(parameters))
        return jax.tree.unflatten(self.structure, [next(given) if leaf is ... else leaf for leaf in self.leaves])


def take_apart(model: Any) -> tuple[Any, Frame]:
    """The parameters of a model, with None in the place of other leaves, and the frame they belong in.

    Raises
    ------
    ArchitectureError
        If it has no parameters, parameters of several dtypes, or another leaf that cannot be hashed.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = Network.create(2, [3], 1, scale=InitScale("gain", 1.0))
    >>> parameters, frame = take_apart(network)
    >>> frame(parameters)
    Network(2-3-1, tanh, no biases, float32)
    """
    parameters = jax.tree.map(lambda leaf: leaf if _is_parameter(leaf) else None, model)
    dtypes = {str(leaf.dtype) for leaf in jax.tree.leaves(parameters)}
    if not dtypes:
        raise ArchitectureError(
            f"The model {_name(model)} has no floating-point arrays among its leaves, so nothing can be trained; give "
            "an object of a class that JAX knows as a pytree, such as an equinox.Module, with parameters as arrays."
        )
    if len(dtypes) != 1 or not dtypes <= {"float32", "float64"}:
        raise ArchitectureError(
            f"The model {_name(model)} has parameters of dtype {', '.join(sorted(dtypes))}; make all its arrays "
            "float32, or all float64."
        )
    leaves, structure = jax.tree.flatten(model)
    frame = Frame(structure, tuple(... if _is_parameter(leaf) else leaf for leaf in leaves))
    try:
        hash(frame)
    except TypeError:
        raise ArchitectureError(
            f"The model {_name(model)} holds something that is neither a floating-point array nor can be hashed; make "
            "whole-number arrays tuples, or keep them out of the pytree."
        ) from None
    return on_host(parameters), frame


_MEMBERS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "signals": (is_whole, "a whole number: how many numbers a row becomes on its way"),
    "fits_constants": (lambda member: isinstance(member, bool), "True or False: whether it can give a constant"),
    "kinds": (lambda member: isinstance(member, Mapping), "a mapping from names to matrices"),
    "on_columns": (callable, "a method: on_columns(x), for training"),
    "describe": (callable, "a method: describe(), the architecture in a line"),
    "check_rows": (callable, "a method: check_rows(x), which refuses rows"),
    "near_zero": (callable, "a method: near_zero(), the model near zero"),
}


def check_members(model: Any) -> None:
    """Refuse a model that calls something else by a name that the package asks for, by an `ArchitectureError`.

    Its ``layers`` may be anything: where they are no method, nothing is measured.
    """
    for name, (fits, expected) in _MEMBERS.items():
        if hasattr(model, name) and not fits(member := getattr(model, name)):
            what = "a method" if callable(member) else f"{member!r:.60}"
            raise ArchitectureError(
                f"The model {_name(model)} has a member {name!r} that is {what}, and where a model has one it is "
                f"{expected}; call yours by another name."
            )


def is_keras(model: Any) -> bool:
    """Whether it is a model of Keras's, whatever its backend; Keras is not imported for the question.

    Examples
    --------
    >>> is_keras("no model")
    False
    """
    return any(one.__module__.startswith("keras.") for one in type(model).__mro__) and hasattr(model, "layers")


def dtype_of(model: Any) -> str:
    """``"float32"`` or ``"float64"``: the dtype of a model's parameters."""
    return str(next(leaf.dtype for leaf in jax.tree.leaves(model) if _is_parameter(leaf)))


def outputs_of_columns(model: Any, x: Float[Array, "d n"], drop: Drop | None = None) -> Float[Array, "c n"]:
    """The outputs for the columns of ``x``, for compiled code: the layout in which networks are fastest.

    ``drop`` is for networks alone, see `Network.on_columns`. A model of another kind may have ``on_columns(x)`` too.
    """
    if isinstance(model, Network):
        return model.on_columns(x, drop)
    return model.on_columns(x) if hasattr(model, "on_columns") else model(x.T).T


@in_float64
def outputs_of(model: Any, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
    """The outputs for rows, in the model's own dtype, as float64."""
    if isinstance(model, Network):
        # By the program that is compiled for who calls it.
        return np.asarray(model(x), np.float64)
    parameters, frame = take_apart(model)
    return np.asarray(_outputs(parameters, frame, np.asarray(x, dtype_of(model))), np.float64)


@in_float64
@partial(jax.jit, static_argnames="frame")
def _outputs(parameters: Any, frame: Frame, x: Float[Array, "n d"]) -> Float[Array, "n c"]:
    return outputs_of_columns(frame(parameters), x.T).T


def describe(model: Any) -> str:
    """The architecture in a line, the same for models that can be trained together.

    A model of another kind than `Network` may say it by ``describe()``; otherwise it is its parameters' shapes.
    """
    if isinstance(model, Network):
        return repr(model)
    if hasattr(model, "describe"):
        return str(model.describe())
    shapes = [f"{jax.tree_util.keystr(path)} {tuple(leaf.shape)}" for path, leaf in _parameters(model)]
    return f"{_name(model)}({', '.join(shapes)}, {dtype_of(model)})"


def count_parameters(model: Any) -> int:
    """How many numbers a model learns.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> count_parameters(Network.create(10, [3, 2], 1, scale=InitScale("gain", 1.0), bias=True))
    44
    """
    return sum(int(np.size(leaf)) for _, leaf in _parameters(model))


def model_to_bytes(model: Any, metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file's bytes: a network's as `Network.to_bytes`, any other model's parameters by their place."""
    if isinstance(model, Network):
        return model.to_bytes(metadata)
    tensors = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in _parameters(model)}
    content = {**(metadata or {}), "format": _FORMAT, "model": describe(model)}
    return seal_tensors(pack_tensors(tensors, {"nucleate": json.dumps(content, ensure_ascii=False)}))


def save_model(model: Any, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write `model_to_bytes` to ``path``, which appears whole or not at all; raises `NucleateError` if it cannot."""
    write_atomically(Path(path), model_to_bytes(model, metadata))


def load_model(path: str | Path, like: Any = None) -> Any:
    """The model that `save_model` wrote, bit for bit.

    Parameters
    ----------
    path : path
    like : model, optional
        One of the same architecture, for models that are no `Network`: files hold parameters and no code.

    Raises
    ------
    ArchitectureError
        If the file is missing, damaged, or holds parameters of another architecture.
    """
    if like is None or isinstance(like, Network):
        return Network.load(path, None if like is None else like.activation)
    content = _read(path, "model")
    try:
        return model_from_bytes(content, like)
    except ValueError as error:
        raise ArchitectureError(f"The model file {path} is of no use ({error}); save the model again.") from None


def model_from_bytes(content: bytes, like: Any) -> Any:
    """The model that `model_to_bytes` was given.

    Parameters
    ----------
    content : bytes
    like : model
        One of the same architecture.

    Raises
    ------
    ValueError
        If these bytes are not those of such a model, with what is wrong.
    """
    if isinstance(like, Network):
        network = Network.from_bytes(content, like.activation)
        if describe(network) != describe(like):
            raise ValueError(f"it holds {describe(network)}, not {describe(like)}")
        return network
    tensors = parse_tensors(content)[0]
    expected = {jax.tree_util.keystr(place): leaf for place, leaf in _parameters(like)}
    if {name: (one.shape, one.dtype) for name, one in tensors.items()} != {
        name: (one.shape, one.dtype) for name, one in expected.items()
    }:
        raise ValueError(f"it holds parameters of another model than {describe(like)}")
    parameters, frame = take_apart(like)
    return frame(jax.tree_util.tree_map_with_path(lambda place, _: tensors[jax.tree_util.keystr(place)], parameters))


def _is_parameter(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray | np.generic | jax.Array) and bool(np.issubdtype(leaf.dtype, np.inexact))


def _parameters(model: Any) -> list[tuple[Any, Any]]:
    leaves: list[tuple[Any, Any]] = jax.tree_util.tree_leaves_with_path(model)
    return [(path, leaf) for path, leaf in leaves if _is_parameter(leaf)]


def _name(model: Any) -> str:
    return type(model).__name__
