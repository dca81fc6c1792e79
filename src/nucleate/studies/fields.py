"""What the fields of a spec may be: names become objects, and files keep the names of one's own objects."""

import inspect
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    InstanceOf,
    PlainSerializer,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from nucleate._arrays import is_truth, takes
from nucleate._wording import FROM_PYTHON
from nucleate.activations import Activation, get_activation
from nucleate.architectures import ARCHITECTURES, Architecture, get_architecture
from nucleate.errors import ArchitectureError, NucleateError, SpecError
from nucleate.init_scale import PerLayer, read_value
from nucleate.observe import Measure
from nucleate.problems import Loss, get_loss
from nucleate.problems.catalogue import row_shape_of
from nucleate.training.settings import READING, Sentence, as_pydantic_says


@dataclass(frozen=True)
class NameOnly:
    """Something of one's own, such as an activation, of which only the name is known, as read from a study folder."""

    kind: str
    name: str

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise SpecError(
            f"The {self.kind} {self.name!r} is known by its name alone; pass it as an object again {FROM_PYTHON}."
        )


def _loss(given: Any, info: ValidationInfo) -> Loss:
    return as_pydantic_says(get_loss, given, known=info.context != READING)


def _activation(given: Any, info: ValidationInfo) -> Activation:
    if isinstance(given, Activation):
        return given
    try:
        return get_activation(given)
    except (ArchitectureError, TypeError) as error:
        if info.context == READING and isinstance(given, str):
            return Activation(given, NameOnly("activation", given), 1, 1.0, 1.0)
        raise ValueError(str(error).rstrip(".")) from None


def _model(given: Any, info: ValidationInfo) -> Any:
    if given is None:
        return given
    if info.context == READING and isinstance(given, str):
        return NameOnly("model", given)
    if isinstance(given, str | Mapping | Architecture):
        return _architecture(given, info)
    if not callable(given):
        raise ValueError(
            f"a model is one of {', '.join(ARCHITECTURES)}, or made by a function make(inputs, outputs, scale, seed)"
        )
    if not takes(given, 4):
        is_function = inspect.isroutine(given) or isinstance(given, type)
        what = f"takes {inspect.signature(given)}" if is_function else "is one model already"
        raise ValueError(
            f"the models of a study are made by a function make(inputs, outputs, scale, seed), and {name_of(given)} "
            f"{what}; pass such a function"
        )
    return given


def _architecture(given: Any, info: ValidationInfo) -> Architecture:
    """An architecture that knows the rows of the data, where these have a shape that is known."""
    if info.context == READING and isinstance(given, Mapping) and isinstance(given.get("activation"), str):
        given = {**given, "activation": _activation(given["activation"], info)}
    try:
        architecture = get_architecture(given)
        if info.context == READING or "data" not in info.data:
            return architecture
        rows = row_shape_of(info.data["data"])
        return architecture if rows is None else architecture.on(*rows)
    except NucleateError as error:
        raise Sentence(str(error)) from None


def _measure(given: Any, info: ValidationInfo) -> Measure:
    if isinstance(given, Measure):
        return given
    if info.context == READING:
        return Measure(given, NameOnly("measure", given))
    raise ValueError("a measure is a nucleate.observe.Measure; pass it in Python")


def _scale(given: Any, number: ValidatorFunctionWrapHandler) -> float | PerLayer:
    """A number, or one for each layer: ``"1x0.1x1"``, or a list of them."""
    if isinstance(given, str):
        with suppress(ValueError):
            if isinstance(value := read_value(given), PerLayer):
                return value
        raise PydanticCustomError("float_type", "a text")
    if isinstance(given, PerLayer | list | tuple):
        if any(map(is_truth, given)):
            raise ValueError("true and false are no values of it; give numbers")
        if any(isinstance(one, str) for one in given):
            raise PydanticCustomError("float_type", "a text")
        return PerLayer(map(number, given))
    return number(given)


def _share_or_file(given: Any) -> Any:
    if isinstance(given, os.PathLike):
        return os.fspath(given)
    if isinstance(given, str):
        return _possible(given)
    if not isinstance(given, int | float):
        raise ValueError("it is a share of the rows, such as 0.2, or the path of a file; for tables make a Problem")
    return given


def _possible(path: str) -> str:
    """A path that a file can have."""
    if "\0" in path:
        raise ValueError("a path holds no NUL character; give another path")
    if max(len(part) for part in os.fsencode(path).split(os.fsencode(os.sep))) > 255:
        raise ValueError("a part of a path has at most 255 bytes; give another path")
    return path


def name_of(one: Any) -> str:
    """What an object of one's own is called in files."""
    return str(getattr(one, "name", None) or getattr(one, "__name__", None) or type(one).__name__)


ByName = PlainSerializer(name_of, return_type=str)
AnyLoss = Annotated[InstanceOf[Loss], BeforeValidator(_loss), ByName]
AnyActivation = Annotated[InstanceOf[Activation], BeforeValidator(_activation), ByName]
AnyModel = Annotated[
    Any,
    BeforeValidator(_model),
    PlainSerializer(lambda model: model.to_json() if isinstance(model, Architecture) else name_of(model)),
]
AnyScale = Annotated[
    float | InstanceOf[PerLayer],
    WrapValidator(_scale),
    PlainSerializer(lambda scale: str(scale) if isinstance(scale, PerLayer) else scale),
]
NameOrFile = Annotated[str, AfterValidator(_possible)]
ShareOrFile = Annotated[Annotated[float, Field(gt=0, lt=1)] | str, BeforeValidator(_share_or_file)]
AnyMeasure = Annotated[InstanceOf[Measure], BeforeValidator(_measure), ByName]
