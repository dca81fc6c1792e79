"""Weights that a model makes of other parameters at each forward pass: by norms, masks, parametrizations and adapters.

A module's own code makes them, of its own parts or of those that a state dict has. Of a file alone the names of the
parts tell what PyTorch's weight and spectral norms and its pruning make of them.
"""

import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
from jaxtyping import Float

from nucleate._wording import listed, say_error
from nucleate.errors import ArchitectureError
from nucleate.pytorch.exchange import evaluating, import_torch
from nucleate.sources.source import Parameter, flat
from nucleate.sources.tensors import to_numpy

_SETTLED, _FRESH = 0.9, 0.999
"""Above these cosines between the two sides of a spectral norm's power iteration it has been run."""
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True, eq=False)
class Made:
    """One weight that a module makes of parts, by their names in the module.

    ``make`` gives the weight of such parts as a forward pass in evaluation mode has it, and changes nothing of the
    module; ``like`` is a tensor of its shape and dtype, where one is there already.
    """

    name: str
    parts: dict[str, Any]
    make: Callable[[Mapping[str, Any]], Any]
    like: Any = None

    def __call__(self) -> Any:
        """The weight as it is now."""
        return self.make(self.parts)

    def read(self) -> np.ndarray:
        """The same as an array."""
        return to_numpy(self())


def part_of(whole: str) -> str:
    """Why a part is left out of which something else is made that is measured."""
    return f"it is measured as part of {whole}"


def made_by(module: Any) -> dict[str, Made]:
    """What a module of PyTorch's makes anew of other parameters before each forward pass, by its name."""
    found = [*_by_hooks(module), *_by_parametrizations(module), *_by_adapters(module)]
    return {one.name: one for one in found}


def _by_hooks(module: Any) -> Iterator[Made]:
    """The older norms, and the masks of pruning.

    The attribute itself is of the last forward pass, and so of the weights before the last step.
    """
    if not module._forward_pre_hooks:
        return
    from torch.nn.utils.prune import BasePruningMethod
    from torch.nn.utils.spectral_norm import SpectralNorm
    from torch.nn.utils.weight_norm import WeightNorm

    ways: list[tuple[Any, str, Callable[[Any, Any], Any]]] = [
        (SpectralNorm, "name", lambda hook, parts: hook.compute_weight(SimpleNamespace(**parts), False)),
        (WeightNorm, "name", lambda hook, parts: hook.compute_weight(SimpleNamespace(**parts))),
        (BasePruningMethod, "_tensor_name", lambda hook, parts: hook.apply_mask(SimpleNamespace(**parts))),
    ]
    own = {**module._parameters, **module._buffers}
    for hook in module._forward_pre_hooks.values():
        for kind, called, make in ways:
            if isinstance(hook, kind):
                name = getattr(hook, called)
                parts = {part: value for part, value in own.items() if part.startswith(f"{name}_")}
                yield Made(name, parts, partial(make, hook))


def _by_parametrizations(module: Any) -> Iterator[Made]:
    for name, parametrization in (getattr(module, "parametrizations", None) or {}).items():
        within = f"parametrizations.{name}."
        parts = dict(parametrization.named_parameters()) | dict(parametrization.named_buffers())
        named = {f"{within}{part}": value for part, value in parts.items()}
        yield Made(name, named, partial(_parametrized, parametrization, within))


def _parametrized(parametrization: Any, within: str, parts: Mapping[str, Any]) -> Any:
    given = {part.removeprefix(within): value for part, value in parts.items()}
    # In training mode some, such as the spectral norm, change their buffers. Other threads that read the same one would
    # take evaluation mode for the mode that it was in.
    with _ONE_AT_A_TIME, evaluating(parametrization):
        return import_torch().func.functional_call(parametrization, given, ())


def is_adapted(module: Any) -> bool:
    """Whether it is one of peft's, with adapters beside a layer of the model, that can say what they make of it."""
    peft = sys.modules.get("peft.tuners.tuners_utils")
    if peft is None or not isinstance(module, peft.BaseTunerLayer):
        return False
    base = module.get_base_layer()
    return next(base.children(), None) is None and "weight" in base._parameters and _merges(module)


def _merges(module: Any) -> bool:
    """Whether peft can put the adapters into the weights; tried once for each way of doing so."""
    variants = getattr(module, "lora_variant", {})
    kinds = tuple(type(variants.get(name)) for name in module.active_adapters)
    way = type(module), type(module.get_base_layer()), kinds, module.disable_adapters, module.merged
    if way not in _MERGING:
        try:
            _merged(module, {})
            _MERGING[way] = True
        except Exception:
            _MERGING[way] = False
    return _MERGING[way]


_MERGING: dict[Any, bool] = {}


def base_of(module: Any) -> Any:
    """The layer of the model beside which there are adapters; any other module itself."""
    return module.get_base_layer() if is_adapted(module) else module


def _by_adapters(module: Any) -> Iterator[Made]:
    if not is_adapted(module):
        return
    parts = dict(module.named_parameters()) | dict(module.named_buffers())
    for name, value in module.get_base_layer()._parameters.items():
        if value is not None:
            # Its own parts are in the copy.
            yield Made(name, parts, partial(_with, module, name, parts), value)


def _with(module: Any, name: str, own: Mapping[str, Any], parts: Mapping[str, Any]) -> Any:
    try:
        return _merged(module, {} if parts is own else parts)[name]
    except Exception as error:
        raise ArchitectureError(
            f"peft cannot put the adapters {listed(module.active_adapters)} into the weights beside them "
            f"({say_error(error)[:120]}); disable them, or merge them yourself, and inspect the model then."
        ) from None


def _merged(module: Any, parts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a layer with its active adapters in it, as peft itself puts them there, in a copy."""
    with import_torch().no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copy = deepcopy(module)
        copy.load_state_dict(dict(parts), strict=False)
        if not copy.disable_adapters:
            copy.merge()
        elif copy.merged:
            copy.unmerge()
    merged: Mapping[str, Any] = copy.get_base_layer()._parameters
    return merged


def copies_in(module: Any) -> tuple[str, list[str]] | None:
    """Where peft keeps a trained copy of a layer beside it: the module in it that acts now, and those that do not."""
    peft = sys.modules.get("peft.utils.other")
    if peft is None or not isinstance(module, peft.ModulesToSaveWrapper):
        return None
    active = () if module.disable_adapters else module.active_adapters
    copies = ["original_module", *(f"modules_to_save.{name}" for name in module.modules_to_save)]
    acting = next((f"modules_to_save.{name}" for name in active if name in module.modules_to_save), copies[0])
    return acting, [one for one in copies if one != acting]


def adds_only(module: Any) -> bool:
    """Whether the adapters of an adapted layer add to its weights, whatever these are."""
    return hasattr(module, "get_delta_weight") and not getattr(module, "lora_variant", None)


def why_left_out(module: Any, part: str, whole: str) -> str:
    """Why a parameter of an adapted layer is left out, by its name there; the whole is measured in its place."""
    active = [] if module.disable_adapters else [*module.active_adapters, *module.merged_adapters]
    is_in_it = part.startswith("base_layer.") or set(part.split(".")) & set(active)
    return part_of(whole) if is_in_it else "it belongs to an adapter that is not active"


def unsettled_in(module: Any) -> Iterator[str]:
    """The weights of a module whose spectral norm has not been iterated yet."""
    for name, made in made_by(module).items() if module._forward_pre_hooks else ():
        if {f"{name}_orig", f"{name}_u", f"{name}_v"} == set(made.parts):
            parts = [made.parts[f"{name}_{part}"].detach() for part in ("orig", "u", "v")]
            # Until the first pass the attribute is the very tensor that it will be made of.
            is_fresh = vars(module)[name].data_ptr() == parts[0].data_ptr()
            if _agree(*(one.double().cpu().numpy() for one in parts)) < (_FRESH if is_fresh else _SETTLED):
                yield name


def not_settled(layers: Sequence[str]) -> Iterator[str]:
    """The note on spectral norms that have not been iterated yet, if there are any."""
    if layers:
        yield (
            f"The power iteration of the spectral norm has not been run in {listed(layers)}, as before the first "
            "forward pass in training mode, so their size says nothing yet, nor does a distance from them."
        )


def _as_rows(matrix: Float[np.ndarray, "..."], u: Float[np.ndarray, " m"], v: Float[np.ndarray, " k"]) -> np.ndarray:
    """The matrix whose spectral norm ``u`` and ``v`` tell: its outputs are the axis along which they tell more."""
    fits = [axis for axis in range(matrix.ndim) if matrix.shape[axis] == len(u) and matrix.size == len(u) * len(v)]
    return max((flat(matrix, axis) for axis in fits), key=lambda rows: abs(float(u @ rows @ v)))


def _agree(matrix: Float[np.ndarray, "..."], u: Float[np.ndarray, " m"], v: Float[np.ndarray, " k"]) -> float:
    """The cosine between one vector of a power iteration, and what the matrix makes of the other."""
    reached = _as_rows(matrix, u, v) @ v
    length = float(np.linalg.norm(reached) * np.linalg.norm(u))
    return float(u @ reached) / length if length > 0 else 1.0


@dataclass(frozen=True)
class _Recipe:
    """A way in which PyTorch makes weights: what parts are called behind the name or within the parametrization.

    Their shapes tell whether they are such parts, and these in float64 make the weight.
    """

    parts: tuple[str, ...]
    fits: Callable[..., bool]
    make: Callable[..., np.ndarray]


Shape = tuple[int, ...]


def _are_slices(size: Shape, of: Shape) -> bool:
    """Whether the one has a number for each slice of the other, or one for all. Others call gates and values so."""
    return size == () or (
        len(size) == len(of)
        and sum(count > 1 for count in size) < 2
        and all(count in (1, whole) for count, whole in zip(size, of, strict=True))
    )


def _by_size(size: np.ndarray, direction: np.ndarray) -> np.ndarray:
    over = tuple(axis for axis in range(direction.ndim) if size.ndim == 0 or size.shape[axis] == 1)
    made: np.ndarray = direction * (size / np.sqrt(np.square(direction).sum(axis=over, keepdims=True)))
    return made


def _by_spectrum(matrix: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    made: np.ndarray = matrix / (u @ _as_rows(matrix, u, v) @ v)
    return made


def _are_sides(matrix: Shape, u: Shape, v: Shape) -> bool:
    return len(u) == len(v) == 1 and len(matrix) > 1 and u[0] in matrix and u[0] * v[0] == math.prod(matrix)


_RECIPES = (
    _Recipe(("_g", "_v"), _are_slices, _by_size),
    _Recipe(("original0", "original1"), _are_slices, _by_size),
    _Recipe(("_orig", "_mask"), lambda of, mask: of == mask, np.multiply),
    _Recipe(("_orig", "_u", "_v"), _are_sides, _by_spectrum),
    _Recipe(("original", "0._u", "0._v"), _are_sides, _by_spectrum),
)


def put_together(
    parameters: Sequence[Parameter],
) -> tuple[list[Parameter], list[tuple[str, str]], Callable[[], Iterator[str]]]:
    """What PyTorch makes of the parameters of a file or a state dict, in their place, as far as their names tell it.

    Behind it come the parts with what they are measured as, and the notes of a `Source`.
    """
    names = {parameter.name: parameter for parameter in parameters}
    wholes: dict[str, Parameter] = {}
    left_out: list[tuple[str, str]] = []
    unsettled: list[tuple[str, list[Parameter]]] = []
    for whole, parts in _wholes(names).items():
        recipe = next((one for one in _RECIPES if set(one.parts) == set(parts)), None)
        of_recipe = [parts[part] for part in recipe.parts] if recipe is not None else []
        if recipe is None or not recipe.fits(*(part.shape for part in of_recipe)):
            continue
        weight = max(of_recipe, key=lambda part: math.prod(part.shape))
        wholes[weight.name] = Parameter(whole, weight.shape, partial(_made_of, recipe, of_recipe, weight))
        left_out += [(part.name, part_of(whole)) for part in of_recipe]
        if recipe.make is _by_spectrum:
            unsettled.append((wholes[weight.name].layer, of_recipe))
    gone = {name for name, _ in left_out} - set(wholes)
    kept = [wholes.get(one.name, one) for one in parameters if one.name not in gone]

    def notes() -> Iterator[str]:
        read = [(layer, [part.read().astype(np.float64) for part in parts]) for layer, parts in unsettled]
        return not_settled([layer for layer, parts in read if _agree(*parts) < _SETTLED])

    return kept, left_out, notes


def _wholes(names: Mapping[str, Parameter]) -> dict[str, dict[str, Parameter]]:
    """For what may be made of several parameters these, by what they are called beside it."""
    found: dict[str, dict[str, Parameter]] = {}
    for name, parameter in names.items():
        within = re.fullmatch(r"(.*?)parametrizations\.(\w+)\.(.+)", name)
        beside = re.fullmatch(r"(.+?)(_g|_v|_u|_orig|_mask)", name)
        if within is not None:
            found.setdefault(within[1] + within[2], {})[within[3]] = parameter
        elif beside is not None:
            found.setdefault(beside[1], {})[beside[2]] = parameter
    return {whole: parts for whole, parts in found.items() if whole not in names}


def _made_of(recipe: _Recipe, parts: Sequence[Parameter], weight: Parameter) -> np.ndarray:
    arrays = [part.read() for part in parts]
    dtype = arrays[list(parts).index(weight)].dtype
    with np.errstate(divide="ignore", invalid="ignore"):
        made: np.ndarray = recipe.make(*(array.astype(np.float64) for array in arrays)).astype(dtype)
    return made
