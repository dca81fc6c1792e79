"""A description of a model that files can keep: its kind by name, and the options it is made with."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nucleate._wording import choose_one, did_you_mean, name_parameter, shown
from nucleate.activations import Activation, get_activation
from nucleate.architectures.convolution import ConvNetwork
from nucleate.architectures.model import Model, say_shape
from nucleate.architectures.transformer import Transformer
from nucleate.errors import ArchitectureError
from nucleate.init_scale import InitScale

_OF_A_RUN = ("outputs", "scale", "seed")


@dataclass(frozen=True)
class _Kind:
    """A kind of model, what it is made with where nothing is said, a shape of rows for sentences, and its axes."""

    model: type[ConvNetwork] | type[Transformer]
    usual: dict[str, Any]
    shape: str
    axes: tuple[int, ...]

    @property
    def options(self) -> tuple[str, ...]:
        return tuple(name for name in inspect.signature(self.model.create).parameters if name not in _OF_A_RUN)


ARCHITECTURES: dict[str, _Kind] = {
    "conv": _Kind(ConvNetwork, {"channels": (16,)}, "28,28,1", (2, 3)),
    "transformer": _Kind(Transformer, {}, "9,4", (2,)),
}
"""The kinds of models that have a name, beside fully connected networks."""


@dataclass(frozen=True, init=False)
class Architecture:
    """What a model is before it has parameters: a name and options, as a study's files keep them.

    It is a function ``architecture(inputs, outputs, scale, seed)``, as `nucleate.sweep` takes for ``model``.

    Parameters
    ----------
    name : {"conv", "transformer"}
        `ConvNetwork` or `Transformer`.
    **options
        Arguments of its ``create``. The shape of a row, and how many tokens there are, need not be given where a named
        problem, or one made in Python, knows them.

    Raises
    ------
    ArchitectureError
        For another name, or an option that its ``create`` does not take.

    Examples
    --------
    >>> conv = Architecture("conv", channels=[4, 8], kernel=3, shape=(8, 8, 1))
    >>> conv
    Architecture(conv, channels=(4, 8), kernel=3, shape=(8, 8, 1))
    >>> conv(64, 10, InitScale("gain", 0.1), 0)
    ConvNetwork(8 x 8 x 1, 4 and 8 kernels of 3 x 3, mean, 10 outputs, tanh, no biases, float32)
    """

    name: str
    options: tuple[tuple[str, Any], ...]

    def __init__(self, name: str, /, **options: Any) -> None:
        if not isinstance(name, str) or name not in ARCHITECTURES:
            raise ArchitectureError(
                f"There is no model {shown(name)}{choose_one(name, ARCHITECTURES)}; in Python a function make(inputs, "
                "outputs, scale, seed) makes any other."
            )
        known = ARCHITECTURES[name].options
        for option in options:
            if option not in known:
                close = did_you_mean(option, known) or f"; there are {', '.join(known)}."
                raise ArchitectureError(f"The model {name} has no option {name_parameter(option)}{close}")
        kept = {option: tuple(one) if isinstance(one, list) else one for option, one in options.items()}
        activation = kept.get("activation")
        if isinstance(activation, str):
            kept["activation"] = get_activation(activation)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "options", tuple(sorted(kept.items())))

    def __repr__(self) -> str:
        return f"Architecture({', '.join([self.name, *(f'{k}={_plain(v)}' for k, v in self.options)])})"

    def __call__(self, inputs: int, outputs: int, scale: InitScale, seed: int) -> Model:
        """The model of this description for rows of so many numbers.

        Parameters
        ----------
        inputs, outputs : int
        scale : InitScale
        seed : int

        Returns
        -------
        ConvNetwork or Transformer

        Raises
        ------
        ArchitectureError
            If the shape of a row is not known or has another size, and as ``create``.
        """
        kind, options = ARCHITECTURES[self.name], dict(self.options)
        shape = options.get("shape")
        if shape is None:
            raise ArchitectureError(
                f"The model {self.name} does not know the shape of a row of {inputs} numbers; say it by --shape, as "
                f"--shape {kind.shape} (in Python shape=[{', '.join(kind.shape.split(','))}])."
            )
        model: Model = kind.model.create(**{**kind.usual, **options, "outputs": outputs, "scale": scale, "seed": seed})
        if model.inputs != inputs:
            raise ArchitectureError(
                f"The model {self.name} reads rows of {say_shape(model.shape)}, which are {model.inputs} numbers, and "
                f"the data have {inputs}; give another shape (columns that are constant are left out of tables)."
            )
        return model

    def on(self, shape: tuple[int, ...], tokens: int | None = None) -> "Architecture":
        """This description for rows of a known shape and so many tokens, unless it says others itself.

        Parameters
        ----------
        shape : tuple of int
            The last axis are the channels, or the numbers of a position; of tokens, (length,).
        tokens : int, optional
            How many tokens there are, where rows hold the numbers of tokens.

        Returns
        -------
        Architecture

        Raises
        ------
        ArchitectureError
            If rows are of tokens, or have more axes, and the model does not read such.
        """
        kind, options = ARCHITECTURES[self.name], dict(self.options)
        if tokens is not None:
            if "tokens" not in kind.options:
                raise ArchitectureError(
                    f"The rows are of {tokens} tokens by their numbers, and the model {self.name} would read these as "
                    "amounts; take the model transformer."
                )
            options = {"tokens": tokens, **options}
        if not self.knows_rows:
            if tokens is None and len(shape) not in kind.axes:
                flat = (shape[0], math.prod(shape[1:]))
                raise ArchitectureError(
                    f"The rows are {say_shape(shape)}, and the model {self.name} reads a sequence of rows of numbers; "
                    f"say how, as --shape {flat[0]},{flat[1]} (in Python shape=[{flat[0]}, {flat[1]}])."
                )
            options["shape"] = shape
        return Architecture(self.name, **options)

    @property
    def knows_rows(self) -> bool:
        """Whether it says the shape of a row."""
        return any(name == "shape" and value is not None for name, value in self.options)

    @property
    def activation(self) -> Activation:
        """The activation of its models."""
        found: Any = dict(self.options).get("activation")
        return get_activation("tanh") if found is None else found

    def to_json(self) -> dict[str, Any]:
        """The name and the options: what `get_architecture` turns back into it.

        Returns
        -------
        dict
        """
        return {"name": self.name} | {
            option: list(value) if isinstance(value, tuple) else _plain(value) for option, value in self.options
        }


def get_architecture(given: Any) -> Architecture:
    """The architecture of that name, or with options of its own; an `Architecture` is returned as it is.

    Parameters
    ----------
    given : str, mapping with a ``name`` and options, or Architecture

    Returns
    -------
    Architecture

    Raises
    ------
    ArchitectureError
        For another name, an option that there is not, or something else.

    Examples
    --------
    >>> get_architecture({"name": "transformer", "width": 16})
    Architecture(transformer, width=16)
    """
    if isinstance(given, Architecture):
        return given
    if isinstance(given, Mapping):
        return Architecture(given.get("name", ""), **{key: value for key, value in given.items() if key != "name"})
    return Architecture(given)


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, Activation) else value
