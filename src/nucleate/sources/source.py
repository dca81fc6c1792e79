"""What an inspection reads: the parameters of a model, one at a time, and what is known of the model they belong to."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Traced:
    """What following the forward pass says of layers: which other one alone reads their units, or why none does so.

    ``symmetric`` says whether what follows a layer is odd or even, up to a constant; an output of the model is odd.
    """

    readers: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    symmetric: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Form:
    """How the array of a parameter holds units.

    Parameters
    ----------
    kind : str
        What a unit of it is, as the column ``kind`` says.
    rows : callable
        From the array to one row a unit.
    columns : callable or None
        From the array to one row for each unit that it reads: what that unit is multiplied with. None where a unit
        that is read is no slice of the array.
    parts : tuple of str
        The kinds of equal blocks of rows, where the array has several.
    """

    kind: str
    rows: Callable[[np.ndarray], np.ndarray]
    columns: Callable[[np.ndarray], np.ndarray] | None = None
    parts: tuple[str, ...] = ()


def flat(array: np.ndarray, axis: int = 0) -> np.ndarray:
    """One row for each place along an axis."""
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)


ROWS = Form("linear", lambda array: array, np.transpose)
"""``outputs x inputs``, as PyTorch's Linear."""
COLUMNS = Form("linear", np.transpose, lambda array: array)
"""``inputs x outputs``, as GPT-2's Conv1D and Keras's Dense."""
BY_TURNS = Form("gate and up by turns", np.transpose, lambda array: array)
"""``inputs x outputs``, of which the first is one of the gate, the second one of up, and so on."""
MATRIX = Form("matrix", lambda array: array, np.transpose)
"""A matrix of which nothing is known: its rows."""
TOKENS = Form("embedding", lambda array: array)
KERNELS = Form("kernel", flat, partial(flat, axis=1))
"""``outputs x inputs x ...``, as PyTorch's convolutions."""
KERNELS_LAST = Form("kernel", partial(flat, axis=-1))
"""``... x inputs x outputs``, as Keras's and Flax's convolutions."""
BILINEAR = Form("linear", flat)
GATES = {
    1: Form("recurrent", lambda array: array),
    3: Form("gates", lambda array: array, parts=("reset gate", "update gate", "new gate")),
    4: Form("gates", lambda array: array, parts=("input gate", "forget gate", "cell gate", "output gate")),
}
"""The weights of a recurrent layer, by how many blocks of rows they have, as PyTorch orders them."""
IN_PROJ = Form("attention", lambda array: array, parts=("query", "key", "value"))
"""``in_proj_weight`` of PyTorch's MultiheadAttention."""


def channels_last(channels: int, kind: str) -> Form:
    """``outputs x ... x inputs``, as this package's convolutions, and a matrix that reads their channels in turn."""

    def columns(array: np.ndarray) -> np.ndarray:
        return np.moveaxis(array.reshape(len(array), -1, channels), -1, 0).reshape(channels, -1)

    return Form(kind, flat, columns)


def transposed_kernels(groups: int) -> Form:
    """``inputs x outputs/groups x ...``, as PyTorch's transposed convolutions: a unit is an output's kernel."""

    def rows(array: np.ndarray) -> np.ndarray:
        inputs, outputs, *rest = array.shape
        by_group = array.reshape(groups, inputs // groups, outputs, *rest)
        return np.moveaxis(by_group, 2, 1).reshape(groups * outputs, -1)

    return Form("kernel", rows, flat if groups == 1 else None)


def shared_with(name: str) -> str:
    """Why a parameter is left out that is another one too."""
    return f"it is shared with {name}, where it is measured"


def no_weights(dtype: Any) -> str:
    """Why an array of such numbers is left out."""
    return f"its numbers are {dtype}, which are no weights as they are"


def wide_enough(array: np.ndarray) -> np.ndarray:
    """The array in a dtype of NumPy that holds its numbers exactly."""
    return array if array.dtype.kind == "f" and array.dtype.itemsize > 1 else array.astype(np.float32)


class Heads(NamedTuple):
    """How many heads an attention layer has."""

    query: int
    key_value: int


@dataclass(frozen=True, eq=False)
class Parameter:
    """One parameter, to be read in a dtype of NumPy that holds its numbers exactly.

    Its form is as its module says, None where only its name and shape tell.
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], Float[np.ndarray, "..."]]
    form: Form | None = None

    @property
    def layer(self) -> str:
        """What the layer is called whose weights these are."""
        return _WEIGHT.sub("", self.name)

    @property
    def bias_name(self) -> str | None:
        """What the bias of these weights is called, if this is the name of weights."""
        found = _OF_BIAS.search(self.name)
        if found is None:
            return None
        return self.name[: found.start(1)] + _BIAS[found[1]] + self.name[found.end(1) :]


_WEIGHT = re.compile(r"[._/](?:weight|kernel)$")
_BIAS = {
    "weights": "biases",
    "weight": "bias",
    "weight_ih": "bias_ih",
    "weight_hh": "bias_hh",
    "kernel": "bias",
    "coefs_": "intercepts_",
    "W": "b",
    "w": "b",
}
_OF_BIAS = re.compile(r"(?:^|[._/])(weights|weight_ih|weight_hh|weight|kernel|coefs_|W|w)(?:\.?\d*|_\d+|_l\d+\w*)$")


class Activity(NamedTuple):
    """What the units of a layer do on data: their activations, and what reads them."""

    leaving: Float[np.ndarray, "m n"]
    outgoing: Float[np.ndarray, "m t"]


@dataclass(frozen=True, eq=False)
class Source:
    """A model as an inspection reads it.

    Parameters
    ----------
    name : str
        What it is called in sentences and titles.
    parameters : sequence of Parameter
        Those that may be measured, each once.
    left_out : sequence of (str, str)
        Names and reasons of those that cannot.
    heads : callable
        From a layer's name to its `Heads`, or None where they are not known.
    model_type : str
        What a Hugging Face configuration calls the model, empty where there is none.
    readers : mapping of str to str
        From a layer to the name of the parameter that alone reads its units, where the model says.
    opposites_are_one : callable
        From a layer's name to whether its activation is odd or even; None where it is not known.
    activity : callable or None
        From inputs to the `Activity` of layers, with other arrays in the place of some parameters, by their names, and
        with the parameter that reads each layer, where that is known.
    trace : callable or None
        Gives what is `Traced`, beyond ``readers`` and ``opposites_are_one``; it follows the forward pass, so it is
        asked only where inputs are given.
    parts : mapping of str to Parameter
        What a file or a state dict has as it is there, by name, before anything was made of it.
    remake : callable
        From the ``parts`` of another source to the weights that this model would make of them.
    notes : callable
        Gives what is to be said of some weights.
    """

    name: str
    parameters: Sequence[Parameter]
    left_out: Sequence[tuple[str, str]] = ()
    heads: Callable[[str], Heads | None] = lambda layer: None
    model_type: str = ""
    readers: Mapping[str, str] = field(default_factory=dict)
    opposites_are_one: Callable[[str], bool | None] = lambda layer: None
    activity: Callable[[Any, Mapping[str, np.ndarray], Mapping[str, str]], Mapping[str, Activity]] | None = None
    trace: Callable[[], Traced] | None = None
    parts: Mapping[str, Parameter] = field(default_factory=dict)
    remake: Callable[[Mapping[str, Parameter]], Iterable[Parameter]] = lambda parts: ()
    notes: Callable[[], Iterable[str]] = tuple

    def names(self) -> dict[str, Parameter]:
        """The parameters by their names."""
        return {parameter.name: parameter for parameter in self.parameters}
